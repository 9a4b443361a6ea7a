"""RESTRICTED or ADMIN: who may ask for which, whether this host gives it, and what may be imported ahead in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.models.runs import Mode
from engine.sandbox.modules import ImportPolicy
from engine.sandbox.plan import Plan
from engine.services.access import Actor, Role, ServiceError, require
from store.files.names import SHARED

MAX_PRELOADS = 10


@dataclass(frozen=True, slots=True)
class Modes:
    """The plans of both modes, and the administrator's import policy."""

    restricted: Plan
    admin: Plan
    imports: ImportPolicy

    def choose(self, text: str, actor: Actor) -> Mode:
        """The mode that a request names, else the caller's default. Nothing is ever silently lowered or raised.

        Raises:
            ServiceError: ``bad_mode`` for what is no mode, ``forbidden`` without the role, ``mode_unavailable`` where
                there are no ADMIN runs, ``sandbox_unavailable`` where this host cannot hold a RESTRICTED one.
        """
        try:
            mode = Mode(text or actor.default_mode)
        except ValueError:
            raise ServiceError("bad_mode", f"There is no mode {text!r}; the modes are RESTRICTED and ADMIN.") from None
        if mode is Mode.ADMIN:
            require(actor, Role.ADMIN, "run in ADMIN mode")
            if self.admin.refusal is not None:
                raise ServiceError(
                    "mode_unavailable",
                    self.admin.refusal,
                    hint="Run it in RESTRICTED mode, or have the administrator of the host decide.",
                    status=403,
                )
        elif self.restricted.refusal is not None:
            raise sandbox_unavailable(self.restricted.refusal)
        return mode

    def preloads(self, names: Sequence[str], mode: Mode, opened: tuple[str, ...] = ()) -> tuple[str, ...]:
        """What a script wants to have imported before its run, judged by the same rule as its own imports.

        ``opened`` are the import names that were approved together with its environment.

        Raises:
            ServiceError: ``bad_preload``. They are imported ahead of each run of their kind, so none passes unnamed.
        """
        if len(names) > MAX_PRELOADS:
            raise ServiceError("bad_preload", f"A script may preload {MAX_PRELOADS} modules, not {len(names)}.")
        for name in names:
            parts = name.split(".")
            if not all(part.isidentifier() for part in parts):
                raise ServiceError("bad_preload", f"preload: {name!r} is not the name of a module.")
            if "__main__" in parts:
                raise ServiceError("bad_preload", f"preload: {name} is a program; importing it would run it.")
            if parts[0] == SHARED:
                raise ServiceError("bad_preload", f"preload: {name} is shared code, which comes with every run itself.")
            denial = self.imports.verdict(name, mode, opened=opened)
            if denial is not None:
                raise ServiceError("bad_preload", f"preload: {denial}", status=403)
        return tuple(names)


def sandbox_unavailable(sentence: str) -> ServiceError:
    """The refusal on a host that does not give what RESTRICTED promises."""
    return ServiceError(
        "sandbox_unavailable",
        sentence,
        hint="gatewright doctor says how to enable what is missing.",
        status=403,
    )
