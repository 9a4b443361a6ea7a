"""``init``: make a project of a folder, and say what was made."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.registry.engine import ENGINE_INFO
from engine.registry.git import GIT_STATUS
from engine.registry.scripts import SCRIPTS_LIST
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.models.engine import EngineInfo
    from engine.models.git import GitStatus
    from engine.models.scripts import ScriptList


@click.command("init")
@click.argument("folder", metavar="[FOLDER]", required=False)
@common_options
@click.pass_obj
def init(invocation: Invocation, folder: str | None) -> None:
    """Make a project of FOLDER, or of the current folder; one that is a project already stays as it is.

    FOLDER itself is made if need be.

    \b
    Examples:
      gatewright init ~/plant
    """
    if folder is not None and invocation.engine_option in ("--project", "--gateway"):
        raise click.UsageError(f"The folder is given twice: as an argument and by {invocation.engine_option}.")
    from engine.client.launch import LocalTarget
    from engine.paths import PRIVATE
    from tui.commands.session import refusals, with_engine

    if folder is not None and invocation.url is None:
        invocation.project = str(made(Path(folder).expanduser()))

    async def work(client: EngineClient) -> tuple[EngineInfo, ScriptList, GitStatus]:
        return await client.call(ENGINE_INFO), await client.call(SCRIPTS_LIST), await client.call(GIT_STATUS)

    with refusals():
        project = invocation.folder(make=True)
    before = os.path.isdir(project / PRIVATE)
    if before:
        invocation.streams.notify(f"{project} is a project already; nothing changed")
    target = LocalTarget(project, become=invocation.project is not None)
    found = with_engine(lambda: target, invocation.streams, work, start=True)
    invocation.show(
        found,
        _print,
        as_json=lambda answer: {
            "project": answer[0].project,
            "made": not before,
            "scripts": len(answer[1].scripts),
            "repository": answer[2].repository,
            "problems": answer[0].problems,
        },
    )


def made(folder: Path) -> Path:
    """Return ``folder``, made if its parent exists: a slip of the pen shall not make a whole tree.

    Raises:
        CommandError: It cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder} cannot be made a project: {error.strerror}", exit_code=exit_codes.USAGE) from None
    return folder.resolve()


def _print(invocation: Invocation, answer: tuple[EngineInfo, ScriptList, GitStatus]) -> None:
    from tui.text.table import fields, terminal_width

    info, scripts, git = answer
    out = invocation.streams.out
    folder = shlex.quote(info.project)
    count = f"{len(scripts.scripts)} script{'' if len(scripts.scripts) == 1 else 's'}"
    rows = [
        ("scripts/", f"{count}, plain files" if scripts.scripts else "no scripts yet"),
        ("documents/", "what scripts read: templates, samples"),
        (".gatewright/", "settings, records of runs, history; not under version control"),
        ("git", _repository(git)),
        *(("problem", problem) for problem in info.problems),
        ("next", f"gatewright {folder} opens the console; gatewright --help lists the commands"),
    ]
    out.line(fields(rows, width=terminal_width(out.is_terminal)))


def _repository(git: GitStatus) -> str:
    if git.repository is None:
        return git.problem or "no repository"
    if git.is_part:
        return f"the project is part of the repository at {git.repository}"
    return "the project has a repository of its own"
