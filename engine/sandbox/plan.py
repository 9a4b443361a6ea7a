"""From what a host can do to the layers that its runs get, and to the level that is promised (DESIGN 4.2).

RESTRICTED needs both halves of the core: files held back, by Landlock that also holds back truncation or by the
private view, and system calls filtered. Where one half is missing it refuses, and says which; ``allow_degraded`` runs
it all the same, and then every result says so. Nothing here ever weakens silently.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from engine.models.permissions import Access
from engine.models.runs import Mode
from engine.sandbox.grants import OpenedGrant
from engine.worker.landlock import TRUNCATES

CONTAINMENT = ("userns", "namespaces", "tmpfs", "pidfd")
"""What a slot of its own namespaces needs."""

DOCTOR = "`gatewright doctor` says what to do."


class Level(StrEnum):
    """What RESTRICTED means on this host. ``core``: all that counts, without a user namespace or without Landlock."""

    FULL = "full"
    CORE = "core"
    DEGRADED = "degraded"
    REFUSED = "refused"


class Findings(msgspec.Struct, frozen=True):
    """What the trials found (``engine/worker/trials.py``): for each name None where it works, else what failed."""

    abi: int
    """Version of Landlock, 0 for none."""
    failures: dict[str, str | None]

    def failure(self, name: str) -> str | None:
        """Why a layer does not work here; None if it does."""
        return self.failures.get(name, "it was not tried")

    def works(self, name: str) -> bool:
        return self.failure(name) is None


class PlannedLayers(msgspec.Struct, frozen=True):
    """Which layers a zygote puts on; the fields are those of ``engine.worker.config.Layers``."""

    userns: bool = False
    pidns: bool = False
    view: bool = False
    landlock: int = 0
    seccomp: bool = False
    locks: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The layers of one mode.

    Attributes:
        missing: What this host lacks, one clause each, most important first.
    """

    mode: Mode
    level: Level
    layers: PlannedLayers
    missing: tuple[str, ...] = ()
    leaves: bool = False
    """What detaches itself from a run goes on after it."""

    def owns_files(self, grants: Iterable[OpenedGrant]) -> bool:
        """Whether a RESTRICTED run with ``grants`` can write to nothing but its own files, by the kernel's mounts.

        Only then may a script change modes and times by path: neither filters nor Landlock see whose file it is.
        """
        writes = any(grant.access is Access.WRITE for grant in grants)
        return self.mode is Mode.RESTRICTED and self.layers.view and not writes

    @property
    def refusal(self) -> str | None:
        """Why nothing may run in this mode, one sentence; None if it may."""
        if self.level is not Level.REFUSED:
            return None
        if self.mode is Mode.ADMIN:
            return f"There are no ADMIN runs here: {'; '.join(self.missing)}."
        return f"RESTRICTED runs need a sandbox that this host does not give: {'; '.join(self.missing)}."

    @property
    def note(self) -> str | None:
        """What its runs lack, one sentence for the record of each; None where nothing does, or nothing may run."""
        if self.level is Level.REFUSED or not self.missing:
            return None
        if self.mode is Mode.ADMIN:
            return f"This host lacks for ADMIN runs: {'; '.join(self.missing)}. {DOCTOR}"
        return f"This host holds scripts at level {self.level}: {', '.join(_lacking(self.layers))}. {DOCTOR}"


def restricted_plan(findings: Findings, *, allow_degraded: bool) -> Plan:
    """The plan for RESTRICTED runs and for the parsing of scripts."""
    works = findings.works
    contained = all(works(name) for name in CONTAINMENT)
    view = contained and works("view")
    landlock = findings.abi if works("landlock") else 0
    counted = landlock if landlock >= TRUNCATES or view else 0
    seccomp = works("seccomp")
    locks = contained and seccomp and works("locks")
    layers = PlannedLayers(
        userns=contained, pidns=contained, view=view, landlock=landlock, seccomp=seccomp, locks=locks
    )
    missing = tuple(_missing(findings, layers))
    if not layers.seccomp or not (counted or view):
        level = Level.DEGRADED if allow_degraded else Level.REFUSED
    elif contained and counted:
        level = Level.FULL
    else:
        level = Level.CORE
    return Plan(Mode.RESTRICTED, level, layers, missing)


def admin_plan(findings: Findings, *, root: bool, admin_as_root: bool) -> Plan:
    """The plan for ADMIN runs: nothing holds them back, but a stop must find all their processes."""
    if root and not admin_as_root:
        why = "the engine runs as root, and policy.admin_as_root is not set in the settings"
        return Plan(Mode.ADMIN, Level.REFUSED, PlannedLayers(), (why,))
    works = findings.works
    if root and works("root_pidns"):
        return Plan(Mode.ADMIN, Level.FULL, PlannedLayers(pidns=True))
    if all(works(name) for name in CONTAINMENT):
        return Plan(Mode.ADMIN, Level.FULL, PlannedLayers(userns=True, pidns=True))
    why = "no pid namespace: what a run starts is looked for and killed at its end, which can miss some"
    shared = "no /dev/shm of their own: what they leave there stays and is not counted"
    return Plan(Mode.ADMIN, Level.DEGRADED, PlannedLayers(), (why, shared))


def _without_locks(layers: PlannedLayers) -> bool:
    """Whether there is a scratch folder, and a filter that keeps its files from being locked."""
    return layers.userns and layers.seccomp and not layers.locks


def leaving_plan(admin: Plan) -> Plan:
    """The plan for ADMIN runs whose script may leave processes: nothing of ours that would end with the run.

    No user namespace either, though it would keep the run out of the account's RESTRICTED ones: set-user-ID programs,
    sudo among them, gain nothing in there, and services are restarted by those.
    """
    if admin.refusal is not None:
        return admin
    why = "no pid namespace: leave_processes in the script's header"
    return Plan(Mode.ADMIN, Level.DEGRADED, PlannedLayers(), (why,), leaves=True)


def _lacking(layers: PlannedLayers) -> list[str]:
    """What is not there, in words and without the reasons."""
    found = []
    if not layers.seccomp:
        found.append("no seccomp filters")
    if not layers.landlock:
        found.append("no Landlock")
    elif layers.landlock < TRUNCATES and not layers.view:
        found.append("no Landlock that keeps files from being truncated")
    if not layers.userns:
        found += ["no user namespace", "no scratch folder"]
    elif not layers.view:
        found.append("no private view of the files, so no chmod, utime or links in the scratch folder")
    if _without_locks(layers):
        found.append("no locks on files, so no SQLite and no dbm")
    return found


def _missing(findings: Findings, layers: PlannedLayers) -> list[str]:
    found = []
    if not layers.seccomp:
        found.append(f"no seccomp ({findings.failure('seccomp')})")
    if not layers.landlock:
        found.append(f"no Landlock ({findings.failure('landlock')})")
    elif layers.landlock < TRUNCATES and not layers.view:
        found.append(f"Landlock {layers.landlock} lets files be truncated, and there is no private view beside it")
    if not layers.userns:
        reason = next((text for name in CONTAINMENT if (text := findings.failure(name))), "")
        found.append(f"no user namespace ({reason})")
    elif not layers.view:
        found.append(f"no private view ({findings.failure('view')})")
    if _without_locks(layers):
        found.append(f"no locks on files ({findings.failure('locks')})")
    return found
