"""The import rule as the engine asks it: the same rule and the same sentences as in a script's own process."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from engine.config import PolicySection
from engine.models.runs import Mode
from engine.worker.imports import BLOCKED, GONE, INSTALLED, OUTSIDE, RESERVED, STANDARD, ImportRule

ELSEWHERE = frozenset({"msilib", "msvcrt", "nt", "winreg", "winsound"})
"""Standard modules that only other systems have."""

MAX_OPENED = 100
"""Rules of scripts' own environments that are remembered."""


class ImportPolicy:
    """What this project's administrator lets scripts import, by mode."""

    def __init__(self, policy: PolicySection) -> None:
        self.settings = policy
        self._rules = {mode: self._rule(mode) for mode in Mode}
        self._opened: dict[tuple[Mode, tuple[str, ...]], ImportRule] = {}

    def listed(self) -> list[str]:
        """Return what there is to say something about: the standard library, and whatever a list or setting names."""
        public = {name for name in sys.stdlib_module_names if not name.startswith("_")}
        named = {*OUTSIDE, *RESERVED, *BLOCKED, "os.path", *self.settings.modules, *self.settings.lifted}
        return sorted(public - ELSEWHERE | named - set(GONE) | named & sys.stdlib_module_names)

    def _rule(self, mode: Mode, opened: Iterable[str] = ()) -> ImportRule:
        allowed, lifted = frozenset((*self.settings.modules, *opened)), frozenset(self.settings.lifted)
        return ImportRule(mode.value, allowed, lifted, self.settings.preset)

    def verdict(
        self, module: str, mode: Mode, parts: Iterable[str] = (), origin: str = "", opened: tuple[str, ...] = ()
    ) -> str | None:
        """Return the sentence that refuses ``module`` in ``mode``; None if it may be imported.

        Args:
            module: Its whole name.
            mode: The mode of the run.
            parts: What an import statement takes out of it.
            origin: Where the scripts' interpreter has it from. Without it a module that is not standard is taken for an
                installed one: this interpreter is not theirs, and has other packages.
            opened: Import names that were approved together with the script's environment.
        """
        origin = origin or (STANDARD if module.partition(".")[0] in sys.stdlib_module_names else INSTALLED)
        if not opened:
            return self._rules[mode].denial(module, parts, origin)
        if (mode, opened) not in self._opened:
            if len(self._opened) >= MAX_OPENED:
                self._opened.clear()
            self._opened[mode, opened] = self._rule(mode, opened)
        return self._opened[mode, opened].denial(module, parts, origin)
