"""A toy operation, whole: the model of its answer, its row, the method that carries it out, and a command."""

from __future__ import annotations

import click

from engine.models.base import Model
from engine.registry.operation import Operation
from engine.registry.scripts import ScriptParams
from engine.services.access import Actor
from engine.services.operations import implements
from engine.services.scripts.service import ScriptService
from tui.commands.invocation import Invocation, common_options


class Pins(Model, frozen=True):
    paths: list[str]


PIN = Operation("scripts.pin", "POST", "/scripts/pin/{path:path}", Pins, "author", "Pin scripts", ScriptParams)


class PinService:
    def __init__(self, scripts: ScriptService) -> None:
        self._scripts, self._paths = scripts, list[str]()

    @implements(PIN)
    async def pin(self, path: str, actor: Actor) -> Pins:
        self._paths.append(await self._scripts.resolve(path))
        return Pins(paths=self._paths)


@click.command("pin")
@click.argument("script")
@common_options
@click.pass_obj
def pin(invocation: Invocation, script: str) -> None:
    """Pin a script."""
    invocation.answer(lambda client: client.call(PIN, ScriptParams(path=script)), lambda _, pins: print(*pins.paths))
