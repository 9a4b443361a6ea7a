"""The table of routes that the module's clients ask for, and what carries them out."""

from __future__ import annotations

from typing import Any

from engine.api.compat import (
    about,
    calls,
    document,
    figures,
    history,
    impact,
    logs,
    packages,
    scripts,
    session,
    syntax,
    unavailable,
)
from engine.api.compat.script_python import ScriptPython
from engine.api.host import EngineHost
from engine.registry.operation import Operation

COMPAT_OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    *session.OPERATIONS,
    *calls.OPERATIONS,
    *scripts.OPERATIONS,
    *syntax.OPERATIONS,
    *about.OPERATIONS,
    *figures.OPERATIONS,
    *impact.OPERATIONS,
    *history.OPERATIONS,
    *logs.OPERATIONS,
    *packages.OPERATIONS,
    *unavailable.OPERATIONS,
    *document.OPERATIONS,
)


def compat_services(host: EngineHost) -> list[object]:
    """Return what carries out ``COMPAT_OPERATIONS`` for one engine."""
    pythons = ScriptPython(host)
    return [
        session.CompatSessions(host),
        calls.CompatCalls(host, pythons),
        scripts.ScriptsByName(host),
        syntax.Syntax(host),
        about.About(host, pythons),
        figures.Figures(host, pythons),
        impact.Impact(host),
        history.History(host),
        logs.Logs(host),
        packages.CompatPackages(host, pythons),
        unavailable.Unavailable(),
        document.CompatDocument(COMPAT_OPERATIONS),
    ]
