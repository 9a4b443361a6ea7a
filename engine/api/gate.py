"""What a request over TCP must say of where it goes to and comes from, before anybody asks whose it is.

A page of another site can have a browser send requests to an engine on the same host or network. By a name of its own
that leads to this host (DNS rebinding) it could even read the answers. So a request must name this host by a name that
is known here, and a browser's must come from this engine's own pages. Nothing that a proxy or a caller adds about
itself (``X-Forwarded-For``, ``Forwarded``) is looked at.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.api.endpoint import respond_json
from engine.services.access import ServiceError

log = logging.getLogger("engine.api")

DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
"""A Host header (RFC 9110, 7.2)."""

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)")
"""RFC 6454, 6.2."""

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Authority:
    """``host`` in lower case, IPv6 without brackets; ``port`` None where none is named."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Authority | None:
        match = _AUTHORITY.fullmatch(text.strip())
        if match is None:
            return None
        host = match[1].lower().strip("[]").removesuffix(".")
        return cls(host, None if match[2] is None else int(match[2]))


class TcpGate:
    """Hands on to ``app`` what may pass.

    Args:
        app: Serves the requests.
        named: The host that the engine was told to listen at.
        listed: Further names, as a proxy in front of the engine is called; each may have a port behind it.
    """

    def __init__(self, app: ASGIApp, named: str, listed: Callable[[], Iterable[str]]) -> None:
        self._app = app
        names = {socket.gethostname().lower()}
        if _ip(named) is None:  # addresses are compared with the one that a connection came to
            names.add(named.lower().removesuffix("."))
        self._names = frozenset(names)
        self._listed = listed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (connection := scope.get("state", {}).get("connection")) is not None:
            send = connection.ending(send)
        try:
            self._check(scope)
        except ServiceError as error:
            log.warning("refused a request from %s: %s", scope["client"], error.message)
            await respond_json(send, error.status, msgspec.json.encode(error.body()))
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raise the refusal of a request that names another host, or that another site's page sends."""
        hosts, origins = [], []
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value.decode("latin-1"))
            elif name == b"origin":
                origins.append(value.decode("latin-1"))
        listed = [entry for text in self._listed() if (entry := Authority.parse(text)) is not None]
        host = Authority.parse(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_ours(host, scope["server"][0], listed):
            raise _bad_host(hosts)
        if origins and not (len(origins) == 1 and _is_own_origin(origins[0], scope["scheme"], host, listed)):
            raise _bad_origin(origins)

    def _is_ours(self, host: Authority, local: str, listed: list[Authority]) -> bool:
        """Whether this engine is called so. The port counts only where it is listed: a tunnel has one of its own."""
        if host.host in self._names or any(_same(host, entry) for entry in listed):
            return True
        own, asked = _ip(local), _ip(host.host)
        if own is None or (asked is None and host.host != "localhost"):
            return False
        return asked == own or (own.is_loopback and (asked is None or asked.is_loopback))


def _same(host: Authority, entry: Authority) -> bool:
    return host.host == entry.host and (None in (host.port, entry.port) or host.port == entry.port)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # What the address of a mapped one counts for differs between versions of Python.
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _is_own_origin(text: str, scheme: str, host: Authority, listed: list[Authority]) -> bool:
    match = _ORIGIN.fullmatch(text.strip())
    authority = Authority.parse(match[2]) if match else None
    if match is None or authority is None or match[1] not in DEFAULT_PORTS:
        return False
    usual = DEFAULT_PORTS[match[1]]
    port = authority.port or usual
    if match[1] == scheme and authority.host == host.host and port == (host.port or usual):
        return True
    # A proxy that speaks TLS to browsers and plain HTTP to the engine.
    return any(authority.host == entry.host and port == (entry.port or usual) for entry in listed)


def _bad_host(hosts: list[str]) -> ServiceError:
    said = (
        f"for {hosts[0][:_SHOWN]!r}" if len(hosts) == 1 else "without one Host header" if not hosts else "for two hosts"
    )
    return ServiceError(
        "bad_host",
        f"This engine takes no requests {said}.",
        hint='Ask it by the name or address it listens at, or list the name in its settings: access.hosts = ["NAME"].',
        status=403,
    )


def _bad_origin(origins: list[str]) -> ServiceError:
    return ServiceError(
        "bad_origin",
        f"This engine takes no requests from pages of {', '.join(origins)[:_SHOWN]!r}.",
        hint="No page of another host can ask it. Ask it from that page's server, or put a proxy in front that serves "
        "both under one name, and list that name in its settings: access.hosts.",
        status=403,
    )
