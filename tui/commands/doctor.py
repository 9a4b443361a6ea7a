"""``doctor``: what this host and this project can do, as the engine itself finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, TypedDict

import click
from click.types import StringParamType

from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, local_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class PrintedFinding(TypedDict):
    """A line of the engine's own diagnosis (``engine.doctor.finding``)."""

    level: str
    tried: str
    found: str
    advice: str
    layer: str
    protects: str


PATIENCE = 60.0
"""Seconds. Its trials on the host take a fraction of one each."""


class PrintedReach(TypedDict):
    """What a kind of host gives in one case (``engine.doctor.hosts``)."""

    when: str
    level: str
    missing: str
    to_do: str
    emulated: list[str]


class PrintedHost(TypedDict):
    """A kind of host."""

    name: str
    title: str
    kernel: str
    reaches: list[PrintedReach]
    notes: list[str]
    aliases: list[str]
    usual: str
    best: str


class PrintedHosts(TypedDict):
    """One or all of them; ``emulations`` has what was emulated in words."""

    hosts: list[PrintedHost]
    emulations: dict[str, str]
    emulated: str
    this_host: str | None


class HostName(StringParamType):
    """A kind of host that the engine's doctor knows."""

    name = "host"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from click.shell_completion import CompletionItem

        try:
            hosts = _explained("")["hosts"]
        except CommandError:
            return []
        return [CompletionItem(host["name"]) for host in hosts if host["name"].startswith(incomplete)]


@click.command("doctor")
@click.option(
    "--explain",
    type=HostName(),
    metavar="[HOST]",
    is_flag=False,
    flag_value="",
    help="Say what hosts of a kind reach, and what to set there; without HOST list them.",
)
@local_options
@click.pass_obj
def doctor(invocation: Invocation, explain: str | None) -> None:
    """Check the host, the project and the engine, and say what to do.

    \b
    Examples:
      gatewright doctor
      gatewright doctor --explain
      gatewright doctor --explain ubuntu-24.04
    """
    if explain is not None:
        invocation.show(_explained(explain), _print_hosts if not explain else _print_host)
        return
    project = _project(invocation)
    findings = _examined(project)
    if not project:
        findings += _next_steps()
    invocation.show({"findings": findings}, _print)


def _examined(project: list[str]) -> list[PrintedFinding]:
    """The engine's own findings, made in a process and an environment like its own; the terminal stays."""
    import msgspec

    from engine.client.launch import daemon_environment

    answer = _asked(["--json", *project], {**os.environ, **daemon_environment()})
    found: list[PrintedFinding] = msgspec.json.decode(answer)["findings"]
    return found


def _explained(name: str) -> PrintedHosts:
    """Return what is known of a kind of host, or of all of them."""
    import msgspec

    explained: PrintedHosts = msgspec.json.decode(_asked(["--explain", *([name] if name else [])], dict(os.environ)))
    return explained


def _asked(arguments: list[str], environment: dict[str, str]) -> bytes:
    """Ask the engine's own doctor, and return the JSON that it printed."""
    command = [sys.executable, "-P", "-m", "engine", "doctor", *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise CommandError(f"the doctor did not come to an end within {PATIENCE:g} seconds") from None
    if done.returncode == exit_codes.USAGE and done.stdout:
        import msgspec

        refused = msgspec.json.decode(done.stdout)
        raise CommandError(refused["error"], hint=refused["hint"], exit_code=exit_codes.USAGE)
    if done.returncode != exit_codes.OK:
        raise CommandError("the doctor broke", hint=done.stderr.decode("utf-8", "backslashreplace"))
    return done.stdout


def _next_steps() -> list[PrintedFinding]:
    """What somebody does who has just installed it."""
    import shutil

    program = os.path.abspath(sys.argv[0])
    findings = [
        PrintedFinding(
            level="ok",
            tried="next",
            found="gatewright ~/gatewright-demo opens the console on a new project",
            advice="gatewright help installation: upgrades, backups, other accounts.",
            layer="",
            protects="",
        )
    ]
    if shutil.which("gatewright") is None and os.path.basename(program) == "gatewright":
        findings.append(
            PrintedFinding(
                level="warn",
                tried="command",
                found=f"the shell finds no gatewright: {os.path.dirname(program)} is not in PATH",
                advice=f'Add it to ~/.profile: export PATH="{os.path.dirname(program)}:$PATH"',
                layer="",
                protects="",
            )
        )
    return findings


def _project(invocation: Invocation) -> list[str]:
    """The option that names the project; none where there is none around the current folder."""
    from engine.client.launch import LaunchError
    from tui.commands.session import refusals

    try:
        stay = [] if invocation.project is not None else ["--stay"]
        return ["--project", str(invocation.folder()), *stay]
    except LaunchError as error:
        if invocation.project is not None and os.path.isdir(invocation.project):
            return ["--project", os.path.realpath(invocation.project)]  # it says what the folder lacks
        if invocation.project is not None:
            with refusals():
                raise
        invocation.streams.notify(f"only the host is checked: {error.message}", error.hint)
        return []


def _print_hosts(invocation: Invocation, explained: PrintedHosts) -> None:
    from tui.text.table import render, terminal_width

    out = invocation.streams.out
    rows = [
        (host["name"], host["usual"], host["best"], _marked(host, explained["this_host"]))
        for host in explained["hosts"]
    ]
    out.line(render(("host", "as it is", "at best", ""), rows, width=terminal_width(out.is_terminal)))
    invocation.streams.notify(explained["emulated"])


def _marked(host: PrintedHost, this_host: str | None) -> str:
    return f"{host['title']}; this host looks like one" if host["name"] == this_host else host["title"]


def _print_host(invocation: Invocation, explained: PrintedHosts) -> None:
    from tui.text.table import fields, terminal_width

    out = invocation.streams.out
    [host] = explained["hosts"]
    blocks = [[("host", _marked(host, explained["this_host"])), ("kernel", host["kernel"])]]
    for reach in host["reaches"]:
        missing = f". Missing: {reach['missing']}" if reach["missing"] else ""
        emulated = "; ".join(explained["emulations"][name] for name in reach["emulated"])
        blocks.append(
            [
                ("case", reach["when"]),
                ("level", f"{reach['level']}{missing}"),
                ("to do", reach["to_do"]),
                ("emulated", emulated),
            ]
        )
    blocks.append([("note", note) for note in host["notes"]])
    width = terminal_width(out.is_terminal)
    out.line("\n\n".join(fields(block, width=width) for block in blocks if block))
    invocation.streams.notify(explained["emulated"])


def _print(invocation: Invocation, report: dict[str, list[PrintedFinding]]) -> None:
    from tui.text.table import fields, terminal_width

    out = invocation.streams.out
    lines: list[tuple[str, str]] = []
    for finding in report["findings"]:
        lines.append((finding["level"], f"{finding['tried']}: {finding['found']}"))
        lines += [("", more) for more in (finding["protects"], finding["advice"]) if more]
    out.line(fields(lines, width=terminal_width(out.is_terminal)))
