"""The panel below the editor: a line of tabs and one pane at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from tui.actions import Scope, bindings
from tui.text.sanitise import sanitise_line


class TabLine(Widget):
    """``── Output ──── Problems 1 ──── Tasks 2 ──── Git main +1 ─────``: one row, the active tab marked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tab-line--line", "tab-line--tab", "tab-line--active", "tab-line--lit"}

    active: reactive[str] = reactive("")
    lit: reactive[bool] = reactive(False)
    """Whether the panel has the focus."""
    labels: reactive[tuple[tuple[str, str], ...]] = reactive(())
    """Pane and what its tab says."""

    @dataclass
    class Pressed(Message):
        """A tab was clicked."""

        pane: str

    def render(self) -> Text:
        line_style = self.get_component_rich_style("tab-line--line")
        line = Text(no_wrap=True, overflow="crop")
        for pane, label, start, _ in self._spans():
            line.append("\u2500" * (start - len(line)), line_style)
            name = "tab" if pane != self.active else "lit" if self.lit else "active"
            line.append(label, self.get_component_rich_style(f"tab-line--{name}"))
        line.append("\u2500" * max(0, self.size.width - len(line)), line_style)
        return line

    def on_click(self, event: events.Click) -> None:
        for pane, _, start, end in self._spans():
            if start <= event.x < end:
                self.post_message(self.Pressed(pane))

    def _spans(self) -> list[tuple[str, str, int, int]]:
        spans, at = [], 2
        for pane, text in self.labels:
            label = f"[{text}]" if pane == self.active else f" {text} "
            spans.append((pane, label, at, at + len(label)))
            at += len(label) + 3
        return spans


class Panel(Vertical):
    """Shows one of its panes. Panes are mounted after the first paint; until then the panel shows its tabs only."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.PANEL)

    @dataclass
    class Shown(Message):
        """Another pane is on show."""

        pane: str

    def __init__(self, tabs: Sequence[tuple[str, str]], *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._names = dict(tabs)
        self._details: dict[str, str] = {}
        self._tabs = TabLine()
        self._switcher = ContentSwitcher()

    def compose(self) -> ComposeResult:
        yield self._tabs
        yield self._switcher

    def on_mount(self) -> None:
        self._tabs.active = next(iter(self._names))
        self._refresh_labels()

    @property
    def active(self) -> str:
        return self._tabs.active

    async def add_panes(self, panes: Sequence[Widget]) -> None:
        """Mount the panes; their ids are those of the tabs."""
        for pane in panes:
            pane.display = pane.id == self.active
        await self._switcher.mount_all(panes)
        self._switcher.current = self.active

    def light(self, *, on: bool) -> None:
        """Show whether the panel has the focus."""
        self._tabs.lit = on

    def show(self, pane: str, *, focus: bool = False) -> None:
        """Put a pane on show."""
        if not self._switcher.children:
            return
        changed = self.active != pane
        focus = focus or self.has_focus_within  # the focus does not stay in a pane that is hidden
        self._tabs.active = self._switcher.current = pane
        if focus:
            self._focus_pane()
        if changed or focus:
            self.post_message(self.Shown(pane))

    def show_next(self) -> None:
        """From tab to tab, keeping the focus in the panel."""
        names = list(self._names)
        self.show(names[(names.index(self.active) + 1) % len(names)], focus=True)

    def set_detail(self, pane: str, detail: str) -> None:
        """What a tab says behind its name: a count, a branch."""
        if self._details.get(pane, "") != detail:
            self._details[pane] = detail
            self._refresh_labels()

    def action_panel_output(self) -> None:
        self.show("output", focus=True)

    def action_panel_problems(self) -> None:
        self.show("problems", focus=True)

    def action_panel_tasks(self) -> None:
        self.show("tasks", focus=True)

    def action_panel_git(self) -> None:
        self.show("git", focus=True)

    def action_zoom(self) -> None:
        self.toggle_class("-zoomed")

    def on_tab_line_pressed(self, event: TabLine.Pressed) -> None:
        event.stop()
        self.show(event.pane, focus=True)

    def _focus_pane(self) -> None:
        current = self._switcher.visible_content
        target = None if current is None else next((w for w in (current, *current.query("*")) if w.focusable), None)
        if target is not None:
            self.screen.set_focus(target)

    def _refresh_labels(self) -> None:
        self._tabs.labels = tuple(
            (pane, f"{name} {sanitise_line(self._details[pane])}" if self._details.get(pane) else name)
            for pane, name in self._names.items()
        )
