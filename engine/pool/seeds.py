"""Has packages make what they keep in a cache, once for each environment, for all runs to read.

They make it in the sandbox, like whatever packages do: in a slot of its own that ends with it. Without such files each
run that imports matplotlib would look through all of its fonts.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.models.runs import Mode, Outcome, RunKind
from engine.pool.environment import SEEDS, seed_place
from engine.pool.job import Environment, Job, Limits, NotEnoughMemory, Profile, SandboxUnavailable, SilentSink
from engine.pool.outcome import ReturnedFile
from engine.pool.pool import Pool
from engine.pool.settings import PoolSettings

KEPT = 20
"""Environments whose files are kept."""

MOST = 4 << 20
"""Bytes of all files together."""

LIMITS = Limits(wall=60.0, memory=1 << 30, files=MOST)

_SOURCE = """
import importlib, pathlib
importlib.import_module({module!r})
home = pathlib.Path.home()
made = [path for path in (home / ".cache" / {package!r}).glob("*") if path.is_file()]
result = {{"files": [str(path.relative_to(home)) for path in made]}}
"""

_NAME = re.compile(r"[\w-][\w.-]{0,99}", re.ASCII)

log = logging.getLogger(__name__)


class _NotMade(Exception):
    """A package could not make what it makes. The message says why."""


async def make_seeds(settings: PoolSettings, environment: Environment) -> None:
    """Have the files of an environment's packages made, unless there are some or none of them makes any.

    What fails is logged: runs go on without.
    """
    place = seed_place(settings.seeds, environment)
    if place is None or await asyncio.to_thread(place.exists):
        return
    try:
        made = {
            module: await _made(settings, environment, package, module)
            for package, module in SEEDS.items()
            if (environment.packages / package).is_dir()
        }
        await asyncio.to_thread(_keep, place, made)
    except (OSError, _NotMade, NotEnoughMemory, SandboxUnavailable) as error:
        log.warning("what packages of the environment %s make for all runs cannot be kept: %s", environment.name, error)


async def _made(settings: PoolSettings, environment: Environment, package: str, module: str) -> Sequence[ReturnedFile]:
    """Return what ``package`` has made in a run of its own."""
    alone = replace(
        settings, environment=environment, scratch=settings.scratch / "seeds", size=1, min_size=1, max_size=1,
        profile=Profile(tools=True), seeds=None,
    )  # fmt: skip
    pool = Pool(alone)
    try:
        await pool.start()
        job = Job(
            run_id=0, kind=RunKind.EXEC, name="<seeds>", actor="engine", filename="<seeds>", sink=SilentSink(),
            source=_SOURCE.format(module=module, package=package).encode(), limits=LIMITS,
            profile=Profile(mode=Mode.RESTRICTED, tools=True),
        )  # fmt: skip
        ending = await pool.submit(job)
    finally:
        await pool.close()
    if ending.outcome is not Outcome.OK:
        raise _NotMade(f"{package}: {ending.error.message if ending.error else ending.outcome.value}")
    return ending.files


def _keep(place: Path, made: dict[str, Sequence[ReturnedFile]]) -> None:
    """Put the files into a new folder. Nothing of the names is believed: packages have made them up."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        for module, files in made.items():
            (fresh / module).mkdir(mode=0o700)
            for file in files:
                name = file.name.rpartition("/")[2]
                if _NAME.fullmatch(name):
                    (fresh / module / name).write_bytes(file.data)
        fresh.rename(place)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    old = sorted(place.parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)[KEPT:]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
