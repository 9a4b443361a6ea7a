"""``doctor``: what this host and this project can do, as the engine itself finds it."""

from __future__ import annotations

import os
import sys

import click

from tui.commands.invocation import Invocation, common_options


@click.command("doctor")
@common_options
@click.pass_obj
def doctor(invocation: Invocation) -> None:
    """Check the host, the project and the engine, and say what to do."""
    from engine.launch import daemon_command

    raise NotImplementedError(os, sys, daemon_command, invocation)
