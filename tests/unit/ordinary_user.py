"""Run a function as an ordinary account: in a forked child that gives up root's rights, if the tests have them."""

from __future__ import annotations

import os
import pickle
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar, cast

T = TypeVar("T")

UID = GID = 54_321

PATIENCE = 60.0


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that belongs to the ordinary account and that it can reach."""
    folder = Path(tempfile.mkdtemp(prefix="gatewright-test-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, UID, GID)
        yield folder
    finally:
        shutil.rmtree(folder)


def run_as_ordinary_user(work: Callable[[], T]) -> T:
    """What ``work`` returns there. What it raises is raised here too.

    It must not import anything new: the interpreter's own files may be out of that account's reach.
    """
    return Forked(work).answer()


class Forked(Generic[T]):
    """Work under way in a forked child, which has given up root's rights if it had them."""

    def __init__(self, work: Callable[[], T], account: int = UID) -> None:
        reading, writing = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(reading)
            with open(writing, "wb") as pipe:
                pipe.write(_answer(work, account))
            os._exit(0)
        os.close(writing)
        self._reading = reading

    def answer(self) -> T:
        """What the work returned; the child is gone afterwards, whatever happens."""
        try:
            answer = self._read()
        finally:
            os.close(self._reading)
            os.kill(self._child, signal.SIGKILL)  # it has nothing more to do
            status = os.waitpid(self._child, 0)[1]
        assert answer, f"the child died without an answer, with status {status}"
        ok, value = pickle.loads(answer)
        if not ok:
            raise value
        return cast("T", value)

    def _read(self) -> bytes:
        pieces, deadline = [], time.monotonic() + PATIENCE
        while select.select([self._reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            pieces.append(os.read(self._reading, 1 << 16))
            if not pieces[-1]:
                return b"".join(pieces)
        raise AssertionError(f"the child gave no answer within {PATIENCE:g} seconds")


def _answer(work: Callable[[], object], account: int) -> bytes:
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(account)
            os.setuid(account)
        return pickle.dumps((True, work()))
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        return pickle.dumps((False, AssertionError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")))
