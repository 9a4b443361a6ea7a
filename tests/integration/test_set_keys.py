"""Keys of the frontmatter through the engine: saved like any text, told to whoever watches, refused as a whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine import Engine
from engine.models.scripts import SaveRequest, ScriptInfo, SetKeysRequest
from engine.services.access import Actor, Role, ServiceError

PATH = "own/report.py"
LINES = ("#!/usr/bin/python", "# /// script", "# [tool.gatewright]", '# kind = "utility"  # or macro', "# ///", "x")
TEXT = "".join(f"{line}\r\n" for line in LINES)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        yield opened


def place(engine: Engine, text: str | bytes = TEXT, path: str = PATH) -> Path:
    """Put a script where an editor outside would put it."""
    file = engine.project.scripts / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


async def change(engine: Engine, changes: dict[str, Any], base: str | None = None, name: str = PATH) -> ScriptInfo:
    return await engine.frontmatter.set_keys(name, SetKeysRequest(changes=changes, base_sha256=base), engine.owner)


async def refusal(engine: Engine, changes: dict[str, Any], base: str | None = None) -> ServiceError:
    file = engine.project.scripts / PATH
    before = file.read_bytes()
    with pytest.raises(ServiceError) as caught:
        await change(engine, changes, base)
    assert file.read_bytes() == before
    return caught.value


async def test_a_utility_becomes_a_macro_and_nothing_else_of_it_changes(engine: Engine) -> None:
    file = place(engine)
    info = await change(engine, {"kind": "macro"})
    assert file.read_bytes().decode() == TEXT.replace('"utility"', '"macro"')
    assert info.kind == "macro"
    assert info.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (await engine.scripts.load(PATH)).info == info


async def test_what_was_replaced_is_in_the_history(engine: Engine) -> None:
    place(engine)
    await change(engine, {"kind": "macro"})
    kept = engine.project.history / hashlib.sha256(TEXT.encode()).hexdigest()
    assert kept.read_bytes() == TEXT.encode()


async def test_several_keys_are_set_at_once_and_a_name_is_enough(engine: Engine) -> None:
    place(engine, "x = 1\n")
    changes = {
        "title": "Night report",
        "enabled": False,
        "dependencies": ["pandas>=2"],
        "requires-python": ">=3.11",
        "limits.timeout": 60,
        "params.hours.type": "int",
        "params.hours.default": 24,
    }
    info = await change(engine, changes, name="report")
    assert (info.title, info.enabled, info.timeout) == ("Night report", False, 60.0)
    assert (info.requires_python, info.dependencies) == (">=3.11", ["pandas>=2"])
    assert [(param.name, param.type, param.default) for param in info.params] == [("hours", "int", 24)]
    assert info.problem is None
    gone = await change(engine, dict.fromkeys(changes) | {"params.hours": None})
    assert (gone.title, gone.enabled, gone.params, gone.dependencies) == ("Report", True, [], [])


async def test_one_wrong_value_leaves_them_all_undone(engine: Engine) -> None:
    place(engine)
    error = await refusal(engine, {"title": "New", "limits.timeout": -1})
    assert (error.code, error.status) == ("bad_frontmatter", 422)
    assert error.message == f"{PATH} was not changed: limits.timeout must be a number of seconds above 0."


async def test_permissions_are_judged_as_a_run_would_judge_them(engine: Engine) -> None:
    place(engine)
    error = await refusal(engine, {"permissions.read": [f"/data/{number}" for number in range(17)]})
    assert "17 permissions" in error.message
    info = await change(engine, {"permissions.read": ["/data/logs"]})
    assert [grant.path for grant in info.permissions] == ["/data/logs"]
    assert info.needs_approval


async def test_a_text_that_was_not_seen_is_a_conflict(engine: Engine) -> None:
    place(engine)
    assert (await refusal(engine, {"kind": "macro"}, "0" * 64)).code == "conflict"
    info = await change(engine, {"kind": "macro"}, hashlib.sha256(TEXT.encode()).hexdigest())
    assert info.kind == "macro"


async def test_many_at_once_never_lose_each_other_s_keys(engine: Engine) -> None:
    place(engine)
    keys = [f"params.p{number}.help" for number in range(12)]
    results = await asyncio.gather(*(change(engine, {key: key}) for key in keys), return_exceptions=True)
    for result in results:
        assert isinstance(result, ScriptInfo) or (isinstance(result, ServiceError) and result.code == "conflict")
    done = {key for key, result in zip(keys, results, strict=True) if isinstance(result, ScriptInfo)}
    assert done
    info = (await engine.scripts.load(PATH)).info
    assert {param.help for param in info.params} == done


async def test_whoever_watches_is_told(engine: Engine) -> None:
    place(engine)
    await change(engine, {"kind": "macro"})
    await refusal(engine, {"kind": "makro"})
    told = [event.data for event in engine.events.since(0)[0] if event.type == "script"]
    assert told == [{"path": PATH, "change": "saved"}]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_it_takes_an_author(engine: Engine, role: Role) -> None:
    file = place(engine)
    request = SetKeysRequest(changes={"kind": "macro"})
    with pytest.raises(ServiceError) as caught:
        await engine.frontmatter.set_keys(PATH, request, Actor(name="vic", uid=1000, role=role))
    assert caught.value.code == "forbidden"
    assert file.read_bytes() == TEXT.encode()
    author = Actor(name="ann", uid=1000, role=Role.AUTHOR)
    assert (await engine.frontmatter.set_keys(PATH, request, author)).kind == "macro"


async def test_nothing_to_set_and_an_unknown_script_are_refused(engine: Engine) -> None:
    place(engine)
    assert (await refusal(engine, {})).code == "bad_request"
    with pytest.raises(ServiceError) as caught:
        await change(engine, {"kind": "macro"}, name="own/nothing")
    assert caught.value.code == "no_script"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# /// script\n# a =\n# ///\n", "not valid TOML"),
        ("# /// script\n# [tool.gatewright]\n# kind = 'a'\n# kind = 'b'\n# ///\n", "not valid TOML"),
        ("# /// script\n# [tool]\n# gatewright = 3\n# ///\n", "[tool.gatewright] must be a table, not a number"),
        ("# /// script\n# a = 1979-05-27\n# tool = 1979-05-27\n# ///\n", "[tool] must be a table, not a date or time"),
        (f"# /// script\n# a = '{'x' * (1 << 20)}'\n# ///\n", "larger than 64 KiB"),
        (f"# /// script\n# a = {'[' * 30_000}\n# ///\n", "nested too deeply"),
        (f"# /// script\n# {'a.' * 30_000}b = 1\n# ///\n", "nested too deeply"),
        (f"# /// script\n# a = {'9' * 5_000}\n# ///\n", "too large"),
        ("# /// script\n# a = '\x00'\n# ///\n", "not valid TOML"),
        (b"# /// script\n# a = '\xff'\n# ///\n", "not UTF-8"),
        ("# /// script\n# a = 1\n", "no closing line"),
    ],
    ids=["malformed", "duplicate", "no table", "date", "1 MB", "nested", "dotted", "int", "NUL", "bytes", "open"],
)
async def test_a_frontmatter_that_cannot_be_read_is_not_written(engine: Engine, text: str | bytes, reason: str) -> None:
    place(engine, text)
    error = await refusal(engine, {"kind": "macro"})
    assert error.code == "bad_frontmatter"
    assert reason in error.message
    assert len((await engine.scripts.list()).scripts) > 1


@pytest.mark.parametrize(
    "text",
    [
        "# /// script\n# [tool.gatewright]\n# limits.memory = 99999999999999999999\n# title = 1979-05-27\n# ///\n",
        "# /// script\n# [tool.gatewright]\n# tags = 3\n# [[tool.gatewright.params]]\n# ///\n",
    ],
)
async def test_what_is_wrong_at_other_keys_stays_as_it_is(engine: Engine, text: str) -> None:
    file = place(engine, text)
    info = await change(engine, {"kind": "macro"})
    assert info.kind == "macro"
    assert info.problem
    assert [line for line in text.splitlines() if line not in file.read_text().splitlines()] == []


async def test_a_save_after_it_needs_the_new_hash(engine: Engine) -> None:
    place(engine)
    info = await change(engine, {"kind": "macro"})
    request = SaveRequest(text="y = 2\n", base_sha256=hashlib.sha256(TEXT.encode()).hexdigest())
    with pytest.raises(ServiceError) as caught:
        await engine.scripts.save(PATH, request, engine.owner)
    assert caught.value.code == "conflict"
    await engine.scripts.save(PATH, SaveRequest(text="y = 2\n", base_sha256=info.sha256), engine.owner)
