"""The exit codes are a promise to shell scripts."""

from __future__ import annotations

import pytest

from engine.models.runs import Outcome
from tui.commands import exit_codes


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.OK, 0),
        (Outcome.SCRIPT_ERROR, 1),
        (Outcome.IMPORT_DENIED, 1),
        (Outcome.MEMORY, 1),
        (Outcome.OUTPUT_LIMIT, 1),
        (Outcome.ENVIRONMENT, 1),
        (Outcome.CRASHED, 1),
        (Outcome.EXITED, 1),
        (Outcome.PROTOCOL, 1),
        (Outcome.INTERRUPTED, 1),
        (Outcome.SANDBOX_UNAVAILABLE, 4),
        (Outcome.TIMEOUT, 124),
        (Outcome.CANCELLED, 130),
        (None, 1),
    ],
)
def test_of_a_run(outcome: Outcome | None, code: int) -> None:
    assert exit_codes.of_outcome(outcome) == code


def test_every_outcome_has_one() -> None:
    assert all(isinstance(exit_codes.of_outcome(outcome), int) for outcome in Outcome)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, "bad_params", 2),
        (404, "no_script", 2),
        (409, "ambiguous", 2),
        (422, "bad_script", 2),
        (401, "unauthorised", 4),
        (403, "mode_unavailable", 4),
        (409, "disabled", 4),
        (429, "queue_full", 4),
        (409, "conflict", 5),
        (409, "busy", 5),
        (500, "internal", 1),
        (503, "assistant_off", 4),
        (504, "assistant_timeout", 124),
        (502, "assistant_failed", 1),
    ],
)
def test_of_a_refusal(status: int, error: str, code: int) -> None:
    assert exit_codes.of_refusal(status, error) == code
