"""The keys of a script as they are written, and what would be said of changes to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import Engine
from engine.models.scripts import ScriptKeys, SetKeysRequest
from engine.services.access import ServiceError

FULL = """\
# /// script
# requires-python = ">=3.11"
# dependencies = ["pandas>=2,<3"]
# [tool.other]
# x = 1
# [tool.gatewright]
# title = ""
# kind = "transform"
# enabled = "yes"
# tags = [1, 2024-01-01, inf]
# [tool.gatewright.params.hours]
# type = "int"
# default = 0xFFFFFFFFFFFFFFFFFF
# [tool.gatewright.params.since]
# default = 2024-01-01T10:00:00Z
# mine = 1
# [tool.gatewright.limits]
# memory = "1 GiB"
# timeout = { a = 1 }
# [tool.gatewright.permissions]
# read = "/not/a/list"
# ///
"""
CHANGED = {
    "requires-python": ">=3.11",
    "dependencies": ["pandas>=2,<3"],
    "title": "",
    "kind": "transform",
    "enabled": "yes",
    "tags": [1, "2024-01-01", "inf"],
    "params.hours.type": "int",
    "params.hours.default": "0xffffffffffffffffff",
    "params.since.default": "2024-01-01 10:00:00+00:00",
    "limits.memory": "1 GiB",
    "permissions.read": "/not/a/list",
}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        yield opened


def place(engine: Engine, text: str) -> None:
    (engine.project.scripts / "x.py").write_text(text)


async def judge(engine: Engine, changes: dict[str, Any]) -> dict[str, str]:
    return (await engine.frontmatter.judge("x", SetKeysRequest(changes=changes))).problems


async def test_keys_are_told_as_they_are_written_right_or_wrong(engine: Engine) -> None:
    place(engine, FULL)
    keys = await engine.frontmatter.read("x")
    assert keys.values == CHANGED
    assert keys.sha256 == (await engine.scripts.info("x.py")).sha256
    assert keys.readable
    assert "enabled" in (keys.problem or "")
    assert msgspec.json.decode(msgspec.json.encode(keys), type=ScriptKeys) == keys


@pytest.mark.parametrize(
    ("text", "readable", "problem"),
    [
        ("x = 1\n", True, None),
        ("# /// script\n# ///\n", True, None),
        ("# /// script\n# [tool]\n# gatewright = 3\n# ///\n", True, "must be a table"),
        ("# /// script\n# [tool.gatewright]\n# params = 3\n# limits = []\n# ///\n", True, "must be a table"),
        ("# /// script\n# [tool.gatewright\n# ///\n", False, "not valid TOML"),
        ("# /// script\n", False, "no closing line"),
    ],
)
async def test_where_nothing_is_written_there_are_no_keys(
    engine: Engine, text: str, readable: bool, problem: str | None
) -> None:
    place(engine, text)
    keys = await engine.frontmatter.read("x")
    assert (keys.values, keys.readable) == ({}, readable)
    assert keys.problem is None if problem is None else problem in (keys.problem or "")


async def test_each_wrong_change_has_its_own_sentence(engine: Engine) -> None:
    place(engine, '# /// script\n# [tool.gatewright.params.hours]\n# type = "int"\n# ///\n')
    changes = {
        "title": "fine",
        "kind": "other",
        "tags": "no list",
        "limits.timeout": -1,
        "limits.memory": "much",
        "params.hours.default": "no number",
        "params.hours.help": "fine",
        "permissions.read": ["/x"] * 3,
        "permissions.write": "no list",
        "nonsense": 1,
    }
    problems = await judge(engine, changes)
    assert set(problems) == {
        "kind", "tags", "limits.timeout", "limits.memory", "params.hours.default", "permissions.write", "nonsense",
    }  # fmt: skip
    assert problems["limits.timeout"] == "limits.timeout must be a number of seconds above 0."
    assert problems["kind"] == 'kind must be utility or macro, not "other".'
    assert (engine.project.scripts / "x.py").read_text().count("\n") == 4


async def test_good_changes_have_none_and_none_are_no_change(engine: Engine) -> None:
    place(engine, "print(1)\n")
    assert await judge(engine, {"title": "Night", "params.n.type": "int", "params.n.default": 3, "tags": None}) == {}
    assert await judge(engine, {}) == {}
    with pytest.raises(ServiceError, match="There is no script"):
        await engine.frontmatter.judge("nowhere", SetKeysRequest(changes={"title": "x"}))


async def test_a_block_that_cannot_be_read_is_said_of_every_change(engine: Engine) -> None:
    place(engine, "# /// script\n# [tool.gatewright\n# ///\n")
    problems = await judge(engine, {"title": "Night"})
    assert "not valid TOML" in problems["title"]
