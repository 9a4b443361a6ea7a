"""Which packages a run should find imported ahead: those that take long to import, where its code names them."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable

from engine.models.runs import Mode
from engine.pool.job import AHEAD, Environment, SharedModule
from engine.sandbox.modules import ImportPolicy

_NAMES = [(name, name.encode()) for name in AHEAD]
_IMPORT = re.compile(rb"^[ \t]*(?:import|from)[ \t]([^#\n]*)", re.MULTILINE)
_WORD = re.compile(rb"\b(?<!\.)(%s)\b" % b"|".join(name for _, name in _NAMES))

KEPT = 256
"""Texts whose imports are remembered."""


class Ahead:
    """Looks at texts only as far as a wrong guess costs nothing: a run imports for itself what is not there."""

    def __init__(self, imports: ImportPolicy) -> None:
        self._imports = imports
        self._known: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()

    def modules(
        self, source: bytes, shared: Iterable[SharedModule], mode: Mode, environment: Environment
    ) -> tuple[str, ...]:
        """Return the modules to import ahead of a run, in order.

        Args:
            source: Its code.
            shared: The shared code that it is given.
            mode: Its mode, which decides what its code may import.
            environment: Where it runs; what is not installed there is left out.
        """
        names = set(self._named(source))
        for module in shared:
            names.update(self._named(module.text))
        if not names:
            return ()
        found = {name for name in names if self._allowed(name, mode, environment) and _installed(name, environment)}
        return tuple(sorted({module for name in found for module in AHEAD[name]}))

    def _allowed(self, name: str, mode: Mode, environment: Environment) -> bool:
        return name in environment.modules or self._imports.verdict(name, mode) is None

    def _named(self, text: bytes) -> tuple[str, ...]:
        if not any(name in text for _, name in _NAMES):
            return ()
        key = hashlib.sha256(text).digest()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _imported(text)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found


def _imported(text: bytes) -> tuple[str, ...]:
    """Return the packages that import statements of a text name; one in a string or a function counts, too."""
    lines = (line.partition(b" import ")[0] if b" import " in line else line for line in _IMPORT.findall(text))
    return tuple(sorted({word.decode() for line in lines for word in _WORD.findall(line)}))


def _installed(name: str, environment: Environment) -> bool:
    return (environment.packages / name / "__init__.py").is_file()
