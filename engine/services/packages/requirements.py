"""Names of packages and requirements (PEP 508) as people write them: which may be one, and lists of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from engine.services.access import ServiceError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


def checked_requirement(text: str) -> Requirement:
    """Return a requirement that names a package of an index: no option, file, folder or address.

    Raises:
        ServiceError: ``bad_request``.
    """
    shown = repr(text[:80])
    if text.lstrip().startswith("-"):
        raise _bad(f"{shown} is an option, and no package.", "Index and constraints stand in the project's settings.")
    if not text.isprintable():
        raise _bad(f"{shown} is no package.", "Write it as pandas or numpy>=2.")
    if "://" in text or " @ " in text or text.startswith((".", "/", "~")) or text.endswith((".whl", ".tar.gz", ".zip")):
        raise _bad(
            f"{shown} is a file or an address, and no package's name.",
            "Put the file into the wheelhouse folder of the settings, then install the package by its name.",
        )
    try:
        found = Requirement(text)
    except InvalidRequirement:
        raise _bad(f"{shown} is no package.", "Write it as pandas, numpy>=2 or requests[socks]==2.32.*.") from None
    if found.url is not None or not _NAME.fullmatch(found.name):
        raise _bad(f"{shown} is no package's name.", "Write it as pandas or numpy>=2.")
    return found


def checked_requirements(texts: Iterable[str]) -> list[str]:
    """Return requirements as they are kept: each one checked, spelt alike, by name, none twice.

    Raises:
        ServiceError: ``bad_request``.
    """
    return sorted({str(checked_requirement(text.strip())) for text in texts}, key=str.lower)


def checked_name(text: str) -> str:
    """Return a package's name in its canonical form.

    Raises:
        ServiceError: ``bad_request``.
    """
    if not _NAME.fullmatch(text):
        raise _bad(f"{text[:80]!r} is no package's name.", "Give its name alone, such as pandas.")
    return canonicalize_name(text)


def name_of(requirement: str) -> str:
    """Return the canonical name of the package that a checked requirement asks for."""
    return canonicalize_name(Requirement(requirement).name)


def with_requirements(kept: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Return what is asked for, together with what was asked for before and is of other names."""
    names = {name_of(requirement) for requirement in asked}
    return checked_requirements([*(each for each in kept if name_of(each) not in names), *asked])


def without_packages(kept: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return ``kept`` but for what asks for one of ``names``."""
    gone = set(names)
    return [each for each in kept if name_of(each) not in gone]


def _bad(sentence: str, hint: str) -> ServiceError:
    return ServiceError("bad_request", sentence, hint=hint)
