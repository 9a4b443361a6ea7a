"""Copies of the audit record as plain files, a record a line, for whoever collects them: ``audit/FIRST-LAST.jsonl``.

A file is written whole and never touched again. What is exported already, the database remembers, and the names of the
files say: whoever collects them may take them away.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from store import disk
from store.errors import from_os_error
from store.state.audit import PAGE, Audit, AuditRow
from store.state.pruning import DAY

FOLDER = "audit"
_NAME = re.compile(r"\d{9,}-(\d{9,})\.jsonl")


class AuditExport:
    """Exports of one project's record.

    Args:
        audit: The record.
        home: The private folder; the files are in a folder of it, 0700, each 0600.
    """

    def __init__(self, audit: Audit, home: Path) -> None:
        self._audit = audit
        self._home = home

    async def bring_up_to_date(self, now: float) -> int:
        """Export what was not yet, once the oldest of it is a day old; how many records that were.

        Raises:
            StoreError: It could not be read or written; what is in files by then stays.
        """
        count = 0
        last = max(await asyncio.to_thread(self._last), await self._audit.exported())
        while rows := await self._audit.page(last, PAGE):
            if count == 0 and rows[0].at > now - DAY:
                break
            await asyncio.to_thread(self._write, rows)
            count += len(rows)
            last = rows[-1].seq
            await self._audit.note_exported(last)
        return count

    def _last(self) -> int:
        """The newest record that is in a file."""
        try:
            with disk.open_folder(self._home) as home:
                disk.make_folder(FOLDER, home, stat.S_IRWXU)
                with disk.open_folder(FOLDER, home) as folder:
                    found = [_NAME.fullmatch(name) for name in os.listdir(folder)]
        except OSError as error:
            raise from_os_error(error, "look for exported audit records") from error
        return max((int(match[1]) for match in found if match), default=0)

    def _write(self, rows: Sequence[AuditRow]) -> None:
        name = f"{rows[0].seq:09}-{rows[-1].seq:09}.jsonl"
        lines = "".join(json.dumps(_record(row), ensure_ascii=True) + "\n" for row in rows)
        try:
            with disk.open_folder(self._home / FOLDER) as folder:
                disk.create_file(folder, name, lines.encode(), stat.S_IRUSR | stat.S_IWUSR)
        except OSError as error:
            raise from_os_error(error, "export audit records") from error


def _record(row: AuditRow) -> dict[str, object]:
    """Return a record with its detail read; with the text of that, too, where what was read does not give it again."""
    record = {**asdict(row), "detail": row.details}
    return record if json.dumps(row.details, sort_keys=True) == row.detail else {**record, "detail_text": row.detail}
