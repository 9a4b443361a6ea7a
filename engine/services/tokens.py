"""Tokens: made, listed and revoked here, and looked up at every request without a look at the disk.

A token's text is ``gw_ID_SECRET``: 48 bits that tell it from others, and 256 bits of secret. Kept is the secret's
SHA-256; with that many random bits a slow hash would cost every request much and an attacker nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

from engine.models.access import NewToken, TokenInfo, TokenList, TokenRequest
from engine.models.runs import Mode
from engine.registry.access import TOKENS_CREATE, TOKENS_LIST, TOKENS_REVOKE
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.audit import AuditService
from engine.services.disk_space import SpaceCheck
from engine.services.operations import implements
from store.errors import StoreError
from store.state.tokens import TokenRow, Tokens

log = logging.getLogger(__name__)

PREFIX = "gw_"
MAX_NAME = 64
MAX_PATTERNS = 100
MAX_PATTERN = 500
MAX_TOKENS = 10_000
MOST_REVOKED = 1_000
"""Revoked tokens that are still known by their secret, so that a program that sends one can be found."""

LONGEST = 100 * 366 * 86_400.0
"""Seconds that a token may count at most; what is to count longer needs no end."""

_NAME = re.compile(r"[^\W_](?: ?[\w.@-])*")
_ID = re.compile(r"[0-9a-f]{12}")
_DURATION = re.compile(r"(\d{1,6})(m|h|d|w)")
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


@dataclass(slots=True)
class _Token:
    """A token that was not revoked, as requests need it."""

    row: TokenRow
    digest: bytes
    actor: Actor
    used_at: float | None


@dataclass(frozen=True, slots=True)
class EndedToken:
    """A token that no longer counts, and whose secret was sent."""

    name: str
    why: Literal["expired", "revoked"]
    at: float


class TokenService:
    """Every token that was not revoked, in memory and in ``store.state.tokens``.

    Args:
        rows: Where they are kept.
        space: Says whether the project can be written to.
        clock: The wall clock, in seconds since the epoch.
    """

    def __init__(
        self, rows: Tokens, audit: AuditService, space: SpaceCheck, clock: Callable[[], float] = time.time
    ) -> None:
        self._rows = rows
        self._audit = audit
        self._space = space
        self._clock = clock
        self._tokens: dict[str, _Token] = {}
        self._revoked: dict[str, _Token] = {}
        self._dirty: set[str] = set()

    async def load(self) -> None:
        """Read what is kept."""
        self._tokens = {row.id: _token(row) for row in await self._rows.rows()}
        self._revoked = {row.id: _token(row) for row in reversed(await self._rows.revoked(MOST_REVOKED))}

    def actor_of(self, text: str) -> Actor | None:
        """Return the actor of a token that counts now; None for every other text."""
        token, now = _sent(text, self._tokens), self._clock()
        if token is None or _expired(token.row, now):
            return None
        token.used_at = now
        self._dirty.add(token.row.id)
        return token.actor

    def ended(self, text: str) -> EndedToken | None:
        """Return which token that no longer counts has this text; None for every other, also one with its id alone."""
        if (token := _sent(text, self._revoked)) is not None and token.row.revoked_at is not None:
            return EndedToken(token.row.name, "revoked", token.row.revoked_at)
        token = _sent(text, self._tokens)
        if token is None or token.row.expires_at is None or not _expired(token.row, self._clock()):
            return None
        return EndedToken(token.row.name, "expired", token.row.expires_at)

    def actor_with(self, token_id: str) -> Actor | None:
        """Return the actor of the token with this id, if it counts now."""
        token = self._tokens.get(token_id)
        return None if token is None or _expired(token.row, self._clock()) else token.actor

    def expires_at(self, token_id: str) -> float | None:
        """When a token ceases to count; None: when it is revoked."""
        token = self._tokens.get(token_id)
        return None if token is None else token.row.expires_at

    @implements(TOKENS_CREATE)
    async def create(self, request: TokenRequest, actor: Actor, source: str) -> NewToken:
        """Make a token and return its text, which is kept nowhere.

        Raises:
            ServiceError: Something of the request cannot be, or it cannot be recorded; there is no new token.
        """
        role, mode = _role(request.role), _mode(request.default_mode)
        if role > actor.role:
            raise ServiceError(
                "forbidden",
                f"{actor.name} may not create a token with the role {role.name.lower()}: that is more than its own.",
                status=403,
                denied=actor,
                denial={"what": f"create a token with the role {role.name.lower()}", "needs": role.name.lower()},
            )
        if mode is Mode.ADMIN and role < Role.ADMIN:
            raise ServiceError(
                "bad_request",
                f"A token with the role {role.name.lower()} cannot have ADMIN as its default mode.",
                hint="Use --role admin, or leave --default-mode out.",
            )
        if request.scripts and role is Role.ADMIN:
            raise ServiceError(
                "bad_request",
                "A token for some scripts only cannot have the role admin: an ADMIN run reaches everything.",
                hint="Use --role author, or leave --scripts out.",
            )
        self._check_name(request.name)
        if len(self._tokens) >= MAX_TOKENS:
            raise ServiceError(
                "too_many", f"There are {MAX_TOKENS} tokens.", hint="Revoke some: gatewright token list.", status=409
            )
        now = self._clock()
        secret = secrets.token_hex(32)
        row = TokenRow(
            id=secrets.token_hex(6),
            name=request.name,
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            role=role.name.lower(),
            default_mode=mode.value,
            scripts=_patterns(request.scripts),
            created_at=now,
            created_by=actor.name,
            expires_at=None if request.expires is None else _expiry(request.expires, now),
        )
        if self._space.read_only:
            sentence = f"No token was created: {self._why_read_only()}."
            raise ServiceError("read_only", sentence, hint=self._space.hint, status=409)
        token = self._tokens[row.id] = _token(row)  # before the write: its name is taken from here on
        try:
            await self._rows.add(row)
        except BaseException as error:
            del self._tokens[row.id]
            if isinstance(error, StoreError):
                raise ServiceError(
                    "not_recorded", f"No token was created: {error}", hint=error.hint, status=507
                ) from None
            raise
        self._audit.tell(
            actor,
            source,
            "token_create",
            row.name,
            id=row.id,
            role=row.role,
            default_mode=row.default_mode,
            scripts=list(row.scripts),
            expires_at=row.expires_at,
        )
        return NewToken(token=f"{PREFIX}{row.id}_{secret}", info=_info(token, now))

    @implements(TOKENS_LIST)
    async def list(self, actor: Actor) -> TokenList:  # noqa: ARG002 - its role is checked
        """Every token that was not revoked, oldest first."""
        now = self._clock()
        tokens = sorted(self._tokens.values(), key=lambda token: (token.row.created_at, token.row.id))
        return TokenList(tokens=[_info(token, now) for token in tokens])

    @implements(TOKENS_REVOKE)
    async def revoke(self, token: str, actor: Actor, source: str) -> TokenInfo:
        """Revoke the token with this name or id. From then on no request with it, or with a session of it, is let in.

        Requests that it has made already go on to their end.

        Raises:
            ServiceError: ``no_token``; or ``not_recorded``: it no longer counts, but the next engine would not know.
        """
        found = self._named(token)
        info = _info(found, self._clock())
        now = self._clock()
        del self._tokens[found.row.id]
        self._revoked[found.row.id] = replace(found, row=replace(found.row, revoked_at=now))
        if len(self._revoked) > MOST_REVOKED:
            del self._revoked[next(iter(self._revoked))]
        self._audit.tell(actor, source, "token_revoke", found.row.name, id=found.row.id)
        if self._space.read_only:
            raise _only_here(found.row, f"{self._why_read_only()}.", self._space.hint)
        try:
            await self._rows.revoke(found.row.id, now)
        except StoreError as error:
            raise _only_here(found.row, str(error), error.hint) from None
        return info

    async def note_used(self) -> None:
        """Record when tokens were used last; what cannot be recorded is tried again the next time."""
        if not self._dirty or self._space.read_only:
            return
        ids, self._dirty = self._dirty, set()
        used = {i: at for i in ids if (token := self._tokens.get(i)) is not None and (at := token.used_at) is not None}
        try:
            await self._rows.note_used(used)
        except StoreError as error:
            self._dirty |= ids
            log.warning("when tokens were used last was not recorded: %s", error)

    def _why_read_only(self) -> str:
        return self._space.short() or "the project cannot be written to"

    def _check_name(self, name: str) -> None:
        if len(name) > MAX_NAME or not _NAME.fullmatch(name) or not name.isprintable() or _ID.fullmatch(name):
            raise ServiceError(
                "bad_name",
                f"A token's name has letters, digits, single blanks and . _ @ -, begins with a letter or digit, has at "
                f"most {MAX_NAME} characters and does not look like a token's id.",
                hint="For example --name dashboard-line1.",
            )
        now = self._clock()
        taken = (token for token in self._tokens.values() if token.row.name.casefold() == name.casefold())
        if (other := next((token for token in taken if not _expired(token.row, now)), None)) is not None:
            raise ServiceError(
                "exists",
                f"There is a token {other.row.name} already.",
                hint=f"Take another name, or revoke it first: gatewright token revoke {other.row.id}",
                status=409,
            )

    def _named(self, token: str) -> _Token:
        """The token with this id or name; of several with one name the one that counts."""
        if (found := self._tokens.get(token)) is not None:
            return found
        now = self._clock()
        named = [each for each in self._tokens.values() if each.row.name.casefold() == token.casefold()]
        if not named:
            # Not repeated: it could be a token's text.
            raise ServiceError(
                "no_token", "There is no token of this name or id.", hint="See gatewright token list.", status=404
            )
        return min(named, key=lambda each: (_expired(each.row, now), -each.row.created_at))


def _sent(text: str, tokens: Mapping[str, _Token]) -> _Token | None:
    """The token of which ``text`` is all: its id and its secret."""
    token_id, _, secret = text.removeprefix(PREFIX).partition("_")
    token = tokens.get(token_id)
    if token is None or not text.startswith(PREFIX):
        return None
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
    return token if hmac.compare_digest(digest, token.digest) else None


def _token(row: TokenRow) -> _Token:
    actor = Actor(
        name=f"token:{row.name}",
        uid=NO_ACCOUNT,
        role=Role[row.role.upper()],
        token=row.id,
        default_mode=row.default_mode,
        scripts=row.scripts,
    )
    return _Token(row, bytes.fromhex(row.sha256), actor, row.last_used_at)


def _only_here(row: TokenRow, why: str, hint: str | None) -> ServiceError:
    """The answer when a token was revoked in memory and not on disk."""
    return ServiceError(
        "not_recorded",
        f"The token {row.name} no longer counts in this engine, but will in the next one, since its end could not be "
        f"recorded: {why}",
        hint=f"{hint} Then start the engine again and revoke it once more." if hint else "Revoke it again later.",
        status=507,
    )


def _expired(row: TokenRow, now: float) -> bool:
    return row.expires_at is not None and now >= row.expires_at


def _info(token: _Token, now: float) -> TokenInfo:
    row = token.row
    return TokenInfo(
        id=row.id,
        name=row.name,
        role=row.role,
        default_mode=row.default_mode,
        scripts=list(row.scripts),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=token.used_at,
        expired=_expired(row, now),
    )


def _role(text: str) -> Role:
    try:
        return Role[text.upper()]
    except KeyError:
        roles = ", ".join(role.name.lower() for role in Role)
        raise ServiceError("bad_request", f"There is no role {text[:40]!r}; the roles are {roles}.") from None


def _mode(text: str) -> Mode:
    try:
        return Mode(text.upper())
    except ValueError:
        sentence = f"There is no mode {text[:40]!r}; the modes are RESTRICTED and ADMIN."
        raise ServiceError("bad_mode", sentence) from None


def _patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(patterns))
    if len(found) > MAX_PATTERNS:
        raise ServiceError("bad_request", f"A token has at most {MAX_PATTERNS} patterns of scripts.")
    for pattern in found:
        parts = pattern.split("/")
        if not pattern or len(pattern) > MAX_PATTERN or not pattern.isprintable() or {"", ".", ".."} & set(parts):
            raise ServiceError(
                "bad_request",
                f"{pattern[:80]!r} is no pattern of script paths.",
                hint="Patterns are relative to the scripts folder: line1/* for the scripts in a folder, line1/** for "
                "those in folders below it, too.",
            )
    return found


def _expiry(text: str, now: float) -> float:
    """The time at which a token ceases to count: so long from ``now``, or the end of a day of this host's calendar."""
    given = text.strip()
    if (match := _DURATION.fullmatch(given)) is not None:
        seconds = int(match[1]) * _SECONDS[match[2]]
        if not 0 < seconds <= LONGEST:
            raise ServiceError("bad_request", "A token counts for more than nothing and for at most 100 years.")
        return now + seconds
    try:
        day = date.fromisoformat(given)
        end = datetime.combine(day + timedelta(days=1), datetime.min.time()).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise ServiceError(
            "bad_request",
            f"{given[:40]!r} does not say how long a token counts.",
            hint="Say for how long, such as 90d, 12h or 8w, or its last day, such as 2027-12-31.",
        ) from None
    if end <= now:
        raise ServiceError("bad_request", f"The day {given} is over.", hint="Take a later one.")
    if end > now + LONGEST:
        raise ServiceError("bad_request", "A token counts for at most 100 years.", hint="Leave --expires out.")
    return end
