"""What the preview shows beside a text."""

from __future__ import annotations

import pytest

from engine.models.scripts import ParamInfo, ParamType
from tui.editing.preview import example_of, has_tag, macro_name
from tui.text.expanded_lines import ExpandedLine, Origin, expanded_lines

TEXT = "one\n[[a]] and [[b]]\ntwo\n[[c]]"
EXPANDED = "one\n<a>\nstill a</a> and <b>\ntwo\n<c>"


def test_lines_that_macros_made_stand_where_their_tags_did():
    assert expanded_lines(TEXT, EXPANDED, with_tags=False) == [
        ExpandedLine("one", Origin.OWN, 0),
        ExpandedLine("<a>", Origin.MADE, 1),
        ExpandedLine("still a</a> and <b>", Origin.MADE, 1),
        ExpandedLine("two", Origin.OWN, 2),
        ExpandedLine("<c>", Origin.MADE, 3),
    ]


def test_lines_with_tags_stand_above_what_became_of_them():
    shown = expanded_lines(TEXT, EXPANDED, with_tags=True)
    assert [(line.origin.value, line.row) for line in shown[1:4]] == [("tag", 1), ("made", 1), ("made", 1)]
    assert [line.row for line in shown] == sorted(line.row for line in shown)


@pytest.mark.parametrize(("text", "expanded"), [("", ""), ("[[a]]", ""), ("", "x\ny"), ("same\n", "same\n")])
def test_nothing_is_lost_of_what_macros_made(text, expanded):
    assert "\n".join(line.text for line in expanded_lines(text, expanded, with_tags=False)) == expanded


def test_how_a_macro_is_meant_in_a_text():
    name = macro_name("macros/Tag-Cloud.py")
    assert name == "tag_cloud"
    assert has_tag("x [[TAG-cloud width=3]]", name)
    assert has_tag("[[\n tag_cloud]]", name)
    assert not has_tag("[[tag_clouds]] tag_cloud", name)


def test_an_example_has_the_parameters_that_a_macro_needs():
    params = [
        ParamInfo(name="id", type=ParamType.STR),
        ParamInfo(name="columns", type=ParamType.INT, default=3, required=False),
        ParamInfo(name="state", type=ParamType.CHOICE, choices=["on", "off"]),
        ParamInfo(name="note", type=ParamType.STR, default='say "x"', required=False),
        ParamInfo(name="other", type=ParamType.STR, required=False),
    ]
    assert example_of("lamp", params) == '[[lamp id="text" columns=3 state="on" note="say \\"x\\""]]'
