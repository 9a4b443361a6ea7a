"""Whether gateways answer, by which version, and what the caller may do there. No engine is started for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.fleet import Failure, FailureKind, failure_of
from engine.client.gateways import Gateway
from engine.client.starter import LaunchError
from engine.client.target import OtherVersion, Target
from engine.registry.access import ACCESS_SELF
from engine.registry.engine import ENGINE_INFO

PATIENCE = 15.0
"""Seconds in which a gateway must have said all."""

ANSWERS = "answers"
NO_ENGINE = "no engine runs"
"""Of a project of this host, whose engine starts when it is needed."""

_SILENT = Failure(FailureKind.AWAY, "It does not answer.")


@dataclass(frozen=True, slots=True)
class GatewayCheck:
    """A gateway as it was found.

    Attributes:
        role: The caller's there.
        version: Of its engine, also where that is of another version than this client.
        project: As that engine has it.
        failure: Why it does not answer; None as well where no engine runs.
    """

    role: str = ""
    version: str = ""
    project: str = ""
    failure: Failure | None = None

    @property
    def state(self) -> str:
        """``ANSWERS``, ``NO_ENGINE``, or the kind of failure, in words for people."""
        if self.failure is not None:
            return self.failure.kind
        return ANSWERS if self.version else NO_ENGINE


async def check_gateway(gateway: Gateway, client: str) -> GatewayCheck:
    """Look at a gateway of the user's file, whose entry may name nothing that could be reached."""
    try:
        target = gateway.target(become=False)
    except LaunchError as error:
        return GatewayCheck(failure=failure_of(error))
    return await check_target(target, client)


async def check_target(target: Target, client: str) -> GatewayCheck:
    """Ask an engine who it is and who the caller is to it.

    Args:
        target: How it is reached.
        client: What calls of this process are recorded with.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            return await _checked(target, client)
    except TimeoutError:
        return GatewayCheck(failure=_SILENT)
    except (LaunchError, EngineError, EngineUnreachable) as error:
        return GatewayCheck(version=error.version if isinstance(error, OtherVersion) else "", failure=failure_of(error))


async def _checked(target: Target, client: str) -> GatewayCheck:
    engine = await target.reach(client)
    if engine is None:
        if target.folder is not None:
            return GatewayCheck()
        engine = await target.connect(client, start=False)  # says what to do
    try:
        info, access = await engine.call(ENGINE_INFO), await engine.call(ACCESS_SELF)
    finally:
        await engine.close()
    return GatewayCheck(access.role, info.version, info.project)
