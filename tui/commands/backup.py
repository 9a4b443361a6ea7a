"""``backup`` and ``restore``: the project in one file, and a project of that file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.registry.engine import BACKUP, ENGINE_INFO, BackupParams
from tui.commands import exit_codes
from tui.commands.arguments import host_files
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options, local_options
from tui.commands.new_files import give_name, part_of, place_for
from tui.text.formats import clock, size
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.models.engine import BackupInfo

SUFFIX = ".gwbackup"

TELL_AFTER = 2.0
"""Seconds of waiting after which it is said for what."""


@click.command("backup")
@click.argument("out", metavar="OUT", shell_complete=host_files)
@click.option("--check", is_flag=True, help="Look the backup OUT over instead of making one.")
@common_options
@click.pass_obj
def backup(invocation: Invocation, out: str, check: bool) -> int:
    """Back up the project, while it is in use, into the new file OUT.

    If OUT is a folder, the file in it is named after the project and the time. It is read again and checked before it
    gets its name. Exit code 1 if something of the project could not be read.

    Secrets, and what lets tokens in, are left out; the answer says what else.

    \b
    Examples:
      gatewright backup /mnt/backups
      gatewright backup plant.gwbackup
      gatewright backup plant.gwbackup --check
    """
    if check:
        info = _asked(out)
        invocation.show(info, _print_info)
        return exit_codes.OK
    try:
        info = invocation.ask(lambda client: _saved(client, Path(out), invocation))
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}") from None
    invocation.show(info, _print_info)
    return exit_codes.FAILED if info.problems else exit_codes.OK


@click.command("restore")
@click.argument("file", metavar="FILE", shell_complete=host_files)
@click.argument("folder", metavar="DIR", shell_complete=host_files)
@local_options
@click.pass_obj
def restore(invocation: Invocation, file: str, folder: str) -> int:
    """Make a project in the new folder DIR of the backup FILE.

    It belongs to the account that calls this. Nothing is overwritten, and DIR appears whole or not at all. Exit code
    1 if something could not be backed up then, or not be restored now.

    \b
    Examples:
      gatewright restore plant.gwbackup ~/plant
    """
    if (option := invocation.engine_option) is not None:
        raise click.UsageError(f"A backup is restored into DIR, which is no project yet; {option} has no place here.")
    info = _asked(file, folder)
    invocation.show(info, _print_restored)
    return exit_codes.FAILED if info.problems else exit_codes.OK


async def _saved(client: EngineClient, out: Path, invocation: Invocation) -> BackupInfo:
    """Get a backup beside its place, look it over, and put it there."""
    import asyncio

    import msgspec

    project = os.path.basename((await client.call(ENGINE_INFO)).project)
    place = place_for(out, f"{project}-{time.strftime('%Y%m%d-%H%M%S')}{SUFFIX}")
    _refuse_inside(place, invocation)
    with part_of(place) as (part, file):
        telling = asyncio.get_running_loop().call_later(
            TELL_AFTER, invocation.streams.notify, "the engine copies and compresses the project"
        )
        await client.download(BACKUP, BackupParams(name=place.name), file.write)
        telling.cancel()
        file.flush()
        info = _asked(str(part))
        give_name(part, place)
    return msgspec.structs.replace(info, place=str(place))


def _refuse_inside(place: Path, invocation: Invocation) -> None:
    """Refuse a place in the project itself: each backup would hold all before it, and go with the project."""
    if invocation.elsewhere is None and os.path.realpath(invocation.folder()) in map(str, place.resolve().parents):
        raise CommandError(
            f"{place} lies in the project that is backed up",
            hint="Name a place outside of it, best on another disk.",
            exit_code=exit_codes.USAGE,
            code="usage",
        )


def _asked(*arguments: str) -> BackupInfo:
    """What the engine's own code says of a backup, in a process and an environment like the engine's."""
    import msgspec

    from engine.client.launch import daemon_environment
    from engine.models.engine import BackupInfo

    command = [sys.executable, "-P", "-m", "engine", "restore", *(os.path.abspath(name) for name in arguments)]
    done = subprocess.run(command, env=daemon_environment(), stdout=subprocess.PIPE, check=False)
    if done.returncode == exit_codes.CANCELLED:
        raise click.Abort
    try:
        answer = msgspec.json.decode(done.stdout)
        if "error" in answer:
            raise CommandError(answer["error"], hint=answer["hint"])
        return msgspec.convert(answer, BackupInfo)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise CommandError("the backup could not be looked at: the check itself broke") from None


def _print_info(invocation: Invocation, info: BackupInfo) -> None:
    invocation.streams.out.line(sanitise_line(info.place))
    out = invocation.streams
    out.notify(
        f"{sanitise_line(info.project)} of {sanitise_line(info.host)}, made {clock(info.made_at)}: "
        f"{info.files} files, {size(info.size)}, all as they should be"
    )
    _tell(invocation, info)


def _print_restored(invocation: Invocation, info: BackupInfo) -> None:
    from tui.text.script_names import quoted

    place = quoted(info.place)
    invocation.streams.notify(f"{sanitise_line(info.place)} is what the project was at {clock(info.made_at)}")
    _tell(invocation, info)
    for words in info.environments:
        invocation.streams.notify("packages to install again:", sanitise_line(invocation.line(*words)))
    invocation.streams.out.line(f"Open it: gatewright {place}")


def _tell(invocation: Invocation, info: BackupInfo) -> None:
    for sentence in info.left_out:
        invocation.streams.notify(f"left out: {sanitise_line(sentence)}")
    for sentence in info.problems:
        invocation.streams.notify(f"problem: {sanitise_line(sentence)}")
