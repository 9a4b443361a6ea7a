"""What the host mounts while slots are ready does not become a place that scripts can change."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from granted import approved
from mounts import needs_mounts, small_disk
from pool_kit import pool_of, run

from engine.models.permissions import Access, Grant
from engine.models.runs import Mode, Outcome
from engine.pool.job import Profile
from engine.sandbox.permissions import open_grant
from engine.sandbox.protected import ProtectedPaths

pytestmark = needs_mounts

CHANGE = """
import random
os = random._os
try:
    os.chmod({path!r}, 0o600)
except OSError as error:
    result = type(error).__name__
else:
    result = "changed"
"""


@pytest.fixture
def readable(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system whose later mounts reach other mount namespaces, as those of a host's root do."""
    with small_disk(tmp_path.resolve() / "disk", 1 << 20) as disk:
        subprocess.run(["mount", "--make-shared", str(disk)], check=True)
        (disk / "logs" / "stick").mkdir(parents=True)
        yield disk / "logs"


async def test_a_file_system_that_is_mounted_below_a_readable_folder_later(readable: Path) -> None:
    path = readable / "stick" / "file.txt"
    code = CHANGE.format(path=str(path))
    profile = Profile(grants=(approved(Access.READ, readable),))
    async with pool_of(1) as pool:
        assert (await run(pool, code, profile=profile)).value == "FileNotFoundError"
        with mounted(readable / "stick"):
            path.write_text("the plant's")
            path.chmod(0o644)
            again = await run(pool, code, profile=profile)
            assert path.stat().st_mode & 0o777 == 0o644
            assert (again.outcome, again.value != "changed") == (Outcome.OK, True), again.ending


async def test_it_can_be_read_by_the_next_run_whose_permissions_are_looked_at(readable: Path) -> None:
    """That one gets a slot of its own, made for what is mounted now; what was unmounted is not held for long either."""
    reading = f"import random\nresult = random._os.listdir({str(readable / 'stick')!r})"
    async with pool_of(1) as pool:
        assert (await run(pool, reading, profile=granted(readable))).value == []
        with mounted(readable / "stick"):
            (readable / "stick" / "file.txt").write_text("the plant's")
            assert (await run(pool, reading, profile=granted(readable))).value == ["file.txt"]
        assert (await run(pool, reading, profile=granted(readable))).value == []


@contextmanager
def mounted(place: Path) -> Iterator[None]:
    """A file system on ``place``, which exists."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def granted(folder: Path) -> Profile:
    """With the grant as a run's permissions are opened."""
    grant = open_grant(Grant(access=Access.READ, path=str(folder)), ProtectedPaths([]), folder=True)
    return Profile(mode=Mode.RESTRICTED, grants=(grant,))
