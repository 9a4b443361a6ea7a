"""The import rule as the engine asks it: the same rule and the same sentences as in a script's own process."""

from __future__ import annotations

from engine.config import PolicySection
from engine.models.runs import Mode
from engine.worker.imports import ImportRule


class ImportPolicy:
    """What this project's administrator lets scripts import, by mode."""

    def __init__(self, policy: PolicySection) -> None:
        allowed, lifted = frozenset(policy.modules), frozenset(policy.lifted)
        self._rules = {mode: ImportRule(mode.value, allowed, lifted) for mode in Mode}

    def verdict(self, module: str, mode: Mode) -> str | None:
        """The sentence that refuses ``module``, by its whole name, in ``mode``; None if it may be imported."""
        return self._rules[mode].denial(module)
