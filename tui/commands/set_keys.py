"""``scripts set``: keys of a script's frontmatter, changed without touching the rest of its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from engine.models.checks import CheckRequest
from engine.models.scripts import ScriptInfo, ScriptKeys, SetKeysRequest
from engine.registry.scripts import (
    PERMISSIONS_REVIEW,
    SCRIPTS_CHECK,
    SCRIPTS_KEYS,
    SCRIPTS_LOAD,
    SCRIPTS_SET,
    ScriptParams,
)
from tui.commands.about import say_what_waits
from tui.commands.arguments import SCRIPT, keys_of_header
from tui.commands.candidates import HEADER_KEYS, PARAM_KEYS
from tui.commands.invocation import Invocation, common_options
from tui.text.sanitise import sanitise_line
from tui.text.typed_values import toml_or_text

if TYPE_CHECKING:
    from engine.client.client import EngineClient


@click.command("set")
@click.argument("script", type=SCRIPT)
@click.argument("values", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=keys_of_header)
@click.option(
    "--unset",
    metavar="KEY",
    multiple=True,
    shell_complete=keys_of_header,
    help="Remove a key, also one that is unknown, or the whole parameter params.NAME.",
)
@click.option("--macro", "kind", flag_value="macro", help="The same as kind=macro.")
@click.option("--utility", "kind", flag_value="utility", help="The same as kind=utility.")
@click.option("--sha256", metavar="HASH", help="Only if the script's text still has this hash.")
@common_options
@click.pass_obj
def set_keys(
    invocation: Invocation,
    script: str,
    values: tuple[str, ...],
    unset: tuple[str, ...],
    kind: str | None,
    sha256: str | None,
) -> None:
    """Set keys of SCRIPT's header, all of them or none; nothing else of the file changes.

    \b
    KEY is title, description, kind, entrypoint, enabled, tags, preload,
    environment, leave_processes, requires-python, dependencies, limits.timeout
    (memory, output, output_stop, result, scratch, open_files, parallel),
    permissions.read (write, secrets, assistant), or
    params.NAME.type (default, help, choices, required, secret).

    VALUE is TOML if it can be read as such (24, true, ["a", "b"]), else text; quotes make text of anything: '"24"'.

    \b
    Examples:
      gatewright scripts set night/report limits.timeout=60 'tags=["night"]'
      gatewright scripts set night/report params.hours.default=24
      gatewright scripts set night/report --unset description
    """
    changes = _changes(values, unset, kind)
    request = SetKeysRequest(changes=changes, base_sha256=None if sha256 is None else sha256.lower())

    async def work(client: EngineClient) -> tuple[ScriptInfo, list[str], list[str]]:
        before = await client.call(SCRIPTS_KEYS, ScriptParams(path=script)) if unset else None
        info = await client.call(SCRIPTS_SET, ScriptParams(path=script), request)
        done = _done(before, info, [key for key in changes if key not in unset], unset)
        return info, done, await _warnings(client, info, changes)

    def as_text(_: Invocation, answer: tuple[ScriptInfo, list[str], list[str]]) -> None:
        info, done, warnings = answer
        for sentence in done:
            invocation.streams.notify(sanitise_line(sentence))
        for sentence in ([info.problem] if info.problem else []) + warnings:
            invocation.streams.notify(sanitise_line(sentence))
        say_what_waits(invocation, [info])

    invocation.answer(work, as_text, as_json=lambda answer: answer[0])


def _done(before: ScriptKeys | None, info: ScriptInfo, given: Sequence[str], unset: Sequence[str]) -> list[str]:
    """Say which keys have new values, which are gone, and which were not there to be removed."""
    gone = [] if before is None else [key for key in unset if not _had(before, key)]
    if before is not None and gone == [*unset] and not given and info.sha256 != before.sha256:
        gone = []  # it was an empty table
    removed = [key for key in unset if key not in gone]
    sentences = [f"{info.path} has new values for {', '.join(given)}"] if given else []
    if removed:
        sentences.append(f"{info.path}: removed {', '.join(removed)}")
    if gone:
        sentences.append(f"{info.path} has no {' and no '.join(gone)} in its header: nothing to remove")
    return sentences


def _had(before: ScriptKeys, key: str) -> bool:
    """Whether a header had a key that was removed; ``ScriptKeys`` has those only that can be set."""
    if key.startswith("params.") and key.count(".") == 1:
        return any(name.startswith(f"{key}.") for name in before.values)
    name = key.rpartition(".")[2]
    known = key in HEADER_KEYS or (key.startswith("params.") and name in PARAM_KEYS)
    return key in before.values or not known


async def _warnings(client: EngineClient, info: ScriptInfo, changes: dict[str, Any]) -> list[str]:
    """What will keep the script from running as its header says now, and was no reason to refuse the change."""
    sections = {key.partition(".")[0] for key in changes}
    sentences: list[str] = []
    if sections & {"entrypoint", "params"}:
        loaded = await client.call(SCRIPTS_LOAD, ScriptParams(path=info.path))
        report = await client.call(SCRIPTS_CHECK, body=CheckRequest(text=loaded.text, path=info.path))
        sentences += [problem.message for problem in report.problems if problem.severity == "error"]
    if "permissions" in sections and info.needs_approval:
        review = await client.call(PERMISSIONS_REVIEW, ScriptParams(path=info.path))
        sentences += [one.problem for one in review.asked if one.problem is not None]
    return [sentence for sentence in dict.fromkeys(sentences) if sentence != info.problem]


def _changes(values: tuple[str, ...], unset: tuple[str, ...], kind: str | None) -> dict[str, Any]:
    """New values by key, None for what is to be removed."""
    changes: dict[str, Any] = {} if kind is None else {"kind": kind}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{value!r} is no KEY=VALUE, such as limits.timeout=60.")
        _require_new(key, changes)
        changes[key] = toml_or_text(text)
    for key in unset:
        _require_new(key, changes)
        changes[key] = None
    if not changes:
        raise click.UsageError("Name a key: KEY=VALUE, --unset KEY, --macro or --utility.")
    return changes


def _require_new(key: str, changes: dict[str, Any]) -> None:
    if key in changes:
        raise click.BadParameter(f"{key!r} is given twice.")
