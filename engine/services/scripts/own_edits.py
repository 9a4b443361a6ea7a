"""Leases under which an administrator's own edits of one script have its permissions for some minutes.

A lease is one console's, for one script and one set of permissions. It counts for exactly one text: the one that was
looked at when it began, and from then on each one that this console itself saved over it. Everything else that happens
to the script ends it. It is kept in memory only, is over by a clock that nobody can set, and ends soon after its
console has fallen silent. Nothing is approved for anybody else by it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from engine.models.permissions import Grant
from engine.models.shared import SharedFile
from engine.services.access import Actor, Role, ServiceError

LASTS = 900.0
"""Seconds from its beginning; nothing makes them more."""

HEARD_FOR = 12.0
"""Seconds that it outlives its console's last word."""

MOST = 16
"""Leases at one time, and ended ones whose reason is still told."""

Fixed = tuple[str, bool]
"""Where a permission leads: the canonical path, and whether a folder is there."""


@dataclass(slots=True)
class Lease:
    """One console's leave to run its own edits of one script.

    Attributes:
        token: Known to that console alone.
        sha256: Of the text that it counts for.
        permitted: By what is asked for, as written, where it led when it was looked at.
        shared: The shared code that was looked at with it; edits of that are not the script's.
        until: When it is over, by the monotonic clock.
        heard: When its console was heard of last.
        saving: The hash of a text that the console is about to save.
    """

    token: str
    actor: Actor
    script: str
    sha256: str
    permitted: Mapping[Grant, Fixed]
    shared: Collection[SharedFile]
    until: float
    heard: float
    saving: str | None = None

    @property
    def texts(self) -> set[str | None]:
        """Hashes that the script's file may have now."""
        return {self.sha256, self.saving} - {None}


class OwnEdit(NamedTuple):
    """What a request shows for being its console's: the token of its lease, empty without one, and who asks."""

    token: str
    actor: Actor


def _tell_nobody(lease: Lease, action: str, detail: Mapping[str, object]) -> None:
    """Stand in for who hears of leases."""


class EditLeases:
    """All leases of an engine. From the event loop only.

    Args:
        now: A clock that nobody can set.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._leases: dict[str, Lease] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self.tell: Callable[[Lease, str, Mapping[str, object]], None] = _tell_nobody
        """Hears of everything that becomes of a lease: ``begin``, ``save``, ``use``, ``end``."""

    def begin(
        self,
        actor: Actor,
        script: str,
        sha256: str,
        permitted: Mapping[Grant, Fixed],
        shared: Collection[SharedFile] = (),
    ) -> Lease:
        """Raises ``too_many``."""
        self._expire_all()
        if len(self._leases) >= MOST:
            raise ServiceError("too_many", f"There are {MOST} such approvals already; end one first.", status=429)
        now = self._now()
        lease = Lease(secrets.token_urlsafe(24), actor, script, sha256, permitted, shared, now + LASTS, now)
        self._leases[lease.token] = lease
        self.tell(lease, "begin", {"seconds": LASTS})
        return lease

    def renew(self, edit: OwnEdit) -> Lease:
        """The console is still there. Raises ``edits_over``, with the reason."""
        lease = self._of(edit)
        if lease is None:
            why = self._ended.get(edit.token, "it is not known to this engine")
            raise ServiceError("edits_over", f"Your own edits no longer have permissions: {why}.", status=409)
        lease.heard = self._now()
        return lease

    def end(self, lease: Lease, why: str) -> None:
        """``why`` completes "Your own edits no longer have permissions: …"."""
        if self._leases.pop(lease.token, None) is None:
            return
        self._ended[lease.token] = why
        if len(self._ended) > MOST:
            self._ended.popitem(last=False)
        self.tell(lease, "end", {"reason": why})

    def end_all(self, script: str, why: str) -> None:
        for lease in self._of_script(script):
            self.end(lease, why)

    def left(self, lease: Lease) -> float:
        """Seconds until it is over if its console is not heard of again; 0 when it is."""
        if self._leases.get(lease.token) is not lease:
            return 0.0
        return max(0.0, min(lease.until, lease.heard + HEARD_FOR) - self._now())

    def remaining(self, lease: Lease) -> float:
        """Seconds until it is over whatever its console does."""
        return max(0.0, lease.until - self._now())

    def expire(self, lease: Lease) -> None:
        """End it if its time is over."""
        if self.left(lease) <= 0:
            over = self.remaining(lease) <= 0
            self.end(lease, "their time is over" if over else "the console that they are made in fell silent")

    def found(self, lease: Lease, sha256: str | None, known: Collection[str | None] = ()) -> None:
        """A look at the script's file found a text, or none.

        Args:
            lease: For that script.
            sha256: Of the text.
            known: What the file might have held when the look began.
        """
        if sha256 not in lease.texts and sha256 not in known:
            gone = sha256 is None
            self.end(lease, "the script is gone" if gone else "the script was changed by other than your own saves")

    def is_elsewhere(self, edit: OwnEdit, script: str) -> bool:
        """Whether another client of the account that asks has a lease for a script."""
        return any(
            lease.actor.identity == edit.actor.identity and lease.token != edit.token
            for lease in self._of_script(script)
            if self.left(lease) > 0
        )

    def permitted(
        self,
        edit: OwnEdit,
        script: str,
        sha256: str,
        asked: Collection[Grant],
        shared: Collection[SharedFile] = (),
    ) -> list[Fixed] | None:
        """Where the permissions ``asked`` for lead, if the lease of ``edit`` lets a run of these texts have them."""
        lease = self._of(edit)
        if lease is None or lease.script != script:
            return None
        if sha256 != lease.sha256 or not lease.permitted.keys() >= set(asked):
            return None
        if any(file not in lease.shared for file in shared):
            return None
        self.tell(lease, "use", {})
        return [lease.permitted[grant] for grant in asked]

    @contextmanager
    def saving(
        self, edit: OwnEdit, script: str, base: str | None, data: bytes, asked: Collection[Grant]
    ) -> Iterator[None]:
        """Whatever saves a script does it within this.

        Args:
            edit: Of the request that saves.
            script: Its path.
            base: The hash of the text that is replaced.
            data: The new text.
            asked: The permissions that the new text asks for.
        """
        digest = hashlib.sha256(data).hexdigest()
        own = self._of(edit)
        if own is not None and own.script == script and own.sha256 == base:
            own.saving = digest
        else:
            own = None
        try:
            yield
        except BaseException:
            if own is not None:
                own.saving = None
            raise
        for lease in self._of_script(script):
            if lease is not own:
                self.found(lease, digest)
        if own is not None:
            own.saving = None
            self._saved(own, digest, asked)

    def _saved(self, lease: Lease, digest: str, asked: Collection[Grant]) -> None:
        lease.sha256 = digest
        if not lease.permitted.keys() >= set(asked):
            self.end(lease, "the script asks for more than was approved")
        else:
            self.tell(lease, "save", {})

    def _of(self, edit: OwnEdit) -> Lease | None:
        """The lease that a request may use: its token's, its account's, and not over."""
        lease = self._leases.get(edit.token)
        if lease is None or lease.actor.identity != edit.actor.identity or edit.actor.role < Role.ADMIN:
            return None
        self.expire(lease)
        return self._leases.get(edit.token)

    def _of_script(self, script: str) -> list[Lease]:
        return [lease for lease in self._leases.values() if lease.script == script]

    def _expire_all(self) -> None:
        for lease in list(self._leases.values()):
            self.expire(lease)
