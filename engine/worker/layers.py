"""What a child puts on before it may run a script: a list of layers, applied in this order.

The order is not free. Descriptors come first, since nothing else may see the control socket; capabilities go before the limits are
final; no_new_privs must precede Landlock and seccomp, and seccomp must come last, for it denies what the others need.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from . import kernel, limits
from .channel import RUN_FD

if TYPE_CHECKING:
    from collections.abc import Callable

    from .wire import Order


class Setup(NamedTuple):
    """What the layers of one child are made from."""

    order: Order
    run_socket: int
    stdout: int
    stderr: int
    scratch: str
    template_size: int
    own_user_namespace: bool


def _descriptors(setup: Setup) -> None:
    """Keep /dev/null as stdin, pipes that count as output as stdout and stderr, and the run's socket; close the rest."""
    os.dup2(setup.stdout, 1)
    os.dup2(setup.stderr, 2)
    os.dup2(setup.run_socket, RUN_FD, inheritable=False)
    os.closerange(RUN_FD + 1, MAX_DESCRIPTOR)


def _session(_: Setup) -> None:
    """A session of its own: no terminal, no group to signal, and under autogroup scheduling one share of the processor."""
    os.setsid()
    limits.nice()


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
    limits.apply(setup.order, setup.template_size, own_user_namespace=setup.own_user_namespace)


def _no_new_privileges(_: Setup) -> None:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


MAX_DESCRIPTOR = 2**31 - 1
"""``os.closerange`` is one close_range(2) call for any range where the C library has it."""

CHILD_LAYERS: tuple[Callable[[Setup], None], ...] = (
    _descriptors,
    _session,
    _scratch,
    _randomness,
    _capabilities,
    _limits,
    _no_new_privileges,
)


def apply_layers(setup: Setup) -> None:
    """Put on every layer, in order."""
    for layer in CHILD_LAYERS:
        layer(setup)
