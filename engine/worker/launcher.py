"""The launcher: the process that the engine starts. It makes a slot's other processes and outlives none of them.

The launcher and the template that it forks are the slot's zygote. With namespaces the launcher owns them and their
mounts, and the template is the first process of its pid namespace. Whoever dies takes what is below along: the template
is killed when the launcher dies, the launcher when the engine does (prctl(2), PR_SET_PDEATHSIG), and with the template
the kernel kills everything in its namespace. Without namespaces the launcher cleans up when either has gone.
"""

from __future__ import annotations

import _socket
import gc
import importlib
import json
import os
import select
import signal

from . import kernel, limits, namespaces
from .child import prepare_interpreter
from .descendants import kill_descendants
from .scratch import FolderScratch, TmpfsScratch, mount_scratch, remove_folder, serve_replacements
from .template import run_template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from .program import Program

USUAL_MODULES = ("collections", "datetime", "functools", "itertools", "math", "re", "string")
"""Imported ahead: small, and most scripts ask for some of them. Not ``random``, which reseeds itself in every fork."""


class Config:
    """What the engine says in the one argument.

    Attributes:
        control: Descriptor of the control socket.
        engine: The engine's pid: if it is no longer the parent, it has died already.
        scratch: The folder to mount, or make, the scratch in.
        namespaces: False forgoes them.
        preloads: Modules to import ahead.
    """

    def __init__(
        self,
        *,
        control: int,
        engine: int,
        scratch: str,
        scratch_size: int,
        scratch_inodes: int,
        namespaces: bool,
        preloads: list[str],
    ) -> None:
        self.control = control
        self.engine = engine
        self.scratch = scratch
        self.scratch_size = scratch_size
        self.scratch_inodes = scratch_inodes
        self.namespaces = namespaces
        self.preloads = preloads


def main(argument: str) -> NoReturn:
    """Start the slot's processes as ``argument`` (JSON of ``Config``) says. Ends the process."""
    # One interpreter's memory serves all processes of the slot as long as nobody writes to it, and a collection writes
    # to every object it looks at. So: import and warm first, freeze before each fork, collect nothing.
    gc.disable()
    config = Config(**json.loads(argument))
    _import_ahead(USUAL_MODULES)
    program = prepare_interpreter()
    gc.freeze()
    control = _socket.socket(fileno=config.control)
    os.set_inheritable(config.control, False)
    problem = namespaces.trial(config.scratch) if config.namespaces else "switched off in the settings"
    try:
        if problem is None:
            _start_contained(config, program, control)
        else:
            _start_plain(config, program, control, problem)
    finally:
        os._exit(0)


def _start_contained(config: Config, program: Program, control: _socket.socket) -> None:
    """Own the namespaces and mounts, fork the template, then replace its scratch on demand until it has gone."""
    namespaces.enter()
    # After enter(): a change of credentials clears it.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != config.engine:
        return
    path = mount_scratch(config.scratch, config.scratch_size, config.scratch_inodes)
    _import_ahead(config.preloads)
    gc.freeze()
    ours, templates = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if _mount_own_proc():
            limits.cap_processes()
        scratch = TmpfsScratch(path, templates, config.scratch_size, config.scratch_inodes)
        run_template(program, control, scratch, namespaces.own_pid_namespace(), None)
    templates.close()
    control.close()
    serve_replacements(path, ours)
    os.waitpid(pid, 0)


def _start_plain(config: Config, program: Program, control: _socket.socket, problem: str) -> None:
    """Without namespaces: wait until the template or the engine has gone, then leave nothing behind."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    _import_ahead(config.preloads)
    gc.freeze()
    scratch = FolderScratch(config.scratch)
    pid = os.fork()
    if pid == 0:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        run_template(program, control, scratch, None, problem)
    control.close()
    engine = os.pidfd_open(os.getppid()) if os.getppid() == config.engine else None
    template = os.pidfd_open(pid)
    if engine is not None:
        select.select([engine, template], [], [])
    kill_descendants()
    remove_folder(scratch.path)


def _mount_own_proc() -> bool:
    """Show the slot's processes only; False where a container refuses that: /proc stays the host's then."""
    try:
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    except PermissionError:
        return False
    return True


def _import_ahead(names: Iterable[str]) -> None:
    for name in names:
        importlib.import_module(name)
