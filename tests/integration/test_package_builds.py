"""uv against an index on this host: locks, builds, and what goes wrong on the way to them. No engine."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import sys
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from mounts import needs_mounts, small_disk
from package_index import SDIST, PackageIndex, Release, package_index, wheelhouse

from engine.config import PackagesSection
from engine.doctor.project import _disk
from engine.paths import CACHE_SIZE, EnginePaths
from engine.pool.environment import ensure_environment
from engine.services.access import ServiceError
from engine.services.packages import builds as module
from engine.services.packages import bundles
from engine.services.packages.builds import RECORD, Builds
from engine.services.packages.bundles import fetch_wheels, remove_unused
from engine.services.packages.lock import Lock
from engine.services.packages.offers import Offers
from engine.services.packages.uv import BasePython, Uv

PATIENCE = 60.0
PYTHON = BasePython(Path(os.path.realpath(sys.executable)), ".".join(map(str, sys.version_info[:3])))
HOSTILE = b"import sys; open(sys.prefix + '/was-executed', 'w').close()\n"

RELEASES = (
    Release("alpha", requires=("beta>=1",)),
    Release("beta"),
    Release("beta", "2.0"),
    Release("liar", lie=True),
    Release("hanging", hang=True),
    Release("withdrawn", yanked="it burns"),
    Release("source-only", tag=SDIST),
    Release("elsewhere", tag="py3-none-win_amd64"),
    Release("future", requires_python=">=3.99"),
    Release("program", files={"program-1.0.data/data/bin/python": b"#!/bin/sh\n"}),
    Release("configured", files={"configured-1.0.data/data/pyvenv.cfg": b"home = /tmp\n"}),
    Release("recorded", files={f"recorded-1.0.data/data/{RECORD}": b"{}"}),
    Release("addressed", requires=("elsewhere-too @ https://127.0.0.1:1/elsewhere_too-1.0-py3-none-any.whl",)),
    Release("greedy", files={"greedy_data/large.py": b"x = [" + b"a, " * 2_000_000 + b"]\n"}),
    Release("outside", files={"../../../../../outside.txt": b"x"}),
    Release("startup", files={"startup.pth": HOSTILE, "sitecustomize.py": HOSTILE, "startup.py": HOSTILE}),
)


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with package_index(*RELEASES) as made:
        yield made


@pytest.fixture
def builds(index: PackageIndex, tmp_path: Path) -> Builds:
    return builds_of(tmp_path, PackagesSection(index=index.url))


def builds_of(folder: Path, settings: PackagesSection) -> Builds:
    (folder / "envs").mkdir(exist_ok=True)
    return Builds(folder / "envs", Uv(settings, folder))


def left(builds: Builds) -> list[str]:
    folder = builds.folder / "builds"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


async def test_a_lock_names_files_and_hashes_and_a_build_has_them(builds: Builds) -> None:
    told: list[str] = []
    lock = await builds.uv.lock(["alpha"], PYTHON, tell=told.append)
    assert [(each.name, each.version) for each in lock.packages] == [("alpha", "1.0"), ("beta", "2.0")]
    made = await builds.make(lock, PYTHON, "default", requirements=["alpha"], by="ada", tell=told.append)
    assert builds.current("default") is None, "nothing leads to it before the swap"
    builds.swap("default", made.prefix)
    assert builds.current("default") == made
    assert (made.packages / "alpha.py").is_file()
    assert list((made.packages / "__pycache__").glob("alpha.*.pyc"))
    record = builds.record(made.prefix)
    assert record is not None
    assert (record.requirements, record.modules, record.made_by) == (("alpha",), ("alpha", "beta"), "ada")
    assert builds.lock(record) == lock
    assert any("beta==2.0" in line for line in told)
    assert not any("\x1b" in line or "uv" in line.split() for line in told)
    assert {path.lstat().st_mode & 0o022 for path in made.prefix.rglob("*") if not path.is_symlink()} == {0}


def test_an_engine_in_the_background_makes_builds_too(builds: Builds) -> None:
    async def made() -> bool:
        environment = await builds.make(await builds.uv.lock(["beta"], PYTHON), PYTHON, "default")
        return (environment.packages / "beta.py").is_file()

    assert uvloop.run(made()), "its event loop is another one"


async def test_versions_stay_unless_an_upgrade_is_asked_for(builds: Builds) -> None:
    first = await builds.uv.lock(["alpha", "beta<2"], PYTHON)
    kept = await builds.uv.lock(["alpha"], PYTHON, previous=first)
    newest = await builds.uv.lock(["alpha"], PYTHON, previous=first, upgrade=["beta"])
    assert [lock.packages[1].version for lock in (first, kept, newest)] == ["1.0", "1.0", "2.0"]


@pytest.mark.parametrize(
    ("requirements", "code", "says"),
    [
        (["no-such-package"], "unknown_package", "There is no package no-such-package at 127.0.0.1"),
        (["alpha==9"], "no_version", "There is no alpha==9"),
        (["alpha", "beta<1"], "conflict", "do not go together: .*beta<1"),
        (["withdrawn"], "yanked", "withdrawn by those who made it .it burns"),
        (["source-only"], "no_wheel", "No version of source-only"),
        (["elsewhere"], "no_wheel", "No version of elsewhere"),
        (["future"], "other_python", "need Python >=3.99"),
        (["addressed"], "bad_package", "wants elsewhere-too from an address of its own"),
    ],
)
async def test_what_cannot_be_had_is_told_in_a_sentence(
    builds: Builds, requirements: list[str], code: str, says: str
) -> None:
    with pytest.raises(ServiceError, match=says) as refused:
        await builds.uv.lock(requirements, PYTHON)
    assert refused.value.code == code
    assert refused.value.hint


@pytest.mark.parametrize(
    ("name", "code"),
    [("liar", "hash_mismatch"), ("program", "hostile_package"), ("configured", "hostile_package"),
     ("recorded", "hostile_package")],
)  # fmt: skip
async def test_a_build_that_is_not_what_was_asked_for_leaves_nothing(builds: Builds, name: str, code: str) -> None:
    lock = await builds.uv.lock([name], PYTHON)
    with pytest.raises(ServiceError) as refused:
        await builds.make(lock, PYTHON, "default")
    assert refused.value.code == code
    assert (left(builds), builds.names()) == ([], [])


async def test_nothing_of_a_package_is_executed_and_nothing_gets_out_of_its_folder(
    builds: Builds, tmp_path: Path
) -> None:
    lock = await builds.uv.lock(["startup", "outside"], PYTHON)
    made = await builds.make(lock, PYTHON, "default")
    assert (made.packages / "startup.pth").is_file()
    assert not list(made.prefix.rglob("was-executed"))
    assert not list(tmp_path.rglob("outside.txt"))


@pytest.mark.slow
async def test_an_index_that_hangs_is_given_up_and_a_cancelled_build_leaves_nothing(
    index: PackageIndex, tmp_path: Path
) -> None:
    builds = builds_of(tmp_path, PackagesSection(index=index.url, timeout=1.0))
    with pytest.raises(ServiceError) as refused:
        await builds.uv.lock(["hanging"], PYTHON)
    assert refused.value.code in ("timeout", "index_unreachable")
    patient = builds_of(tmp_path, PackagesSection(index=index.url))
    known = await patient.uv.lock(["alpha"], PYTHON)
    stuck = Lock(tuple(replace(each, url=each.url.replace(each.file, "hanging-1.0-py3-none-any.whl"))
                       for each in known.packages[:1]))  # fmt: skip
    stuck = Lock((replace(stuck.packages[0], name="hanging", version="1.0"),))
    asked = len([path for path in index.asked if "hanging" in path])
    making = asyncio.ensure_future(patient.make(stuck, PYTHON, "default"))
    async with asyncio.timeout(PATIENCE):
        while len([path for path in index.asked if "hanging" in path]) == asked:  # noqa: ASYNC110 - of a thread
            await asyncio.sleep(0.01)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert left(patient) == []
    assert not _running(tmp_path)


async def test_a_build_tells_how_many_of_its_packages_it_has_fetched(builds: Builds) -> None:
    [beta] = (await builds.uv.lock(["beta"], PYTHON)).packages
    url = beta.url.replace(beta.file, "hanging-1.0-py3-none-any.whl")
    never = replace(beta, name="hanging", version="1.0", url=url, sha256="1" * 64)
    told: list[tuple[str, int, int]] = []
    making = asyncio.ensure_future(
        builds.make(Lock((beta, never)), PYTHON, "default", count=lambda *each: told.append(each))
    )
    async with asyncio.timeout(PATIENCE):
        while ("fetching", 1, 2) not in told:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making


async def test_credentials_reach_the_index_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with package_index(Release("alpha"), Release("liar", lie=True)) as index:
        index.login = "ada:lovelace"
        settings = PackagesSection(index=index.url.replace("//", "//ada:lovelace@"))
        builds = builds_of(tmp_path, settings)
        lock = await builds.uv.lock(["alpha"], PYTHON)
        made = await builds.make(lock, PYTHON, "default")
        assert "lovelace" not in lock.text + (made.prefix / RECORD).read_text()
        assert builds.uv.shown("GET http://ada:lovelace@x and lovelace alone") == "GET http://x and *** alone"
        wrong = builds_of(tmp_path, PackagesSection(index=index.url.replace("//", "//ada:byron@")))
        with pytest.raises(ServiceError) as refused:
            await wrong.uv.lock(["no-such-package"], PYTHON)
        assert refused.value.code == "index_refused"
        assert "byron" not in refused.value.message
        found = await Offers(builds.uv).search("alpha", PYTHON.version)
        assert (found.warning, [each.version for each in found.packages]) == (None, ["1.0"])
        refused_too = await Offers(wrong.uv).search("alpha", PYTHON.version)
        assert "status 401" in (refused_too.warning or "")
        (tmp_path / "wheels").mkdir()
        await fetch_wheels(lock, builds.uv, tmp_path / "wheels")
        assert index.host in caplog.text, "addresses are logged here"
        assert not any(secret in caplog.text for secret in ("lovelace", "byron"))


async def test_the_wheelhouse_is_enough_where_it_has_everything(index: PackageIndex, tmp_path: Path) -> None:
    house = wheelhouse(tmp_path / "house", Release("alpha", requires=("beta>=1",)), Release("beta"))
    before = list(index.asked)
    settings = PackagesSection(index=index.url, wheelhouse=str(house))
    builds = builds_of(tmp_path, settings)
    lock = await builds.uv.lock(["alpha"], PYTHON)
    assert {each.origin for each in lock.packages} == {str(house)}
    made = await builds.make(lock, PYTHON, "default")
    assert (made.packages / "beta.py").is_file()
    assert index.asked == before, "the network was asked"
    both = await builds.uv.lock(["alpha", "beta>=2"], PYTHON)
    assert both.packages[1].version == "2.0"
    alone = builds_of(tmp_path, PackagesSection(index="none", wheelhouse=str(house)))
    with pytest.raises(ServiceError) as refused:
        await alone.uv.lock(["alpha", "beta>=2"], PYTHON)
    assert refused.value.code in ("conflict", "no_version")
    with pytest.raises(ServiceError, match="no package index"):
        await builds_of(tmp_path, PackagesSection(index="none")).uv.lock(["alpha"], PYTHON)


async def test_a_wheelhouse_that_moved_after_the_lock_was_made_is_named(tmp_path: Path) -> None:
    house = wheelhouse(tmp_path / "house", Release("beta"))
    builds = builds_of(tmp_path, PackagesSection(index="none", wheelhouse=str(house)))
    lock = await builds.uv.lock(["beta"], PYTHON)
    house.rename(tmp_path / "moved")
    with pytest.raises(ServiceError, match=rf"{house} no longer has what the lock names: beta-1\.0-") as refused:
        await builds.make(lock, PYTHON, "default")
    assert (refused.value.code, left(builds)) == ("no_wheel", [])
    (tmp_path / "moved").rename(house)
    await builds.make(lock, PYTHON, "default")


async def test_an_index_is_searched_by_an_exact_name_and_a_wheelhouse_by_its_beginning(
    index: PackageIndex, tmp_path: Path
) -> None:
    house = wheelhouse(tmp_path / "house", Release("betamax"))
    offers = Offers(Uv(PackagesSection(index=index.url, wheelhouse=str(house)), tmp_path))
    found = {
        text: [(each.name, each.origin) for each in (await offers.search(text, PYTHON.version)).packages]
        for text in ("bet", "beta")
    }
    assert found == {"bet": [("betamax", str(house))], "beta": [("betamax", str(house)), ("beta", index.host)]}


async def test_constraints_hold(index: PackageIndex, tmp_path: Path) -> None:
    file = tmp_path / "constraints.txt"
    file.write_text("beta<2\n")
    builds = builds_of(tmp_path, PackagesSection(index=index.url, constraints=str(file)))
    assert (await builds.uv.lock(["alpha"], PYTHON)).packages[1].version == "1.0"


async def test_an_older_environment_becomes_a_build_and_its_path_holds_what_it_held(builds: Builds) -> None:
    old = await ensure_environment(builds.folder / "default")
    (old.packages / "by_hand.py").write_text("")
    builds.adopt("default")
    assert (builds.folder / "default").is_symlink()
    assert (builds.folder / "default" / "pyvenv.cfg").is_file()
    adopted = builds.current("default")
    assert adopted is not None
    assert (adopted.packages / "by_hand.py").is_file()
    record = builds.record(adopted.prefix)
    assert record is not None
    assert (record.managed, record.modules) == (False, ("by_hand",))
    builds.adopt("default")
    assert builds.collect() == []
    assert left(builds) == [adopted.prefix.name]


async def test_what_nothing_needs_goes_and_what_is_claimed_or_in_use_stays(builds: Builds) -> None:
    made = [await builds.make(Lock(), PYTHON, name) for name in ("named", "used", "claimed", "free")]
    builds.swap("named", made[0].prefix)
    builds.claims.append(lambda: [made[2].prefix])
    unfinished = builds.folder / "builds" / "20260101-000000-00000000"
    unfinished.mkdir()
    assert builds.collect([made[1].prefix]) == [unfinished], "what was just made may still get a name"
    builds.fresh = 0.0
    assert builds.collect([made[1].prefix]) == [made[3].prefix]
    assert left(builds) == sorted(each.prefix.name for each in made[:3])
    builds.claims.clear()
    builds.remove("named")
    builds.collect()
    assert left(builds) == []


async def test_what_is_not_all_on_the_disk_is_no_build(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        @staticmethod
        def syncfs(_: int) -> int:
            ctypes.set_errno(errno.ENOSPC)
            return -1

    monkeypatch.setattr(module, "_libc", Full)
    with pytest.raises(ServiceError, match=r"cannot be written: No space.*Nothing was changed"):
        await builds.make(Lock(), PYTHON, "default")
    assert left(builds) == []


def test_a_wheel_that_came_a_moment_ago_is_not_taken_for_an_unused_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "alpha-1.0-py3-none-any.whl"
    wheel.write_bytes(b"")
    remove_unused(tmp_path, [])
    assert wheel.exists()
    monkeypatch.setattr(bundles, "UNUSED_FOR", -60.0)
    remove_unused(tmp_path, [])
    assert not wheel.exists()


@needs_mounts
async def test_a_full_disk_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    large = Release("large", files={"large/data.bin": os.urandom(3 << 20)})
    with package_index(large) as index, small_disk(tmp_path / "disk", 2 << 20) as disk:
        builds = builds_of(disk, PackagesSection(index=index.url))
        lock = await builds.uv.lock(["large"], PYTHON)
        with pytest.raises(ServiceError, match=r"disk.*[Nn]othing was changed") as refused:
            await builds.make(lock, PYTHON, "default")
        assert refused.value.code in ("disk", "disk_full")
        assert left(builds) == []


async def test_the_cache_is_tidied_after_its_use_and_bounded(index: PackageIndex, tmp_path: Path) -> None:
    home = tmp_path / ".gatewright"
    home.mkdir()
    builds = builds_of(home, PackagesSection(index=index.url, cache_size=0))
    cache, size = home / "cache" / "uv", home / CACHE_SIZE
    await builds.uv.tidy()
    assert not size.exists(), "nothing was fetched"
    made = await builds.make(await builds.uv.lock(["alpha"], PYTHON), PYTHON, "default")
    fetched = [path for path in cache.rglob("*") if path.name == "alpha.py"]
    assert fetched
    await builds.uv.tidy()
    assert not any(path.exists() for path in fetched), "it takes more than nothing"
    assert int(size.read_text()) < 1 << 20
    assert (made.packages / "alpha.py").is_file()
    at = size.stat().st_mtime_ns
    await builds.uv.tidy()
    assert size.stat().st_mtime_ns == at, "it was not used since"
    assert "fetched packages take " in _disk(EnginePaths(tmp_path)).found


async def test_an_installation_does_not_wait_for_the_cache_to_be_tidied(index: PackageIndex, tmp_path: Path) -> None:
    builds = builds_of(tmp_path, PackagesSection(index=index.url))
    await builds.uv.lock(["alpha"], PYTHON)
    with (tmp_path / "cache" / "uv" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as a uv that is at work
        tidying = asyncio.ensure_future(builds.uv.tidy())
        async with asyncio.timeout(PATIENCE):
            while not _prunes(tmp_path / "cache" / "home"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
            await builds.uv.lock(["beta"], PYTHON)
            await tidying
    assert not (tmp_path / CACHE_SIZE).exists(), "a later call does it"
    await builds.uv.tidy()
    assert (tmp_path / CACHE_SIZE).exists()


def _prunes(folder: Path) -> bool:
    """Return whether a uv that was started in ``folder`` prunes the cache."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"\0prune\0" in (process / "cmdline").read_bytes() and (process / "cwd").readlink() == folder:
                return True
    return False


def _running(folder: Path) -> list[str]:
    """Command lines of processes that work on ``folder``."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in line:
            found.append(line.decode(errors="replace"))
    return found


async def test_what_takes_the_last_room_is_not_kept(builds: Builds) -> None:
    lock = await builds.uv.lock(["alpha"], PYTHON)
    builds.uv.short = lambda: "it is too much" if list(builds.folder.rglob("alpha.py")) else None
    with pytest.raises(ServiceError, match=r"it is too much. Nothing was changed") as refused:
        await builds.make(lock, PYTHON, "default")
    assert (refused.value.code, left(builds)) == ("disk_full", [])


async def test_an_installation_ends_while_it_fetches_if_there_is_no_more_room(
    index: PackageIndex, tmp_path: Path
) -> None:
    builds = builds_of(tmp_path, PackagesSection(index=index.url))
    await builds.uv.lock(["alpha"], PYTHON)
    assert (tmp_path / "cache" / "uv").is_dir()
    builds.uv.short = lambda: "the disk has only 3 bytes free"
    with pytest.raises(ServiceError, match="only 3 bytes free") as refused:
        await builds.uv.lock(["hanging"], PYTHON)
    assert refused.value.code == "disk_full"
    assert not _running(tmp_path)
    assert not (tmp_path / "cache" / "uv").exists()


async def test_what_an_interpreter_has_installed_itself_is_not_executed(builds: Builds, tmp_path: Path) -> None:
    venv.create(tmp_path / "host", symlinks=True)
    (library,) = (tmp_path / "host" / "lib").glob("python3*/site-packages")
    ran = tmp_path / "was-executed"
    (library / "host.pth").write_text(f"import os; open({str(ran)!r}, 'w').close()\n")
    python = BasePython(tmp_path / "host" / "bin" / "python", PYTHON.version)
    made = await builds.make(await builds.uv.lock(["alpha"], python), python, "default")
    assert (made.packages / "alpha.py").is_file()
    assert not ran.exists(), "it ran with the rights of the engine's account"


async def test_what_an_engine_started_ends_with_it_however_that_ends() -> None:
    code = """import subprocess, sys, time
from engine.services.packages.uv import dies_along
started = subprocess.Popen(dies_along(sys.executable, "-c", "print(1, flush=True); import time; time.sleep(600)"), stdout=subprocess.PIPE)
started.stdout.read(1)
print(started.pid, flush=True)
time.sleep(600)
"""  # noqa: E501
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert engine.stdout is not None
    started = int(await engine.stdout.readline())
    engine.kill()
    await engine.wait()
    async with asyncio.timeout(PATIENCE):
        while _goes_on(started):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)


async def test_compiling_a_module_that_takes_all_memory_is_given_up(
    builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.services.packages.builds.COMPILE_MEMORY", 256 << 20)
    lock = await builds.uv.lock(["greedy"], PYTHON)
    made = await builds.make(lock, PYTHON, "default")
    compiled = {path.name.partition(".")[0] for path in made.packages.glob("**/__pycache__/*.pyc")}
    assert compiled == {"greedy"}


def _goes_on(pid: int) -> bool:
    """Whether a process is there that is not just waiting to be noticed (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
