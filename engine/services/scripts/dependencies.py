"""Which packages that scripts name are missing from the environment that they run in.

Requirements are read as PEP 508 says. Nothing is ever installed from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

MAX_SHOWN = 3
"""Requirements in one sentence."""


class Dependencies:
    """What is installed. Its methods block, and may be called from several threads.

    Args:
        places: Folders with packages.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        self._places = [str(place) for place in places]
        self._installed: tuple[tuple[int, ...], Mapping[str, str]] = ((), {})

    @classmethod
    def of(cls, environment: Path) -> Dependencies:
        """What is installed in a virtual environment."""
        return cls(environment.glob("lib/python*/site-packages"))

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
        return [text for text in requirements if not _is_met(text, installed)]

    def _current(self) -> Mapping[str, str]:
        """Versions by name, read anew when a package was installed or removed: that changes its folder's time."""
        stamp = tuple(_changed(place) for place in self._places)
        known, installed = self._installed
        if stamp != known:
            found = metadata.distributions(path=self._places)
            # The first one on the path is the one that is imported.
            installed = {}
            for distribution in found:
                installed.setdefault(canonicalize_name(distribution.name), distribution.version)
            self._installed = stamp, installed
        return installed


def _changed(place: str) -> int:
    try:
        return os.stat(place).st_mtime_ns
    except OSError:
        return 0


def _is_met(text: str, installed: Mapping[str, str]) -> bool:
    try:
        required = Requirement(text)
        if required.marker is not None and not required.marker.evaluate():
            return True
        version = installed.get(canonicalize_name(required.name))
        return version is not None and required.specifier.contains(Version(version), prereleases=True)
    except (InvalidRequirement, InvalidVersion):
        return False
