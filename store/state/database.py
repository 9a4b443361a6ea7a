"""``state.db``: the durable record of runs with their output and files, and of what is decided about scripts."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import astuple

from store import migrations
from store.database import Database
from store.errors import StoreError
from store.state import pruning
from store.state.approvals import Approvals
from store.state.assistant_use import AssistantUse
from store.state.audit import Audit, AuditEvent
from store.state.audit_export import AuditExport
from store.state.audit_slice import AuditSlice
from store.state.authors import Authors
from store.state.condensed import CondensedRecords, CondensedRow, record_condensed
from store.state.environment_approvals import EnvironmentApprovals
from store.state.ignored_differences import IgnoredDifferences
from store.state.metrics import MetricRecords
from store.state.pruning import Amount, Pruned, Retention
from store.state.rows import FileRow, InputRow, OutputRow, RunRow
from store.state.run_filter import RunFilter
from store.state.run_inputs import RunInputRecords, record_inputs
from store.state.run_numbers import NAME, NotedNumber, NumberFile
from store.state.script_state import ScriptStates
from store.state.seeded import Seeded
from store.state.tokens import Tokens
from store.state.versions import Versions

log = logging.getLogger(__name__)

AHEAD = 20
"""Numbers that may be handed out without a commit, at first; as many are left out when the machine went down."""

MOST_AHEAD = 1_000

_COLUMNS = RunRow.__struct_fields__
_BULKY = {"value", "result", "traceback"}
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM run"  # noqa: S608 - names of our own columns
_SELECT_SUMMARY = f"SELECT {', '.join('NULL' if name in _BULKY else name for name in _COLUMNS)} FROM run"  # noqa: S608

# A late record of a start must not reopen a finished run.
_UPSERT = f"""
    INSERT INTO run ({", ".join(_COLUMNS)}) VALUES ({", ".join("?" for _ in _COLUMNS)})
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name}=excluded.{name}" for name in _COLUMNS if name != "id")}
    WHERE run.state <> 'finished' OR excluded.state = 'finished'
"""  # noqa: S608

_INSERT_OUTPUT = "INSERT INTO output (run_id, seq, stream, at, text) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_INSERT_FILE = "INSERT INTO run_file (run_id, name, size, sha256, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"

Chunk = tuple[int, int, str, float, bytes]
"""Run, sequence number, stream, time, text: a row of table ``output``."""

File = tuple[int, str, int, str, bytes | bytearray | None]
"""Run, name, size, hash, bytes: a row of table ``run_file``."""

_UNFINISHED = "SELECT id, name, mode, actor, source, code_sha256 FROM run WHERE state <> 'finished' ORDER BY id"

_COUNT_STORED = """
    UPDATE run SET stored_bytes =
        (SELECT coalesce(sum(length(text)), 0) FROM output WHERE run_id = id)
        + (SELECT coalesce(sum(length(data)), 0) FROM run_file WHERE run_id = id)
    WHERE id = ?
"""


class StateDB:
    """Runs and output. Reads see every transaction that ``apply`` has returned from."""

    def __init__(self, database: Database, numbers: NumberFile, beginning: Beginning) -> None:
        self.approvals = Approvals(database)
        self.environment_approvals = EnvironmentApprovals(database)
        self.assistant_use = AssistantUse(database)
        self.audit = Audit(database, database.path.with_name("audit.head"))
        self.audit_export = AuditExport(self.audit, database.path.parent)
        self.audit_slice = AuditSlice(database)
        self.began = beginning.began
        """When these records were begun: what is older may have been in others, which are lost."""
        self.authors = Authors(database)
        self.ignored_differences = IgnoredDifferences(database)
        self.versions = Versions(database)
        self.document_versions = Versions(database, "document")
        self.seeded = Seeded(database)
        self.script_states = ScriptStates(database)
        self.tokens = Tokens(database)
        self.inputs = RunInputRecords(database)
        self.condensed = CondensedRecords(database)
        self.metrics = MetricRecords(database)
        self._database = database
        self._numbers = numbers
        self._next_id = beginning.next_id
        self._committed_id = beginning.next_id - 1
        """The highest number that the database knows of."""
        self._ahead = beginning.ahead
        self._noting = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> StateDB:
        """Open or create the database.

        Raises:
            StoreError: It cannot be used, for example because a newer version wrote it; the file was not touched.
        """
        database = await Database.open(path, migrations.scripts())
        numbers = NumberFile(path.with_name(NAME))
        try:
            beginning = await database.write(partial(_begin, numbers.found, numbers.usable))
            numbers.begin(beginning.next_id - 1)
        except BaseException:
            numbers.close()
            await database.close()
            raise
        return cls(database, numbers, beginning)

    @property
    def problems(self) -> list[str]:
        """What the user should know about how the database was found, one sentence each."""
        return self._database.problems

    async def close(self) -> None:
        """Checkpoint and close; the file alone then holds everything."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._database.write(partial(_end, self._next_id - 1))
        finally:
            self._numbers.close()
            await self._database.close()

    async def next_run_id(self) -> int:
        """An id that no run has had, not even one that a killed engine gave out and could not record."""
        if self._too_far_ahead:
            await self._note_ids()
        number, self._next_id = self._next_id, self._next_id + 1
        self._numbers.note(number)
        return number

    @property
    def _too_far_ahead(self) -> bool:
        return self._next_id > self._committed_id + self._ahead

    async def _note_ids(self) -> None:
        """Commit the numbers that were handed out, and let more of them be so the next time: this has cost a wait."""
        async with self._noting:
            if not self._too_far_ahead:
                return
            last, ahead = self._next_id - 1, min(2 * self._ahead, MOST_AHEAD)
            try:
                await self._database.write(lambda connection: _set_meta(connection, last_id=last, ahead=ahead))
                self._ahead = ahead
            except StoreError as error:
                # Runs go on without records, too. The file has their numbers.
                log.warning("numbers of runs cannot be recorded: %s", error)
            self._committed_id = max(self._committed_id, last)

    async def apply(
        self,
        started: Iterable[RunRow],
        output: Iterable[OutputRow],
        finished: Iterable[RunRow],
        files: Iterable[FileRow] = (),
        inputs: Iterable[InputRow] = (),
        audit: Sequence[AuditEvent] = (),
        *,
        removed: Collection[tuple[int, int]] = (),
    ) -> None:
        """Record runs with all that belongs to them in one transaction. Doing it again adds nothing but to ``audit``.

        ``removed`` are pieces of output, by run and number, that go before ``output`` comes.

        Raises:
            StoreError: Nothing of it was recorded. ``LowDisk`` when the disk is full.
        """
        runs = [_values(row) for row in (*started, *finished)]
        chunks = [(row.run_id, row.seq, row.stream, row.at, _utf8(row.text)) for row in output]
        left = [(row.run_id, row.name, row.size, row.sha256, row.data) for row in files]
        given = list(inputs)
        last = self._next_id - 1

        def work(connection: sqlite3.Connection) -> None:
            if removed:
                _remove_output(connection, removed)
            _record(connection, runs, chunks, left, given)
            _set_meta(connection, last_id=last)
            if audit:
                self.audit.add(connection, audit)

        await self._database.write(work)
        self._committed_id = max(self._committed_id, last)

    async def note_condensed(self, rows: Sequence[CondensedRow], audit: Sequence[AuditEvent]) -> None:
        """Write what stands for repeated runs, and what the audit has of them, in one transaction.

        Raises:
            StoreError: Nothing of it was written.
        """
        last = self._next_id - 1

        def work(connection: sqlite3.Connection) -> None:
            record_condensed(connection, rows)
            _set_meta(connection, last_id=last)
            if audit:
                self.audit.add(connection, audit)

        await self._database.write(work)
        self._committed_id = max(self._committed_id, last)

    async def run(self, run_id: int) -> RunRow | None:
        """The whole record of one run."""
        rows = await self._database.read(
            lambda connection: connection.execute(f"{_SELECT} WHERE id = ?", (run_id,)).fetchall()
        )
        return _row(rows[0]) if rows else None

    async def runs(self, limit: int, before: int | None = None, wanted: RunFilter | None = None) -> list[RunRow]:
        """The newest runs, newest first, without ``value``, ``result`` and ``traceback``, which can be large.

        Args:
            limit: How many at most.
            before: Only runs with a smaller id.
            wanted: Only these.
        """

        def work(connection: sqlite3.Connection) -> list[Any]:
            where, values = (wanted or RunFilter()).where(connection, before)
            return connection.execute(f"{_SELECT_SUMMARY}{where} ORDER BY id DESC LIMIT ?", (*values, limit)).fetchall()

        return [_row(row) for row in await self._database.read(work)]

    async def output(self, run_id: int, after: int = 0, limit: int = 1_000) -> list[OutputRow]:
        """Up to ``limit`` pieces of a run's output, from the one with ``seq`` = ``after`` on."""
        query = "SELECT run_id, seq, stream, text, at FROM output WHERE run_id = ? AND seq >= ? ORDER BY seq LIMIT ?"
        rows = await self._database.read(
            lambda connection: connection.execute(query, (run_id, after, limit)).fetchall()
        )
        return [OutputRow(run_id, seq, stream, str(text, "utf-8"), at) for run_id, seq, stream, text, at in rows]

    async def files(self, run_ids: Sequence[int]) -> dict[int, list[FileRow]]:
        """The files that runs left, without their bytes, by run and in the order in which their results name them."""
        marks = ", ".join("?" * len(run_ids))
        query = f"SELECT run_id, name, size, sha256 FROM run_file WHERE run_id IN ({marks}) ORDER BY rowid"  # noqa: S608
        rows = await self._database.read(lambda connection: connection.execute(query, run_ids).fetchall())
        found: dict[int, list[FileRow]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(FileRow(*row))
        return found

    async def file(self, run_id: int, name: str) -> FileRow | None:
        """One file with its bytes, which are None when retention has removed them; None if there is no such file."""
        query = "SELECT run_id, name, size, sha256, data FROM run_file WHERE run_id = ? AND name = ?"
        row = await self._database.read(lambda connection: connection.execute(query, (run_id, name)).fetchone())
        return None if row is None else FileRow(*row)

    async def output_bytes(self) -> int:
        """Bytes of all stored output and files."""
        return await self._database.read(_output_bytes)

    async def interrupt_unfinished(self, at: float) -> int:
        """Mark the runs that a dead engine left queued or running as interrupted, and say how many there were.

        The audit hears of each, since that engine could not tell how they ended.
        """

        def work(connection: sqlite3.Connection) -> int:
            ended = [_interrupted_event(at, *row) for row in connection.execute(_UNFINISHED)]
            self.audit.add(connection, ended)
            return _interrupt(connection, at)

        return await self._database.write(work)

    async def prune(self, now: float, keep: Retention | None = None, *, tight: bool = False) -> Pruned:
        """Remove what is older than ``keep`` allows, and the oldest output above its size, in small transactions.

        The bytes of the files that a run left go with its output. ``tight``: the disk is all but full.
        """
        await self._database.write(_note_newest_id)
        return await pruning.prune(self._database, now, keep or Retention(), tight=tight)

    async def amount(self) -> Amount:
        """How many runs there are, and how much of their output and files."""
        return await pruning.amount(self._database)


def _values(row: RunRow) -> tuple[Any, ...]:
    return tuple(map(_storable, astuple(row)))


def _storable(value: object) -> object:
    return str(_utf8(value), "utf-8") if isinstance(value, str) else value


def _utf8(text: str) -> bytes:
    """Lone surrogates, which UTF-8 cannot carry, are kept readable as ``\\udc80``."""
    return text.encode("utf-8", "backslashreplace")


def _row(values: Sequence[Any]) -> RunRow:
    named = dict(zip(_COLUMNS, values, strict=True))
    named["output_complete"] = bool(named["output_complete"])
    return RunRow(**named)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What an engine begins with: the first free id, when the records were begun, and how many ids may be ahead."""

    next_id: int
    began: int
    ahead: int


def _begin(found: NotedNumber, noting: bool, connection: sqlite3.Connection) -> Beginning:
    """Note that an engine is at work, and whether it is ``noting`` the ids that it hands out."""
    meta = _meta(connection)
    ahead = meta.get("ahead", AHEAD)
    next_id = max(_newest_id(connection), found.number) + 1
    if not meta.get("clean", 1) and not (found.exact and meta.get("noting")):
        next_id += ahead
    beginning = Beginning(next_id, meta.get("began", int(time.time())), ahead)
    _set_meta(connection, clean=0, noting=int(noting), last_id=next_id - 1, began=beginning.began)
    return beginning


def _end(last_id: int, connection: sqlite3.Connection) -> None:
    _set_meta(connection, clean=1, last_id=last_id)


def _meta(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT key, value FROM meta"))


def _set_meta(connection: sqlite3.Connection, **values: int) -> None:
    connection.executemany(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        values.items(),
    )


def _note_newest_id(connection: sqlite3.Connection) -> None:
    """So that no id is given out again when its run is removed."""
    _set_meta(connection, last_id=_newest_id(connection))


def _newest_id(connection: sqlite3.Connection) -> int:
    """The highest id a run ever had, also of runs removed since."""
    recorded = connection.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()[0]
    return max(int(recorded), _meta(connection).get("last_id", 0))


def _record(
    connection: sqlite3.Connection,
    runs: list[tuple[Any, ...]],
    chunks: list[Chunk],
    files: list[File],
    inputs: list[InputRow],
) -> None:
    connection.executemany(_UPSERT, runs)
    record_inputs(connection, inputs)
    inserted = connection.executemany(_INSERT_OUTPUT, chunks).rowcount if chunks else 0
    inserted += connection.executemany(_INSERT_FILE, files).rowcount if files else 0
    if inserted == len(chunks) + len(files):
        sizes: dict[int, int] = {}
        for run_id, _, _, _, content in (*chunks, *files):
            sizes[run_id] = sizes.get(run_id, 0) + len(content or b"")
        connection.executemany(
            "UPDATE run SET stored_bytes = stored_bytes + ? WHERE id = ?",
            [(size, run_id) for run_id, size in sizes.items()],
        )
    else:  # some were recorded before
        connection.executemany(_COUNT_STORED, [(run_id,) for run_id in {row[0] for row in (*chunks, *files)}])


def _remove_output(connection: sqlite3.Connection, places: Collection[tuple[int, int]]) -> None:
    gone: dict[int, int] = {}
    for run_id, seq in places:
        found = connection.execute("SELECT length(text) FROM output WHERE run_id = ? AND seq = ?", (run_id, seq))
        for (size,) in found.fetchall():
            gone[run_id] = gone.get(run_id, 0) + size
    connection.executemany("DELETE FROM output WHERE run_id = ? AND seq = ?", places)
    connection.executemany(
        "UPDATE run SET stored_bytes = stored_bytes - ? WHERE id = ?", [(size, run_id) for run_id, size in gone.items()]
    )


def _output_bytes(connection: sqlite3.Connection) -> int:
    total = connection.execute("SELECT coalesce(sum(stored_bytes), 0) FROM run WHERE stored_bytes > 0").fetchone()[0]
    return int(total)


def _interrupted_event(
    at: float, run_id: int, name: str, mode: str, actor: str, source: str, code_sha256: str
) -> AuditEvent:
    """Return what the audit has of the end of a run whose account's number is no longer known."""
    detail = json.dumps({"code_sha256": code_sha256, "outcome": "interrupted"}, sort_keys=True)
    action = "admin_end" if mode == "ADMIN" else "run"
    return AuditEvent(at, actor, -1, source, action, f"#{run_id} {name}", detail)


def _interrupt(connection: sqlite3.Connection, at: float) -> int:
    """What ran may have written more than was recorded; what was queued has written nothing."""
    return connection.execute(
        """
        UPDATE run SET output_complete = state = 'queued', state = 'finished', outcome = 'interrupted', finished_at = ?,
            note = 'The engine stopped before this run had ended.'
        WHERE state <> 'finished'
        """,
        (at,),
    ).rowcount
