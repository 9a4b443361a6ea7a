"""What is installed in an environment, read from its packages' own files. Nothing of it is imported."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

MAX_TEXT = 300

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


class Installed:
    """The packages of a folder, by name. Made by reading all of them: it blocks.

    Args:
        packages: The folder of packages.
        version: Of the interpreter; of the engine's own where it does not matter.
        requested: What was asked for, with the extras of that.
    """

    def __init__(self, packages: Path, version: str = "", requested: Iterable[str] = ()) -> None:
        self.packages: dict[str, InstalledDistribution] = {}
        for found in metadata.distributions(path=[str(packages)]):
            with contextlib.suppress(Exception):  # a damaged package must not hide the others
                one = _read(found)
                self.packages.setdefault(one.name, one)
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
            with contextlib.suppress(UndefinedEnvironmentName):
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
            with contextlib.suppress(UndefinedEnvironmentName):
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
    one = InstalledDistribution(name, version, [_shown(text) for text in found.requires or []])
    one.summary, one.licence = _text(told, "Summary"), _text(told, "License-Expression") or _text(told, "License")
    one.homepage = _text(told, "Home-page") or _home(told.get_all("Project-URL") or [])
    modules = set()
    for file in found.files or []:
        one.size += file.size or 0
        if (module := _module(PurePosixPath(file))) is not None:
            modules.add(module)
    one.modules = sorted(modules)
    return one


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
    except InvalidRequirement:
        return None


def _text(told: metadata.PackageMetadata, key: str) -> str:
    text = told.get_all(key) or [""]
    return _shown(str(text[0]).partition("\n")[0])


def _shown(text: str) -> str:
    shown = "".join(each if each.isprintable() else " " for each in text).strip()
    return shown if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT - 1]}…"


def _home(urls: list[str]) -> str:
    for url in urls:
        label, _, address = str(url).partition(",")
        if label.strip().lower() in ("homepage", "home", "source", "repository", "documentation"):
            return _shown(address)
    return ""
