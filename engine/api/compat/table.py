"""The table of routes that the module's clients ask for, and what carries them out."""

from __future__ import annotations

from typing import Any

from engine.api.compat import about, figures, history, impact, logs
from engine.api.host import EngineHost
from engine.registry.operation import Operation

COMPAT_OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    *about.OPERATIONS,
    *figures.OPERATIONS,
    *impact.OPERATIONS,
    *history.OPERATIONS,
    *logs.OPERATIONS,
)


def compat_services(host: EngineHost) -> list[object]:
    """Return what carries out ``COMPAT_OPERATIONS`` for one engine."""
    return [about.About(host), figures.Figures(host), impact.Impact(host), history.History(), logs.Logs(host)]
