"""What a change of packages would do, before it is done."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from engine.models.packages import PackagePlan
from tui.screens.dialogs import Dialog
from tui.text.formats import size
from tui.text.packages import changing, counted, to_fetch, versions
from tui.text.sanitise import sanitise_line
from tui.widgets.row_list import Row, RowList

ORIGIN_WIDTH = 24

_TONES = {"removed": "danger", "downgrade": "danger", "new": "accent", "upgrade": "accent"}


class PlanScreen(Dialog[bool]):
    """Every package that would change, from where, how large; the result is True for yes, else None.

    Args:
        plan: Something changes in it.
        verb: What Enter does, such as ``installs``.
    """

    def __init__(self, plan: PackagePlan, verb: str) -> None:
        super().__init__()
        self._plan = plan
        self._verb = verb

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(_title(self._plan), classes="dialog--title", markup=False)
            yield RowList(id="plan")
            yield Static(f"Enter {self._verb}   Esc back, nothing changes", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        rows = list(_rows(self._plan))
        shown = self.query_one(RowList)
        shown.styles.height = min(len(rows), max(1, self.app.size.height - 9))
        shown.set_rows(rows)
        self.set_focus(shown)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.dismiss(True)


def _title(plan: PackagePlan) -> str:
    fetched = to_fetch(plan)
    sizes = f", {size(fetched)} to fetch" if fetched else ""
    count = len(changing(plan))
    verb = "changes" if count == 1 else "change"
    return f"{plan.environment}, Python {plan.python}: {counted(count)} {verb}{sizes}"


def _rows(plan: PackagePlan) -> Iterable[Row]:
    for one in changing(plan):
        sizes = size(one.size) if one.size else ""
        origin = sanitise_line(one.origin)
        if len(origin) > ORIGIN_WIDTH:
            origin = f"{origin[: ORIGIN_WIDTH - 1]}~"
        text = f" {one.change:<10} {sanitise_line(one.name)} {sanitise_line(versions(one))}"
        yield Row(one.name, text, f"{sizes}  {origin} ".lstrip(), _TONES.get(one.change, ""))
