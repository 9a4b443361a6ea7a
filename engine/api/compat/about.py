"""Which Python and which engine answer."""

from __future__ import annotations

import platform
from typing import Any

from engine.api.compat.endpoint import now_ms
from engine.api.compat.interpreter import Interpreter
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
    """The one version that there is."""

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
    def __init__(self, host: EngineHost, interpreter: Interpreter) -> None:
        self._host = host
        self._interpreter = interpreter

    @implements(VERSION)
    async def version(self) -> PythonVersion:
        return PythonVersion(
            version=await self._interpreter.build(),
            available=True,
            python_version=await self._interpreter.full_version(),
            module_version=self._host.info().version,
        )

    @implements(VERSIONS)
    async def versions(self) -> PythonVersions:
        version, slots = await self._interpreter.version(), self._host.engine.pool_service.info().slots
        details = VersionDetails(
            path=self._interpreter.path,
            is_default=True,
            pool_size=len(slots),
            available=sum(slot.state is SlotState.READY for slot in slots),
            healthy=sum(slot.state is not SlotState.FAILED for slot in slots),
        )
        return PythonVersions(
            success=True, versions=[version], default=version, count=1, details={version: details}, timestamp=now_ms()
        )

    @implements(DISTRIBUTIONS)
    async def distributions(self) -> Distributions:
        only = Distribution(
            version=await self._interpreter.version(),
            full_version=await self._interpreter.full_version(),
            installed=True,
            available=True,
            python_path=self._interpreter.path,
            pool_active=True,
        )
        return Distributions(
            success=True,
            distributions=[only],
            os=f"{platform.system()} {platform.machine()}".lower(),
            installed_count=1,
            timestamp=now_ms(),
        )

    @implements(EXAMPLE_TEXT)
    def example(self) -> Example:
        return Example(success=True, result=EXAMPLE)
