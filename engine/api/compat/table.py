"""The table of routes that the module's clients ask for, and what carries them out."""

from __future__ import annotations

from typing import Any

from engine.api.compat import about
from engine.api.host import EngineHost
from engine.registry.operation import Operation

COMPAT_OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (*about.OPERATIONS,)


def compat_services(host: EngineHost) -> list[object]:
    """Return what carries out ``COMPAT_OPERATIONS`` for one engine."""
    return [about.About(host)]
