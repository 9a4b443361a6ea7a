"""``gateways``: the user's named gateways: list them, name one, forget one, look whether they answer."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import click

from tui.commands import exit_codes
from tui.commands.arguments import gateway_names, gateway_selection, host_files
from tui.commands.invocation import CommandGroup, Invocation, local_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.client.gateway_check import GatewayCheck
    from engine.client.gateways import Gateway, Gateways
    from engine.client.starter import LaunchError

NONE_YET = "gatewright gateways add gw-01 --url https://gw-01:9089 --token-file ~/gw-01.token"


@click.group("gateways", cls=CommandGroup)
@local_options
def gateways() -> None:
    """List, add and remove gateways, and check whether they answer.

    A gateway has a name here, which commands take as --gateway NAME and --on NAME,NAME. It stands in your own file
    ~/.config/gatewright/gateways.toml, in no project. gatewright help gateways shows how.

    \b
    Examples:
      gatewright gateways list
      gatewright gateways add gw-01 --url https://gw-01:9089 --token-file a.token
      gatewright gateways check
    """


@gateways.command("list")
@local_options
@click.pass_obj
def list_gateways(invocation: Invocation) -> None:
    """List your gateways; none of them is asked.

    \b
    Examples:
      gatewright gateways list
      gatewright gateways list --json
    """
    _refuse_engine(invocation)
    found = _loaded()
    invocation.show(
        found,
        _print_gateways,
        as_json=lambda found: {"file": str(found.path), "gateways": [_as_json(one) for one in found.by_name.values()]},
    )


@gateways.command("add")
@click.argument("name")
@click.option("--url", "place_url", metavar="URL", help="Where its engine listens: https://HOST:PORT.")
@click.option(
    "--token-file", "place_token", metavar="FILE", shell_complete=host_files, help="Holds the token for that URL."
)
@click.option(
    "--ca-file", "place_ca", metavar="FILE", shell_complete=host_files,
    help="Certificates of the authorities to trust for that URL; else the system's.",
)  # fmt: skip
@click.option("--socket", metavar="FILE", shell_complete=host_files, help="The socket that ssh forwards from it.")
@click.option(
    "--project", "place_project", metavar="DIR|@ID", shell_complete=host_files, help="A project of this host."
)
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Put it in this group, too; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def add(
    invocation: Invocation,
    name: str,
    place_url: str | None,
    place_token: str | None,
    place_ca: str | None,
    socket: str | None,
    place_project: str | None,
    groups: tuple[str, ...],
    as_json: bool,
) -> None:
    """Name a gateway, by one of --url, --socket and --project.

    Nothing is asked of it: gatewright gateways check NAME does that. Comments and order of the file stay.

    \b
    Examples:
      gatewright gateways add gw-01 --url https://gw-01:9089 --token-file a.token
      gatewright gateways add gw-02 --socket ~/gw-02.sock --group plant-b
      gatewright gateways add here --project ~/plant-a
    """
    from engine.client.gateways import Gateway
    from tui.commands.session import refusals

    _refuse_engine(invocation)
    invocation.json = invocation.json or as_json
    gateway = Gateway(
        name,
        url=place_url or "",
        token_file=_whole(place_token),
        ca_file=_whole(place_ca),
        project=place_project if place_project and place_project.startswith("@") else _whole(place_project),
        socket=_whole(socket),
        groups=tuple(dict.fromkeys(group.removeprefix("@") for group in groups)),
    )
    with refusals():
        found = _loaded()
        if gateway.url:
            gateway.target()  # a URL that is none is told now, and not at the first use
        found.add(gateway)
    problem = _problem_of(gateway)
    said = f"{name} is in {found.path}"

    def tell(invocation: Invocation, _: Gateway) -> None:
        invocation.streams.notify(said, f"Look whether it answers: gatewright gateways check {name}")
        if problem is not None:
            invocation.streams.notify(f"not yet: {problem.message}", problem.hint)

    as_object = {**_as_json(gateway), "problem": "" if problem is None else problem.message}
    invocation.show(gateway, tell, as_json=lambda _: as_object)


@gateways.command("remove")
@click.argument("name", shell_complete=gateway_names)
@local_options
@click.pass_obj
def remove(invocation: Invocation, name: str) -> None:
    """Forget a gateway. The file with its token stays, and so does the token.

    \b
    Examples:
      gatewright gateways remove gw-01
    """
    from tui.commands.session import refusals

    _refuse_engine(invocation)
    with refusals():
        found = _loaded()
        gateway = found.get(name)
        found.remove(name)
    hint = None
    if gateway.token_file:
        hint = f"Its token still counts, and is in {gateway.token_file}. On the gateway: gatewright token revoke NAME"
    invocation.show(
        gateway,
        lambda invocation, _: invocation.streams.notify(f"{name} is no longer in {found.path}", hint),
        as_json=_as_json,
    )


@gateways.command("check")
@click.argument("selection", metavar="[NAME,NAME|@GROUP]", required=False, shell_complete=gateway_selection)
@local_options
@click.pass_obj
def check(invocation: Invocation, selection: str | None) -> int:
    """Look whether gateways answer, with which version, and what you may do there; without names, all of them.

    No engine is started. The exit code is that of the worst: 3 where one does not answer, 4 where one refuses.

    \b
    Examples:
      gatewright gateways check
      gatewright gateways check gw-01,gw-02
      gatewright gateways check @plant-b --json
    """
    from tui.commands import failures
    from tui.commands.session import refusals

    _refuse_engine(invocation)
    found = _loaded()
    if selection is None and not found.by_name:
        _print_gateways(invocation, found)
        return exit_codes.OK
    with refusals():
        chosen = list(found.by_name.values()) if selection is None else found.chosen(selection)
    answers = dict(zip(chosen, asyncio.run(_checked(chosen)), strict=True))
    codes = {
        gateway.name: exit_codes.OK if found.failure is None else failures.exit_code(found.failure)
        for gateway, found in answers.items()
    }
    invocation.show(
        answers,
        _print_checked,
        as_json=lambda answers: {
            "gateways": [_checked_json(gateway, found, codes[gateway.name]) for gateway, found in answers.items()]
        },
    )
    return exit_codes.worst(codes.values())


async def _checked(gateways: Sequence[Gateway]) -> list[GatewayCheck]:
    """Look at all of them at the same time, and return what was found in their order."""
    from engine.client.gateway_check import check_gateway
    from tui.commands.session import CLIENT

    return await asyncio.gather(*(check_gateway(gateway, CLIENT) for gateway in gateways))


def _refuse_engine(invocation: Invocation) -> None:
    if (option := invocation.engine_option) is not None:
        raise click.UsageError(f"The list of gateways is yours and of no engine; {option} has no place here.")


def _loaded() -> Gateways:
    from engine.client.gateways import Gateways
    from tui.commands.session import refusals

    with refusals():
        return Gateways.load()


def _problem_of(gateway: Gateway) -> LaunchError | None:
    """Return what of this host is missing for it so far: its token, or the project. It is kept all the same."""
    from engine.client.credentials import TokenFile
    from engine.client.starter import LaunchError

    try:
        target = gateway.target(become=False)
        if target.token_file is not None:
            TokenFile(target.token_file).check()
    except LaunchError as error:
        return error
    return None


def _whole(path: str | None) -> str:
    """Return the path as the file takes it: absolute, since that has no current folder."""
    if not path:
        return ""
    return path if path.startswith("~/") else os.path.abspath(os.path.expanduser(path))


def _as_json(gateway: Gateway) -> dict[str, object]:
    return {
        "name": gateway.name, "url": gateway.url, "token_file": gateway.token_file, "ca_file": gateway.ca_file,
        "project": gateway.project, "socket": gateway.socket, "groups": list(gateway.groups),
    }  # fmt: skip


def _print_gateways(invocation: Invocation, found: Gateways) -> None:
    if not found.by_name:
        invocation.streams.notify(f"there are no gateways in {found.path} yet", f"Name one: {NONE_YET}")
        return
    from tui.text.table import render, terminal_width

    out = invocation.streams.out
    rows = [
        [one.name, one.place, " ".join(f"@{group}" for group in one.groups) or "-"] for one in found.by_name.values()
    ]
    out.line(render(["gateway", "where", "groups"], rows, width=terminal_width(out.is_terminal)))


def _checked_json(gateway: Gateway, found: GatewayCheck, exit_code: int) -> dict[str, object]:
    failure = found.failure
    return {
        "gateway": gateway.name, "where": gateway.place, "state": found.state, "role": found.role,
        "version": found.version, "project": found.project, "problem": "" if failure is None else failure.message,
        "hint": None if failure is None else failure.hint, "exit_code": exit_code,
    }  # fmt: skip


def _print_checked(invocation: Invocation, answers: Mapping[Gateway, GatewayCheck]) -> None:
    from tui.text.table import paragraph, render, terminal_width

    out = invocation.streams.out
    width = terminal_width(out.is_terminal)
    rows = [
        [gateway.name, found.state, found.role or "-", found.version or "-", found.project or "-"]
        for gateway, found in answers.items()
    ]
    head, *lines = render(["gateway", "state", "your role", "version", "project"], rows, width=width).split("\n")
    out.line(head)
    for found, line in zip(answers.values(), lines, strict=True):
        out.line(line)
        for sentence in filter(None, (found.failure.message, found.failure.hint) if found.failure else ()):
            out.line(paragraph(sentence, "    ", width=width))
