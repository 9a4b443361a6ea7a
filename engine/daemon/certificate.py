"""The certificate of an engine that listens with TLS: checked before it counts, read again when its files change."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import stat
from contextlib import ExitStack
from pathlib import Path

from engine.config import ConfigError

LOOK = 3.0
"""Seconds between two looks at the files."""

log = logging.getLogger("engine.tls")

FileState = tuple[int, int, int, int, int, int]


class Certificate:
    """A certificate with its key.

    Args:
        cert: File with the chain, in PEM.
        key: File with the private key, in PEM.

    Attributes:
        file: The chain's.
        context: What the next connection's TLS is made with.
        problem: Why the files as they are now do not count; the ones before them do.

    Raises:
        ConfigError: They cannot be used.
    """

    def __init__(self, cert: str, key: str) -> None:
        for name, file in (("tls_cert", cert), ("tls_key", key)):
            if not file:
                raise ConfigError(f"listen.{name} is missing: TLS takes a certificate and its key.")
            if not os.path.isabs(file):
                raise ConfigError(f"listen.{name} must be an absolute path, not {file!r}.")
        self.file = self._cert = Path(cert)
        self._key = Path(key)
        self._seen = self._states()
        self.context = self._loaded()
        self.problem: str | None = None

    async def watch(self) -> None:
        """Follow the files for as long as the engine goes on."""
        while True:
            await asyncio.sleep(LOOK)
            self.look()

    def look(self) -> None:
        """Take a pair of files that has changed, if it is a good one; connections that are open stay as they are."""
        states = self._states()
        if states == self._seen:
            return
        self._seen = states
        try:
            self.context = self._loaded()
        except ConfigError as error:
            self.problem = f"The certificate before it stays in use: {error.message}"
            log.warning("%s", self.problem)
        else:
            self.problem = None
            log.info("new connections get the certificate of %s as it is now", self._cert)

    def _states(self) -> list[FileState | None]:
        return [_state(file) for file in (self._cert, self._key)]

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        with ExitStack() as opened:
            cert = _open(self._cert, opened)
            key = _open(self._key, opened)
            _check_key(self._key, os.fstat(key))
            try:
                # By descriptors: the files that were checked are the files that are read.
                context.load_cert_chain(f"/proc/self/fd/{cert}", f"/proc/self/fd/{key}", password=_no_password)
            except _Encrypted:
                raise ConfigError(
                    f"The key in {self._key} is encrypted, and the engine has no way to ask for its passphrase.",
                    f"Decrypt it: openssl pkey -in {self._key} -out KEY",
                ) from None
            except ssl.SSLError as error:
                raise ConfigError(self._why(error)) from None
        return context

    def _why(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"The key in {self._key} does not belong to the certificate in {self._cert}."
        known = (error.reason or "it is no PEM").replace("_", " ").lower()
        return f"{self._cert} and {self._key} cannot be used as certificate and key: {known}."


class _Encrypted(Exception):
    pass


def _no_password() -> str:
    raise _Encrypted  # without a function, OpenSSL asks at the terminal


def _open(file: Path, opened: ExitStack) -> int:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    opened.callback(os.close, descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ConfigError(f"{file} is not a file.")
    return descriptor


def _check_key(file: Path, info: os.stat_result) -> None:
    """Refuse a key that others could read or exchange; the rule is PostgreSQL's (libpq, ssl_key_file).

    Root's own may be readable by a group, as /etc/ssl/private on Debian is for the group ssl-cert.
    """
    if info.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"The key in {file} belongs to another account (uid {info.st_uid}).", f"Run: chown {os.geteuid()} {file}"
        )
    forbidden = 0o027 if info.st_uid == 0 != os.geteuid() else 0o077
    if info.st_mode & forbidden:
        raise ConfigError(f"The key in {file} can be read by other accounts.", f"Run: chmod 600 {file}")


def _state(file: Path) -> FileState | None:
    try:
        info = os.stat(file)
    except OSError:
        return None
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_mode, info.st_uid
