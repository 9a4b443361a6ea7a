"""Named gateways of a user: where each is, which token and authorities are for it, and which groups it is in.

They stand in ``gateways.toml`` in the user's settings folder (XDG Base Directory Specification), in no project::

    [gateways.gw-01]
    url = "https://gw-01:9089"
    token_file = "~/.config/gatewright/gw-01.token"
    ca_file = "/etc/pki/plant-ca.pem"
    groups = ["plant-b"]

    [gateways.here]
    project = "/srv/plant-a"

A gateway is at a ``url``, in a ``project`` of this host (a folder, or ``@ID`` of a shared one), or behind a ``socket``,
such as one that ssh(1) forwards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.client.starter import LaunchError

if TYPE_CHECKING:
    from engine.client.target import Target

FILE = "gateways.toml"


@dataclass(frozen=True, slots=True)
class Gateway:
    """One entry of the file.

    Attributes:
        name: What the user calls it.
        groups: Names of groups, without ``@``.
    """

    name: str
    url: str = ""
    token_file: str = ""
    ca_file: str = ""
    project: str = ""
    socket: str = ""
    groups: tuple[str, ...] = ()

    def target(self) -> Target:
        """Return how it is reached.

        Raises:
            LaunchError: What is written there names nothing that could be reached.
        """
        raise LaunchError(f"{self.name} cannot be reached yet.")


@dataclass(frozen=True, slots=True)
class Gateways:
    """The file as it was read.

    Attributes:
        path: Where it is, or would be.
    """

    path: Path
    by_name: Mapping[str, Gateway]

    @classmethod
    def load(cls, path: Path | None = None) -> Gateways:
        """Read the user's file; without one there are no gateways.

        Raises:
            LaunchError: It cannot be read or is wrong: the sentence names file, gateway, key and the nearest valid one.
        """
        return cls(path or settings_file(), {})

    def get(self, name: str) -> Gateway:
        """Return the gateway of that name.

        Raises:
            LaunchError: There is none; the hint names the nearest.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise LaunchError(f"There is no gateway {name!r} in {self.path}.", exit_code=2) from None

    def chosen(self, selection: str) -> list[Gateway]:
        """Return those that ``NAME,NAME|@group`` names, each once, in the order of the file.

        Raises:
            LaunchError: A name or a group is not there, or nothing is chosen.
        """
        return [self.get(name) for name in selection.split(",")]


def settings_file() -> Path:
    """Return where the user's gateways are written."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "gatewright" / FILE
