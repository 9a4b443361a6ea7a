"""Find out who calls: an account by what the kernel says of it, a token by its text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.models.access import AccessInfo
from engine.registry.access import ACCESS_SELF
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.accounts import AccountNames
from engine.services.denials import Denials
from engine.services.operations import Row, implements, phrase
from engine.services.roles import AccountRoles
from engine.services.sessions import Sessions
from engine.services.throttle import LoginThrottle, origin_of
from engine.services.tokens import TokenService
from engine.sockets import Peer

LOGIN = "login from {address}"
"""What a refused login is called in the audit, in place of an operation."""

RECORD_EVERY = 60.0
"""Seconds."""

MOST_PEERS = 1024
"""Accounts with their groups whose actor is remembered."""

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
        names: AccountNames | None = None,
        shared_settings: Path | None = None,
    ) -> None:
        """Begin with no roles.

        Args:
            owner: The project's.
            tokens: None where there are none.
            denials: Puts refusals on record.
            sessions: Of callers.
            throttle: Of refused logins.
            names: Of accounts.
            shared_settings: The file that gives roles, where the project is shared.
        """
        self._owner = owner
        self._tokens = tokens
        self._denials = denials
        self._sessions = sessions or Sessions()
        self._throttle = throttle or LoginThrottle()
        self._shared_settings = shared_settings
        self._names = names or AccountNames()
        self._names.note(owner.uid, owner.name)
        self._roles = AccountRoles()
        self._changes = 0
        self._peers: dict[tuple[int, int, tuple[int, ...]], Actor] = {}

    def use_roles(self, roles: AccountRoles) -> bool:
        """Give accounts these roles from now on; return whether they differ from those before.

        Sessions of accounts end when they do.
        """
        for uid, name in roles.names.items():
            self._names.note(uid, name)
        if roles == self._roles:
            return False
        self._roles = roles
        self._changes += 1
        self._peers.clear()
        self._sessions.end_of_accounts()
        return True

    def knows(self, peer: Peer) -> bool:
        """Whether the account of a peer is known by name."""
        return self._names.known(peer.uid)

    async def learn(self, peer: Peer) -> None:
        """Look up the name of a peer's account, for two seconds at most; without it, it is called by its uid."""
        await self._names.learn(peer.uid)

    def by_peer(self, peer: Peer) -> Actor:
        """Return the actor of an account at the other end of a unix socket. The owner and root are administrators.

        Root could become the owner at any time: to refuse it would only hide what it does.

        Raises:
            ServiceError: ``forbidden``: it has no role here.
        """
        if peer.uid == self._owner.uid:
            return self._owner
        key = peer.uid, peer.gid, peer.groups
        actor = self._peers.get(key)
        if actor is not None:
            return actor
        role = Role.ADMIN if peer.uid == 0 else self._roles.of(peer)
        if role is None:
            raise self._stranger(peer)
        actor = Actor(name=self._names.of(peer.uid), uid=peer.uid, role=role)
        if self._names.known(peer.uid):  # its name may still come
            if len(self._peers) >= MOST_PEERS:
                self._peers.clear()
            self._peers[key] = actor
        return actor

    def by_token(self, text: str, address: str, peer: Peer | None = None) -> Actor:
        """Return the actor of a token, or of a session, that was sent from ``address``.

        One that counts is let in whatever else came from that address. An account's session counts for that account
        on a unix socket alone: over TCP there are no accounts.

        Args:
            text: What was sent.
            address: Where a TCP connection comes from; empty on a unix socket.
            peer: The account at the other end of a unix socket.

        Raises:
            ServiceError: ``unauthorized``: there is no such token, or none that counts now; ``throttled``: so many
                from this address were refused in the last minute that this one is, too.
        """
        actor = self._tokens.actor_of(text) if self._tokens is not None else None
        if actor is None:
            actor = self._by_session(text, peer)
        if actor is None:
            raise self._refused(text, origin_of(address) or HERE)
        return actor

    def while_counts(self, actor: Actor) -> Callable[[], bool] | None:
        """Return what tells whether ``actor`` may still do what it may now: for answers that go on for long.

        None: it always may.
        """
        if actor.token:
            return lambda: self._tokens is not None and self._tokens.actor_with(actor.token) is not None
        changes = self._changes
        return None if actor.uid in (self._owner.uid, 0) else lambda: changes == self._changes

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

    def denied(self, refusal: ServiceError, source: str, operation: Row) -> None:
        """Put on record that the caller whom ``refusal`` names was refused an operation by its role or its scripts."""
        if self._denials is not None and refusal.denied is not None:
            detail = {
                "what": phrase(operation.summary),
                "role": refusal.denied.role.name.lower(),
                "needs": operation.role,
                **refusal.denial,
            }
            self._denials.note(refusal.denied, source, operation.name, **detail)

    def _by_session(self, text: str, peer: Peer | None) -> Actor | None:
        actor = self._sessions.actor_of(text)
        if actor is None:
            return None
        if not actor.token:
            return actor if peer is not None and peer.uid == actor.uid else None
        now = self._tokens.actor_with(actor.token) if self._tokens is not None else None  # None: it is over
        return now if now is None or now.role <= actor.role else replace(now, role=actor.role)

    def _stranger(self, peer: Peer) -> ServiceError:
        """The refusal of an account without a role, which says whom to ask."""
        actor = Actor(self._names.of(peer.uid), peer.uid, Role.VIEWER)
        owner = self._owner.name
        if self._shared_settings is not None:
            sentence = f"{actor.name} has no role in this shared project, which belongs to {owner}."
            hint = f"Ask an administrator of this host, who gives roles in {self._shared_settings} under [access]."
        elif self._roles.none:
            sentence = f"This project belongs to {owner}; other accounts have no access to its engine."
            hint = f"Ask {owner}, or make a project of your own: gatewright init FOLDER"
        else:
            sentence = f"{actor.name} has no role in this project, which belongs to {owner}."
            hint = f"Ask for one: {', '.join(self._roles.admins[:5]) or owner}."
        return ServiceError("forbidden", sentence, hint=hint, status=403, denied=actor, denial={"role": "none"})

    def _refused(self, text: str, address: str) -> ServiceError:
        """The refusal of a text. Who has a token's secret may know what became of it; its id alone tells nothing."""
        ended = self._tokens.ended(text) if self._tokens is not None else None
        if self._denials is not None:
            told = {} if ended is None else {"token": ended.name, "why": ended.why}
            self._denials.note(Actor("unknown", NO_ACCOUNT, Role.VIEWER), "rest", LOGIN.format(address=address), **told)
        wait = self._throttle.failed(address)
        if wait is None and ended is not None:
            was = "expired" if ended.why == "expired" else "was revoked"
            moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ended.at))
            return unauthorized(f"The token {ended.name} {was} at {moment}.")
        if wait is None:
            return unauthorized("This token is not known here, or no longer counts.")
        return ServiceError(
            "throttled",
            f"Too many tokens from {address} were refused within a minute.",
            hint="Correct the token of the program that sends it; then try again.",
            status=429,
            retry_after=wait,
        )


async def keep_records(tokens: TokenService, denials: Denials) -> None:
    """Write what is counted in memory, every ``RECORD_EVERY`` seconds until cancelled."""
    while True:
        await asyncio.sleep(RECORD_EVERY)
        denials.settle()
        await tokens.note_used()


def unauthorized(sentence: str) -> ServiceError:
    """The refusal of a request without credentials that count."""
    hint = "Send one: Authorization: Bearer TOKEN. An administrator makes them: gatewright token create."
    return ServiceError("unauthorized", sentence, hint=hint, status=401)
