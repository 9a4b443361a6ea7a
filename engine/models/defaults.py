"""Default scripts: what the bundle has beside what the project has."""

from __future__ import annotations

from enum import StrEnum

from engine.models.base import Model


class DefaultState(StrEnum):
    """How a bundled script stands in the project.

    ``offered``: the bundle has a text that the project's file does not have and nobody decided about. ``kept``: the
    user kept their own instead of it. ``edited``: the user's own, and the bundle has nothing newer. ``later``: put here
    by a later version of Gatewright. ``missing``: there is no such file, for example because it was deleted.
    """

    CURRENT = "current"
    OFFERED = "offered"
    KEPT = "kept"
    EDITED = "edited"
    LATER = "later"
    MISSING = "missing"


class DefaultScript(Model, frozen=True):
    path: str
    state: DefaultState
    bundled_sha256: str
    """Of the text that the bundle has."""
    sha256: str | None = None
    """Of the project's file; None when there is none, or when it cannot be read."""
    problem: str | None = None
    """One sentence when the project's file cannot be read."""


class DefaultScripts(Model, frozen=True):
    version: int
    """Of the bundle."""
    scripts: list[DefaultScript]
    written: list[str] = []
    """Paths, relative to the project, of the files that this call wrote."""


class DefaultDiff(Model, frozen=True):
    """From the project's text to the bundle's."""

    script: DefaultScript
    diff: str
    """Unified; empty when there is no difference, the whole text when the project has none."""


class DefaultChoice(StrEnum):
    """``take``: the bundle's text; what it replaces goes into the history. ``keep``: not this text of the bundle."""

    TAKE = "take"
    KEEP = "keep"


class DefaultDecision(Model, frozen=True):
    """Exactly what the user saw: if either text is another one by now, nothing is done."""

    path: str
    choice: DefaultChoice
    bundled_sha256: str
    sha256: str | None = None


class DefaultsRequest(Model, frozen=True):
    decisions: list[DefaultDecision]
