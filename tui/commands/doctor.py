"""``doctor``: what this host and this project can do, as the engine itself finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TypedDict

import click

from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, local_options


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


@click.command("doctor")
@local_options
@click.pass_obj
def doctor(invocation: Invocation) -> None:
    """Check the host, the project and the engine, and say what to do.

    \b
    Examples:
      gatewright doctor
    """
    project = _project(invocation)
    findings = _examined(project)
    if not project:
        findings += _next_steps()
    invocation.show({"findings": findings}, _print)


def _examined(project: list[str]) -> list[PrintedFinding]:
    """The engine's own findings, made in a process and an environment like its own; the terminal stays."""
    from engine.client.launch import daemon_environment

    command = [sys.executable, "-P", "-m", "engine", "doctor", "--json", *project]
    environment = {**os.environ, **daemon_environment()}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise CommandError(f"the doctor did not come to an end within {PATIENCE:g} seconds") from None
    if done.returncode != exit_codes.OK:
        raise CommandError("the doctor broke", hint=done.stderr.decode("utf-8", "backslashreplace"))
    import msgspec

    found: list[PrintedFinding] = msgspec.json.decode(done.stdout)["findings"]
    return found


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


def _print(invocation: Invocation, report: dict[str, list[PrintedFinding]]) -> None:
    from tui.text.table import fields, terminal_width

    out = invocation.streams.out
    lines: list[tuple[str, str]] = []
    for finding in report["findings"]:
        lines.append((finding["level"], f"{finding['tried']}: {finding['found']}"))
        lines += [("", more) for more in (finding["protects"], finding["advice"]) if more]
    out.line(fields(lines, width=terminal_width(out.is_terminal)))
