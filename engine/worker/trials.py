"""Trying out what this host gives: each layer for real, in a process of its own that dies with the attempt.

Reading versions and sysctls is not enough: Ubuntu 24.04 lets ``unshare`` succeed and refuses the id map or the mount,
containers filter calls, a kernel may have a feature and be booted without it. The interpreter that scripts run in does
this, since AppArmor judges by the program's path.
"""

from __future__ import annotations

import _socket
import _thread
import contextlib
import errno
import fcntl
import json
import os
import resource
import signal
import sys
import time

from . import kernel, landlock, limits, namespaces, seccomp
from .locks import LockBroker, hand_over
from .readable import readable_paths
from .scratch import mount_scratch, serve_template
from .view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FORBIDDEN = "/etc/passwd"
"""Every host has it, everybody may read it, no script has any business with it."""

TRIAL_LIMIT = 16 << 20
TRIAL_FILES = 32
TRIAL_SECONDS = 10
"""What a process limits itself to, to try to pass it: bytes and descriptors."""


def report(folder: str) -> None:
    """Print what every trial found, as JSON: for each name None where it works, else what failed.

    Args:
        folder: An empty private folder to mount in.
    """
    trials: dict[str, Callable[[], None]] = {
        "userns": _try_user_namespace,
        "namespaces": lambda: _in_child(_try_namespaces),
        "tmpfs": lambda: _try_tmpfs(folder),
        "view": lambda: _try_view(folder),
        "landlock": lambda: _try_landlock(folder),
        "seccomp": _try_seccomp,
        "capabilities": _try_capabilities,
        "rlimits": lambda: _try_limits(folder),
        "pidfd": _try_pidfd,
        "root_pidns": _try_root_namespaces,
        "locks": lambda: _try_locks(folder),
    }
    found = {name: failure_of(trial) for name, trial in trials.items()}
    sys.stdout.write(json.dumps({"abi": landlock.abi(), "failures": found}))


def report_locks(folder: str) -> None:
    """Print why there can be no lock broker, nothing if there can: the part of a trial after its program's start."""
    sys.stdout.write(failure_of(lambda: _serve_locks(folder)) or "")


def failure_of(work: Callable[[], None]) -> str | None:
    """Do ``work`` in a forked child; None if it went well, else what failed."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            work()
        except BaseException as error:  # noqa: BLE001 - reported to the parent, the process ends here
            os.write(write_end, _in_words(error).encode("utf-8", "replace")[:500])
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as report_of_child:
        problem = report_of_child.read()
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status):
        return f"the trial was ended by signal {-os.waitstatus_to_exitcode(status)}"
    return problem.decode("utf-8", "replace") or None


def _in_words(error: BaseException) -> str:
    """Without the number that ``OSError`` begins with: users read this."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {os.fsdecode(error.filename)}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _in_child(work: Callable[[], None]) -> None:
    """Run ``work`` in a forked child and raise here what failed there."""
    problem = failure_of(work)
    if problem is not None:
        raise OSError(problem)


def _try_user_namespace() -> None:
    namespaces.enter_user_namespace()


def _try_namespaces() -> None:
    """A process that is the first of its pid namespace, again and again from the same one."""
    namespaces.enter_user_namespace()
    namespaces.enter(namespaces.CONTAINED)
    _in_child(_fork_first_processes)


def _try_root_namespaces() -> None:
    """The same for an account with real rights, without a user namespace."""
    namespaces.enter(namespaces.OWN_TREE)
    _in_child(_fork_first_processes)


def _fork_first_processes() -> None:
    own = namespaces.own_pid_namespace()
    for _ in range(2):
        namespaces.next_child_in_new_pid_namespace(own)
        _in_child(_expect_first)


def _expect_first() -> None:
    if os.getpid() != 1:
        raise OSError("a forked process is not the first of its pid namespace")


def _try_tmpfs(folder: str) -> None:
    namespaces.enter_user_namespace()
    namespaces.enter(namespaces.OWN_TREE)
    kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4k,nr_inodes=4")


def _try_view(folder: str) -> None:
    """The whole view, entered, with nothing of the host in it that does not belong there."""
    namespaces.enter_user_namespace()
    namespaces.enter(namespaces.OWN_TREE)
    view = View(folder)
    view.show_all(readable_paths())
    view.show_devices()
    view.enter()
    kernel.drop_capabilities()
    _expect_refused(FORBIDDEN, os.O_RDONLY)
    _expect_refused("/", os.O_RDONLY)
    _expect_refused(os.__file__, os.O_WRONLY)
    _expect_read_only(os.__file__)
    _expect_read_only(os.devnull)
    with open(os.__file__, "rb") as library:
        library.read(1)


def _try_landlock(folder: str) -> None:
    version = landlock.abi()
    if not version:
        raise OSError("the kernel has no Landlock, or was booted without it")
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    rules = landlock.Ruleset(version)
    rules.allow(folder, landlock.WORK)
    rules.enforce()
    trial_file = os.path.join(folder, "trial")
    os.close(os.open(trial_file, os.O_CREAT | os.O_WRONLY, 0o600))
    os.unlink(trial_file)
    _expect_refused(FORBIDDEN, os.O_RDONLY)


def _try_seccomp() -> None:
    """Both filters, and what they are for: no new process."""
    if os.uname().machine != "x86_64":
        raise OSError(f"the filters are made for x86-64, and this is {os.uname().machine}")
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install_outer()
    seccomp.InnerFilter().install(os.getpid())
    if kernel.seccomp_mode() != seccomp.MODE_FILTER:
        raise OSError("the kernel took the filters and does not use them")
    try:
        pid = os.fork()
    except PermissionError:
        return
    if pid == 0:
        os._exit(0)
    raise OSError("the kernel took the filters and lets a process be made all the same")


def _try_capabilities() -> None:
    """Where a user namespace can be had, from the full set that comes with it."""
    with contextlib.suppress(OSError):
        namespaces.enter_user_namespace()
    kernel.drop_capabilities()
    if kernel.capabilities():
        raise OSError("the kernel took capset and left some")


def _try_limits(folder: str) -> None:
    """Memory, the size of a file, open files: each limit is reached and cannot be passed."""
    space = limits.mapped() + TRIAL_LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (TRIAL_LIMIT, TRIAL_LIMIT))
    resource.setrlimit(resource.RLIMIT_NOFILE, (TRIAL_FILES, TRIAL_FILES))
    _expect_failure(MemoryError, lambda: bytearray(2 * TRIAL_LIMIT), "memory")
    path = os.path.join(folder, "limit")
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        # The kernel asks before it makes a file longer, so nothing is written.
        _expect_failure(OSError, lambda: os.ftruncate(fd, TRIAL_LIMIT + 1), "length of a file")
    finally:
        os.unlink(path)
    _expect_failure(OSError, lambda: [os.dup(fd) for _ in range(TRIAL_FILES)], "open files")


def _expect_failure(kind: type[Exception], work: Callable[[], object], what: str) -> None:
    try:
        work()
    except kind:
        return
    raise OSError(f"the limit is set, and more of it can be had all the same: {what}")


def _try_locks(folder: str) -> None:
    """Locks in a scratch, answered by the broker as in a slot: from a program that begins in its user namespace."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(TRIAL_SECONDS)
            namespaces.begin_in_user_namespace()
            os.dup2(write_end, 1)
            entry = os.path.join(os.path.dirname(__file__), "__main__.py")
            os.execv(sys.executable, [sys.executable, "-I", "-S", "-X", "utf8", entry, "--locks", folder])  # noqa: S606
        except BaseException as error:  # noqa: BLE001 - reported to the parent, the process ends here
            os.write(write_end, _in_words(error).encode("utf-8", "replace")[:500])
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as told:
        problem = told.read().decode("utf-8", "replace")
    _, status = os.waitpid(pid, 0)
    if problem or status:
        raise OSError(problem or "the trial of locks ended by itself")


def _serve_locks(folder: str) -> None:
    """Be a launcher, and hear what a process under the filter was answered."""
    namespaces.enter(namespaces.OWN_TREE)
    mount_scratch(folder, TRIAL_LIMIT, TRIAL_FILES)
    scratch = os.path.join(folder, "s")
    broker = LockBroker(scratch)
    read_end, write_end = os.pipe()
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        broker.close()
        os.write(write_end, (failure_of(lambda: _lock_files(scratch, theirs)) or "").encode("utf-8", "replace")[:500])
        os._exit(0)
    theirs.close()
    os.close(write_end)
    serve_template(scratch, ours, broker=broker)
    os.waitpid(pid, 0)
    problem = os.read(read_end, 500)
    if problem:
        raise OSError(problem.decode("utf-8", "replace"))


def _lock_files(scratch: str, launcher: _socket.socket) -> None:
    """Wear the outer filter and lock files, in a thread as well: its number is not its process's."""
    os.chdir(scratch)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    hand_over(seccomp.install_outer(locks=True), launcher)
    library = os.open(os.__file__, os.O_RDONLY | os.O_CLOEXEC)
    _expect_failure(
        PermissionError, lambda: fcntl.flock(library, fcntl.LOCK_SH), "locks on files outside of the scratch"
    )
    done: list[BaseException | None] = []

    def lock_all() -> None:
        try:
            with open("trial", "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError as error:
            done.append(error)
        else:
            done.append(None)

    lock_all()
    _thread.start_new_thread(lock_all, ())
    while len(done) < 2:
        time.sleep(0.001)
    for problem in done:
        if problem is not None:
            raise problem


def _try_pidfd() -> None:
    os.close(os.pidfd_open(os.getpid()))


def _expect_read_only(path: str) -> None:
    """Its times, which only a read-only mount keeps from its owner, are set to what they are."""
    status = os.stat(path)
    try:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    except OSError as error:
        if error.errno == errno.EROFS:
            return
        raise
    raise OSError(f"the mount of {path} is read-only, and its times can be set all the same")


def _expect_refused(path: str, flags: int) -> None:
    try:
        os.close(os.open(path, flags))
    except OSError:
        return
    raise OSError(f"{path} can be opened all the same")
