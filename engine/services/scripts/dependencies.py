"""Which Python and packages that scripts name are not those of the environment that they run in.

Requirements are read as PEP 508 says. Nothing is ever installed from here.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine.pool.job import Environment
from engine.services.packages.installed import found_distributions

MAX_SHOWN = 3
"""Requirements in one sentence."""


class Dependencies:
    """What is installed. Its methods block, and may be called from several threads.

    Args:
        places: Folders with packages.
        python: The version of the scripts' interpreter.
        others: Versions of the other interpreters that a script may ask for by ``requires-python``.
    """

    def __init__(
        self,
        places: Iterable[Path],
        python: str = platform.python_version(),
        others: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._python = python
        self._others = others
        self._asked = False
        self._markers = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
        self._places = [str(place) for place in places]
        self._installed: tuple[tuple[tuple[str, int], ...], Mapping[str, str]] = ((), {})

    @classmethod
    def of(cls, environment: Environment, others: Callable[[], Sequence[str]] = tuple) -> Dependencies:
        """What is installed in an environment."""
        return cls([environment.packages], environment.version, others)

    def follow(self, environment: Environment) -> None:
        """Look at another environment from now on."""
        fresh = Dependencies.of(environment)
        self._python, self._markers, self._places = fresh._python, fresh._markers, fresh._places

    @property
    def pythons(self) -> tuple[str, ...]:
        """The versions of Python that scripts are judged by, the usual one first. Blocks.

        The others are looked for only where a script has asked for one of them.
        """
        return (self._python, *self._others()) if self._asked else (self._python,)

    def python_problem(self, requires: str | None, *, elsewhere: bool = True) -> str | None:
        """Return one sentence if ``requires-python`` leaves out every Python that scripts can run with here.

        Args:
            requires: As PEP 723 has it.
            elsewhere: Another interpreter of the host will do; else only the usual one.
        """
        if requires is None or _allows(requires, self._python):
            return None
        self._asked = self._asked or elsewhere
        others = self._others() if elsewhere else ()
        if any(_allows(requires, version) for version in others):
            return None
        there = f"scripts here run with Python {self._python}"
        more = [version for version in dict.fromkeys(others) if version != self._python]
        if more:
            there += f", {', '.join(more[:-1])} or {more[-1]}" if len(more) > 1 else f" or {more[0]}"
        return f"It requires Python {requires} (requires-python), and {there}."

    def satisfies(self, requirements: Sequence[str], requires_python: str | None) -> bool:
        """Return whether a script that asks for these has what it needs in the usual environment."""
        fits = requires_python is None or _allows(requires_python, self._python)
        return fits and not self.missing(requirements)

    def note(self, requirements: Sequence[str]) -> str | None:
        """One sentence if something of what a script requires is missing here."""
        if not requirements:
            return None
        missing = self.missing(requirements)
        if not missing:
            return None
        more = f" and {len(missing) - MAX_SHOWN} more" if len(missing) > MAX_SHOWN else ""
        return f"Not installed for scripts here: {', '.join(missing[:MAX_SHOWN])}{more}."

    def missing(self, requirements: Iterable[str]) -> list[str]:
        """Those of ``requirements`` that are not installed in a fitting version, or are no requirements at all."""
        installed = self._current()
        return [text for text in requirements if not _is_met(text, installed, self._markers)]

    def _current(self) -> Mapping[str, str]:
        """Versions by name, read anew when a package was installed or removed: that changes its folder's time."""
        stamp = tuple((place, _changed(place)) for place in self._places)
        known, installed = self._installed
        if stamp != known:
            # The first one on the path is the one that is imported.
            installed = {}
            for distribution in (each for place in self._places for each in found_distributions(Path(place))):
                with contextlib.suppress(Exception):  # a damaged package must not hide the others
                    installed.setdefault(canonicalize_name(distribution.name), distribution.version)
            self._installed = stamp, installed
        return installed


def _changed(place: str) -> int:
    try:
        return os.stat(place).st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=256)
def _allows(requires: str, python: str) -> bool:
    try:
        return SpecifierSet(requires).contains(python, prereleases=True)
    except InvalidSpecifier:  # that is told as what is wrong with the header
        return True


def _is_met(text: str, installed: Mapping[str, str], markers: Mapping[str, str]) -> bool:
    try:
        required = Requirement(text)
        if required.marker is not None and not required.marker.evaluate(dict(markers)):
            return True
        version = installed.get(canonicalize_name(required.name))
        return version is not None and required.specifier.contains(Version(version), prereleases=True)
    except (ValueError, RecursionError):  # no requirement, no version, or a marker that makes no sense
        return False
