"""Lines of the frontmatter's form: a key and a parameter, each with its mark and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from tui.screens.frontmatter.fields import Field, ParamDraft
from tui.text.sanitise import sanitise_line
from tui.text.typed_values import shown, typed
from tui.widgets.form_fields import ChoiceField

UNSET = "(not set)"
MARK_WIDTH = 8


class MetaLine(Vertical):
    """One key.

    Args:
        field: Which one.
        value: What the script says; None if it says nothing.
        text: What the line holds at first; else ``value``.
        choices: If it is one of a few; in place of the field's own.
    """

    def __init__(self, field: Field, value: object, text: str | None = None, choices: Sequence[str] = ()) -> None:
        super().__init__(classes="meta--line")
        self.field = field
        self._before = shown(value, field.kind)
        self._was_there = value is not None
        held = self._before if text is None else text
        offered = list(choices or field.choices)
        self._entry: Input | ChoiceField
        if offered:
            offered += [one for one in (self._before, held) if one and one not in offered]
            self._entry = ChoiceField([UNSET, *offered], held or UNSET)
        else:
            self._entry = Input(held, compact=True, select_on_focus=False)
        self._mark = Static("", classes="meta--mark", markup=False)
        self._remark = Static("", classes="meta--remark", markup=False)

    def compose(self) -> ComposeResult:
        with Horizontal(classes="form--row"):
            yield Static(self.field.name, classes="form--name", markup=False)
            yield self._entry
            yield self._mark
        yield self._remark

    def on_mount(self) -> None:
        self._remark.display = False
        self.show_mark()

    @property
    def entry(self) -> Widget:
        """What takes the focus."""
        return self._entry

    @property
    def text(self) -> str:
        value = self._entry.value
        return "" if value == UNSET else value

    @text.setter
    def text(self, text: str) -> None:
        self._entry.value = text or (UNSET if isinstance(self._entry, ChoiceField) else "")

    @property
    def changed(self) -> bool:
        return self.text.strip() != self._before.strip()

    @property
    def value(self) -> object:
        """What the line means; None for a key that is to be removed."""
        return typed(self.text, self.field.kind)

    @property
    def has_problem(self) -> bool:
        return bool(self._remark.display)

    def show_mark(self) -> None:
        """Say whether the key is new, changed or removed."""
        mark = ""
        if self.changed:
            mark = "removed" if not self.text.strip() else "changed" if self._was_there else "new"
        self._mark.update(mark)

    def show_problem(self, sentence: str) -> None:
        """Say below the line what is wrong; an empty sentence takes that away."""
        self._remark.update(sanitise_line(sentence))
        self._remark.display = bool(sentence)


class ParamLine(Widget, can_focus=True):
    """One parameter, or the line that adds one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "open", "Change", show=False)]

    problem: reactive[str] = reactive("", layout=True)

    class Opened(Message):
        """The user wants to change it."""

        def __init__(self, line: ParamLine) -> None:
            super().__init__()
            self.line = line

        @property
        def control(self) -> ParamLine:
            return self.line

    def __init__(self, draft: ParamDraft | None, *, changed: bool = False) -> None:
        super().__init__(classes="meta--param")
        self.draft = draft
        self._changed = changed

    def show(self, draft: ParamDraft, *, changed: bool) -> None:
        """Show another state of it."""
        self.draft, self._changed = draft, changed
        self.refresh(layout=True)

    def render(self) -> Text:
        width = self.size.width
        if self.draft is None:
            return Text(" + add a parameter")
        left, mark = _described(self.draft), self._mark
        room = max(0, width - MARK_WIDTH)
        left = set_cell_size(left, room) if cell_len(left) <= room else set_cell_size(left, max(0, room - 1)) + "~"
        text = Text(f"{left}{mark:<{MARK_WIDTH}}", no_wrap=True)
        return text.append(f"\n   {sanitise_line(self.problem)}") if self.problem else text

    def get_content_height(self, container: object, viewport: object, width: int) -> int:  # noqa: ARG002
        return 2 if self.problem else 1

    def action_open(self) -> None:
        self.post_message(self.Opened(self))

    def on_click(self) -> None:
        self.focus()
        self.action_open()

    @property
    def _mark(self) -> str:
        if self.draft is None or not self._changed:
            return ""
        return "removed" if self.draft.dropped else "new" if self.draft.was is None else "changed"


def _described(draft: ParamDraft) -> str:
    values = draft.values
    kind = str(values.get("type", "str"))
    default = f"default {shown(values['default'])}" if "default" in values else ""
    parts = [f"{draft.name:<14}", f"{kind:<7}", default, str(values.get("help", ""))]
    return sanitise_line(f" {' '.join(part for part in parts if part)}")
