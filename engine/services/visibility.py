"""Which runs and events an actor may see."""

from __future__ import annotations

from engine.models.base import Event
from engine.models.runs import RunInfo, RunKind
from engine.services.access import Actor, Role


def sees_run(actor: Actor, info: RunInfo) -> bool:
    """Whether ``actor`` may see a run: its own, and from author on everyone's; for some scripts only, its own of these.

    A run carries its caller's name. No two accounts of a host have one name, and no two tokens that count at one time:
    a token that takes the name of one that is over takes its place.
    """
    if actor.scripts:
        return info.actor == actor.name and of_its_scripts(actor, info)
    return info.actor == actor.name or actor.role >= Role.AUTHOR


def of_its_scripts(actor: Actor, info: RunInfo) -> bool:
    """Whether a run is of a script that ``actor`` may see, whichever caller started it."""
    return not actor.scripts or (info.kind is RunKind.SCRIPT and actor.sees(info.name))


def sees_every_event(actor: Actor) -> bool:
    """Whether nothing that happens in the engine is kept from ``actor``."""
    return actor.role >= Role.AUTHOR and not actor.scripts


def sees_event(actor: Actor, event: Event) -> bool:
    """Whether an event is of a run or a script that ``actor`` may see, or of none.

    A token for some scripts only is told of them, of its runs and of the engine, and of nothing else.
    """
    data = event.data
    if isinstance(data, RunInfo):
        return sees_run(actor, data)
    if not actor.scripts or event.type in ("engine", "lagged"):
        return True
    paths = [data[key] for key in ("path", "old_path") if data.get(key)] if isinstance(data, dict) else []
    return event.type == "script" and bool(paths) and all(map(actor.sees, paths))
