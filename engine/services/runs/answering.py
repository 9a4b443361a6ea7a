"""What a caller is told who waited for the end of its run: the record with its output, or why there is no end."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from engine.models.runs import Outcome, OutputChunk, RunInfo, Stream
from engine.services.access import ServiceError

ANSWERED_OUTPUT = 1 << 20
"""Characters of the output and the errors of a run, together, that an answer carries."""


def with_output(info: RunInfo, chunks: Sequence[OutputChunk]) -> RunInfo:
    """Return a record with what the run wrote, as far as it is kept and an answer carries it; ``note`` says if not."""
    if not chunks:
        return info
    texts: dict[Stream, list[str]] = {Stream.STDOUT: [], Stream.STDERR: []}
    room = ANSWERED_OUTPUT
    for chunk in chunks:
        if room <= 0:
            break
        texts[chunk.stream].append(chunk.text[:room])
        room -= len(chunk.text)
    note = info.note
    if room < 0:
        cut = f"The answer has the first {ANSWERED_OUTPUT >> 20} MiB of the output; GET /runs/{info.id}/output has all."
        note = f"{note} {cut}" if note else cut
    output, stderr = ("".join(texts[stream]) or None for stream in (Stream.STDOUT, Stream.STDERR))
    return replace(info, output=output, stderr=stderr, note=note)


def no_slot_in_time(info: RunInfo) -> bool:
    """Whether a run ended because no slot was free for it as long as it might wait."""
    return info.started_at is None and info.outcome is Outcome.TIMEOUT


def busy(info: RunInfo, retry_after: float) -> ServiceError:
    """Return the refusal of a call whose run got no slot in time."""
    return ServiceError(
        "busy",
        info.error.message if info.error is not None else "No slot was free for the run in time.",
        hint="Try again later, or start it with POST /api/v1/runs without wait: then it stays in the queue.",
        status=429,
        retry_after=retry_after,
    )


def call_time_over(info: RunInfo, seconds: float) -> str:
    """Say that a run was ended because its call may not take longer, and how it could have more time."""
    sentence = f"The run was ended after {seconds:g} s, the most that such a call may take with its time in the queue."
    if info.timeout <= seconds:
        return sentence
    return f"{sentence} Its own timeout is {info.timeout:g} s: start it with POST /api/v1/runs to let it have that."
