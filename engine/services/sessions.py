"""Sessions: what stands in for a token or an account for eight hours, in memory only.

Clients of the Ignition module ask for one before every call and send it with the next, so the same text is given out
again as long as more than half of its life is left.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from engine.services.access import Actor

PREFIX = "gws_"
LIFETIME = 28_800.0
"""Seconds."""

MOST = 4096
"""Sessions at a time; of more than that the oldest ends."""


@dataclass(frozen=True, slots=True)
class LoginSession:
    """Stands in for ``actor`` until ``ends_at``."""

    id: str
    secret: bytes
    actor: Actor
    ends_at: float

    @property
    def text(self) -> str:
        """What its holder sends."""
        return f"{PREFIX}{self.id}_{self.secret.decode()}"


class Sessions:
    """The sessions of one engine: of each caller the one given out last, and at most one before that still counts.

    Whether the token of a session still counts is for who asks to look up.

    Args:
        clock: Monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_id: OrderedDict[str, LoginSession] = OrderedDict()
        self._newest: dict[str, LoginSession] = {}

    def of(self, actor: Actor) -> tuple[str, float]:
        """Return the text of a session of ``actor`` and the seconds for which it counts."""
        now = self._clock()
        session = self._newest.get(actor.identity)
        if session is None or session.ends_at - now <= LIFETIME / 2 or session.actor != actor:
            session = self._begin(actor, now)
        return session.text, session.ends_at - now

    def actor_of(self, text: str) -> Actor | None:
        """Return whom a session stands in for; None if there is no such session, or it is over."""
        session_id, _, secret = text.removeprefix(PREFIX).partition("_")
        session = self._by_id.get(session_id)
        if session is None or not text.startswith(PREFIX):
            return None
        if not hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), session.secret):
            return None
        if self._clock() >= session.ends_at:
            self._end(session)
            return None
        return session.actor

    def end_of_accounts(self) -> None:
        """End every session of accounts: what they may do has changed."""
        for session in [each for each in self._by_id.values() if not each.actor.token]:
            self._end(session)

    def _begin(self, actor: Actor, now: float) -> LoginSession:
        session = LoginSession(secrets.token_hex(6), secrets.token_hex(32).encode(), actor, now + LIFETIME)
        self._by_id[session.id] = self._newest[actor.identity] = session
        # Their lives are equally long: the oldest is the first to end.
        while len(self._by_id) > MOST or next(iter(self._by_id.values())).ends_at <= now:
            self._end(next(iter(self._by_id.values())))
        return session

    def _end(self, session: LoginSession) -> None:
        self._by_id.pop(session.id, None)
        if self._newest.get(session.actor.identity) is session:
            del self._newest[session.actor.identity]
