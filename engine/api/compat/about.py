"""Which Python and which engine answer."""

from __future__ import annotations

import platform
from typing import Any

from engine.api.compat.endpoint import now_ms
from engine.api.compat.script_python import ScriptPython
from engine.api.host import EngineHost
from engine.models.base import Model
from engine.models.engine import SlotState
from engine.registry.engine import ENGINE_INFO
from engine.registry.operation import Operation
from engine.services.operations import implements

EXAMPLE = """\
# The value of result is the answer; what is printed comes with it.
import statistics

values = [21.5, 22.1, 21.9]
print("values:", len(values))
result = {"mean": round(statistics.mean(values), 2), "highest": max(values)}
"""


class PythonVersion(Model, frozen=True, rename="camel", omit_defaults=False):
    """``version`` and ``python_version`` are of the interpreter that runs scripts, ``version`` its whole one."""

    version: str
    available: bool
    python_version: str
    module_version: str


class VersionDetails(Model, frozen=True, rename="camel"):
    path: str
    is_default: bool
    pool_size: int
    available: int
    healthy: int


class PythonVersions(Model, frozen=True):
    """Those that code can ask for: of interpreters of this host, the usual one first."""

    success: bool
    versions: list[str]
    default: str
    count: int
    details: dict[str, VersionDetails]
    timestamp: int


class Distribution(Model, frozen=True, rename="camel"):
    version: str
    full_version: str
    installed: bool
    available: bool
    python_path: str
    pool_active: bool


class Distributions(Model, frozen=True, rename="camel"):
    success: bool
    distributions: list[Distribution]
    os: str
    installed_count: int
    timestamp: int


class Example(Model, frozen=True):
    success: bool
    result: str


VERSION = Operation(
    "compat.version",
    "GET",
    "/api/v1/version",
    PythonVersion,
    ENGINE_INFO.role,
    "Read the version of Python and of the engine",
    scoped=True,
)
VERSIONS = Operation(
    "compat.versions",
    "GET",
    "/api/v1/versions",
    PythonVersions,
    ENGINE_INFO.role,
    "List the versions of Python",
    scoped=True,
)
DISTRIBUTIONS = Operation(
    "compat.distributions",
    "GET",
    "/api/v1/distributions",
    Distributions,
    ENGINE_INFO.role,
    "List the installations of Python",
    scoped=True,
)
EXAMPLE_TEXT = Operation(
    "compat.example",
    "GET",
    "/api/v1/example",
    Example,
    ENGINE_INFO.role,
    "Read an example of a script",
    scoped=True,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (VERSION, VERSIONS, DISTRIBUTIONS, EXAMPLE_TEXT)


class About:
    def __init__(self, host: EngineHost, pythons: ScriptPython) -> None:
        self._host = host
        self._pythons = pythons

    @implements(VERSION)
    async def version(self) -> PythonVersion:
        return PythonVersion(
            version=await self._pythons.build(),
            available=True,
            python_version=await self._pythons.full_version(),
            module_version=self._host.info().version,
        )

    @implements(VERSIONS)
    async def versions(self) -> PythonVersions:
        offered, slots = await self._pythons.offered(), self._host.engine.pool_service.info().slots
        default = next(iter(offered))
        details = {
            version: VersionDetails(
                path=str(one.path),
                is_default=version == default,
                pool_size=len(slots),  # any slot runs any version
                available=sum(slot.state is SlotState.READY for slot in slots),
                healthy=sum(slot.state is not SlotState.FAILED for slot in slots),
            )
            for version, one in offered.items()
        }
        return PythonVersions(
            success=True,
            versions=list(offered),
            default=default,
            count=len(offered),
            details=details,
            timestamp=now_ms(),
        )

    @implements(DISTRIBUTIONS)
    async def distributions(self) -> Distributions:
        offered = await self._pythons.offered()
        default = next(iter(offered))
        found = [
            Distribution(
                version=version,
                full_version=one.version,
                installed=True,
                available=True,
                python_path=str(one.path),
                pool_active=version == default,
            )
            for version, one in offered.items()
        ]
        return Distributions(
            success=True,
            distributions=found,
            os=f"{platform.system()} {platform.machine()}".lower(),
            installed_count=len(found),
            timestamp=now_ms(),
        )

    @implements(EXAMPLE_TEXT)
    def example(self) -> Example:
        return Example(success=True, result=EXAMPLE)
