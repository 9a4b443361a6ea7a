"""The file that holds a project's secrets: its owner's alone, written whole, in no database, export or git.

It lies in ``.gatewright``, which no script is ever granted and git ignores. It is not encrypted: what could decrypt it
would lie beside it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store import disk
from store.errors import NotAllowed, StoreError, from_os_error

SECRETS_FILE = "secrets.json"
MAX_FILE = 8 << 20
"""Bytes of the file."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as it is kept."""

    value: str
    set_at: float
    set_by: str

    def __repr__(self) -> str:
        """Leave out the value: a log or a traceback may show this."""
        return "Secret(…)"


Secrets = dict[str, Secret]


class SecretsFile:
    """Read and written whole, each time; its methods block. No sentence of its errors has anything of what is in it.

    Args:
        private: ``.gatewright``.
    """

    def __init__(self, private: Path) -> None:
        self._private = private
        self.path = private / SECRETS_FILE

    def read(self) -> Secrets:
        """Return all secrets by name.

        Raises:
            StoreError: They cannot be read. ``NotAllowed`` when other accounts could read them, too.
        """
        try:
            with disk.open_folder(self._private) as folder:
                return self._read(folder)
        except OSError as error:
            raise from_os_error(error, f"read {self.path}") from None

    def change(self, change: Callable[[Secrets], Secrets]) -> None:
        """Write what ``change`` makes of the secrets, durably and at once.

        Raises:
            StoreError: They could not be read or written; nothing has changed.
        """
        try:
            with disk.open_folder(self._private) as folder, disk.locked(folder):
                kept = {
                    name: {"value": one.value, "set_at": one.set_at, "set_by": one.set_by}
                    for name, one in sorted(change(self._read(folder)).items())
                }
                data = json.dumps(kept, indent=1).encode()
                if len(data) > MAX_FILE:  # it could not be read again
                    raise StoreError(
                        f"The secrets would have more than {MAX_FILE >> 20} MiB together.", "Delete some of them."
                    )
                disk.replace_file(folder, SECRETS_FILE, data, 0o600)
        except OSError as error:
            raise from_os_error(error, f"write {self.path}") from None

    def _read(self, folder: int) -> Secrets:
        try:
            descriptor = os.open(SECRETS_FILE, _READ, dir_fd=folder)
        except FileNotFoundError:
            return {}
        with open(descriptor, "rb") as file:
            self._check(os.fstat(descriptor))
            data = file.read(MAX_FILE)
        try:
            return {str(name): _secret(one) for name, one in json.loads(data).items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # Without the cause: it would quote what is in the file.
            raise StoreError(
                f"{self.path} is damaged.", "Move it away, then set the secrets again: gatewright secrets set NAME"
            ) from None

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise NotAllowed(f"{self.path} is no file of this account.", "Move it away.")
        if found.st_mode & 0o077:
            raise NotAllowed(
                f"Other accounts may read {self.path}: what is in it is no longer secret.",
                f"Run: chmod 600 '{self.path}', and set the secrets that they may have seen to new values.",
            )


def _secret(kept: dict[str, Any]) -> Secret:
    value, at, by = kept["value"], kept["set_at"], kept["set_by"]
    if not isinstance(value, str) or not isinstance(at, int | float) or not isinstance(by, str):
        raise TypeError
    return Secret(value, float(at), by)
