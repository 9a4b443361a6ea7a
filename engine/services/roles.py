"""The roles of accounts, by what the kernel says of a peer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.services.access import Role
from engine.sockets import Peer


@dataclass(frozen=True, slots=True)
class AccountRoles:
    """Roles by ids, so that no request waits for a directory of names.

    Attributes:
        accounts: By uid.
        groups: By gid.
        names: Of the accounts, by uid.
        admins: As the settings name them; for those who ask whom to ask.
    """

    accounts: Mapping[int, Role] = field(default_factory=dict)
    groups: Mapping[int, Role] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    admins: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        """No account but the owner has a role."""
        return not self.accounts and not self.groups

    def of(self, peer: Peer) -> Role | None:
        """Return the highest role that a peer has by its account, its primary group or one of its groups."""
        found = [self.groups[gid] for gid in {peer.gid, *peer.groups} if gid in self.groups]
        if peer.uid in self.accounts:
            found.append(self.accounts[peer.uid])
        return max(found, default=None)
