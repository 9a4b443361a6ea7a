# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Query a live SQLite database"
# description = "Reads a SQLite database while another program writes it, and never makes that program wait"
# kind = "utility"
# entrypoint = "main"
# tags = ["data"]
# [tool.gatewright.permissions]
# read = ["/srv/historian"]
# [tool.gatewright.params.database]
# type = "str"
# default = "/srv/historian/history.db"
# help = "a database in a folder that this script may read"
# [tool.gatewright.params.query]
# type = "str"
# default = "SELECT name, type FROM sqlite_master"
# [tool.gatewright.limits]
# scratch = "128 MiB"
# ///
"""Query a SQLite database that another program has open.

To use it: put the folder of your database in `permissions`, import this file (`gatewright scripts import`) and have it
approved. It has to be the folder, since the newest transactions lie beside the database, in a file that ends in -wal.
`scratch` is what the database and that file may have together; it is memory.

SQLite locks what it reads, and a reader's lock makes writers wait. So this takes no lock: it copies, and looks whether
the copy is whole. `immutable=1` in a connection's address would read in place, but no -wal file, and half-written
transactions.
"""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

QUIET = 20_000_000
"""Nanoseconds. Within that of a change, another change may leave the file's time as it is."""

WAL_MODE = b"\x02\x02"
JOURNAL_IN_USE = bytes.fromhex("d9d505f920a163d7")
"""https://www.sqlite.org/fileformat2.html, sections 1.3 and 3."""


def open_live(database, copy="live.db", patience=5.0):
    """Copy `database` with everything that is committed, and return a connection to the copy.

    Raises TimeoutError if for `patience` seconds the database changed whenever it was copied. With a -wal file that
    does not happen: there, only a new beginning of that file spoils a copy. Without one (`journal_mode = DELETE`) the
    database must be left alone for as long as copying takes. Databases without any journal (`OFF`, `MEMORY`), and
    those on network file systems, cannot be told to be whole.
    """
    log, log_copy = Path(f"{database}-wal"), Path(f"{copy}-wal")
    deadline = time.monotonic() + patience
    while True:
        before = state(database)
        if before is not None:
            shutil.copyfile(database, copy)
            log_copy.unlink(missing_ok=True)
            try:
                shutil.copyfile(log, log_copy)  # after the database: what is moved from one to the other is in both
            except FileNotFoundError:
                pass
            if state(database) == before:
                break
        if time.monotonic() > deadline:
            raise TimeoutError(f"{database} changed whenever it was copied, for {patience:g} seconds; try again later")
        time.sleep(QUIET / 1e9)
    connection = sqlite3.connect(f"{Path(copy).absolute().as_uri()}?vfs=unix-none", uri=True)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # nobody else opens the copy, so it needs no locks either
    return connection


def state(database):
    """Return what is another thing when a copy made meanwhile is not whole; None while the database is being written.

    As long as the -wal file has the same beginning, every page that was moved into the database is in that file, too.
    """
    found = Path(database).stat()
    header, log = first_bytes(database, 100), first_bytes(f"{database}-wal", 32)
    if header[18:20] == WAL_MODE and len(log) == 32:
        return found.st_ino, log
    recent = abs(time.time_ns() - found.st_mtime_ns) < QUIET
    if recent or first_bytes(f"{database}-journal", 8) == JOURNAL_IN_USE:
        return None
    return found.st_ino, log, found.st_size, found.st_mtime_ns, header


def first_bytes(path, count):
    """Return the first bytes of a file, none if there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except FileNotFoundError:
        return b""


def main(database, query):
    with closing(open_live(database)) as connection:
        rows = connection.execute(query)
        return {"columns": [column[0] for column in rows.description], "rows": rows.fetchall()}
