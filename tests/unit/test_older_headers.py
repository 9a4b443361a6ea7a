"""Headers of older tools become PEP 723 blocks when a script is imported; everything else stays."""

from __future__ import annotations

import ast
import time
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.frontmatter.legacy_headers import convert_header
from store.frontmatter.locate import FrontmatterError, find_block
from store.frontmatter.read import parse

HEADER = """\
id: 3f2a
title: "Night: \\"report\\""
kind: macro
entrypoint: render
enabled: no
tags: [night, 'a, b', "c"]   # a comment
version: 3.10
createdAt: 2024-05-01T12:30:45Z
timeout: 30
dependencies:
  - pandas>=2
  - numpy
# not kept
slug: night-report
empty:
"""
BLOCK = """\
# /// script
# dependencies = ["pandas>=2", "numpy"]
# [tool.gatewright]
# title = "Night: \\"report\\""
# kind = "macro"
# entrypoint = "render"
# enabled = false
# tags = ["night", "a, b", "c"]
# [tool.gatewright.imported]
# id = "3f2a"
# version = "3.10"
# createdAt = "2024-05-01T12:30:45Z"
# slug = "night-report"
# [tool.gatewright.limits]
# timeout = 30
# ///
"""


def commented(header: str = HEADER) -> str:
    return "# ---\n" + "".join(f"# {line}\n" for line in header.splitlines()) + "# ---\n"


def docstring(header: str = HEADER, rest: str = "", quotes: str = '"""') -> str:
    return f"{quotes}\n---\n{header}---\n{rest}{quotes}\n"


def converted(text: str) -> str:
    return convert_header(text.encode()).decode()


@pytest.mark.parametrize("start", ["", "\ufeff", "#!/usr/bin/python3\n", "#!/bin/x\n# coding: utf-8\n"])
@pytest.mark.parametrize(
    "header", [commented(), docstring(), docstring(quotes="'''"), docstring().replace("\n", "", 1)], ids=range(4)
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_header_becomes_a_block(start: str, header: str, line_end: str) -> None:
    before = f"{start}{header}\nimport x\n".replace("\n", line_end)
    after = f"{start}{BLOCK}\nimport x\n".replace("\n", line_end)
    assert converted(before) == after
    assert parse(after).problem is None
    assert converted(after) == after


def test_lines_before_a_commented_header_stay() -> None:
    header = commented("title: A\n")
    block = '# /// script\n# [tool.gatewright]\n# title = "A"\n# ///\n'
    assert converted(f"# Copyright\n\n{header}x = 1\n") == f"{block}\n# Copyright\n\nx = 1\n"
    assert converted(f"# Copyright\n{header}# more\nx = 1\n") == f"{block}\n# Copyright\n# more\nx = 1\n"


def test_a_docstring_keeps_what_else_it_says() -> None:
    before = docstring("title: A\n", "What it does.\n") + "x = 1\n"
    after = converted(before)
    assert after == '# /// script\n# [tool.gatewright]\n# title = "A"\n# ///\n\n"""\nWhat it does.\n"""\nx = 1\n'
    assert ast.get_docstring(ast.parse(after)) == "What it does."


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('"""\n---\ntitle: A\n---"""\nx = 1\n', "\nx = 1\n"),
        ('"""---\ntitle: A\n---\n"""', ""),
        ('r"""\n\n  ---\n  title: A\n  ---\n\n"""  \nx = 1\n', "\nx = 1\n"),
        ('"""\n---\ntitle: A\n---\n"""; x = 1\n', '\n"""\n"""; x = 1\n'),
        ('"""\n---\ntitle: A\n---\n""" # why\nx = 1\n', '\n"""\n""" # why\nx = 1\n'),
        ("'''\n---\ntitle: A\n---\n'''\n\n\nx = 1\n", "\n\nx = 1\n"),
    ],
)
def test_docstrings_of_every_form(text: str, rest: str) -> None:
    after = converted(text)
    assert after == f'# /// script\n# [tool.gatewright]\n# title = "A"\n# ///\n{rest}'
    ast.parse(after)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1\n",
        BLOCK + "x = 1\n",
        BLOCK + commented(),
        "# /// script\n# a = 1\n",
        "# ---\n# Setup\n# ---\nx = 1\n",
        "# ---\n# note: nothing\n# ---\nx = 1\n",
        "# ---\n# title: A\nx = 1\n# ---\n",
        "# ---\n# title: A\n",
        "# ---\n# title: A\n\n# ---\n",
        "# ------\n# title: A\n# ------\n",
        "x = 1\n" + commented(),
        "x = 1\n" + docstring(),
        '"""\nDoc.\n---\ntitle: A\n---\n"""\n',
        '"""\n---\ntitle: A\n"""\n',
        '"""\n---\ntitle: A\n---\n',
        '"""\n---\nSetup\n---\n"""\n',
        '"Doc."\n',
    ],
)
def test_what_is_no_header_stays_as_it_is(text: str) -> None:
    assert converted(text) == text


@pytest.mark.parametrize(
    ("lines", "toml"),
    [
        ("title: a: b # c\n", 'title = "a: b"'),
        ("title: a#b\n", 'title = "a#b"'),
        ("title: 'it''s'\n", 'title = "it\'s"'),
        ('title: "\\u00e9\\n x"\n', 'title = "é x"'),
        ("title: A\nenabled: TRUE\n", "enabled = true"),
        ("title: A\ntags: night,  logs\n", 'tags = ["night", "logs"]'),
        ("title: A\ntags: [night, logs,] # c\n", 'tags = ["night", "logs"]'),
        ("title: A\ntags: # c\n- night\n-\n- 'b'\n", 'tags = ["night", "b"]'),
        ("title: A\ntimeout: 1.5 s\n", "timeout = 1.5"),
        ("title: A\nrequires-python: '>=3.11'\n", 'requires-python = ">=3.11"'),
        ("title: A\nowners: [a, b]\n", 'owners = ["a", "b"]'),
        ("title: A\na.b: yes\n", '"a.b" = "yes"'),
        ("title: A\nmode: 0777\n", 'mode = "0777"'),
        ("Title: A\nKIND: Transform\n", 'kind = "Transform"'),
    ],
)
def test_values_are_texts_or_lists_of_texts(lines: str, toml: str) -> None:
    for form in (commented(lines), docstring(lines)):
        assert f"# {toml}\n" in converted(form)


@pytest.mark.parametrize("absent", ["entrypoint:", "entrypoint: ~", "tags: []", "enabled:", 'description: ""'])
def test_empty_values_are_left_out(absent: str) -> None:
    assert converted(commented(f"title: A\n{absent}\n")) == '# /// script\n# [tool.gatewright]\n# title = "A"\n# ///\n'


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("title: A\ntitle: B\n", "Line 2 of the older header cannot be read: it is there twice"),
        ("title: A\nwhat\n", "Line 2 of the older header cannot be read: it is not of the form"),
        ("title: A\n  nested: 1\n", "Line 2"),
        ("title: A\n- item\n", "Line 2"),
        ("title: &a A\n", '"&" begins something of YAML'),
        ("title: !!python/object:os.system A\n", '"!" begins something of YAML'),
        ("title: *a\n", '"*" begins something of YAML'),
        ("description: |\n  a\n", '"|" begins something of YAML'),
        ("title: {a: b}\n", '"{" begins something of YAML'),
        ("tags: [[a], b]\n", "its list does not end, or holds more than texts"),
        ("tags: [a, b\n", "its list does not end"),
        ("tags: [a] b]\n", "its list does not end"),
        ("title: 'a\n", "its quotes do not fit"),
        ('title: "a" b\n', "its quotes do not fit"),
        ('title: "\\x41"\n', "an escape in its text"),
        ("title: [a]\n", "title in the older header must be text, not a list"),
        ("title: A\nenabled: maybe\n", "enabled in the older header must be true or false"),
        ("title: A\ntimeout: soon\n", "timeout in the older header must be a number of seconds"),
        ("title: A\ntimeout: 0\n", "limits.timeout must be a number of seconds above 0"),
        ("title: A\nentrypoint: my-func\n", "entrypoint must be the name of a function"),
        ("title: A\ndependencies: a\nDependencies: b\n", "not valid TOML"),
        ("title: A\nx: " + "y" * 66_000 + "\n", "larger than 64 KiB"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(lines: str, reason: str) -> None:
    for form in (commented(lines), docstring(lines)):
        with pytest.raises(FrontmatterError) as caught:
            converted(form)
        assert reason in str(caught.value)
        assert str(caught.value).isprintable()


def test_other_encodings() -> None:
    with pytest.raises(FrontmatterError, match="not UTF-8"):
        convert_header("# coding: latin-1\n# ---\n# title: Größe\n# ---\n".encode("latin-1"))
    kept = convert_header(b"# coding: latin-1\n# ---\n# title: A\n# ---\nx = '\xe9\x00'\n")
    assert kept.endswith(b"\nx = '\xe9\x00'\n")


@pytest.mark.parametrize(
    "lines",
    [
        "tags: [a" + " " * 60_000 + "\n",
        "tags: [" + "a," * 30_000 + "\n",
        "title: '" + "''" * 30_000 + "\n",
        'title: "' + "\\\\" * 30_000 + "\n",
        "title: A\ntags:\n" + "- a\n" * 15_000,
        "title: A\n" + "".join(f"k{number}: v\n" for number in range(5_000)),
        "title: A" + " #" * 30_000 + "\n",
    ],
)
def test_no_header_takes_long(lines: str) -> None:
    begun = time.process_time()
    try:
        converted(docstring(lines))
    except FrontmatterError as error:
        assert str(error)  # noqa: PT017 - refused or read, both are right
    assert time.process_time() - begun < 2.0


PIECES = st.sampled_from(
    [
        *("# ---", "---", '"""', "'''", "title: A", "# title: A", "tags: [a, 'b']", "- x", "# - x", "x = 1", "", "#"),
        *("kind: macro", "# kind: macro", "enabled: yes", "# /// script", "# ///", "id: 7", "# id: \x1b[2J", "\ufeff"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map("\n".join) | st.text(max_size=80), st.sampled_from(["\n", "\r\n"]))
def test_any_text_is_converted_refused_or_left(text: str, line_end: str) -> None:
    before = text.replace("\n", line_end)
    try:
        after = converted(before)
    except FrontmatterError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    if after == before:
        return
    block = find_block(after)
    assert block is not None
    tomllib.loads(block.text)
    assert parse(after).problem is None
    assert converted(after) == after
    assert not {line for line in before.splitlines() if line == "x = 1" and line not in after.splitlines()}
