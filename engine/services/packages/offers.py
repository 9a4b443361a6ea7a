"""What package indexes and the wheelhouse offer by a name (PEP 503, PEP 691)."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote, urljoin, urlsplit

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from engine.models.packages import OfferedList, OfferedPackage
from engine.services.packages.lock import fits, without_credentials
from engine.services.packages.requirements import checked_name
from engine.services.packages.uv import Uv, login

MAX_PAGE = 24 << 20
"""Bytes that an index may tell of one package."""

MAX_FILES = 50_000
"""Of one package, of which an index may tell."""

MAX_VERSIONS = 50
MAX_FOUND = 50
PATIENCE = 20.0

_LINK = re.compile(
    r"""<a\s([^<>"']{0,2000}(?:(?:"[^"<]{0,2000}"|'[^'<]{0,2000}')[^<>"']{0,200}){0,20})>""", re.IGNORECASE
)
_ATTRIBUTE = re.compile(r"""([\w-]{1,50})\s{0,9}=\s{0,9}("[^"]*"|'[^']*'|[^\s"'=]{1,2000})""")
"""Of a page as PEP 503 has it, in which a quoted "<" is written as an entity. An HTML parser takes minutes for junk."""

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file that an index has: its name, which Python it is for, and whether it was withdrawn."""

    name: str
    requires_python: str = ""
    yanked: bool = False


class Unreachable(Exception):
    """The message is why an index does not answer, a clause."""


class Offers:
    """Asks for one package at a time: an index has no search, and its whole list is many megabytes.

    Args:
        uv: Knows the addresses.
    """

    def __init__(self, uv: Uv) -> None:
        self._uv = uv

    async def search(self, text: str, python: str) -> OfferedList:
        """Return the package of that name at the first index that has it, and what the wheelhouse has alike.

        Raises:
            ServiceError: ``bad_request``: it is no name.
        """
        name = checked_name(text)
        house = await asyncio.to_thread(self._wheelhouse, name, python)
        found = {each.name: each for each in house}
        warning = None
        if name not in found and (addresses := await self._addresses()):
            for address in addresses:
                host = urlsplit(without_credentials(address)).netloc
                try:
                    files = await self._files(address, name)
                except Unreachable as reason:
                    warning = f"The package index {host} {reason}."
                    break  # another one must not answer for it
                if files:
                    found[name] = await asyncio.to_thread(_offered, name, files, python, host)
                    break
        return OfferedList(packages=list(found.values())[:MAX_FOUND], warning=warning)

    async def _addresses(self) -> list[str]:
        extra = [*self._uv.settings.extra_indexes]
        last = await self._uv.default_index() if self._uv.has_index else ""
        return [*extra, last] if last else extra

    def _wheelhouse(self, name: str, python: str) -> list[OfferedPackage]:
        folder = self._uv.settings.wheelhouse
        if not folder:
            return []
        files: dict[str, list[OfferedFile]] = {}
        try:
            names = os.listdir(folder)
        except OSError:
            return []
        for file in names:
            if (parsed := _parsed(file)) is not None and parsed[0].startswith(name):
                files.setdefault(parsed[0], []).append(OfferedFile(file))
        return [_offered(each, found, python, folder) for each, found in sorted(files.items())]

    async def _files(self, address: str, name: str) -> list[OfferedFile]:
        """Ask an index for a package's files; none if it has no such package."""
        import httpx2  # 50 ms and some MB that most engines never need

        place = without_credentials(address)
        page = urljoin(place if place.endswith("/") else f"{place}/", f"{name}/")
        try:
            async with (
                asyncio.timeout(PATIENCE),
                httpx2.AsyncClient(verify=ssl.create_default_context(), follow_redirects=True) as client,
                client.stream("GET", page, headers={"accept": _ACCEPT}, auth=login(address)) as answer,
            ):
                if answer.status_code == 404:
                    return []
                if answer.status_code != 200:
                    raise Unreachable(f"answers with the status {answer.status_code}")
                data = bytearray()
                async for chunk in answer.aiter_bytes():
                    data += chunk
                    if len(data) > MAX_PAGE:
                        raise Unreachable("tells more of this package than can be read")
                kind = answer.headers.get("content-type", "")
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError):
            raise Unreachable("does not answer") from None
        return await asyncio.to_thread(told_files, bytes(data), kind)


def told_files(data: bytes, kind: str) -> list[OfferedFile]:
    """Return the files that a page of an index names, whatever is in it. Blocks.

    Raises:
        Unreachable: It is no such page.
    """
    return list(itertools.islice(_of_json(data) if "json" in kind else _of_html(data), MAX_FILES))


def _of_json(data: bytes) -> Iterator[OfferedFile]:
    try:
        files = json.loads(data)["files"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unreachable("does not answer as a package index does") from None
    for file in files if isinstance(files, list) else []:
        if isinstance(file, dict) and isinstance(file.get("filename"), str):
            requires = file.get("requires-python")
            yield OfferedFile(file["filename"], requires if isinstance(requires, str) else "", bool(file.get("yanked")))


def _of_html(data: bytes) -> Iterator[OfferedFile]:
    for link in _LINK.finditer(data.decode("utf-8", "replace")):
        attributes = {name.lower(): unescape(value.strip("\"'")) for name, value in _ATTRIBUTE.findall(link[1])}
        name = unquote(attributes.get("href", "").partition("#")[0].partition("?")[0].rpartition("/")[2])
        yield OfferedFile(name, attributes.get("data-requires-python", ""), "data-yanked" in link[1].lower())


def _parsed(file: str) -> tuple[str, Version] | None:
    try:
        if file.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(file)
        else:
            name, version = parse_sdist_filename(file)
    except ValueError:  # also a number that is too long to be one
        return None
    return canonicalize_name(name), version


def _offered(name: str, files: Iterable[OfferedFile], python: str, origin: str) -> OfferedPackage:
    versions: dict[Version, bool] = {}
    for file in files:
        parsed = _parsed(file.name)
        if parsed is not None and parsed[0] == name and not file.yanked:
            versions[parsed[1]] = versions.get(parsed[1], False) or _fits(file, python)
    newest_first = sorted(versions, reverse=True)
    fitting = [version for version in newest_first if versions[version]]
    best = next((version for version in fitting if not version.is_prerelease), next(iter(fitting), None))
    return OfferedPackage(
        name=name,
        version="" if best is None else str(best),
        versions=[str(version) for version in newest_first[:MAX_VERSIONS]],
        origin=origin,
    )


def _fits(file: OfferedFile, python: str) -> bool:
    if not file.name.endswith(".whl"):
        return False
    try:
        if file.requires_python and not SpecifierSet(file.requires_python).contains(python, prereleases=True):
            return False
    except ValueError:
        return False
    return fits(file.name, python)
