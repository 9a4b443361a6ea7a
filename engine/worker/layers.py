"""What a process puts on before it may run a script: two lists of layers, each applied in order.

The template's layers are inherited by every child, so a run need not pay for them; a child adds what must be its own.
The order is not free: descriptors come first, since nothing else may see the control socket, and whatever denies system
calls comes last.
"""

from __future__ import annotations

import errno
import operator
import os
import posix
import signal
import sys

from . import kernel, limits
from .channel import RUN_FD
from .hints import NOT_OWN, add_note
from .seccomp import FOREIGN_MODES, MASKED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .seccomp import InnerFilter
    from .wire import ForkRequest

    Path = int | str | bytes | os.PathLike[str] | os.PathLike[bytes]

PRIVATE = 0o077
"""The umask that runs begin with."""


class Setup:
    """What the layers of one child are made from. ``contained``: in a pid namespace of its own."""

    __slots__ = ("contained", "filter", "request", "run_socket", "scratch", "stderr", "stdout", "template_size")

    def __init__(
        self,
        request: ForkRequest,
        run_socket: int,
        stdout: int,
        stderr: int,
        scratch: str,
        template_size: int,
        contained: bool,
        inner_filter: InnerFilter | None,
    ) -> None:
        self.request = request
        self.run_socket = run_socket
        self.stdout = stdout
        self.stderr = stderr
        self.scratch = scratch
        self.template_size = template_size
        self.contained = contained
        self.filter = inner_filter


def _descriptors(setup: Setup) -> None:
    """Have /dev/null, pipes that count as output, and the run's socket; close the rest.

    /dev/null is opened anew: the flags of an open file are shared by all who inherited it. And for writing only, as
    nohup(1) does it: a run has no standard input, and who reads it must not take that for an empty one.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 0)
    os.dup2(setup.stdout, 1)
    os.dup2(setup.stderr, 2)
    os.dup2(setup.run_socket, RUN_FD, inheritable=False)
    if not kernel.close_from(RUN_FD + 1):
        os.closerange(RUN_FD + 1, limits.USUAL_FILES)  # one by one; the launcher sees to it that none is higher


def _session(setup: Setup) -> None:
    """A session of its own: no terminal, no group to signal, under autogroup scheduling one share of the processor."""
    os.setsid()
    if not setup.contained:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _group(_: Setup) -> None:
    """A process group of its own in the slot's session: who leaves that session has detached himself."""
    os.setpgid(0, 0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _scratch(setup: Setup) -> None:
    os.chdir(setup.scratch)


def _randomness(_: Setup) -> None:
    """``random`` reseeds itself after a fork (``os.register_at_fork``); numpy does not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _capabilities(_: Setup) -> None:
    kernel.drop_capabilities()


def _limits(setup: Setup) -> None:
    limits.apply(setup.request, setup.template_size, own_user_namespace=setup.contained)


def _inner_filter(setup: Setup) -> None:
    """Take away what only the template may do. Nothing of ours that needs it comes after."""
    if setup.filter is not None:
        setup.filter.install(os.getpid())


def _undumpable() -> None:
    """Other processes of the account may neither trace this one nor read its memory or environment.

    Without CAP_SYS_PTRACE in the user namespace in which its program was executed, that is (ptrace(2)). Where that was
    the slot's own, for the lock broker, the account has it from outside: whoever made one has every right there.
    """
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _private_files() -> None:
    os.umask(PRIVATE)


def _own_umask() -> None:
    """Answer ``os.umask(0)`` without the kernel, whose filter refuses it: no other call of Python's reads the mask.

    A mask that lets others write is remembered, so that the next call returns it, and has no other effect.
    """
    set_mask, shown = os.umask, PRIVATE

    def umask(mask: int, /) -> int:
        """Set the mask of files to come and return the one before; group and others never get to write."""
        nonlocal shown
        asked = operator.index(mask) & 0o777
        if all(asked & bit for bit in MASKED):
            set_mask(asked)
        before, shown = shown, asked
        return before

    _stand_in("umask", umask)


def own_modes() -> None:
    """Let ``os.chmod`` and ``os.fchmod`` leave out those bits of a mode that the filter refuses.

    Files that everybody may write to and folders that hand on their group are copied every day, and nothing in a
    scratch folder would be the other for these bits: nobody else reaches it, and it runs no program.
    """
    set_mode, set_mode_of = os.chmod, os.fchmod

    def chmod(path: Path, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        """Change the mode of a file; set-user-ID, set-group-ID, sticky and writing by others are left out."""
        set_mode(path, operator.index(mode) & ~FOREIGN_MODES, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def fchmod(fd: int, mode: int) -> None:
        """Change the mode of an open file, as ``chmod`` does."""
        set_mode_of(fd, operator.index(mode) & ~FOREIGN_MODES)

    _stand_in("chmod", chmod)
    _stand_in("fchmod", fchmod)


def explain_refusals() -> None:
    """Have what only a run with nothing but files of its own may do say so where it is refused."""
    for name in ("chmod", "fchmod", "utime", "symlink", "link", "truncate"):
        _stand_in(name, _explained(getattr(os, name)))


def _explained(change: Callable[..., None]) -> Callable[..., None]:
    def explained(*args: object, **kwargs: object) -> None:
        try:
            change(*args, **kwargs)
        except PermissionError as error:
            if error.errno == errno.EPERM:
                add_note(error, NOT_OWN)
            raise

    explained.__name__ = change.__name__
    explained.__doc__ = change.__doc__
    return explained


def _stand_in(name: str, function: Callable[..., object]) -> None:
    """Put ``function`` wherever the standard library looks for ``os.NAME``, and for what it supports."""
    original = getattr(os, name)
    for module in (os, posix):
        module.__dict__[name] = function
    for supporting in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
        if original in supporting:
            supporting.add(function)


def _no_new_privileges() -> None:
    """No set-user-ID program gains anything; Landlock and seccomp ask for this first."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


RESTRICTED_TEMPLATE: tuple[Callable[[], None], ...] = (
    _undumpable,
    _private_files,
    _own_umask,
    limits.forbid_leftovers,
    _no_new_privileges,
)
"""Landlock and the outer filter come after these: the template still looks at itself in between."""

ADMIN_TEMPLATE: tuple[Callable[[], None], ...] = (_undumpable, _private_files)

RESTRICTED_CHILD: tuple[Callable[[Setup], None], ...] = (
    _descriptors,
    _session,
    _scratch,
    _randomness,
    _capabilities,
    _limits,
    _inner_filter,
)

ADMIN_CHILD: tuple[Callable[[Setup], None], ...] = (_descriptors, _session, _scratch, _randomness)
"""No limits and no filter: an ADMIN run is a shell of the engine's account, and is watched from outside."""

ADMIN_CHILD_OF_NAMESPACE: tuple[Callable[[Setup], None], ...] = (*ADMIN_CHILD, _capabilities)
"""Without the capabilities that a new user namespace gives to whoever makes it: the account has none of them."""

ADMIN_CHILD_THAT_LEAVES: tuple[Callable[[Setup], None], ...] = (_descriptors, _group, _scratch, _randomness)
"""Of a script that may leave processes running."""
