"""The lock broker: answers the calls of a RESTRICTED run that lock files (seccomp_unotify(2)).

SQLite and the dbm modules lock their files. A lock on a file that a script may only read would keep the gateway's own
programs from it, and a filter sees numbers of descriptors, not what lies behind them. So the outer filter has such
calls wait, and the launcher, outside of the sandbox, fetches the descriptor (pidfd_getfd(2)), looks where the file
lies, and answers. It never lets a call go on to the kernel: another thread could have put another file behind the
number by then.

Only files in the run's own scratch can be locked. Nobody else has that file system, and a run is one process:

- Record locks of one process never conflict with each other (fcntl_locking(2)), so that the truth is always "granted".
  None is taken. A lock of the open file description in its place would be wrong: SQLite, which takes the locks of all
  its connections to a file by whichever descriptor it likes, would wait for itself.
- ``flock`` and locks of open file descriptions belong to what was fetched, so they are taken by it, and can conflict:
  dbm.gnu counts on that. Whoever has to wait is tried again from time to time, so that nobody waits for the broker.

All that comes from a script is numbers, and one struct flock, read once, which the kernel judges.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import select
import struct
import time

from . import kernel
from .seccomp import OFD_SETLK, OFD_SETLKW, SETLKW
from .syscalls import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NOTIFICATION = struct.Struct("<QIIiIQ6Q")
"""struct seccomp_notif of linux/seccomp.h: key, thread, flags; number, architecture, address, arguments."""

NOTHING = bytes(NOTIFICATION.size)

RESPONSE = struct.Struct("<QqiI")
"""struct seccomp_notif_resp: key, value, negative error, flags. The flag that lets a call go on is never set."""

KEY = struct.Struct("<Q")

RECEIVE, SEND, IS_VALID, SET_FLAGS = 0xC050_2100, 0xC018_2101, 0x8008_2102, 0x4008_2104
"""SECCOMP_IOCTL_NOTIF_RECV, _SEND, _ID_VALID with the direction that every kernel knows, and _SET_FLAGS."""

SYNC_WAKE_UP = 1
"""SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, since Linux 6.6: one of the two waits anyhow, so they can share a processor."""

LOCK = struct.Struct("@hhqqi4x")
"""struct flock of fcntl(2): kind, where the start counts from, start, length, owner."""

READ_KIND = struct.pack("@h", fcntl.F_RDLCK)
"""In the place of F_UNLCK, which nobody can ask about: the rest is judged all the same."""

MOST_PIDFDS = 64

FIRST_WAIT = 0.001
LONGEST_WAIT = 0.05
"""Seconds until a lock is tried again that somebody waits for; half as long again each time."""

SIGN = 1 << 31

GRANTED = 0


def hand_over(listener: int | None, launcher: _socket.socket | None) -> None:
    """Give the launcher the descriptor that calls come from, and keep none: it could answer them."""
    if listener is None:
        return
    if launcher is not None:
        launcher.sendmsg([b"f"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", listener))])
    os.close(listener)


def handed_over(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """Return the descriptor that came with a message by ``hand_over``; None if none did."""
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            return int.from_bytes(data[:4], "little")
    return None


class _Waiting:
    """A call that waits for a lock: its key, the fetched descriptor, and the next attempt's answer."""

    __slots__ = ("attempt", "descriptor", "key")

    def __init__(self, key: int, descriptor: int, attempt: Callable[[], int]) -> None:
        self.key = key
        self.descriptor = descriptor
        self.attempt = attempt


class LockBroker:
    """Made by the launcher while it still sees /proc. ``scratch``: where the one file system is mounted that counts."""

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._device = -1
        # Through it threads are told from processes; the template, and with it every child, closes it.
        self._processes = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener = -1
        self._poll = select.poll()
        self._pidfds: dict[int, int] = {}
        self._waiting: list[_Waiting] = []
        self._wait = FIRST_WAIT
        self._next_try = 0.0
        self._request = bytearray(NOTIFICATION.size)
        self._read_lock = kernel.prepare_memory_read(LOCK.size)

    def close(self) -> None:
        """Be nobody's broker: what the template does with its copy."""
        os.close(self._processes)

    def listen(self, listener: int) -> None:
        """Answer the calls that come from this descriptor, which the template has handed over."""
        self._listener = listener
        self._poll.register(listener, select.POLLIN)
        _wake_on_the_same_processor(listener)

    def serve(self, template: _socket.socket) -> None:
        """Answer calls until the template has something to say, or has gone.

        It only speaks between two children, so the processes of the last one are forgotten.
        """
        self._poll.register(template.fileno(), select.POLLIN)
        if self._listener >= 0:  # before, the template may not have entered the view yet, where the scratch lies
            self._device = os.stat(self._scratch).st_dev
        self._forget_processes()
        while True:
            ready = dict(self._poll.poll(self._patience()))
            if template.fileno() in ready:  # first: however many calls there are, the next run does not wait for them
                return
            events = ready.get(self._listener, 0)
            if events & select.POLLIN:
                self._answer_next()
            elif events:  # POLLHUP: nobody wears the filter any more
                self._poll.unregister(self._listener)
            if self._waiting and time.monotonic() >= self._next_try:
                self._try_again()

    def _patience(self) -> float | None:
        """Milliseconds until the next attempt at a lock; None if nobody waits for one."""
        if not self._waiting:
            return None
        return max(0.0, self._next_try - time.monotonic()) * 1000

    def _answer_next(self) -> None:
        request = self._request
        request[:] = NOTHING  # the kernel wants it so
        try:
            fcntl.ioctl(self._listener, RECEIVE, request)
        except OSError:
            return  # the caller was killed, or a signal ended its wait
        key, thread, _, number, _, _, first, second, third, *_ = NOTIFICATION.unpack(request)
        try:
            answer = self._judge(key, thread, number, first, second & 0xFFFF_FFFF, third)
        except OSError as error:
            answer = error.errno or errno.EPERM
        if answer is not None:
            self._send(key, answer)

    def _judge(self, key: int, thread: int, number: int, descriptor: int, command: int, address: int) -> int | None:
        """Return the error to answer, 0 for none; None if the caller waits, or has gone."""
        held = self._fetch(thread, descriptor)
        try:
            if os.fstat(held).st_dev != self._device:
                return errno.EPERM
            attempt: Callable[[], int]
            if number == NUMBERS["flock"]:
                waits = not command & fcntl.LOCK_NB
                attempt = _Flock(held, command - ((command & SIGN) << 1))
            else:
                waits = command in (SETLKW, OFD_SETLKW)
                lock = self._read_lock(thread, address)
                attempt = (_OpenFileLock if command in (OFD_SETLK, OFD_SETLKW) else _RecordLock)(held, lock)
            if not self._is_valid(key):
                return None
            answer = attempt()
            if answer != errno.EAGAIN or not waits:
                return answer
            self._waiting.append(_Waiting(key, held, attempt))
            held = -1
        finally:
            if held >= 0:
                os.close(held)
        self._wait = FIRST_WAIT
        soon = time.monotonic() + self._wait
        # However fast others begin to wait, who waits already is not put off.
        self._next_try = soon if len(self._waiting) == 1 else min(self._next_try, soon)
        return None

    def _fetch(self, thread: int, descriptor: int) -> int:
        """Return a descriptor of the open file that ``descriptor`` of a thread is of."""
        known = self._pidfds.get(thread)
        if known is not None:
            try:
                return kernel.fetch_descriptor(known, descriptor)
            except ProcessLookupError:  # of a process before, whose number the thread has by now
                self._forget_processes()
        if len(self._pidfds) >= MOST_PIDFDS:
            self._forget_processes()
        self._pidfds[thread] = pidfd = os.pidfd_open(self._process_of(thread))
        return kernel.fetch_descriptor(pidfd, descriptor)

    def _process_of(self, thread: int) -> int:
        """Return the number of a thread's process (proc(5)): before Linux 6.9 only that has a pidfd."""
        file = os.open(f"{thread}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._processes)
        try:
            status = os.read(file, 4096)
        finally:
            os.close(file)
        for line in status.splitlines():
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
        raise ProcessLookupError(errno.ESRCH, f"{thread} is no thread any more")

    def _forget_processes(self) -> None:
        for pidfd in self._pidfds.values():
            os.close(pidfd)
        self._pidfds.clear()

    def _is_valid(self, key: int) -> bool:
        """Whether the call still waits: then its thread's number has been its own since it was received."""
        try:
            fcntl.ioctl(self._listener, IS_VALID, KEY.pack(key))
        except OSError:
            return False
        return True

    def _send(self, key: int, error: int) -> None:
        try:
            fcntl.ioctl(self._listener, SEND, RESPONSE.pack(key, 0, -error, 0))
        except OSError:
            return  # the caller was killed, or a signal ended its wait

    def _try_again(self) -> None:
        """Try every lock that somebody waits for; whoever was killed, or hears of a signal first, waits no longer."""
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            if not self._is_valid(call.key):
                os.close(call.descriptor)
                continue
            answer = call.attempt()
            if answer == errno.EAGAIN:
                self._waiting.append(call)
            else:
                os.close(call.descriptor)
                self._send(call.key, answer)
        self._wait = min(LONGEST_WAIT, self._wait * 1.5)
        self._next_try = time.monotonic() + self._wait


class _Flock:
    """flock(2) by a fetched descriptor, without a wait."""

    __slots__ = ("_descriptor", "_operation")

    def __init__(self, descriptor: int, operation: int) -> None:
        self._descriptor = descriptor
        self._operation = operation

    def __call__(self) -> int:
        return _error_of(fcntl.flock, self._descriptor, self._operation | fcntl.LOCK_NB)


class _OpenFileLock:
    """A lock of the open file description (fcntl_locking(2)) by a fetched descriptor, without a wait."""

    __slots__ = ("_descriptor", "_lock")

    def __init__(self, descriptor: int, lock: bytes) -> None:
        self._descriptor = descriptor
        self._lock = lock

    def __call__(self) -> int:
        return _error_of(fcntl.fcntl, self._descriptor, OFD_SETLK, self._lock)


class _RecordLock:
    """A record lock (fcntl_locking(2)): judged like one, and not taken. Only locks of open files can be in its way."""

    __slots__ = ("_descriptor", "_lock")

    def __init__(self, descriptor: int, lock: bytes) -> None:
        self._descriptor = descriptor
        self._lock = lock

    def __call__(self) -> int:
        kind = LOCK.unpack(self._lock)[0]
        unlocks = kind == fcntl.F_UNLCK
        try:
            found = fcntl.fcntl(self._descriptor, fcntl.F_GETLK, READ_KIND + self._lock[2:] if unlocks else self._lock)
        except OSError as error:
            return error.errno or errno.EINVAL
        if unlocks:
            return GRANTED
        opened = fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        if opened not in (os.O_RDWR, os.O_RDONLY if kind == fcntl.F_RDLCK else os.O_WRONLY):
            return errno.EBADF
        return GRANTED if LOCK.unpack(found)[0] == fcntl.F_UNLCK else errno.EAGAIN


def _error_of(call: Callable[..., object], *arguments: object) -> int:
    """The number of the error that the kernel answers, EAGAIN where the lock is another's; 0 for none."""
    try:
        call(*arguments)
    except OSError as error:
        return errno.EAGAIN if error.errno == errno.EACCES else error.errno or errno.EINVAL
    return GRANTED


def _wake_on_the_same_processor(listener: int) -> None:
    try:
        fcntl.ioctl(listener, SET_FLAGS, SYNC_WAKE_UP)
    except OSError:
        return  # before Linux 6.6
