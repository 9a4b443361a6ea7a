"""The layers of the sandbox, one finding each: what was tried, what it protects, how to get it where it is missing."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engine.doctor import remedies
from engine.doctor.finding import Finding, Severity
from engine.doctor.remedies import HostSystem

TRUNCATES = 3
"""The first Landlock ABI that holds back truncation."""

LACKS = (
    (2, "moving files between folders"),
    (TRUNCATES, "truncating files that may be read"),
    (4, "TCP"),
    (5, "device ioctls"),
    (6, "signals and abstract sockets"),
    (7, "keeping refusals out of the audit log"),
)
"""What each ABI was the first to handle (Documentation/userspace-api/landlock.rst)."""


@dataclass(frozen=True)
class LayerTrials:
    """What the trials found, and where.

    Attributes:
        abi: Landlock's version, 0 for none.
        failures: Per trial None if it went well, else what failed.
        interpreter: The scripts' interpreter, which made the trials.
        uid: The account that made them, which is the engine's.
    """

    abi: int
    failures: Mapping[str, str | None]
    interpreter: Path
    uid: int
    host: HostSystem = field(default_factory=HostSystem)


@dataclass(frozen=True)
class Layer:
    """One that works or does not. ``trial`` is its name in the report of the trials."""

    name: str
    trial: str
    tried: str
    protects: str
    works: Callable[[LayerTrials], str]
    remedy: Callable[[LayerTrials], str]
    missing: Severity = Severity.WARN

    def finding(self, examined: LayerTrials) -> Finding:
        failure = examined.failures.get(self.trial, "it was not tried")
        works = failure is None
        return Finding(
            level=Severity.OK if works else self.missing,
            tried=self.tried,
            found=self.works(examined) if works else failure or "",
            advice="" if works else self.remedy(examined),
            layer=self.name,
            protects=self.protects,
        )


def _namespaces(examined: LayerTrials) -> str:
    return remedies.for_namespaces(examined.host, examined.interpreter)


def _locks(examined: LayerTrials) -> str:
    if any(examined.failures.get(trial) for trial in ("userns", "namespaces", "tmpfs")):
        return _namespaces(examined)
    return (
        "Use Linux 5.6 or later; in a container, one whose filter permits pidfd_getfd and process_vm_readv and has no "
        "listener of its own (SECCOMP_FILTER_FLAG_NEW_LISTENER)."
    )


def _landlock_found(examined: LayerTrials) -> str:
    lacks = [what for version, what in LACKS if examined.abi < version]
    return f"ABI {examined.abi}" + (f", which does not handle {', '.join(lacks)}" if lacks else "")


def _limits_found(examined: LayerTrials) -> str:
    if examined.uid == 0:
        return "hold; but the kernel does not count root's processes (RLIMIT_NPROC), so those are left to seccomp"
    return "hold"


LAYERS = (
    Layer(
        name="user namespace",
        trial="userns",
        tried="a user namespace with its id map",
        protects="Lets an ordinary account build the next three walls, and leaves root no right outside them.",
        works=lambda _: "a process can have its own",
        remedy=_namespaces,
    ),
    Layer(
        name="namespaces",
        trial="namespaces",
        tried="mount, pid, net, ipc and uts namespaces, and a pid namespace for each run",
        protects="Hides other processes and the network from scripts; the end of a run ends all that it started.",
        works=lambda _: "a process can have its own, and its children theirs",
        remedy=_namespaces,
    ),
    Layer(
        name="private view",
        trial="view",
        tried="a root folder of read-only binds, entered by pivot_root",
        protects="Hides the host's files, names and sockets; only behind it may scripts chmod and link their own.",
        works=lambda _: "holds: nothing else can be opened, nothing can be written",
        remedy=_namespaces,
    ),
    Layer(
        name="scratch",
        trial="tmpfs",
        tried="a tmpfs of a bounded size",
        protects="Bounds the files of a run and leaves none of them to the next.",
        works=lambda _: "can be mounted",
        remedy=_namespaces,
    ),
    Layer(
        name="Landlock",
        trial="landlock",
        tried="a Landlock ruleset that is enforced",
        protects="Keeps the host's files from scripts, whatever path leads to them.",
        works=_landlock_found,
        remedy=lambda examined: remedies.for_landlock(examined.host),
    ),
    Layer(
        name="seccomp",
        trial="seccomp",
        tried="both seccomp filters of a run, and a fork against them",
        protects="Denies new processes, sockets and most of the kernel's surface; nothing replaces it.",
        works=lambda _: "hold",
        remedy=lambda _: remedies.for_seccomp(platform.machine()),
        missing=Severity.FAIL,
    ),
    Layer(
        name="capabilities",
        trial="capabilities",
        tried="giving up every capability",
        protects="Leaves scripts none of root's rights, even in their own namespaces.",
        works=lambda _: "none is left",
        remedy=lambda _: "A security module forbids capset(2) to the engine: allow it.",
        missing=Severity.FAIL,
    ),
    Layer(
        name="rlimits",
        trial="rlimits",
        tried="limits of memory, open files and file size, each exceeded",
        protects="Bounds what one run can take from the gateway.",
        works=_limits_found,
        remedy=lambda _: "Raise the hard limits of the engine's account: they are below what runs are given.",
        missing=Severity.FAIL,
    ),
    Layer(
        name="pidfd",
        trial="pidfd",
        tried="a descriptor of a process",
        protects="Lets a stop hit the process that is meant, never one that got its number later.",
        works=lambda _: "can be had",
        remedy=lambda _: "Use Linux 5.3 or later, or a container filter that permits pidfd_open.",
        missing=Severity.FAIL,
    ),
    Layer(
        name="file locks",
        trial="locks",
        tried="locks on files in scratch, and one on a file elsewhere, answered from outside of the sandbox",
        protects="Lets SQLite, dbm and shelve work with a script's own files, and keeps the host's from being locked.",
        works=lambda _: "are granted in scratch and refused elsewhere",
        remedy=_locks,
    ),
)


def examine(examined: LayerTrials) -> Iterator[Finding]:
    """One cause, one advice: what has been said of an earlier layer is only pointed to."""
    said: dict[str, str] = {}
    for layer in LAYERS:
        finding = _truncation_noted(layer.finding(examined), examined)
        if finding.advice in said:
            finding = msgspec.structs.replace(finding, advice=f"As for the {said[finding.advice]}.")
        elif finding.advice:
            said[finding.advice] = layer.name
        yield finding


def _truncation_noted(finding: Finding, examined: LayerTrials) -> Finding:
    """Landlock below that ABI works, and is not enough by itself."""
    if finding.layer != "Landlock" or finding.level is not Severity.OK or examined.abi >= TRUNCATES:
        return finding
    found = f"{finding.found}; counts only together with the private view"
    return msgspec.structs.replace(finding, level=Severity.WARN, found=found, advice=remedies.for_truncation())
