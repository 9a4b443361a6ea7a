"""What a form's parameters mean as changes of keys, and that the form has every key that can be set."""

from __future__ import annotations

from store.frontmatter.edit import apply_changes
from store.frontmatter.keys import KEYS, written
from store.frontmatter.read import document_of
from tui.screens.frontmatter.fields import (
    ITSELF,
    LIMITS,
    OF_PARAM,
    PERMISSIONS,
    ParamDraft,
    drafts_of,
    is_changed,
    param_changes,
    with_typed,
)

BEFORE = {
    "title": "x",
    "params.hours.type": "int",
    "params.hours.default": 24,
    "params.who.help": "whom",
}
HOURS = ParamDraft("hours", {"type": "int", "default": 24}, was="hours")
WHO = ParamDraft("who", {"help": "whom"}, was="who")


def test_the_form_has_every_key_that_can_be_set() -> None:
    fields = [field.key for field in (*ITSELF, *LIMITS, *PERMISSIONS)]
    assert {*fields, *(f"params.NAME.{part}" for part in OF_PARAM)} == set(KEYS)


def test_parameters_are_found_and_unchanged() -> None:
    assert drafts_of(BEFORE) == [HOURS, WHO]
    assert param_changes([HOURS, WHO], BEFORE) == {}
    assert not is_changed(HOURS, BEFORE)


def test_only_what_differs_is_changed() -> None:
    more = ParamDraft("hours", {"type": "int", "help": "back"}, was="hours")
    new = ParamDraft("x", {"type": "str"})
    assert param_changes([more, WHO, new], BEFORE) == {
        "params.hours.default": None,
        "params.hours.help": "back",
        "params.x.type": "str",
    }
    assert is_changed(more, BEFORE)
    assert is_changed(new, BEFORE)


def test_names_can_be_swapped() -> None:
    swapped = [ParamDraft("who", HOURS.values, was="hours"), ParamDraft("hours", WHO.values, was="who")]
    data = b"".join(
        [
            b'# /// script\n# [tool.gatewright]\n# title = "x"\n# [tool.gatewright.params.hours]\n',
            b'# type = "int"\n# default = 24\n# [tool.gatewright.params.who]\n# help = "whom"\n# ///\n',
        ]
    )
    renamed = param_changes(swapped, BEFORE)
    assert written(document_of(apply_changes(data, renamed).decode())) == {
        "title": "x", "params.who.type": "int", "params.who.default": 24, "params.hours.help": "whom",
    }  # fmt: skip


def test_dropped_ones_are_removed_whole() -> None:
    assert param_changes([ParamDraft("hours", HOURS.values, was="hours", dropped=True), WHO], BEFORE) == {
        "params.hours": None
    }


def test_what_was_typed_is_laid_over_what_a_script_has_now() -> None:
    typed = (ParamDraft("hours", {"type": "str"}, was="hours"), ParamDraft("n", {}), ParamDraft("z", {}, was="gone"))
    assert with_typed([HOURS, WHO], typed) == [typed[0], WHO, typed[1]]
