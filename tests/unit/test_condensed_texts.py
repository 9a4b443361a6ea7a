"""How many runs a record stands for, as lists, details and the command line say it."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import run_info

from engine.models.runs import CondensedRuns, Outcome, RunInfo, RunState
from tui.commands import runs as runs_command
from tui.text.condensed import condensed_text, inputs_text
from tui.text.table import fields
from tui.widgets.task_pane import state_text


def record(**fields: Any) -> RunInfo:
    given: dict[str, Any] = {
        "runs": 60, "failures": 0, "shortest": 0.002, "average": 0.004, "longest": 1.5, "first_at": 0.0,
        "last_at": 59.0, "last_run": 4770, "inputs_distinct": 3, "inputs_sha256": "d" * 64,
        "inputs_first": ["a" * 64, "b" * 64, "c" * 64],
    }  # fmt: skip
    found = CondensedRuns(**(given | fields))
    return run_info(state=RunState.FINISHED, outcome=Outcome.OK, condensed=found)


def text(**fields: Any) -> str:
    found = record(**fields).condensed
    assert found is not None
    return condensed_text(found)


def test_lists_say_how_many() -> None:
    assert state_text(record()) == runs_command.outcome_text(record()) == "ok, 60 runs"
    alone = record(runs=1, failures=2)
    assert state_text(alone) == runs_command.outcome_text(alone) == "ok"


def test_details_say_what_is_kept_and_what_is_not() -> None:
    sentence = text()
    assert "60 runs in this minute, this one shown: 2.0 ms to 1.50 s, 4.0 ms on average" in sentence
    assert "the last is #4770" in sentence
    assert "results and output of the others are not kept" in sentence
    assert "failed" not in sentence
    assert text(failures=2).endswith("; 2 that failed have records of their own")
    assert text(runs=1, failures=1) == "1 run in this minute went well; 1 that failed has a record of its own"


def test_inputs_are_told_by_their_hashes() -> None:
    found = record().condensed
    assert found is not None
    assert inputs_text(found) == "3 different: aaaaaaaaaaaa, bbbbbbbbbbbb, cccccccccccc"
    many = record(inputs_distinct=1000, inputs_more=True).condensed
    assert many is not None
    assert inputs_text(many).startswith("more than 1000 different: aaaaaaaaaaaa")
    assert inputs_text(many).endswith(", ...")


@pytest.mark.parametrize("width", [None, 80])
def test_no_line_of_details_is_longer_than_80_characters(width: int | None) -> None:
    found = record(failures=2, inputs_more=True, inputs_distinct=1000, inputs_first=[letter * 64 for letter in "abcde"])
    assert found.condensed is not None
    pairs = [("isolation", "kernel"), *runs_command.condensed_fields(found, width)]
    lines = fields(pairs, width=width).splitlines()
    assert max(map(len, lines)) <= 80
    said = " ".join(line[15:] for line in lines[1:])
    assert said == f"{condensed_text(found.condensed)} {inputs_text(found.condensed)}"
    assert [line[:15].strip() for line in lines if line[:15].strip()] == ["isolation", "stands for", "inputs of all"]
