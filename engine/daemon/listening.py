"""Where an engine listens over TCP: addresses that may be, sockets bound to them, and what they are called."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from engine.api.gate import TcpGate
from engine.api.server import EngineServer
from engine.config import ConfigError, ListenSection
from engine.sockets import BACKLOG

if TYPE_CHECKING:
    import ssl

    from engine.daemon.certificate import Certificate

EXAMPLE = 'For example: "127.0.0.1:9089".'
OPTIONS = {"listen.address": "--listen", "listen.tls_cert": "--tls-cert", "listen.tls_key": "--tls-key"}
"""What gives a setting on the command line of ``engine serve``."""

SECOND_TRIES = 20
"""How often a free port is looked for that is free at every address of a name."""


@dataclass(frozen=True, slots=True)
class Address:
    """``host`` is an IP address or a name; ``port`` 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT`` or ``[IPv6]:PORT``.

        Raises:
            ConfigError: It is none.
        """
        host, colon, port = text.strip().rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigError(f"listen.address must be HOST:PORT, not {text!r}.", 'IPv6 takes brackets: "[::1]:9089".')
        if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
            raise ConfigError(f"listen.address must be HOST:PORT, not {text!r}.", EXAMPLE)
        return cls(host, int(port))


def resolve(address: Address) -> list[tuple[socket.AddressFamily, str]]:
    """Return the IP addresses that the host stands for, each once.

    Raises:
        ConfigError: There is none.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no name of a host"
        raise ConfigError(f"listen.address: {address.host} cannot be resolved: {why}.", EXAMPLE) from None
    return list(dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found))


def is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip.partition("%")[0]).is_loopback


def bind(address: Address, *, tls: bool) -> list[socket.socket]:
    """Return sockets that listen at every IP address of ``address``, all at one port.

    Raises:
        ConfigError: It may not be without TLS, or it cannot be bound.
    """
    places = resolve(address)
    if not tls and not all(is_loopback(ip) for _, ip in places):
        raise ConfigError(
            f"The engine does not listen at {address} without TLS: others could read tokens on their way.",
            "Give it a certificate and its key (listen.tls_cert, listen.tls_key), or listen at 127.0.0.1.",
        )
    for last in [False] * (SECOND_TRIES - 1) + [True]:
        try:
            return _bind_all(places, address.port)
        except OSError as error:
            if address.port == 0 and len(places) > 1 and error.errno == errno.EADDRINUSE and not last:
                continue
            raise _unusable(address, error) from None
    raise AssertionError("unreachable")


def _bind_all(places: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    with contextlib.ExitStack() as undo:
        bound: list[socket.socket] = []
        missing: OSError | None = None
        for family, ip in places:
            try:
                sock = _bind(family, ip, port)
            except OSError as error:
                # "localhost" is ::1 also on hosts without IPv6.
                if len(places) == 1 or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
                continue
            bound.append(undo.enter_context(sock))
            port = sock.getsockname()[1]
        if not bound and missing is not None:
            raise missing
        undo.pop_all()
        return bound


def _bind(family: socket.AddressFamily, ip: str, port: int) -> socket.socket:
    # With its protocol named, asyncio turns Nagle's algorithm off, too; what is accepted inherits the option. With it
    # each answer waits 40 ms for an ACK.
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((ip, port))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _unusable(address: Address, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"Port {address.port} of {address.host} is in use by another program.",
            f"Find it with: ss -ltnp sport = :{address.port}. Or choose another port.",
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"This account may not listen at port {address.port}.", "Choose a port above 1023.")
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{address.host} is no address of this host.", "Its addresses: ip address show")
    return ConfigError(f"The engine cannot listen at {address}: {os.strerror(error.errno or 0)}.")


class TcpPlace:
    """Where an engine listens over TCP, and with which certificate.

    Args:
        address: What it was told.
        certificate: None without TLS.

    Raises:
        ConfigError: It may not, or cannot, listen there.
    """

    def __init__(self, address: Address, certificate: Certificate | None) -> None:
        self._address = address
        self._certificate = certificate
        self._sockets = bind(address, tls=certificate is not None)
        self.urls = [url_of(sock, tls=certificate is not None) for sock in self._sockets]

    @classmethod
    def bound(cls, settings: ListenSection) -> TcpPlace | None:
        """Return the place that the settings name, bound; None where they name none.

        Raises:
            ConfigError: They cannot be used.
        """
        if not settings.address:
            if settings.tls_cert or settings.tls_key:
                raise ConfigError("There is a certificate but no address to listen at.", "Set listen.address.")
            return None
        address = Address.parse(settings.address)
        if not settings.tls_cert and not settings.tls_key:
            return cls(address, None)
        from engine.daemon.certificate import Certificate  # an engine without TLS does without OpenSSL

        return cls(address, Certificate(settings.tls_cert, settings.tls_key))

    def __str__(self) -> str:
        with_what = "" if self._certificate is None else f" with the certificate {self._certificate.file}"
        return f"{', '.join(self.urls)}{with_what}"

    @property
    def problem(self) -> str | None:
        return None if self._certificate is None else self._certificate.problem

    def open(self, server: EngineServer, app: ASGIApp, listed: Callable[[], Iterable[str]]) -> None:
        """Take connections.

        Args:
            server: Serves them.
            app: Gets what passes the gate.
            listed: Further names under which requests may come.
        """
        gate = TcpGate(app, self._address.host, listed)
        for sock in self._sockets:
            server.listen_tcp(sock, gate, self._context)

    def look(self) -> None:
        """Look at the certificate's files now."""
        if self._certificate is not None:
            self._certificate.look()

    async def watch(self) -> None:
        """Follow the certificate's files for as long as the engine goes on."""
        if self._certificate is not None:
            await self._certificate.watch()

    def _context(self) -> ssl.SSLContext | None:
        return None if self._certificate is None else self._certificate.context


def as_typed(error: ConfigError) -> ConfigError:
    """Return the error with options of the command line in place of the settings that they give."""

    def worded(text: str) -> str:
        for setting, option in OPTIONS.items():
            text = text.replace(setting, option)
        return text

    return ConfigError(worded(error.message), error.hint and worded(error.hint))


def url_of(sock: socket.socket, *, tls: bool) -> str:
    """Return where a socket listens, as a URL."""
    ip, port = sock.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{Address(ip, port)}"
