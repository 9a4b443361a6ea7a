"""The launcher: the process that the engine starts. It makes a slot's other processes and outlives none of them.

The launcher and the template that it forks are the slot's zygote. With namespaces the launcher owns them and their
mounts, and the template is the first process of its pid namespace. Whoever dies takes what is below along: the template
is killed when the launcher dies, the launcher when the engine does (prctl(2), PR_SET_PDEATHSIG), and with the template
the kernel kills everything in its namespace. Without namespaces the launcher cleans up when either has gone.

Which layers there are is the engine's decision (``engine/sandbox/plan.py``). Here they are put on, all of them or none:
whatever fails ends the zygote.
"""

from __future__ import annotations

import _socket
import gc
import importlib
import json
import mmap
import os
import select
import signal
import site
import sys

from . import databases, kernel, limits, namespaces
from .child import prepare_interpreter
from .config import USUAL_MODULES, Config
from .descendants import kill_descendants, kill_session
from .grants import WRITE, show_grants
from .hints import Circumstances
from .locks import LockBroker
from .oom import ZYGOTE, OomScore
from .readable import readable_paths
from .scratch import FolderScratch, NoScratch, TmpfsScratch, mount_scratch, serve_template
from .template import Template
from .view import SCRATCH_PARENT, View
from .wire import LINE_PAGE, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .program import Program
    from .scratch import Scratch
    from .shared_memory import SharedMemory


def main() -> Template:
    """Start the slot's processes as standard input (JSON of ``Config``) says. Returns only in the template."""
    # One interpreter's memory serves all processes of the slot as long as nobody writes to it, and a collection writes
    # to every object it looks at. So: import and warm first, freeze before each fork, collect nothing.
    gc.disable()
    config = Config(**json.loads(_configuration()))
    _give_way()
    limits.usual_files()
    # Below the limit that now holds, as everything that is opened from here on (see ``layers._descriptors``).
    control = _socket.socket(fileno=os.dup(config.control))
    os.close(config.control)
    template = None
    try:
        _enter_environment(config)
        _import_ahead(USUAL_MODULES)
        granted = [(path, access == WRITE) for access, path, _, _ in config.grants]
        around = Circumstances(restricted=not config.admin, scripts=config.scripts, granted=granted)
        program = prepare_interpreter(config.rule, around)
        program.channel.page = mmap.mmap(config.line, LINE_PAGE)
        os.close(config.line)
        gc.freeze()
        if config.layers.pidns:
            template = _start_contained(config, program, control)
        else:
            template = _start_plain(config, program, control)
    except Exception as error:  # noqa: BLE001 - becomes the sentence that the engine logs
        control.send(Report.FAILED + f"{type(error).__name__}: {error}".encode()[:4000])
    finally:
        if template is None:
            os._exit(0)
    return template


def _enter_environment(config: Config) -> None:
    """Do what ``site`` does for a virtual environment, but for what could run code of its packages.

    No ``.pth`` file is followed. The packages come on the path when the sandbox is on (``Template``): modules of the
    standard library try names that are not there, which a package may have.
    """
    sys.prefix = sys.exec_prefix = config.prefix
    sys.executable = os.path.join(config.prefix, "bin", "python")
    site.PREFIXES = [config.prefix]
    site.ENABLE_USER_SITE = False
    site.setquit()
    site.setcopyright()
    site.sethelper()


def _give_way() -> None:
    """Let the gateway and the engine go first, for memory and for the processor. Everything below inherits it."""
    score = OomScore()
    score.set(ZYGOTE)
    score.close()
    os.nice(limits.ZYGOTE_NICENESS)


def _configuration() -> bytes:
    """Read standard input to its end and put /dev/null in its place, for reading and writing."""
    with open(0, "rb", closefd=False) as file:
        told = file.read()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return told


def _start_contained(config: Config, program: Program, control: _socket.socket) -> Template | None:
    """Own the namespaces and mounts, fork the template, then replace its scratch on demand until it has gone.

    Returns the template in the template, None in the launcher.
    """
    if config.layers.userns and not config.layers.locks:  # with locks it began in one
        namespaces.enter_user_namespace()
    namespaces.enter(namespaces.OWN_TREE if config.admin else namespaces.CONTAINED)
    # After that: a change of credentials clears it.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != config.engine:
        return None
    if config.layers.locks:
        databases.prepare()
    _import_ahead(_own_modules(config))
    readable = [] if config.admin else readable_paths(config.packages, config.seeds)
    view = _build_view(config, readable) if config.layers.view else None
    parent = config.scratch if view is None else SCRATCH_PARENT
    place = config.scratch if view is None else view.folder(SCRATCH_PARENT)
    mount_scratch(place, config.scratch_size, config.scratch_inodes)
    path = f"{parent}/s"
    shared = _mount_shared_memory(config.shm_size) if config.admin else None
    broker = LockBroker(path) if config.layers.locks else None
    gc.freeze()
    ours, templates = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        if broker is not None:
            broker.close()
        more = () if shared is None else shared.places()
        return _contained_template(config, program, control, view, readable, path, more, templates)
    templates.close()
    control.close()
    try:
        serve_template(path, ours, shared, broker)
    except Exception as error:
        os.write(2, f"The launcher broke: {type(error).__name__}: {error}\n".encode())
        raise  # with it the template ends
    os.waitpid(pid, 0)
    return None


def _contained_template(
    config: Config,
    program: Program,
    control: _socket.socket,
    view: View | None,
    readable: list[str],
    path: str,
    more: tuple[str, ...],
    launcher: _socket.socket,
) -> Template:
    """Be the first process of the slot's pid namespace: look at the own /proc, enter the view."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if config.admin:
        _cap_processes_only(path)
    else:
        _mount_own_proc("/proc" if view is None else view.folder("/proc"))
    own = namespaces.own_pid_namespace()
    if view is not None:
        view.enter()  # the launcher's root goes along: it shares this mount namespace
    scratch: Scratch = TmpfsScratch(path, launcher, config.scratch_size, config.scratch_inodes, more)
    return Template(program, control, scratch, own, config, readable)


def _mount_shared_memory(size: int) -> SharedMemory:
    # Only here: what a RESTRICTED slot never uses would lie among the pages that its children copy.
    from .shared_memory import SharedMemory

    shared = SharedMemory(size)
    shared.mount()
    return shared


def _start_plain(config: Config, program: Program, control: _socket.socket) -> Template | None:
    """Without namespaces: wait until the template or the engine has gone, then leave nothing behind.

    Returns the template in the template, None in the launcher.
    """
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    _import_ahead(_own_modules(config))
    readable = [] if config.admin else readable_paths(config.packages, config.seeds)
    gc.freeze()
    # Nothing bounds what a script writes to a folder on disk. Only where it may fill the disk anyway is there one.
    bounded = config.layers.seccomp or config.layers.landlock
    scratch: NoScratch | FolderScratch = NoScratch(config.scratch) if bounded else FolderScratch(config.scratch)
    pid = os.fork()
    if pid == 0:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        return Template(program, control, scratch, None, config, readable)
    control.close()
    engine = os.pidfd_open(os.getppid()) if os.getppid() == config.engine else None
    template = os.pidfd_open(pid)
    if engine is not None:
        select.select([engine, template], [], [])
    if config.leaves:
        kill_session(os.getsid(0))
    else:
        kill_descendants()
    try:
        scratch.remove()
    except OSError as error:
        os.write(2, f"The scratch folder {scratch.path} could not be removed: {error}\n".encode())
    return None


def _build_view(config: Config, readable: list[str]) -> View:
    view = View(config.scratch)
    view.show_all(readable)
    view.show_devices()
    show_grants(view, config.grants)
    return view


def _mount_own_proc(place: str) -> None:
    """Show the slot's processes only, and bound their number. A container may refuse that: then it is the host's."""
    try:
        _mount_proc(place)
    except PermissionError:
        if place != "/proc":
            kernel.mount("/proc", place, None, kernel.MS_BIND | kernel.MS_REC)
        return
    limits.cap_processes(place, limits.PID_MAX)


def _cap_processes_only(place: str) -> None:
    """An administrator's script sees the host's processes; the number of its own is bounded all the same."""
    try:
        _mount_proc(place)
    except PermissionError:
        return
    limits.cap_processes(place, limits.ADMIN_PID_MAX)
    kernel.detach(place)


def _mount_proc(place: str) -> None:
    kernel.mount("proc", place, "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)


def _own_modules(config: Config) -> list[str]:
    """Return which modules of these here only some slots need: no sandbox shows them."""
    needed = [name for name in config.preloads if name.startswith(f"{__package__}.")]
    return needed + [f"{__package__}.seeds"] * bool(config.seeds)


def _import_ahead(names: Iterable[str]) -> None:
    for name in names:
        importlib.import_module(name)
