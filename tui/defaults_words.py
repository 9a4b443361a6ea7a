"""How the states of default scripts are said, on every surface alike."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.models import DefaultState

STATES: Mapping[DefaultState, str] = MappingProxyType(
    {
        DefaultState.CURRENT: "as it comes",
        DefaultState.OFFERED: "yours, and there is a newer text",
        DefaultState.KEPT: "yours, kept instead of the newer text",
        DefaultState.EDITED: "yours, nothing newer",
        DefaultState.LATER: "of a later version of Gatewright",
        DefaultState.MISSING: "not there",
    }
)
