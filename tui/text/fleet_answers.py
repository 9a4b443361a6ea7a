"""What many gateways answered, for people: equal answers as one group, and where the others differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from engine.client.fleet import Answer, Failure, FailureKind, Pending
from engine.models.runs import Outcome, RunInfo, RunState
from engine.text_diff import unified
from tui.text.formats import duration, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

SAME = "same answer"
DIFFERS = "differs"
ANSWER = "answer"

MAX_COMPARED = 2 << 20
"""Characters of an answer that are compared line by line."""


@dataclass(frozen=True, slots=True)
class Group:
    """Gateways that answered the same, or gave none for the same kind of reason.

    Attributes:
        label: What to call it: ``same answer`` for the one that most gave, ``differs`` for others.
        answers: Of its gateways, in their order.
        difference: From the first group to this one, as ``diff -u`` writes it; empty for the first and for failures.
    """

    label: str
    answers: Sequence[Answer]
    difference: str = ""

    @property
    def names(self) -> list[str]:
        """The gateways in it."""
        return [answer.gateway for answer in self.answers]

    @property
    def run(self) -> RunInfo | None:
        """One of its runs, which are all the same; None where there is none."""
        return self.answers[0].run

    @property
    def heading(self) -> str:
        """What it is and how many it has, with how their runs ended where that was not well."""
        text = f"{self.label} ({len(self.answers)})"
        return text if self.run is None or self.run.outcome is Outcome.OK else f"{text}, {self.run.outcome}"

    def reasons(self) -> dict[Failure, list[str]]:
        """Return the gateways of each reason for which there is no answer; one sentence may be that of many."""
        found: dict[Failure, list[str]] = {}
        for answer in self.answers:
            if answer.failure is not None:
                found.setdefault(answer.failure, []).append(answer.gateway)
        return found

    @property
    def is_failure(self) -> bool:
        """Whether no run came to its end."""
        return self.answers[0].failure is not None


def grouped(answers: Iterable[Answer], order: Sequence[str]) -> list[Group]:
    """Return the groups: what most answered first, other answers by their number, and last those without one.

    Two answers are the same if the outcome, the result, the files, the buffers' sizes and all that was written are.
    When they began and how long they took does not count, and neither does how the members of a result are ordered.

    Args:
        answers: As they came.
        order: All gateways, as the user ordered them.
    """
    place = {name: number for number, name in enumerate(order)}
    by_identity: dict[bytes | FailureKind, list[Answer]] = {}
    for answer in sorted(answers, key=lambda answer: place[answer.gateway]):
        key = answer.failure.kind if answer.failure is not None else hashlib.sha256(_identity(answer.run)).digest()
        by_identity.setdefault(key, []).append(answer)
    ended = [members for key, members in by_identity.items() if not isinstance(key, FailureKind)]
    ended.sort(key=lambda members: (-len(members), members[0].run is None or members[0].run.outcome is not Outcome.OK))
    groups = []
    for number, members in enumerate(ended):
        label = DIFFERS if number else SAME if len(members) > 1 or len(ended) == 1 else ANSWER
        groups.append(Group(label, members, difference(ended[0][0], members[0]) if number else ""))
    groups += [Group(kind.value, by_identity[kind]) for kind in FailureKind if kind in by_identity]
    return groups


def summary(groups: Sequence[Group]) -> str:
    """Count those that answered the same and those that did not: "38 same, 2 differ, 1 not reachable"."""
    ended = [group for group in groups if not group.is_failure]
    parts = []
    if len(ended) == 1:
        parts.append(f"{len(ended[0].answers)} same" if len(ended[0].answers) > 1 else "1 answer")
    elif ended and all(len(group.answers) == 1 for group in ended):
        parts.append(f"all {len(ended)} differ")
    elif ended:
        others = sum(len(group.answers) for group in ended[1:])
        parts.append(f"{len(ended[0].answers)} same, {others} differ{'s' if others == 1 else ''}")
    parts += [f"{len(group.answers)} {group.label}" for group in groups if group.is_failure]
    return ", ".join(parts)


def pending_text(one: Pending) -> str:
    """Name a gateway whose answer is still to come, with what is known of it: "gw-01 (30 %)"."""
    run = one.run
    if one.line_down:
        state = "its line is down"
    elif run is None:
        state = ""
    elif run.state is RunState.QUEUED:
        state = "queued"
    else:
        state = percent(run.progress) if run.progress is not None else "runs"
    return f"{one.gateway} ({state})" if state else one.gateway


def counts(answers: Sequence[Answer]) -> str:
    """Count the gateways and those that ran it well, and say how long all took: "6 gateways, 5 ok, 12.04 s"."""
    ok = sum(answer.run is not None and answer.run.outcome is Outcome.OK for answer in answers)
    parts = [f"{len(answers)} gateway{'' if len(answers) == 1 else 's'}", f"{ok} ok"]
    if ok < len(answers):
        parts.append(f"{len(answers) - ok} failed")
    return ", ".join([*parts, duration(max(answer.seconds for answer in answers))])


def difference(base: Answer, other: Answer) -> str:
    """Return where two answers differ, as ``diff -u`` writes it, in bounded time and size."""
    names = base.gateway, other.gateway
    # What reads the same can be another answer, such as the number 1 and the text "1".
    return _compared(answer_text(base.run), answer_text(other.run), *names) or _compared(
        _spelt_out(base.run), _spelt_out(other.run), *names
    )


def _compared(one: str, other: str, first: str, second: str) -> str:
    """Compare texts line by line as far as that takes no more memory than the texts themselves."""
    found = unified(one[:MAX_COMPARED], other[:MAX_COMPARED], first, second)
    if found or one == other:
        return found
    return f"--- {first}\n+++ {second}\nThe first {MAX_COMPARED:,} characters are the same, and what follows is not."


def other_texts(answers: Iterable[Answer]) -> list[str]:
    """Return the gateways on which another text ran than on most; none where it was the same everywhere."""
    by_text: dict[str, list[str]] = {}
    for answer in answers:
        if answer.run is not None:
            shared = "".join(f"{file.path} {file.sha256}\n" for file in answer.run.shared)
            by_text.setdefault(answer.run.code_sha256 + shared, []).append(answer.gateway)
    most = max(by_text.values(), key=len, default=[])
    return [name for names in by_text.values() if names is not most for name in names]


def _spelt_out(run: RunInfo | None) -> str:
    return msgspec.json.format(_identity(run), indent=2).decode() + "\n"


def _identity(run: RunInfo | None) -> bytes:
    return msgspec.json.encode(_content(run), order="deterministic")


def _content(run: RunInfo | None) -> Mapping[str, object]:
    """Return what counts of a run: nothing of the host that it ran on, such as folders, times and numbers."""
    if run is None:
        return {}
    error = run.error
    return {
        "outcome": run.outcome,
        "status": run.exit_status if run.outcome is not Outcome.OK else None,
        "signal": run.signal,
        "error": None if error is None else [error.type, error.message, error.line],
        "result": run.value if run.has_value else run.result,
        "files": [[file.name, file.size, file.sha256] for file in run.files],
        "buffers": [[buffer.name, buffer.size] for buffer in run.buffers],
        "output": run.output or "",
        "stderr": run.stderr or "",
    }


def answer_text(run: RunInfo | None) -> str:
    """Return a run's answer as lines: what it wrote, and behind it how it ended and what it left."""
    if run is None:
        return ""
    parts = [_ended(run.output), _ended(run.stderr)]
    if run.outcome is not Outcome.OK:
        parts.append(f"ended with {run.outcome}{f', exit status {run.exit_status}' if run.exit_status else ''}\n")
    if run.error is not None:
        where = f" (line {run.error.line})" if run.error.line is not None else ""
        parts.append(_ended(f"{run.error.type}: {run.error.message}{where}"))
    parts.append(_ended(result_text(run)))
    parts += [f"file {file.name}: {file.size:,} bytes, SHA-256 {file.sha256}\n" for file in run.files]
    parts += [f"buffer {buffer.name}: {buffer.size:,} bytes\n" for buffer in run.buffers]
    return "".join(parts)


def result_text(run: RunInfo) -> str:
    """Return the result, a line for each member of a list or an object in a fixed order; empty without one."""
    if not run.has_value:
        return run.result or ""
    if run.value is None:
        return ""
    if not isinstance(run.value, dict | list):
        return run.result if run.result is not None else msgspec.json.encode(run.value).decode()
    return msgspec.json.format(msgspec.json.encode(run.value, order="deterministic"), indent=2).decode()


def _ended(text: str | None) -> str:
    return f"{text}\n" if text and not text.endswith("\n") else text or ""
