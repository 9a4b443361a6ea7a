"""Look at exported audit records, the files ``FIRST-LAST.jsonl``: without an engine, on whatever host they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.models.base import Model
from store.audit_chain import ChainWalk, Record
from tui.commands import exit_codes
from tui.commands.errors import CommandError

if TYPE_CHECKING:
    from tui.commands.invocation import Invocation

_NAME = re.compile(r"(\d{9,})-\d{9,}\.jsonl")

MOST_CHARACTERS = 16 << 20
"""Of a line; no record has so many."""

AT_A_TIME = 1_000


class ExportCheck(Model, frozen=True):
    """What a look at exported records found."""

    files: int
    first: int
    """Number of the first record in them; 0: there is none."""
    last: int
    head: str
    """Hash of the last record."""
    problem: str | None = None
    head_at: int | None = None
    """The record with the head that was asked for."""


class _BadLine(Exception):
    """A line that is no audit record; the message says which."""


def check_files(paths: Sequence[str], head: str) -> ExportCheck:
    """Look at every record of some files, and of all that are in some folders, in the order of their numbers.

    Raises:
        CommandError: A file cannot be read, or there is none.
    """
    try:
        files = _files(paths)
        if not files:
            raise CommandError(
                "There are no exported audit records there.",
                hint="They are files such as 000000001-000001000.jsonl, in .gatewright/audit or where you keep them.",
                exit_code=exit_codes.USAGE,
            )
        return _check(files, head)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read: {error.strerror}.") from None


def print_found(invocation: Invocation, found: ExportCheck) -> None:
    """Say what was found."""
    if found.problem is not None:
        invocation.streams.notify(found.problem, failed=True)
        return
    out = invocation.streams.out
    out.line(
        f"records {found.first} to {found.last} in {found.files} {'file' if found.files == 1 else 'files'}, "
        f"internally consistent, head {found.head}"
    )
    if found.first > 1:
        invocation.streams.notify(f"records before {found.first} are in none of these files")
    if found.head_at is not None:
        out.line(f"That head is record {found.head_at}'s")
    else:
        hint = "Where that project is: gatewright audit --verify --head with this head tells whether it still has them."
        invocation.streams.notify("these files agree with each other", hint)


def _files(paths: Sequence[str]) -> list[Path]:
    found: dict[Path, int] = {}
    for text in paths:
        path = Path(text)
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in inside:
            name = _NAME.fullmatch(file.name)
            if name is not None or not path.is_dir():
                found[file] = int(name[1]) if name is not None else 0
    return sorted(found, key=lambda file: (found[file], file))


def _check(files: Sequence[Path], head: str) -> ExportCheck:
    walk: ChainWalk | None = None
    first, head_at, problem = 0, None, None
    for file in files:
        try:
            for records in _pages(file):
                if walk is None:
                    first = records[0][0]
                    walk = ChainWalk() if first == 1 else ChainWalk(first - 1, None)
                problem = walk.look(records)
                if problem is not None:
                    break
                head_at = next((one[0] for one in records if one[9] == head), head_at)
        except _BadLine as bad:
            problem = str(bad)
        if problem is not None:
            problem = f"{file.name}: {problem}"
            break
    if head and problem is None and head_at is None:
        problem = "No record in these files has that head."
    last, digest = (walk.seq, walk.previous or "") if walk is not None else (0, "")
    return ExportCheck(len(files), first, last, digest, problem, head_at)


def _pages(file: Path) -> Iterator[list[Record]]:
    page: list[Record] = []
    with file.open(encoding="utf-8", errors="surrogateescape") as lines:
        number = 0
        while line := lines.readline(MOST_CHARACTERS):
            number += 1
            page.append(_record(line, number))
            if len(page) == AT_A_TIME:
                yield page
                page = []
    if page:
        yield page


def _read(text: str) -> dict[str, object]:
    """Return what an export has for the detail beside its text: as ``AuditRow.details`` reads it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"text": text}


def _record(line: str, number: int) -> Record:
    try:
        found = json.loads(line)
        detail = found.get("detail_text")
        if detail is not None and json.dumps(found["detail"], sort_keys=True) != json.dumps(
            _read(str(detail)), sort_keys=True
        ):
            raise _BadLine(f"line {number} has another detail than its detail_text says.")
        return (
            int(found["seq"]), float(found["at"]), str(found["actor"]), int(found["uid"]), str(found["source"]),
            str(found["action"]), str(found["subject"]),
            json.dumps(found["detail"], sort_keys=True) if detail is None else str(detail),
            str(found["prev"]), str(found["sha256"]),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise _BadLine(f"line {number} is no audit record.") from None
