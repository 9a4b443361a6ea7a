"""The template: a warmed, single-threaded process that forks one child per run and never runs a script itself.

It wears whatever all its children have in common, Landlock and the outer seccomp filter among it, so that a run pays
only for what must be its own. It keeps the capabilities of its own user namespace, which its children drop.
"""

from __future__ import annotations

import _socket
import gc
import importlib
import json
import os
import select
import struct
import sys
import time
from _frozen_importlib_external import PathFinder

from . import kernel, landlock, limits, namespaces
from .child import Run, testify
from .descendants import below, is_alive, kill_descendants, kill_namespace, kill_session
from .grants import allow_grants
from .layers import (
    ADMIN_CHILD,
    ADMIN_CHILD_OF_NAMESPACE,
    ADMIN_CHILD_THAT_LEAVES,
    ADMIN_TEMPLATE,
    RESTRICTED_CHILD,
    RESTRICTED_TEMPLATE,
    Setup,
    explain_refusals,
    own_modes,
)
from .locks import hand_over
from .oom import CHILD as CHILD_SCORE
from .oom import ZYGOTE, OomScore
from .readable import DEVICES, NULL
from .seccomp import InnerFilter, install_outer
from .wire import CHILD, EXIT, FORK_REQUEST, ForkRequest, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .child import LayerSteps
    from .config import Config
    from .program import Program
    from .scratch import Scratch

CREDENTIALS = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid."""

NOBODY = (0, 0, 0)

THREAD_PATIENCE, THREAD_CHECK = 0.5, 0.002
"""Seconds that threads of preloads have to end, and between two looks."""

NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts")


class Template:
    """Made once, in a process of its own. It keeps nothing of the configuration that its children could find.

    Args:
        program: What children run, warmed.
        control: The slot's control socket.
        scratch: Where children work.
        own_pidns: The pid namespace this process lives in, or None without namespaces.
        config: What the engine said.
        readable: What RESTRICTED scripts may read.
    """

    def __init__(
        self,
        program: Program,
        control: _socket.socket,
        scratch: Scratch,
        own_pidns: int | None,
        config: Config,
        readable: list[str],
    ) -> None:
        self._control = control
        self._scratch = scratch
        self._own_pidns = own_pidns
        self._admin = config.admin
        self._leaves = config.leaves
        self._contains_admin = config.admin and own_pidns is not None
        self._pipes: tuple[int, ...] = ()
        """Where what the child leaves may still write to."""
        self._program = program
        program.around.scratch = scratch.path
        self._pidfd = None if own_pidns is None else os.pidfd_open(os.getpid())
        os.environ["HOME"] = os.environ["TMPDIR"] = scratch.path
        os.environ.pop("LD_BIND_NOW", None)  # meant for these processes, not for what a script starts
        self._figures = limits.OwnFigures()
        self._namespaces = {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in NAMESPACES}
        self._filter = InnerFilter() if config.layers.seccomp else None
        self._child_layers = _child_layers(config)
        self._run = Run(self._child_layers, program)
        # For the child that tries what no script may do.
        self._trial = None if config.admin else _trial_request(config)
        self._size = self._figures.mapped()
        self._packages = config.packages
        self._preloads = config.preloads
        self._seeds = config.seeds
        self._oom_score = OomScore()
        _restrict(config, scratch, readable)
        gc.freeze()

    def serve(self) -> Run:
        """Report, then follow the engine's orders until its end of the control socket is closed. Ends the process.

        Returns only in a child, with what it is to do: what is below a script's frames has returned then.
        """
        try:
            self._report_ready()
            while message := self._control.recv(FORK_REQUEST.size):
                request = ForkRequest.unpack(message)
                ended = self._reap(request.reap, everything=request.everything) if request.reap else NOBODY
                if request.urgent or not request.fork:
                    self._control.send(EXIT.pack(Report.EXIT, *ended))
                    ended = NOBODY
                if request.fork:
                    setup = self._fork(request, ended)
                    if setup is not None:
                        # A script could come by these objects; the child's first layer closes what they name.
                        self._control.detach()
                        if self._scratch.launcher is not None:
                            self._scratch.launcher.detach()
                        run = self._run
                        run.setup = setup
                        run.template = self
                        return run
        except BrokenPipeError:
            pass  # the engine no longer listens
        except Exception as error:  # noqa: BLE001 - becomes the sentence that the engine logs
            self._control.send(Report.FAILED + f"{type(error).__name__}: {error}".encode()[:4000])
        if self._contains_admin:
            kill_namespace()
        os._exit(0)

    def _report_ready(self) -> None:
        ready: dict[str, object] = {
            "namespaces": self._namespaces,
            "python": sys.version.split()[0],
            "umask": limits.umask(),
            "leftovers": limits.leftovers(),
            # While no code of a package has run here.
            "attempts": {} if self._trial is None else self._tested(self._trial),
        }
        self._enter_packages()
        ready["size"] = self._size
        message = Report.READY + json.dumps(ready).encode()
        if self._pidfd is None:
            self._control.send(message)
            return
        self._control.sendmsg([message], [_descriptors(self._pidfd)])
        os.close(self._pidfd)

    def _enter_packages(self) -> None:
        """Put the environment's packages on the path and import those that runs will ask for.

        Every layer of the template is on: what packages do while they are imported, they do behind it. Their code has
        this process from then on, which is bounded by the layers alone.

        Raises:
            RuntimeError: They have started something that goes on, or left.
            Exception: As they raise it.
        """
        sys.path.append(self._packages)
        if self._seeds:
            from .seeds import Seeds

            Seeds(self._seeds, self._scratch.path)
        PathFinder.find_spec(__package__, [self._packages])  # lists the folder, so that no run has to
        names = [name for name in self._preloads if name not in sys.modules]
        if names:
            if not self._admin:
                os.dup2(0, 2)  # the engine's log is not theirs to write to
            if self._own_pidns is not None:
                namespaces.next_child_in_own_pid_namespace(self._own_pidns)
            _import(names)
            exercises = sys.modules.get(f"{__package__}.exercises")
            if exercises is not None:
                exercises.in_template()
                self._run.exercise = exercises.in_child
            if not self._alone():
                raise RuntimeError("a preloaded module has started threads, which a fork would lose")
            if _has_children():
                raise RuntimeError("a preloaded module has started a process")
            self._program.reset()
            self._size = self._figures.mapped()
        self._figures.close()
        gc.freeze()

    def _alone(self) -> bool:
        """Whether this is the only thread. One that has been told to end, as matplotlib's timer, may take a moment."""
        patience = THREAD_PATIENCE
        while self._figures.threads() != 1 and patience > 0:
            time.sleep(THREAD_CHECK)
            patience -= THREAD_CHECK
        return self._figures.threads() == 1

    def _tested(self, request: ForkRequest) -> dict[str, str]:
        """What a child like those to come could do and what not, each tried for real."""
        made = self._make_child(request)
        if isinstance(made, Setup):
            testify(made, self._child_layers)
        pid, (ours, *others) = made
        for fd in others:
            os.close(fd)
        told = b""
        while part := os.read(ours, 64 << 10):
            told += part
        os.close(ours)
        self._reap(pid)
        answers: dict[str, str] = json.loads(told) if told else {}
        return answers

    def _reap(self, pid: int, *, everything: bool = True) -> tuple[int, int, int]:
        """Wait for a child that the engine has killed; return its pid, status and microseconds of processor time."""
        if self._contains_admin:
            kill_namespace()
        _, status, usage = os.wait4(pid, 0)
        self._program.channel.wipe()
        if self._leaves:
            kill_session(None if everything else os.getsid(0))
            self._let_go()
        elif self._own_pidns is None:
            kill_descendants()
        return pid, status, int((usage.ru_utime + usage.ru_stime) * 1e6)

    def _let_go(self) -> None:
        """Have somebody read what is still written to the run's pipes: a write that nobody reads ends its process."""
        pipes, self._pipes = self._pipes, ()
        if any(is_alive(pid) for pid in below(os.getpid())):
            detached, still_here = os.pipe()
            if os.fork() == 0:
                try:
                    _drain(pipes)
                finally:
                    os._exit(0)
            # The slot's session is ended once this one is reported: the reader must have left it by then.
            os.close(still_here)
            os.read(detached, 1)
            os.close(detached)
        for fd in pipes:
            os.close(fd)

    def _fork(self, request: ForkRequest, ended: tuple[int, int, int]) -> Setup | None:
        """Make a child and report it. In the child itself, return what it is made from."""
        self._scratch.prepare(request.scratch, request.inodes)
        made = self._make_child(request)
        if isinstance(made, Setup):
            return made
        pid, (ours, *others) = made
        pidfd = os.pidfd_open(pid)  # race-free: only this process reaps its children
        fds = (ours, pidfd, *others)
        self._send_child(CHILD.pack(Report.CHILD, pid, self._scratch.device, *ended), pid, fds)
        for fd in fds:
            os.close(fd)
        return None

    def _make_child(self, request: ForkRequest) -> Setup | tuple[int, tuple[int, int, int]]:
        """Fork a child; returns its pid and our ends of its socket and of its stray output and error.

        In the child itself, return what it is made from.
        """
        # Of the C module: the sockets of ``socket`` are Python objects, whose every method call is pages to copy.
        ours, childs = _socket.socketpair()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        contained = self._own_pidns is not None
        run_socket = childs.detach()
        setup = Setup(
            request, run_socket, out_write, err_write, self._scratch.path, self._size, contained, self._filter
        )
        if self._own_pidns is not None:
            namespaces.next_child_in_new_pid_namespace(self._own_pidns)
        self._oom_score.set(CHILD_SCORE)  # the child cannot: it has no /proc
        try:
            pid = os.fork()
        except OSError:
            self._oom_score.set(ZYGOTE)
            raise
        if pid == 0:
            ours.detach()  # the child's first layer closes it, and its number is another's soon
            return setup
        self._oom_score.set(ZYGOTE)
        if self._leaves:
            self._pipes = (os.dup(out_read), os.dup(err_read))
        os.close(run_socket)
        os.close(out_write)
        os.close(err_write)
        return pid, (ours.detach(), out_read, err_read)

    def _send_child(self, message: bytes, pid: int, fds: tuple[int, ...]) -> None:
        """Report the child, with its credentials: the kernel turns their pid into the engine's numbering (unix(7))."""
        ancillary = [_descriptors(*fds)]
        if self._own_pidns is not None:
            credentials = CREDENTIALS.pack(pid, os.geteuid(), os.getegid())
            ancillary.append((_socket.SOL_SOCKET, _socket.SCM_CREDENTIALS, credentials))
        self._control.sendmsg([message], ancillary)


def _import(names: Iterable[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            raise
        except BaseException as error:  # noqa: BLE001 - a package that leaves must say so, too
            raise RuntimeError(f"the preloaded module {name} ended with {type(error).__name__}") from None


def _has_children() -> bool:
    """Whether this process has children, those included whose parent has left (PR_SET_CHILD_SUBREAPER, pid 1)."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _drain(pipes: tuple[int, ...]) -> None:
    """Read until no process is left to write, for as long as that takes: on its own, and no longer of a slot.

    Closes every descriptor that it has from its parent, once it has left the parent's session.
    """
    os.setsid()
    os.chdir("/")
    fds = [os.dup2(fd, 100 + number) for number, fd in enumerate(pipes)]
    os.closerange(3, 100)
    if not kernel.close_from(100 + len(fds)):
        os.closerange(100 + len(fds), limits.USUAL_FILES)
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    while fds:
        for fd, _ in poll.poll():
            if not os.read(fd, 64 << 10):
                poll.unregister(fd)
                fds.remove(fd)


def _descriptors(*fds: int) -> tuple[int, int, bytes]:
    """The control message that carries ``fds`` (unix(7), SCM_RIGHTS)."""
    return _socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds)


def _child_layers(config: Config) -> LayerSteps:
    if not config.admin:
        return RESTRICTED_CHILD
    if config.leaves:
        return ADMIN_CHILD_THAT_LEAVES
    return ADMIN_CHILD_OF_NAMESPACE if config.layers.userns else ADMIN_CHILD


def _trial_request(config: Config) -> ForkRequest:
    return ForkRequest(cpu=5, memory=64 << 20, scratch=config.scratch_size, inodes=config.scratch_inodes, open_files=64)


def _restrict(config: Config, scratch: Scratch, readable: list[str]) -> None:
    """Put the template's layers on. Children inherit them; a run pays nothing for them."""
    for layer in ADMIN_TEMPLATE if config.admin else RESTRICTED_TEMPLATE:
        layer()
    if config.admin:
        return
    if config.layers.view:
        kernel.detach("/proc")  # all that was to be seen there has been looked at
    if config.layers.landlock:
        _file_rules(config, scratch, readable).enforce()
    if config.own_files:
        own_modes()
    else:
        explain_refusals()
    if config.layers.seccomp:
        _filter_calls(config, scratch)


def _filter_calls(config: Config, scratch: Scratch) -> None:
    listener = install_outer(own_files=config.own_files, locks=config.layers.locks)
    hand_over(listener, scratch.launcher)


def _file_rules(config: Config, scratch: Scratch, readable: list[str]) -> landlock.Ruleset:
    rules = landlock.Ruleset(config.layers.landlock)
    for path in readable:
        rules.allow(path, landlock.READ)
    for path in DEVICES:
        rules.allow(path, landlock.READ | (landlock.WRITE_FILE if path == NULL else 0))
    if scratch.writable:
        # On the folder above: a scratch that is mounted anew is below it, too.
        rules.allow(os.path.dirname(scratch.path), landlock.OWN if config.own_files else landlock.WORK)
    allow_grants(rules, config.grants)
    return rules
