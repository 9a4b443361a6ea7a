"""The frontmatter of a script as a form: every key with its value, what is changed, and what is wrong with that.

The form collects; the engine judges every change, by the rules by which it reads and writes, and its sentence stands
below the line that it is about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Static

from engine.models.scripts import ScriptKeys
from tui.actions import Scope, bindings, footer_hints
from tui.background import in_place_of_the_last
from tui.connection import problems_told
from tui.keymap import key_label, keys_of
from tui.screens.dialogs import Dialog
from tui.screens.frontmatter.fields import (
    ITSELF,
    LIMITS,
    PERMISSIONS,
    FilledMeta,
    ParamDraft,
    drafts_of,
    is_changed,
    param_changes,
    with_typed,
)
from tui.screens.frontmatter.line import MetaLine, ParamLine
from tui.screens.frontmatter.param import ParamFormScreen
from tui.text.sanitise import sanitise_line
from tui.widgets.form_fields import ChoiceField, FormRows

Judge = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, str]]]
"""What would be said of changes: a sentence by key, the empty key for all together."""

UTILITY, MACRO = "utility", "macro"


class MetaFormScreen(Dialog[FilledMeta]):
    """The form; the result is what is to be written, None for nothing.

    Args:
        keys: What the script says now.
        judge: Asks the engine.
        functions: The script's functions, which its entrypoint can be; empty when they are not known.
        typed: What was entered before, of another state of the script.
        problem: Why that was not written.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.META)

    def __init__(
        self,
        keys: ScriptKeys,
        judge: Judge,
        functions: Sequence[str] = (),
        typed: FilledMeta | None = None,
        problem: str = "",
    ) -> None:
        super().__init__()
        self._keys = keys
        self._judge = judge
        self._notice = problem or keys.problem or ""
        self._warned = False
        texts = {} if typed is None else typed.texts
        choices = {"entrypoint": functions}
        self._lines = {
            field.key: MetaLine(field, keys.values.get(field.key), texts.get(field.key), choices.get(field.key, ()))
            for field in (*ITSELF, *LIMITS, *PERMISSIONS)
        }
        drafts = with_typed(drafts_of(keys.values), () if typed is None else typed.params)
        self._params = [ParamLine(draft, changed=is_changed(draft, keys.values)) for draft in drafts]
        self._add = ParamLine(None)
        self._rows = FormRows(*self._all_lines(), id="meta-rows")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box", id="meta"):
            yield Static(f"Header of {sanitise_line(self._keys.path)}", classes="dialog--title", markup=False)
            yield self._rows
            yield Static("", classes="form--help", markup=False)
            yield Static("", classes="dialog--problem", markup=False)
            hints = footer_hints(Scope.META)
            yield Static("   ".join(f"{item.key} {item.hint}" for item in hints), classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self._tell("")
        self.set_focus(self._lines["title"].entry)

    # Actions.

    def action_write_meta(self) -> None:
        in_place_of_the_last(self, "write", self._judge_and_write)

    def action_turn_macro(self) -> None:
        """Set as macro, or as utility again."""
        kind = self._lines["kind"]
        kind.text = UTILITY if kind.text == MACRO else MACRO
        self.set_focus(kind.entry)

    def action_drop_param(self) -> None:
        """Remove the parameter under the cursor, or keep it again; a new one goes at once."""
        line = self._param_line
        if line is None or line.draft is None:
            return
        if line.draft.was is None:
            self._params.remove(line)
            self.set_focus(self._add)
            line.remove()
        else:
            self._show_param(line, replace(line.draft, dropped=not line.draft.dropped))
        self._warned = False
        self._judge_soon()

    def action_leave_meta(self) -> None:
        """Leave; what was entered is given up with a second key only."""
        if self._changes() and not self._warned:
            self._warned = True
            keys = [key_label(keys_of(name)[0]) for name in ("leave_meta", "write_meta")]
            self._tell("{} again gives up what you changed; {} writes it.".format(*keys))
        else:
            self.dismiss(None)

    @on(ParamLine.Opened)
    def _param_opened(self, event: ParamLine.Opened) -> None:
        line = event.line
        drafts = [other.draft for other in self._params if other is not line]
        taken = frozenset(draft.name for draft in drafts if draft is not None and not draft.dropped)

        def entered(draft: ParamDraft | None) -> None:
            if draft is not None:
                self._take_param(line, draft)

        self.app.push_screen(ParamFormScreen(line.draft, taken), entered)

    @on(Input.Changed)
    @on(ChoiceField.Changed)
    def _changed(self, event: Input.Changed | ChoiceField.Changed) -> None:
        event.stop()
        self._warned = False
        for line in self._lines.values():
            line.show_mark()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.app.action_focus_next()

    @on(events.DescendantFocus)
    def _moved(self) -> None:
        """Say what the line is for, and judge the one that was left."""
        self.query_one(".form--help", Static).update(self._help())
        if self._changes():
            self._judge_soon()

    # What it comes to.

    def _changes(self) -> dict[str, Any]:
        drafts = [line.draft for line in self._params if line.draft is not None]
        entered = {key: line.value for key, line in self._lines.items() if line.changed}
        return entered | param_changes(drafts, self._keys.values)

    def _filled(self, changes: Mapping[str, Any]) -> FilledMeta:
        texts = {key: line.text for key, line in self._lines.items() if line.changed}
        drafts = [line.draft for line in self._params if line.draft is not None]
        return FilledMeta(changes, texts, tuple(draft for draft in drafts if is_changed(draft, self._keys.values)))

    def _judge_soon(self) -> None:
        in_place_of_the_last(self, "judge", self._judge_lines)

    async def _judge_lines(self) -> bool:
        """Show what the engine says of the changes; whether it would take them."""
        with problems_told(self._tell):
            problems = await self._judge(self._changes())
            for key, line in self._lines.items():
                line.show_problem(problems.get(key, ""))
            for param in self._params:
                param.problem = _problem_of(param.draft, problems)
            self._tell(problems.get("", ""))
            return not problems
        return False

    async def _judge_and_write(self) -> None:
        changes = self._changes()
        if not changes:
            self._tell("Nothing is changed.")
        elif await self._judge_lines():
            if self.is_current:  # else the user went into a parameter meanwhile
                self.dismiss(self._filled(changes))
        else:
            wrong = (line for line in self._lines.values() if line.has_problem)
            params = (line for line in self._params if line.problem)
            self._go_to(next(wrong, None), next(params, None))

    def _go_to(self, line: MetaLine | None, param: ParamLine | None) -> None:
        """Put the cursor on what is wrong first."""
        target = line.entry if line is not None else param
        if target is not None:
            self.set_focus(target)

    # Parameters.

    @property
    def _param_line(self) -> ParamLine | None:
        return next((line for line in (*self._params, self._add) if line.has_focus), None)

    def _take_param(self, line: ParamLine, draft: ParamDraft) -> None:
        if line is self._add:
            line = ParamLine(draft)
            self._params.append(line)
            self._rows.mount(line, before=self._add)
        self._show_param(line, draft)
        self._warned = False
        self._judge_soon()

    def _show_param(self, line: ParamLine, draft: ParamDraft) -> None:
        line.show(draft, changed=is_changed(draft, self._keys.values))

    # Showing.

    def _all_lines(self) -> Iterable[Widget]:
        yield from (self._lines[field.key] for field in ITSELF)
        yield _heading("parameters")
        yield from (*self._params, self._add)
        yield _heading("limits")
        yield from (self._lines[field.key] for field in LIMITS)
        yield _heading("permissions")
        yield from (self._lines[field.key] for field in PERMISSIONS)

    def _help(self) -> str:
        param = self._param_line
        if param is not None:
            drop = f"   {key_label(keys_of('drop_param')[0])} removes it, or keeps it again"
            return "Enter adds one" if param is self._add else f"Enter changes it{drop}"
        line = next((one for one in self._lines.values() if one.entry.has_focus), None)
        if line is None:
            return ""
        how = "Left and Right change it" if isinstance(line.entry, ChoiceField) else "an empty line removes the key"
        return f"{line.field.help}\n{how}"

    def _tell(self, sentence: str) -> None:
        """Say it below the lines; when there is nothing to say, what was wrong from the beginning stands there."""
        sentence = sentence or self._notice
        line = self.query_one(".dialog--problem", Static)
        line.update(sanitise_line(sentence))
        line.display = bool(sentence)


def _heading(text: str) -> Static:
    return Static(text, classes="meta--heading", markup=False)


def _problem_of(draft: ParamDraft | None, problems: Mapping[str, str]) -> str:
    """What is said of a parameter, whichever of its keys it is about."""
    if draft is None:
        return ""
    starts = tuple(f"params.{name}." for name in (draft.name, draft.was) if name)
    return next((sentence for key, sentence in problems.items() if f"{key}.".startswith(starts)), "")
