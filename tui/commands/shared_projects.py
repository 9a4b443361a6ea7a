"""``engine list``: the shared projects of this host, as this account finds them."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Sequence

import msgspec

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.shared import MARK, SharedTarget, trusted_ids
from engine.client.starter import LaunchError
from engine.registry.access import ACCESS_SELF
from engine.registry.engine import ENGINE_INFO
from tui.commands.invocation import Invocation
from tui.text.sanitise import sanitise_line

WIDEST = 10_000
"""Cells that a sentence takes in one line of a pipe."""

NARROWEST = 20
"""Cells that it takes at least on a terminal."""

PATIENCE = 5.0
"""Seconds in which an engine must have answered to be listed as one that does."""


class SharedProject(msgspec.Struct, frozen=True):
    """A shared project as a caller finds it.

    Attributes:
        id: Without ``@``.
        owner: The account that serves it.
        answers: Whether its engine let this account in.
        role: This account's; empty without an answer.
        project: The folder, as the engine says.
        problem: Why there is no answer, a sentence.
    """

    id: str
    owner: str
    answers: bool = False
    role: str = ""
    project: str = ""
    problem: str = ""


async def found(client: str) -> list[SharedProject]:
    """Return the shared projects of this host, in order.

    Raises:
        LaunchError: Others than root could have made them.
    """
    return await asyncio.gather(*(_looked_at(SharedTarget(one), client) for one in trusted_ids()))


async def _looked_at(target: SharedTarget, client: str) -> SharedProject:
    owner = ""
    try:
        owner = target.owner
        async with asyncio.timeout(PATIENCE):
            return await _told(await target.connect(client), target, owner)
    except TimeoutError:
        problem = "Its engine does not answer."
    except (LaunchError, EngineError, EngineUnreachable) as error:
        problem = error.message
    return SharedProject(target.id, owner, problem=problem)


async def _told(engine: EngineClient, target: SharedTarget, owner: str) -> SharedProject:
    try:
        info, access = await engine.call(ENGINE_INFO), await engine.call(ACCESS_SELF)
    finally:
        await engine.close()
    return SharedProject(target.id, owner, answers=True, role=access.role, project=info.project)


def print_projects(invocation: Invocation, projects: Sequence[SharedProject]) -> None:
    """A line for each; without any, what to do next."""
    if not projects:
        invocation.streams.notify(
            "there are no shared projects on this host",
            "An account that is to serve one starts it: gatewright engine serve --shared ID --group GROUP",
        )
        return
    from tui.text.table import render, terminal_width

    out = invocation.streams.out
    width = terminal_width(out.is_terminal)
    rows = [[MARK + one.id, one.owner, one.role or "-", one.project or "-"] for one in projects]
    head, *lines = render(["project", "owner", "your role", "folder"], rows, width=width).split("\n")
    out.line(head)
    for one, line in zip(projects, lines, strict=True):
        out.line(line)
        for part in textwrap.wrap(sanitise_line(one.problem), max((width or WIDEST) - 4, NARROWEST)):
            out.line(f"    {part}")  # a sentence is of no use when it is cut
