"""The template ``T``: a warmed, single-threaded process that forks one child per run and never runs a script itself."""

from __future__ import annotations

import _socket
import gc
import json
import os
import struct
import sys

from . import limits, namespaces
from .child import live
from .descendants import kill_descendants
from .layers import TEMPLATE_LAYERS, Setup
from .order import Order
from .wire import CHILD, EXIT, ORDER, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .program import Program
    from .scratch import Scratch

CREDENTIALS = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid."""

NOBODY = (0, 0, 0)


def run_template(
    program: Program, control: _socket.socket, scratch: Scratch, own_pidns: int | None, no_namespaces: str | None
) -> NoReturn:
    """Report, then follow the engine's orders until its end of ``control`` is closed. Ends the process.

    Args:
        program: What children run, warmed.
        control: The slot's control socket.
        scratch: Where children work.
        own_pidns: The pid namespace this process lives in, or None without namespaces.
        no_namespaces: Why there are none, or None.
    """
    try:
        template = _Template(program, control, scratch, own_pidns, no_namespaces)
        template.serve()
    except Exception as error:  # noqa: BLE001 - becomes the sentence that the engine logs
        control.send(Report.FAILED + f"{type(error).__name__}: {error}".encode()[:4000])
    finally:
        os._exit(0)


class _Template:
    def __init__(
        self,
        program: Program,
        control: _socket.socket,
        scratch: Scratch,
        own_pidns: int | None,
        no_namespaces: str | None,
    ) -> None:
        self._control = control
        self._scratch = scratch
        self._own_pidns = own_pidns
        self._no_namespaces = no_namespaces
        self._program = program
        os.environ["HOME"] = os.environ["TMPDIR"] = scratch.path
        os.environ.pop("LD_BIND_NOW", None)  # meant for these processes, not for what a script starts
        for layer in TEMPLATE_LAYERS:
            layer()
        gc.freeze()
        if len(os.listdir("/proc/self/task")) != 1:
            raise RuntimeError("a preloaded module has started threads, which a fork would lose")
        self._size = limits.mapped()

    def serve(self) -> None:
        self._report_ready()
        while message := self._control.recv(ORDER.size):
            order = Order(message)
            ended = self._reap(order.reap) if order.reap else NOBODY
            if order.urgent or not order.fork:
                self._control.send(EXIT.pack(Report.EXIT, *ended))
                ended = NOBODY
            if order.fork:
                self._fork(order, ended)

    def _report_ready(self) -> None:
        ready = {
            "user": _namespace("user"),
            "pid": _namespace("pid"),
            "mnt": _namespace("mnt"),
            "no_namespaces": self._no_namespaces,
            "python": sys.version.split()[0],
            "size": self._size,
            "umask": limits.umask(),
            "leftovers": limits.leftovers(),
        }
        message = Report.READY + json.dumps(ready).encode()
        if self._own_pidns is None:
            self._control.send(message)
            return
        pidfd = os.pidfd_open(os.getpid())
        self._control.sendmsg([message], [_descriptors(pidfd)])
        os.close(pidfd)

    def _reap(self, pid: int) -> tuple[int, int, int]:
        """Wait for a child that the engine has killed; return its pid, status and microseconds of processor time."""
        _, status, usage = os.wait4(pid, 0)
        if self._own_pidns is None:
            kill_descendants()
        return pid, status, int((usage.ru_utime + usage.ru_stime) * 1e6)

    def _fork(self, order: Order, ended: tuple[int, int, int]) -> None:
        self._scratch.prepare(order.scratch, order.inodes)
        # Of the C module: the sockets of ``socket`` are Python objects, whose every method call is pages to copy.
        ours, childs = _socket.socketpair()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        contained = self._own_pidns is not None
        setup = Setup(order, childs.fileno(), out_write, err_write, self._scratch.path, self._size, contained)
        if self._own_pidns is not None:
            namespaces.next_child_in_new_pid_namespace(self._own_pidns)
        pid = os.fork()
        if pid == 0:
            live(setup, self._program)
        pidfd = os.pidfd_open(pid)  # race-free: only this process reaps its children
        fds = (ours.fileno(), pidfd, out_read, err_read)
        self._send_child(CHILD.pack(Report.CHILD, pid, self._scratch.device, *ended), pid, fds)
        ours.close()
        childs.close()
        for fd in (pidfd, out_read, out_write, err_read, err_write):
            os.close(fd)

    def _send_child(self, message: bytes, pid: int, fds: tuple[int, int, int, int]) -> None:
        """Report the child, with its credentials: the kernel turns their pid into the engine's numbering (unix(7))."""
        ancillary = [_descriptors(*fds)]
        if self._own_pidns is not None:
            credentials = CREDENTIALS.pack(pid, os.geteuid(), os.getegid())
            ancillary.append((_socket.SOL_SOCKET, _socket.SCM_CREDENTIALS, credentials))
        self._control.sendmsg([message], ancillary)


def _descriptors(*fds: int) -> tuple[int, int, bytes]:
    """The control message that carries ``fds`` (unix(7), SCM_RIGHTS)."""
    return _socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds)


def _namespace(kind: str) -> int:
    return os.stat(f"/proc/self/ns/{kind}").st_ino
