"""Why a run does not start, or a file of it cannot be given out, as every surface says it."""

from __future__ import annotations

from engine.pool import JobRejected, QueueFull, SandboxUnavailable
from engine.services.access import ServiceError
from engine.services.modes import sandbox_unavailable


def refused_run(refusal: QueueFull | JobRejected) -> ServiceError:
    if isinstance(refusal, SandboxUnavailable):
        return sandbox_unavailable(str(refusal))
    if isinstance(refusal, QueueFull):
        return ServiceError("queue_full", str(refusal), hint="Try again when some runs have ended.", status=429)
    return ServiceError("bad_request", str(refusal))


def no_file(run_id: int, name: str, *, removed: bool = False) -> ServiceError:
    if removed:
        sentence, hint = f"The file {name!r} of run {run_id} is no longer kept.", "Run the script again."
    else:
        sentence, hint = f"Run {run_id} left no file {name!r}.", f"See gatewright runs files {run_id}."
    return ServiceError("no_file", sentence, hint=hint, status=404)
