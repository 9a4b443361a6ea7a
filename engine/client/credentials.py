"""The file that holds a token: only its owner's to read, so that no process list and no environment shows the token."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from engine.client.starter import LaunchError
from engine.client.transport import TransportError

MAX_TOKEN = 4096
"""Bytes of the file."""


class TokenFile:
    """A token in a file. No sentence of its errors says anything of what is in it.

    Args:
        path: Absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = ""
        self._seen: tuple[int, ...] = ()

    @property
    def refused_hint(self) -> str:
        """What to do when the engine does not take it."""
        return f"The token is the one in {self.path}; an administrator there makes another: gatewright token create."

    def text(self) -> str:
        """Return the token as it was read last.

        Raises:
            TransportError: It cannot be read, or others could read it.
        """
        if not self._text:
            self.read()
        return self._text

    def refresh(self) -> bool:
        """Read the token again if its file has changed; return True if it is another one.

        Raises:
            TransportError: It cannot be read, or others could read it.
        """
        before = self._text
        try:
            if _identity(os.stat(self.path)) == self._seen:
                return False
        except OSError as error:
            raise self._unreadable(error) from None
        self.read()
        return self._text != before

    def check(self) -> None:
        """Read it.

        Raises:
            LaunchError: It cannot be read, or others could read it.
        """
        try:
            self.read()
        except TransportError as error:
            raise LaunchError(str(error), error.hint, exit_code=2) from None

    def read(self) -> None:
        """Read the file, whatever was read before.

        Raises:
            TransportError: It cannot be read, or others could read it.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise self._unreadable(error) from None
        try:
            info = os.fstat(fd)
            self._check(info)
            data = os.read(fd, MAX_TOKEN)
        except OSError as error:
            raise self._unreadable(error) from None
        finally:
            os.close(fd)
        text = data.strip()
        if not text or not text.isascii() or any(byte <= 0x20 or byte == 0x7F for byte in text):
            raise TransportError(
                f"The token file {self.path} holds no token.", "It is one line: what gatewright token create printed."
            )
        self._text, self._seen = text.decode("ascii"), _identity(info)

    def _check(self, info: os.stat_result) -> None:
        if not stat.S_ISREG(info.st_mode):
            raise TransportError(f"The token file {self.path} is no ordinary file.")
        if info.st_uid != os.geteuid():
            raise TransportError(
                f"The token file {self.path} belongs to another account.", "Keep the token in a file of your own."
            )
        if info.st_mode & 0o077:
            raise TransportError(
                f"Other accounts may use the token file {self.path}.", f"Close it to them: chmod 600 {self.path}"
            )

    def _unreadable(self, error: OSError) -> TransportError:
        return TransportError(f"The token file {self.path} cannot be read: {error.strerror}.")


def _identity(info: os.stat_result) -> tuple[int, ...]:
    return info.st_ino, info.st_size, info.st_mtime_ns
