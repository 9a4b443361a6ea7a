"""Run with parameters: one line per declared parameter, and one for arguments where they were asked for.

The form collects text. The engine turns it into the declared types, by the same code for every client; only what the
engine never sees, the path of a file, is checked here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from engine.models.runs import Mode
from engine.models.scripts import ParamInfo, ParamType, ScriptInfo
from tui.actions import action
from tui.keymap import keys_of
from tui.messages import ModeChanged
from tui.screens.dialogs import Dialog
from tui.text.sanitise import sanitise_line
from tui.widgets.form_fields import ChoiceField, FormRows

DEFAULT_TIMEOUT = 30.0
_ARGUMENTS = "arguments"
_TIMEOUT = "timeout"

_IN_PROJECT = re.compile(r"\bdocuments/[^\s;,]+")
"""A file that a help text may name as one to try."""

ADMIN_IS_OVER = "ADMIN is over and nothing was sent. Enter runs it RESTRICTED, {key} asks for ADMIN again."


class ModeSwitch(Protocol):
    """The console's mode."""

    @property
    def mode(self) -> Mode:
        """What a run that is sent now is."""

    @property
    def just_ended(self) -> bool:
        """Whether ADMIN ended a moment ago by itself."""

    def switch(self) -> None:
        """Into ADMIN after a question, or out of it."""


@dataclass(frozen=True, slots=True)
class FilledForm:
    """What the user entered.

    Attributes:
        params: As typed; what was left at its default is not among them.
        files: Where the console reads the file parameters from.
        argv: The arguments, taken apart as a shell does it.
        timeout: None for the script's own.
        typed: Every line of the form, to be shown again when it is refused.
        kept: The same without what is secret, to be shown again next time.
        mode: What the form showed when it was sent.
    """

    params: Mapping[str, str]
    files: Mapping[str, Path]
    argv: tuple[str, ...]
    timeout: float | None
    typed: tuple[str, ...]
    kept: tuple[str, ...]
    mode: Mode


class BadValueError(ValueError):
    """What was typed cannot be used; the message is a sentence."""


class _FileField(Input):
    """The path of a file; as long as it is empty, the key to the right takes the file that the help names.

    Args:
        sample: Its path, empty where the help names none.
    """

    def __init__(self, value: str, sample: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(value, placeholder=sample and f"try {sample}", compact=True, select_on_focus=False, id=id)
        self._sample = sample

    def action_cursor_right(self, select: bool = False) -> None:
        if self.value or not self._sample:
            super().action_cursor_right(select)
        else:
            self.value = self._sample
            self.action_end()


class RunFormScreen(Dialog[FilledForm]):
    """The form; None for Esc.

    Args:
        script: What is to run.
        folder: Where relative paths start that do not exist from the current folder on.
        switch: The console's mode, which the form shows and F8 changes.
        arguments: Whether there is a line for what becomes ``sys.argv``.
        last: What was typed last time in this session, empty for the first time.
        problem: Why the engine refused what was typed last time.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,f5", "run", "Run", show=False, priority=True),
        Binding(",".join(keys_of("admin")), "admin", "ADMIN", show=False, priority=True),
        Binding("ctrl+r", "as_last_time", "As last time", show=False, priority=True),
    ]

    def __init__(
        self,
        script: ScriptInfo,
        folder: Path,
        switch: ModeSwitch,
        *,
        arguments: bool = False,
        last: tuple[str, ...] = (),
        problem: str = "",
    ) -> None:
        super().__init__()
        self._script = script
        self._folder = folder
        self._switch = switch
        self._mode = switch.mode
        self._last = last
        self._problem = problem
        self._refused: tuple[str, ...] = ()
        self._arguments = arguments
        self._defaults = [
            *map(_as_typed, script.params),
            *[""] * arguments,
            f"{script.timeout or DEFAULT_TIMEOUT:.15g}",
        ]

    def compose(self) -> ComposeResult:
        title = f"Run {self._script.path}" + (f": {self._script.title}" if self._script.title else "")
        with Vertical(classes="dialog--box"):
            with Horizontal(classes="form--heading"):
                yield Static(sanitise_line(title), classes="dialog--title", markup=False)
                yield Static("", classes="form--mode", markup=False)
            with FormRows(classes="form--rows"):
                for index, param in enumerate(self._script.params):
                    yield self._row(param.name, param.type.value, self._field_of(index, param))
                if self._arguments:
                    field = Input("", compact=True, select_on_focus=False, id=self._field_id(-2))
                    yield self._row(_ARGUMENTS, "", field)
                timeout = Input(self._defaults[-1], compact=True, select_on_focus=False, id=self._field_id(-1))
                yield self._row(_TIMEOUT, "s", timeout)
            yield Static("", classes="form--help", markup=False)
            yield Static("", classes="dialog--problem", markup=False)
            again = "   ^R as last time" if self._last else ""
            yield Static(f"Enter run   Esc back{again}", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        if self._problem:
            self.action_as_last_time()
        self._tell(self._problem)
        self._show_mode()
        self.set_focus(self._field(0))

    def action_admin(self) -> None:
        self._switch.switch()

    def on_mode_changed(self, message: ModeChanged) -> None:
        """Also once a second while in ADMIN. That it ended by itself is said: the run was meant to be ADMIN."""
        ended = self._mode is Mode.ADMIN and message.mode is not Mode.ADMIN and not message.by_user
        if message.mode is not self._mode:
            self._mode = message.mode
            self._show_mode()
        if ended:
            self._tell_end_of_admin()

    def action_as_last_time(self) -> None:
        """Show what was typed last time, if the form still has the same lines."""
        if len(self._last) == len(self._defaults):
            for index, typed in enumerate(self._last):
                self._field(index).value = typed

    def action_run(self) -> None:
        if self._mode is not self._switch.mode:  # the form does not show it yet: what was meant is not known
            ended, self._mode = self._mode is Mode.ADMIN, self._switch.mode
            self._show_mode()
            if ended:
                self._tell_end_of_admin()
        elif not self._switch.just_ended:
            self._send()

    def _send(self) -> None:
        typed = self._typed()
        params: dict[str, str] = {}
        files: dict[str, Path] = {}
        for index, param in enumerate(self._script.params):
            try:
                if param.type is ParamType.FILE:
                    files |= _file(param, typed[index], self._folder)
                elif typed[index] != self._defaults[index] or param.required:
                    params[param.name] = typed[index]
            except BadValueError as problem:
                self._tell(str(problem))
                self.set_focus(self._field(index))
                return
        try:
            argv = tuple(shlex.split(typed[-2])) if self._arguments else ()
        except ValueError:
            self._tell("The arguments have a quotation mark too few, or a backslash at their end.")
            self.set_focus(self._field(len(typed) - 2))
            return
        try:
            timeout = None if typed[-1] == self._defaults[-1] else float(typed[-1])
        except ValueError:
            self._tell("The timeout is a number of seconds.")
            self.set_focus(self._field(len(typed) - 1))
            return
        self.dismiss(FilledForm(params, files, argv, timeout, typed, self._without_secrets(typed), self._mode))

    @on(Input.Changed)
    @on(ChoiceField.Changed)
    def _changed(self) -> None:
        """The problem is told until what caused it is changed."""
        if self._typed() != self._refused:
            self._tell("")

    def _without_secrets(self, typed: tuple[str, ...]) -> tuple[str, ...]:
        secret = [param.secret for param in self._script.params]
        return tuple(
            default if hidden else line
            for line, default, hidden in zip(
                typed, self._defaults, [*secret, *[False] * self._arguments, False], strict=True
            )
        )

    def _typed(self) -> tuple[str, ...]:
        return tuple(self._field(index).value for index in range(len(self._defaults)))

    def _tell(self, problem: str) -> None:
        self._refused = self._typed() if problem else ()
        line = self.query_one(".dialog--problem", Static)
        line.update(sanitise_line(problem))
        line.display = bool(problem)

    def _show_mode(self) -> None:
        line = self.query_one(".form--mode", Static)
        key = action("admin").key
        other = "RESTRICTED" if self._mode is Mode.ADMIN else "ADMIN"
        line.update(f"mode: {self._mode}  ({key} {other})")
        line.set_class(self._mode is Mode.ADMIN, "-admin")

    def _tell_end_of_admin(self) -> None:
        self._tell(ADMIN_IS_OVER.format(key=action("admin").key))

    @on(events.DescendantFocus)
    def _show_help(self) -> None:
        """Say what the focused line is for."""
        index = next((i for i in range(len(self._defaults)) if self._field(i).has_focus), None)
        if index is not None:
            params = self._script.params
            if index < len(params):
                note = _note(params[index], self._sample(params[index]))
            elif index < len(self._defaults) - 1:
                note = "sys.argv of the script, split as a shell does it; recorded with the run"
            else:
                note = "then the run is stopped"
            self.query_one(".form--help", Static).update(sanitise_line(note))

    def _row(self, name: str, kind: str, field: Input | ChoiceField) -> Horizontal:
        return Horizontal(
            Static(sanitise_line(name), classes="form--name", markup=False),
            Static(kind, classes="form--type", markup=False),
            field,
            classes="form--row",
        )

    def _field_of(self, index: int, param: ParamInfo) -> Input | ChoiceField:
        value = self._defaults[index]
        if param.type is ParamType.BOOL:
            return ChoiceField(["yes", "no"], value or "no", id=self._field_id(index))
        if param.type is ParamType.CHOICE:
            return ChoiceField(param.choices, value, id=self._field_id(index))
        if param.type is ParamType.FILE:
            return _FileField(value, self._sample(param), id=self._field_id(index))
        return Input(value, compact=True, select_on_focus=False, password=param.secret, id=self._field_id(index))

    def _sample(self, param: ParamInfo) -> str:
        """The file of the project that a parameter's help names; empty for none that is there."""
        if param.type is not ParamType.FILE:
            return ""
        named = (found.rstrip(".") for found in _IN_PROJECT.findall(sanitise_line(param.help)))
        return next((path for path in named if (self._folder / path).is_file()), "")

    def _field_id(self, index: int) -> str:
        return f"field-{index % len(self._defaults)}"

    def _field(self, index: int) -> Input | ChoiceField:
        return cast("Input | ChoiceField", self.query_one(f"#{self._field_id(index)}"))


def _note(param: ParamInfo, sample: str) -> str:
    """What the line takes: the author's words, and ours about its type and the file that they name."""
    ours = {
        ParamType.FILE: "Right takes it; read with your rights" if sample else "read with your rights",
        ParamType.LIST: "values with commas between them",
        ParamType.CHOICE: "Left and Right change it",
        ParamType.BOOL: "Left and Right change it",
    }.get(param.type, "")
    secret = "secret: neither shown nor kept" if param.secret else ""
    if param.secret and param.default is not None:
        secret += ", empty for the script's own"
    needed = "needed" if param.required and param.default is None else ""
    return "; ".join(part for part in (param.help, ours, secret, needed) if part)


def _as_typed(param: ParamInfo) -> str:
    """A default as a user would type it; of a secret nothing, and nothing means its default."""
    value = param.default
    if param.secret and param.type not in (ParamType.BOOL, ParamType.CHOICE):
        return ""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _file(param: ParamInfo, typed: str, folder: Path) -> dict[str, Path]:
    if not typed.strip():
        if param.required:
            raise BadValueError(f"{param.name} is the path of a file and is needed.")
        return {}
    file = Path(typed.strip()).expanduser()
    if not file.exists() and (folder / file).exists():
        file = folder / file
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise BadValueError(f"{typed} cannot be read: {error.strerror}.") from error
    return {param.name: file}
