"""Tab and Enter follow the indentation that the text has, and brackets that are open."""

from __future__ import annotations

import pytest
from test_editor import editing

from tui.widgets.editor.blocks import in_bracket, step_of

TABS = "def f(x):\n\tif x:\n\t\treturn 1\n\treturn 0\nprint(f(1))\n"
TWO = "def f(x):\n  if x:\n    return {\n            'far': 1,\n    }\n  return 0\n"


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("", "    "),
        ("x = 1\n", "    "),
        (TABS, "\t"),
        (TWO, "  "),
        ("if x:\n   y\n", "   "),
        ("if x:\n\ty\nif z:\n    a\n    b\n", "    "),
        ("x = f(1,\n      2)\n", "    "),
        ("# a\n#\tb\n\n\t\n", "    "),
        ("class A:\n        x = 1\n", " " * 8),
    ],
)
def test_the_step_is_the_texts_own(text, step):
    assert step_of(text.split("\n")) == step


@pytest.mark.parametrize(
    ("before", "is_open"),
    [
        ("return [1,", True),
        ("return [1]", False),
        ("f(a, (b),", True),
        ("x = '('", False),
        ('x = """(\n[', False),
        ('x = """(\n["""\ny = {', True),
        ("# (", False),
        ("x = (  # )", True),
        ("x = '\\'(' + (", True),
        ("foo(\n    bar,\n    baz", True),
        ("foo(\n    bar)\nbaz", False),
        ("broken = ((\ndef f():\n    return 1", False),
        (")\nx", False),
    ],
)
def test_open_brackets_are_found(before, is_open):
    lines = before.split("\n")
    assert in_bracket(lines, len(lines) - 1, len(lines[-1])) is is_open


@pytest.mark.parametrize("fast", [True, False])
async def test_tab_and_enter_in_a_file_with_tabs(fast):
    async with editing(TABS, fast=fast) as (editor, pilot):
        await pilot.press("down", "down", "end", "enter", "tab", *"z=3")
        assert editor.document[3] == "\t\tz=3"
        await pilot.press("ctrl+end", *"def g():", "enter", *"pass", "enter", *"x", "shift+up", "shift+up", "tab")
        assert editor.text == TABS.replace("return 1\n", "return 1\n\t\tz=3\n") + "\tdef g():\n\t\tpass\n\tx"
        await pilot.press("shift+tab", "shift+tab")
        assert editor.text.endswith("def g():\npass\nx")


async def test_tab_goes_to_the_next_step_of_a_file_with_spaces():
    async with editing(TWO) as (editor, pilot):
        await pilot.press("ctrl+end", "tab", *"x", "tab", *"y")
        assert editor.document[6] == "  x y"
        await pilot.press("enter", "enter", *"if a:", "enter", *"b")
        assert editor.document[8:] == ["  if a:", "    b"]


async def test_enter_within_brackets_keeps_the_indentation():
    async with editing("def f():\n    return [1,") as (editor, pilot):
        await pilot.press("ctrl+end", "enter", *"2]", "enter", *"x")
        assert editor.document[2:] == ["    2]", "    x"]
        await pilot.press("enter", *"if (a and", "enter", *"b):", "enter", *"pass", "enter", *"y")
        assert editor.document[4:] == ["    if (a and", "    b):", "        pass", "    y"]
