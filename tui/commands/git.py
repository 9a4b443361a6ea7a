"""``git``: the project's repository, as the engine sees and changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from engine.client.answers import EngineError
from engine.models.git import GitAuthor, GitCommit, GitCommitRequest, GitDiff, GitLog, GitPaths, GitStatus, GitText
from engine.registry.git import (
    GIT_AUTHOR,
    GIT_AUTHOR_SET,
    GIT_COMMIT,
    GIT_DIFF,
    GIT_LOG,
    GIT_SHOW,
    GIT_STAGE,
    GIT_STATUS,
    GIT_UNSTAGE,
    GitDiffParams,
    GitLogParams,
    GitShowParams,
)
from tui.commands import exit_codes
from tui.commands.arguments import PAST_SCRIPT, PROJECT_FILE, Count
from tui.commands.errors import CommandError
from tui.commands.git_trust import trust
from tui.commands.invocation import CommandGroup, Invocation, common_options
from tui.text.formats import clock
from tui.text.sanitise import sanitise_code, sanitise_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.client.client import EngineClient

SHORT = 10
"""Digits of a commit that are shown."""


@click.group("git", cls=CommandGroup)
@common_options
def git() -> None:
    """See and commit what changed in the project's repository.

    Paths are relative to the project's folder, as `git status` lists them; scripts are named as everywhere else.

    \b
    Examples:
      gatewright git status
      gatewright git stage scripts/night
      gatewright git commit -m 'Count the night shift, too'
    """


git.add_command(trust)


@git.command("status")
@common_options
@click.pass_obj
def show_status(invocation: Invocation) -> None:
    """List what changed: the first letter is the index, the second one the file.

    \b
    Examples:
      gatewright git status
    """
    invocation.answer(_status, _print_status)


@git.command("log")
@click.argument("script", type=PAST_SCRIPT, metavar="[SCRIPT | BRANCH | TAG]", required=False)
@click.option("--commit", "start", metavar="COMMIT", help="Begin at this commit, branch or tag instead of at HEAD.")
@click.option("-n", "--limit", type=Count(1, 200), metavar="N", default=20, help="How many, newest first.")
@click.option("--skip", type=Count(0), metavar="N", default=0, help="Leave out this many of the newest.")
@common_options
@click.pass_obj
def show_log(invocation: Invocation, script: str | None, start: str | None, limit: int, skip: int) -> None:
    """List commits; with SCRIPT those that changed it.

    A name that is no script may be a branch or a tag.

    \b
    Examples:
      gatewright git log
      gatewright git log night/report -n 5
      gatewright git log night/report --commit v1.2
    """

    async def work(client: EngineClient) -> GitLog:
        params = GitLogParams(path=_with_suffix(script), commit=start, limit=limit, skip=skip)
        found = await client.call(GIT_LOG, params)
        if found.commits or skip or script is None or start is not None:
            return found
        try:
            return await client.call(GIT_LOG, GitLogParams(commit=script, limit=limit))
        except EngineError as error:
            if error.code not in ("not_found", "bad_request"):
                raise
            return found

    def as_text(_: Invocation, found: GitLog) -> None:
        if not found.commits:
            of_script = "" if script is None else f" of {sanitise_line(script)}"
            invocation.streams.notify(f"there are no {'more ' if skip else ''}commits{of_script}")
            return
        _print_log(invocation, found.commits)
        if found.more:
            invocation.streams.notify(f"older ones: --skip {skip + limit}")

    invocation.answer(work, as_text)


@git.command("diff")
@click.argument("path", type=PROJECT_FILE, required=False)
@click.option("--staged", is_flag=True, help="What is staged, instead of what is not.")
@click.option("--commit", "sha", metavar="COMMIT", help="What this commit, branch or tag changed last.")
@common_options
@click.pass_obj
def show_diff(invocation: Invocation, path: str | None, staged: bool, sha: str | None) -> None:
    """Show what changed in PATH, or in every changed file.

    \b
    Examples:
      gatewright git diff
      gatewright git diff scripts/night/report.py --staged
    """
    if staged and sha is not None:
        raise click.UsageError("--staged and --commit do not go together.")

    async def work(client: EngineClient) -> GitDiff:
        if path is not None or sha is not None:
            return await client.call(GIT_DIFF, GitDiffParams(path=path, staged=staged, commit=sha))
        return await _every_diff(client, staged=staged)

    invocation.answer(work, _print_diff)


@git.command("show")
@click.argument("commit")
@click.argument("script", type=PAST_SCRIPT, required=False)
@common_options
@click.pass_obj
def show_commit(invocation: Invocation, commit: str, script: str | None) -> None:
    """Print SCRIPT as it was in COMMIT; without SCRIPT what the commit changed.

    COMMIT is a hash, a branch or a tag.

    \b
    Examples:
      gatewright git show 3f2a91c
      gatewright git show HEAD~1 night/report
    """
    path = _with_suffix(script)

    async def work(client: EngineClient) -> GitText | GitDiff:
        return await (
            client.call(GIT_DIFF, GitDiffParams(commit=commit))
            if path is None
            else client.call(GIT_SHOW, GitShowParams(commit=commit, path=path))
        )

    def as_text(_: Invocation, found: GitText | GitDiff) -> None:
        if isinstance(found, GitDiff):
            _print_diff(invocation, found)
        else:
            invocation.streams.out.write(found.text)

    invocation.answer(work, as_text)


@git.command("stage")
@click.argument("paths", type=PROJECT_FILE, nargs=-1, required=True)
@common_options
@click.pass_obj
def stage(invocation: Invocation, paths: tuple[str, ...]) -> None:
    """Put changed files, or all that changed in a folder, into the next commit.

    \b
    Examples:
      gatewright git stage scripts/night/report.py
      gatewright git stage scripts
      gatewright git stage .
    """

    async def work(client: EngineClient) -> GitStatus:
        chosen = [path for path in paths if path.rstrip("/") != "."]
        if len(chosen) < len(paths):  # git's way to say everything; the API takes names
            chosen += [file.path for file in (await client.call(GIT_STATUS)).files]
        return await client.call(GIT_STAGE, body=GitPaths(paths=chosen))

    invocation.answer(work, _print_status)


@git.command("unstage")
@click.argument("paths", type=PROJECT_FILE, nargs=-1, required=True)
@common_options
@click.pass_obj
def unstage(invocation: Invocation, paths: tuple[str, ...]) -> None:
    """Take files out of the next commit; the files themselves stay as they are.

    \b
    Examples:
      gatewright git unstage scripts/night/report.py
    """
    invocation.answer(lambda client: client.call(GIT_UNSTAGE, body=GitPaths(paths=list(paths))), _print_status)


@git.command("commit")
@click.option("-m", "--message", "messages", multiple=True, help="The message; each further one is a paragraph.")
@click.option("-F", "--file", "source", type=click.File("rb"), help="A file with the message; - is the standard input.")
@common_options
@click.pass_obj
def commit(invocation: Invocation, messages: tuple[str, ...], source: BinaryIO | None) -> None:
    """Commit what is staged, under your name.

    Your name and e-mail address are asked for once, at a terminal; or say them with `gatewright git author`.

    \b
    Examples:
      gatewright git commit -m 'Count the night shift, too'
    """
    if bool(messages) == (source is not None):
        raise click.UsageError("Give the message with -m or with -F.")
    text = "\n\n".join(messages) if source is None else _decoded(source.read())

    async def work(client: EngineClient) -> GitCommit:
        return await client.call(GIT_COMMIT, body=GitCommitRequest(message=text))

    try:
        made = invocation.ask(work)
    except CommandError as error:
        if error.code != "no_author" or not invocation.can_ask:
            raise
        _ask_author(invocation)
        made = invocation.ask(work)
    invocation.show(made, _print_commit)


@git.command("author")
@click.option("--name", help="As it should stand in commits.")
@click.option("--email", help="Likewise.")
@common_options
@click.pass_obj
def author(invocation: Invocation, name: str | None, email: str | None) -> None:
    """Show or set who your commits are by.

    \b
    Examples:
      gatewright git author
      gatewright git author --name 'Anna Berg' --email anna@plant.example
    """

    async def work(client: EngineClient) -> GitAuthor:
        known = await client.call(GIT_AUTHOR)
        if name is None and email is None:
            return known
        return await client.call(GIT_AUTHOR_SET, body=GitAuthor(name=name or known.name, email=email or known.email))

    invocation.answer(work, _print_author)


def _ask_author(invocation: Invocation) -> None:
    invocation.streams.notify("who are your commits by? This is asked once.")
    given = GitAuthor(name=click.prompt("Name", err=True), email=click.prompt("E-mail address", err=True))
    invocation.ask(lambda client: client.call(GIT_AUTHOR_SET, body=given))


async def _status(client: EngineClient) -> GitStatus:
    status = await client.call(GIT_STATUS)
    if not status.available:
        raise CommandError(status.problem or "There is no git repository.", exit_code=exit_codes.USAGE, code="git")
    return status


async def _every_diff(client: EngineClient, *, staged: bool) -> GitDiff:
    status = await _status(client)
    chosen = [file.path for file in status.files if (file.index not in " ?" if staged else file.worktree != " ")]
    found = [await client.call(GIT_DIFF, GitDiffParams(path=path, staged=staged)) for path in chosen]
    return GitDiff(text="".join(one.text for one in found), cut=any(one.cut for one in found))


def _with_suffix(script: str | None) -> str | None:
    return script if script is None or script.endswith(".py") else f"{script}.py"


def _print_commit(invocation: Invocation, made: GitCommit) -> None:
    invocation.streams.notify(f"committed {made.sha[:SHORT]} {sanitise_line(made.subject)}")


def _print_author(invocation: Invocation, found: GitAuthor) -> None:
    if found.name is None:
        invocation.streams.notify("nobody has said yet who your commits are by", "Say it with --name and --email.")
    else:
        invocation.streams.out.line(sanitise_line(f"{found.name} <{found.email}>"))


def _print_status(invocation: Invocation, status: GitStatus) -> None:
    out = invocation.streams.out
    where = sanitise_line(status.branch) if status.branch else f"no branch, at {(status.head or '')[:SHORT]}"
    out.line(f"on {where}{'' if status.head else ', no commit yet'}")
    if status.is_part:
        out.line(f"this project's part of the repository at {sanitise_line(status.repository or '')}")
    if status.under_way:
        out.line(f"a {status.under_way} is under way")
    for file in status.files:
        out.line(f"{file.index}{file.worktree} {sanitise_line(file.path)}")
    if not status.files:
        out.line("nothing changed")


def _print_log(invocation: Invocation, commits: Sequence[GitCommit]) -> None:
    from tui.text.table import render, terminal_width

    rows = [[one.sha[:SHORT], clock(one.at), one.author, one.subject] for one in commits]
    out = invocation.streams.out
    out.line(render(["commit", "at", "author", "subject"], rows, width=terminal_width(out.is_terminal)))


def _print_diff(invocation: Invocation, found: GitDiff) -> None:
    """A pipe gets it as it is; at a terminal a carriage return must not make one line look like two."""
    out = invocation.streams.out
    if out.is_terminal:
        for line in found.text.split("\n")[:-1]:
            out.line(sanitise_code(line))
    else:
        out.write(found.text)
    if found.cut:
        invocation.streams.notify("the difference is longer; the rest is not shown")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"the message is not UTF-8 text (byte {error.start})", exit_code=exit_codes.USAGE, code="bad_request"
        ) from None
