"""Who may call, and what they may do: tokens, and what a caller is told of itself."""

from __future__ import annotations

from engine.models.base import Model
from engine.models.runs import Mode


class TokenRequest(Model, frozen=True):
    """What a new token may do.

    Attributes:
        name: What lists and the audit call it; unique among the tokens that count.
        role: ``viewer``, ``operator``, ``author`` or ``admin``.
        expires: How long it counts, such as ``90d``, ``12h`` or ``30m``, or its last day, such as ``2027-12-31``.
            None: until it is revoked.
        default_mode: The mode of its runs that name none.
        scripts: Patterns of the paths of the scripts that it may run and see; none means every script.
    """

    name: str
    role: str
    expires: str | None = None
    default_mode: str = Mode.RESTRICTED
    scripts: list[str] = []


class TokenInfo(Model, frozen=True):
    """A token without its text."""

    id: str
    """The part of its text between ``gw_`` and the secret."""
    name: str
    role: str
    default_mode: str
    scripts: list[str]
    created_at: float
    created_by: str
    expires_at: float | None = None
    """None: it counts until it is revoked."""
    last_used_at: float | None = None
    expired: bool = False


class NewToken(Model, frozen=True):
    """A token that was made just now."""

    token: str
    """Its text. It is shown this once and kept nowhere."""
    info: TokenInfo


class TokenList(Model, frozen=True):
    """Every token that was not revoked, oldest first."""

    tokens: list[TokenInfo]


class AccessInfo(Model, frozen=True):
    """What a caller may do."""

    name: str
    role: str
    default_mode: str
    scripts: list[str] = []
    """Patterns of the paths that a token may run and see; empty means every script."""
    expires_at: float | None = None
    """Of a token that expires."""
