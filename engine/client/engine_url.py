"""Where an engine on another host is, as it was given."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.client.starter import LaunchError

FORM = "Give it as https://HOST:PORT."


@dataclass(frozen=True, slots=True)
class EngineUrl:
    """A URL of an engine.

    Attributes:
        scheme: ``https``, or ``http`` to this host itself.
        host: A name or an address, an IPv6 one without brackets.
        port: Of TCP.
        place: Host and port, as people and the Host field have them.
    """

    scheme: str
    host: str
    port: int
    place: str

    @property
    def base(self) -> str:
        """What a request's target follows."""
        return f"{self.scheme}://{self.place}"


def parse_url(text: str) -> EngineUrl:
    """Return the URL of an engine.

    Raises:
        LaunchError: It is none, or a token would go over a network in the clear.
    """
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:  # a UnicodeError, too
        raise _refusal("The URL cannot be understood.") from None
    if parts.scheme not in ("https", "http") or not host or not text.isprintable() or " " in text:
        raise _refusal("The URL is none of an engine.")
    if parts.username is not None or parts.password is not None:
        raise _refusal(
            "The URL holds a name or a password; an engine takes a token.", f"{FORM} The token goes in a file."
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _refusal("The URL goes on behind host and port.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise _refusal(
            f"Plain http to {host} would show the token to every host on the way.",
            "Use https; plain http is for addresses of this host only, such as 127.0.0.1.",
        )
    shown = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    if port is None or port == default:
        return EngineUrl(parts.scheme, host, default, shown)
    return EngineUrl(parts.scheme, host, port, f"{shown}:{port}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # RFC 6761, 6.3: never another host's


def _refusal(sentence: str, hint: str = FORM) -> LaunchError:
    return LaunchError(sentence, hint, exit_code=2)
