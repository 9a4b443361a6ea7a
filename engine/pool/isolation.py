"""What a child's self-check proves, said in one line, and whether it is what its zygote promised."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from engine.pool.order import Order
from engine.worker.limits import MEMORY_RESERVE, PROCESSES
from engine.worker.wire import HELLO

NOT_YET = ("landlock", "seccomp", "netns")
"""Layers that runs do not have: said with every result, so that nobody takes them for granted."""

UMASK = 0o077
OPEN_DESCRIPTORS = 4


class Ready(msgspec.Struct, frozen=True):
    """A template's first report. Namespaces are inode numbers, to be held against the engine's own."""

    user: int
    pid: int
    mnt: int
    no_namespaces: str | None
    python: str
    size: int
    """Address space that the template itself has mapped."""

    umask: int
    leftovers: int
    """The largest of the limits that forbid what would outlive a run; children inherit them."""


class Hello(NamedTuple):
    """A child's self-check, as ``engine.worker.wire.HELLO`` lays it out."""

    pid: int
    session: int
    no_new_privs: int
    capabilities: bool
    descriptors: int
    scratch_device: int
    address_space: int
    cpu: int
    open_files: int
    file_size: int
    processes: int


class UnfitChild(Exception):
    """A child's self-check is not what was promised; it must not run anything. The message says which part."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What every child of one zygote has to show."""

    ready: Ready
    contained: bool
    """In user, mount and pid namespaces that are not the engine's."""

    @classmethod
    def of(cls, ready: Ready) -> Promise:
        """Hold a template's report against the engine's own namespaces."""
        kinds = {"user": ready.user, "pid": ready.pid, "mnt": ready.mnt}
        return cls(ready, all(inode != own_namespace(kind) for kind, inode in kinds.items()))

    def check(self, payload: bytes, order: Order, scratch_device: int) -> str:
        """Return the isolation line that a HELLO proves.

        Raises:
            UnfitChild: It proves less than was promised.
        """
        if len(payload) != HELLO.size:
            raise UnfitChild("its HELLO has the wrong length")
        hello = Hello(*HELLO.unpack(payload))
        for what, shown, due in self._dues(hello, order, scratch_device):
            if shown != due:
                raise UnfitChild(f"its {what} should be {due} and is {shown}")
        return describe(self.contained)

    def _dues(self, hello: Hello, order: Order, scratch_device: int) -> list[tuple[str, int, int]]:
        dues = [
            ("no_new_privs", hello.no_new_privs, 1),
            ("having capabilities", hello.capabilities, False),
            ("number of open descriptors", hello.descriptors, OPEN_DESCRIPTORS),
            ("working folder's device", hello.scratch_device, scratch_device),
            ("umask", self.ready.umask, UMASK),
            ("limit of what outlives it", self.ready.leftovers, 0),
            ("session", hello.session, hello.pid),
            ("address space limit", hello.address_space, self.ready.size + order.memory + MEMORY_RESERVE),
            ("processor time limit", hello.cpu, order.cpu),
            ("limit of open files", hello.open_files, order.open_files),
            ("file size limit", hello.file_size, order.scratch),
        ]
        if self.contained:
            dues += [("pid", hello.pid, 1), ("limit of processes", hello.processes, PROCESSES)]
        return dues


def describe(contained: bool) -> str:
    """The isolation line: what holds, then what does not."""
    has = ["process", "userns", "pidns", "tmpfs", "rlimits"] if contained else ["process", "rlimits"]
    lacks = [*(() if contained else ("userns", "pidns", "tmpfs")), *NOT_YET]
    return f"{'+'.join(has)}, {', '.join(f'no {name}' for name in lacks)}"


def own_namespace(kind: str) -> int:
    return os.stat(f"/proc/self/ns/{kind}").st_ino
