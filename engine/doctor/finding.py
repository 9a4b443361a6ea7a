"""One line of a diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried, what came of it, what to do.

    Attributes:
        layer: The layer of the sandbox, or the promise to scripts, that it is about; empty for everything else.
        protects: What that layer is for, one clause.
    """

    level: Severity
    tried: str
    found: str
    advice: str = ""
    layer: str = ""
    protects: str = ""

    def __str__(self) -> str:
        more = [f"\n      {line}" for line in (self.protects, self.advice) if line]
        return f"{self.level:<5} {self.tried}: {self.found}{''.join(more)}"


def careful(check: Callable[[], Finding], name: str) -> Finding:
    """What ``check`` finds; that it broke is a finding too."""
    return next(careful_each(lambda: iter([check()]), name))


def careful_each(examine: Callable[[], Iterator[Finding]], name: str) -> Iterator[Finding]:
    """What ``examine`` finds, and that it broke half way."""
    try:
        yield from examine()
    except Exception as error:  # noqa: BLE001 - one check that breaks must not hide the others
        yield Finding(level=Severity.FAIL, tried=name.strip("_"), found=f"the check itself failed: {error!r}")
