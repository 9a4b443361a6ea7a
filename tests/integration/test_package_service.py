"""Packages of an engine that runs: installed beside what goes on, taken away again, one change at a time."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from package_index import PackageIndex, Release, package_index, wheelhouse

from engine import Engine
from engine.config import PackagesSection, PolicySection, Settings
from engine.models.packages import CreateEnvironment, InstallRequest, UninstallRequest, UpgradeRequest
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.models.sync import TaskInfo
from engine.paths import CACHE_SIZE
from engine.pool.environment import ensure_environment
from engine.pool.job import Environment
from engine.services.access import ServiceError
from engine.services.packages import service
from engine.services.packages.builds import RECORD

PATIENCE = 60.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    releases = (
        Release("alpha", requires=("beta>=1",)),
        Release("beta"),
        Release("gamma"),
        Release("delta"),
        Release("delta", "2.0"),
        Release("delta", "2.5", yanked="broken"),
        Release("delta", "3.0", requires_python=">=3.99"),
        Release("liar", lie=True),
        Release("hanging", requires=("beta",), hang=True, told=True),
        Release("chatty", "1.0", files={"chatty-1.0.data/scripts/chatty": b"#!python\nprint(1)\n"}),
    )
    with package_index(*releases) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(index: PackageIndex, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    settings = Settings(
        packages=PackagesSection(index=index.url), policy=PolicySection(modules=("alpha", "beta", "gamma"))
    )
    async with Engine.open(tmp_path_factory.mktemp("packages") / "plant", pool_size=1, settings=settings) as made:
        yield made


async def install(engine: Engine, *requirements: str, environment: str = "default") -> list[tuple[str, str]]:
    request = InstallRequest(requirements=list(requirements), environment=environment)
    plan = await engine.packages.install(request, engine.owner, "cli")
    return [(each.name, each.change) for each in plan.packages]


async def uninstall(engine: Engine, *names: str) -> list[tuple[str, str]]:
    plan = await engine.packages.uninstall(UninstallRequest(names=list(names)), engine.owner, "cli")
    return [(each.name, each.change) for each in plan.packages]


async def run(engine: Engine, code: str) -> RunInfo:
    return await engine.run(RunRequest(kind=RunKind.EXEC, code=code))


def builds(engine: Engine) -> list[str]:
    folder = engine.project.environments / "builds"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


async def test_packages_come_are_used_and_go(engine: Engine) -> None:
    first = await run(engine, "import sys; result = sys.prefix")
    planned = await engine.packages.plan(InstallRequest(requirements=["alpha"]), engine.owner)
    assert [(each.name, each.version, each.change) for each in planned.packages] == [
        ("alpha", "1.0", "new"), ("beta", "1.0", "new"),
    ]  # fmt: skip
    assert (await engine.packages.list()).packages == []
    assert await install(engine, "alpha") == [("alpha", "new"), ("beta", "new")]
    used = await run(engine, "import alpha, beta, sys; result = [alpha.VERSION, sys.prefix]")
    assert used.outcome is Outcome.OK, used.error
    assert str(first.result) != str(used.result)
    listed = await engine.packages.list()
    assert listed.environment.managed
    assert [(each.name, each.requested, each.needed_by, each.modules, each.allowed) for each in listed.packages] == [
        ("alpha", True, [], ["alpha"], True), ("beta", False, ["alpha"], ["beta"], True),
    ]  # fmt: skip
    shown = await engine.packages.show("beta")
    assert (shown.summary, shown.licence, len(shown.sha256)) == ("The package beta", "MIT", 64)
    with pytest.raises(ServiceError, match="beta is needed by alpha") as refused:
        await uninstall(engine, "beta")
    assert refused.value.code == "needed"
    with pytest.raises(ServiceError, match="gamma is not installed"):
        await uninstall(engine, "gamma")
    assert await uninstall(engine, "alpha") == [("alpha", "removed"), ("beta", "removed")]
    gone = await run(engine, "import alpha")
    assert gone.outcome is Outcome.SCRIPT_ERROR
    records = (await engine.audit.list(engine.owner)).records
    done = {record.action: record.detail for record in records}
    assert done["packages_install"]["changed"] == ["alpha 1.0", "beta 1.0"]
    assert done["packages_uninstall"]["removed"] == ["alpha", "beta"]


@pytest.mark.slow
async def test_an_upgrade_takes_the_newest_and_an_installation_only_what_it_must(
    engine: Engine, index: PackageIndex
) -> None:
    await install(engine, "alpha")
    index.add(Release("beta", "2.0"))
    assert await install(engine, "gamma") == [("alpha", "same"), ("beta", "same"), ("gamma", "new")]
    plan = await engine.packages.upgrade(UpgradeRequest(names=["beta"]), engine.owner, "cli")
    changed = [(each.name, each.before, each.version) for each in plan.packages if each.change == "upgrade"]
    assert changed == [("beta", "1.0", "2.0")]
    with pytest.raises(ServiceError, match="liar is not installed"):
        await engine.packages.upgrade(UpgradeRequest(names=["liar"]), engine.owner, "cli")
    await uninstall(engine, "alpha", "gamma")


async def test_what_fails_leaves_everything_as_it_was(engine: Engine) -> None:
    await install(engine, "alpha")
    before, found = await engine.packages.list(), builds(engine)
    for requirement, code in (("liar", "hash_mismatch"), ("nothing-such", "unknown_package"), ("-r x", "bad_request")):
        with pytest.raises(ServiceError) as refused:
            await install(engine, requirement)
        assert refused.value.code == code
    assert await engine.packages.list() == before
    assert set(builds(engine)) <= set(found)
    assert (await run(engine, "import alpha")).outcome is Outcome.OK
    assert await install(engine, "alpha") == [("alpha", "same"), ("beta", "same")]
    assert set(builds(engine)) <= set(found), "what is there already is not built again"


@pytest.mark.slow
async def test_a_run_that_goes_on_ends_with_the_packages_that_it_began_with(engine: Engine) -> None:
    await install(engine, "alpha")
    code = "import time, sys\nprint('going')\ntime.sleep(1.5)\nimport alpha\nresult = sys.prefix"
    going = asyncio.ensure_future(run(engine, code))
    async with asyncio.timeout(PATIENCE):
        while not any(slot.run_id for slot in engine.pool.info().slots):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await uninstall(engine, "alpha")
    ended = await going
    assert ended.outcome is Outcome.OK, ended.error
    assert (await run(engine, "import alpha")).outcome is Outcome.SCRIPT_ERROR


def fetches(task: TaskInfo) -> bool:
    """Return whether a task fetches packages; of reports that follow each other at once only the first one is told."""
    return task.finished_at is None and task.doing == "fetching" and task.total > 0


async def test_one_change_at_a_time_and_a_cancelled_one_changes_nothing(engine: Engine) -> None:
    await install(engine, "alpha")
    before = builds(engine)
    first = asyncio.ensure_future(install(engine, "hanging"))
    async with asyncio.timeout(PATIENCE):
        while not any(fetches(task) for task in engine.tasks.list()):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
    with pytest.raises(ServiceError, match=r"is changing packages \(task \d+\)") as refused:
        await install(engine, "gamma")
    assert refused.value.code == "busy"
    task = next(task for task in engine.tasks.list() if task.finished_at is None)
    await engine.tasks.cancel(task.id, engine.owner)
    with pytest.raises(ServiceError, match="cancelled; nothing was changed"):
        await first
    assert set(builds(engine)) <= set(before)
    assert ("gamma", "new") in await install(engine, "gamma")


async def test_an_environment_of_another_name_is_made_and_removed(engine: Engine) -> None:
    made = await engine.packages.create(CreateEnvironment(name="reports", requirements=["gamma"]), engine.owner, "cli")
    assert (made.name, made.packages, made.managed, made.problem) == ("reports", 1, True, None)
    names = [each.name for each in (await engine.packages.environments()).environments]
    assert names == ["default", "reports"]
    await install(engine, "chatty", environment="reports")
    assert [each.name for each in (await engine.packages.list("reports")).packages] == ["chatty", "gamma"]
    for name, code in (("reports", "exists"), ("builds", "exists")):
        with pytest.raises(ServiceError) as refused:
            await engine.packages.create(CreateEnvironment(name=name), engine.owner, "cli")
        assert refused.value.code == code
    with pytest.raises(ServiceError, match="default environment cannot be removed"):
        await engine.packages.remove("default", engine.owner, "cli")
    text = '# /// script\n# [tool.gatewright]\n# environment = "reports"\n# ///\n'
    saved = await engine.scripts.save("own/monthly.py", SaveRequest(text=text, base_sha256=None), engine.owner)
    with pytest.raises(ServiceError, match=r"reports is named by own/monthly\.py") as refused:
        await engine.packages.remove("reports", engine.owner, "cli")
    assert (refused.value.code, (engine.project.environments / "reports").is_symlink()) == ("in_use", True)
    text = text.replace("reports", "default")
    await engine.scripts.save("own/monthly.py", SaveRequest(text=text, base_sha256=saved.sha256), engine.owner)
    build = (engine.project.environments / "reports").resolve()
    await engine.packages.remove("reports", engine.owner, "cli")
    assert not build.exists()
    with pytest.raises(ServiceError, match="no environment reports"):
        await engine.packages.list("reports")


async def test_a_build_stays_until_a_name_leads_to_it_and_the_one_of_before_for_a_moment(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may have found it and not be in the pool yet."""
    packages = engine.packages
    make = packages.builds.make

    async def made_while_others_are_removed(*args: Any, **options: Any) -> Environment:
        made = await make(*args, **options)
        await packages.collect()
        return made

    monkeypatch.setattr(packages.builds, "make", made_while_others_are_removed)
    await packages.create(CreateEnvironment(name="moment"), engine.owner, "cli")
    first = packages.builds.prefix("moment")
    assert first is not None
    await install(engine, "gamma", environment="moment")
    assert packages.builds.prefix("moment") != first
    assert first.is_dir()
    assert (await packages.environments()).own == 0
    monkeypatch.setattr(service, "LEFT_FOR", 0.0)
    await packages.collect()
    assert not first.exists()
    await packages.remove("moment", engine.owner, "cli")


async def test_what_was_installed_by_hand_and_is_not_offered_is_named(engine: Engine) -> None:
    place = engine.project.environments / "older"
    older = await ensure_environment(place)
    for name in ("plantlib", "oldtool", "beta"):
        (older.packages / f"{name}-1.0.dist-info").mkdir()
        (older.packages / f"{name}-1.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
    before = await engine.packages.list("older")
    with pytest.raises(ServiceError, match=r"older was installed into by hand, and oldtool and plantlib") as refused:
        await install(engine, "gamma", environment="older")
    assert (refused.value.code, "packages uninstall oldtool plantlib" in (refused.value.hint or "")) == (
        "not_offered", True,
    )  # fmt: skip
    assert (place.is_symlink(), await engine.packages.list("older")) == (False, before)
    request = UninstallRequest(names=["oldtool", "plantlib"], environment="older")
    await engine.packages.uninstall(request, engine.owner, "cli")
    assert [each.name for each in (await engine.packages.list("older")).packages] == ["beta"]
    assert ("gamma", "new") in await install(engine, "gamma", environment="older")
    await engine.packages.remove("older", engine.owner, "cli")


async def test_the_cache_is_tidied_some_time_after_a_change(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    size = engine.project.private / CACHE_SIZE
    size.unlink(missing_ok=True)
    await install(engine, "gamma")
    monkeypatch.setattr(service, "COLLECT_EVERY", 0.01)
    looking = asyncio.ensure_future(engine.packages.run())
    try:
        async with asyncio.timeout(PATIENCE):
            while not size.exists():  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def test_what_an_index_offers_is_found_by_name(engine: Engine, index: PackageIndex) -> None:
    found = await engine.packages.search("Delta", "default", engine.owner)
    assert [(each.name, each.version, each.versions[0], each.origin) for each in found.packages] == [
        ("delta", "2.0", "3.0", index.host)
    ]
    nothing = await engine.packages.search("nothing-such", "default", engine.owner)
    assert (nothing.packages, nothing.warning) == ([], None)


@pytest.mark.slow
async def test_a_project_that_is_opened_again_has_what_was_installed(tmp_path: Path, index: PackageIndex) -> None:
    settings = Settings(packages=PackagesSection(index=index.url), policy=PolicySection(modules=("gamma",)))
    async with Engine.open(tmp_path / "again", pool_size=1, settings=settings) as engine:
        await install(engine, "gamma")
    async with Engine.open(tmp_path / "again", pool_size=1, settings=settings) as engine:
        assert (await run(engine, "import gamma")).outcome is Outcome.OK
        record = engine.project.environments / "default" / RECORD
        made = json.loads(record.read_text())
        record.write_text(json.dumps(made | {"python": "/nowhere/python3.11"}))
    async with Engine.open(tmp_path / "again", pool_size=1, settings=settings) as engine:
        assert (await run(engine, "result = 1")).result == "1"
        assert any("interpreter of the scripts' environment is gone" in each for each in engine.project.problems)
        assert [each.name for each in (await engine.packages.list()).packages] == ["gamma"], "nothing is forgotten"


@pytest.mark.slow
async def test_packages_follow_their_wheelhouse_to_another_place(tmp_path: Path) -> None:
    house = wheelhouse(tmp_path / "house", Release("beta"), Release("gamma"))
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=only(house)) as engine:
        await install(engine, "beta", "gamma")
    moved = house.rename(tmp_path / "moved")
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=only(moved)) as engine:
        with pytest.raises(ServiceError, match=r"house no longer has what the lock names: beta-1\.0"):
            await uninstall(engine, "gamma")
        assert await install(engine, "beta", "gamma") == [("beta", "same"), ("gamma", "same")]
        assert await uninstall(engine, "gamma") == [("beta", "same"), ("gamma", "removed")]


def only(house: Path) -> Settings:
    return Settings(packages=PackagesSection(index="none", wheelhouse=str(house)))


async def read(content: bytes | memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 500):
        yield bytes(content[start : start + 500])


@pytest.mark.slow
async def test_a_bundle_brings_an_environment_to_a_host_without_an_index(
    engine: Engine, index: PackageIndex, tmp_path: Path
) -> None:
    await install(engine, "alpha", "gamma")
    bundle = await engine.packages.bundle("plant.gwpackages", "default", engine.owner, "cli")
    settings = Settings(packages=PackagesSection(index="none"), policy=PolicySection(modules=("alpha", "gamma")))
    async with Engine.open(tmp_path / "offline", pool_size=1, settings=settings) as offline:
        asked = len(index.asked)
        with pytest.raises(ServiceError, match="no packages that could be bundled"):
            await offline.packages.bundle("x", "default", offline.owner, "cli")
        plan = await offline.packages.install_bundle("default", read(bundle), offline.owner, "cli")
        assert [(each.name, each.change) for each in plan.packages if each.name != "beta"] == [
            ("alpha", "new"), ("gamma", "new"),
        ]  # fmt: skip
        assert plan.requirements == ["alpha", "gamma"]
        assert (await run(offline, "import alpha, gamma")).outcome is Outcome.OK
        assert await uninstall(offline, "alpha") == [("alpha", "removed"), ("beta", "removed"), ("gamma", "same")]
        assert await install(offline, "gamma") == [("gamma", "same")], "what a bundle brought can be had again"
        before = await offline.packages.list()
        for name, damage in damaged(bytes(bundle)).items():
            with pytest.raises(ServiceError) as refused:
                await offline.packages.install_bundle("default", read(damage), offline.owner, "cli")
            assert refused.value.code in ("bad_bundle", "bad_request", "hash_mismatch"), name
        assert await offline.packages.list() == before
        assert len(index.asked) == asked, "no index was asked"
        wheels = tmp_path / "offline/.gatewright/wheels"
        left = {path.name for path in wheels.iterdir()}
        assert (wheels / "gamma-1.0-py3-none-any.whl").read_bytes() == Release("gamma").wheel()
        assert all(name.endswith(".whl") and not name.startswith(".") for name in left)


def damaged(bundle: bytes) -> dict[str, bytes]:
    """Bundles that must not be taken."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    wheel = "wheels/gamma-1.0-py3-none-any.whl"
    changed = {
        "another wheel": members | {wheel: members["wheels/alpha-1.0-py3-none-any.whl"]},
        "no wheel": {name: content for name, content in members.items() if name != wheel},
        "another place": members | {"pylock.toml": members["pylock.toml"].replace(b"/gamma-1.0", b"/..%2Fgamma-1.0")},
        "another platform": members | {"pylock.toml": members["pylock.toml"].replace(b"any.whl", b"win32.whl")},
        "an option": members | {"bundle.json": members["bundle.json"].replace(b'"gamma"', b'"-r/etc/passwd"')},
        "newer": members | {"bundle.json": members["bundle.json"].replace(b'"format":1', b'"format":2')},
    }
    made = {"cut": bundle[: len(bundle) // 2], "no archive": b"x" * 4000, "empty": b""}
    for name, files in changed.items():
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path, data in files.items():
                archive.writestr(path, data)
        made[name] = content.getvalue()
    return made
