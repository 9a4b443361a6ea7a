"""Packages of the default environment and versions of Python, as the module's clients see and change them."""

from __future__ import annotations

import asyncio
from typing import Any

from packaging.utils import canonicalize_name

from engine.api.compat.endpoint import now_ms
from engine.api.compat.script_python import NO_PYTHON, ScriptPython, short
from engine.api.host import EngineHost
from engine.models.base import Model
from engine.models.packages import DEFAULT, InstallRequest, OfferedPackage, UninstallRequest
from engine.registry.operation import Operation
from engine.registry.packages import PACKAGES_INSTALL, PACKAGES_LIST, PACKAGES_SEARCH, PACKAGES_UNINSTALL, PYTHON_ADD
from engine.services.access import Actor, ServiceError
from engine.services.operations import implements

WAIT = 25.0
"""Seconds that an answer may take. These clients give up after 30; what they began goes on."""

GOES_ON = "goes_on"


class CatalogEntry(Model, frozen=True, rename="camel"):
    """A package as the module's catalogue has it; an index has no catalogue, so it is one that is installed."""

    version: str
    description: str
    size_mb: float
    import_name: str
    wheels: list[str]
    pip_packages: list[str]
    required_for: list[str]
    installed: bool


class Catalog(Model, frozen=True):
    success: bool
    packages: dict[str, CatalogEntry]
    count: int


class PackageStatus(Model, frozen=True):
    success: bool
    status: dict[str, bool]
    installed: list[str]
    available: list[str]


class Installation(Model, frozen=True, rename="camel"):
    success: bool
    message: str
    installed_wheels: list[str]
    code: str | None = None
    error: str | None = None


class Removal(Model, frozen=True):
    success: bool
    message: str
    code: str | None = None
    error: str | None = None


class Verification(Model, frozen=True):
    success: bool
    verification: dict[str, bool]


class FoundOnIndex(Model, frozen=True):
    success: bool
    query: str
    count: int
    results: list[dict[str, Any]]
    warning: str | None = None


class IndexEntry(Model, frozen=True):
    name: str
    version: str
    summary: str
    author: str
    license: str
    homepage: str
    versions: list[str]


class IndexDetail(Model, frozen=True):
    success: bool
    package: IndexEntry


class PythonInstallation(Model, frozen=True, rename="camel"):
    success: bool
    version: str
    full_version: str
    python_path: str
    message: str
    timestamp: int


class NamedPackage(Model, frozen=True):
    """A name in the path, which may have a version: ``numpy==2.0``."""

    name: str


class IndexQuery(Model, frozen=True):
    q: str = ""


class NoFields(Model, frozen=True):
    """Whatever a client sends along; none of it is read."""


class PythonRequest(Model, frozen=True):
    version: str = ""


def _row(
    name: str,
    method: Any,  # noqa: ANN401 - an Operation's
    path: str,
    answer: type[Any],
    summary: str,
    role: Any,  # noqa: ANN401 - an Operation's
    **more: Any,  # noqa: ANN401 - an Operation's
) -> Operation[Any, Any, Any]:
    return Operation(f"compat.{name}", method, f"/api/v1/{path}", answer, role, summary, **more)


CATALOG = _row(
    "packages.catalog", "GET", "packages/catalog", Catalog, "List packages with what they are for", PACKAGES_LIST.role
)
STATUS = _row(
    "packages.status", "GET", "packages/status", PackageStatus, "List packages that are installed", PACKAGES_LIST.role
)
INSTALL = _row(
    "packages.install",
    "POST",
    "packages/install/{name:path}",
    Installation,
    "Install packages",
    PACKAGES_INSTALL.role,
    params=NamedPackage,
    body=NoFields,
)
UNINSTALL = _row(
    "packages.uninstall",
    "POST",
    "packages/uninstall/{name:path}",
    Removal,
    "Remove packages",
    PACKAGES_UNINSTALL.role,
    params=NamedPackage,
    body=NoFields,
)
VERIFY = _row(
    "packages.verify", "POST", "packages/verify", Verification, "Verify packages", PACKAGES_INSTALL.role, body=NoFields
)
SEARCH = _row(
    "packages.search",
    "GET",
    "packages/search-pypi",
    FoundOnIndex,
    "Search the index of packages",
    PACKAGES_SEARCH.role,
    params=IndexQuery,
)
PACKAGE = _row(
    "packages.info",
    "GET",
    "packages/pypi-info/{name:path}",
    IndexDetail,
    "Read about a package of the index",
    PACKAGES_SEARCH.role,
    params=NamedPackage,
)
INSTALL_PYTHON = _row(
    "distributions.install",
    "POST",
    "distributions/install",
    PythonInstallation,
    "Make other versions of Python available",
    PYTHON_ADD.role,
    body=PythonRequest,
)
UNINSTALL_PYTHON = _row(
    "distributions.uninstall",
    "POST",
    "distributions/uninstall",
    PythonInstallation,
    "Remove versions of Python",
    PYTHON_ADD.role,
    body=PythonRequest,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    CATALOG,
    STATUS,
    INSTALL,
    UNINSTALL,
    VERIFY,
    SEARCH,
    PACKAGE,
    INSTALL_PYTHON,
    UNINSTALL_PYTHON,
)


class CompatPackages:
    """Translates between these clients and our packages of the default environment."""

    def __init__(self, host: EngineHost, pythons: ScriptPython) -> None:
        self._host = host
        self._pythons = pythons

    @implements(CATALOG)
    async def catalog(self) -> Catalog:
        found = (await self._host.engine.packages.list()).packages
        entries = {
            one.name: CatalogEntry(
                version=one.version,
                description="",
                size_mb=round(one.size / (1 << 20), 2),
                import_name=next(iter(one.modules), ""),
                wheels=[],
                pip_packages=[one.requirement or one.name],
                required_for=one.needed_by,
                installed=True,
            )
            for one in found
        }
        return Catalog(success=True, packages=entries, count=len(entries))

    @implements(STATUS)
    async def status(self) -> PackageStatus:
        names = [one.name for one in (await self._host.engine.packages.list()).packages]
        return PackageStatus(success=True, status=dict.fromkeys(names, True), installed=names, available=[])

    @implements(INSTALL)
    async def install(self, name: str, request: NoFields, actor: Actor, source: str) -> Installation:  # noqa: ARG002
        """Install a package and what it needs; answer when it is done, or that it goes on."""
        wanted = InstallRequest(requirements=[name])
        done = await _within(self._host.engine.packages.install(wanted, actor, source))
        if done is None:
            sentence = f"{name} is still being installed, which goes on: ask for the installed packages in a while."
            return Installation(success=False, message=sentence, installed_wheels=[], code=GOES_ON, error=sentence)
        added = [f"{one.name}-{one.version}" for one in done.packages if one.change not in ("same", "removed")]
        message = f"Installed {', '.join(added)}" if added else f"{name} is installed already"
        return Installation(success=True, message=message, installed_wheels=added)

    @implements(UNINSTALL)
    async def uninstall(self, name: str, request: NoFields, actor: Actor, source: str) -> Removal:  # noqa: ARG002
        """Uninstall a package and what only it needed."""
        wanted = UninstallRequest(names=[name])
        done = await _within(self._host.engine.packages.uninstall(wanted, actor, source))
        if done is None:
            sentence = f"{name} is still being removed, which goes on: ask for the installed packages in a while."
            return Removal(success=False, message=sentence, code=GOES_ON, error=sentence)
        gone = [one.name for one in done.packages if one.change == "removed"]
        return Removal(success=True, message=f"Removed {', '.join(gone)}")

    @implements(VERIFY)
    async def verify(self, request: NoFields, actor: Actor) -> Verification:  # noqa: ARG002
        """Say of each package whether scripts can use it: no module of one is imported for that."""
        found = await self._host.engine.packages.list()
        works = found.environment.problem is None
        return Verification(success=True, verification={one.name: works for one in found.packages})

    @implements(SEARCH)
    async def search(self, q: str, actor: Actor) -> FoundOnIndex:
        found = await self._host.engine.packages.search(q, DEFAULT, actor)
        results = [{"name": one.name, "version": one.version, "summary": one.summary} for one in found.packages]
        return FoundOnIndex(success=True, query=q, count=len(results), results=results, warning=found.warning)

    @implements(PACKAGE)
    async def package(self, name: str, actor: Actor) -> IndexDetail:
        """Return what the index offers by exactly this name.

        Raises:
            ServiceError: ``no_package``.
        """
        found = await self._host.engine.packages.search(name, DEFAULT, actor)
        one = next((each for each in found.packages if _same(each, name)), None)
        if one is None:
            reason = f" {found.warning}" if found.warning else ""
            raise ServiceError("no_package", f"The index has no package {name[:80]!r}.{reason}", status=404)
        entry = IndexEntry(
            name=one.name,
            version=one.version,
            summary=one.summary,
            author="",
            license="",
            homepage="",
            versions=one.versions,
        )
        return IndexDetail(success=True, package=entry)

    @implements(INSTALL_PYTHON)
    async def install_python(self, request: PythonRequest, actor: Actor) -> PythonInstallation:  # noqa: ARG002
        """Say where a version is that the host has. No interpreter is ever downloaded.

        Raises:
            ServiceError: ``no_python``: the host has none of that version.
        """
        offered = await self._pythons.offered()
        one = offered.get(short(request.version.strip()))
        if one is None:
            raise ServiceError(
                NO_PYTHON,
                f"This host has no Python {request.version[:40]!r}, and none is downloaded. "
                f"It has {', '.join(offered)}.",
                hint="Install it on the host; one in an unusual place is added by gatewright python add.",
                status=404,
            )
        return PythonInstallation(
            success=True,
            version=short(one.version),
            full_version=one.version,
            python_path=str(one.path),
            message=f"Python {one.version} is on this host: code and scripts can ask for it.",
            timestamp=now_ms(),
        )

    @implements(UNINSTALL_PYTHON)
    def uninstall_python(self, request: PythonRequest, actor: Actor) -> PythonInstallation:  # noqa: ARG002
        raise ServiceError(
            "not_available",
            "The interpreters of this host belong to it: none is removed from here.",
            hint="One that was added by its path is taken out by gatewright python remove.",
        )


async def _within(change: Any) -> Any:  # noqa: ANN401 - what an installation answers, or None when it takes longer
    """Wait for a change of packages, but not longer than these clients do; it goes on by itself."""
    going_on = asyncio.ensure_future(change)
    done, _ = await asyncio.wait([going_on], timeout=WAIT)
    if done:
        return going_on.result()
    going_on.add_done_callback(lambda task: task.cancelled() or task.exception())  # its task has told of it
    return None


def _same(one: OfferedPackage, name: str) -> bool:
    return canonicalize_name(one.name) == canonicalize_name(name)
