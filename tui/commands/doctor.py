"""``doctor``: what this host and this project can do, as the engine itself finds it."""

from __future__ import annotations

import subprocess
import sys

import click

from tui.commands import exit_codes
from tui.commands.invocation import Invocation, common_options

PATIENCE = 60.0
"""Seconds. Its trials on the host take a fraction of one each."""


@click.command("doctor")
@common_options
@click.pass_obj
def doctor(invocation: Invocation) -> int:
    """Check the host, the project and the engine, and say what to do."""
    from engine.launch import daemon_environment
    from tui.commands.session import refusals

    with refusals():
        command = [sys.executable, "-P", "-m", "engine", "doctor", "--project", str(invocation.folder())]
    if invocation.json:
        command.append("--json")
    try:
        # In the environment that an engine gets: what this shell has in its own is no news about the host.
        done = subprocess.run(command, env=daemon_environment(), capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        invocation.streams.say(f"the doctor did not come to an end within {PATIENCE:g} seconds")
        return exit_codes.FAILED
    invocation.streams.out.write(done.stdout.decode("utf-8", "backslashreplace"))
    invocation.streams.err.write(done.stderr.decode("utf-8", "backslashreplace"))
    return done.returncode
