"""``doctor``: what this host and this project can do, as the engine itself finds it."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, local_options

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
    report = _examined(invocation)
    if invocation.json:
        invocation.streams.out.write(report.decode())
    else:
        _print(invocation, report)


def _examined(invocation: Invocation) -> bytes:
    """The engine's own findings, made in a process and an environment like its own; the terminal stays."""
    from engine.client.launch import daemon_environment

    command = [sys.executable, "-P", "-m", "engine", "doctor", "--json", *_project(invocation)]
    environment = {**os.environ, **daemon_environment()}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise CommandError(f"the doctor did not come to an end within {PATIENCE:g} seconds") from None
    if done.returncode != exit_codes.OK:
        raise CommandError("the doctor broke", hint=done.stderr.decode("utf-8", "backslashreplace"))
    return done.stdout


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


def _print(invocation: Invocation, report: bytes) -> None:
    import msgspec

    from tui.text.table import fields, terminal_width

    out = invocation.streams.out
    lines: list[tuple[str, str]] = []
    for finding in msgspec.json.decode(report)["findings"]:
        lines.append((finding["level"], f"{finding['tried']}: {finding['found']}"))
        lines += [("", more) for more in (finding["protects"], finding["advice"]) if more]
    out.line(fields(lines, width=terminal_width(out.is_terminal)))
