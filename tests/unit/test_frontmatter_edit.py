"""Single keys of a script's frontmatter set and removed: the value is the new one, and no other byte has changed."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from default_scripts import bundle
from store.frontmatter.edit import apply_changes
from store.frontmatter.locate import FrontmatterError, find_block
from store.frontmatter.read import parse

FULL = """\
# /// script
# # what it needs
# requires-python = ">=3.11"   # as the gateway has it
# dependencies = [
#   "pandas>=2",  # for the pivot
# ]
# [tool.gatewright]
# title =   'Wrapper log digest'
# kind = "utility"            # utility | macro
# enabled = true
# tags = ["logs", "ignition"]
# colour = { name = "blue", "a.b" = [1979-05-27, nan] }
#
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# [tool.gatewright.limits]
# timeout = 60
# later = 'a key of a newer version'
# # the last word
# [tool.ruff]
# line-length = 99
# ///
import re
"""


def set_key(data, key, value):
    return apply_changes(data, {key: value})


def remove_key(data, key):
    return apply_changes(data, {key: None})


def script(*lines: str, rest: str = "import re\n") -> bytes:
    return ("# /// script\n" + "".join(f"# {line}\n" for line in lines) + "# ///\n" + rest).encode()


def document(data: bytes) -> Mapping[str, Any]:
    block = find_block(data.decode("utf-8", "replace"))
    assert block is not None
    return tomllib.loads(block.text)


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("kind", "macro", 'kind = "utility"  ', 'kind = "macro"  '),
        ("title", 'a "b" \\ ä', "'Wrapper log digest'", '"a \\"b\\" \\\\ ä"'),
        ("enabled", False, "enabled = true", "enabled = false"),
        ("tags", [], '["logs", "ignition"]', "[]"),
        ("tags", ["a", "b c"], '["logs", "ignition"]', '["a", "b c"]'),
        ("requires-python", ">=3.12", '">=3.11"   # as', '">=3.12"   # as'),
        ("dependencies", ["numpy"], '[\n#   "pandas>=2",  # for the pivot\n# ]', '["numpy"]'),
        ("limits.timeout", 1.5, "timeout = 60", "timeout = 1.5"),
        (
            "limits.memory",
            "1 GiB",
            "# later = 'a key of a newer version'\n",
            "# later = 'a key of a newer version'\n# memory = \"1 GiB\"\n",
        ),
        ("params.hours.default", 48, "default = 24", "default = 48"),
        ("params.hours.help", "look back", "default = 24\n", 'default = 24\n# help = "look back"\n'),
        ("description", "Errors", "nan] }\n", 'nan] }\n# description = "Errors"\n'),
        (
            "permissions.read",
            ["/var/log"],
            "# later = 'a key of a newer version'\n",
            "# later = 'a key of a newer version'\n# [tool.gatewright.permissions]\n# read = [\"/var/log\"]\n",
        ),
        (
            "params.log.type",
            "file",
            "# later = 'a key of a newer version'\n",
            "# later = 'a key of a newer version'\n# [tool.gatewright.params.log]\n# type = \"file\"\n",
        ),
    ],
)
@pytest.mark.parametrize(
    "start",
    [
        "",
        "\ufeff",
        "#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n",
        '"""Doc.\n\n# /// other\n# x = 1\n# ///\n"""\nimport re\n\nLIMIT = "# /// script"\n',
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_only_the_value_changes(key: str, value: object, old: str, new: str, start: str, line_end: str) -> None:
    before = (start + FULL).replace("\n", line_end)
    after = (start + FULL.replace(old, new)).replace("\n", line_end)
    assert before.count(old.replace("\n", line_end)) == 1
    assert set_key(before.encode(), key, value).decode() == after


@pytest.mark.parametrize(
    ("key", "gone"),
    [
        ("title", "# title =   'Wrapper log digest'\n"),
        ("kind", '# kind = "utility"            # utility | macro\n'),
        ("dependencies", '# dependencies = [\n#   "pandas>=2",  # for the pivot\n# ]\n'),
        ("params.hours.default", "# default = 24\n"),
        ("params.hours", '# [tool.gatewright.params.hours]\n# type = "int"\n# default = 24\n'),
        ("limits.timeout", "# timeout = 60\n"),
        ("description", ""),
        ("params.other", ""),
    ],
)
def test_a_removed_key_takes_its_lines_along_and_nothing_else(key: str, gone: str) -> None:
    assert remove_key(FULL.encode(), key).decode() == FULL.replace(gone, "")
    further_down = f"import re\n\n{FULL}"
    assert remove_key(further_down.encode(), key).decode() == further_down.replace(gone, "")


@pytest.mark.parametrize("key", ["title", "limits.timeout", "params.hours.default", "dependencies", "enabled"])
def test_the_same_value_changes_nothing(key: str) -> None:
    values = {
        "title": "Wrapper log digest",
        "limits.timeout": 60,
        "params.hours.default": 24,
        "dependencies": ["pandas>=2"],
        "enabled": True,
    }
    assert set_key(FULL.encode(), key, values[key]) == FULL.encode()


@pytest.mark.parametrize(
    ("before", "key", "value", "after"),
    [
        (
            ("tool.gatewright.title = 'a'", "x = 1"),
            "kind",
            "macro",
            ("tool.gatewright.title = 'a'", 'tool.gatewright.kind = "macro"', "x = 1"),
        ),
        (
            ("tool.gatewright.title = 'a'",),
            "limits.timeout",
            5,
            ("tool.gatewright.title = 'a'", "tool.gatewright.limits.timeout = 5"),
        ),
        (("[tool]", "gatewright = {}"), "kind", "macro", ("[tool]", 'gatewright = {kind = "macro"}')),
        (
            ("[tool]", "gatewright = { title = 'a' } # c"),
            "limits.timeout",
            5,
            ("[tool]", "gatewright = { title = 'a', limits.timeout = 5 } # c"),
        ),
        (
            ("tool = {gatewright = {limits = {timeout = 1}}}",),
            "limits.timeout",
            5,
            ("tool = {gatewright = {limits = {timeout = 5}}}",),
        ),
        (
            ("[tool.gatewright]", "params.a.type = 'int'", "title = 'b'"),
            "params.a.default",
            1,
            ("[tool.gatewright]", "params.a.type = 'int'", "params.a.default = 1", "title = 'b'"),
        ),
        (
            ("[tool.gatewright]", "params.a = {type = 'int'}"),
            "params.b.type",
            "str",
            ("[tool.gatewright]", "params.a = {type = 'int'}", 'params.b.type = "str"'),
        ),
        (
            ("[tool.gatewright.limits]", "timeout = 1", "[tool.x]", "y = 1"),
            "kind",
            "macro",
            ("[tool.gatewright.limits]", "timeout = 1", "[tool.gatewright]", 'kind = "macro"', "[tool.x]", "y = 1"),
        ),
        (("# hello", "[tool.gatewright]"), "dependencies", [], ("dependencies = []", "# hello", "[tool.gatewright]")),
        (
            ("a = 1 # one", "[tool.gatewright]"),
            "requires-python",
            ">=3.11",
            ("a = 1 # one", 'requires-python = ">=3.11"', "[tool.gatewright]"),
        ),
        (
            ("['tool' . \"gate\\u0077right\"]", "'title'='a'"),
            "title",
            "b",
            ("['tool' . \"gate\\u0077right\"]", "'title'=\"b\""),
        ),
        (
            ("[tool.gatewright]", 'title = """a', 'b"""  # c', "x = '''", "title = 'no'", "'''"),
            "title",
            "b",
            ("[tool.gatewright]", 'title = "b"  # c', "x = '''", "title = 'no'", "'''"),
        ),
        (
            ("[tool.gatewright.params.größe]".replace("größe", '"größe"'),),
            "params.größe.type",
            "int",
            ('[tool.gatewright.params."größe"]', 'type = "int"'),
        ),
        (
            ("[tool.gatewright]",),
            "params.größe.type",
            "int",
            ("[tool.gatewright]", '[tool.gatewright.params."größe"]', 'type = "int"'),
        ),
        (
            ("[[tool.x]]", "a = 1", "[[tool.x]]", "[tool.x.y]"),
            "kind",
            "macro",
            ("[[tool.x]]", "a = 1", "[[tool.x]]", "[tool.x.y]", "[tool.gatewright]", 'kind = "macro"'),
        ),
        (
            ("d = 1979-05-27 07:32:00", "t = [[1, 2], {a = 'x]'}, ] # ]", "[tool.gatewright]", "kind = 'utility'"),
            "kind",
            "macro",
            ("d = 1979-05-27 07:32:00", "t = [[1, 2], {a = 'x]'}, ] # ]", "[tool.gatewright]", 'kind = "macro"'),
        ),
    ],
)
def test_every_way_to_write_a_table_can_be_changed(
    before: tuple[str, ...], key: str, value: object, after: tuple[str, ...]
) -> None:
    assert set_key(script(*before), key, value).decode() == script(*after).decode()


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ("params = {a = {type = 'int'}, b = {}}", "params.a", "params = {b = {}}"),
        ("params = {a = {type = 'int'}, b = {}}", "params.b", "params = {a = {type = 'int'}}"),
        ("params = {a = {type = 'int'}}", "params.a", "params = {}"),
        ("params = {a.type = 'int', b.type = 'str', a.help = 'x' }", "params.a", "params = {b.type = 'str' }"),
        (
            "params.a = {type = 'int', help = 'x', default = 3}",
            "params.a.help",
            "params.a = {type = 'int', default = 3}",
        ),
        ("params.a = { help = 'x' }", "params.a.help", "params.a = {  }"),
    ],
)
def test_keys_of_inline_tables_take_one_comma_along(before: str, key: str, after: str) -> None:
    changed = remove_key(script("[tool.gatewright]", before), key)
    assert changed.decode() == script("[tool.gatewright]", after).decode()


def test_a_table_in_the_place_of_a_value_is_refused_but_can_be_removed() -> None:
    data = script("[tool.gatewright]", "[tool.gatewright.title]", "a = 1", "[[tool.gatewright.tags]]", "b = 1")
    for key, value in (("title", "x"), ("tags", ["x"])):
        with pytest.raises(FrontmatterError, match=f"{key} is a table in this script; remove it first"):
            set_key(data, key, value)
    assert apply_changes(data, {"title": None, "tags": None}) == script("[tool.gatewright]")


BLOCK = '# /// script\n# [tool.gatewright]\n# kind = "macro"\n# ///\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", BLOCK),
        ("x = 1\n", f"{BLOCK}\nx = 1\n"),
        ("\nx = 1\n", f"{BLOCK}\nx = 1\n"),
        ("x = 1", f"{BLOCK}\nx = 1"),
        ('"""Doc."""\n', f'{BLOCK}\n"""Doc."""\n'),
        ("\ufeffx = 1\n", f"\ufeff{BLOCK}\nx = 1\n"),
        ("# a comment\n# /// other\n# a = 1\n# ///\n", f"{BLOCK}\n# a comment\n# /// other\n# a = 1\n# ///\n"),
        ("#!/usr/bin/python3\nx = 1\n", f"#!/usr/bin/python3\n{BLOCK}\nx = 1\n"),
        ("#!/usr/bin/python3", f"#!/usr/bin/python3\n{BLOCK}"),
        ("# coding: utf-8\nx = 1\n", f"# coding: utf-8\n{BLOCK}\nx = 1\n"),
        ("# me\n# vim: set fileencoding=utf-8 :\nx\n", f"# me\n# vim: set fileencoding=utf-8 :\n{BLOCK}\nx\n"),
        ("#!/bin/x\n# -*- coding: utf-8 -*-\n\nx\n", f"#!/bin/x\n# -*- coding: utf-8 -*-\n{BLOCK}\nx\n"),
        ("x = 1\n# coding: utf-8\n", f"{BLOCK}\nx = 1\n# coding: utf-8\n"),
        ("\ufeff#!/bin/x\nx\n", f"\ufeff#!/bin/x\n{BLOCK}\nx\n"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_script_without_a_block_gets_one_in_the_right_place(before: str, after: str, line_end: str) -> None:
    line_end = line_end if "\n" in before else "\n"
    given, wanted = (text.replace("\n", line_end).encode() for text in (before, after))
    assert set_key(given, "kind", "macro") == wanted
    assert remove_key(given, "kind") == given


def test_bytes_outside_are_nobody_s_business() -> None:
    rest = b"x = '\xff\x00\xe9'\r\n\x0c\xe2\x80\xa8 # /// script no\n"
    changed = set_key(script("[tool.gatewright]", rest="") + rest, "title", "new")
    assert changed == script("[tool.gatewright]", 'title = "new"', rest="") + rest


@pytest.mark.parametrize("name", sorted(name for name in bundle() if name.endswith(".py")))
def test_of_a_bundled_script_one_line_changes(name: str) -> None:
    before = bundle()[name]
    was, new = (b"macro", b"utility") if name.startswith("scripts/macros/") else (b"utility", b"macro")
    after = set_key(before, "kind", new.decode())
    changed = [pair for pair in zip(before.split(b"\n"), after.split(b"\n"), strict=True) if pair[0] != pair[1]]
    assert changed == [(b'# kind = "%s"' % was, b'# kind = "%s"' % new)]


def test_mixed_line_ends_stay_mixed() -> None:
    data = b"# /// script\r\n# [tool.gatewright]\n# title = 'a'\r\r\n# kind = 'utility'\r\n# ///\nx\r\n"
    assert set_key(data, "title", "b") == data.replace(b"'a'", b'"b"')
    more = set_key(data, "enabled", True)
    assert more == data.replace(b"'utility'\r\n", b"'utility'\r\n# enabled = true\r\n")


def test_a_file_in_another_encoding_gets_ascii() -> None:
    data = b"# coding: latin-1\n# /// script\n# [tool.gatewright]\n# ///\n# \xe4\n"
    changed = set_key(data, "title", "Größe 𝄞")
    assert b'# title = "Gr\\u00F6\\u00DFe \\U0001D11E"\n' in changed
    assert parse(changed.decode("latin-1")).title == "Größe 𝄞"


def test_several_keys_go_together_or_not_at_all() -> None:
    data = script("[tool.gatewright]")
    changes = {"params.level.type": "choice", "params.level.choices": ["a"], "params.level.default": "a"}
    front = parse(apply_changes(data, changes).decode())
    assert front.problem is None
    assert front.params[0].choices == ("a",)
    with pytest.raises(FrontmatterError, match=r"params\.level\.default does not fit"):
        apply_changes(data, changes | {"params.level.default": "b"})
    with pytest.raises(FrontmatterError, match=r"params\.level\.choices must list"):
        set_key(data, "params.level.type", "choice")
    replaced = apply_changes(apply_changes(data, changes), {"params.level": None, "params.level.type": "int"})
    assert replaced == script("[tool.gatewright]", "[tool.gatewright.params.level]", 'type = "int"')


def test_what_is_wrong_elsewhere_does_not_stand_in_the_way() -> None:
    data = script("[tool.gatewright]", "kind = 3", "tags = 'x'")
    assert parse(set_key(data, "kind", "macro").decode()).kind == "macro"
    front = parse(apply_changes(data, {"kind": "macro", "tags": ["x"]}).decode())
    assert front.problem is None
    assert remove_key(data, "tags") == script("[tool.gatewright]", "kind = 3")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("titel", "x", 'no key "titel"; did you mean title?'),
        ("", "x", "no key"),
        ("\x1b[2J" * 100, "x", "no key"),
        ("limits", 3, "no key"),
        ("limits.speed", 3, "no key"),
        ("tool.gatewright.title", "x", "no key"),
        ("params", 3, "no key"),
        ("params.hours", 3, "whole param; set params.hours.type"),
        ("params.hours.kind", 3, "A param has no key"),
        ("params.no name.type", "int", "cannot be the name of a param"),
        ("params.for.type", "int", "cannot be the name of a param"),
        ("title", 3, "title must be text, not a number"),
        ("title", "a\nb", "title must be one line"),
        ("title", "a\x00b", "title must be one line"),
        ("title", " a", "title must be one line"),
        ("title", "a" * 201, "at most 200 characters"),
        ("title", "\ud800", "lone surrogate"),
        ("title", {"a": 1}, "title must be text, a number"),
        ("title", b"x", "title must be text, a number"),
        ("description", "a\x1b[2J", "description must be one line"),
        ("description", "a" * 2_001, "at most 2,000 characters"),
        ("kind", "transform", "kind must be utility or macro"),
        ("kind", "", "kind must be utility or macro"),
        ("entrypoint", "a.b", "entrypoint must be the name of a function"),
        ("enabled", 1, "enabled must be true or false"),
        ("enabled", "true", "enabled must be true or false"),
        ("tags", "logs", "tags must be a list"),
        ("tags", [1], "tags must be a list of texts"),
        ("tags", [["a"]], "list of plain values"),
        ("tags", ["a\n"], "tags must be one line"),
        ("tags", ["a"] * 101, "more than 100"),
        ("dependencies", ["a\x00"], "dependencies must be one line"),
        ("limits.timeout", 0, "limits.timeout must be"),
        ("limits.timeout", float("nan"), "fits into 64 bits"),
        ("limits.timeout", float("inf"), "fits into 64 bits"),
        ("limits.memory", 1 << 63, "fits into 64 bits"),
        ("limits.memory", "much", "limits.memory must be a size"),
        ("limits.open_files", 3, "at least 16"),
        ("limits.output_stop", "yes", "output_stop must be true or false"),
        ("leave_processes", 1, "leave_processes must be true or false"),
        ("params.n.type", "integer", "must be one of"),
        ("params.hours.type", "str", "params.hours.default does not fit"),
        ("params.hours.default", "x", "params.hours.default does not fit"),
        ("params.hours.default", 1 << 64, "fits into 64 bits"),
        ("params.hours.required", "yes", "required must be true or false"),
        ("permissions.read", "/", "permissions.read must be a list of paths"),
        ("permissions.read", [1], "permissions.read must be a list of paths"),
        ("permissions.connect", ["a"], "no key"),
    ],
)
def test_a_wrong_value_is_refused_with_one_sentence(key: str, value: object, reason: str) -> None:
    with pytest.raises(FrontmatterError) as caught:
        set_key(FULL.encode(), key, value)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (script("a ="), "not valid TOML"),
        (script("a = 1", "a = 2"), "not valid TOML"),
        (script("[tool.gatewright]", "title = 'a'", "title = 'b'"), "not valid TOML"),
        (script('a = "\x00"'), "not valid TOML"),
        (script("[tool]", "gatewright = 3"), "[tool.gatewright] must be a table, not a number"),
        (script("tool = 1979-05-27"), "[tool] must be a table, not a date"),
        (script("[[tool.gatewright]]"), "[tool.gatewright] must be a table, not a list"),
        (script(f"a = {'9' * 5000}"), "number in the header is too large"),
        (script(f"a = {'[' * 30_000}"), "nested too deeply"),
        (script(f"{'a.' * 30_000}b = 1"), "nested too deeply"),
        (script(f"x = '{'x' * (1 << 20)}'"), "larger than 64 KiB"),
        (b"# /// script\n# a = 1\nimport x\n", "no closing line"),
        (b"# /// script\n# a = '\xff'\n# ///\n", "not UTF-8"),
        (b"import x\n" + script("a = 1") + b"x\n" + script("b = 2"), "two headers"),
    ],
)
def test_a_malformed_block_is_refused_with_its_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(FrontmatterError) as caught:
        set_key(data, "title", "x")
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_block_may_not_grow_too_large() -> None:
    data = script("[tool.gatewright]", f"x = '{'x' * 65_000}'")
    with pytest.raises(FrontmatterError, match="larger than 64 KiB"):
        set_key(data, "description", "d" * 1_000)


def test_too_many_params_are_refused() -> None:
    data = script(*(f"[tool.gatewright.params.p{number}]" for number in range(100)))
    assert set_key(data, "params.p0.type", "int") != data
    with pytest.raises(FrontmatterError, match="more than 100 params"):
        set_key(data, "params.more.type", "int")


@pytest.mark.parametrize(
    "line",
    [
        "x = [" + "1.5, " * 12_000 + "]",
        'x = "' + "\\\\" * 30_000 + '"',
        "x = '''" + "'x" * 30_000 + "'''",
        "x = {" + ", ".join(f"a{number} = 1" for number in range(5_000)) + "}",
        "\n".join(f"# [a{number}.b.c.d.e.f.g.h]" for number in range(2_000))[2:],
        "\n".join("# ".ljust(20) + f'"\\u0061{number}" = 1' for number in range(1_900))[2:],
        "x = 0x" + "f" * 60_000,
        "x = 1" + "\n#" * 20_000,
        "x = " + "[" * 200 + "]" * 200,
    ],
    ids=["floats", "escapes", "quotes", "inline", "tables", "escaped-keys", "digits", "comments", "brackets"],
)
def test_no_block_takes_long(line: str) -> None:
    data = script(line)
    begun = time.process_time()
    set_key(data, "title", "x")
    assert time.process_time() - begun < 2.0


def test_removing_a_param_of_thousands_of_keys_does_not_take_long() -> None:
    data = script("[tool.gatewright]", "params = {" + ", ".join(f"a.x{n} = 1, b.y{n} = 1" for n in range(2_000)) + "}")
    begun = time.process_time()
    assert document(remove_key(data, "params.a"))["tool"]["gatewright"]["params"].keys() == {"b"}
    assert time.process_time() - begun < 2.0
