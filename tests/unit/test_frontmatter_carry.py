"""A text that came without its header gets it back, and what a header says to people can be set."""

from __future__ import annotations

import pytest

from store.frontmatter.block import with_header_of
from store.frontmatter.edit import apply_changes
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import parse

HEADER = b'# /// script\n# [tool.gatewright]\n#\n# title = "A"\n# tags = ["x"]\n# ///\n'


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (b"x = 1\n", HEADER + b"\nx = 1\n"),
        (b"", HEADER),
        (b"# a comment\n", HEADER + b"\n# a comment\n"),
        (b"#!/bin/python\nx = 1\n", b"#!/bin/python\n" + HEADER + b"\nx = 1\n"),
        (b"x = 1\r\ny = 2\r\n", HEADER.replace(b"\n", b"\r\n") + b"\r\nx = 1\r\ny = 2\r\n"),
        (b"\xef\xbb\xbfx = 1\n", b"\xef\xbb\xbf" + HEADER + b"\nx = 1\n"),
        (b"x = 1", HEADER + b"\nx = 1"),
    ],
)
def test_a_text_without_a_header_gets_the_one_that_was_there_byte_by_byte(text: bytes, whole: bytes) -> None:
    assert with_header_of(text, HEADER + b"\nold = 1\n") == whole
    assert parse(whole.decode()).title == "A"
    assert with_header_of(whole, HEADER.replace(b'"A"', b'"B"')) == whole
    assert with_header_of(text, b"old = 1\n") == text


def test_author_and_version_are_set_and_removed_and_no_key_of_a_header_is_said_to_be_unknown() -> None:
    data = apply_changes(HEADER + b"\nx = 1\n", {"author": "Ann \u00c4", "version": "1.2"})
    assert b'# author = "Ann \xc3\x84"\n# version = "1.2"\n' in data
    front = parse(data.decode())
    assert (front.unknown, front.problem) == ((), None)
    assert apply_changes(data, {"author": None, "version": None}) == HEADER + b"\nx = 1\n"
    for value in (3, ["a"], "two\nlines", "x" * 201):
        with pytest.raises(FrontmatterError, match="author must be"):
            apply_changes(data, {"author": value})
