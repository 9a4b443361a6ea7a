"""A change of a script as the engine makes it, with one failing step: a system call of the store, or a transaction."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from faulty_os import FaultyOs, one_fault

from store import database

T = TypeVar("T")

CODES = (
    errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EINTR, errno.EMFILE
)  # fmt: skip
_OF_SQLITE = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EACCES: sqlite3.SQLITE_CANTOPEN,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EINTR: sqlite3.SQLITE_BUSY,
}


@contextmanager
def one_failing_step(code: int, at: int) -> Iterator[FaultyOs]:
    """Let the ``at``-th step fail with ``code``; ``hit`` names it, if there were so many.

    The beginning and the end of every transaction are steps, too. One that fails at its end is rolled back.
    """
    real = database._transaction

    def transaction(work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
        def to_the_end(connection: sqlite3.Connection) -> T:
            result = work(connection)
            step("COMMIT")
            return result

        step("BEGIN")
        return real(to_the_end, connection)

    def step(name: str) -> None:
        try:
            faulty.step(name)
        except OSError as error:
            failure = sqlite3.OperationalError("injected")
            failure.sqlite_errorcode = _OF_SQLITE.get(code, sqlite3.SQLITE_IOERR)
            raise failure from error

    with one_fault(code, at) as faulty, pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_transaction", transaction)
        yield faulty
