"""``scripts compare``, ``push`` and ``pull``: the scripts of this project held against those of the user's gateways."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import click

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.common_texts import CommonTexts
from engine.client.fleet import Failure, failure_of
from engine.client.script_exchange import (
    SHOWN,
    CopyResult,
    CopyState,
    ScriptStanding,
    ScriptStore,
    compare,
    copy,
    in_order,
    note_common,
)
from engine.client.starter import LaunchError
from tui.commands import exit_codes, failures
from tui.commands.arguments import PAST_SCRIPT, gateway_selection
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.text.script_names import quoted, script_path

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.client.gateways import Gateway
    from engine.client.target import Target
    from tui.commands.streams import Streams

HERE = "here"
"""What differences call the project that the command is for."""

Answer = TypeVar("Answer")

_HASH = re.compile(rf"[0-9a-f]{{{SHOWN},64}}")


@dataclass(frozen=True, slots=True)
class Theirs:
    """What a gateway has that answered: its scripts, and the texts that this project had in common with it."""

    store: ScriptStore
    common: CommonTexts


@dataclass(slots=True)
class GatewaySide:
    """One gateway, with its scripts or the reason why there are none.

    Attributes:
        copied: What became of scripts that were pushed, as far as it went.
    """

    name: str
    theirs: Theirs | None = None
    failure: Failure | None = None
    copied: list[CopyResult] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The worst of what happened there."""
        codes = [exit_codes.OK if self.failure is None else failures.exit_code(self.failure)]
        return exit_codes.worst([*codes, *map(_exit_code, self.copied)])


@dataclass(slots=True)
class Sides:
    """The project that the command is for, and the gateways that were chosen."""

    here: ScriptStore
    there: list[GatewaySide]

    @property
    def reached(self) -> list[tuple[GatewaySide, Theirs]]:
        """The gateways that have answered."""
        return [(side, side.theirs) for side in self.there if side.theirs is not None]

    def chosen(self, names: Sequence[str]) -> list[str] | None:
        """Return the paths that names mean, in any of these places; None where none is named.

        Raises:
            CommandError: A name means none.
        """
        if not names:
            return None
        stores = [self.here, *(theirs.store for _, theirs in self.reached)]
        known = sorted({path for store in stores for path in store.infos})
        return list(dict.fromkeys(path for name in names for path in _meant(name, known)))


@dataclass(frozen=True, slots=True)
class How:
    """How scripts are to be copied."""

    over: tuple[str, ...]
    """Beginnings of hashes of texts that may be replaced, too."""
    dry_run: bool
    place: str
    """Where they are copied to, as sentences call it."""

    async def copy(self, path: str, origin: ScriptStore, target: ScriptStore, common: CommonTexts) -> CopyResult:
        return await copy(path, origin, target, common, over=self.over, dry_run=self.dry_run, place=self.place)


def _over(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _HASH.fullmatch(value):
            raise click.BadParameter(
                f"{value!r} is no beginning of a hash: {SHOWN} digits or more, as scripts compare shows them."
            )
    return values


_names = click.argument("scripts", nargs=-1, type=PAST_SCRIPT, metavar="[SCRIPT|FOLDER/]...")
_on = click.option(
    "--on",
    "selection",
    metavar="NAME,NAME|@GROUP",
    required=True,
    shell_complete=gateway_selection,
    help="The gateways, as gatewright gateways list names them.",
)
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
_may_replace = click.option(
    "--over",
    metavar="HASH",
    multiple=True,
    callback=_over,
    help="Replace this text, too: you have looked at it. Its first digits, as compare shows them.",
)


@click.command("compare")
@_names
@_on
@click.option("--diff", is_flag=True, help="Show the differences, from here to there.")
@click.option("--exit-code", "tell", is_flag=True, help="Exit code 1 if anything is not the same.")
@common_options
@click.pass_obj
def compare_scripts(invocation: Invocation, scripts: tuple[str, ...], selection: str, diff: bool, tell: bool) -> int:
    """Compare this project's scripts with those of gateways, by their hashes.

    What is the same everywhere is only counted. With names only these scripts, and the shared code that they import.

    \b
    Examples:
      gatewright scripts compare --on @plant-b
      gatewright scripts compare night/report --on gw-01,gw-02 --diff
    """

    async def work(sides: Sides) -> tuple[Sides, list[str] | None, list[str]]:
        paths = sides.chosen(scripts)
        if paths is not None:
            paths = sorted({*paths, *await sides.here.with_shared_code(paths)})
        return sides, paths, await _differences(sides, paths) if diff else []

    sides, paths, differences = _with_both(invocation, selection, work)
    found = {side.name: compare(sides.here.infos, theirs.store.infos, paths) for side, theirs in sides.reached}
    if invocation.json:
        invocation.print_json(
            {
                "gateways": [
                    {
                        "name": side.name,
                        "failure": failures.as_json(side.failure),
                        "scripts": [
                            {"path": one.path, "state": one.standing, "here": one.here, "there": one.there}
                            for one in found.get(side.name, [])
                        ],
                    }
                    for side in sides.there
                ],
                "differences": differences,
            }
        )
    else:
        _print_compared(invocation, sides, paths)
        for text in differences:
            for line in text.split("\n"):
                invocation.streams.out.line(sanitise_code(line))
    code = exit_codes.worst(side.exit_code for side in sides.there)
    same = all(one.standing is ScriptStanding.SAME for compared in found.values() for one in compared)
    return code if code or same or not tell else exit_codes.FAILED


@click.command("push")
@_names
@_on
@_may_replace
@_dry_run
@common_options
@click.pass_obj
def push_scripts(
    invocation: Invocation, scripts: tuple[str, ...], selection: str, over: tuple[str, ...], dry_run: bool
) -> int:
    """Copy scripts of this project to gateways: those named, with the shared code that they import, or all.

    Without names the default scripts that are as they came stay out: each gateway has its own.

    A text there is replaced only if this project had it before, in its history or at the last compare, push or pull, so
    that nothing is lost that was changed there. Else it is a conflict, which is listed, stops nothing else, and ends
    with exit code 5: look at it with scripts compare --diff, then pull it, or name it with --over. What is only there
    stays. Approvals do not travel: you are told what has to be approved there.

    \b
    Examples:
      gatewright scripts push --on @plant-b --dry-run
      gatewright scripts push night/report --on gw-01,gw-02
      gatewright scripts push night/report --on gw-02 --over 3f2a91c0
    """

    async def work(sides: Sides) -> Sides:
        paths = sides.chosen(scripts)
        if paths is not None:
            _refuse_missing(paths, sides.here.infos, "is not in this project, so it cannot be pushed")
            paths = await sides.here.with_shared_code(paths)
        await _push(sides, in_order(await sides.here.own() if paths is None else paths), How(over, dry_run, "there"))
        return sides

    sides = _with_both(invocation, selection, work)
    if invocation.json:
        invocation.print_json(
            {
                "dry_run": dry_run,
                "gateways": [
                    {
                        "name": side.name,
                        "failure": failures.as_json(side.failure),
                        "scripts": list(map(_copied_json, side.copied)),
                    }
                    for side in sides.there
                ],
            }
        )
    else:
        _print_pushed(invocation, sides.there, dry_run=dry_run)
    return exit_codes.worst(side.exit_code for side in sides.there)


@click.command("pull")
@_names
@_on
@_may_replace
@_dry_run
@common_options
@click.pass_obj
def pull_scripts(
    invocation: Invocation, scripts: tuple[str, ...], selection: str, over: tuple[str, ...], dry_run: bool
) -> int:
    """Copy scripts of gateways into this project: those named, with the shared code that they import, or all.

    A text here is replaced only if the gateway had it before, in its history or at the last compare, push or pull, and
    goes into the script's history. Else it is a conflict, which is listed, stops nothing else, and ends with exit code
    5; so is a script that is not the same on all of the gateways. What was changed here alone stays.

    \b
    Examples:
      gatewright scripts pull --on gw-01 --dry-run
      gatewright scripts pull night/report --on gw-01
    """

    async def work(sides: Sides) -> tuple[Sides, list[tuple[str, CopyResult]]]:
        return sides, await _pull(sides, sides.chosen(scripts), How(over, dry_run, HERE))

    sides, done = _with_both(invocation, selection, work)
    if invocation.json:
        invocation.print_json(
            {
                "dry_run": dry_run,
                "scripts": [{"from": names, **_copied_json(one)} for names, one in done],
                "failures": [
                    {"gateway": side.name, **told} for side in sides.there if (told := failures.as_json(side.failure))
                ],
            }
        )
    else:
        _print_pulled(invocation, sides.there, done, dry_run=dry_run)
    return exit_codes.worst([*(side.exit_code for side in sides.there), *(_exit_code(one) for _, one in done)])


async def _push(sides: Sides, paths: Sequence[str], how: How) -> None:
    """Copy scripts of this project to each gateway; one that is gone meanwhile stops no other.

    Raises:
        EngineUnreachable: This project's engine is gone.
    """
    for path in paths:  # read ahead: while it is copied, only gateways are waited for
        found = [theirs.store.infos.get(path) for _, theirs in sides.reached]
        there = {info.sha256 for info in found if info is not None} - {sides.here.infos[path].sha256}
        with suppress(EngineError):  # copying it says so
            if there or None in found:
                await sides.here.text(path)
            if there:
                await sides.here.past(path)

    async def push(side: GatewaySide, theirs: Theirs) -> None:
        try:
            for path in paths:
                one = await how.copy(path, sides.here, theirs.store, theirs.common)
                # What is older than the text there does not get there.
                side.copied.append(replace(one, state=CopyState.CONFLICT) if one.state is CopyState.OLDER else one)
        except EngineUnreachable as error:
            side.failure = failure_of(error)

    await asyncio.gather(*(push(side, theirs) for side, theirs in sides.reached))


async def _pull(sides: Sides, paths: Collection[str] | None, how: How) -> list[tuple[str, CopyResult]]:
    """Copy scripts of the gateways into this project, and return what became of each, with where it is from.

    Raises:
        EngineUnreachable: This project's engine is gone.
        CommandError: One of ``paths`` is on none of them.
    """
    wanted: set[str] = set()
    for side, theirs in sides.reached:
        try:
            wanted |= {*(await (theirs.store.own() if paths is None else theirs.store.with_shared_code(paths)))}
        except EngineUnreachable as error:
            side.failure = failure_of(error)
    if paths is not None and not any(side.failure for side in sides.there):
        _refuse_missing(paths, wanted, "is on none of these gateways, so it cannot be pulled")
    done = []
    for path in in_order(wanted):
        origins = [each for each in sides.reached if path in each[1].store.infos and each[0].failure is None]
        texts: dict[str, list[str]] = {}
        for side, theirs in origins:
            texts.setdefault(theirs.store.infos[path].sha256, []).append(side.name)
        if len(texts) > 1:
            told = "; ".join(f"{', '.join(names)} ({digest[:SHOWN]})" for digest, names in texts.items())
            problem = f"Its text is not the same on all of these gateways: {told}. Pull it from one of them."
            names = ", ".join(side.name for side, _ in origins)
            done.append((names, CopyResult(path, CopyState.CONFLICT, problem=problem)))
        elif (origin := await _readable(path, origins, sides.here)) is not None:
            side, theirs = origin
            done.append((side.name, await how.copy(path, theirs.store, sides.here, theirs.common)))
    return done


async def _readable(
    path: str, origins: Iterable[tuple[GatewaySide, Theirs]], here: ScriptStore
) -> tuple[GatewaySide, Theirs] | None:
    """Return the first of some gateways that still answers, with the script read from it; None if none does."""
    for side, theirs in origins:
        store = theirs.store
        try:
            with suppress(EngineError):  # copying it says so
                await store.text(path)
                if path in here.infos and here.infos[path].sha256 != store.infos[path].sha256:
                    await store.had(path, here.infos[path].sha256)
        except EngineUnreachable as error:
            side.failure = failure_of(error)
        else:
            return side, theirs
    return None


def _with_both(invocation: Invocation, selection: str, work: Callable[[Sides], Awaitable[Answer]]) -> Answer:
    """Connect to the gateways and to the engine that is meant, and do ``work`` with the scripts of both.

    Raises:
        CommandError: A gateway is not there, or the engine that is meant cannot be reached.
    """
    from engine.client.gateways import Gateways
    from tui.commands.session import refusals

    with refusals():
        gateways = Gateways.load().asked(selection, invocation.streams.notify)
        return asyncio.run(_session(gateways, invocation.target(), work, invocation.streams))


async def _session(
    gateways: Sequence[Gateway], target: Target, work: Callable[[Sides], Awaitable[Answer]], streams: Streams
) -> Answer:
    from tui.commands.session import CLIENT

    clients: list[EngineClient] = []

    async def side(gateway: Gateway) -> GatewaySide:
        try:
            found = gateway.target(become=False)
            clients.append(client := await found.connect(CLIENT))
            return GatewaySide(
                gateway.name, Theirs(await ScriptStore.of(client, elsewhere=True), CommonTexts(target.key, found.key))
            )
        except (EngineError, EngineUnreachable, LaunchError) as error:
            return GatewaySide(gateway.name, failure=failure_of(error))

    tasks = [asyncio.ensure_future(side(gateway)) for gateway in gateways]
    try:
        if os.geteuid() == 0 and target.folder is not None:
            await asyncio.wait(tasks)  # root may be another account from then on, which cannot read root's tokens
        clients.append(client := await target.connect(CLIENT))
        sides = Sides(await ScriptStore.of(client), list(await asyncio.gather(*tasks)))
        for _, theirs in sides.reached:
            note_common(sides.here.infos, theirs.store.infos, theirs.common)
        try:
            return await work(sides)
        finally:
            _remember(sides, streams)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients))


def _remember(sides: Sides, streams: Streams) -> None:
    """Write down which texts both sides have in common now."""
    try:
        for _, theirs in sides.reached:
            theirs.common.keep(sides.here.infos.keys() | theirs.store.infos.keys())
    except OSError as error:
        streams.notify(f"which texts are the same on both sides is not remembered: {error.strerror}")


async def _differences(sides: Sides, paths: Collection[str] | None) -> list[str]:
    """Return each difference once, from here to there, with the gateways that have that text."""
    from engine.text_diff import unified

    texts: dict[tuple[str, str], list[tuple[GatewaySide, Theirs]]] = {}
    for side, theirs in sides.reached:
        for one in compare(sides.here.infos, theirs.store.infos, paths):
            if one.standing is ScriptStanding.DIFFERS and one.there is not None:
                texts.setdefault((one.path, one.there), []).append((side, theirs))
    found = []
    for (path, _), places in sorted(texts.items(), key=lambda item: item[0]):
        names = ", ".join(side.name for side, _ in places)
        try:
            here, there = (await sides.here.text(path))[0], (await places[0][1].store.text(path))[0]
            found.append(await asyncio.to_thread(unified, here, there, f"{HERE} {path}", f"{names} {path}"))
        except (EngineError, EngineUnreachable) as error:
            found.append(f"{names} {path}: {error.message}")
    return found


def _print_compared(invocation: Invocation, sides: Sides, paths: Collection[str] | None) -> None:
    """Print a line for each script that is not the same, with the gateways for which that holds, and the counts."""
    from tui.text.table import render, terminal_width

    lines: dict[tuple[str, str, str], list[str]] = {}
    for side, theirs in sides.reached:
        counts: dict[ScriptStanding, int] = {}
        for one in compare(sides.here.infos, theirs.store.infos, paths):
            counts[one.standing] = counts.get(one.standing, 0) + 1
            if one.standing is not ScriptStanding.SAME:
                lines.setdefault((one.path, one.standing, (one.there or "")[:SHOWN]), []).append(side.name)
        told = ", ".join(f"{counts[standing]} {standing}" for standing in ScriptStanding if standing in counts)
        invocation.streams.notify(f"{side.name}: {told or 'no scripts'}")
    _notify_failures(invocation, sides.there)
    if lines:
        rows = [[state, path, digest, ", ".join(names)] for (path, state, digest), names in sorted(lines.items())]
        width = terminal_width(invocation.streams.out.is_terminal)
        invocation.streams.out.line(render(["state", "script", "there", "gateways"], rows, width=width))


def _print_pushed(invocation: Invocation, sides: Sequence[GatewaySide], *, dry_run: bool) -> None:
    _print_copies(invocation, [(side.name, one) for side in sides for one in side.copied])
    for side in sides:
        if side.copied:
            invocation.streams.notify(f"{side.name}: {_counts(side.copied)}")
    _notify_failures(invocation, sides)
    for side in sides:
        for one in side.copied:
            if one.needs_approval:
                line = f"gatewright --gateway {quoted(side.name)} scripts approve {quoted(one.path)}"
                invocation.streams.notify(f"{side.name}: {sanitise_line(one.path)} has to be approved there", line)
    _notify_end(invocation, [(side.name, one) for side in sides for one in side.copied], "push", dry_run=dry_run)


def _print_pulled(
    invocation: Invocation, sides: Sequence[GatewaySide], done: Sequence[tuple[str, CopyResult]], *, dry_run: bool
) -> None:
    _print_copies(invocation, done)
    if done:
        invocation.streams.notify(_counts([one for _, one in done]))
    _notify_failures(invocation, sides)
    for _, one in done:
        if one.needs_approval:
            line = invocation.line("scripts", "approve", one.path)
            invocation.streams.notify(f"{sanitise_line(one.path)} has to be approved here", line)
    _notify_end(invocation, done, "pull", dry_run=dry_run)


def _print_copies(invocation: Invocation, copies: Iterable[tuple[str, CopyResult]]) -> None:
    """Print a line for each script that something was done about."""
    shown = [(names, one) for names, one in copies if one.state is not CopyState.SAME]
    widths = max((len(names) for names, _ in shown), default=0), max((len(one.state) for _, one in shown), default=0)
    for names, one in shown:
        line = f"{names:<{widths[0]}}  {one.state:<{widths[1]}}  {one.path}" + (
            f": {one.problem}" if one.problem else ""
        )
        invocation.streams.out.line(sanitise_line(line), failed=_exit_code(one) != exit_codes.OK)


def _counts(copied: Sequence[CopyResult]) -> str:
    states = [one.state for one in copied]
    return ", ".join(f"{states.count(state)} {state}" for state in CopyState if state in states)


def _notify_failures(invocation: Invocation, sides: Iterable[GatewaySide]) -> None:
    for side in sides:
        if side.failure is not None:
            invocation.streams.notify(f"{side.name}: {side.failure.message}", side.failure.hint, failed=True)


def _notify_end(invocation: Invocation, copies: Iterable[tuple[str, CopyResult]], verb: str, *, dry_run: bool) -> None:
    """Say what can be done about the first conflict, and that nothing was done if that was asked for."""
    for names, one in copies:
        if one.state is CopyState.CONFLICT and one.before is not None:
            look = f"gatewright scripts compare {quoted(one.path)} --on {quoted(names)} --diff"
            other = "pull" if verb == "push" else "push"
            invocation.streams.notify(
                "a text that this would take away is never written over unseen",
                f"Look at it: {look}; then {other} it, or replace it: scripts {verb} ... --over {one.before[:SHOWN]}",
            )
            break
    if dry_run:
        invocation.streams.notify("nothing was written: this was --dry-run")


def _refuse_missing(paths: Iterable[str], known: Collection[str], why: str) -> None:
    if missing := next((path for path in paths if path not in known), None):
        raise CommandError(f"{missing} {why}", exit_code=exit_codes.USAGE, code="no_script")


def _meant(name: str, known: Sequence[str]) -> Iterator[str]:
    """Return the scripts that a name means: one, or all below a folder.

    Raises:
        CommandError: It means none, or more than one.
    """
    if name.endswith("/"):
        found = [path for path in known if path.startswith(name)]
    elif script_path(name) in known:
        found = [script_path(name)]
    else:
        found = [path for path in known if path.rpartition("/")[2] == script_path(name)]
        if len(found) > 1:
            raise CommandError(
                f"{name!r} could be {' or '.join(found)}", hint="Give the whole path.", exit_code=exit_codes.USAGE
            )
    if not found:
        import difflib

        near = difflib.get_close_matches(script_path(name), known, n=2)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See gatewright scripts compare --on NAME."
        raise CommandError(
            f"there is no script {name!r}, neither here nor there",
            hint=hint,
            exit_code=exit_codes.USAGE,
            code="no_script",
        )
    yield from found


def _exit_code(one: CopyResult) -> int:
    if one.state is CopyState.CONFLICT:
        return exit_codes.CONFLICT
    return exit_codes.of_refusal(one.status, "") if one.state is CopyState.FAILED else exit_codes.OK


def _copied_json(one: CopyResult) -> dict[str, object]:
    return {
        "path": one.path,
        "state": one.state,
        "sha256": one.sha256,
        "before": one.before,
        "problem": one.problem,
        "needs_approval": one.needs_approval,
    }
