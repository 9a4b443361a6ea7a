"""Run a function as an ordinary account: in a forked child that gives up root's rights, if the tests have them."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

UID = GID = 54_321


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
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with open(writing, "wb") as pipe:
            pipe.write(_answer(work))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    ok, value = pickle.loads(answer)
    if not ok:
        raise value
    return value


def _answer(work: Callable[[], object]) -> bytes:
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(GID)
            os.setuid(UID)
        return pickle.dumps((True, work()))
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        return pickle.dumps((False, AssertionError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")))
