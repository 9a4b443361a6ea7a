"""``python``: the interpreters of this host that scripts run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.models.packages import AddPythonRequest, UsePythonRequest
from engine.registry.packages import PYTHON_ADD, PYTHON_LIST, PYTHON_REMOVE, PYTHON_USE
from tui.commands.arguments import INTERPRETER, PYTHON
from tui.commands.invocation import CommandGroup, Invocation, common_options
from tui.commands.packages import changed, environment_option
from tui.text.packages import SOURCES
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.models.packages import EnvironmentInfo, PythonInfo, PythonList


@click.group("python", cls=CommandGroup)
@common_options
def python() -> None:
    """See which Python versions scripts can run on, and choose one.

    CPython 3.9 to 3.14 are found in PATH, /usr/bin, /usr/local, /opt, and where pyenv and uv keep theirs. A script that
    says requires-python in its header runs on one that fits.

    \b
    Examples:
      gatewright python list
      gatewright python use 3.12
      gatewright python add /srv/python3.13/bin/python3
    """


@python.command("list")
@common_options
@click.pass_obj
def list_interpreters(invocation: Invocation) -> None:
    """List the interpreters that scripts may run on, the newest first.

    What cannot be used comes last, with the reason.

    \b
    Example:
      gatewright python list
    """
    invocation.answer(lambda client: client.call(PYTHON_LIST), _print_interpreters)


@python.command("use")
@click.argument("interpreter", type=PYTHON, metavar="VERSION|PATH")
@environment_option
@common_options
@click.pass_obj
def use(invocation: Invocation, interpreter: str, environment: str) -> None:
    """Use another interpreter for an environment, with the same packages.

    The environment is built again beside the one in use and put in its place when it is complete. Ctrl+C cancels it;
    then everything stays as it was.

    \b
    Examples:
      gatewright python use 3.12
      gatewright python use 3.9 --environment old
    """
    request = UsePythonRequest(python=interpreter, environment=environment)

    def as_text(_: Invocation, info: EnvironmentInfo) -> None:
        invocation.streams.notify(f"scripts in {info.name} run with Python {info.python}: {info.interpreter}")

    changed(invocation, lambda client: client.call(PYTHON_USE, body=request), as_text)


@python.command("add")
@click.argument("path", type=INTERPRETER)
@common_options
@click.pass_obj
def add(invocation: Invocation, path: str) -> None:
    """Add an interpreter by its path, where it is in none of the usual places.

    It must be CPython 3.9 to 3.14, and no other ordinary account may be able to write to it or to a folder above it:
    it runs with the rights of the engine's account.

    \b
    Example:
      gatewright python add /srv/python3.13/bin/python3
    """

    def as_text(_: Invocation, info: PythonInfo) -> None:
        invocation.streams.notify(f"scripts can run on Python {info.version}: {sanitise_line(info.path)}")

    invocation.answer(lambda client: client.call(PYTHON_ADD, body=AddPythonRequest(path=path)), as_text)


@python.command("remove")
@click.argument("path", type=INTERPRETER)
@common_options
@click.pass_obj
def remove(invocation: Invocation, path: str) -> None:
    """Remove an interpreter that was added by its path. The interpreter itself stays where it is.

    \b
    Example:
      gatewright python remove /srv/python3.13/bin/python3
    """

    def as_text(_: Invocation, info: PythonInfo) -> None:
        invocation.streams.notify(f"{sanitise_line(info.path)} is no longer among the added ones")

    invocation.answer(lambda client: client.call(PYTHON_REMOVE, body=AddPythonRequest(path=path)), as_text)


def _print_interpreters(invocation: Invocation, found: PythonList) -> None:
    from tui.text.table import render, terminal_width

    out = invocation.streams.out
    usable = [one for one in found.interpreters if one.problem is None]
    if not usable:
        invocation.streams.notify(
            "there is no interpreter that scripts could run on",
            "Install Python 3.9 to 3.14, or name one in another place: gatewright python add PATH",
        )
    else:
        rows = [[one.version, ", ".join(one.environments), SOURCES.get(one.source, one.source), one.path]
                for one in usable]  # fmt: skip
        width = terminal_width(out.is_terminal)
        out.line(render(["python", "environments", "from", "interpreter"], rows, width=width, less=("from",)))
    for one in found.interpreters:
        if one.problem is not None:
            invocation.streams.notify(f"not usable: {sanitise_line(one.problem)}")
