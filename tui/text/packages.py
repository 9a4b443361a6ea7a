"""How packages, plans and interpreters are said, on every surface alike; and requirements as people type them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.models.packages import InstalledPackage, PackagePlan, PlannedPackage

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "system": "this system's",
        "local": "installed beside the system",
        "pyenv": "pyenv",
        "uv": "uv",
        "added": "added",
        "own": "Gatewright's own",
        "used": "an environment",
    }
)
"""Words for where an interpreter comes from."""

CHANGES = ("new", "upgrade", "downgrade", "removed")

SHOWN_CHANGES = 4
"""Packages that one line names."""

_OPERATOR = re.compile(r"\s*(===|==|~=|!=|<=|>=|<|>|,|@)\s*")


def changing(plan: PackagePlan) -> list[PlannedPackage]:
    """Return what a plan changes."""
    return [one for one in plan.packages if one.change in CHANGES]


def versions(one: PlannedPackage) -> str:
    """``1.0 -> 2.0``, or the one version that there is."""
    if one.change == "removed":
        return one.before or one.version
    return f"{one.before} -> {one.version}" if one.before and one.before != one.version else one.version


def to_fetch(plan: PackagePlan) -> int:
    """Return how many bytes would be fetched, as far as that is known."""
    return sum(one.size for one in plan.packages if one.change not in ("same", "removed"))


def counted(count: int) -> str:
    """``1 package``, ``5 packages``, ``no packages``."""
    return "1 package" if count == 1 else f"{count or 'no'} packages"


def changes_line(plan: PackagePlan) -> str:
    """``new pandas 2.3.3, removed xlrd 1.2, and 3 more``."""
    changes = changing(plan)
    named = [f"{one.change} {one.name} {versions(one)}" for one in changes[:SHOWN_CHANGES]]
    more = len(changes) - SHOWN_CHANGES
    return ", ".join([*named, f"and {more} more"] if more > 0 else named)


def split_requirements(line: str) -> list[str]:
    """Return the requirements of a line, which spaces part: ``pandas >= 2, <3 openpyxl`` holds two.

    A line with a marker (``;``, PEP 508) is one requirement: markers have spaces of their own.
    """
    if ";" in line:
        return [line.strip()]
    return _OPERATOR.sub(lambda found: found[1], line).split()


def needing(name: str, packages: Iterable[InstalledPackage]) -> list[str]:
    """Return the installed packages that cannot do without this one, by name, themselves needed or not."""
    needed_by = {one.name: one.needed_by for one in packages}
    found, waiting = set[str](), [name]
    while waiting:
        for other in needed_by.get(waiting.pop(), ()):
            if other not in found and other != name:
                found.add(other)
                waiting.append(other)
    return sorted(found)
