"""What a child's self-check proves, said in one line, and whether it is what its zygote promised."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from engine.models.runs import Mode
from engine.sandbox.plan import Level, Plan
from engine.worker.limits import MEMORY_RESERVE, PROCESSES
from engine.worker.namespaces import CONTAINED_KINDS, OWN_TREE_KINDS
from engine.worker.proofs import ALLOWED
from engine.worker.seccomp import MODE_FILTER
from engine.worker.wire import CHECKED_DESCRIPTORS, HELLO, ForkRequest

UMASK = 0o077

FILTERED = {
    "fork": "EPERM",
    "clone": "EPERM",
    "clone3": "ENOSYS",
    "execve": "EPERM",
    "setns": "EPERM",
    "unshare": "EPERM",
    "unshare_user": "EPERM",
    "capset": "EPERM",
    "seccomp": "EPERM",
    "prctl": "EPERM",
    "ptrace": "EPERM",
    "wait": "EPERM",
    "sendmsg": "EPERM",
    "pidfd_open": "EPERM",
    "kill": "EPERM",
    "mount": "EPERM",
    "memfd_create": "EPERM",
    "chmod": "EPERM",
    "fchmod": "EPERM",
    "fchmodat": "EPERM",
    "utime": "EPERM",
    "futimens": "EPERM",
    "utime_device": "EPERM",
    "symlink": "EPERM",
    "link": "EPERM",
    "truncate": "EPERM",
    "chown": "EPERM",
    "mknod": "EPERM",
    "chmod_set_user_id": "EPERM",
    "fchmod_set_user_id": "EPERM",
    "fchmodat_set_group_id": "EPERM",
    "fchmodat2_set_user_id": "EPERM",
    "chmod_open_to_all": "EPERM",
    "fchmod_open_to_all": "EPERM",
    "fchmodat_open_to_all": "EPERM",
    "fchmodat2_open_to_all": "EPERM",
    "open_set_user_id": "EPERM",
    "openat_set_user_id": "EPERM",
    "tmpfile_set_user_id": "EPERM",
    "creat_set_user_id": "EPERM",
    "mkdir_set_group_id": "EPERM",
    "mkdirat_set_group_id": "EPERM",
    "umask": "EPERM",
    "flock_library": "EPERM",
    "record_lock_library": "EPERM",
    "open_file_lock_library": "EPERM",
    "socket_inet": "EACCES",
    "socket_unix": "EACCES",
}
"""What a child under the filters must be answered: exactly these errors, which the call alone would not give."""

UNCHANGED = {
    "chmod": "EROFS",
    "fchmod": "EROFS",
    "fchmodat": "EROFS",
    "utime": "EROFS",
    "futimens": "EROFS",
    "utime_device": "EROFS",
    "symlink": "EROFS",
    "link": "EXDEV",
}
"""What it must be answered instead where the filters leave the files that are not the run's to the view's mounts."""

TRUNCATE = "truncate"
"""The same, but for the answer: the kernel looks at the account's rights to a file before it looks at the mount."""

HIDDEN = ("open_root", "open_host_file", "open_proc", "open_dev", "overwrite_library", "create_outside")
OUT_OF_REACH = {"EACCES", "ENOENT", "EROFS", "EPERM"}
"""What a child must be answered that Landlock or the private view keeps from files."""

UNSEEN = {"stat_host_file": "ENOENT"}
"""What a child in the private view must be answered: Landlock hides neither names nor metadata."""

UNLISTED = {"list_proc": "EACCES"}
"""What a child under Landlock must be answered: the view has the folder, and nothing but Landlock keeps it closed."""

LOCKED = {"lock_own_file": ALLOWED}
"""What a child must be answered where there is a lock broker; without one it is refused as everywhere."""

Dues = Iterator[tuple[str, int, int]]
"""Each: what, what is shown, what is due."""


class Ready(msgspec.Struct, frozen=True):
    """A template's first report. Namespaces are inode numbers, to be held against the engine's own."""

    namespaces: dict[str, int]
    python: str
    size: int
    """Address space that the template itself has mapped."""

    umask: int
    leftovers: int
    """The largest of the limits that forbid what would outlive a run; children inherit them."""

    attempts: dict[str, str]
    """What a child tried and was answered (``engine/worker/proofs.py``)."""


class Hello(NamedTuple):
    """A child's self-check, as ``engine.worker.wire.HELLO`` lays it out."""

    pid: int
    session: int
    no_new_privs: int
    capabilities: bool
    closed_descriptors: int
    seccomp: int
    opened_root: bool
    made_socket: bool
    scratch_device: int
    address_space: int
    cpu: int
    open_files: int
    file_size: int
    processes: int


class UnfitChild(Exception):
    """A self-check is not what was promised; nothing may run behind it. The message says which part."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What every child of one zygote has to show."""

    plan: Plan
    ready: Ready

    @classmethod
    def of(cls, plan: Plan, ready: Ready, *, own_files: bool) -> Promise:
        """Hold a template's report against its plan.

        Args:
            own_files: Its scripts may change modes and times (``Plan.owns_files``).

        Raises:
            UnfitChild: It has less than was planned.
        """
        for kind in _own_kinds(plan):
            if ready.namespaces.get(kind) in (None, own_namespace(kind)):
                raise UnfitChild(f"its {kind} namespace is the engine's")
        if plan.mode is Mode.RESTRICTED:
            _check_attempts(plan, ready.attempts, own_files=own_files)
        return cls(plan, ready)

    def check(self, payload: bytes, request: ForkRequest, scratch_device: int) -> str:
        """Return the isolation line that a HELLO proves.

        Raises:
            UnfitChild: It proves less than was promised.
        """
        if len(payload) != HELLO.size:
            raise UnfitChild("its HELLO has the wrong length")
        hello = Hello(*HELLO.unpack(payload))
        for what, shown, due in self._dues(hello, request, scratch_device):
            if shown != due:
                raise UnfitChild(f"its {what} should be {due} and is {shown}")
        return describe(self.plan)

    def _dues(self, hello: Hello, request: ForkRequest, scratch_device: int) -> Dues:
        yield "number of closed descriptors", hello.closed_descriptors, CHECKED_DESCRIPTORS
        yield "working folder's device", hello.scratch_device, scratch_device
        yield "umask", self.ready.umask, UMASK
        if not self.plan.leaves:
            yield "session", hello.session, hello.pid
        if self.plan.layers.pidns:
            yield "pid", hello.pid, 1
        if self.plan.mode is Mode.RESTRICTED:
            yield from self._restricted_dues(hello, request)

    def _restricted_dues(self, hello: Hello, request: ForkRequest) -> Dues:
        layers = self.plan.layers
        yield "no_new_privs", hello.no_new_privs, 1
        yield "having capabilities", hello.capabilities, False
        yield "limit of what outlives it", self.ready.leftovers, 0
        yield "address space limit", hello.address_space, self.ready.size + request.memory + MEMORY_RESERVE
        yield "processor time limit", hello.cpu, request.cpu
        yield "limit of open files", hello.open_files, request.open_files
        yield "file size limit", hello.file_size, request.scratch
        if layers.userns:
            yield "limit of processes", hello.processes, PROCESSES
        if layers.landlock or layers.view:
            yield "opening of the root folder", hello.opened_root, False
        if layers.seccomp:
            yield "seccomp mode", hello.seccomp, MODE_FILTER
            yield "making of a socket", hello.made_socket, False


def describe(plan: Plan) -> str:
    """The isolation line: the level, what holds, then what does not."""
    layers = plan.layers
    if plan.mode is Mode.ADMIN:
        has = ["userns"] * layers.userns + ["pidns", "tmpfs"] * layers.pidns or ["process"]
        return "; ".join([f"admin: {'+'.join(has)}, no sandbox", *plan.missing])
    contained = ["userns", "pidns", "netns", "ipcns", "tmpfs"] * layers.pidns
    has = [
        *contained,
        *["view"] * layers.view,
        *[f"landlock{layers.landlock}"] * bool(layers.landlock),
        *["seccomp"] * layers.seccomp,
        "rlimits",
    ]
    lacks = [
        *["no userns", "no scratch"] * (not layers.pidns),
        *["no landlock"] * (not layers.landlock),
        *["no seccomp"] * (not layers.seccomp),
        *["no view"] * (layers.pidns and not layers.view),
    ]
    return ", ".join([f"{plan.level}: {'+'.join(has)}", *lacks])


def own_namespace(kind: str) -> int:
    return os.stat(f"/proc/self/ns/{kind}").st_ino


def _own_kinds(plan: Plan) -> tuple[str, ...]:
    kinds = OWN_TREE_KINDS if plan.mode is Mode.ADMIN else CONTAINED_KINDS
    return (*kinds * plan.layers.pidns, *("user",) * plan.layers.userns)


def _check_attempts(plan: Plan, answers: dict[str, str], *, own_files: bool) -> None:
    """Raises UnfitChild if a child could do what the planned layers should deny it."""
    layers = plan.layers
    wanted = {
        **(FILTERED if layers.seccomp else {}),
        **(UNCHANGED if own_files else {}),
        **(LOCKED if layers.locks else {}),
        **(UNSEEN if layers.view else {}),
        **(UNLISTED if layers.landlock else {}),
    }
    if own_files:
        wanted.pop(TRUNCATE, None)
    for name, due in wanted.items():
        if answers.get(name) != due:
            raise UnfitChild(f"a child that tried {name} was answered {answers.get(name)} instead of {due}")
    if plan.level in (Level.FULL, Level.CORE) or layers.view:
        for name in (*HIDDEN, *(TRUNCATE,) * own_files):
            if answers.get(name) not in OUT_OF_REACH:
                raise UnfitChild(f"a child that tried {name} was answered {answers.get(name)}")
