"""A lock: exactly which wheels an environment is made of, as a ``pylock.toml`` (PEP 751) with their hashes."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from packaging import tags
from packaging.utils import canonicalize_name, parse_wheel_filename

MAX_LOCK = 4 << 20
"""Bytes of a lock that is read."""

MAX_PACKAGES = 1000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,2000}")


class BadLock(ValueError):
    """Not a lock that can be used. The message is the sentence for the user."""


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One package of a lock.

    Attributes:
        name: In its canonical form.
        version: Of the package.
        url: Of the file that it is installed from, without credentials.
        sha256: Of that file.
        size: In bytes; 0 where that is not told.
        source: It is no wheel but a source distribution, which has to be built.
    """

    name: str
    version: str
    url: str
    sha256: str
    size: int = 0
    source: bool = False

    @property
    def file(self) -> str:
        """The file's name."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    @property
    def path(self) -> str:
        """Of the file, where it lies on this host."""
        return unquote(urlsplit(self.url).path)

    @property
    def origin(self) -> str:
        """Host or folder that it comes from."""
        parts = urlsplit(self.url)
        return unquote(parts.path).rpartition("/")[0] if parts.scheme == "file" else parts.netloc


@dataclass(frozen=True, slots=True)
class Lock:
    """Packages by name, one file of each: the one that fits the interpreter that it was resolved for."""

    packages: tuple[LockedPackage, ...] = ()

    @property
    def key(self) -> str:
        """Return the same text for all locks of the same files, wherever those come from."""
        files = [[each.name, each.version, each.sha256] for each in self.packages]
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files of which the size is known."""
        return sum(each.size for each in self.packages)

    @property
    def text(self) -> str:
        """The lock as it is kept, and as uv reads it."""
        blocks = ['lock-version = "1.0"\ncreated-by = "gatewright"\n', *(_block(each) for each in self.packages)]
        return "\n".join(blocks)

    def of(self, name: str) -> LockedPackage | None:
        """Return the package of that name in its canonical form."""
        return next((each for each in self.packages if each.name == name), None)

    @classmethod
    def read(cls, text: str, python: str, *, source: bool = False) -> Lock:
        """Read a lock, whoever wrote it.

        Args:
            text: Of a ``pylock.toml``.
            python: Version of the interpreter that its packages are for.
            source: Take a source distribution where there is no wheel.

        Raises:
            BadLock: It is none, or one of its packages has no file with a hash that fits the interpreter.
        """
        if len(text) > MAX_LOCK:
            raise BadLock("The lock is too large.")
        try:
            tables = tomllib.loads(text).get("packages", [])
        except (ValueError, RecursionError) as error:  # also a number that is too long to be one
            raise BadLock(f"The lock is not valid TOML: {str(error)[:200]}.") from None
        if not isinstance(tables, list) or len(tables) > MAX_PACKAGES:
            raise BadLock("The lock is no lock of packages.")
        try:
            packages = [_package(table, python, source) for table in tables]
        except BadLock:
            raise
        except ValueError:  # urlsplit(), of an address that is none
            raise BadLock("The lock names a package at an address that cannot be used.") from None
        if len({each.name for each in packages}) != len(packages):
            raise BadLock("The lock names a package twice.")
        return cls(tuple(sorted(packages, key=lambda each: each.name)))


def without_credentials(url: str) -> str:
    """Return an address without the name and the password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def fits(wheel: str, python: str) -> bool:
    """Tell whether a wheel of that file name can be installed for an interpreter of this host."""
    ranks = _ranks(python)
    return _rank(wheel, ranks) < len(ranks)


def _rank(wheel: str, ranks: Mapping[str, int]) -> int:
    try:
        _, _, _, made_for = parse_wheel_filename(wheel)
    except ValueError:  # also a number that is too long to be one
        return len(ranks)
    return min((ranks.get(str(tag), len(ranks)) for tag in made_for), default=len(ranks))


def _package(table: object, python: str, source: bool) -> LockedPackage:
    if (
        not isinstance(table, dict)
        or not isinstance(table.get("name"), str)
        or not isinstance(table.get("version"), str)
    ):
        raise BadLock("The lock names a package without a version, or one that comes from no index.")
    name, version = canonicalize_name(table["name"]), table["version"]
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?", name) or not re.fullmatch(r"[\w.!+-]{1,100}", version):
        raise BadLock("The lock names a package that is none.")
    wheels = table.get("wheels", [])
    found = [file for file in wheels if isinstance(file, dict)] if isinstance(wheels, list) else []
    chosen = _best(found, python)
    built = chosen is None and source and isinstance(table.get("sdist"), dict)
    if built:
        chosen = table["sdist"]
    if chosen is None:
        raise BadLock(f"{name} {version} has no wheel for Python {python} on this host.")
    return _locked(name, version, chosen, built)


def _locked(name: str, version: str, file: Mapping[str, Any], source: bool) -> LockedPackage:
    url, hashes, size = _url(file), file.get("hashes"), file.get("size", 0)
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise BadLock(f"The package index tells no SHA-256 of {name} {version}.")
    if urlsplit(url).scheme not in ("http", "https", "file") or not _PRINTABLE.fullmatch(url):
        raise BadLock(f"{name} {version} comes from an address that cannot be used.")
    locked = LockedPackage(
        name, version, without_credentials(url), sha256, size if isinstance(size, int) and size > 0 else 0, source
    )
    if "/" in locked.file or not locked.file.isprintable():
        raise BadLock(f"{name} {version} comes from an address that cannot be used.")
    return locked


def _best(files: Iterable[Mapping[str, Any]], python: str) -> Mapping[str, Any] | None:
    """The wheel that fits best; of the same one in two places the first."""
    ranks = _ranks(python)
    best, rank = None, len(ranks)
    for file in files:
        here = _rank(unquote(_url(file).rpartition("/")[2]), ranks)
        if here < rank:
            best, rank = file, here
    return best


def _url(file: Mapping[str, Any]) -> str:
    url = file.get("url")
    if isinstance(url, str):
        return url
    path = file.get("path")
    return Path(path).as_uri() if isinstance(path, str) and path.startswith("/") else ""


@functools.lru_cache(maxsize=8)
def _ranks(python: str) -> Mapping[str, int]:
    """Tags of wheels that an interpreter of this host takes, the best one first (PEP 425)."""
    major, minor = (int(part) for part in python.split(".")[:2])
    platforms = list(tags.platform_tags())
    name = f"cp{major}{minor}"
    found = [
        *tags.cpython_tags((major, minor), [name], platforms),
        *tags.compatible_tags((major, minor), name, platforms),
    ]
    return {str(tag): rank for rank, tag in reversed(list(enumerate(found)))}


def _block(package: LockedPackage) -> str:
    size = f"size = {package.size}, " if package.size else ""
    file = f'{{ url = {json.dumps(package.url)}, {size}hashes = {{ sha256 = "{package.sha256}" }} }}'
    where = f"sdist = {file}" if package.source else f"wheels = [{file}]"
    return f'[[packages]]\nname = "{package.name}"\nversion = "{package.version}"\n{where}\n'
