"""``scripts state``: what a script keeps from one run to the next, shown and changed."""

from __future__ import annotations

import json
from typing import Any

import click

from engine.models.state import ScriptState, StateChanges
from engine.registry.scripts import ScriptParams
from engine.registry.state import STATE_CLEAR, STATE_GET, STATE_SET, StateParams
from tui.commands.arguments import SCRIPT
from tui.commands.invocation import Invocation, common_options
from tui.text.formats import clock, size
from tui.text.sanitise import sanitise_line

SHOWN = 60
"""Characters of a value in the table; ``--json`` has all of it."""


@click.command("state")
@click.argument("script", type=SCRIPT)
@click.argument("values", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--unset", metavar="KEY", multiple=True, help="Remove a key.")
@click.option("--clear", is_flag=True, help="Remove all of it.")
@common_options
@click.pass_obj
def script_state(
    invocation: Invocation, script: str, values: tuple[str, ...], unset: tuple[str, ...], clear: bool
) -> None:
    """Show or change what SCRIPT keeps from one run to the next (gatewright.state).

    VALUE is JSON if it can be read as such (24, true, ["a", "b"]), else text; quotes make text of anything: '"24"'.
    Before you remove something, --json prints all of it to keep.

    \b
    Examples:
      gatewright scripts state night/report
      gatewright scripts state night/report last_row=0 --unset cache
      gatewright scripts state night/report --clear
    """
    changes = StateChanges(values=_values(values), remove=list(unset))
    if clear:
        if values or unset:
            raise click.UsageError("--clear removes all of it; it takes no keys.")
        invocation.answer(lambda client: client.call(STATE_CLEAR, ScriptParams(path=script)), _print_cleared)
    elif changes.values or changes.remove:
        params = ScriptParams(path=script)
        invocation.answer(lambda client: client.call(STATE_SET, params, changes), _print_changed(changes))
    else:
        invocation.answer(lambda client: client.call(STATE_GET, StateParams(path=script)), _print_state)


def _values(given: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in given:
        key, equals, text = each.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{each!r} is no KEY=VALUE, such as last_row=0.")
        if key in values:
            raise click.BadParameter(f"{key!r} is given twice.")
        values[key] = _json_or_text(text)
    return values


def _json_or_text(text: str) -> Any:  # noqa: ANN401 - whatever JSON can hold
    try:
        return json.loads(text, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text


def _print_state(invocation: Invocation, state: ScriptState) -> None:
    from tui.text.table import render, terminal_width

    if not state.entries:
        invocation.streams.notify(f"{sanitise_line(state.path)} keeps nothing")
        return
    rows = [
        [
            sanitise_line(entry.key),
            _short(json.dumps(entry.value, ensure_ascii=False)),
            size(entry.size),
            clock(entry.changed_at),
            sanitise_line(entry.changed_by),
        ]
        for entry in state.entries
    ]
    width = terminal_width(invocation.streams.out.is_terminal)
    head = ["key", "value", "size", "changed", "by"]
    invocation.streams.out.line(render(head, rows, width=width, less=("by", "size")))
    invocation.streams.notify(f"{size(state.size)} of {size(state.limit)}")


def _short(text: str) -> str:
    line = sanitise_line(text)
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


def _print_changed(changes: StateChanges) -> Any:  # noqa: ANN401 - a function that prints
    def as_text(invocation: Invocation, state: ScriptState) -> None:
        done = [f"wrote {', '.join(changes.values)}"] if changes.values else []
        done += [f"removed {', '.join(changes.remove)}"] if changes.remove else []
        invocation.streams.notify(sanitise_line(f"{state.path}: {'; '.join(done)}"))

    return as_text


def _print_cleared(invocation: Invocation, state: ScriptState) -> None:
    keys = ", ".join(entry.key for entry in state.entries)
    what = f"removed {keys}" if keys else "there was nothing to remove"
    invocation.streams.notify(sanitise_line(f"{state.path}: {what}"))
