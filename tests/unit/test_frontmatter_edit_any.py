"""Properties of editing frontmatter, over blocks written in every way that TOML allows."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from store.frontmatter.edit import apply_changes
from store.frontmatter.keys import path_of, value_at
from store.frontmatter.locate import FrontmatterError, find_block
from store.frontmatter.read import parse

HOLE = "\N{SYMBOL FOR NULL}"
"""Stands for the value that is going to change."""

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters=HOLE), max_size=20)
LITERALS = st.sampled_from(
    [
        *("1", "-0.0", "1e9", "nan", "-inf", "0xff", "true", "1979-05-27", "1979-05-27 07:32:00Z", "07:32:00.5"),
        *('""', "''", '"a # b"', "'a \" ] }'", '"\\" = ["', '"\\\\"', "'\\'", '"é𝄞"', '"\\u00e9"'),
        *('""""""', "''''''", '"""a\n# b" ""\n"""', "'''\n/// script\n'' ]'''", '"""x"""""'),
        *("'''x'''''", '"""\\\n x"""'),
        *("[]", "[ ]", "[1, 2]", "[\n  'a', # ]\n  \"b]\",\n]", "[[1], ['x']]", "[{a = ']'}]"),
        *("{}", "{ }", "{a = 1}", "{ a.b = '}', \"c d\" = [1] }"),
    ]
)
SPACE = st.sampled_from(["", " ", "\t", "  "])
COMMENT = st.sampled_from(["", " # a comment", "# [tool.gatewright]", ' # title = "x"', "  #"])
FILLER = st.sampled_from(["", "# kind = 'x'", "#", "   ", "# ///", "# [tool.gatewright.limits]"])

GOOD_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": st.sampled_from(["", "plain", 'a "b" \\ #', "ä 𝄞 ]}", "# ///", "'''", "a" * 200]),
    "description": st.sampled_from(["", "plain", "x" * 2_000]),
    "kind": st.sampled_from(["macro", "utility"]),
    "entrypoint": st.sampled_from(["main", "größe"]),
    "enabled": st.booleans(),
    "tags": st.lists(st.sampled_from(["a", "b ]", '"', "#"]), max_size=4),
    "preload": st.lists(st.sampled_from(["numpy", "pandas"]), max_size=2),
    "requires-python": st.sampled_from([">=3.11", ""]),
    "dependencies": st.lists(st.sampled_from(["pandas>=2", "a[b] ; python_version < '4'"]), max_size=3),
    "limits.timeout": st.floats(min_value=1e-300, max_value=1e300) | st.integers(1, 10**9),
    "limits.memory": st.sampled_from(["1 GiB", "50 MB", 64 << 20]),
    "permissions.read": st.lists(st.sampled_from(["/a", "/b c"]), max_size=3),
    "params.hours.default": st.integers(-(1 << 63), (1 << 63) - 1),
    "params.hours.help": st.sampled_from(["", "look back"]),
    "params.hours.required": st.booleans(),
}


@dataclass(frozen=True)
class Case:
    """A block with a hole in it."""

    toml: str
    key: str
    old: str
    new: object
    before: str
    after: str
    line_end: str

    def file(self, value: str) -> bytes:
        lines = self.toml.replace(HOLE, value).split("\n")
        block = ["# /// script", *(f"# {line}" for line in lines), "# ///"]
        text = self.before + "\n".join(block) + "\n" + self.after
        return text.replace("\n", self.line_end).encode("utf-8", "surrogateescape")


@st.composite
def spelled(draw: st.DrawFn, name: str) -> str:
    """A key in one of its spellings."""
    return draw(st.sampled_from([name, f"'{name}'", f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"']))


@st.composite
def dotted_key(draw: st.DrawFn, names: tuple[str, ...]) -> str:
    dot = draw(SPACE) + "." + draw(SPACE)
    return dot.join([draw(spelled(name)) for name in names])


@st.composite
def tables(draw: st.DrawFn, path: tuple[str, ...], value: str) -> str:
    """``path = value``, with the table around it written in any way."""
    depth = draw(st.integers(0, len(path) - 1))
    key, rest = path[depth:], ()
    if len(key) > 1 and draw(st.booleans()):
        cut = draw(st.integers(1, len(key) - 1))
        key, rest = key[:cut], key[cut:]
    sides = draw(SPACE), draw(SPACE)
    if rest:
        first = draw(st.sampled_from(["", "other = ['}'], "]))
        last = draw(st.sampled_from(["", ", more = '}'"]))
        value = f"{{{first}{draw(dotted_key(rest))}{sides[0]}={sides[1]}{value}{last}}}"
    line = f"{draw(SPACE)}{draw(dotted_key(key))}{sides[1]}={sides[0]}{value}{draw(COMMENT)}"
    if depth == 0:
        return line
    return f"[{draw(dotted_key(path[:depth]))}]{draw(COMMENT)}\n{draw(FILLER)}\n{line}"


@st.composite
def cases(draw: st.DrawFn) -> Case:
    key = draw(st.sampled_from(sorted(GOOD_VALUES)))
    old = "5" if key == "params.hours.default" else draw(LITERALS)
    body = draw(tables(path_of(key), HOLE))
    if key.startswith("params."):
        body = _with_type(body, key)
    others = [f"x{number} = {draw(LITERALS)}{draw(COMMENT)}" for number in range(draw(st.integers(0, 2)))]
    above = "\n".join([draw(FILLER), *others])
    below = "\n".join([draw(FILLER), f"[[zz]]{draw(COMMENT)}", f"y = {draw(LITERALS)}"])
    return Case(
        toml=f"{above}\n{body}\n{below}",
        key=key,
        old=old,
        new=draw(GOOD_VALUES[key]),
        before=draw(st.sampled_from(["", "\ufeff", "#!/bin/x\n", "# coding: utf-8\n", "\n\n# hello\n"])),
        after=draw(st.sampled_from(["", "x = 1\n", "\udcff\udc80\x00\n# /// script\n", "\n# title = 'x'\n# ///\n"])),
        line_end=draw(st.sampled_from(["\n", "\r\n"])),
    )


def _with_type(body: str, key: str) -> str:
    """A param's table with a type that its default fits, where that can be added."""
    lines = body.split("\n")
    if len(lines) == 3 and lines[2].lstrip().startswith(key.rpartition(".")[2]):
        return f"{lines[0]}\ntype = 'int'\n{lines[2]}"
    return body


def document(data: bytes) -> Mapping[str, Any]:
    block = find_block(data.decode("utf-8", "replace"))
    return {} if block is None else tomllib.loads(block.text)


def toml_text(value: object) -> str:
    """The value as this test would write it: independent of the code under test, for what GOOD_VALUES has."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_text, value)) + "]"
    return repr(value)


def attempt(data: bytes, changes: Mapping[str, object]) -> bytes | str:
    """The changed file, or the sentence that refuses it."""
    try:
        return apply_changes(data, changes)
    except FrontmatterError as error:
        return str(error)


def is_readable(data: bytes) -> bool:
    try:
        document(data)
    except (FrontmatterError, ValueError):
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(cases())
def test_the_bytes_of_the_value_are_all_that_changes(case: Case) -> None:
    before = case.file(case.old)
    if not is_readable(before):
        return
    path = path_of(case.key)
    old = value_at(document(before), path)
    after = attempt(before, {case.key: case.new})
    if isinstance(after, str):
        assert "is a table" in after or case.key.startswith("params."), after
        return
    if type(old) is type(case.new) and old == case.new:
        assert after == before
    else:
        assert after == case.file(toml_text(case.new))
    assert value_at(document(after), path) == case.new


def test_most_cases_are_edited() -> None:
    """The property above says little if what it generates is mostly refused."""
    counts = {"edited": 0, "refused": 0, "unreadable": 0}

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(cases())
    def count(case: Case) -> None:
        before = case.file(case.old)
        if not is_readable(before):
            counts["unreadable"] += 1
            return
        after = attempt(before, {case.key: case.new})
        counts["refused" if isinstance(after, str) else "edited"] += 1

    count()
    assert counts["edited"] > 40, counts


KEYS = st.sampled_from(
    [*sorted(GOOD_VALUES), "params.hours.type", "params.hours.choices", "params.level.type", "limits.parallel"]
)
LINES = st.sampled_from(
    [
        *("[tool.gatewright]", "[tool]", "[tool.gatewright.params]", "[tool.gatewright.limits]", "[tool.ruff]"),
        *("[tool.gatewright.params.hours]", "[tool.gatewright.permissions]", "[[x]]"),
        *("title = 'a'", "kind = 'macro'", "tags = [\n 'a', # b\n]", "gatewright = {}"),
        "tool.gatewright.kind = 'utility'",
        *("gatewright = {title = 'x', limits = {timeout = 5}}", "gatewright.limits.timeout = 1"),
        *("params.hours.type = 'int'", "params.hours = {type = 'int', default = 1}", "params = {hours.help = 'x'}"),
        *("type = 'int'", "default = 24", "timeout = 60", "read = ['/a']", "# a comment", "", "line-length = 99"),
        *("dependencies = ['a']", "requires-python = '>=3.11'", "title = '''\n[tool.gatewright]\n'''  # c"),
    ]
)


def _expected(before: Mapping[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """The document with the changes, flat, in which an empty table is nothing."""
    flat = _flat(before)
    for key, value in changes.items():
        path = path_of(key, remove=value is None)
        flat = {at: found for at, found in flat.items() if at[: len(path)] != path}
        if value is not None:
            flat[path] = value
    return flat


def _flat(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        flat |= _flat(value, (*path, key)) if isinstance(value, dict) else {(*path, key): value}
    return flat


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=9), st.data(), st.sampled_from(["\n", "\r\n"]))
def test_any_change_of_any_block_is_made_exactly_or_refused(lines: list[str], data: st.DataObject, end: str) -> None:
    toml = "\n".join(lines).split("\n")
    rest = "x = 1\n# ///\n"
    before = ("# /// script\n" + "".join(f"# {line}\n" for line in toml) + "# ///\n" + rest).replace("\n", end).encode()
    if not is_readable(before):
        return
    keys = data.draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    changes = {key: data.draw(st.none() | GOOD_VALUES.get(key, st.sampled_from(["int", "str", 3]))) for key in keys}
    after = attempt(before, changes)
    if isinstance(after, str):
        assert after.isprintable()
        assert "cannot be changed from here" not in after
        return
    assert _flat(document(after)) == _expected(document(before), changes)
    assert after.endswith(rest.replace("\n", end).encode())
    assert after.startswith(b"# /// script")
    assert after.count(b"\n") == after.count(end.encode())
    assert apply_changes(after, changes) == after
    assert not {line for line in _comments(before) if line not in after}


def _comments(data: bytes) -> list[bytes]:
    return [line for line in data.splitlines() if line.startswith(b"# #")]


@settings(deadline=None)
@given(
    st.binary()
    | TEXTS.map(str.encode)
    | st.text("# /script\n\r=[]{}'\".ab1", max_size=60).map(lambda text: f"# /// script\n{text}".encode()),
    st.sampled_from([("kind", "macro"), ("title", "é"), ("limits.timeout", 3)]),
)
def test_any_file_is_edited_or_refused(data: bytes, change: tuple[str, object]) -> None:
    key, value = change
    after = attempt(data, {key: value})
    if isinstance(after, str):
        assert after.isprintable()
        return
    assert value_at(document(after), path_of(key)) == value
    assert parse(after.decode("utf-8", "replace")).problem is None
    assert value_at(document(apply_changes(after, {key: None})), path_of(key)) is None
