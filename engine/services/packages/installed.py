"""What is installed in an environment, read from its packages' own files. Nothing of it is imported."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

MAX_TEXT = 300

MAX_METADATA = 1 << 20
"""Bytes of what a package says of itself that are read: what stands behind them is its description."""

MAX_RECORD = 16 << 20
"""Bytes of its list of files that are read."""

MAX_REQUIRES = 2000
LONGEST_REQUIREMENT = 2000
"""Characters; more of them than ``MAX_TEXT``, since the end of a requirement says where it holds."""

_LARGEST = 1 << 40
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,99}")


@dataclass(slots=True)
class InstalledDistribution:
    """One installed package.

    Attributes:
        name: In its canonical form.
        version: Of the package.
        requires: What it depends on, as it says so.
        needs: Canonical names of that, as far as it is installed and holds here.
        needed_by: Names of packages that need it.
        modules: Import names.
        size: Of its files, in bytes.
    """

    name: str
    version: str
    requires: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    needed_by: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    size: int = 0
    summary: str = ""
    licence: str = ""
    homepage: str = ""


class FoundDistribution(metadata.Distribution):
    """A package by the folder in which it describes itself, of which it is read no more than an honest one has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_text(self, filename: str | os.PathLike[str]) -> str | None:
        """Return a file's text, or its beginning; None if there is no such file."""
        try:
            with open(self._folder / filename, "rb") as file:
                return file.read(MAX_RECORD if filename == "RECORD" else MAX_METADATA).decode("utf-8", "replace")
        except OSError:
            return None

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        """Return where a file of the package is."""
        return self._folder.parent / path


def found_distributions(packages: Path) -> Iterator[FoundDistribution]:
    """Return the packages of a folder, as ``importlib.metadata`` would, whatever is in them. Blocks."""
    try:
        names = sorted(os.listdir(packages))
    except OSError:
        return
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            yield FoundDistribution(packages / name)


class Installed:
    """The packages of a folder, by name. Made by reading all of them: it blocks.

    Args:
        packages: The folder of packages.
        version: Of the interpreter; of the engine's own where it does not matter.
        requested: What was asked for, with the extras of that.
        locked: Names and versions of what is there, also where its own description cannot be read.
    """

    def __init__(
        self,
        packages: Path,
        version: str = "",
        requested: Iterable[str] = (),
        locked: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.packages: dict[str, InstalledDistribution] = {}
        for found in found_distributions(packages):
            with contextlib.suppress(Exception):  # a damaged package must not hide the others
                one = _read(found)
                self.packages.setdefault(one.name, one)
        for name, of_lock in locked:  # nor itself: it must be possible to remove it
            self.packages.setdefault(name, InstalledDistribution(name, of_lock))
        self._marks = {"python_full_version": version, "python_version": ".".join(version.split(".")[:2])}
        if not version:
            self._marks.clear()
        self._connect(requested)

    def _connect(self, requested: Iterable[str]) -> None:
        """Find out which package needs which, extras included as far as they were asked for."""
        extras: dict[str, set[str]] = {name: set() for name in self.packages}
        waiting = list(self.packages)
        for text in requested:
            asked = _requirement(text)
            if asked is not None and asked.extras and (name := str(canonicalize_name(asked.name))) in extras:
                extras[name] |= asked.extras
        while waiting:
            one = self.packages[waiting.pop()]
            for requirement in self._holding(one, extras[one.name]):
                name = canonicalize_name(requirement.name)
                if name not in one.needs:
                    one.needs.append(name)
                if not requirement.extras <= extras[name]:
                    extras[name] |= requirement.extras
                    waiting.append(name)
        for one in self.packages.values():
            for name in one.needs:
                if name != one.name:
                    self.packages[name].needed_by.append(one.name)

    def _holding(self, one: InstalledDistribution, extras: Iterable[str]) -> Iterator[Requirement]:
        """What a package depends on here, of what is installed."""
        for text in one.requires:
            requirement = _requirement(text)
            if requirement is None or canonicalize_name(requirement.name) not in self.packages:
                continue
            with contextlib.suppress(ValueError):  # a marker that makes no sense holds nowhere
                marker = requirement.marker
                if marker is None or any(marker.evaluate(self._marks | {"extra": extra}) for extra in ("", *extras)):
                    yield requirement

    def requires(self, one: InstalledDistribution) -> list[str]:
        """Return what a package depends on with this Python, without what only an extra of it takes."""
        found = []
        for text in one.requires:
            requirement = _requirement(text)
            if requirement is None or requirement.marker is None:
                found.append(text)
                continue
            with contextlib.suppress(ValueError):  # a marker that makes no sense holds nowhere
                if requirement.marker.evaluate(self._marks | {"extra": ""}):
                    requirement.marker = None
                    found.append(str(requirement))
        return found

    def needed(self, names: Iterable[str]) -> set[str]:
        """Return ``names`` with everything that they need."""
        found: set[str] = set()
        waiting = [name for name in names if name in self.packages]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.packages[name].needs)
        return found


def _read(found: metadata.Distribution) -> InstalledDistribution:
    """Read what a package says of itself, nothing of which has to be true.

    Raises:
        ValueError: It has no name or version that can be shown.
    """
    told = found.metadata
    name, version = canonicalize_name(told["Name"]), found.version
    if not _WORD.fullmatch(name) or not _WORD.fullmatch(version):
        raise ValueError(name)
    one = InstalledDistribution(name, version, [_shown(text, LONGEST_REQUIREMENT) for text in _requires(told)])
    one.summary, one.licence = _text(told, "Summary"), _text(told, "License-Expression") or _text(told, "License")
    one.homepage = _text(told, "Home-page") or _home(told.get_all("Project-URL") or [])
    modules = set()
    with contextlib.suppress(Exception):  # of its list of files what can be read
        for file in found.files or []:
            if (module := _module(PurePosixPath(file))) is not None:
                modules.add(module)
            one.size += max(0, min(file.size or 0, _LARGEST))
    one.modules = sorted(modules)
    return one


def _requires(told: metadata.PackageMetadata) -> list[str]:
    return [str(text) for text in told.get_all("Requires-Dist") or []][:MAX_REQUIRES]


def _module(path: PurePosixPath) -> str | None:
    """The import name that a file belongs to, if it belongs to one."""
    first = path.parts[0]
    if len(path.parts) == 1:
        name, _, rest = first.partition(".")
        return name if (rest == "py" or rest.endswith("so")) and name.isidentifier() else None
    return first if first.isidentifier() and first != "__pycache__" else None


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError):
        return None


def _text(told: metadata.PackageMetadata, key: str) -> str:
    text = told.get_all(key) or [""]
    return _shown(str(text[0]).partition("\n")[0])


def _shown(text: str, longest: int = MAX_TEXT) -> str:
    shown = "".join(each if each.isprintable() else " " for each in text[: longest + 1]).strip()
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _home(urls: list[str]) -> str:
    for url in urls:
        label, _, address = str(url).partition(",")
        if label.strip().lower() in ("homepage", "home", "source", "repository", "documentation"):
            return _shown(address)
    return ""
