"""How the console draws, for terminals that do not agree with its own ways: from the environment of who looks at it.

These are not settings of the project: the engine's owner and the one at the terminal may be different people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OFF = frozenset({"0", "off", "no", "false"})


@dataclass(frozen=True, slots=True)
class Preferences:
    diff: bool = True
    """Send the terminal only the cells that changed. ``GATEWRIGHT_CONSOLE_DIFF=off``: whole frames, as Textual does."""

    fast_editor: bool = True
    """Draw the editor's visible lines only. ``GATEWRIGHT_CONSOLE_FAST_EDITOR=off``: Textual's own text area."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Preferences:
        return cls(
            diff=environ.get("GATEWRIGHT_CONSOLE_DIFF", "").lower() not in OFF,
            fast_editor=environ.get("GATEWRIGHT_CONSOLE_FAST_EDITOR", "").lower() not in OFF,
        )
