"""A bundle: the packages of an environment in one file, for a host that reaches no index.

A zip archive that holds its files uncompressed: ``bundle.json``, ``pylock.toml`` (PEP 751) and ``wheels/``. Everything
that is read from one is compared with the lock's hashes before it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import ssl
import struct
import time
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

import msgspec

from engine.models.base import Model
from engine.services.access import ServiceError
from engine.services.packages.lock import MAX_LOCK, BadLock, Lock, LockedPackage, without_credentials
from engine.services.packages.requirements import checked_requirements
from engine.services.packages.uv import Uv, login

if TYPE_CHECKING:
    import httpx2

FORMAT = 1
MAX_BUNDLE = 8 << 30
PIECE = 1 << 20
UNUSED_FOR = 3600.0
"""Seconds for which a wheel of a bundle stays although no build was made of it: that may take a while."""

SILENCE = 30.0
"""Seconds that an index may take for the next part of a file."""

_ABOUT, _LOCK, _WHEELS = "bundle.json", "pylock.toml", "wheels/"


_DAMAGED = (zipfile.BadZipFile, KeyError, EOFError, ValueError, OverflowError, RuntimeError, struct.error)
"""Errors of ``zipfile``, ``json`` and ``msgspec`` about what is no bundle, or is made to look like one."""


class BundleAbout(Model, frozen=True):
    """What a bundle says of itself."""

    format: int
    python: str
    """Version of the interpreter that its packages are for."""
    requirements: list[str]


async def fetch_wheels(lock: Lock, uv: Uv, folder: Path) -> list[Path]:
    """Get every file of a lock into ``folder``, each compared with its hash.

    Raises:
        ServiceError: One is not to be had, or is another one than the lock names.
        OSError: It cannot be written.
    """
    addresses = [*uv.settings.extra_indexes, await uv.default_index() if uv.has_index else ""]
    made: list[Path] = []
    total = 0
    import httpx2  # 50 ms and some MB that most engines never need

    trusted = ssl.create_default_context()
    async with httpx2.AsyncClient(verify=trusted, follow_redirects=True, timeout=SILENCE) as client:
        for package in lock.packages:
            place = folder / package.file
            found = hashlib.sha256()
            with place.open("xb") as file:
                size = 0
                async for piece in _content(client, package, addresses):
                    size += len(piece)
                    total += len(piece)
                    if 0 < package.size < size:
                        raise _other_hash(package)
                    if total > MAX_BUNDLE:
                        raise ServiceError("too_large", "A bundle of these packages would be too large.", status=413)
                    found.update(piece)
                    await asyncio.to_thread(file.write, piece)
            if found.hexdigest() != package.sha256:
                raise _other_hash(package)
            made.append(place)
    return made


def write_bundle(file: BinaryIO, lock: Lock, python: str, requirements: Sequence[str], wheels: Sequence[Path]) -> None:
    """Write a bundle of files that were fetched. Blocks."""
    about = BundleAbout(FORMAT, python, list(requirements))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_ABOUT, msgspec.json.encode(about))
        archive.writestr(_LOCK, lock.text)
        for wheel in wheels:
            archive.write(wheel, f"{_WHEELS}{wheel.name}")


async def receive(chunks: AsyncIterator[bytes], file: BinaryIO) -> None:
    """Write what arrives.

    Raises:
        ServiceError: ``too_large``.
        OSError: It cannot be written.
    """
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > MAX_BUNDLE:
            raise ServiceError("too_large", "A bundle of that size is not taken.", status=413)
        await asyncio.to_thread(file.write, chunk)


def read_bundle(file: BinaryIO, python: str, folder: Path) -> tuple[list[str], Lock]:
    """Read a bundle and put its wheels into ``folder``; nothing else of it is written anywhere. Blocks.

    Args:
        file: The bundle.
        python: Version of the interpreter that the packages have to fit.
        folder: Of wheels. What it holds of them already stays.

    Returns:
        What was asked for where the bundle was made, and a lock of the files in ``folder``.

    Raises:
        ServiceError: It is no bundle, is damaged, or is for another Python or platform.
        OSError: It cannot be written.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            about = msgspec.json.decode(_member(archive, _ABOUT), type=BundleAbout)
            if about.format != FORMAT:
                raise ServiceError(
                    "bad_bundle", "The bundle was made by a newer Gatewright.", hint="Upgrade this one.", status=422
                )
            lock = Lock.read(_member(archive, _LOCK).decode(), python)
            requirements = checked_requirements(about.requirements)
            lock = Lock(tuple(replace(each, url=(folder / each.file).as_uri()) for each in lock.packages))
            for package in lock.packages:
                _unpack(archive, package, folder)
    except BadLock as bad:
        raise ServiceError(
            "bad_bundle",
            f"The bundle does not fit this environment: {bad}",
            hint="Make one with the same Python and the same kind of host.",
            status=422,
        ) from None
    except _DAMAGED:
        raise ServiceError(
            "bad_bundle",
            "This is no bundle of packages, or it is damaged. Nothing was changed.",
            hint="Make one with: gatewright packages bundle OUT",
            status=422,
        ) from None
    return requirements, lock


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > MAX_LOCK or info.compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile
    return archive.read(info)


def _unpack(archive: zipfile.ZipFile, package: LockedPackage, folder: Path) -> None:
    """Write a wheel, under its name only if it is the one that the lock names."""
    info = archive.getinfo(f"{_WHEELS}{package.file}")
    if info.compress_type != zipfile.ZIP_STORED:  # its size could be anything
        raise zipfile.BadZipFile
    part = folder / f".{package.file}.part"
    found = hashlib.sha256()
    try:
        with archive.open(info) as source, part.open("wb") as target:
            while piece := source.read(PIECE):
                found.update(piece)
                target.write(piece)
        if found.hexdigest() != package.sha256:
            raise _other_hash(package)
        os.replace(part, folder / package.file)
    finally:
        part.unlink(missing_ok=True)


async def _content(
    client: httpx2.AsyncClient, package: LockedPackage, addresses: Sequence[str]
) -> AsyncIterator[bytes]:
    parts = urlsplit(package.url)
    if parts.scheme == "file":
        with _opened(package, unquote(parts.path)) as file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece
        return
    import httpx2

    try:
        async with client.stream("GET", package.url, auth=_login(package.url, addresses)) as answer:
            if answer.status_code != 200:
                raise _not_to_be_had(package, f"answers with the status {answer.status_code}")
            async for piece in answer.aiter_bytes():
                yield piece
    except (httpx2.HTTPError, TimeoutError, OSError):
        raise _not_to_be_had(package, "does not answer") from None


@contextlib.contextmanager
def _opened(package: LockedPackage, path: str) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise ServiceError(
            "no_wheel", f"{package.file} is no longer in {package.origin}.", hint="Put it there again.", status=422
        ) from None


def _login(url: str, addresses: Sequence[str]) -> tuple[str, str] | None:
    """Name and password for a file, if they are those of the index on the same host."""
    for address in addresses:
        parts = urlsplit(address)
        if parts.username and without_credentials(address).startswith(f"{parts.scheme}://{urlsplit(url).netloc}/"):
            return login(address)
    return None


def _not_to_be_had(package: LockedPackage, why: str) -> ServiceError:
    return ServiceError("index_unreachable", f"{package.file} is not to be had: {package.origin} {why}.", status=504)


def _other_hash(package: LockedPackage) -> ServiceError:
    return ServiceError(
        "hash_mismatch",
        f"{package.file} is not the file that the lock names: its hash is another. Nothing was changed.",
        hint="Do not use it.",
        status=422,
    )


def remove_unused(folder: Path, locks: Sequence[Lock]) -> None:
    """Remove the wheels of bundles that no build was made of, but for new ones, of which one is being made. Blocks."""
    used = {unquote(urlsplit(each.url).path) for lock in locks for each in lock.packages}
    newest = time.time() - UNUSED_FOR
    with contextlib.suppress(OSError):
        for place in folder.iterdir():
            if str(place) not in used and place.lstat().st_ctime < newest:
                place.unlink(missing_ok=True)


def new_folder(folder: Path) -> Path:
    """Return an empty folder, which may have been left by an engine that was killed. Blocks."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder
