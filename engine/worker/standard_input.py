"""A run's standard input: what it was handed, else a stream that says how to hand something over.

Without one, descriptor 0 is /dev/null opened for writing only, as nohup(1) has it: who reads it gets an error, where an
end of file would be taken for empty data and lead to a wrong answer. What an ADMIN script starts inherits that.
"""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

FD = 0

NAMES = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")

HOW = (
    "Hand it over with --stdin, or as a file with --file NAME=-; take what input() would ask for as a parameter of the "
    "script."
)

NOT_GIVEN = f"A run has no standard input. {HOW}"

ASKED = f"The script tried to read a standard input, which the run did not have. {HOW}"

ASKED_ANSWER = HOW.encode()
"""In the RESULT of a script that failed for it."""


class NoInput(io.TextIOBase):
    """``sys.stdin`` of a run that was handed none. Whoever reads it gets an ``io.UnsupportedOperation``.

    Not an ``EOFError``: that is how many scripts end a loop over what they read.

    Attributes:
        asked: Whether somebody tried: the script may have gone on without.
    """

    name = "<stdin>"
    mode = "r"
    encoding = "utf-8"
    errors = "surrogateescape"

    def __init__(self) -> None:
        self.asked = False
        self.buffer = _NoBytes(self)

    def refuse(self, *_: object) -> NoReturn:
        self.asked = True
        raise io.UnsupportedOperation(NOT_GIVEN)

    read = readline = readlines = __next__ = refuse

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return FD


class _NoBytes(io.BufferedIOBase):
    """``sys.stdin.buffer``."""

    name = "<stdin>"
    mode = "rb"

    def __init__(self, text: NoInput) -> None:
        self.read = self.read1 = self.readinto = self.readinto1 = text.refuse  # type: ignore[method-assign]
        self.readline = self.readlines = self.peek = text.refuse  # type: ignore[method-assign]
        self._refuse = text.refuse

    def __next__(self) -> NoReturn:
        self._refuse()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return FD


def refuse_its_names(is_given: Callable[[], bool]) -> None:
    """Let nobody in this process read descriptor 0 by a name of it while there is no standard input.

    Opened by a name, /dev/null is open for reading, too, and as empty as it is (proc(5), /proc/pid/fd).
    """

    def judge(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and arguments[0] in NAMES and not is_given():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), arguments[0])

    sys.addaudithook(judge)


def put_in_place(fd: int) -> None:
    """Make an open file the standard input of this process. ``fd`` is closed.

    Bytes that are no UTF-8 become lone surrogates (PEP 383), as they do in an interpreter whose locale is C.UTF-8.
    """
    os.dup2(fd, FD)
    os.close(fd)
    stream = open(FD, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - the script's
    sys.stdin = sys.__stdin__ = stream  # type: ignore[misc]
