"""Find out who calls: an account by what the kernel says of it, a token by its text."""

from __future__ import annotations

import time
from dataclasses import replace

from engine.models.access import AccessInfo
from engine.registry.access import ACCESS_SELF
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.denials import Denials
from engine.services.operations import implements
from engine.services.sessions import Sessions
from engine.services.throttle import LoginThrottle
from engine.services.tokens import TokenService
from engine.sockets import Peer

LOGIN = "login"
"""What a refused login is called in the audit, in place of an operation."""

HERE = "this host"
"""The address of a token that came by a unix socket."""


class Callers:
    """Knows the actors of one project."""

    def __init__(
        self,
        owner: Actor,
        tokens: TokenService | None = None,
        denials: Denials | None = None,
        *,
        sessions: Sessions | None = None,
        throttle: LoginThrottle | None = None,
    ) -> None:
        self._owner = owner
        self._tokens = tokens
        self._denials = denials
        self._sessions = sessions or Sessions()
        self._throttle = throttle or LoginThrottle()
        if tokens is not None:
            tokens.on_revoked(self._sessions.end_of_token)

    def by_peer(self, peer: Peer) -> Actor:
        """Return the actor of an account at the other end of a unix socket.

        Raises:
            ServiceError: ``forbidden``: it has no role here.
        """
        if peer.uid != self._owner.uid:
            raise ServiceError(
                "forbidden",
                f"This project belongs to {self._owner.name}; other accounts have no access to its engine.",
                hint=f"Ask {self._owner.name}, or make a project of your own: gatewright init FOLDER",
                status=403,
            )
        return self._owner

    def by_token(self, text: str, address: str) -> Actor:
        """Return the actor of a token, or of a session, that was sent from ``address``.

        One that counts is let in whatever else came from that address.

        Raises:
            ServiceError: ``unauthorized``: there is no such token, or none that counts now; ``throttled``: so many
                from this address were refused in the last minute that this one is, too.
        """
        actor = self._tokens.actor_of(text) if self._tokens is not None else None
        if actor is None:
            actor = self._by_session(text)
        if actor is None:
            raise self._refused(address or HERE)
        return actor

    def session_of(self, actor: Actor) -> tuple[str, float]:
        """Return the text of a session that stands in for ``actor``, and the seconds for which it counts.

        It may do what ``actor`` may and no more, and ends with the token, or when the roles of accounts change.
        """
        text, lifetime = self._sessions.of(actor)
        ends = self._tokens.expires_at(actor.token) if self._tokens is not None and actor.token else None
        return text, lifetime if ends is None else min(lifetime, ends - time.time())

    @implements(ACCESS_SELF)
    def self(self, actor: Actor) -> AccessInfo:
        """Tell a caller what it may do."""
        expires = self._tokens.expires_at(actor.token) if self._tokens is not None and actor.token else None
        return AccessInfo(
            name=actor.name,
            role=actor.role.name.lower(),
            default_mode=actor.default_mode,
            scripts=list(actor.scripts),
            expires_at=expires,
        )

    def denied(self, actor: Actor, source: str, subject: str) -> None:
        """Put on record that ``actor`` was refused the operation ``subject`` by its role or its scripts."""
        if self._denials is not None:
            self._denials.note(actor, source, subject, role=actor.role.name.lower())

    def _by_session(self, text: str) -> Actor | None:
        actor = self._sessions.actor_of(text)
        if actor is None or not actor.token:
            return actor
        now = self._tokens.actor_with(actor.token) if self._tokens is not None else None  # None: it has expired since
        return None if now is None else replace(now, role=min(now.role, actor.role))

    def _refused(self, address: str) -> ServiceError:
        if self._denials is not None:
            self._denials.note(Actor("unknown", NO_ACCOUNT, Role.VIEWER), "rest", LOGIN, address=address)
        wait = self._throttle.failed(address)
        if wait is None:
            return unauthorized("This token is not known here, or no longer counts.")
        return ServiceError(
            "throttled",
            f"Too many tokens from {address} were refused within a minute.",
            hint="Correct the token of the program that sends it; then try again.",
            status=429,
            retry_after=wait,
        )


def unauthorized(sentence: str) -> ServiceError:
    """The refusal of a request without credentials that count."""
    hint = "Send one: Authorization: Bearer TOKEN. An administrator makes them: gatewright token create."
    return ServiceError("unauthorized", sentence, hint=hint, status=401)
