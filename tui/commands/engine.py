"""``engine``: the project's daemon."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeAlias

import click

from engine.registry.access import ACCESS_SELF
from engine.registry.engine import ENGINE_INFO, POOL_INFO
from tui.commands.invocation import CommandGroup, Invocation, common_options, local_options
from tui.commands.service import install, uninstall
from tui.text.figures import latency
from tui.text.formats import age, clock
from tui.text.isolation import level_word

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.models.access import AccessInfo
    from engine.models.engine import EngineInfo, PoolInfo

    Status: TypeAlias = tuple[EngineInfo, PoolInfo | None, AccessInfo]


@click.group("engine", cls=CommandGroup)
@common_options
def engine() -> None:
    """Start, stop and look at the project's engine.

    \b
    Examples:
      gatewright engine status
      gatewright engine stop
    """


@engine.command("start")
@common_options
@click.pass_obj
def start(invocation: Invocation) -> None:
    """Start the engine in the background, if it does not run.

    \b
    Examples:
      gatewright engine start --project ~/plant-a
    """
    if invocation.elsewhere is not None:
        invocation.refuse_elsewhere("an engine is started for a project's folder")
    invocation.answer(_info, _print_process, make=True)


@engine.command("stop")
@click.option("--force", is_flag=True, help="Also when runs go on; they are stopped.")
@common_options
@click.pass_obj
def stop(invocation: Invocation, force: bool) -> None:
    """Stop the engine; with runs going on only by --force.

    An engine elsewhere must be named by --gateway, --url or @ID, and is started again only where it runs.

    \b
    Examples:
      gatewright engine stop
      gatewright engine stop --force
    """
    import asyncio

    from tui.commands.session import CLIENT, refusals

    if invocation.elsewhere is not None and invocation.engine_option is None:
        invocation.refuse_elsewhere("an engine elsewhere is stopped only if --gateway or --url names it")
    with refusals():
        target = invocation.target()
        stopped = asyncio.run(target.stop(CLIENT, force=force))
    if target.folder is None:
        said = f"the engine of {target.name} stops; it can be started again only where it runs"
    else:
        said = f"the engine of {target.name} has stopped" if stopped else "no engine runs for this project"
    invocation.show({"project": target.name, "stopped": stopped}, lambda _, __: invocation.streams.notify(said))


@engine.command("status")
@common_options
@click.pass_obj
def status(invocation: Invocation) -> None:
    """Show the engine and its pool; exit code 3 if none runs.

    \b
    Examples:
      gatewright engine status
    """

    async def work(client: EngineClient) -> Status:
        info, you = await _info(client), await client.call(ACCESS_SELF)
        return info, None if you.scripts else await client.call(POOL_INFO), you

    invocation.answer(
        work, _print_status, as_json=lambda found: dict(zip(("engine", "pool", "you"), found, strict=True)), start=False
    )


@engine.command("list")
@common_options
@click.pass_obj
def list_shared(invocation: Invocation) -> None:
    """List the shared projects of this host, and which of them let you in.

    Each is reached as @ID, in place of a folder: gatewright @ID, and --project @ID for a command.

    \b
    Examples:
      gatewright engine list
    """
    if invocation.engine_option in ("--url", "--gateway"):
        raise click.UsageError(f"The shared projects are those of this host; {invocation.engine_option} names another.")
    import asyncio

    from tui.commands.session import CLIENT, refusals
    from tui.commands.shared_projects import found, print_projects

    with refusals():
        projects = asyncio.run(found(CLIENT))
    invocation.show(projects, print_projects, as_json=lambda listed: {"projects": listed})


@engine.command("serve", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--listen", metavar="HOST:PORT", help="Listen over TCP, too; without TLS on this host itself only.")
@click.option("--tls-cert", metavar="FILE", help="Certificate chain, in PEM.")
@click.option("--tls-key", metavar="FILE", help="Its private key, in PEM, mode 0600.")
@click.option("--shared", metavar="ID", help="Serve a group, too, whose members say --project @ID.")
@click.option("--group", metavar="GROUP", help="That group; else gatewright.")
@click.option("--make", is_flag=True, help="Make a project of the folder if it is none, as in a new container.")
@local_options
@click.pass_context
def serve(ctx: click.Context, /, make: bool, **given: str | None) -> None:
    """Be the engine, in the foreground, until stopped: for systemd and for looking at its log.

    Over TCP, each request needs a token: gatewright token create. A shared project's settings are in
    /etc/gatewright/ID.toml.

    \b
    Examples:
      gatewright engine serve --project /srv/plant-a
      gatewright engine serve --project /srv/plant-a --listen 127.0.0.1:9089
      gatewright engine serve --project /srv/plant --shared plant --group plant
    """
    from engine.client.launch import daemon_command, daemon_environment
    from engine.client.starter import OF_SERVICE_MANAGERS
    from tui.commands.session import refusals

    # This process becomes the engine: what its service manager told it is for the engine.
    managed = {name: os.environ[name] for name in OF_SERVICE_MANAGERS if name in os.environ}
    with refusals():
        stay = [] if ctx.obj.project is not None else ["--stay"]
        command = [*daemon_command(ctx.obj.folder(make=make)), *stay, *ctx.args]
        for name, value in given.items():
            if value is not None:
                command += [f"--{name.replace('_', '-')}", value]
    os.execve(command[0], command, {**daemon_environment(), **managed})  # noqa: S606 - no shell: it becomes the engine


engine.add_command(install)
engine.add_command(uninstall)


async def _info(client: EngineClient) -> EngineInfo:
    return await client.call(ENGINE_INFO)


def _print_process(invocation: Invocation, info: EngineInfo) -> None:
    invocation.streams.notify(f"the engine of {info.project} runs as process {info.pid}")


def _who(you: AccessInfo) -> str:
    """The caller, its role, and where it ends."""
    facts = [f"{you.name}, {you.role}"]
    if you.scripts:
        facts.append(f"for {' '.join(you.scripts)} only")
    if you.expires_at is not None:
        facts.append(f"until {time.strftime('%Y-%m-%d %H:%M', time.localtime(you.expires_at))}")
    return ", ".join(facts)


def _figures(pool: PoolInfo) -> list[tuple[str, str]]:
    resting = f"{pool.resting} of {pool.size} slots" if pool.resting else "slots whose runs end from now on"
    rest = [("resting", f"{resting}. {pool.rest_reason}")] if pool.rest_reason else []
    return [
        ("pool", f"{pool.running} of {pool.size} slots running, {pool.ready} ready, {len(pool.queue)} queued"),
        *rest,
        ("runs", f"{pool.runs_last_minute} in the last minute, p50 {latency(pool.p50_ms)}"),
    ]


def _print_status(invocation: Invocation, status: Status) -> None:
    from tui.text.table import fields, render, terminal_width

    info, pool, you = status
    out, now = invocation.streams.out, time.time()
    width = terminal_width(out.is_terminal)
    out.line(
        fields(
            [
                ("engine", f"{info.version}, process {info.pid}, since {clock(info.started_at)}"),
                ("project", info.project),
                ("owner", info.owner),
                *([("you", _who(you))] if invocation.elsewhere is not None else []),
                *([("shared as", f"@{info.shared}")] if info.shared else []),
                ("isolation", level_word(info.isolation)),
                *([("python", info.python)] if info.python else []),
                ("log", info.log_file or "the journal of its service, or its stderr"),
                *(("listens at", url) for url in info.listening),
                *([] if pool is None else _figures(pool)),
                *(("problem", problem) for problem in info.problems),
            ],
            width=width,
        )
    )
    if pool is None:
        return
    rows = [
        [
            *(str(slot.slot), slot.state, slot.script or "-", slot.actor or "-", age(now - slot.since), str(slot.runs)),
            f"{slot.python} {slot.environment}".rstrip(),
        ]
        for slot in pool.slots
    ]
    out.line()
    out.line(
        render(["slot", "state", "script", "who", "age", "runs", "python"], rows, right="slot age runs", width=width)
    )
    if pool.queue:
        out.line()
        queue = [[str(e.position), str(e.run_id), e.name, e.actor, e.reason] for e in pool.queue]
        out.line(render(["queue", "run", "script", "who", "reason"], queue, right="queue run", width=width))
