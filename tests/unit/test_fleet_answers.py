"""What many gateways answered: what counts as the same, where the others differ, and which exit code that has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.fleet import Answer, Failure, FailureKind, Pending, failure_of
from engine.client.starter import LaunchError
from engine.client.target import OtherVersion
from engine.models.runs import Mode, Outcome, RunError, RunFile, RunInfo, RunKind, RunProgress, RunState
from engine.models.shared import SharedFile
from tui.commands import exit_codes
from tui.commands.fleet import _exit_code
from tui.screens.fleet_run import SHOWN_LINES, _text_rows
from tui.text.fleet_answers import MAX_COMPARED, Group, counts, grouped, other_texts, pending_text, summary

ORDER = [f"gw-{number:02}" for number in range(1, 41)]


def run(**fields: Any) -> RunInfo:
    usual: dict[str, Any] = {
        "id": 1, "kind": RunKind.SCRIPT, "name": "tag_check", "state": RunState.FINISHED, "mode": Mode.RESTRICTED,
        "actor": "anna", "source": "cli", "queued_at": 1.0, "timeout": 30.0, "code_sha256": "aa",
        "outcome": Outcome.OK, "exit_status": 0, "value": {"tags": 812, "bad": 0}, "has_value": True,
        "result": '{"tags": 812, "bad": 0}', "output": "scanning\n",
    }  # fmt: skip
    return RunInfo(**{**usual, **fields})


def answer(number: int, **fields: Any) -> Answer:
    return Answer(ORDER[number - 1], float(number), run(**fields))


def failed(number: int, kind: FailureKind = FailureKind.AWAY) -> Answer:
    return Answer(ORDER[number - 1], 1.0, failure=Failure(kind, "The engine does not answer."))


def shown(groups: list[Group]) -> list[tuple[str, list[str]]]:
    return [(group.label, group.names) for group in groups]


def test_equal_answers_are_one_group_and_the_largest_is_first() -> None:
    answers = [answer(4, value={"tags": 811, "bad": 3}), failed(6), answer(3), answer(5), answer(1), answer(2)]
    groups = grouped(answers, ORDER)
    assert shown(groups) == [
        ("same answer", ["gw-01", "gw-02", "gw-03", "gw-05"]),
        ("differs", ["gw-04"]),
        ("not reachable", ["gw-06"]),
    ]
    assert summary(groups) == "4 same, 1 differs, 1 not reachable"
    assert counts(answers) == "6 gateways, 5 ok, 1 failed, 5.00 s"
    assert groups[0].heading == "same answer (4)"
    assert groups[0].difference == ""
    assert groups[1].difference.splitlines()[:2] == ["--- gw-01", "+++ gw-04"]
    assert '-  "bad": 0,' in groups[1].difference
    assert '+  "bad": 3,' in groups[1].difference


@pytest.mark.parametrize(
    "fields",
    [
        {"id": 9, "started_at": 5.0, "finished_at": 7.0, "duration": 2.0, "slot": 3, "isolation": "core"},
        {"value": {"bad": 0, "tags": 812}, "result": '{"bad": 0, "tags": 812}'},
        {"traceback": 'File "/srv/plant-b/scripts/tag_check.py", line 3', "actor": "ben", "timeout": 60.0},
        {"inputs_sha256": "other", "code_sha256": "bb"},
    ],
)
def test_what_is_of_the_host_or_of_the_moment_makes_no_difference(fields: dict[str, Any]) -> None:
    assert len(grouped([answer(1), answer(2, **fields)], ORDER)) == 1


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"output": "scanning\nslowly\n"}, "+slowly"),
        ({"output": "scanning"}, ""),
        ({"stderr": "careful\n"}, "+careful"),
        ({"value": None, "result": None}, '-  "tags": 812'),
        ({"has_value": False, "value": None, "result": "<Tag 7>"}, "+<Tag 7>"),
        ({"outcome": Outcome.TIMEOUT, "exit_status": None}, "+ended with timeout"),
        ({"outcome": Outcome.SCRIPT_ERROR, "exit_status": 3}, "+ended with script_error, exit status 3"),
        (
            {"outcome": Outcome.SCRIPT_ERROR, "error": RunError(type="ValueError", message="no such tag", line=4)},
            "+ValueError: no such tag (line 4)",
        ),
        ({"files": [RunFile(name="out.csv", size=1200, sha256="ab")]}, "+file out.csv: 1,200 bytes, SHA-256 ab"),
    ],
)
def test_each_thing_that_counts_makes_a_difference_that_is_shown(fields: dict[str, Any], line: str) -> None:
    groups = grouped([answer(1), answer(2), answer(3, **fields)], ORDER)
    assert shown(groups) == [("same answer", ["gw-01", "gw-02"]), ("differs", ["gw-03"])]
    assert line in groups[1].difference


def test_numbers_and_texts_are_not_the_same() -> None:
    values: list[Any] = [1, "1", 1.5, True, [1], {"1": 1}, None]
    groups = grouped([answer(n, value=one, result="1") for n, one in enumerate(values, 1)], ORDER)
    assert len(groups) == len(values)
    assert all(group.difference for group in groups[1:])
    assert '-  "result": 1,\n+  "result": "1",' in groups[1].difference


@pytest.mark.parametrize(
    ("values", "failures", "sentence"),
    [
        ([1, 1, 1], 0, "3 same"),
        ([1], 0, "1 answer"),
        ([1, 2, 3], 0, "all 3 differ"),
        ([1] * 38 + [2, 3], 0, "38 same, 2 differ"),
        ([1, 1], 2, "2 same, 2 not reachable"),
        ([], 2, "2 not reachable"),
    ],
)
def test_the_summary_counts(values: list[int], failures: int, sentence: str) -> None:
    answers = [answer(number, value=value) for number, value in enumerate(values, 1)]
    answers += [failed(len(values) + number) for number in range(1, failures + 1)]
    assert summary(grouped(answers, ORDER)) == sentence


def test_of_groups_of_one_size_the_one_that_went_well_is_what_others_are_compared_with() -> None:
    groups = grouped([answer(1, outcome=Outcome.TIMEOUT), answer(2)], ORDER)
    assert shown(groups) == [("answer", ["gw-02"]), ("differs", ["gw-01"])]
    assert groups[1].heading == "differs (1), timeout"


def test_failures_are_grouped_by_their_kind_in_one_order() -> None:
    kinds = [FailureKind.LATE, FailureKind.AWAY, FailureKind.REFUSED, FailureKind.AWAY]
    groups = grouped([failed(number, kind) for number, kind in enumerate(kinds, 1)], ORDER)
    assert shown(groups) == [
        ("not reachable", ["gw-02", "gw-04"]),
        ("refused", ["gw-03"]),
        ("no answer in time", ["gw-01"]),
    ]
    assert list(groups[0].reasons().values()) == [["gw-02", "gw-04"]]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40), st.randoms())
def test_every_gateway_is_in_one_group_whatever_the_order_of_the_answers(
    kinds: list[tuple[int, bool]], random: Any
) -> None:
    answers = [answer(n, value=v) if ok else failed(n) for n, (v, ok) in enumerate(kinds, 1)]
    groups = grouped(answers, ORDER)
    random.shuffle(answers)
    assert shown(grouped(answers, ORDER)) == shown(groups)
    assert sorted(name for group in groups for name in group.names) == ORDER[: len(kinds)]
    sizes = [len(group.answers) for group in groups if not group.is_failure]
    assert sizes == sorted(sizes, reverse=True)


def test_another_text_is_told_also_when_only_shared_code_is_another() -> None:
    shared = [SharedFile(path="lib/tags.py", sha256="cc")]
    assert other_texts([answer(1), answer(2), failed(3)]) == []
    assert other_texts([answer(1), answer(2), answer(3, code_sha256="bb")]) == ["gw-03"]
    assert other_texts([answer(1, shared=shared), answer(2), answer(3)]) == ["gw-01"]


@pytest.mark.parametrize(
    ("error", "kind", "exit_code"),
    [
        (LaunchError("Nothing listens."), FailureKind.AWAY, 3),
        (LaunchError("No such file.", exit_code=2), FailureKind.NOT_SET_UP, 2),
        (LaunchError("No access.", exit_code=4), FailureKind.REFUSED, 4),
        (OtherVersion("Newer.", "Use 2.", "2"), FailureKind.OTHER_VERSION, 3),
        (EngineError("no_route", "Not known.", None, 404), FailureKind.OTHER_VERSION, 2),
        (EngineError("no_script", "There is no such script.", None, 404), FailureKind.REFUSED, 2),
        (EngineError("forbidden", "You may not.", None, 403), FailureKind.REFUSED, 4),
        (EngineError("not_approved", "Not approved.", None, 409), FailureKind.REFUSED, 5),
        (EngineError("run_lost", "It ended.", None, 404), FailureKind.LOST, 3),
        (EngineUnreachable("It went away."), FailureKind.AWAY, 3),
    ],
)
def test_why_there_is_no_answer_has_a_kind_and_an_exit_code(
    error: LaunchError | EngineError | EngineUnreachable, kind: FailureKind, exit_code: int
) -> None:
    failure = failure_of(error)
    assert (failure.kind, _exit_code(Answer("gw-01", 1.0, failure=failure))) == (kind, exit_code)


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 1], 1),
        ([1, 124], 124),
        ([124, 4, 1], 4),
        ([4, 3], 3),
        ([3, 130, 0], 130),
        ([7, 0], 7),
    ],
)
def test_the_exit_code_is_that_of_the_worst(codes: list[int], worst: int) -> None:
    assert exit_codes.worst(codes) == worst
    assert exit_codes.worst(reversed(codes)) == worst


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (Pending("gw-01", None), "gw-01"),
        (Pending("gw-01", run(state=RunState.QUEUED)), "gw-01 (queued)"),
        (Pending("gw-01", run(state=RunState.RUNNING)), "gw-01 (runs)"),
        (Pending("gw-01", run(state=RunState.RUNNING, progress=RunProgress(done=3, total=10))), "gw-01 (30 %)"),
        (Pending("gw-01", run(state=RunState.RUNNING, progress=RunProgress(text="reads"))), "gw-01"),
        (Pending("gw-01", run(state=RunState.RUNNING), line_down=True), "gw-01 (its line is down)"),
    ],
)
def test_what_is_waited_for_is_told_with_its_state(one: Pending, text: str) -> None:
    assert pending_text(one) == text


def test_a_long_answer_is_shown_to_its_first_lines_only() -> None:
    lines = [f"line {number}" for number in range(20_000)]
    (group,) = grouped([answer(1, output="\n".join(lines) + "\n", has_value=False, value=None, result=None)], ORDER)
    rows = list(_text_rows(group, 80, whole=True))
    assert (rows[1].key, rows[SHOWN_LINES].text) == ("0.0", f" line {SHOWN_LINES - 1}")
    assert rows[-1].text == f" and {20_000 - SHOWN_LINES:,} more lines, in the run history of that gateway"
    (group,) = grouped([answer(1, output="x" * 3_000_000, has_value=False, value=None, result=None)], ORDER)
    rows = list(_text_rows(group, 80, whole=True))
    assert len(rows) < 3_000_000 // 80
    assert rows[-1].text == " and more, in the run history of that gateway"
    (group,) = grouped([answer(1, output="a\nb\n", has_value=False, value=None, result=None)], ORDER)
    assert [row.text for row in _text_rows(group, 80, whole=True)][1:] == [" a", " b"]


def test_answers_that_differ_far_behind_are_compared_in_bounded_memory() -> None:
    same = "x\n" * (MAX_COMPARED // 2)
    groups = grouped([answer(1, output=same + "a"), answer(2, output=same + "a"), answer(3, output=same + "b")], ORDER)
    assert groups[1].difference.splitlines()[-1].startswith(f"The first {MAX_COMPARED:,} characters are the same")
