"""``gateways check``: whether each gateway answers, by which version, and what the caller may do there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.fleet import FailureKind, failure_of
from engine.client.gateways import Gateway
from engine.client.starter import LaunchError
from engine.registry.access import ACCESS_SELF
from engine.registry.engine import ENGINE_INFO
from tui.commands import exit_codes
from tui.commands.session import CLIENT

PATIENCE = 15.0
"""Seconds in which a gateway must have said all."""

ANSWERS = "answers"
NO_ENGINE = "no engine runs"
"""Of a project of this host, whose engine the next command starts."""


class Checked(msgspec.Struct, frozen=True):
    """A gateway as it was found.

    Attributes:
        state: ``answers``, or why not.
        role: The caller's there.
        problem: Why it does not answer, a sentence.
        hint: What to do.
    """

    gateway: str
    where: str
    state: str
    role: str = ""
    version: str = ""
    project: str = ""
    problem: str = ""
    hint: str | None = None
    exit_code: int = exit_codes.OK


async def checked(gateways: Sequence[Gateway]) -> list[Checked]:
    """Ask them all at the same time, and return what was found in their order."""
    return await asyncio.gather(*map(_checked, gateways))


async def _checked(gateway: Gateway) -> Checked:
    try:
        async with asyncio.timeout(PATIENCE):
            engine = await gateway.target(become=False).reach(CLIENT)
            if engine is None:
                return Checked(gateway.name, gateway.place, NO_ENGINE)
            return await _told(engine, gateway)
    except TimeoutError:
        return Checked(
            gateway.name, gateway.place, FailureKind.AWAY, problem="It does not answer.",
            exit_code=exit_codes.UNREACHABLE,
        )  # fmt: skip
    except (LaunchError, EngineError, EngineUnreachable) as error:
        found = failure_of(error)
        return Checked(
            gateway.name, gateway.place, found.kind, problem=found.message, hint=found.hint, exit_code=found.exit_code
        )


async def _told(engine: EngineClient, gateway: Gateway) -> Checked:
    try:
        info, access = await engine.call(ENGINE_INFO), await engine.call(ACCESS_SELF)
    finally:
        await engine.close()
    return Checked(gateway.name, gateway.place, ANSWERS, access.role, info.version, info.project)
