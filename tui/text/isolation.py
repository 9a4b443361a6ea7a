"""How isolation is written on screen: a word or a clause, not the whole line that records hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.models.runs import Mode

if TYPE_CHECKING:
    from engine.models.engine import EngineInfo, SlotInfo
    from engine.models.runs import RunInfo

_NOTES = {"degraded": "weak sandbox: gatewright doctor", "refused": "no sandbox: gatewright doctor"}
_SENTENCES = {
    "degraded": "The sandbox is weak here; gatewright doctor says what RESTRICTED runs lack.",
    "refused": "No sandbox here: RESTRICTED runs are refused. gatewright doctor says why.",
}


def level_word(isolation: str) -> str:
    """``full``, ``core``, ``admin``; ``degraded`` with what it lacks; the line of another engine as it is."""
    level, colon, rest = isolation.partition(":")
    lacks = rest.partition(", ")[2]
    if colon and level == "degraded" and lacks:
        return f"degraded, {lacks}"
    return level


def run_isolation(run: RunInfo) -> str:
    """``RESTRICTED full``, ``RESTRICTED degraded, no landlock``, ``ADMIN``: which mode, and what held."""
    if run.mode is Mode.ADMIN:
        return str(run.mode)
    return f"{run.mode} {level_word(run.isolation)}".rstrip()


def slot_isolation(slot: SlotInfo) -> str:
    """What a slot's children have; of an ADMIN slot that is its mode."""
    return str(slot.mode) if slot.mode is Mode.ADMIN else level_word(slot.isolation)


def host_note(info: EngineInfo | None) -> str:
    """What a user must know of this host's sandbox, in a few words; empty when it holds."""
    return "" if info is None else _NOTES.get(info.level, "")


def host_sentence(info: EngineInfo | None) -> str:
    """``host_note`` as a sentence that says what it means for runs."""
    return "" if info is None else _SENTENCES.get(info.level, "")
