"""The project's key for what is kept as an HMAC only: made once, read by the engine's account, shown to nobody.

It lies in ``.gatewright``, which no script is ever granted. Without it nothing is lost but that two values of before
and after can no longer be seen to be the same.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from pathlib import Path

from store import disk

KEY_FILE = "hmac.key"
SIZE = 32
"""Bytes: as many as the output of SHA-256 (RFC 2104, section 3)."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

log = logging.getLogger(__name__)


def hmac_key(private: Path, *, writable: bool = True) -> bytes:
    """Return the key of the project whose private folder this is; where it cannot be kept, one for this engine's life.

    Blocks. A file that is no key (cut off, a link, open to others' writing) is replaced.

    Args:
        private: ``.gatewright``.
        writable: Whether a key may be made.
    """
    try:
        with disk.open_folder(private) as folder:
            known = _read(folder)
            if known is not None:
                return known
            made = secrets.token_bytes(SIZE)
            if writable:
                disk.replace_file(folder, KEY_FILE, made, 0o600)
            return made
    except OSError as error:
        log.warning("the key for secret parameters cannot be kept: %s", error)
        return secrets.token_bytes(SIZE)


def _read(folder: int) -> bytes | None:
    try:
        descriptor = os.open(KEY_FILE, _READ, dir_fd=folder)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        if stat.S_IMODE(found.st_mode) & 0o077:
            log.warning("the key for secret parameters was open to other accounts; there is a new one")
            return None
        data = file.read(SIZE + 1)
    return data if len(data) == SIZE else None
