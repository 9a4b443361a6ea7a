"""How a run ended: decided from its RESULT frame, its wait status, and what the engine itself did to it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.models.runs import Outcome, RunError
from engine.pool.frames import ProtocolError
from engine.worker.results import MAX_DEPTH
from engine.worker.wire import MAX_WAIT_NAMES, RESULT, WAIT

_CLAIMABLE = {Outcome.OK, Outcome.SCRIPT_ERROR, Outcome.IMPORT_DENIED, Outcome.MEMORY}
_value_decoder = msgspec.json.Decoder()


class Ending(msgspec.Struct, frozen=True):
    """The end of one run."""

    outcome: Outcome
    duration: float
    """Seconds from dispatch; 0 for a run that never started."""

    isolation: str
    signal: int | None = None
    exit_status: int | None = None
    """As a shell would see it; None where the script came to no end of its own."""

    value: Any = None
    has_value: bool = False
    text: str | None = None
    """The result as text: a str as it is, else its JSON, else what ``repr`` gave."""

    note: str | None = None
    error: RunError | None = None
    traceback: str | None = None
    output_truncated: bool = False
    files: tuple[ReturnedFile, ...] = ()
    """What it left in its scratch folder and named in its result."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """Why the engine ended a run itself."""

    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a run has told whose script has ended but for threads that it waits for.

    Attributes:
        threads: Their names, as a part of a sentence.
        so_far: How it would have ended without them.
    """

    threads: str
    so_far: Ending

    def added_to(self, ending: Ending) -> Ending:
        """``ending``, of a run that never came to its own, with what is known: nothing that it left is lost."""
        left, error = self.so_far, ending.error
        how = "ended"
        if left.error is not None:
            how = f"failed with {left.error.type}" + (f": {left.error.message}" if left.error.message else "")
        note = f"The script's main part had {how}; it was waiting for threads of its own: {self.threads}."
        if ending.outcome is Outcome.TIMEOUT and error is not None:
            message = f"{error.message} It was waiting for threads of the script: {self.threads}."
            error = msgspec.structs.replace(error, message=message)
            note = f"The script's main part had {how}. Threads that are not to be waited for are made with daemon=True."
        return msgspec.structs.replace(
            ending, value=left.value, has_value=left.has_value, text=left.text, traceback=left.traceback, error=error,
            note=" ".join(filter(None, (left.note, note, ending.note))),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExitReport:
    """What the template told about a child it reaped."""

    status: int
    """As wait(2) gives it."""

    cpu: float
    """Seconds of processor time."""


class ErrorHead(msgspec.Struct, forbid_unknown_fields=True):
    """What a child says of an exception."""

    type: str
    message: str
    filename: str | None = None
    line: int | None = None
    hint: str | None = None
    module: str | None = None


class _ResultHead(msgspec.Struct, forbid_unknown_fields=True):
    """Head of a RESULT frame. A child may claim no other outcomes than these."""

    outcome: str = Outcome.OK
    status: Annotated[int, Meta(ge=0, le=255)] | None = None
    """What ``sys.exit`` said, if it was called with something."""
    error: ErrorHead | None = None
    traceback: str | None = None
    text: str | None = None
    note: str | None = None


_head_decoder = msgspec.json.Decoder(_ResultHead)


def from_result(payload: bytes, limit: int, duration: float, isolation: str) -> Ending:
    """The ending that a RESULT frame tells.

    Raises:
        ProtocolError: It is malformed, nested too deeply, too large, or claims what it may not.
    """
    if len(payload) < RESULT.size:
        raise ProtocolError("a RESULT without its head")
    head_end = RESULT.size + RESULT.unpack_from(payload)[0]
    if head_end > len(payload) or len(payload) - head_end > limit:
        raise ProtocolError("a RESULT whose lengths do not add up")
    raw = payload[head_end:]
    value = _decode_value(raw) if raw else None
    text = (value if isinstance(value, str) else raw.decode()) if raw else None
    if head_end == RESULT.size:
        return Ending(Outcome.OK, duration, isolation, exit_status=0, value=value, has_value=bool(raw), text=text)
    head = _decode_head(payload[RESULT.size : head_end])
    if head.outcome not in _CLAIMABLE:
        raise ProtocolError(f"a RESULT that claims the outcome {head.outcome[:40]!r}")
    return Ending(
        outcome=Outcome(head.outcome),
        duration=duration,
        isolation=isolation,
        exit_status=_exit_status(head),
        value=value,
        has_value=bool(raw),
        text=text if raw else head.text,
        note=head.note,
        error=RunError(**msgspec.structs.asdict(head.error)) if head.error else None,
        traceback=head.traceback,
    )


def waiting(payload: bytes, limit: int) -> Waiting:
    """Read what a WAIT frame tells.

    Raises:
        ProtocolError: It is malformed, or the result in it is.
    """
    if len(payload) < WAIT.size:
        raise ProtocolError("a WAIT without its head")
    names_end = WAIT.size + WAIT.unpack_from(payload)[0]
    if names_end > min(len(payload), WAIT.size + MAX_WAIT_NAMES):
        raise ProtocolError("a WAIT whose lengths do not add up")
    try:
        threads = payload[WAIT.size : names_end].decode()
    except UnicodeDecodeError:
        raise ProtocolError("a WAIT whose names are not UTF-8") from None
    return Waiting(threads, from_result(payload[names_end:], limit, 0.0, ""))


def from_exit(report: ExitReport, cpu_limit: int, duration: float, isolation: str) -> Ending:
    """The ending of a run whose process ended by itself and left no RESULT."""
    number = os.WTERMSIG(report.status) if os.WIFSIGNALED(report.status) else None
    if number in (signal.SIGKILL, signal.SIGXCPU) and report.cpu >= cpu_limit:
        outcome, message = Outcome.TIMEOUT, f"The script used more than {cpu_limit} s of processor time."
    elif number is not None:
        outcome, message = Outcome.CRASHED, f"The script's process was killed by {_signal_name(number)}."
    else:
        code = os.waitstatus_to_exitcode(report.status)
        outcome, message = Outcome.EXITED, f"The script's process left with exit status {code} before it had a result."
    return Ending(
        outcome=outcome,
        duration=duration,
        isolation=isolation,
        signal=number if outcome is Outcome.CRASHED else None,
        exit_status=os.waitstatus_to_exitcode(report.status) if outcome is Outcome.EXITED else None,
        error=RunError(type=outcome, message=message),
    )


def from_intervention(cause: Intervention, duration: float, isolation: str) -> Ending:
    """The ending of a run that the engine ended."""
    return Ending(
        outcome=cause.outcome,
        duration=duration,
        isolation=isolation,
        error=RunError(type=cause.outcome, message=cause.message),
        output_truncated=cause.outcome is Outcome.OUTPUT_LIMIT,
    )


def from_lost_slot(problem: str, duration: float, isolation: str) -> Ending:
    """The ending of a run whose slot broke under it."""
    error = RunError(type=Outcome.CRASHED, message=f"The run's slot was lost: {problem}.")
    return Ending(outcome=Outcome.CRASHED, duration=duration, isolation=isolation, error=error)


def from_failed_profile(problem: str) -> Ending:
    """The ending of a run for which no process could be made."""
    message = f"No process could be made for this run: {problem}."
    error = RunError(type=Outcome.SANDBOX_UNAVAILABLE, message=message)
    return Ending(outcome=Outcome.SANDBOX_UNAVAILABLE, duration=0.0, isolation="", error=error)


def _exit_status(head: _ResultHead) -> int:
    """As the interpreter ends: 1 after an exception that was not caught."""
    if head.status is not None:
        return head.status
    return 0 if head.outcome == Outcome.OK else 1


def _decode_head(data: bytes) -> _ResultHead:
    try:
        return _head_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"a RESULT whose head is not what it should be ({error})") from None


def _decode_value(data: bytes) -> object:
    try:
        value: object = _value_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"a RESULT whose value is not JSON ({error})") from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _too_deep(value):
        raise ProtocolError(f"a RESULT nested more than {MAX_DEPTH} levels deep")
    return value


def _too_deep(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if type(item) is dict else item)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True)
class ReturnedFile:
    """One file, complete. ``name`` is a plain relative path that was checked, and never becomes one on this host."""

    name: str
    data: bytearray
    sha256: str
