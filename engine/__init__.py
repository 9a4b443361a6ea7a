"""Gatewright's engine. ``from engine import Engine`` is its library form; nothing is imported before asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.library import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    if name == "Engine":
        from engine.library import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
