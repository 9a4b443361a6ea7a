"""What the pool is asked to run, and within which limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engine.models.runs import Mode, Priority, RunKind, Stream
from engine.sandbox.grants import OpenedGrant

AHEAD: Mapping[str, tuple[str, ...]] = {
    "numpy": ("numpy",),
    "pandas": ("numpy", "pandas"),
    "matplotlib": ("matplotlib.backends.backend_agg", "matplotlib.pyplot", "numpy"),
}
"""Packages that take long to import, with what is imported ahead for the scripts that use them.

Importing them changes nothing for scripts that do not: their runs may have a process with them."""

AHEAD_MODULES = frozenset(name for names in AHEAD.values() for name in names)


class QueueFull(Exception):
    """As many runs wait as may. The message is the sentence for the user."""


class JobRejected(ValueError):
    """The job can never run as it is. The message is the sentence for the user."""


class NotEnoughMemory(JobRejected):
    """The host has less memory than the job asks for, though nothing else runs. The message is the sentence."""


class PoolClosed(JobRejected):
    """The engine is stopping. The message is the sentence for the user."""


class SandboxUnavailable(JobRejected):
    """This host does not give what the job's mode needs, so nothing runs. The message is the sentence for the user."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use: seconds and bytes."""

    wall: float = 30.0
    """From dispatch, not from the moment it was queued. Processor time is limited to one second more."""

    memory: int = 512 << 20
    """Address space beyond what the warmed interpreter itself takes."""

    output: int = 1 << 20
    """Standard output and error together, as far as they are kept. What is longer is cut in the middle."""

    output_stop: bool = False
    """More output than that ends the run instead."""

    result: int = 1 << 20
    code: int = 1 << 20
    scratch: int = 64 << 20
    inodes: int = 4096
    open_files: int = 64
    files: int = 16 << 20
    """All the files together that the run leaves in its record."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The interpreter and the packages that scripts run with.

    Attributes:
        interpreter: Absolute and resolved: this is executed, never what packages may have put into ``prefix``.
        prefix: The folder of the virtual environment; scripts see it as ``sys.prefix``.
        packages: The folder of its packages, which goes on ``sys.path``. No ``.pth`` file in it is followed.
        version: Of the interpreter, such as ``3.12.3``.
        name: As people call it.
        modules: Import names that were approved together with it: RESTRICTED scripts may import them.
    """

    interpreter: Path
    prefix: Path
    packages: Path
    version: str
    name: str = "default"
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a zygote is made for."""

    mode: Mode = Mode.RESTRICTED
    environment: Environment | None = None
    """None: the pool's own."""
    preloads: tuple[str, ...] = ()
    grants: tuple[OpenedGrant, ...] = ()
    tools: bool = False
    """For parsing scripts: sandboxed like RESTRICTED, without the import rule."""
    leaves: bool = False
    """Of ADMIN: what detaches itself from a run goes on after it, so the run gets no pid namespace of its own."""

    def inside(self, environment: Environment) -> Profile:
        """Return the same for another environment."""
        return Profile(self.mode, environment, self.preloads, self.grants, self.tools, self.leaves)

    def with_preloads(self, names: Iterable[str]) -> Profile:
        """Return the same with these modules imported ahead, too."""
        preloads = (*self.preloads, *sorted(set(names).difference(self.preloads)))
        return Profile(self.mode, self.environment, preloads, self.grants, self.tools, self.leaves)

    def without_preloads(self) -> Profile:
        """Return the same with nothing imported ahead."""
        return Profile(self.mode, self.environment, (), self.grants, self.tools, self.leaves)

    def serves(self, wanted: Profile) -> bool:
        """Whether a zygote of this profile can take a run of ``wanted``: it may have some of ``AHEAD`` besides."""
        if self == wanted:
            return True
        more = set(self.preloads).difference(wanted.preloads)
        return (
            more <= AHEAD_MODULES
            and set(wanted.preloads) <= set(self.preloads)
            and self.without_preloads() == wanted.without_preloads()
        )


@dataclass(frozen=True, slots=True)
class FileInput:
    """A sealed memfd handed to a run. ``fd`` stays the caller's, who closes it after the run has ended."""

    name: str
    fd: int
    size: int


@dataclass(frozen=True, slots=True)
class SharedModule:
    """A module of the project's shared code, as a run is given it."""

    name: str
    """``lib.tags``."""

    path: str = ""
    """``lib/tags.py``; nothing for a folder without ``__init__.py``."""

    text: bytes = b""
    sha256: str = ""
    package: bool = False
    code: bytes = b""
    """The text compiled by the tools child; nothing where that has not happened yet. Opaque to the engine."""


class RunSink(Protocol):
    """Hears of a run as it happens: plain calls in the event loop, which must return soon and must not raise."""

    def queued(self, position: int, reason: str) -> None:
        """It waits; position 1 is next. Called again when that has changed."""

    def started(self, slot: int, pid: int, isolation: str) -> None:
        """It runs; ``pid`` is the child's as the engine's host sees it."""

    def output(self, stream: Stream, text: str) -> None:
        """It wrote ``text``, in order. How much that becomes is limited only where the script asks to be stopped."""

    def held(self) -> bool:
        """Whether it is to be read later: a follower has as much to read as may wait (backpressure)."""


Reply = Callable[[bytes, Sequence[int]], None]
"""Takes the JSON that a call is answered with, and descriptors, which stay the caller's until the run has ended. The
first answer counts, and none after the run's end."""


class HostCalls(Protocol):
    """Answers what a run asks by ``import gatewright``: plain calls in the event loop, which must return soon and must
    not raise."""

    def call(self, payload: bytes, reply: Reply) -> None:
        """Answer one call by ``reply``, at once or later. Nothing of ``payload`` has been looked at yet."""

    def end(self) -> None:
        """The run has ended: give up what is under way. No call comes after it."""


class ChildLink(Protocol):
    """A child, as the calls of a batch see it."""

    def send(self, frame: bytes) -> None:
        """Send a frame behind those that wait already."""

    def stop(self, reason: str) -> None:
        """End the run, since it takes too long. The reason is a sentence."""


class BatchCalls(Protocol):
    """What a run of kind RENDER is to call. Its methods are called in the event loop and must return soon."""

    def attach(self, link: ChildLink) -> None:
        """Begin with a child: its RUN has been sent."""

    def take(self, payload: bytes) -> None:
        """Take a TEXTS frame. Raises ``ProtocolError`` if it is not what it should be."""

    def detach(self, number: int, begun: int) -> None:
        """End with the child; by its page ``begun`` calls of the chunk ``number`` had begun."""


class SilentSink:
    """``RunSink`` of a run that the engine makes for itself."""

    def queued(self, position: int, reason: str) -> None: ...

    def started(self, slot: int, pid: int, isolation: str) -> None: ...

    def output(self, stream: Stream, text: str) -> None: ...

    def held(self) -> bool:
        return False


class OutputBuffers(Protocol):
    """The shared memory that a run has made for what it leaves."""

    def seal(self) -> bool:
        """Let nothing write there from now on; False if the run's process still can, so that its end comes first."""

    def held(self) -> int:
        """Bytes of memory that it takes by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run, complete."""

    run_id: int
    kind: RunKind
    name: str
    actor: str
    source: bytes
    filename: str
    """Shown in tracebacks: ``defaults/tour.py`` or ``<exec>``."""
    sink: RunSink
    module: str = ""
    function: str = ""
    entrypoint: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileInput] = field(default_factory=dict)
    buffers: Mapping[str, FileInput] = field(default_factory=dict)
    """Read-only memory, by its name in ``gatewright.buffers``."""
    outputs: OutputBuffers | None = None
    stdin: FileInput | None = None
    argv: Sequence[str] = ()
    """What follows the script's path in ``sys.argv``."""
    shared: Sequence[SharedModule] = ()
    code: bytes = b""
    """The source compiled by the tools child; nothing where that has not happened. Opaque to the engine."""
    batch: BatchCalls | None = None
    """Of kind RENDER: what it is to call, and where the texts go."""
    shared_folder: str = ""
    """The folder that their paths are relative to, for ``__file__``."""
    limits: Limits = Limits()
    profile: Profile = Profile()
    ahead: Sequence[str] = ()
    """Modules that it is better off with when they are imported ahead; it runs as well where they are not."""
    priority: Priority = Priority.API
    queue_wait: float | None = None
    """Seconds that it may wait for a free slot; None: as long as the pool lets a run wait."""
    max_parallel: int | None = None
    """How many runs of the same name may go on at once."""
    calls: HostCalls | None = None
    """Answers what the run asks the engine; None: it may ask nothing."""

    @property
    def inputs(self) -> list[FileInput]:
        """Everything that is handed over as a descriptor, in this order."""
        return [*self.mapped, *([] if self.stdin is None else [self.stdin])]

    @property
    def mapped(self) -> list[FileInput]:
        """What of that the child maps into its memory."""
        return [*self.files.values(), *self.buffers.values()]
