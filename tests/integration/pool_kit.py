"""A real pool for tests: built small, fed plain code, and checked for what it leaves in /proc."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from engine.models.engine import SlotState
from engine.models.runs import Mode, Outcome, RunKind, Stream
from engine.pool.environment import _ensure
from engine.pool.job import Environment, Job, Limits, Profile
from engine.pool.outcome import Ending
from engine.pool.pool import Pool
from engine.pool.settings import PoolSettings
from engine.sandbox.interpreters import NEWEST, OLDEST
from engine.sandbox.plan import Findings, admin_plan, restricted_plan
from engine.sandbox.probe import probe

PATIENCE = 20.0
FREE_IMPORTS = Profile(tools=True)
"""Sandboxed like every RESTRICTED run, without the import rule: tests of the pool look at what the kernel does."""

ADMIN = Profile(mode=Mode.ADMIN)

INNOCENT = "import math\nresult = {'answer': 6 * 7, 'root': math.isqrt(144)}"
INNOCENT_VALUE = {"answer": 42, "root": 12}
DEAF = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: pass"
"""A loop that no signal of the script's own world can end."""

_run_ids = itertools.count(1)


@dataclass
class Sink:
    """Remembers what the pool told about one run."""

    positions: list[tuple[int, str]] = field(default_factory=list)
    starts: list[tuple[int, int, str]] = field(default_factory=list)
    chunks: list[tuple[Stream, str]] = field(default_factory=list)

    def queued(self, position: int, reason: str) -> None:
        self.positions.append((position, reason))

    def started(self, slot: int, pid: int, isolation: str) -> None:
        self.starts.append((slot, pid, isolation))

    def output(self, stream: Stream, text: str) -> None:
        self.chunks.append((stream, text))

    def held(self) -> bool:
        return False

    @property
    def stdout(self) -> str:
        return "".join(text for stream, text in self.chunks if stream is Stream.STDOUT)

    @property
    def stderr(self) -> str:
        return "".join(text for stream, text in self.chunks if stream is Stream.STDERR)


@dataclass
class Done:
    """A finished run: its ending and what its sink heard."""

    ending: Ending
    sink: Sink

    @property
    def outcome(self) -> Outcome:
        return self.ending.outcome

    @property
    def value(self) -> Any:
        return self.ending.value


def make_job(code: str | bytes, **options: Any) -> Job:
    """A job of kind ``exec`` unless said otherwise, with a sink of its own."""
    source = code.encode("utf-8", "surrogatepass") if isinstance(code, str) else code
    given: dict[str, Any] = {
        "run_id": next(_run_ids), "kind": RunKind.EXEC, "name": "<exec>", "actor": "tester", "filename": "<exec>",
        "sink": Sink(), "source": source, "profile": FREE_IMPORTS,
    }  # fmt: skip
    return Job(**(given | options))


async def run(pool: Pool, code: str | bytes, *, wall: float = 10.0, **options: Any) -> Done:
    """Run ``code`` to its end."""
    options.setdefault("limits", Limits(wall=wall))
    job = make_job(code, **options)
    ending = await asyncio.wait_for(pool.submit(job), wall + PATIENCE)
    assert isinstance(job.sink, Sink)
    return Done(ending, job.sink)


async def expect_innocent(pool: Pool, profile: Profile = FREE_IMPORTS) -> None:
    """The next run gives its own right answer, in an empty folder, and nothing else is heard of."""
    done = await run(pool, INNOCENT, profile=profile)
    assert (done.outcome, done.value, done.sink.chunks) == (Outcome.OK, INNOCENT_VALUE, []), done.ending


async def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait for a state, never for a time."""
    deadline = asyncio.get_running_loop().time() + patience
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"waited {patience:g} s in vain until {what}")
        await asyncio.sleep(0.002)


async def until_ready(pool: Pool) -> None:
    await until(lambda: pool.info().ready == pool.info().size == len(pool.info().slots), "every slot is ready")


@cache
def environment() -> Environment:
    """Return one that is made once for all tests."""
    if there := os.environ.get("GATEWRIGHT_TEST_ENVIRONMENT"):
        return _ensure(Path(there))
    return environment_on(os.environ.get("GATEWRIGHT_TEST_INTERPRETER", ""))


def environment_on(chosen: Path | str) -> Environment:
    """Make an environment of an interpreter of this host, of the tests' own if none is chosen."""
    folder = tempfile.mkdtemp(prefix="gatewright-test-env-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if chosen:
        subprocess.run([chosen, "-I", "-m", "venv", "--without-pip", f"{folder}/default"], check=True)
    return _ensure(Path(folder) / "default")


@cache
def other_interpreters() -> list[Path]:
    """Return an interpreter of each version that scripts may run on and these tests do not, the oldest first.

    Nothing is run to find them: this is asked for while tests are collected.
    """
    beside = Path(sys.base_prefix).resolve().parent.glob("*/bin")  # as pyenv and uv arrange them
    folders = [Path("/usr/bin"), Path("/usr/local/bin"), *sorted(beside, reverse=True)]
    found = []
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        there = [folder / f"python3.{minor}" for folder in folders if minor != sys.version_info.minor]
        found += [path.resolve() for path in there if path.is_file() and os.access(path, os.X_OK)][:1]
    return found


def interpreter() -> Path:
    """Return the one that scripts of the tests run with."""
    return environment().interpreter


@cache
def findings() -> Findings:
    """What this host gives, tried once for all tests."""
    return probe(environment().interpreter)


def plans(**chosen: Any) -> dict[str, Any]:
    """The settings of a pool that has what this host gives, ADMIN runs included."""
    return {
        "restricted": restricted_plan(findings(), allow_degraded=False),
        "admin": admin_plan(findings(), root=os.geteuid() == 0, admin_as_root=True),
    } | chosen


def plain_plans() -> dict[str, Any]:
    """The same as on a host without user namespaces."""
    lacking = Findings(findings().abi, findings().failures | {"userns": "switched off", "root_pidns": "switched off"})
    return {
        "restricted": restricted_plan(lacking, allow_degraded=False),
        "admin": admin_plan(lacking, root=os.geteuid() == 0, admin_as_root=True),
    }


@contextlib.asynccontextmanager
async def pool_of(size: int = 1, **settings: Any) -> AsyncIterator[Pool]:
    """A started pool; afterwards no process of it is left."""
    before = descendants()
    with tempfile.TemporaryDirectory(prefix="gatewright-test-pool-") as folder:
        given: dict[str, Any] = {
            "environment": environment(), "scratch": Path(folder), "size": size, "min_size": 1,
            "queue_wait": 60.0, "queue_limit": 1000, "profile": FREE_IMPORTS, **plans(),
        }  # fmt: skip
        pool = Pool(PoolSettings(**(given | settings)))
        await pool.start()
        try:
            yield pool
        finally:
            await pool.close()
    left = descendants().keys() - before.keys()
    assert not left, f"processes left behind: {left}"


def limits(**changes: Any) -> Limits:
    return replace(Limits(wall=10.0), **changes)


def descendants(pid: int | None = None) -> Mapping[int, str]:
    """Every process below this one (or ``pid``), by pid, with its command line; zombies too."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parents.setdefault(parent_of(int(entry)), []).append(int(entry))
    found: dict[int, str] = {}
    level = [pid or os.getpid()]
    while level:
        level = [child for parent in level for child in parents.get(parent, [])]
        found |= {child: command_line(child) for child in level}
    return found


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[1])


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as line:
        return line.read().replace(b"\0", b" ").decode("utf-8", "replace")
    return ""


def processes_with(mark: str) -> list[int]:
    """Live processes whose command line holds ``mark``, zombies left out."""
    return [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and int(entry) != os.getpid() and mark in command_line(int(entry))
    ]


def slot_state(pool: Pool, slot: int = 1) -> SlotState:
    return next(info.state for info in pool.info().slots if info.slot == slot)


if sys.platform != "linux":
    raise RuntimeError("the pool runs on Linux only")
