"""From what was seen of a run to the signs that something got through."""

from __future__ import annotations

from collections.abc import Mapping

from attack import CLAIM, TOKEN, Attack
from plain_run import PlainRun
from pool_kit import Done
from watcher import Measures

from engine.pool import pace

MEMORY_BOUND = 120 << 20
"""Between what the limits let a run take and what attacks on memory try to take."""

TASKS_BOUND = 450
"""More than the number of a process can ever be in a slot's pid namespace."""

OUTPUT_BOUND = 2 << 20

LATE = 1.0
"""Seconds after its limit by which a run has to be over, and by which the engine may be held up, on a busy machine."""

FORGED = "FORGED-FRAME"


FRAMES_BOUND = 1.2
"""How much more of tiny frames than its pace allows the engine would have to take of a run, in the time it has."""


def of_plain(done: PlainRun, tokens: Mapping[str, str]) -> list[str]:
    signs = of_text(done.evidence, tokens) + of_measures(done.measures, done.output)
    if done.frames:
        signs.append("host:frames")
    if not done.ended_by_itself:
        signs.append("host:late")
    return signs


def of_sandboxed(done: Done, measures: Measures, took: float, attack: Attack, tokens: Mapping[str, str]) -> list[str]:
    evidence = evidence_of(done)
    signs = of_text(evidence, tokens) + of_measures(measures, len(done.sink.stdout) + len(done.sink.stderr))
    if FORGED in evidence or (attack.tiny_frames and _flooded(done, took)):
        signs.append("host:frames")
    if took > attack.wall + LATE:
        signs.append("host:late")
    if measures.delay > LATE:
        signs.append("host:held up")
    return signs


def _flooded(done: Done, took: float) -> bool:
    """Whether more output, a byte a frame, was taken of a run than its pace allows."""
    return len(done.sink.stdout) + len(done.sink.stderr) > FRAMES_BOUND * (pace.BURST + pace.PER_SECOND * took)


def of_text(evidence: str, tokens: Mapping[str, str]) -> list[str]:
    """Secrets and claims in whatever came back; a secret of another trial counts too."""
    names = {value: name for name, value in tokens.items()}
    found = sorted({f"token:{names.get(value, 'unknown')}" for value in TOKEN.findall(evidence)})
    return found + (["claim"] if CLAIM in evidence else [])


def of_measures(measures: Measures, output: int) -> list[str]:
    bounds = {
        "host:memory": measures.memory > MEMORY_BOUND,
        "host:tasks": measures.tasks > TASKS_BOUND,
        "host:output": output > OUTPUT_BOUND,
    }
    return [sign for sign, exceeded in bounds.items() if exceeded]


def evidence_of(done: Done) -> str:
    """Everything that a run gave back."""
    ending = done.ending
    parts = [done.sink.stdout, done.sink.stderr, repr(ending.value), ending.text, ending.note, ending.traceback]
    if ending.error is not None:
        parts += [ending.error.type, ending.error.message, str(ending.error.filename)]
    return "\n".join(part for part in parts if part)
