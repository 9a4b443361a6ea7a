"""The part of ``state.db`` that keeps what runs were given: their inputs, and each text that ran once by its hash."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from store.database import Database
from store.state.rows import InputRow

_INSERT_INPUT = "INSERT INTO run_input (run_id, inputs) VALUES (?, ?) ON CONFLICT DO NOTHING"
_INSERT_SHARED = "INSERT INTO run_shared (run_id, path, sha256) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_INSERT_CODE = "INSERT INTO run_code (sha256, text) VALUES (?, ?) ON CONFLICT DO NOTHING"


class RunInputRecords:
    """Inputs by run, texts by hash. Rows come with the record of their run (``StateDB.apply``) and go with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, run_id: int) -> str | None:
        """The inputs of a run as JSON; None when it had none, or they are not kept."""
        query = "SELECT inputs FROM run_input WHERE run_id = ?"
        row = await self._database.read(lambda connection: connection.execute(query, (run_id,)).fetchone())
        return None if row is None else str(row[0])

    async def code(self, sha256: str) -> bytes | None:
        """The text with this hash that some run had; None when it is not kept."""
        query = "SELECT text FROM run_code WHERE sha256 = ?"
        row = await self._database.read(lambda connection: connection.execute(query, (sha256,)).fetchone())
        return None if row is None else bytes(row[0])

    async def shared(self, run_id: int) -> dict[str, bytes]:
        """The texts of a run's shared code by path, as far as they are kept."""
        query = "SELECT path, text FROM run_shared JOIN run_code USING (sha256) WHERE run_id = ?"
        rows = await self._database.read(lambda connection: connection.execute(query, (run_id,)).fetchall())
        return {path: bytes(text) for path, text in rows}


def record_inputs(connection: sqlite3.Connection, rows: Sequence[InputRow]) -> None:
    """Part of the transaction that records the runs themselves."""
    connection.executemany(_INSERT_INPUT, [(row.run_id, row.inputs) for row in rows if row.inputs is not None])
    connection.executemany(_INSERT_CODE, [(row.code_sha256, row.code) for row in rows if row.code])
    shared = [(row.run_id, *file) for row in rows for file in row.shared]
    if shared:
        connection.executemany(_INSERT_SHARED, [(run_id, path, sha256) for run_id, path, sha256, _ in shared])
        connection.executemany(_INSERT_CODE, [(sha256, text) for _, _, sha256, text in shared])
