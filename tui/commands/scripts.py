"""``scripts``: the project's scripts."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO

import click

from engine.client.answers import EngineError
from engine.models.checks import CheckProblem, CheckReport, CheckRequest
from engine.models.scripts import FoundScript, SaveRequest, ScriptInfo, ScriptList, ScriptText, SearchResult
from engine.registry.scripts import (
    SCRIPTS_CHECK,
    SCRIPTS_LIST,
    SCRIPTS_LOAD,
    SCRIPTS_SAVE,
    SCRIPTS_SEARCH,
    ScriptParams,
    SearchParams,
)
from tui.commands import exit_codes
from tui.commands.about import kind, print_about, say_what_waits, state
from tui.commands.approve import approve_script
from tui.commands.arguments import NEW_SCRIPT, SCRIPT, Count, SourceFile
from tui.commands.defaults import default_scripts
from tui.commands.errors import CommandError
from tui.commands.invocation import CommandGroup, Invocation, common_options
from tui.commands.params import standard_input
from tui.commands.script_changes import delete_script, duplicate_script, rename_script, restore_script
from tui.commands.script_exchange import compare_scripts, pull_scripts, push_scripts
from tui.commands.script_state import script_state
from tui.commands.set_keys import set_keys
from tui.commands.transfer import export_scripts, import_scripts
from tui.text.formats import clock, size
from tui.text.sanitise import sanitise_line, sanitise_source
from tui.text.script_names import better_name, script_path

if TYPE_CHECKING:
    from engine.client.client import EngineClient

NO_SCRIPTS = "there are no scripts yet; gatewright scripts defaults --restore brings back those that come with it"


@click.group("scripts", cls=CommandGroup)
@common_options
def scripts() -> None:
    """See, make, rename, delete, bring back, import and export the project's scripts.

    Code that several scripts need belongs in the folder lib: "from lib.tags import parse" takes it from lib/tags.py.
    Such files are listed and edited like scripts and do not run by themselves. A run has exactly the texts that lib had
    when it began; they are part of its record, of its replay and of an approval. Outside Gatewright, python3 and uv run
    find lib for scripts at the top; for those in folders: PYTHONPATH=scripts uv run scripts/night/report.py

    \b
    Examples:
      gatewright scripts list
      gatewright scripts new night/hello
      gatewright scripts show night/hello
    """


for command in (
    approve_script,
    set_keys,
    script_state,
    rename_script,
    duplicate_script,
    delete_script,
    restore_script,
    import_scripts,
    export_scripts,
    compare_scripts,
    push_scripts,
    pull_scripts,
    default_scripts,
):
    scripts.add_command(command)


@scripts.command("list")
@click.argument("part", required=False)
@common_options
@click.pass_obj
def list_scripts(invocation: Invocation, part: str | None) -> None:
    """List the scripts; with PART those that have it in their path, title or tags.

    \b
    Examples:
      gatewright scripts list
      gatewright scripts list night/
    """
    found = invocation.ask(lambda client: client.call(SCRIPTS_LIST))
    chosen = [info for info in found.scripts if part is None or _matches(info, part)]

    def as_text(_: Invocation, shown: ScriptList) -> None:
        if not shown.scripts:
            invocation.streams.notify("no script matches" if found.scripts else NO_SCRIPTS)
            return
        _print_scripts(invocation, shown.scripts)
        say_what_waits(invocation, shown.scripts)

    invocation.show(ScriptList(scripts=chosen), as_text)


@scripts.command("show")
@click.argument("script", type=SCRIPT)
@click.option("--about", is_flag=True, help="What its header says instead of its text.")
@common_options
@click.pass_obj
def show_script(invocation: Invocation, script: str, about: bool) -> None:
    """Print a script's text.

    \b
    Examples:
      gatewright scripts show night/hello
      gatewright scripts show night/hello --about
    """
    invocation.answer(
        lambda client: client.call(SCRIPTS_LOAD, ScriptParams(path=script)), _print_about if about else _print_text
    )


@scripts.command("new")
@click.argument("path", type=NEW_SCRIPT)
@click.option("--title", help="Shown in lists; else made from the file's name.")
@click.option("--from", "source", metavar="FILE", type=SourceFile("rb"), help="Its text; - is the standard input.")
@common_options
@click.pass_obj
def new_script(invocation: Invocation, path: str, title: str | None, source: BinaryIO | None) -> None:
    """Make a new script; an existing one is never touched.

    \b
    Examples:
      gatewright scripts new night/hello --title 'Night shift'
      gatewright scripts new night/hello --from - < trial.py
    """
    from tui.text.new_script import skeleton

    given, path = path, script_path(path)
    text = skeleton(path, title) if source is None else _decode(source.read(), source.name)
    try:
        invocation.answer(lambda client: _made(client, path, text), _print_made)
    except CommandError as error:
        if error.code == "conflict":
            error.hint = f"To edit that one: {invocation.line('--open', path)}"
        elif error.code == "bad_name":
            error.hint = f"A name that will do: {invocation.line('scripts', 'new', better_name(given))}"
        raise


@scripts.command("check")
@click.argument("script", type=SCRIPT)
@common_options
@click.pass_obj
def check_script(invocation: Invocation, script: str) -> int:
    """Look for errors in SCRIPT without running it; - checks the standard input.

    Exit code 1 when there are errors, 0 when there are none or only warnings.

    A script with an entrypoint runs once: the run calls that function, and
    __name__ is the script's own name, so that a block below
    if __name__ == "__main__": is left out. Without an entrypoint __name__ is
    "__main__" and the block runs, as under python3 and uv run.

    \b
    Examples:
      gatewright scripts check night/hello
      gatewright scripts check - < trial.py
    """
    given = None if script != "-" else _decode(standard_input().read(), "the standard input")

    async def work(client: EngineClient) -> tuple[str, CheckReport]:
        if given is not None:
            return "<stdin>", await client.call(SCRIPTS_CHECK, body=CheckRequest(text=given))
        loaded = await client.call(SCRIPTS_LOAD, ScriptParams(path=script))
        path = loaded.info.path
        return path, await client.call(SCRIPTS_CHECK, body=CheckRequest(text=loaded.text, path=path))

    _, report = invocation.answer(work, _print_problems, as_json=lambda both: both[1])
    failed = any(problem.severity == "error" for problem in report.problems)
    return exit_codes.FAILED if failed else exit_codes.OK


@scripts.command("search")
@click.argument("text", nargs=-1, required=True)
@click.option("-n", "--limit", type=Count(1, 500), metavar="N", default=50, show_default=True, help="Scripts at most.")
@common_options
@click.pass_obj
def search_scripts(invocation: Invocation, text: tuple[str, ...], limit: int) -> int:
    """Find the scripts that have every word of TEXT in name, title, tags or text.

    Case does not matter, and of the last word the beginning is enough. Exit code 1 when there are none.

    \b
    Examples:
      gatewright scripts search wrapper log
      gatewright scripts search -n 5 historian
    """

    def as_text(_: Invocation, result: SearchResult) -> None:
        for found in result.scripts:
            invocation.streams.out.line(_found_line(found))
        if not result.scripts:
            invocation.streams.notify("no script has all of these words")
        if result.more:
            invocation.streams.notify(f"there are more than {limit}", "Give more words, or a higher --limit.")

    result = invocation.answer(
        lambda client: client.call(SCRIPTS_SEARCH, SearchParams(text=" ".join(text), limit=limit)), as_text
    )
    return exit_codes.OK if result.scripts else exit_codes.FAILED


def _print_text(invocation: Invocation, loaded: ScriptText) -> None:
    out = invocation.streams.out
    out.write(sanitise_source(loaded.text) if out.is_terminal else loaded.text)
    say_what_waits(invocation, [loaded.info])


def _print_about(invocation: Invocation, loaded: ScriptText) -> None:
    print_about(invocation, loaded.info)


async def _made(client: EngineClient, path: str, text: str) -> ScriptInfo:
    """Save a script that is not there yet: to save the text of one that is, unchanged, would be no conflict."""
    try:
        found = (await client.call(SCRIPTS_LOAD, ScriptParams(path=path))).info.path
    except EngineError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        found = None
    if found == path:
        sentence = f"{path} exists already; nothing was written."
        raise CommandError(sentence, exit_code=exit_codes.CONFLICT, code="conflict")
    return await client.call(SCRIPTS_SAVE, ScriptParams(path=path), SaveRequest(text=text))


def _print_made(invocation: Invocation, made: ScriptInfo) -> None:
    invocation.streams.notify(f"made {sanitise_line(made.path)}; {invocation.line('--open', made.path)} edits it")
    for remark in filter(None, (made.problem, made.note)):
        invocation.streams.notify(remark)
    say_what_waits(invocation, [made])


def _print_problems(invocation: Invocation, checked: tuple[str, CheckReport]) -> None:
    path, report = checked
    for problem in report.problems:
        invocation.streams.out.line(_problem_line(path, problem))
    for note in report.notes:
        invocation.streams.notify(sanitise_line(note))


def _found_line(found: FoundScript) -> str:
    """As grep writes it, so that editors can jump there."""
    return sanitise_line(f"{found.path}:{found.line}: {found.text}" if found.line else f"{found.path}: {found.title}")


def _problem_line(path: str, problem: CheckProblem) -> str:
    """As compilers write it, columns from 1, so that editors can jump there."""
    place = f"{path}:{problem.line}:{problem.column + 1}"
    return sanitise_line(f"{place}: {problem.severity}: {problem.message}")


def _matches(info: ScriptInfo, part: str) -> bool:
    wanted = part.casefold()
    return any(wanted in text.casefold() for text in (info.path, info.title, *info.tags))


def _print_scripts(invocation: Invocation, chosen: list[ScriptInfo]) -> None:
    from tui.text.table import render, terminal_width

    rows = [
        [info.path.removesuffix(".py"), kind(info), info.title, state(info), size(info.size), clock(info.modified)]
        for info in chosen
    ]
    headers = ["script", "kind", "title", "state", "size", "changed"]
    width = terminal_width(invocation.streams.out.is_terminal)
    invocation.streams.out.line(render(headers, rows, right="size", width=width))


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text (byte {error.start})", exit_code=exit_codes.USAGE) from None
