"""The audit: who did what, searched and read page by page on the engine; verified; exported to a file."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import msgspec
from msgspec.structs import replace
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from engine.models.engine import AuditCheck, AuditRecord
from engine.registry.engine import AUDIT_LIST, AUDIT_VERIFY, AuditParams, AuditVerifyParams
from tui.actions import Scope, action, bindings, footer_hints
from tui.background import in_place_of_the_last
from tui.connection import EngineConnection, problems_told
from tui.screens.dialogs import AskScreen, ReportScreen
from tui.screens.full_screen import FullScreen
from tui.screens.new_file import write_new
from tui.text.audit_query import parse_audit_search
from tui.text.audit_record import DIGEST, VERIFIED_AT_ONCE, is_head, record_text
from tui.text.formats import clock
from tui.text.run_query import BadSearch
from tui.text.sanitise import sanitise_line
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import RowList

PAGE = 100
"""Records asked for at a time."""

SEARCH_AFTER = 0.15
"""Seconds without a key after which the engine is asked."""

EXPORT_PAGE, MOST_EXPORTED = 500, 100_000
"""Records that are asked for at a time for a file, and that one file takes at most."""

NO_MATCH = "No record matches. / changes the search, Esc goes back to the records."

WHERE_HEADS_ARE = (
    "An account that may write the project's folder could have rebuilt all of it. Compare it with a head that is kept "
    "elsewhere, such as in the system's log: journalctl -t gatewright-audit."
)

_COLUMNS = (Column("record", 8), Column("at", 12), Column("who", 12), Column("what"))


class AuditScreen(FullScreen[None]):
    """Records, the newest first. It is the engine that says whether its caller may see them."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.AUDIT)

    def __init__(self, connection: EngineConnection) -> None:
        super().__init__()
        self._connection = connection
        self._search = AuditParams()
        self._records: dict[int, AuditRecord] = {}
        self._next: int | None = None
        self._words = Input(placeholder="/ who:alice action:save since:today report", compact=True, id="audit-words")
        self._table = LiveTable(_COLUMNS, empty="...", id="audit")
        self._detail = Static("", id="audit-detail", markup=False)
        self._remark = Static("", id="audit-remark", markup=False)

    def compose(self) -> ComposeResult:
        with Horizontal(id="audit-top"):
            yield Static(" audit ", id="audit-heading", markup=False)
            yield self._words
        yield self._table
        yield self._detail
        yield self._remark
        yield KeyHints(footer_hints(Scope.AUDIT))
        yield self.too_small

    def on_mount(self) -> None:
        self._to_table()
        self._search_again(self._load)

    # What is typed.

    @on(Input.Changed)
    def _words_changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            self._search, self._next = parse_audit_search(event.value), None
        except BadSearch as error:
            self._show_remark(str(error))
            return
        self._show_remark("")
        self._search_again(self._load_soon)

    @on(Input.Submitted)
    def _words_done(self, event: Input.Submitted) -> None:
        event.stop()
        self._to_table()

    def on_key(self, event: events.Key) -> None:
        """Go from the search down to the records, and from the first record up to the search."""
        if event.key == "down" and self._words.has_focus:
            event.prevent_default()
            self._to_table()
        elif event.key == "up" and not self._words.has_focus and self._rows.cursor == 0:
            event.prevent_default()
            self.action_search_audit()

    # Actions.

    def action_search_audit(self) -> None:
        self.set_focus(self._words)

    def action_show_record(self) -> None:
        if (record := self._record) is not None:
            title = f"record {record.seq}: {record.action.replace('_', ' ')} {record.subject}".rstrip()
            self.app.push_screen(ReportScreen(title, list(_facts(record))))

    def action_read_again(self) -> None:
        self._next = None
        self._search_again(self._load)

    def action_verify_audit(self) -> None:
        in_place_of_the_last(self, "work", self.told, self._verify, "")

    def action_compare_head(self) -> None:
        in_place_of_the_last(self, "work", self.told, self._compare_head)

    def action_export_audit(self) -> None:
        in_place_of_the_last(self, "work", self.told, self._export)

    def action_stop_audit(self) -> None:
        """Stop what goes on."""
        if self.workers.cancel_group(self, "work"):
            self._show_remark("stopped")

    def action_leave_audit(self) -> None:
        if self._words.has_focus:
            self._to_table()
        else:
            self.dismiss(None)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_show_record()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._show_detail()
        if self._next is not None and event.row_list.cursor >= len(event.row_list.rows) - 1:
            self._search_again(self._load, self._next)

    # What the engine says.

    def on_engine_connected(self) -> None:
        self._next = None
        self._search_again(self._load)

    def _search_again(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        in_place_of_the_last(self, "search", self._searched, work, *args)

    async def _searched(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        with problems_told(self._show_refusal):
            await work(*args)

    async def _load_soon(self) -> None:
        await asyncio.sleep(SEARCH_AFTER)
        await self._load()

    async def _load(self, before: int | None = None) -> None:
        """Read the first page in place of what is shown, or the next one behind it."""
        page = await self._connection.client.call(AUDIT_LIST, replace(self._search, limit=PAGE, before=before))
        known = self._records if before is not None else {}
        self._records = known | {record.seq: record for record in page.records}
        self._next = page.next_before
        self._table.set_empty(NO_MATCH)
        self._refresh_rows()

    async def _compare_head(self) -> None:
        head, problem = "", ""
        while True:
            question = f"Head to find in the record, {DIGEST} hexadecimal digits"
            answer = await self.app.push_screen_wait(AskScreen(question, head, problem))
            if answer is None:
                return
            head = answer.strip().lower()
            if is_head(head):
                break
            problem = f"A head has {DIGEST} hexadecimal digits; this has {len(head)} characters."
        await self._verify(head)

    async def _verify(self, head: str) -> None:
        """Look at the record piece by piece, and tell how far that is."""
        found = AuditCheck(0, "", next_after=0)
        while found.next_after is not None:
            params = AuditVerifyParams(after=found.next_after, most=VERIFIED_AT_ONCE, head=head)
            found = await self._connection.client.call(AUDIT_VERIFY, params)
            key = action("stop_audit").key
            self._show_remark(f"verified {found.checked:,} of {found.records:,} records   {key} stops")
        self._show_remark(found.problem or f"{found.records:,} records, internally consistent")
        self.app.push_screen(ReportScreen("Verification of the audit", _verdict(found)))

    async def _export(self) -> None:
        """Ask for a file and write the records there that the search finds, the oldest first."""
        records = [record async for record in self._all()]
        if not records:
            self._show_remark("no record to export")
            return
        name, problem = os.path.join(os.getcwd(), time.strftime("audit-%Y-%m-%d.jsonl")), ""
        how_many = "1 record" if len(records) == 1 else f"{len(records):,} records"
        question = f"Export {how_many} into the new file"
        while (answer := await self.app.push_screen_wait(AskScreen(question, name, problem))) is not None:
            name = answer
            try:
                await asyncio.to_thread(write_new, name, _lines(records[::-1]))
            except FileExistsError:
                problem = "That file is there already and was left alone; name another one."
            except OSError as error:
                problem = f"It cannot be written: {error.strerror or error}."
            else:
                self._show_remark(f"exported {how_many} into {name}")
                return

    async def _all(self) -> AsyncIterator[AuditRecord]:
        """Read what the search finds, the newest first, as far as one file takes it."""
        before, count = None, 0
        while True:
            page = await self._connection.client.call(
                AUDIT_LIST, replace(self._search, limit=EXPORT_PAGE, before=before)
            )
            for record in page.records:
                yield record
            before, count = page.next_before, count + len(page.records)
            if before is None:
                return
            if count >= MOST_EXPORTED:
                self.notify(f"only the newest {count:,}: narrow the search by since: and until:", severity="warning")
                return
            self._show_remark(f"read {count:,} records   {action('stop_audit').key} stops")

    # Showing.

    @property
    def _rows(self) -> RowList:
        return self._table.query_one(RowList)

    @property
    def _record(self) -> AuditRecord | None:
        """The record under the cursor."""
        return self._records.get(int(self._table.current)) if self._table.current else None

    def _to_table(self) -> None:
        self.set_focus(self._rows)

    def _show_refusal(self, sentence: str) -> None:
        self._records, self._next = {}, None
        self._table.set_empty(sanitise_line(sentence))
        self._refresh_rows()

    def _refresh_rows(self) -> None:
        self._table.show_rows([_row(record) for record in self._records.values()])
        self._show_detail()

    def _show_detail(self) -> None:
        record = self._record
        self._detail.update("" if record is None else f" {sanitise_line(record_text(record))}")

    def _show_remark(self, text: str) -> None:
        self._remark.update(f" {sanitise_line(text)}" if text else "")


def _row(record: AuditRecord) -> TableRow:
    tone = "danger" if record.action in ("denied", "admin_run") else ""
    cells = (f"{record.seq:>8}", clock(record.at), sanitise_line(record.actor), sanitise_line(record_text(record)))
    return TableRow(str(record.seq), cells, tone)


def _facts(record: AuditRecord) -> Iterator[str]:
    """Yield all that a record says, a line each."""
    yield time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(record.at))
    yield f"by {record.actor} (uid {record.uid}), from {record.source}"
    for name, value in record.detail.items():
        yield f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
    yield f"sha256 {record.sha256}"
    yield f"before it {record.prev}"


def _verdict(found: AuditCheck) -> Sequence[str]:
    if found.problem is not None:
        return [found.problem, "The records before it are in order."]
    lines = [f"{found.records:,} records, internally consistent.", f"Head: {found.head}"]
    if found.head_at is not None:
        later = found.records - found.head_at
        lines.append(f"The head that you gave is record {found.head_at:,}'s; {later:,} came after it.")
    else:
        lines.append(WHERE_HEADS_ARE)
    return [*lines, *([found.copies] if found.copies else [])]


def _lines(records: Iterable[AuditRecord]) -> Iterator[bytes]:
    for record in records:
        yield f"{json.dumps(msgspec.to_builtins(record), ensure_ascii=True)}\n".encode()
