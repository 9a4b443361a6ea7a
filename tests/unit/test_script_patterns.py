"""Patterns of a token's scripts: what they cover and what not, and that the writer of scripts holds to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.services.access import Actor, Role, ServiceError
from engine.services.versioned_writer import VersionedWriter
from store.files.scripts import ScriptFiles
from store.state.database import StateDB


def scoped(*patterns: str, role: Role = Role.AUTHOR) -> Actor:
    return Actor("token:x", -1, role, token="0" * 12, scripts=patterns)


@pytest.mark.parametrize(
    ("pattern", "covered", "others"),
    [
        ("line1/*", ["line1/a.py", "line1/.py"], ["line1/b/a.py", "line2/a.py", "line11/a.py", "a.py", "Line1/a.py"]),
        ("line1/**", ["line1/a.py", "line1/b/c/a.py"], ["line1.py", "line2/line1/a.py", "line10/a.py"]),
        ("**", ["a.py", "x/y/z.py"], []),
        ("*", ["a.py"], ["x/a.py"]),
        ("a", ["a.py"], ["aa.py", "x/a.py", "a/b.py", "a.pyx"]),
        ("a.py", ["a.py"], ["axpy", "a", "a.py.py/x"]),
        ("line?/a", ["line1/a.py", "lineX/a.py"], ["line/a.py", "line12/a.py", "line//a.py"]),
        ("line[12]/a", ["line1/a.py", "line2/a.py"], ["line3/a.py", "line12/a.py"]),
        ("line[1-3]/a", ["line2/a.py"], ["line4/a.py", "line-/a.py"]),
        ("line[!1]/a", ["line2/a.py"], ["line1/a.py", "line//a.py"]),
        ("a[!b]c", ["axc.py"], ["abc.py", "a/c.py"]),
        ("a[", ["a[.py"], ["a.py"]),
        ("a[]b", ["a[]b.py"], ["ab.py"]),
        ("a[z-a]", ["a[z-a].py"], ["az.py"]),
        ("a+b(c)|d", ["a+b(c)|d.py"], ["aab(c).py", "d.py"]),
        ("**/report", ["x/report.py", "x/y/report.py"], ["report.py", "x/reports.py"]),
        ("[a\\]b", ["ab.py", "\\b.py"], ["]b.py"]),
    ],
)
def test_what_a_pattern_covers(pattern: str, covered: list[str], others: list[str]) -> None:
    actor = scoped(pattern)
    assert [path for path in covered if not actor.sees(path)] == []
    assert [path for path in others if actor.sees(path)] == []


@pytest.mark.parametrize(
    "path", ["line1/../line2/a.py", "line1/./a.py", "/line1/a.py", "line1//a.py", "", "..", "a/.."]
)
def test_what_is_no_path_is_covered_by_nothing(path: str) -> None:
    assert not scoped("**").sees(path)
    assert not scoped("line1/**").sees(path)


def test_several_patterns_add_up_and_none_is_every_script() -> None:
    assert scoped("a", "b/*").sees("b/x.py")
    assert not scoped("a", "b/*").sees("c.py")
    assert scoped().sees("anything/at/all.py")


@pytest.fixture
async def writer(tmp_path: Path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "history").mkdir()
    state = await StateDB.open(tmp_path / "state.db")
    yield VersionedWriter(ScriptFiles(tmp_path / "scripts", tmp_path / "history"), state.versions)
    await state.close()


CHANGES: dict[str, Callable[[VersionedWriter, Actor], Awaitable[object]]] = {
    "save": lambda writer, actor: writer.save("out/a.py", b"2", None, actor),
    "save without its suffix": lambda writer, actor: writer.save("out/a", b"2", None, actor),
    "put": lambda writer, actor: writer.put("out/a.py", b"2", None, actor),
    "delete": lambda writer, actor: writer.delete("out/a.py", None, actor),
    "rename away": lambda writer, actor: writer.rename("in/a.py", "out/b.py", None, actor),
    "rename to itself": lambda writer, actor: writer.rename("out/a.py", "in/b.py", None, actor),
    "copy away": lambda writer, actor: writer.duplicate("in/a.py", "out/b.py", actor),
    "copy to itself": lambda writer, actor: writer.duplicate("out/a.py", "in/b.py", actor),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_no_change_goes_beyond_the_patterns(writer: VersionedWriter, tmp_path: Path, name: str) -> None:
    every = scoped()
    for path in ("in/a.py", "out/a.py"):
        await writer.save(path, b"1", None, every)
    before = {path: path.read_bytes() for path in (tmp_path / "scripts").rglob("*.py")}
    with pytest.raises(ServiceError, match=r"it is a token for in/\*\* only") as refused:
        await CHANGES[name](writer, scoped("in/**"))
    assert refused.value.denied is not None
    assert {path: path.read_bytes() for path in (tmp_path / "scripts").rglob("*.py")} == before
