"""The two filters, run call by call through a BPF machine, against a list of what scripts may do written down here."""

from __future__ import annotations

import errno
import itertools

import pytest
from bpf_machine import Call, judge, judged_by_all
from hypothesis import given
from hypothesis import strategies as st

from engine.worker import bpf
from engine.worker.seccomp import (
    ALLOW,
    ERRNO,
    EXTENDED_ATTRIBUTES,
    FREE,
    KILL_PROCESS,
    TEMPLATE_ONLY,
    USER_NOTIF,
    inner_filter,
    outer_filter,
)
from engine.worker.syscalls import NUMBERS, X32_SYSCALL_BIT

PID = 1
OUTER = outer_filter()
CHILD = [OUTER, inner_filter(PID)]
OWNER = [outer_filter(own_files=True), inner_filter(PID)]
"""Of a child that can write to nothing but its own files."""
BROKERED = [outer_filter(locks=True), inner_filter(PID)]
"""A child whose locks are answered by the lock broker."""
WORDS = st.integers(0, 2**64 - 1)
ARGUMENTS = st.tuples(*[WORDS] * 6)

_NEVER = """
    fork vfork clone3 execve execveat ptrace process_vm_readv process_vm_writev pidfd_getfd pidfd_open pidfd_send_signal
    kill tkill rt_sigqueueinfo rt_tgsigqueueinfo wait4 waitid setsid setpgid
    socket connect bind listen accept accept4 sendmsg sendmmsg recvmmsg setsockopt
    mount umount2 pivot_root chroot fsopen fsmount fsconfig fspick open_tree move_mount mount_setattr setns unshare
    capset setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid seccomp personality
    chown fchown lchown fchownat flock mknod mknodat
    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    removexattr lremovexattr fremovexattr
    memfd_create memfd_secret shmget shmat shmctl semget semop semctl msgget msgsnd msgrcv msgctl
    mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
    io_uring_setup io_uring_enter io_uring_register io_setup io_submit bpf userfaultfd perf_event_open
    keyctl add_key request_key kexec_load kexec_file_load init_module finit_module delete_module
    process_madvise process_mrelease name_to_handle_at open_by_handle_at openat2 landlock_create_ruleset
    inotify_init inotify_init1 fanotify_init quotactl swapon reboot syslog settimeofday clock_settime adjtimex
    sched_setscheduler sched_setaffinity sched_setattr ioprio_set mlock mlockall mlock2 iopl ioperm modify_ldt
    arch_prctl acct sync syncfs vmsplice splice tee kcmp timer_create get_robust_list membarrier
"""
NEVER = _NEVER.split()
"""Whatever the arguments are, a script must not get through with these."""

CHANGING_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2}
"""Where the mode stands in each of these calls."""

CHANGING = ["utime", "utimes", "futimesat", "utimensat", "symlink", "symlinkat", "link", "linkat", "truncate"]

OF_AN_OWNER = [*CHANGING, *CHANGING_MODES]
"""With these a script gets through where every file that it can write to is its own, and nowhere else."""

both = pytest.mark.parametrize("child", [CHILD, OWNER], ids=["child", "owner"])


def test_the_table_of_numbers() -> None:
    """Figures of asm/unistd_64.h, from every part of the table."""
    known = {
        "read": 0, "clone": 56, "execve": 59, "ptrace": 101, "prctl": 157, "openat": 257, "unshare": 272, "setns": 308,
        "seccomp": 317, "memfd_create": 319, "rseq": 334, "pidfd_send_signal": 424, "clone3": 435, "openat2": 437,
        "landlock_restrict_self": 446, "set_mempolicy_home_node": 450, "fchmodat2": 452,
    }  # fmt: skip
    assert {name: NUMBERS[name] for name in known} == known
    assert len(NUMBERS) == len(set(NUMBERS.values()))


@both
@given(name=st.sampled_from(NEVER), arguments=ARGUMENTS)
def test_what_a_script_must_never_do(child: list[bytes], name: str, arguments: tuple[int, ...]) -> None:
    assert judged_by_all(child, Call(NUMBERS[name], arguments)) & 0xFFFF_0000 == ERRNO


@pytest.mark.parametrize("name", [*NEVER, *OF_AN_OWNER])
def test_not_even_with_empty_arguments(name: str) -> None:
    assert judged_by_all(CHILD, Call(NUMBERS[name])) & 0xFFFF_0000 == ERRNO
    assert name in OF_AN_OWNER or judged_by_all(OWNER, Call(NUMBERS[name])) & 0xFFFF_0000 == ERRNO


@given(name=st.sampled_from(OF_AN_OWNER), arguments=ARGUMENTS)
def test_no_file_is_changed_by_its_path_where_it_could_be_another_s(name: str, arguments: tuple[int, ...]) -> None:
    """Nor by a descriptor: a filter cannot see whether it is open for writing."""
    assert judged_by_all(CHILD, Call(NUMBERS[name], arguments)) == ERRNO | errno.EPERM


@given(name=st.sampled_from(CHANGING), arguments=ARGUMENTS)
def test_files_of_its_own_are_a_scripts_to_change(name: str, arguments: tuple[int, ...]) -> None:
    assert judged_by_all(OWNER, Call(NUMBERS[name], arguments)) == ALLOW


@given(name=st.sampled_from(sorted(CHANGING_MODES)), arguments=ARGUMENTS, mode=st.one_of(WORDS, st.integers(0, 0o7777)))
def test_no_file_of_its_own_gets_a_foreign_mode(name: str, arguments: tuple[int, ...], mode: int) -> None:
    """Set-user-ID, set-group-ID, sticky, or open to be written to by others."""
    place = CHANGING_MODES[name]
    given_arguments = (*arguments[:place], mode, *arguments[place + 1 :])
    answer = judged_by_all(OWNER, Call(NUMBERS[name], given_arguments))
    assert answer == (ERRNO | errno.EPERM if mode & 0o7002 else ALLOW)


@both
@given(name=st.sampled_from(EXTENDED_ATTRIBUTES.split()), arguments=ARGUMENTS)
def test_no_file_seems_to_have_extended_attributes(child: list[bytes], name: str, arguments: tuple[int, ...]) -> None:
    assert judged_by_all(child, Call(NUMBERS[name], arguments)) == ERRNO | errno.EOPNOTSUPP


@both
@given(name=st.sampled_from(FREE.split()), arguments=ARGUMENTS)
def test_what_a_script_may_always_do(child: list[bytes], name: str, arguments: tuple[int, ...]) -> None:
    assert judged_by_all(child, Call(NUMBERS[name], arguments)) == ALLOW


@both
@given(number=st.integers(0, X32_SYSCALL_BIT - 1), arguments=ARGUMENTS)
def test_a_number_that_is_not_in_the_lists_is_refused(
    child: list[bytes], number: int, arguments: tuple[int, ...]
) -> None:
    conditional = [
        "clone", "prctl", "fcntl", "ioctl", "socketpair", "sendto", "getsockopt", "prlimit64", "setpriority", "tgkill",
        "open", "openat", "creat", "mkdir", "mkdirat", "umask", "renameat2", "fallocate", "mmap", "madvise", "futex",
        "clock_gettime", "clock_getres", "clock_nanosleep", "pipe2", "recvfrom", "recvmsg",
    ]  # fmt: skip
    more = OF_AN_OWNER if child is OWNER else []
    if number not in {NUMBERS[name] for name in [*FREE.split(), *conditional, *more]}:
        assert judged_by_all(child, Call(number, arguments)) & 0xFFFF_0000 == ERRNO


@both
@given(number=st.integers(X32_SYSCALL_BIT, 2**32 - 1), arguments=ARGUMENTS)
def test_the_x32_abi_ends_the_process(child: list[bytes], number: int, arguments: tuple[int, ...]) -> None:
    assert judged_by_all(child, Call(number, arguments)) == KILL_PROCESS


@both
@given(architecture=st.integers(0, 2**32 - 1), number=st.integers(0, 500))
def test_another_architecture_ends_the_process(child: list[bytes], architecture: int, number: int) -> None:
    call = Call(number, architecture=architecture)
    if architecture != Call(0).architecture:
        assert judged_by_all(child, call) == KILL_PROCESS


THREAD = 0x3D0F00  # what pthread_create of glibc 2.36 passes
NAMESPACES = (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)


@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("clone", (THREAD,), True),
        ("clone", (17,), False),  # SIGCHLD alone: a fork
        ("clone", (0x01200011,), False),  # what fork() of glibc passes
        ("clone", (0x4111,), False),  # CLONE_VM | CLONE_VFORK, as posix_spawn does
        *[("clone", (THREAD | bit,), False) for bit in NAMESPACES],
        ("socketpair", (1, 1, 0), True),
        ("socketpair", (2, 1, 0), False),
        ("socketpair", (16, 3, 0), False),
        ("sendto", (3, 1, 1, 0, 0, 0), True),
        ("sendto", (3, 1, 1, 0, 0x7FFF_0000, 16), False),
        ("sendto", (3, 1, 1, 0, 1 << 32, 16), False),  # an address whose lower half is zero
        ("prlimit64", (0, 9, 0, 1), True),
        ("prlimit64", (1, 9, 0, 1), False),
        ("setpriority", (0, 0, 5), True),
        ("setpriority", (2, 0, 5), False),  # PRIO_USER: everything of the account
        ("setpriority", (0, 1, 5), False),
        ("tgkill", (PID, 1, 6), True),
        ("tgkill", (PID + 1, 1, 6), False),
        ("prctl", (39,), True),
        ("prctl", (1, 0), False),  # PR_SET_PDEATHSIG
        ("prctl", (4, 1), False),  # PR_SET_DUMPABLE
        ("prctl", (22, 2), False),  # PR_SET_SECCOMP
        ("prctl", (59, 1), False),  # PR_SET_SYSCALL_USER_DISPATCH
        ("fcntl", (3, 4, 0x800), True),
        ("fcntl", (3, 6, 0), False),  # F_SETLK
        ("fcntl", (3, 38, 0), False),  # F_OFD_SETLKW
        ("fcntl", (3, 8, 1), False),  # F_SETOWN
        ("fcntl", (3, 10, 9), False),  # F_SETSIG
        ("fcntl", (3, 15, 0), False),  # F_SETOWN_EX
        ("fcntl", (3, 1024, 0), False),  # F_SETLEASE
        ("fcntl", (3, 1031, 1 << 20), False),  # F_SETPIPE_SZ
        ("getsockopt", (3, 1, 3), True),  # SO_TYPE
        ("getsockopt", (3, 1, 17), False),  # SO_PEERCRED
        ("getsockopt", (3, 1, 77), False),  # SO_PEERPIDFD
        ("getsockopt", (3, 6, 3), False),
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5412), False),  # TIOCSTI
        ("ioctl", (0, 0x541C), False),  # TIOCLINUX
        ("ioctl", (3, 0x8901), False),  # FIOSETOWN
        ("open", (0, 0o102, 0o666), True),
        ("open", (0, 0o102, 0o4755), False),
        ("open", (0, 0, 0o7777), True),  # nothing is made, and the register holds what was there
        ("openat", (-100, 0, 0o102, 0o777), True),
        ("openat", (-100, 0, 0o102, 0o1666), False),
        ("openat", (-100, 0, 0o20200002, 0o6777), False),  # O_TMPFILE
        ("openat", (-100, 0, 0o200000, 0o7777), True),  # O_DIRECTORY, a part of O_TMPFILE, makes nothing
        ("creat", (0, 0o644), True),
        ("creat", (0, 0o2644), False),
        ("mkdir", (0, 0o777), True),
        ("mkdir", (0, 0o1777), False),
        ("mkdirat", (-100, 0, 0o700), True),
        ("mkdirat", (-100, 0, 0o2775), False),
        ("umask", (0o022,), True),
        ("umask", (0o077,), True),
        ("umask", (0,), False),
        ("umask", (0o002,), False),
        ("umask", (0o020,), False),
        ("renameat2", (-100, 0, -100, 0, 1), True),
        ("renameat2", (-100, 0, -100, 0, 2), True),
        ("renameat2", (-100, 0, -100, 0, 4), False),  # RENAME_WHITEOUT
        ("renameat2", (-100, 0, -100, 0, 5), False),
        ("fallocate", (3, 0, 0, 99), True),
        ("fallocate", (3, 1, 0, 99), False),  # FALLOC_FL_KEEP_SIZE
        ("mmap", (0, 4096, 3, 0x22), True),
        ("mmap", (0, 1 << 21, 3, 0x40022), False),  # MAP_HUGETLB
        ("madvise", (0, 4096, 4), True),
        ("madvise", (0, 4096, 12), False),  # MADV_MERGEABLE
        ("madvise", (0, 4096, 21), False),  # MADV_PAGEOUT
        ("madvise", (0, 4096, 100), False),  # MADV_HWPOISON
        ("futex", (0, 128, 1), True),
        ("futex", (0, 393, 1), True),  # what a wait with a deadline passes
        ("futex", (0, 6, 1), False),  # FUTEX_LOCK_PI
        ("futex", (0, 8 | 128, 1), False),  # FUTEX_TRYLOCK_PI
        ("futex", (0, 11, 1), False),  # FUTEX_WAIT_REQUEUE_PI
        ("clock_gettime", (11,), True),
        ("clock_gettime", (~1234 << 3 | 2,), False),  # the processor time of process 1234
        ("clock_gettime", (~5 << 3 | 3,), False),  # the clock device behind descriptor 5
        ("clock_getres", (~1234 << 3 | 6,), False),
        ("clock_nanosleep", (1, 0), True),
        ("clock_nanosleep", (~1234 << 3 | 2, 0), False),
        ("pipe2", (0, 0o2004000), True),
        ("pipe2", (0, 0o200), False),  # O_NOTIFICATION_PIPE
        ("sendto", (3, 0, 1, 0x4040, 0, 0), True),
        ("sendto", (3, 0, 1, 1, 0, 0), False),  # MSG_OOB
        ("sendto", (3, 0, 1, 0x4000000, 0, 0), False),  # MSG_ZEROCOPY
        ("recvfrom", (3, 0, 1, 0x102), True),
        ("recvfrom", (3, 0, 1, 1), False),  # MSG_OOB
        ("recvmsg", (3, 0, 0x40000000), True),
        ("recvmsg", (3, 0, 0x2000), False),  # MSG_ERRQUEUE
    ],
)
def test_calls_that_depend_on_their_arguments(name: str, arguments: tuple[int, ...], allowed: bool) -> None:
    for child in (CHILD, OWNER):
        answer = judged_by_all(child, Call(NUMBERS[name], arguments))
        assert (answer == ALLOW) is allowed
        assert allowed or answer & 0xFFFF_0000 == ERRNO


@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("chmod", (0, 0o600), True),
        ("chmod", (0, 0o664), True),  # by the group: what `shutil.copymode` finds in shared folders
        ("chmod", (0, 0o666), False),
        ("chmod", (0, 0o4755), False),
        ("fchmod", (3, 0o444), True),
        ("fchmod", (3, 0o2755), False),
        ("fchmod", (3, 0o4711 | 1 << 40), False),
        ("fchmodat", (-100, 0, 0o770), True),
        ("fchmodat", (-100, 0, 0o1777), False),
        ("fchmodat2", (-100, 0, 0o755, 0x1000), True),  # AT_EMPTY_PATH
        ("fchmodat2", (-100, 0, 0o6755, 0x1000), False),
        ("utimensat", (3, 0, 0, 0), True),  # futimens
        ("linkat", (-100, 0, -100, 0, 0x400), True),  # AT_SYMLINK_FOLLOW
        ("mknodat", (-100, 0, 0o010644, 0), False),
    ],
)
def test_what_may_be_done_to_files_of_its_own(name: str, arguments: tuple[int, ...], allowed: bool) -> None:
    assert judged_by_all(OWNER, Call(NUMBERS[name], arguments)) == (ALLOW if allowed else ERRNO | errno.EPERM)
    assert judged_by_all(CHILD, Call(NUMBERS[name], arguments)) == ERRNO | errno.EPERM


MAKING = {"open": (1, 2), "openat": (2, 3), "creat": (None, 1), "mkdir": (None, 1), "mkdirat": (None, 2)}
"""For each call that makes a file or folder, where its flags and its mode stand."""


@given(name=st.sampled_from(sorted(MAKING)), arguments=ARGUMENTS)
def test_no_file_is_made_with_a_special_mode(name: str, arguments: tuple[int, ...]) -> None:
    flags, mode = MAKING[name]
    makes = flags is None or arguments[flags] & (0o100 | 0o20000000)
    answer = judged_by_all(CHILD, Call(NUMBERS[name], arguments))
    assert answer == (ERRNO | errno.EPERM if makes and arguments[mode] & 0o7000 else ALLOW)


@given(mask=WORDS)
def test_no_umask_lets_others_write(mask: int) -> None:
    answer = judged_by_all(CHILD, Call(NUMBERS["umask"], (mask,)))
    assert (answer == ALLOW) == (mask & 0o022 == 0o022)


@given(flags=WORDS)
def test_a_thread_is_all_that_clone_makes(flags: int) -> None:
    answer = judged_by_all(CHILD, Call(NUMBERS["clone"], (flags,)))
    assert (answer == ALLOW) == bool(flags & 0x10000 and not flags & 0x7E020000)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *[(name, (0,) * 6) for name in TEMPLATE_ONLY.split()],
        ("clone", (0x01200011,)),
        ("setns", (5, 0x20000000)),
        ("unshare", (0x20000000,)),
        ("seccomp", (1, 0, 0x1000)),
        ("prctl", (1, 9)),
    ],
)
def test_what_the_template_needs_is_the_templates_alone(name: str, arguments: tuple[int, ...]) -> None:
    call = Call(NUMBERS[name], arguments)
    assert judge(OUTER, call) == ALLOW
    assert judged_by_all(CHILD, call) == ERRNO | errno.EPERM


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("setns", (5, 0x10000000)),
        ("unshare", (0x10000000,)),
        ("unshare", (0x30000000,)),
        ("clone", (0x10000011,)),
        ("seccomp", (0, 0, 0)),
        ("seccomp", (1, 8, 0x1000)),  # SECCOMP_FILTER_FLAG_NEW_LISTENER
    ],
)
def test_nor_may_the_template_do_more_than_that(name: str, arguments: tuple[int, ...]) -> None:
    assert judge(OUTER, Call(NUMBERS[name], arguments)) == ERRNO | errno.EPERM


@both
@given(descriptor=WORDS, source=WORDS, high=st.integers(0, 2**32 - 1))
def test_no_file_system_seems_to_share_blocks(child: list[bytes], descriptor: int, source: int, high: int) -> None:
    call = Call(NUMBERS["ioctl"], (descriptor, 0x4004_9409 | high << 32, source))
    assert judged_by_all(child, call) == ERRNO | errno.EOPNOTSUPP


@pytest.mark.parametrize("name", ["clone3", "openat2", "io_uring_setup"])
def test_calls_that_have_an_older_sister_do_not_seem_to_exist(name: str) -> None:
    assert judged_by_all(CHILD, Call(NUMBERS[name])) == ERRNO | errno.ENOSYS


LOCKS = {6, 7, 37, 38}  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW of linux/fcntl.h


@given(number=st.integers(0, 2**32 - 1), arguments=ARGUMENTS)
def test_a_lock_broker_changes_nothing_but_locks(number: int, arguments: tuple[int, ...]) -> None:
    if number not in (NUMBERS["flock"], NUMBERS["fcntl"]):
        call = Call(number, arguments)
        assert judged_by_all(BROKERED, call) == judged_by_all(CHILD, call)


@given(command=st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 64), st.sampled_from(sorted(LOCKS))), rest=WORDS)
def test_only_calls_that_lock_wait_for_the_broker(command: int, rest: int) -> None:
    call = Call(NUMBERS["fcntl"], (rest, command, rest, rest, rest, rest))
    waits = command & 0xFFFF_FFFF in LOCKS
    assert judged_by_all(BROKERED, call) == (USER_NOTIF if waits else judged_by_all(CHILD, call))
    assert judged_by_all(CHILD, call) in (ALLOW, ERRNO | errno.EPERM)


@given(arguments=ARGUMENTS)
def test_flock_waits_for_the_broker_or_is_refused(arguments: tuple[int, ...]) -> None:
    call = Call(NUMBERS["flock"], arguments)
    assert judged_by_all(BROKERED, call) == USER_NOTIF
    assert judged_by_all(CHILD, call) == ERRNO | errno.EPERM


def test_every_instruction_can_be_reached() -> None:
    """An instruction that no call leads to means a jump that goes elsewhere than its author thought."""
    for program in (*CHILD, OWNER[0], BROKERED[0]):
        code = list(bpf.INSTRUCTION.iter_unpack(program))
        reached, todo = set(), [0]
        while todo:
            place = todo.pop()
            if place in reached:
                continue
            reached.add(place)
            kind, then, other, _ = code[place]
            if kind == bpf.LOAD:
                todo.append(place + 1)
            elif kind != bpf.RETURN:
                todo += [place + 1 + then, place + 1 + other]
        assert reached == set(range(len(code)))


def test_the_inner_filter_is_small() -> None:
    """Every run pays for it, by the instruction."""
    assert len(CHILD[1]) // bpf.INSTRUCTION.size <= 40


def test_a_jump_cannot_go_wrong_unnoticed() -> None:
    code = bpf.Assembler()
    code.jump(bpf.JUMP_EQUAL, 1, then="nowhere")
    code.leave(ALLOW)
    with pytest.raises(ValueError, match="no jump"):
        code.assemble()
    code = bpf.Assembler()
    code.label("behind")
    code.jump(bpf.JUMP_EQUAL, 1, then="behind")
    with pytest.raises(ValueError, match="no jump"):
        code.assemble()
    code = bpf.Assembler()
    code.jump(bpf.JUMP_EQUAL, 1, then="end")
    for _ in range(bpf.LONGEST_JUMP + 1):
        code.load(0)
    code.label("end")
    code.leave(ALLOW)
    with pytest.raises(ValueError, match="no jump"):
        code.assemble()
    code.label("once")
    with pytest.raises(ValueError, match="twice"):
        code.label("once")


@given(numbers=st.sets(st.integers(0, 500)))
def test_stretches_hold_exactly_the_numbers(numbers: set[int]) -> None:
    stretches = bpf.ranges(list(numbers))
    assert {number for first, last in stretches for number in range(first, last + 1)} == numbers
    assert all(first <= last for first, last in stretches)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(stretches))
