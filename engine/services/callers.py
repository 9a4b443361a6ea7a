"""Find out who calls: an account by what the kernel says of it, a token by its text."""

from __future__ import annotations

from engine.services.access import Actor, ServiceError
from engine.sockets import Peer


class Callers:
    """Knows the actors of one project."""

    def __init__(self, owner: Actor) -> None:
        self._owner = owner

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

    def by_token(self, text: str, address: str) -> Actor:  # noqa: ARG002 - no tokens yet
        """Return the actor of a token that was sent from ``address``.

        Raises:
            ServiceError: ``unauthorized``: there is no such token, or none that counts now.
        """
        raise unauthorized("This token is not known here.")


def unauthorized(sentence: str) -> ServiceError:
    """The refusal of a request without credentials that count."""
    hint = "Send one: Authorization: Bearer TOKEN. An administrator makes them: gatewright token create."
    return ServiceError("unauthorized", sentence, hint=hint, status=401)
