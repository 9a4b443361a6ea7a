"""What a host gives to this process, found out by trying and printed as JSON; for the tests of emulated hosts.

Each trial is a process of its own. Its answer is a number that the call gave, or the name of the error.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys
import tempfile
from collections.abc import Callable

CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET = 0x1000_0000, 0x2_0000, 0x4000_0000
SIGCHLD = 17
CLONE, UNSHARE, CLONE3, PRCTL, SECCOMP = 56, 272, 435, 157, 317
CREATE, ADD, RESTRICT = 444, 445, 446
PIDFD_OPEN, CLOSE_RANGE = 434, 436
CLONE_NEWPID = 0x2000_0000
ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF_0000)

libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    given = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    answer = int(libc.syscall(ctypes.c_long(number), *given))
    if answer < 0:
        raise OSError(ctypes.get_errno(), "")
    return answer


def new_user_namespace(more: int = 0) -> int:
    return call(UNSHARE, CLONE_NEWUSER | more)


def cloned_into_one() -> int:
    pid = call(CLONE, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return 0


def clone3() -> int:
    """EINVAL for an empty request where the call exists."""
    return call(CLONE3, None, 0)


def mounted(kind: bytes = b"tmpfs", more: int = 0) -> int:
    uid = os.geteuid()
    new_user_namespace(CLONE_NEWNS | more)
    with open("/proc/self/uid_map", "w") as table:
        table.write(f"{uid} {uid} 1")
    folder = tempfile.mkdtemp()
    try:
        pid = os.fork()  # the first process of a new pid namespace, if there is one
        if pid == 0:
            os._exit(ctypes.get_errno() if libc.mount(kind, folder.encode(), kind, 0, None) else 0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            raise OSError(code, "")
        libc.umount2(folder.encode(), 2)
    finally:
        os.rmdir(folder)
    return 0


def ruleset(*fields: int, size: int | None = None, flags: int = 0) -> int:
    content = struct.pack(f"={len(fields)}Q", *fields)
    attributes = ctypes.create_string_buffer(content, len(content))
    return min(call(CREATE, attributes, len(content) if size is None else size, flags), 0)


def undumpable_ruleset() -> int:
    libc.prctl(4, 0, 0, 0, 0)
    return ruleset(1 << 14)


def kept_from_listing() -> int:
    """0 if a ruleset of the first version's rights is enforced; 1 if a folder opens nevertheless."""
    fields = ctypes.create_string_buffer(struct.pack("=Q", 0x1FFF), 8)
    fd = call(CREATE, fields, 8, 0)
    libc.prctl(38, 1, 0, 0, 0)
    call(RESTRICT, fd, 0)
    try:
        os.listdir("/")
    except PermissionError:
        return 0
    return 1


def port_rule() -> int:
    fd = call(CREATE, ctypes.create_string_buffer(struct.pack("=QQ", 1, 3), 16), 16, 0)
    return call(ADD, fd, 2, ctypes.create_string_buffer(struct.pack("=QQ", 1, 80), 16), 0)


def quiet_restriction() -> int:
    fd = call(CREATE, ctypes.create_string_buffer(struct.pack("=Q", 1), 8), 8, 0)
    libc.prctl(38, 1, 0, 0, 0)
    return call(RESTRICT, fd, 1)


def filtered(by_prctl: bool = False) -> int:
    code = ctypes.create_string_buffer(ALLOW_ALL, 8)
    program = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(code)))
    libc.prctl(38, 1, 0, 0, 0)
    return call(PRCTL, 22, 2, program, 0, 0) if by_prctl else call(SECCOMP, 1, 0, program)


TRIALS: dict[str, Callable[[], int]] = {
    "userns": new_user_namespace,
    "userns_by_clone": cloned_into_one,
    "clone3": clone3,
    "netns": lambda: new_user_namespace(CLONE_NEWNET),
    "mount": mounted,
    "proc": lambda: mounted(b"proc", CLONE_NEWPID),
    "landlock": lambda: call(CREATE, None, 0, 1),
    "landlock_bad_flag": lambda: ruleset(1, flags=1 << 20),
    "landlock_short": lambda: ruleset(1, size=4),
    "landlock_rights_1": lambda: ruleset(0x1FFF),
    "landlock_refer": lambda: ruleset(1 << 13),
    "landlock_truncate": lambda: ruleset(1 << 14),
    "landlock_truncate_undumpable": undumpable_ruleset,
    "landlock_net": lambda: ruleset(1, 1),
    "landlock_ioctl": lambda: ruleset(1 << 15),
    "landlock_scope": lambda: ruleset(1, 0, 1),
    "landlock_no_scope": lambda: ruleset(1, 0, 0),
    "landlock_holds": kept_from_listing,
    "landlock_port_rule": port_rule,
    "landlock_quiet": quiet_restriction,
    "pidfd": lambda: min(call(PIDFD_OPEN, os.getpid(), 0), 0),
    "close_range": lambda: call(CLOSE_RANGE, 3_000_000, 3_000_001, 0),
    "seccomp": filtered,
    "seccomp_by_prctl": lambda: filtered(by_prctl=True),
}


def tried(trial: Callable[[], int]) -> int | str:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer: int | str = trial()
        except OSError as error:
            answer = errno.errorcode[error.errno or 0]
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = json.loads(pipe.read() or b'"died"')
    os.waitpid(pid, 0)
    return answer


if __name__ == "__main__":
    with open("/proc/self/status") as status:
        privileges = next(line.split()[1] for line in status if line.startswith("NoNewPrivs"))
    found: dict[str, object] = {name: tried(trial) for name, trial in TRIALS.items()}
    sys.stdout.write(json.dumps(found | {"uid": os.geteuid(), "no_new_privs": int(privileges)}) + "\n")
