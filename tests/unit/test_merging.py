"""A three-way merge loses no change, makes none up, and leaves line ends alone."""

from __future__ import annotations

import subprocess
import tempfile
import tomllib
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tui.text import common_lines
from tui.text.merge import MINE_BEGINS, THEIRS_BEGINS, THEIRS_ENDS, Merged, marked_rows, merge
from tui.text.newlines import newline_of

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "  x = 1", "=======", "# ///"]), max_size=12)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
ANY_TEXT = st.text(st.sampled_from("ab\r\n\x0c\u2028"), max_size=30)


@given(ANY_TEXT, ANY_TEXT)
def test_a_change_of_one_side_alone_is_that_sides_text(base, changed):
    assert merge(base, changed, base) == Merged(changed, 0)


@given(TEXTS, TEXTS)
def test_theirs_alone_is_theirs(base, theirs):
    assert merge(base, base, theirs) == Merged(theirs, 0)


@given(TEXTS, TEXTS)
def test_equal_changes_count_once(base, changed):
    assert merge(base, changed, changed) == Merged(changed, 0)


@given(TEXTS, TEXTS, TEXTS)
def test_it_does_not_matter_whose_change_is_whose(base, mine, theirs):
    one, other = merge(base, mine, theirs), merge(base, theirs, mine)
    assert one.conflicts == other.conflicts
    if not one.conflicts:
        assert one.text == other.text
    else:
        assert sorted(one.text.split("\n")) == sorted(other.text.split("\n"))


@given(TEXTS, TEXTS, TEXTS, ENDS, ENDS, ENDS)
def test_line_ends_are_those_of_mine_and_change_nothing_else(base, mine, theirs, end, theirs_end, base_end):
    plain = merge(base, mine, theirs)
    mine, theirs, base = (
        text.replace("\n", newline) for text, newline in ((mine, end), (theirs, theirs_end), (base, base_end))
    )
    merged = merge(base, mine, theirs)
    wanted = end if end in mine else base_end if base_end in base else "\n"
    assert merged == Merged(plain.text.replace("\n", wanted), plain.conflicts)


@given(st.integers(0, 29), st.integers(0, 29), st.sampled_from(["change", "insert", "delete"]), st.booleans())
def test_edits_in_places_apart_are_both_there(mine_row, theirs_row, how, ended):
    if abs(mine_row - theirs_row) < 2:
        return
    end = "\n" if ended else ""
    base = [f"line {number}" for number in range(30)]
    mine, theirs = edited(base, mine_row, how, "MINE"), edited(base, theirs_row, how, "THEIRS")
    merged = merge("\n".join(base) + end, mine + end, theirs + end)
    first, second = sorted([(mine_row, "MINE"), (theirs_row, "THEIRS")], reverse=True)
    both = base.copy()
    for row, word in (first, second):
        both = edited(both, row, how, word).split("\n")
    assert merged == Merged("\n".join(both) + end, 0)


def edited(lines, row, how, word):
    lines = lines.copy()
    match how:
        case "change":
            lines[row] = word
        case "insert":
            lines.insert(row, word)
        case "delete":
            del lines[row]
    return "\n".join(lines)


@given(TEXTS, TEXTS, TEXTS)
def test_a_conflict_shows_every_line_of_both_sides(base, mine, theirs):
    merged = merge(base, mine, theirs)
    lines = merged.text.split("\n")
    assert lines.count(MINE_BEGINS) == lines.count(THEIRS_ENDS) == merged.conflicts
    kept = set(base.split("\n"))
    for text in (mine, theirs):
        for line in set(text.split("\n") if text else ()) - kept:
            assert line in lines


SIDES = st.lists(
    st.sampled_from(["kept", "kept", "kept", "own", "same", "gone", "own above", "same above"]), max_size=14
)


def changed_by(name, hows):
    """A text of which no two lines are equal, so that there is one way to match it with its base; it is never empty."""
    yield "first line"
    for row, how in enumerate(hows):
        word = name if how.startswith("own") else "both"
        if how.endswith("above"):
            yield f"{word} put in above {row}"
        if how in ("own", "same"):
            yield f"{word} made of {row}"
        elif how != "gone":
            yield f"line {row}"


def merged_by_git(base, mine, theirs):
    """git's merge without the lines of the base, and its number of conflicts."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("base", base), ("mine", mine), ("theirs", theirs)):
            Path(folder, name).write_text(text)
        labels = ["-L", "mine, unsaved", "-L", "base", "-L", "theirs, on disk"]
        command = ["git", "merge-file", "-q", "-p", "--diff3", *labels, "mine", "base", "theirs"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    lines, of_the_base = [], False
    for line in done.stdout.splitlines(keepends=True):
        of_the_base = (of_the_base or line == "||||||| base\n") and line != f"{THEIRS_BEGINS}\n"
        if not of_the_base:
            lines.append(line)
    return Merged("".join(lines), done.returncode)


@given(SIDES, SIDES)
def test_git_merges_alike(mine, theirs):
    count = max(len(mine), len(theirs))
    base, mine, theirs = (
        "".join(f"{line}\n" for line in changed_by(name, [*hows, *["kept"] * (count - len(hows))]))
        for name, hows in (("base", []), ("mine", mine), ("theirs", theirs))
    )
    assert merge(base, mine, theirs) == merged_by_git(base, mine, theirs)


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "conflicts"),
    [
        ("a\nb\nc\n", "A\nb\nc\n", "a\nB\nc\n", 1),
        ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", 0),
        ("a\nb\n", "a\nx\nb\n", "a\ny\nb\n", 1),
        ("a\nb\n", "a\nx\nb\n", "a\nx\nb\n", 0),
        ("a\nb\n", "a\nx\nb\n", "a\nx\ny\nb\n", 1),
        ("a\nb\n", "b\n", "a\nx\nb\n", 1),
        ("a\nb\nc\n", "b\nc\n", "a\nb\n", 0),
        ("", "x\n", "y\n", 1),
        ("a\nz\n", "z\n", "b\nz\n", 1),
        ("a\na\na\n", "a\na\n", "a\na\na\na\n", 1),
    ],
)
def test_changes_beside_each_other_conflict_and_equal_ones_do_not(base, mine, theirs, conflicts):
    merged = merge(base, mine, theirs)
    assert merged.conflicts == conflicts
    assert merged == merged_by_git(base, mine, theirs)


def test_both_changes_of_one_place_stand_between_marks():
    merged = merge("one\ntwo\nthree\n", "one\nmine\nthree\n", "one\ntheirs\nthree\n")
    assert merged.conflicts == 1
    assert merged.text == f"one\n{MINE_BEGINS}\nmine\n{THEIRS_BEGINS}\ntheirs\n{THEIRS_ENDS}\nthree\n"


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "both"),
    [
        ("a", "a\nb", "a\n", "a\nb\n"),
        ("a\n", "a\nb\n", "a", "a\nb"),
        ("a\nb\n", "", "a\nb\n", ""),
        ("a", "", "a\n", ""),
        ("", "a", "", "a"),
        ("a\r\nb", "x", "a\nb\nc", None),
    ],
)
def test_the_end_of_the_last_line_is_a_change_of_its_own(base, mine, theirs, both):
    merged = merge(base, mine, theirs)
    if both is None:
        assert newline_of(merged.text) == "\r\n"
    else:
        assert merged == Merged(both, 0)


def test_a_text_with_line_ends_of_several_kinds_keeps_each():
    base = "a\r\nb\nc\n"
    assert merge(base, "a\r\nb\nc\nmine\n", "THEIRS\r\nb\nc\n") == Merged("THEIRS\r\nb\nc\nmine\n", 0)


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        ([], []),
        (["=======", "x"], []),
        (["a", MINE_BEGINS, "=======", THEIRS_ENDS, MINE_BEGINS], [1, 4]),
        (["a", THEIRS_ENDS], [1]),
        ([f" {MINE_BEGINS}"], []),
    ],
)
def test_marks_that_stand_are_found(lines, rows):
    assert marked_rows(lines) == rows


def test_a_file_of_fifty_thousand_lines_merges():
    base = ["" if number % 3 else f"line {number}" for number in range(50_000)]
    mine, theirs = base.copy(), base.copy()
    mine[10], mine[49_010], theirs[49_000] = "mine", "", "theirs"
    theirs.insert(20, "")
    merged = merge("\n".join(base), "\n".join(mine), "\n".join(theirs))
    assert merged.conflicts == 0
    assert merged.text.count("mine") == merged.text.count("theirs") == 1


def test_what_is_too_long_to_compare_is_a_conflict_and_not_lost(monkeypatch):
    monkeypatch.setattr(common_lines, "COMPARED_LINES", 2)
    merged = merge("a\nb\nb\nc\n", "x\nb\nb\nz\n", "a\nB\nb\nc\n")
    assert merged.conflicts == 1
    assert set("xz") < set(merged.text.split("\n")) > {"B"}


@pytest.mark.parametrize("exact", [common_lines.EXACT_LINES, 1], ids=["short", "long"])
@given(a=LINES, b=LINES)
def test_matching_blocks_are_equal_runs_in_order(exact, a, b):
    with patch.object(common_lines, "EXACT_LINES", exact):
        blocks = common_lines.LineMatcher(None, a, b).get_matching_blocks()
    assert blocks[-1] == (len(a), len(b), 0)
    row_a = row_b = 0
    for place_a, place_b, size in blocks[:-1]:
        assert size
        assert place_a >= row_a
        assert place_b >= row_b
        assert a[place_a : place_a + size] == b[place_b : place_b + size]
        row_a, row_b = place_a + size, place_b + size


@given(TEXTS, TEXTS)
def test_long_texts_merge_as_short_ones_do(base, changed):
    with patch.object(common_lines, "EXACT_LINES", 1):
        assert merge(base, changed, base) == merge(base, base, changed) == Merged(changed, 0)


BLOCK = """# /// script
# dependencies = [
#   "pandas>=2",
# ]
# [tool.gatewright]
# title = "Digest"
# kind = "utility"
# tags = ["logs"]
# [tool.gatewright.limits]
# timeout = 60
# ///
import sys
"""


@pytest.mark.parametrize(
    ("mine", "theirs", "both"),
    [
        ({"Digest": "Mine"}, {"utility": "macro"}, {"Digest": "Mine", "utility": "macro"}),
        ({'# kind = "utility"\n': ""}, {"Digest": "Theirs"}, {'# kind = "utility"\n': "", "Digest": "Theirs"}),
        (
            {'# kind = "utility"\n': '# kind = "utility"\n# enabled = false\n'},
            {'# kind = "utility"\n': '# kind = "macro"\n# description = "theirs"\n'},
            {'# kind = "utility"\n': '# kind = "macro"\n# enabled = false\n# description = "theirs"\n'},
        ),
        (
            {"# timeout = 60\n": "# timeout = 60\n# memory = 5\n"},
            {"# timeout = 60\n": '# timeout = 9\n# [tool.gatewright.params.hours]\n# type = "int"\n'},
            {"# timeout = 60\n": '# timeout = 9\n# memory = 5\n# [tool.gatewright.params.hours]\n# type = "int"\n'},
        ),
        ({'#   "pandas>=2",\n': '#   "pandas>=3",\n'}, {"Digest": "T"}, {"pandas>=2": "pandas>=3", "Digest": "T"}),
    ],
)
def test_keys_of_the_frontmatter_beside_each_other_do_not_conflict(mine, theirs, both):
    mine, theirs, both = (with_words(changes) for changes in (mine, theirs, both))
    assert merge(BLOCK, mine, theirs) == Merged(both, 0)
    body = ("import sys\n", "import os\n")
    assert merge(BLOCK, mine.replace(*body), theirs) == Merged(both.replace(*body), 0)


def with_words(changes):
    text = BLOCK
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"Digest": "Mine"}, {"Digest": "Theirs"}),
        ({'# kind = "utility"\n': ""}, {"utility": "macro"}),
        ({'# kind = "utility"\n': "# x = 1\n# y = = 2\n"}, {"Digest": "T"}),
        ({'"logs"': '"mine"'}, {'"logs"': '"theirs"'}),
        ({"Digest": "Mine"}, {'# kind = "utility"\n': '# kind = """\n# a = 1\n# """\n'}),
    ],
)
def test_what_is_no_merge_by_keys_is_one_by_lines(mine, theirs):
    mine, theirs = with_words(mine), with_words(theirs)
    merged = merge(BLOCK, mine, theirs)
    assert merged.conflicts == 1
    assert set(mine.split("\n")) | set(theirs.split("\n")) <= set(merged.text.split("\n"))


@given(*[st.lists(st.sampled_from(BLOCK.splitlines()), max_size=9)] * 2)
def test_a_block_that_one_side_changed_is_that_sides(base, changed):
    base, changed = ("\n".join(["# /// script", *lines, "# ///", ""]) for lines in (base, changed))
    assert merge(base, changed, base) == merge(base, base, changed) == Merged(changed, 0)


VALUES = st.sampled_from(["1", "2", '"a"', "true"])
TABLES = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), VALUES, max_size=4)


@given(*[st.tuples(TABLES, TABLES)] * 3)
@example(
    ({"a": "2", "b": "1"}, {}),
    ({}, {"a": "2", "b": "1", "c": "1"}),
    ({"a": "2"}, {"a": "1", "b": "1", "c": "1"}),
)
def test_no_key_is_lost_or_made_up(base, mine, theirs):
    merged = merge(*(block_of(tables) for tables in (base, mine, theirs)))
    if merged.conflicts:
        return
    lines = merged.text.split("\n")
    split = lines.index("# [t]")
    for number, part in enumerate((lines[1:split], lines[split + 1 : lines.index("# ///")])):
        for key in "abcd":
            said = {f"# {key} = {side[number][key]}" if key in side[number] else None for side in (base, mine, theirs)}
            found = [line for line in part if line.startswith(f"# {key} ")] or [None]
            assert len(found) == 1
            assert found[0] in said
            if base[number].get(key) == mine[number].get(key):
                value = theirs[number].get(key)
                assert found[0] == (None if value is None else f"# {key} = {value}")


def block_of(tables):
    first, second = ([f"# {key} = {value}" for key, value in sorted(table.items())] for table in tables)
    return "\n".join(["# /// script", *first, "# [t]", *second, "# ///", ""])


MOVED = """# /// script
# a = 2
# b = 1
# [t]
# ///
"""


def test_lines_that_fit_and_say_a_key_twice_are_one_conflict():
    mine = MOVED.replace("# a = 2\n# b = 1\n# [t]\n", "# [t]\n# a = 2\n# b = 1\n# c = 1\n")
    theirs = MOVED.replace("# b = 1\n# [t]\n", "# [t]\n# a = 1\n# b = 1\n# c = 1\n")
    merged = merge(f"{MOVED}one\ntwo\nthree\n", f"{mine}one\ntwo\nmine\n", f"{theirs}theirs\ntwo\nthree\n")
    ours, others = (text.removeprefix("# /// script\n").removesuffix("# ///\n") for text in (mine, theirs))
    conflict = f"{MINE_BEGINS}\n{ours}{THEIRS_BEGINS}\n{others}{THEIRS_ENDS}\n"
    assert merged == Merged(f"# /// script\n{conflict}# ///\ntheirs\ntwo\nmine\n", 1)


def test_two_blocks_that_both_put_in_are_a_conflict():
    text = "#!/usr/bin/python3\n# about\n# it\nx = 1\n"
    block = "# /// script\n# a = 1\n# ///\n"
    mine, theirs = text.replace("# about\n", f"# about\n{block}"), text.replace("x = 1\n", f"{block}x = 1\n")
    merged = merge(text, mine, theirs)
    assert merged == Merged(f"{MINE_BEGINS}\n{mine}{THEIRS_BEGINS}\n{theirs}{THEIRS_ENDS}\n", 1)
    assert merge(text, mine, text) == Merged(mine, 0)


def test_a_block_further_down_is_merged_by_keys_as_the_reading_finds_it():
    text = '"""Log.\n# /// other\n# a = 0\n# ///\n"""\n# /// script\n# a = 1\n# b = 1\n# ///\n# not of it\nx = 1\n'
    mine, theirs = text.replace("# b = 1\n", "# b = 1\n# c = 2\n"), text.replace("# b = 1\n", "# b = 2\n")
    both = text.replace("# b = 1\n", "# b = 2\n# c = 2\n")
    assert merge(text, mine, theirs) == Merged(both, 0)


def test_a_block_that_both_moved_is_a_conflict():
    block = "# /// script\n# a = 1\n# ///\n"
    text = "one = 1\ntwo = 2\nthree = 3\n" + block + "four = 4\nfive = 5\nsix = 6\n"
    mine = "one = 1\n" + block + "two = 2\nthree = 3\nfour = 4\nfive = 5\nsix = 6\n"
    theirs = "one = 1\ntwo = 2\nthree = 3\nfour = 4\nfive = 5\n" + block + "six = 6\n"
    merged = merge(text, mine, theirs)
    assert merged.conflicts
    assert merge(text, mine, text) == Merged(mine, 0)


@given(*[st.tuples(TABLES, TABLES)] * 3, st.sampled_from(["mine", "theirs"]))
def test_a_settled_conflict_says_what_that_side_said(base, mine, theirs, side):
    blocks = {"mine": block_of(mine), "theirs": block_of(theirs)}
    merged = merge(block_of(base), blocks["mine"], blocks["theirs"])
    keeping, lines = None, []
    for line in merged.text.split("\n"):
        keeping = {MINE_BEGINS: "mine", THEIRS_BEGINS: "theirs", THEIRS_ENDS: None}.get(line, keeping)
        if keeping in (None, side) and line not in (MINE_BEGINS, THEIRS_BEGINS, THEIRS_ENDS):
            lines.append(line[2:])
    said = tomllib.loads("\n".join(lines[1:-2]))
    both = {"mine": mine, "theirs": theirs}
    for number, found in enumerate((said, said["t"])):
        for key in "abcd":
            old, chosen = base[number].get(key), both[side][number].get(key)
            other = both["theirs" if side == "mine" else "mine"][number].get(key)
            possible = {chosen, other} if chosen == old else {chosen}  # settled with its neighbours, or not
            assert (repr(found[key]) if key in found else None) in {value and repr(read(value)) for value in possible}


def read(value):
    return tomllib.loads(f"x = {value}")["x"]
