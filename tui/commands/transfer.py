"""``scripts import`` and ``export``: files outside the project, read and written by this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.registry.scripts import SCRIPTS_LIST
from tui.commands import exit_codes
from tui.commands.arguments import SCRIPT, folders, host_files
from tui.commands.invocation import Invocation, common_options
from tui.scripts.local_files import gather
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.client.client import EngineClient
    from tui.scripts.transfers import Transfer


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE|FOLDER...", shell_complete=host_files)
@click.option("--to", "folder", metavar="FOLDER", default="", help="The folder below scripts/ that they go to.")
@common_options
@click.pass_obj
def import_scripts(invocation: Invocation, files: tuple[str, ...], folder: str) -> int:
    """Make scripts of files, and of every .py file below a folder, at the same place as in that folder.

    An older tool's header is made one of Gatewright's. No script is overwritten and no symbolic link followed. Exit
    code 5 when another script had a file's name.

    \b
    Examples:
      gatewright scripts import ~/old-scripts --to old
      gatewright scripts import report.py --to night
    """
    from tui.scripts.transfers import IMPORTED, import_file

    found = [one for name in files for one in gather(name)]

    async def work(client: EngineClient) -> list[Transfer]:
        known = {info.path: info.sha256 for info in (await client.call(SCRIPTS_LIST)).scripts}
        return [await import_file(client, one, folder.strip("/"), known) for one in found]

    return _report(invocation, invocation.ask(work), IMPORTED)


@click.command("export")
@click.argument("scripts", nargs=-1, type=SCRIPT, metavar="[SCRIPT]...")
@click.option("--out", required=True, metavar="DIR", shell_complete=folders, help="Where to; made if need be.")
@common_options
@click.pass_obj
def export_scripts(invocation: Invocation, scripts: tuple[str, ...], out: str) -> int:
    """Write scripts, or all of them, as files below DIR, in their folders.

    No file is overwritten. Exit code 5 when another file had a script's name.

    \b
    Examples:
      gatewright scripts export --out backup
      gatewright scripts export night/report --out .
    """
    from tui.scripts.transfers import EXPORTED, export_script

    async def work(client: EngineClient) -> list[Transfer]:
        names = scripts or [info.path for info in (await client.call(SCRIPTS_LIST)).scripts]
        return [await export_script(client, name, out) for name in names]

    return _report(invocation, invocation.ask(work), EXPORTED)


def _report(invocation: Invocation, moved: Sequence[Transfer], verb: str) -> int:
    from tui.scripts.transfers import EXISTS, FAILED, summary, told

    def as_text(_: Invocation, files: Sequence[Transfer]) -> None:
        for one in files:
            invocation.streams.out.line(sanitise_line(told(one, verb)))
        invocation.streams.notify(summary(files, verb))

    invocation.show(moved, as_text, as_json=lambda files: {"files": files})
    states = {one.state for one in moved}
    if FAILED in states:
        return exit_codes.FAILED
    return exit_codes.CONFLICT if EXISTS in states else exit_codes.OK
