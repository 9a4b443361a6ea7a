"""The difference of two texts: right, harmless and in bounded time."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.text_diff import CARRIAGE_RETURN, MAX_LINES, MAX_SIZE, UNENDED, unified

LINES = ("a", "b", "c", "", "-x", "+y", "@@ -1,1 +1,1 @@", "\x0c\r", "\r", "c\rd", "\u2028")
TEXTS = st.lists(st.sampled_from(LINES), max_size=30)


def patched(old: str, difference: str) -> str:
    """What patch(1) makes of ``old``."""
    before = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", old)
    ends = {"\0": "", "\1": "\r"}
    made: list[str] = []
    place = 0
    marked = difference.replace(UNENDED, "\0").replace(CARRIAGE_RETURN, "\1")
    for line in marked.split("\n")[2:] if difference else []:
        text = line[1:].rstrip("\0\1") + ends.get(line[-1], "\n")
        if heading := re.fullmatch(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@", line):
            start = int(heading[1]) - (int(heading[2]) > 0)
            made += before[place:start]
            place = start
            assert len(made) == int(heading[3]) - (int(heading[4]) > 0)
        elif line[0] == "+":
            made.append(text)
        else:
            assert before[place] == text
            made += [text] if line[0] == " " else []
            place += 1
    return "".join(made + before[place:])


@given(TEXTS, TEXTS, st.booleans(), st.booleans())
def test_it_leads_from_one_text_to_the_other(one: list[str], other: list[str], ended: bool, also: bool) -> None:
    old = "\n".join(one) + ("\n" if ended else "")
    new = "\n".join(other) + ("\n" if also else "")
    assert patched(old, unified(old, new, "old", "new")) == new


@given(TEXTS, st.integers(0, 30), TEXTS)
def test_a_change_in_the_middle(text: list[str], at: int, added: list[str]) -> None:
    old = "\n".join(text * 3)
    new = "\n".join([*text, *text[:at], *added, *text[at:], *text])
    assert patched(old, unified(old, new, "old", "new")) == new


def test_it_looks_as_people_know_it() -> None:
    old = "".join(f"{number}\n" for number in range(10))
    assert unified(old, old.replace("5\n", "five\n"), "approved", "x.py") == (
        "--- approved\n+++ x.py\n@@ -3,7 +3,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8"
    )
    assert unified("", "a\nb", "/dev/null", "x.py") == (
        "--- /dev/null\n+++ x.py\n@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file"
    )
    assert unified(old, old, "a", "b") == ""


def test_a_carriage_return_hides_no_code_behind_a_comment() -> None:
    assert unified("# a\n", "# a\rimport b\n", "old", "new").split("\n")[3:] == [
        "-# a", "+# a", "\\ A carriage return ends this line", "+import b",
    ]  # fmt: skip
    assert unified("a\r\n", "a\n", "old", "new").split("\n")[3:] == ["-a\r", "+a"]


@pytest.mark.slow
def test_what_takes_difflib_minutes_takes_seconds_at_most() -> None:
    chance = random.Random(5)
    equal = "\n" * (1 << 20)
    few = "".join(f"{chance.choice('abcdef')}\n" for _ in range(1 << 19))
    hostile = [
        (equal, "x" + equal[2:] + "y"),
        (few, few[::-1]),
        ("".join(f"{n}\n" for n in range(MAX_LINES)), "".join(f"{n if n % 2 else -n}\n" for n in range(MAX_LINES))),
        ("a" * (1 << 20), "b" * (1 << 20)),
        ("", "x\n" * (1 << 19)),
    ]
    for old, new in hostile:
        started = time.perf_counter()
        difference = unified(old, new, "old", "new")
        assert time.perf_counter() - started < 10
        assert len(difference) < MAX_SIZE + 200


def test_what_was_cut_is_said() -> None:
    difference = unified("", "x" * (MAX_SIZE + 1000), "old", "new")
    assert re.search(r"and 1,\d\d\d characters more, not shown here", difference.rpartition("\n")[2])
