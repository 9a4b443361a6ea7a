"""What the engine tells a slot's launcher on its standard input."""

from __future__ import annotations

from .imports import ImportRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USUAL_MODULES = ("collections", "datetime", "functools", "itertools", "math", "re", "string")
"""Imported ahead: small, and most scripts ask for some of them. Not ``random``, which reseeds itself in every fork."""

ADMIN = "ADMIN"


class Layers:
    """Which layers to put on, as the engine planned them.

    Attributes:
        userns: A user namespace of its own, so that no rights are needed for the others.
        pidns: Mount and pid namespaces; RESTRICTED slots then have network, IPC and host name of their own, too.
        view: The private view.
        landlock: The version of Landlock to use, 0 for none.
        seccomp: Both filters.
        locks: A lock broker. The launcher's program was executed in its user namespace then.
    """

    def __init__(self, *, userns: bool, pidns: bool, view: bool, landlock: int, seccomp: bool, locks: bool) -> None:
        self.userns = userns
        self.pidns = pidns
        self.view = view
        self.landlock = landlock
        self.seccomp = seccomp
        self.locks = locks


class Config:
    """What the engine says. The launcher and the template forget it before the first child is made.

    Attributes:
        control: Descriptor of the control socket.
        line: Descriptor of the page for lines that are begun (``wire.OPEN_LINE``).
        engine: The engine's pid: if it is no longer the parent, it has died already.
        scratch: The folder to mount, or make, the scratch in.
        shm_size: Bytes of the ``/dev/shm`` of its own that an ADMIN slot gets.
        mode: ``RESTRICTED`` or ``ADMIN``.
        leaves: What detaches itself from an ADMIN run stays.
        preloads: Modules to import ahead.
        grants: Approved paths: access, path, device and inode of each.
        own_files: Nothing but a run's own files can be written to, so scripts get chmod, utime and links.
        scripts: The folder that scripts lie in.
        prefix: The environment's folder.
        packages: The folder of its packages.
        seeds: The folder of what its packages have made for all runs; nothing where they have not.
        rule: The import rule of scripts as arguments of ``ImportRule``; None for none.
    """

    def __init__(
        self,
        *,
        control: int,
        line: int,
        engine: int,
        scratch: str,
        scratch_size: int,
        scratch_inodes: int,
        shm_size: int,
        mode: str,
        leaves: bool,
        layers: dict[str, Any],
        preloads: list[str],
        grants: list[tuple[str, str, int, int]],
        own_files: bool,
        scripts: str,
        prefix: str,
        packages: str,
        seeds: str,
        rule: dict[str, Any] | None,
    ) -> None:
        self.control = control
        self.line = line
        self.engine = engine
        self.scratch = scratch
        self.scratch_size = scratch_size
        self.scratch_inodes = scratch_inodes
        self.shm_size = shm_size
        self.admin = mode == ADMIN
        self.leaves = leaves
        self.layers = Layers(**layers)
        self.preloads = preloads
        self.grants = grants
        self.own_files = own_files
        self.scripts = scripts
        self.prefix = prefix
        self.packages = packages
        self.seeds = seeds
        self.rule = None
        if rule is not None:
            allowed, lifted = frozenset(rule["allowed"]), frozenset(rule["lifted"])
            self.rule = ImportRule(rule["mode"], allowed, lifted, rule["preset"])
