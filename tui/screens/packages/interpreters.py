"""The interpreters of the engine's host: which there are, why some cannot be used, and which one an environment has."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from engine.client.answers import EngineError
from engine.models.packages import AddPythonRequest, PythonInfo
from engine.registry.packages import PYTHON_ADD, PYTHON_LIST, PYTHON_REMOVE
from tui.actions import Scope, action, bindings, footer_hints
from tui.background import in_background
from tui.connection import EngineConnection
from tui.screens.dialogs import AskScreen
from tui.screens.full_screen import FullScreen
from tui.text.packages import SOURCES
from tui.text.sanitise import sanitise_line
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import RowList

_COLUMNS = (Column("Python", 9), Column("from", 18), Column("environments", 16), Column("interpreter"))

NONE = (
    f"This host has no Python that scripts could run on. Install Python 3.9 to 3.14, or {action('add_python').key} "
    "adds one by its path."
)


class InterpretersScreen(FullScreen[PythonInfo]):
    """The result is the interpreter that the environment is to have, or None.

    Args:
        connection: To the engine, which looks for them.
        environment: For which one is chosen.
        may_change: Says, and tells the user if not, whether they may add and choose.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.INTERPRETERS)

    def __init__(self, connection: EngineConnection, environment: str, may_change: Callable[[], bool]) -> None:
        super().__init__()
        self._connection = connection
        self._environment = environment
        self._may_change = may_change
        self._found: dict[str, PythonInfo] = {}
        self._heading = Static(f" Python for {environment}", id="interpreters-heading", markup=False)
        self._table = LiveTable(_COLUMNS, empty="looking for them ...", id="interpreters")
        self._detail = Static("", id="interpreter-detail", markup=False)
        self._remark = Static("", id="interpreters-remark", markup=False)

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._table
        yield self._detail
        yield self._remark
        yield KeyHints(footer_hints(Scope.INTERPRETERS))
        yield self.too_small

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#interpreters RowList"))
        in_background(self, "python", self.told, self._load)

    def on_engine_connected(self) -> None:
        in_background(self, "python", self.told, self._load)

    # Actions.

    def action_use_python(self) -> None:
        one = self._one
        if one is None or not self._may_change():
            return
        if one.problem is not None:
            self._show_remark("scripts cannot run on it: the reason is above")
        elif self._environment in one.environments:
            self._show_remark(f"{self._environment} runs on it already")
        else:
            self.dismiss(one)

    def action_add_python(self) -> None:
        if self._may_change():
            in_background(self, "python", self.told, self._add)

    def action_remove_python(self) -> None:
        one = self._one
        if one is not None and self._may_change():
            in_background(self, "python", self.told, self._remove, one)

    def action_leave_interpreters(self) -> None:
        self.dismiss(None)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_use_python()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._show_detail()

    # The engine.

    async def _load(self) -> None:
        found = (await self._connection.client.call(PYTHON_LIST)).interpreters
        self._found = {one.path: one for one in found}
        self._table.set_empty(NONE)
        self._table.show_rows([_row(one) for one in found])
        self._show_detail()

    async def _add(self) -> None:
        path, problem = "", ""
        question = "Path of the interpreter on the engine's host, such as /srv/python3.13/bin/python3"
        while (answer := await self.app.push_screen_wait(AskScreen(question, path, problem))) is not None:
            path = answer
            try:
                added = await self._connection.client.call(PYTHON_ADD, body=AddPythonRequest(path=path))
            except EngineError as error:
                problem = f"{error.message} {error.hint or ''}".strip()
                continue
            await self._load()
            self._show_remark(f"added Python {added.version}: {added.path}")
            return

    async def _remove(self, one: PythonInfo) -> None:
        removed = await self._connection.client.call(PYTHON_REMOVE, body=AddPythonRequest(path=one.path))
        await self._load()
        self._show_remark(f"{removed.path} is no longer among the added ones; it stays on the host")

    # Showing.

    @property
    def _one(self) -> PythonInfo | None:
        """The interpreter under the cursor."""
        return self._found.get(self._table.current or "")

    def _show_detail(self) -> None:
        one = self._one
        self._detail.update("" if one is None else sanitise_line(one.problem or one.path))
        self._detail.set_class(one is not None and one.problem is not None, "-problem")

    def _show_remark(self, text: str) -> None:
        self._remark.update(f" {sanitise_line(text)}")


def _row(one: PythonInfo) -> TableRow:
    cells = (
        one.version or "-",
        "not usable" if one.problem is not None else SOURCES.get(one.source, one.source),
        ", ".join(one.environments),
        one.path,
    )
    version, source, environments, path = map(sanitise_line, cells)
    return TableRow(one.path, (version, source, environments, path), "dim" if one.problem is not None else "")
