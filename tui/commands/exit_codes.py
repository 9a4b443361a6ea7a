"""What a command's exit code says."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from engine.models.runs import Outcome, RunInfo

OK = 0
FAILED = 1
"""The script failed, or what a command did went wrong."""
USAGE = 2
"""What was asked for does not exist or cannot be understood."""
UNREACHABLE = 3
"""No engine answers."""
REFUSED = 4
"""Refused by a role, a policy or the sandbox."""
CONFLICT = 5
"""Something changed meanwhile, or is in use."""
TIMEOUT = 124
"""As timeout(1) has it."""
CANCELLED = 130
"""As a shell reports a program that Ctrl+C ended."""
OF_SIGNALS = 128
"""A shell adds the signal's number: 129 for SIGHUP, 143 for SIGTERM."""

_BY_OUTCOME: Mapping[Outcome, int] = MappingProxyType(
    {
        Outcome.OK: OK,
        Outcome.SCRIPT_ERROR: FAILED,
        Outcome.IMPORT_DENIED: FAILED,
        Outcome.MEMORY: FAILED,
        Outcome.OUTPUT_LIMIT: FAILED,
        Outcome.CRASHED: FAILED,
        Outcome.EXITED: FAILED,
        Outcome.PROTOCOL: FAILED,
        Outcome.INTERRUPTED: FAILED,
        Outcome.SANDBOX_UNAVAILABLE: REFUSED,
        Outcome.ENVIRONMENT: FAILED,
        Outcome.TIMEOUT: TIMEOUT,
        Outcome.CANCELLED: CANCELLED,
    }
)

_BY_STATUS: Mapping[int, int] = MappingProxyType(
    {400: USAGE, 404: USAGE, 413: USAGE, 422: USAGE, 401: REFUSED, 403: REFUSED, 429: REFUSED, 409: CONFLICT}
)

_BY_CODE: Mapping[str, int] = MappingProxyType(
    {
        "assistant_off": REFUSED,  # 503, but by the settings
        "assistant_timeout": TIMEOUT,
        "ambiguous": USAGE,  # 409, but it is the name that does not say enough
        "run_lost": UNREACHABLE,  # 404, but it was there
        "disabled": REFUSED,  # 409, but by a policy of the script's author
    }
)

_FROM_BAD_TO_WORSE = (OK, FAILED, TIMEOUT, CONFLICT, USAGE, REFUSED, UNREACHABLE, CANCELLED)
"""What did not begin is worse than what failed, and of what is not reachable not even that is known."""


def worst(codes: Iterable[int]) -> int:
    """Return the exit code of a command that asked several engines; one that is none of ours is a failed script's."""
    return max(codes, key=lambda code: _FROM_BAD_TO_WORSE.index(code) if code in _FROM_BAD_TO_WORSE else 1, default=OK)


def of_outcome(outcome: Outcome | None) -> int:
    """The exit code for how a run ended; a run without an outcome was never seen to end."""
    return FAILED if outcome is None else _BY_OUTCOME[outcome]


def of_run(info: RunInfo) -> int:
    """The exit code of the script itself, as a shell has it; as usual where it came to no end of its own."""
    if info.exit_status is not None:
        return info.exit_status
    if info.outcome is Outcome.CRASHED and info.signal is not None:
        return OF_SIGNALS + info.signal
    return of_outcome(info.outcome)


def of_signal(number: signal.Signals) -> int:
    """The exit code of a command that a signal ended."""
    return OF_SIGNALS + number


def of_refusal(status: int, code: str) -> int:
    """The exit code for the engine's answer ``status`` with the error code ``code``."""
    return _BY_CODE.get(code, _BY_STATUS.get(status, FAILED))
