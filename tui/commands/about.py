"""A script as a person is told of it: what its frontmatter says, and what keeps it from running."""

from __future__ import annotations

from engine.models.scripts import ParamInfo, ScriptInfo
from tui.commands.invocation import Invocation
from tui.text.formats import size
from tui.text.labels import granted
from tui.text.script_names import quoted


def state(info: ScriptInfo) -> str:
    """What keeps it from running, or nothing."""
    if info.problem:
        return info.problem
    states = ["" if info.enabled else "disabled", "needs approval" if info.needs_approval else ""]
    return ", ".join(filter(None, states))


def say_what_waits(invocation: Invocation, infos: list[ScriptInfo]) -> None:
    """How to go on with scripts that cannot run before somebody has looked at what they ask for."""
    waiting = [info.path for info in infos if info.needs_approval]
    if not waiting:
        return
    script = quoted(waiting[0]) if len(waiting) == 1 else "SCRIPT"
    what = "this script asks" if len(waiting) == 1 else f"{len(waiting)} scripts ask"
    invocation.streams.notify(
        f"{what} for permissions that need approval", f"An administrator decides: gatewright scripts approve {script}"
    )


def kind(info: ScriptInfo) -> str:
    """What a script is for; ``lib`` where that is to be imported."""
    return "lib" if info.shared else info.kind


def print_about(invocation: Invocation, info: ScriptInfo) -> None:
    """Everything that its frontmatter says."""
    from tui.text.table import fields, render, terminal_width

    out = invocation.streams.out
    width = terminal_width(out.is_terminal)
    out.line(fields([*_itself(info), *_needs(info), *_limits(info), ("sha256", info.sha256)], width=width))
    if info.params:
        rows = [[param.name, _type(param), _default(param), param.help] for param in info.params]
        out.line()
        out.line(render(["parameter", "type", "default", ""], rows, width=width))


def _itself(info: ScriptInfo) -> list[tuple[str, str]]:
    return [
        ("script", info.path),
        ("title", info.title),
        ("kind", kind(info)),
        ("description", info.description),
        ("entrypoint", info.entrypoint or ""),
        ("tags", ", ".join(info.tags)),
        ("state", state(info)),
        ("note", info.note or ""),
    ]


def _needs(info: ScriptInfo) -> list[tuple[str, str]]:
    return [
        ("requires-python", info.requires_python or ""),
        ("dependencies", ", ".join(info.dependencies)),
        ("environment", info.environment),
        ("preload", ", ".join(info.preload)),
        ("leave_processes", "what detaches itself in ADMIN goes on" if info.leave_processes else ""),
        *((f"asks to {verb}", what) for verb, what in map(granted, info.permissions)),
    ]


def _limits(info: ScriptInfo) -> list[tuple[str, str]]:
    sizes = {"memory": info.memory, "output": info.output, "result": info.result, "scratch": info.scratch}
    return [
        ("timeout", f"{info.timeout:,.15g} s" if info.timeout else ""),
        *((name, size(bytes_) if bytes_ else "") for name, bytes_ in sizes.items()),
        ("open files", str(info.open_files or "")),
        ("parallel", str(info.parallel or "")),
        ("output_stop", "a run that writes more than its limit is stopped" if info.output_stop else ""),
    ]


def _type(param: ParamInfo) -> str:
    return "|".join(param.choices) if param.choices else param.type.value


def _default(param: ParamInfo) -> str:
    if param.required:
        return "(required)"
    if param.secret and param.default is not None:
        return "(secret)"
    return "" if param.default is None else str(param.default)
