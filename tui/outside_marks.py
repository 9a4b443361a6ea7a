"""Which scripts others changed since this console showed them last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.models import ScriptInfo
    from tui.messages import ScriptsChanged


class OutsideMarks:
    """Compares one list of scripts with the next one, when others changed something in between.

    Attributes:
        paths: The scripts that are marked.
    """

    def __init__(self) -> None:
        self.paths: frozenset[str] = frozenset()
        self._seen: dict[str, str] = {}
        self._saved: set[str] = set()
        self._outside = False

    def heard(self, message: ScriptsChanged) -> None:
        """Scripts were changed; the next list says how."""
        if message.path is not None:
            self._saved.add(message.path)
        self._outside |= message.outside is not None

    def listed(self, scripts: Iterable[ScriptInfo]) -> None:
        """Every script as it is now."""
        before, self._seen = self._seen, {script.path: script.sha256 for script in scripts}
        changed = {path for path, sha256 in self._seen.items() if before.get(path, sha256) != sha256}
        marked = self.paths - self._saved
        if self._outside:
            marked |= changed - self._saved
        self.paths = frozenset(marked & self._seen.keys())
        self._saved.clear()
        self._outside = False

    def opened(self, path: str) -> None:
        """It was shown to the user as it is."""
        self.paths -= {path}
