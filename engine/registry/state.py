"""Operations on what scripts keep from one run to the next. A run reaches the state of its own script only."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.state import ScriptState, StateChanges
from engine.registry.operation import Operation
from engine.registry.scripts import ScriptParams


class StateParams(Model, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]
    key: Annotated[str, Meta(max_length=200, description="One key; all of them without.")] | None = None


STATE_GET = Operation(
    "state.get",
    "GET",
    "/scripts/state/{path:path}",
    ScriptState,
    "operator",
    "Read what a script keeps from one run to the next",
    params=StateParams,
    scoped=True,
    kinds=("utility",),
)
STATE_SET = Operation(
    "state.set",
    "POST",
    "/scripts/state/{path:path}",
    ScriptState,
    "operator",
    "Change what a script keeps from one run to the next: write values, remove keys",
    params=ScriptParams,
    body=StateChanges,
    scoped=True,
    kinds=("utility",),
)
STATE_CLEAR = Operation(
    "state.clear",
    "DELETE",
    "/scripts/state/{path:path}",
    ScriptState,
    "operator",
    "Clear what a script keeps from one run to the next; the answer is what it had",
    params=ScriptParams,
    scoped=True,
    kinds=("utility",),
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (STATE_GET, STATE_SET, STATE_CLEAR)
