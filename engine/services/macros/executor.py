"""The seam for more machines: chunks of ``render()`` calls go in, texts and errors come out, wherever they are made.

A chunk never raises: whatever goes wrong with a call, or with all of them, is an error of that call. A filling takes
each index once: what it has answered is answered, what it lost with a worker it may hand to another one. Fillings:
``LocalExecutor``, the slots of this engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.models.macros import Read
from engine.models.runs import RunError
from engine.pool.job import Environment, Limits, SharedModule

MAX_TEXT = 8 << 20
"""Bytes of UTF-8 that one call may return."""

MAX_RESULTS = 64 << 20
"""The same of all calls of a chunk: what is over it are errors. Callers cut smaller chunks where texts are large."""

SHORTEST, LONGEST = 0.010, 0.050
"""Seconds that a chunk should take: its caller cuts chunks by what the ones before took."""


@dataclass(frozen=True, slots=True)
class MacroSource:
    """A macro as a batch uses it: the text that is hashed is the text that runs."""

    name: str
    path: str
    """Shown in tracebacks."""
    text: bytes
    sha256: str
    """Over the text and the hashes of its shared code: the identity of what runs."""
    shared: Sequence[SharedModule] = ()
    entrypoint: str = "render"
    limits: Limits = field(default_factory=Limits)
    preloads: tuple[str, ...] = ()
    environment: Environment | None = None
    """Of its own; None: the pool's usual one."""
    code: bytes = b""
    """The text compiled by the tools child; nothing where that has not happened. Opaque to the engine."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Calls of one macro. ``params[i]`` belongs to ``documents[of[i]]``, or to no document where ``of`` is empty."""

    number: int
    """The caller's own; results carry it."""
    macro: MacroSource
    params: Sequence[Mapping[str, Any]]
    context: Mapping[str, Any] = field(default_factory=dict)
    """What every call gets; ``document`` is added for each."""
    documents: Sequence[Mapping[str, Any]] = ()
    """``{"path", "meta", "text"}`` each."""
    of: Sequence[int] = ()
    wall: float = 30.0
    """Seconds for the whole chunk. The call that goes on then gets an error, and so do those that had not begun."""


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of a chunk: one text or one error for each call."""

    number: int
    texts: list[str | None]
    errors: dict[int, RunError] = field(default_factory=dict)
    """By index of the call; its text is None."""
    tracebacks: dict[int, str] = field(default_factory=dict)
    """Of those of these errors that are exceptions of the macro."""
    warnings: dict[int, list[str]] = field(default_factory=dict)
    reads: dict[int, list[Read]] = field(default_factory=dict)
    output: str = ""
    """What the macro printed meanwhile, shortened."""
    size: int = 0
    """Bytes of UTF-8 of its texts together."""
    duration: float = 0.0
    """Seconds that its calls took, without those of the chunks before it."""
    host: str = ""
    isolation: str = ""


class HashedReply(bytes):
    """A reply to a macro's call whose answer is canonical JSON, with the SHA-256 of that."""

    sha256 = ""


class Executor(Protocol):
    """Takes chunks and gives back results in the order in which they end."""

    async def submit(self, chunk: Chunk) -> None:
        """Take a chunk; waits while as many are in flight as may be (backpressure)."""

    def as_completed(self) -> AsyncIterator[ChunkResult]:
        """Yield results until ``finish`` was called and nothing is left, or the executor was cancelled."""

    def finish(self) -> None:
        """Say that no chunk follows."""

    async def cancel(self) -> None:
        """Stop at once: what goes on is killed, what waits is dropped, ``as_completed`` ends."""

    async def close(self) -> None:
        """Leave nothing running. Safe after ``cancel`` and when called twice."""
