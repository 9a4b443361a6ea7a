"""``scripts import`` and ``export``: files outside the project, read and written by this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from engine.models import SaveRequest, ScriptInfo
from tui.commands import exit_codes
from tui.commands.invocation import Invocation, common_options
from tui.local_files import Found, LocalFileError, TakenError, gather, write_new
from tui.terminal_guard import sanitise_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.client import EngineClient

DONE = "done"
UNCHANGED = "unchanged"
EXISTS = "exists"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one file."""

    file: str
    script: str
    state: str
    """``done``; ``unchanged``: the very same is there; ``exists``: another one is; ``failed``."""
    problem: str | None = None


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE|FOLDER...")
@click.option("--to", "folder", metavar="FOLDER", default="", help="The folder below scripts/ that they go to.")
@common_options
@click.pass_obj
def import_scripts(invocation: Invocation, files: tuple[str, ...], folder: str) -> int:
    """Make scripts of files, and of every .py file below a folder, at the same place as in that folder.

    An older tool's header becomes a frontmatter block. No script is overwritten and no symbolic link followed. Exit
    code 5 when another script had a file's name.
    """
    from tui.commands.session import with_engine

    found = [one for name in files for one in gather(name)]

    async def work(client: EngineClient) -> list[Moved]:
        known = {info.path: info.sha256 for info in (await client.list_scripts()).scripts}
        return [await _import(client, one, folder.strip("/"), known) for one in found]

    return _report(invocation, with_engine(invocation, work), "imported")


@click.command("export")
@click.argument("scripts", nargs=-1, metavar="[SCRIPT]...")
@click.option("--out", required=True, metavar="DIR", help="Where to; made if need be.")
@common_options
@click.pass_obj
def export_scripts(invocation: Invocation, scripts: tuple[str, ...], out: str) -> int:
    """Write scripts, or all of them, as files below DIR, in their folders.

    No file is overwritten. Exit code 5 when another file had a script's name.
    """
    from tui.commands.session import with_engine

    async def work(client: EngineClient) -> list[Moved]:
        names = scripts or [info.path for info in (await client.list_scripts()).scripts]
        return [await _export(client, name, out) for name in names]

    return _report(invocation, with_engine(invocation, work), "exported")


async def _import(client: EngineClient, found: Found, folder: str, known: dict[str, str]) -> Moved:
    from engine.client import EngineError

    script = f"{folder}/{found.path}" if folder else found.path
    if found.problem is not None:
        return Moved(found.file, "", FAILED, found.problem)
    if not script.endswith(".py"):
        return Moved(found.file, "", FAILED, "its name does not end in .py")
    try:
        made, remark = await _save(client, script, found.text)
    except EngineError as error:
        return Moved(found.file, script, EXISTS if error.code == "conflict" else FAILED, error.message)
    state = UNCHANGED if known.get(made.path) == made.sha256 else DONE
    return Moved(found.file, made.path, state, remark or made.problem)


async def _save(client: EngineClient, script: str, text: str) -> tuple[ScriptInfo, str | None]:
    """Make the script, with an older header as a block if that can be; else the reason why it is not."""
    from engine.client import EngineError

    try:
        return await client.save_script(script, SaveRequest(text=text, convert_header=True)), None
    except EngineError as error:
        if error.code != "bad_header":
            raise
        made = await client.save_script(script, SaveRequest(text=text))
        return made, f"its older header stays as it is: {error.message}"


async def _export(client: EngineClient, name: str, out: str) -> Moved:
    from engine.client import EngineError

    file = f"{out.rstrip('/')}/{name}"
    try:
        loaded = await client.load_script(name)
        file = f"{out.rstrip('/')}/{loaded.info.path}"
        written = write_new(out, loaded.info.path, loaded.text.encode("utf-8"))
    except EngineError as error:
        return Moved(file, name, FAILED, error.message)
    except TakenError as error:
        return Moved(file, name, EXISTS, str(error))
    except LocalFileError as error:
        return Moved(file, name, FAILED, str(error))
    return Moved(file, loaded.info.path, DONE if written else UNCHANGED)


def _report(invocation: Invocation, moved: Sequence[Moved], verb: str) -> int:
    if invocation.json:
        invocation.print_json({"files": moved})
    else:
        _print(invocation, moved, verb)
    states = {one.state for one in moved}
    if FAILED in states:
        return exit_codes.FAILED
    return exit_codes.CONFLICT if EXISTS in states else exit_codes.OK


def _print(invocation: Invocation, moved: Iterable[Moved], verb: str) -> None:
    counts = dict.fromkeys((DONE, UNCHANGED, EXISTS, FAILED), 0)
    for one in moved:
        counts[one.state] += 1
        word = verb if one.state == DONE else one.state
        line = f"{word}: {one.file}" + (f" -> {one.script}" if verb == "imported" and one.script else "")
        invocation.streams.out.line(sanitise_line(line + (f": {one.problem}" if one.problem else "")))
    parts = [f"{counts[DONE]} {verb}"]
    parts += [f"{counts[state]} {text}" for state, text in _COUNTED.items() if counts[state]]
    invocation.streams.say(", ".join(parts))


_COUNTED = {UNCHANGED: "there already", EXISTS: "left alone: the name is taken", FAILED: "failed"}
