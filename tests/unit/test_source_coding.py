"""A declared encoding never makes another text run than the one that is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.files.script_text import read_script
from store.frontmatter.coding import Coding, coding_problem, declared_coding, foreign_coding

BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("data", "name", "line"),
    [
        (b"# coding: utf-7\n", "utf-7", 1),
        (b"#!/usr/bin/python3\n# -*- coding: unicode_escape -*-\n", "unicode_escape", 2),
        (b"# vim: set fileencoding=cp1252 :\n", "cp1252", 1),
        (b" \t\x0c# coding=raw_unicode_escape", "raw_unicode_escape", 1),
        (b"\n# coding: latin-1\n", "latin-1", 2),
        (b"\x0c\n# coding: latin-1\n", "latin-1", 2),
        (b"#!\r# coding: utf-7\rx = 1\r", "utf-7", 2),
        (b"#!\r\n# coding: utf-7\r\n", "utf-7", 2),
        (b"# xcoding :coding=rot13", "rot13", 1),
        (b"# coding: ascii\n", "ascii", 1),
        (b"# coding: utf-7-x\n", "utf-7-x", 1),
        (b"# coding: utf\n", "utf", 1),
        (BOM + b"# coding: utf8\n", "utf8", 1),
        (BOM + b"# coding: utf-7\n", "utf-7", 1),
    ],
)
def test_another_encoding_than_utf_8_is_a_problem(data, name, line):
    assert foreign_coding(data) == Coding(name, line)
    problem = coding_problem(data)
    assert problem == (
        f"It declares the encoding {name} in line {line}, but scripts are UTF-8: take that declaration out."
    )
    assert read_script(data, "a.py")[1].problem == problem


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x = 1\n# coding: utf-7\n",
        b"\n\n# coding: utf-7\n",
        b"#\r\r# coding: utf-7\n",
        b"# coding : utf-7\n",
        b"# coding:\n# utf-7",
        b"'''\n# coding: utf-7\n'''",
        b"\\\n# coding: utf-7\n",
        b"# coding: utf-8\n",
        b"# -*- coding: UTF_8 -*-\n",
        b"# coding: utf8\n",
        b"# coding: utf-8-sig\n",
        b"# -*- coding: utf-8-unix -*-\n",
        BOM,
        BOM + b"# coding: utf-8\n",
        BOM + b"# coding: utf-8-sig\n",
    ],
)
def test_utf_8_by_any_of_its_names_is_none(data):
    assert foreign_coding(data) is None
    assert read_script(data, "a.py")[1].problem is None


def test_what_is_in_another_encoding_is_to_be_converted():
    data = "# coding: latin-1\nx = 'ä'\n".encode("latin-1")
    assert "convert it, for example with iconv" in (coding_problem(data) or "")


def test_a_long_name_does_not_fill_the_sentence():
    assert len(coding_problem(b"# coding: " + b"x" * 100_000) or "") < 200


PIECES = st.sampled_from(
    [
        b"#", b"# ", b"coding", b":", b"=", b" ", b"\t", b"\x0c", b"\x0b", b"\n", b"\r", b"\r\n", b"utf-8", b"utf8",
        b"UTF_8", b"utf-7", b"latin-1", b"utf-8-sig", b"cp65001", b"u8", b"x=1",
        b"+ADs-result=1", b"\\x0aresult=1", b"\\u000aresult=1",
        b"'''", b'"', b"\\\n", b"\xc3\xa4", b"\xef\xbb\xbf", b"# coding: ", b"-*-",
    ]
)  # fmt: skip


@given(st.sampled_from([b"", BOM]), st.lists(PIECES, max_size=12))
def test_what_has_no_such_problem_is_read_by_python_as_utf_8(bom, pieces):
    """By the tokenizer itself: of bytes it obeys a declaration, of text it does not."""
    data = bom + b"".join(pieces)
    if coding_problem(data) is None:
        assert compiled(data) == compiled(data.decode().removeprefix("\ufeff"))


def compiled(source):
    try:
        code = compile(source, "x", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return "broken"
    return code.co_code, code.co_consts, code.co_names


def test_the_first_two_lines_are_found_in_a_line_that_never_ends():
    data = b"# coding " * 200_000
    assert declared_coding(data) is None
    assert declared_coding(b"\n" + data) is None
