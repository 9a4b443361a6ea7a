"""What the editor looks like at 80x24: with code and colours, with a selection and the find bar, and in 16 colours."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tui.widgets.editor.editor import Editor
from tui.widgets.editor.pane import EditorPane

CODE = '''# /// script
# [tool.gatewright]
# title = "Wrapper log digest"
# ///
from collections import Counter

LEVELS = ("ERROR", "WARN")


class Digest:
    """Errors by logger."""

    def __init__(self, hours: int = 24) -> None:
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def main(log: str, hours: int = 24) -> int:
    digest = Digest(hours)
    for line in log.splitlines():\t# a tab, and 漢字
        if any(level in line for level in LEVELS):
            digest.counts[f"{line[:20]!r}\\n"] += 1
    return digest.total
'''


class SnapshotApp(App[None]):
    def __init__(self, theme: str = "textual-dark") -> None:
        super().__init__()
        self._first_theme = theme

    def compose(self) -> ComposeResult:
        yield EditorPane(Editor(CODE))

    def on_mount(self) -> None:
        self.theme = self._first_theme
        self.query_one(Editor).focus()


def test_code(snap_compare) -> None:
    assert snap_compare(SnapshotApp(), terminal_size=(80, 24))


def test_light(snap_compare) -> None:
    assert snap_compare(SnapshotApp("textual-light"), terminal_size=(80, 24))


def test_sixteen_colours(snap_compare) -> None:
    assert snap_compare(SnapshotApp("ansi-dark"), terminal_size=(80, 24))


def test_found_text(snap_compare) -> None:
    async def find(pilot: Pilot[None]) -> None:
        pilot.app.query_one(EditorPane).action_find()
        await pilot.press(*"line", "enter")
        await pilot.pause()

    assert snap_compare(SnapshotApp(), terminal_size=(80, 24), run_before=find)
