"""How endings are decided, and that a child's RESULT can hurt nobody who reads it."""

from __future__ import annotations

import json
import signal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.runs import Outcome
from engine.pool.frames import ProtocolError
from engine.pool.outcome import ExitReport, Intervention, from_exit, from_intervention, from_lost_slot, from_result
from engine.worker.results import MAX_DEPTH, ResultTooLarge, clean, encode_result, safe_repr
from engine.worker.wire import RESULT

LIMIT = 1 << 20

texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def result(head: object = None, value: bytes = b"") -> bytes:
    data = b"" if head is None else json.dumps(head).encode()
    return RESULT.pack(len(data)) + data + value


@given(json_values)
def test_every_json_value_arrives_as_it_is(value: Any) -> None:
    ending = from_result(encode_result(value, LIMIT), LIMIT, 0.5, "here")
    assert (ending.outcome, ending.duration, ending.isolation) == (Outcome.OK, 0.5, "here")
    assert ending.value == value
    assert ending.has_value == (value is not None)
    if isinstance(value, str):
        assert ending.text == value
    elif value is not None:
        assert json.loads(ending.text or "") == value
    msgspec.json.encode(ending.value)


@given(st.binary(max_size=400) | st.builds(result, json_values, st.binary(max_size=50)))
def test_no_payload_breaks_the_reader(payload: bytes) -> None:
    try:
        ending = from_result(payload, LIMIT, 0.0, "")
    except ProtocolError:
        return
    msgspec.json.encode([ending.value, ending.text, ending.note, ending.traceback, ending.error])


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def test_nesting_has_one_limit_on_both_sides() -> None:
    assert from_result(result(value=nested(MAX_DEPTH)), LIMIT, 0, "").has_value
    value: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert from_result(encode_result(value, LIMIT), LIMIT, 0, "").value == value
    for levels in (MAX_DEPTH + 1, 5_000, 300_000):
        with pytest.raises(ProtocolError):
            from_result(result(value=nested(levels)), LIMIT, 0, "")
    assert "levels deep" in (from_result(encode_result([value], LIMIT), LIMIT, 0, "").note or "")


def test_sizes_are_checked() -> None:
    with pytest.raises(ResultTooLarge, match="limit is 10 bytes"):
        encode_result("x" * 9, 10)
    assert from_result(encode_result("x" * 8, 10), 10, 0, "").value == "x" * 8
    with pytest.raises(ProtocolError, match="lengths"):
        from_result(result(value=b'"' + b"x" * 20 + b'"'), 10, 0, "")


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (Outcome.OK, Outcome.SCRIPT_ERROR, Outcome.MEMORY)])
def test_a_child_may_not_claim_what_only_the_engine_knows(outcome: Outcome) -> None:
    if outcome is Outcome.IMPORT_DENIED:
        assert from_result(result({"outcome": outcome}), LIMIT, 0, "").outcome is outcome
        return
    with pytest.raises(ProtocolError, match="claims"):
        from_result(result({"outcome": outcome}), LIMIT, 0, "")


@pytest.mark.parametrize("value", [object(), 1j, len, ValueError], ids=["object", "complex", "function", "class"])
def test_a_result_that_only_repr_knows_comes_as_text_with_the_reason(value: object) -> None:
    ending = from_result(encode_result(value, LIMIT), LIMIT, 0, "")
    assert not ending.has_value
    assert ending.text == repr(value)
    assert (ending.note or "").endswith("so it is shown as text only.")
    msgspec.json.encode([ending.text, ending.note])


def test_repr_of_anything_is_short_and_clean() -> None:
    class Long:
        def __repr__(self) -> str:
            return "\ud800" * 10_000_000

    class Odd:
        def __repr__(self) -> str:
            return 5  # type: ignore[return-value]

    assert len(safe_repr(Long())) < 7 * (64 << 10)
    assert "raised TypeError" in safe_repr(Odd())
    assert clean("abc\ud800", 100) == "abc\\ud800"
    assert clean("abcdef", 3) == "abc… (6 characters)"


def exit_report(status: int, cpu: float = 0.1) -> ExitReport:
    return ExitReport(status, cpu)


@pytest.mark.parametrize(
    ("report", "outcome", "number"),
    [
        (exit_report(0), Outcome.EXITED, None),
        (exit_report(3 << 8), Outcome.EXITED, None),
        (exit_report(signal.SIGSEGV), Outcome.CRASHED, signal.SIGSEGV),
        (exit_report(signal.SIGSEGV | 0x80), Outcome.CRASHED, signal.SIGSEGV),
        (exit_report(signal.SIGKILL), Outcome.CRASHED, signal.SIGKILL),
        (exit_report(signal.SIGKILL, cpu=31.2), Outcome.TIMEOUT, None),
        (exit_report(signal.SIGXCPU, cpu=31.0), Outcome.TIMEOUT, None),
        (exit_report(40), Outcome.CRASHED, 40),
    ],
)
def test_an_end_without_a_result(report: ExitReport, outcome: Outcome, number: int | None) -> None:
    ending = from_exit(report, cpu_limit=31, duration=1.5, isolation="here")
    assert (ending.outcome, ending.signal, ending.duration) == (outcome, number, 1.5)
    assert ending.error is not None
    assert ending.error.message.endswith((".", "result."))


@pytest.mark.parametrize("status", [-1, 256, 2.5, "2", True])
def test_a_child_may_not_claim_a_status_that_no_process_has(status: object) -> None:
    error = {"type": "SystemExit", "message": "exit status"}
    head = {"outcome": "script_error", "status": status, "error": error}
    with pytest.raises(ProtocolError, match="head"):
        from_result(result(head), LIMIT, 0.0, "")
    assert from_result(result(head | {"status": 255}), LIMIT, 0.0, "").exit_status == 255


def test_what_the_engine_did_is_told_in_its_words() -> None:
    ending = from_intervention(Intervention(Outcome.OUTPUT_LIMIT, "Too much."), 0.1, "")
    assert (ending.outcome, ending.output_truncated) == (Outcome.OUTPUT_LIMIT, True)
    assert ending.error is not None
    assert ending.error.message == "Too much."
    lost = from_lost_slot("it vanished", 0.1, "")
    assert lost.outcome is Outcome.CRASHED
    assert lost.error is not None
    assert lost.error.message == "The run's slot was lost: it vanished."
