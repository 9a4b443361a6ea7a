"""Operations on the bundle's scripts in a project."""

from __future__ import annotations

from engine.models import DefaultDiff, DefaultScripts, DefaultsRequest
from engine.registry.operation import Operation
from engine.registry.scripts import ScriptParams

DEFAULTS_LIST = Operation(
    "defaults.list", "GET", "/defaults", DefaultScripts, "viewer", "The default scripts, and which have newer texts"
)
DEFAULTS_DIFF = Operation(
    "defaults.diff",
    "GET",
    "/defaults/diff/{path:path}",
    DefaultDiff,
    "viewer",
    "What taking the bundled text of a default script would change",
    params=ScriptParams,
)
DEFAULTS_DECIDE = Operation(
    "defaults.decide",
    "POST",
    "/defaults/decide",
    DefaultScripts,
    "author",
    "Take new texts of default scripts, or keep what there is",
    request=DefaultsRequest,
)
DEFAULTS_RESTORE = Operation(
    "defaults.restore",
    "POST",
    "/defaults/restore",
    DefaultScripts,
    "author",
    "Write the default scripts that the project does not have; nothing is overwritten",
)
