"""Which Python and which engine answer."""

from __future__ import annotations

import platform
from typing import Any

from engine.api.host import EngineHost
from engine.models.base import Model
from engine.registry.engine import ENGINE_INFO
from engine.registry.operation import Operation
from engine.services.operations import implements


class Version(Model, frozen=True, rename="camel", omit_defaults=False):
    """``version`` and ``pythonVersion`` are of the interpreter that runs scripts."""

    version: str
    available: bool
    python_version: str
    module_version: str


VERSION = Operation(
    "compat.version",
    "GET",
    "/api/v1/version",
    Version,
    ENGINE_INFO.role,
    "Read the version of Python and of the engine",
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (VERSION,)


class About:
    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(VERSION)
    def version(self) -> Version:
        python = platform.python_version()
        return Version(version=python, available=True, python_version=python, module_version=self._host.info().version)
