"""Secrets: values that the engine keeps for scripts and never shows."""

from __future__ import annotations

from engine.models.base import Model

SECRET_NAME = r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"  # noqa: S105 - what a name looks like
"""As a regular expression; on a command line and in a header such a name needs no quotes."""


class SecretInfo(Model, frozen=True):
    """A secret without its value."""

    name: str
    set_at: float
    set_by: str
    scripts: list[str] = []
    """Scripts that are approved to use it, by their texts as they were then."""


class SecretList(Model, frozen=True):
    secrets: list[SecretInfo]
    """By name."""


class SecretValue(Model, frozen=True):
    value: str

    def __repr__(self) -> str:
        """Leave out the value: a log or a traceback may show this."""
        return "SecretValue(…)"
