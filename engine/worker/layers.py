"""What a process puts on before it may run a script: two lists of layers, each applied in order.

The template's layers are inherited by every child, so a run need not pay for them; a child adds what must be its own.
The order is not free: descriptors come first, since nothing else may see the control socket, and whatever denies system
calls comes last.
"""

from __future__ import annotations

import os
import signal
import sys

from . import kernel, limits
from .channel import RUN_FD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .seccomp import InnerFilter
    from .wire import ForkRequest

MAX_DESCRIPTOR = 2**31 - 1


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

    /dev/null is opened anew: the flags of an open file are shared by all who inherited it.
    """
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(setup.stdout, 1)
    os.dup2(setup.stderr, 2)
    os.dup2(setup.run_socket, RUN_FD, inheritable=False)
    if not kernel.close_from(RUN_FD + 1):
        os.closerange(RUN_FD + 1, MAX_DESCRIPTOR)


def _session(setup: Setup) -> None:
    """A session of its own: no terminal, no group to signal, under autogroup scheduling one share of the processor."""
    os.setsid()
    if not setup.contained:
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
    """Other processes of the account may neither trace this one nor read its memory or environment."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _private_files() -> None:
    os.umask(0o077)


def _no_new_privileges() -> None:
    """No set-user-ID program gains anything; Landlock and seccomp ask for this first."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


RESTRICTED_TEMPLATE: tuple[Callable[[], None], ...] = (
    _undumpable,
    _private_files,
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
