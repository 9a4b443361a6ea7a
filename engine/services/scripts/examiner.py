"""Has texts of scripts parsed in the sandbox, on a slot of its own, so that no run ever waits for it.

What comes back is held against its type and its caps like anything that a child sends: the parser is C code at work on
hostile text.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import logging
import os
from collections import OrderedDict
from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engine.models.checks import CheckedFunction, CheckProblem
from engine.models.runs import Mode, Outcome, Priority, RunKind
from engine.pool.job import Environment, Job, JobRejected, Limits, Profile, QueueFull, SilentSink
from engine.pool.outcome import Ending
from engine.pool.pool import Pool
from engine.pool.settings import PoolSettings
from engine.services.access import ServiceError
from engine.worker.tools import MAX_FUNCTIONS, MAX_IMPORTS, MAX_PARTS, MAX_PROBLEMS
from store.sizes import describe_size

MODULE = "_gatewright_worker.tools"
"""``engine.worker.tools`` as the child knows it."""

WALL = 1.5
LIMITS = Limits(wall=WALL, memory=512 << 20, output=64 << 10, result=2 << 20, scratch=1 << 20, inodes=64)
"""The result's is above what the parser's own caps let it grow to."""

PROFILE = Profile(mode=Mode.RESTRICTED, preloads=("ast", "warnings", MODULE), tools=True)

QUEUE_LIMIT = 16
QUEUE_WAIT = 10.0
KEPT = 64
"""Texts whose findings are remembered."""

log = logging.getLogger(__name__)


class FoundImport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A module that a text asks for by its whole name, and the line where it does so first.

    Attributes:
        parts: What ``from name import …`` takes out of it.
        origin: Where the scripts' interpreter has it from.
    """

    name: str
    line: int
    parts: Annotated[list[str], Meta(max_length=MAX_PARTS)]
    origin: Literal["standard", "installed", "missing"]


class Examined(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``engine.worker.tools.examine`` returns."""

    problems: Annotated[list[CheckProblem], Meta(max_length=MAX_PROBLEMS)]
    functions: Annotated[list[CheckedFunction], Meta(max_length=MAX_FUNCTIONS)]
    imports: Annotated[list[FoundImport], Meta(max_length=MAX_IMPORTS)]
    listed: bool
    entrypoint: Literal["", "function", "async", "generator", "other", "missing"]
    guard: int
    guard_calls: bool


class NotExamined(Exception):
    """The parser did not come to an end with this text. The message is the sentence for the user."""


def tools_pool(users: PoolSettings) -> PoolSettings:
    """The settings of a pool that only parses, with one slot, beside the users' pool."""
    return replace(
        users,
        scratch=users.scratch / "tools",
        size=1,
        min_size=1,
        max_size=1,
        limits=LIMITS,
        profile=PROFILE,
        queue_limit=QUEUE_LIMIT,
        queue_wait=QUEUE_WAIT,
        host_memory=lambda: None,  # its runs are short and the engine's own: a check is never refused for it
    )


class Examiner:
    """Owns the tools slot, which starts with the first text: many engines never see one."""

    def __init__(self, settings: PoolSettings) -> None:
        self._pool = Pool(settings)
        self._starting: asyncio.Task[None] | None = None
        self._closed = False
        self._numbers = itertools.count(1)
        self._known: OrderedDict[bytes, asyncio.Task[Examined]] = OrderedDict()
        self._packages = settings.environment.packages

    async def examine(self, text: bytes, entrypoint: str, actor: str, priority: Priority) -> Examined:
        """Parse a script's text, once however often it is asked for.

        Args:
            text: In UTF-8, lone surrogates passed through.
            entrypoint: The function that the text's own frontmatter names, or nothing.
            actor: Who wants to know.
            priority: Of this among all texts that wait.

        Raises:
            NotExamined: It took too long or too much, or broke the parser.
            ServiceError: ``busy``, or ``sandbox_unavailable``: nothing is said about the text.
        """
        key = hashlib.sha256(text + self._installed()).digest()
        task = self._known.get(key)
        if task is None:
            task = asyncio.create_task(self._parse(text, entrypoint, actor, priority), name="examine")
            task.add_done_callback(lambda done: self._forget_failed(key, done))
            self._known[key] = task
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return await asyncio.shield(task)

    async def compile(self, text: str, path: str) -> bytes | None:
        """Compile a file of the shared code where no script runs; None if that does not come to an end.

        What comes back is opaque here: only a run that imports the file, and has its text, reads it.

        Args:
            text: What the file holds.
            path: Its name in tracebacks.

        Raises:
            ServiceError: ``busy``, or ``sandbox_unavailable``: nothing is said about the text.
        """
        ending = await self._call("compile_shared", (text, path), "<compile>", Priority.BATCH)
        match ending.outcome:
            case Outcome.OK if isinstance(ending.value, str):
                try:
                    return base64.b64decode(ending.value, validate=True)
                except ValueError:
                    log.warning("compiled code is not what it should be")
                    return None
            case Outcome.TIMEOUT if ending.duration == 0:  # it never started
                raise _busy()
            case Outcome.SANDBOX_UNAVAILABLE | Outcome.INTERRUPTED | Outcome.CANCELLED:
                raise _unavailable(_reason(ending))
            case _:
                return None

    def follow(self, environment: Environment) -> None:
        """Parse with the interpreter of another environment from now on, and look there for what a text imports."""
        self._packages = environment.packages
        self._pool.switch_environment(environment)

    def environments_in_use(self) -> set[Environment]:
        """Return those that the parser's processes run with."""
        return self._pool.environments_in_use()

    async def close(self) -> None:
        """End the slot's processes; whoever waits for a text is told so."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._pool.close()
        await asyncio.gather(*self._known.values(), return_exceptions=True)

    def _installed(self) -> bytes:
        """What changes when a package is installed or removed: the findings say which imports are there."""
        changed = os.stat(self._packages).st_mtime_ns if self._packages.is_dir() else 0
        return b"\0%s\0%d" % (os.fsencode(self._packages), changed)

    async def _parse(self, text: bytes, entrypoint: str, actor: str, priority: Priority) -> Examined:
        args = text.decode("utf-8", "surrogatepass"), entrypoint
        return _findings(await self._call("examine", args, actor, priority))

    async def _call(self, function: str, args: tuple[str, ...], actor: str, priority: Priority) -> Ending:
        """Call a function of ``MODULE`` in a child of its own."""
        await self._started()
        job = Job(
            run_id=next(self._numbers),
            kind=RunKind.CALL,
            name="<check>",
            actor=actor,
            source=b"",
            filename="<check>",
            sink=SilentSink(),
            module=MODULE,
            function=function,
            args=args,
            limits=LIMITS,
            profile=PROFILE,
            priority=priority,
        )
        try:
            return await self._pool.submit(job)
        except QueueFull:
            raise _busy() from None
        except JobRejected as error:
            raise _unavailable(str(error)) from None

    async def _started(self) -> None:
        if self._closed:
            raise _unavailable("the engine is stopping.")
        if self._starting is None:
            self._starting = asyncio.create_task(self._pool.start(), name="start the tools slot")
        starting = self._starting
        await asyncio.wait([starting])
        if starting.cancelled():
            raise _unavailable("the engine is stopping.")
        if (error := starting.exception()) is not None:
            self._starting = None
            raise _unavailable(f"the parser's slot cannot be started: {error}.")

    def _forget_failed(self, key: bytes, task: asyncio.Task[Examined]) -> None:
        """Only findings are worth keeping: what failed may have failed because the host was busy."""
        failed = task.cancelled() or task.exception() is not None
        if failed and self._known.get(key) is task:
            del self._known[key]


def _findings(ending: Ending) -> Examined:
    """What an ending tells about the text, or the right refusal."""
    match ending.outcome:
        case Outcome.OK:
            return _checked(ending.value)
        case Outcome.TIMEOUT if ending.duration == 0:  # it never started
            raise _busy()
        case Outcome.TIMEOUT:
            raise NotExamined(f"Checking this text takes longer than {WALL:g} s; it was not checked.")
        case Outcome.MEMORY:
            memory = describe_size(LIMITS.memory)
            raise NotExamined(f"Checking this text takes more than {memory} of memory; it was not checked.")
        case Outcome.SANDBOX_UNAVAILABLE | Outcome.INTERRUPTED | Outcome.CANCELLED:
            raise _unavailable(_reason(ending))
        case _:
            log.warning("the parser ended with %s: %s", ending.outcome, _reason(ending))
            raise NotExamined("The parser broke at this text; it was not checked.")


def _checked(value: object) -> Examined:
    try:
        return msgspec.convert(value, Examined)
    except (msgspec.ValidationError, RecursionError) as error:
        log.warning("the parser's answer is not what it should be: %s", error)
        raise NotExamined("The parser broke at this text; it was not checked.") from None


def _reason(ending: Ending) -> str:
    return ending.error.message if ending.error else f"{ending.outcome}."


def _unavailable(reason: str) -> ServiceError:
    return ServiceError("sandbox_unavailable", f"The text was not checked: {reason}", status=503)


def _busy() -> ServiceError:
    return ServiceError(
        "busy", "Too many texts wait to be checked already.", hint="Try again in some seconds.", status=429
    )
