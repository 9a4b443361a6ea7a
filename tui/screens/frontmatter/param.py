"""One parameter of a script: name, type, default, help, choices, whether it is needed and whether it is secret."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from engine.models.scripts import ParamType
from tui.screens.dialogs import Dialog
from tui.screens.frontmatter.fields import YES_NO, Field, ParamDraft, default_kind
from tui.screens.frontmatter.line import MetaLine
from tui.text.typed_values import FieldKind, typed
from tui.widgets.form_fields import ChoiceField

NAME = Field("name", FieldKind.TEXT, "as the script's function calls it")
TYPE = Field("type", FieldKind.TEXT, "what may be entered; else str", tuple(kind.value for kind in ParamType))
DEFAULT = Field("default", FieldKind.TEXT, "what it is when nothing is entered; a file has none")
HELP = Field("help", FieldKind.TEXT, "shown when somebody runs the script")
CHOICES = Field("choices", FieldKind.TEXTS, "of the type choice: texts with commas between them")
REQUIRED = Field("required", FieldKind.FLAG, "whether it must be entered; else only if it has no default", YES_NO)
SECRET = Field("secret", FieldKind.FLAG, "yes: not shown, not kept; else if its name has password, token, key", YES_NO)


class ParamFormScreen(Dialog[ParamDraft]):
    """The result is the parameter as entered, or None for Esc. The form below has the engine judge it.

    Args:
        draft: What it is now; None for a new one.
        taken: Names that other parameters have.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+s", "take", "Take it over", show=False, priority=True),
        Binding("up", "app.focus_previous", "Up", show=False),
        Binding("down", "app.focus_next", "Down", show=False),
    ]

    def __init__(self, draft: ParamDraft | None, taken: frozenset[str]) -> None:
        super().__init__()
        self._draft = draft or ParamDraft("", {"type": ParamType.STR.value})
        self._taken = taken
        values = self._draft.values
        kind = default_kind(str(values.get("type", "str")))
        self._called = MetaLine(NAME, self._draft.name or None)
        self._type = MetaLine(TYPE, values.get("type"))
        self._default = MetaLine(Field(DEFAULT.key, kind, DEFAULT.help), values.get("default"))
        self._others = [MetaLine(field, values.get(field.key)) for field in (HELP, CHOICES, REQUIRED, SECRET)]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static("A parameter", classes="dialog--title", markup=False)
            yield from self._lines
            yield Static("", classes="form--help", markup=False)
            yield Static("", classes="dialog--problem", markup=False)
            yield Static("Enter takes it over into the form   Esc back", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(".dialog--problem").display = False
        self.set_focus(self._called.entry)

    def action_take(self) -> None:
        name = self._called.text.strip()
        if not name or "." in name:
            self._tell("It needs a name, as a function's parameter has one.")
        elif name in self._taken:
            self._tell("Another parameter has that name.")
        else:
            self.dismiss(ParamDraft(name, self._values(), was=self._draft.was))

    def _values(self) -> dict[str, object]:
        """As entered; the default as the type wants it. A line that was not touched keeps what is written."""
        found = {line.field.key: self._value(line) for line in self._lines[1:]}
        return {key: value for key, value in found.items() if value is not None}

    def _value(self, line: MetaLine) -> object:
        if not line.changed and not (line is self._default and self._type.changed):
            return self._draft.values.get(line.field.key)
        return typed(line.text, default_kind(self._type.text)) if line is self._default else line.value

    @property
    def _lines(self) -> list[MetaLine]:
        return [self._called, self._type, self._default, *self._others]

    @on(events.DescendantFocus)
    def _show_help(self) -> None:
        line = next((one for one in self._lines if one.entry.has_focus), None)
        if line is not None:
            turn = "; Left and Right change it" if isinstance(line.entry, ChoiceField) else ""
            self.query_one(".form--help", Static).update(line.field.help + turn)

    def _tell(self, problem: str) -> None:
        told = self.query_one(".dialog--problem", Static)
        told.update(problem)
        told.display = True
        self.set_focus(self._called.entry)
