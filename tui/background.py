"""Work that goes on while the user types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec

from textual.dom import DOMNode

P = ParamSpec("P")


def in_background(
    node: DOMNode, group: str, work: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Start a worker of a node; it ends with the node."""
    node.run_worker(partial(work, *args, **kwargs), group=group)


def in_place_of_the_last(
    node: DOMNode, group: str, work: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Start a worker in place of the group's previous one, whose answer nobody needs any more."""
    node.run_worker(partial(work, *args, **kwargs), group=group, exclusive=True)
