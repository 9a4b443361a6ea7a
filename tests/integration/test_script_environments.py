"""Scripts that name packages in their headers: reviewed, approved, built once, shared, and run behind every layer."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from package_index import PackageIndex, Release, package_index

from engine import Engine
from engine.config import PackagesSection, PolicySection, Settings
from engine.models.checks import CheckRequest
from engine.models.macros import BatchRequest, PreviewRequest
from engine.models.permissions import ApprovalState, ApproveRequest, Grant, PermissionReview
from engine.models.runs import Mode, Outcome, RunInfo, RunKind, RunRequest, RunState
from engine.models.scripts import SaveRequest
from engine.services.access import Actor, Role, ServiceError
from engine.services.packages.script_builds import CLAIMS
from engine.services.packages.script_environments import TASK, Building
from engine.services.packages.uv import uv_program

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUTHOR = Actor(name="ann", uid=1000, role=Role.AUTHOR)
PATIENCE = 60.0

RELEASES = (
    Release("gwshapes", "1.0", requires=("gwlines>=1",)),
    Release("gwlines", "1.0"),
    Release("gwlines", "1.1"),
    Release("gwalone", "2.0", files={"subprocess.py": b"", "ctypes.py": b"", "gwextra/__init__.py": b"X = 3\n"}),
    Release("gwmacro", "1.0"),
    Release("gwrare", "1.0"),
    Release("gwslow", "1.0"),
    Release("gwlies", "1.0", lie=True),
)


def script(*dependencies: str, body: str = "result = 1\n", more: str = "") -> str:
    listed = ", ".join(f'"{each}"' for each in dependencies)
    lines = ["# /// script", f"# dependencies = [{listed}]", *([f"# {more}"] if more else []), "# ///"]
    return "\n".join([*lines, body])


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with package_index(*RELEASES) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(index: PackageIndex, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    settings = Settings(packages=PackagesSection(index=index.url), policy=PolicySection(admin_as_root=True))
    async with Engine.open(tmp_path_factory.mktemp("named") / "plant", pool_size=1, settings=settings) as opened:
        yield opened


async def save(engine: Engine, path: str, text: str) -> None:
    try:
        base: str | None = (await engine.scripts.load(path)).info.sha256
    except ServiceError:
        base = None
    await engine.scripts.save(path, SaveRequest(text=text, base_sha256=base), engine.owner)


def seen(review: PermissionReview) -> ApproveRequest:
    lock = "" if review.environment is None else review.environment.lock
    return ApproveRequest(sha256=review.sha256, grants=[], environment=lock)


async def approve(engine: Engine, path: str) -> PermissionReview:
    review = await engine.permissions.review(path, engine.owner)
    return await engine.permissions.approve(path, seen(review), engine.owner)


async def run(engine: Engine, path: str, mode: str = "RESTRICTED") -> RunInfo:
    request = RunRequest(kind=RunKind.SCRIPT, script=path, mode=mode)
    async with asyncio.timeout(PATIENCE):
        return await engine.runs.run_to_end(request, engine.owner, "library", wait=PATIENCE)


async def refusal(engine: Engine, path: str) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await run(engine, path)
    return refused.value


async def told(engine: Engine, path: str) -> list[str]:
    text = (await engine.scripts.load(path)).text
    return [
        one.message for one in (await engine.checks.check(CheckRequest(text=text, path=path), engine.owner)).problems
    ]


def claims(engine: Engine) -> list[str]:
    folder = engine.project.environments / CLAIMS
    return sorted(os.readlink(claim) for claim in folder.iterdir())


def builds(engine: Engine) -> list[str]:
    folder = engine.project.environments / "builds"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


async def test_two_packages_are_shown_approved_built_once_and_shared(engine: Engine, index: PackageIndex) -> None:
    body = "import gwshapes, gwlines\nresult = [gwshapes.VERSION, gwlines.VERSION]\n"
    await save(engine, "own/first.py", script("gwshapes", "gwlines", body=body))
    await save(engine, "own/second.py", script("gwlines", "GWshapes", body=body))
    problem = await refusal(engine, "own/first.py")
    assert (problem.code, problem.status) == ("needs_approval", 403)
    assert "gwlines, gwshapes" in problem.message
    assert "gatewright scripts approve own/first.py" in (problem.hint or "")
    listed = {one.path: one.needs_approval for one in (await engine.scripts.list()).scripts}
    assert (listed["own/first.py"], listed["own/second.py"]) == (True, True)

    review = await engine.permissions.review("own/first.py", engine.owner)
    shown = review.environment
    assert shown is not None
    assert (review.state, shown.state, shown.problem, shown.built) == (
        ApprovalState.NEEDED, ApprovalState.NEEDED, None, False,
    )  # fmt: skip
    assert [(one.name, one.version, one.change, one.origin) for one in shown.packages] == [
        ("gwlines", "1.1", "new", index.host), ("gwshapes", "1.0", "new", index.host),
    ]  # fmt: skip
    assert all(one.size > 0 and len(one.sha256) == 64 for one in shown.packages)
    [warning] = await told(engine, "own/first.py")
    assert warning.startswith("Not installed for scripts here: gwshapes, gwlines. An administrator can approve them")
    approved = await engine.permissions.approve("own/first.py", seen(review), engine.owner)
    assert approved.state is ApprovalState.APPROVED
    assert approved.environment is not None
    assert approved.environment.approved_by == engine.owner.name

    done = await run(engine, "own/first.py")
    assert (done.outcome, done.value, done.mode) == (Outcome.OK, ["1.0", "1.1"], Mode.RESTRICTED), done.error
    there = builds(engine)
    again = await run(engine, "own/second.py")  # the same request, spelt in another way
    assert (again.outcome, again.value) == (Outcome.OK, ["1.0", "1.1"])
    assert (await run(engine, "own/first.py", "ADMIN")).value == ["1.0", "1.1"]
    assert builds(engine) == there, "one build for both"
    assert (await engine.permissions.review("own/second.py", engine.owner)).environment.built  # type: ignore[union-attr]
    listed = {one.path: one.needs_approval for one in (await engine.scripts.list()).scripts}
    assert (listed["own/first.py"], listed["own/second.py"]) == (False, False)
    assert await told(engine, "own/second.py") == []
    await save(engine, "own/second.py", script("gwlines", "GWshapes", body=f"import gwalone, paramiko\n{body}"))
    assert [one.split(" may ")[0].split(" is ")[0] for one in await told(engine, "own/second.py")] == [
        "The module gwalone", "The module paramiko",
    ]  # fmt: skip


async def test_only_what_was_approved_opens_and_what_is_blocked_stays_so(engine: Engine) -> None:
    """A package calls modules of its own like standard ones that RESTRICTED scripts may not import."""
    body = "import gwalone, gwextra\nresult = [gwextra.X]\nfor name in ('subprocess', 'ctypes', 'gwlines'):\n"
    body += "    try:\n        __import__(name)\n    except ImportError:\n        result.append(name)\n"
    text = script("gwalone==2.0", body=body, more='[tool.gatewright]\n# preload = ["gwextra"]')
    await save(engine, "own/alone.py", text)
    await approve(engine, "own/alone.py")
    done = await run(engine, "own/alone.py")
    assert (done.outcome, done.value) == (Outcome.OK, [3, "subprocess", "ctypes", "gwlines"]), done.error
    await save(engine, "own/plain.py", "import gwextra\n")
    assert (await run(engine, "own/plain.py")).outcome is Outcome.IMPORT_DENIED


async def test_a_header_that_asks_for_more_needs_another_approval(engine: Engine) -> None:
    await save(engine, "own/grows.py", script("gwlines==1.0", body="import gwlines\nresult = gwlines.VERSION\n"))
    await approve(engine, "own/grows.py")
    assert (await run(engine, "own/grows.py")).value == "1.0"
    await save(engine, "own/grows.py", script("gwlines==1.0", body="result = 'edited'\n"))
    assert (await run(engine, "own/grows.py")).value == "edited", "the packages are approved, whatever the text"
    await save(engine, "own/grows.py", script("gwlines==1.0", "gwalone"))
    assert (await refusal(engine, "own/grows.py")).code == "needs_approval"
    review = await engine.permissions.review("own/grows.py", engine.owner)
    stale = ApproveRequest(sha256=review.sha256, grants=[], environment="0" * 64)
    for request in (stale, ApproveRequest(sha256=review.sha256, grants=[])):
        with pytest.raises(ServiceError) as refused:
            await engine.permissions.approve("own/grows.py", request, engine.owner)
        assert refused.value.code == "changed"
    assert (await refusal(engine, "own/grows.py")).code == "needs_approval", "nothing was approved"


async def test_permissions_and_packages_are_decided_about_together(engine: Engine, tmp_path: Path) -> None:
    text = script("gwlines", "gwalone", more=f'[tool.gatewright.permissions]\n# read = ["{tmp_path}"]')
    await save(engine, "own/both.py", text)
    assert (await refusal(engine, "own/both.py")).code == "needs_approval"
    review = await engine.permissions.review("own/both.py", engine.owner)
    assert review.environment is not None
    grants = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
    request = ApproveRequest(sha256=review.sha256, grants=grants, environment=review.environment.lock)
    approved = await engine.permissions.approve("own/both.py", request, engine.owner)
    assert approved.state is ApprovalState.APPROVED
    assert (await run(engine, "own/both.py")).outcome is Outcome.OK
    await save(engine, "own/both.py", text + "# edited\n")
    review = await engine.permissions.review("own/both.py", engine.owner)
    assert review.environment is not None
    assert (review.state, review.environment.state) == (ApprovalState.CHANGED, ApprovalState.APPROVED)
    assert "is not the text whose permissions" in (await refusal(engine, "own/both.py")).message


async def test_a_script_that_names_the_default_environment_runs_there_and_asks_for_no_other(engine: Engine) -> None:
    text = script("gwnowhere", more='[tool.gatewright]\n# environment = "default"')
    await save(engine, "own/there.py", text)
    listed = {one.path: one for one in (await engine.scripts.list()).scripts}["own/there.py"]
    assert (listed.problem, listed.needs_approval) == (None, False)
    assert (await engine.permissions.review("own/there.py", engine.owner)).environment is None
    done = await run(engine, "own/there.py")
    assert (done.outcome, done.value) == (Outcome.OK, 1), done.error


async def test_a_refusal_ends_the_approval_for_all_who_ask_for_the_same(engine: Engine) -> None:
    for path in ("own/one.py", "own/two.py"):
        await save(engine, path, script("gwlines<1.1"))
    await approve(engine, "own/one.py")
    review = await engine.permissions.review("own/two.py", engine.owner)
    assert review.environment is not None
    assert (review.state, review.environment.others) == (ApprovalState.APPROVED, ["own/one.py"])
    refused = await engine.permissions.refuse("own/two.py", engine.owner)
    assert refused.state is ApprovalState.REFUSED
    assert "was refused the packages" in (await refusal(engine, "own/one.py")).message
    await engine.audit.flush()
    told = [one.action for one in (await engine.audit.list(engine.owner)).records if one.subject.startswith("own/")]
    assert told[:2] == ["packages_refused", "packages_approved"]


async def test_packages_that_cannot_be_had_are_no_reason_to_approve(engine: Engine, index: PackageIndex) -> None:
    for dependency, told in (
        ("gwmissing", "gwmissing"),
        ("gwlines==9", "gwlines"),
        ("gwlines @ https://127.0.0.1/gwlines-1.0-py3-none-any.whl", "an address"),
        ("../gwlines", "dependencies"),
    ):
        await save(engine, "own/bad.py", script(dependency))
        if told == "dependencies":  # no requirement at all: the header itself is wrong
            with pytest.raises(ServiceError, match="dependencies must list requirements"):
                await engine.permissions.review("own/bad.py", engine.owner)
            continue
        review = await engine.permissions.review("own/bad.py", engine.owner)
        assert review.environment is not None
        assert told in (review.environment.problem or ""), dependency
        with pytest.raises(ServiceError) as refused:
            await engine.permissions.approve("own/bad.py", seen(review), engine.owner)
        assert refused.value.code == "bad_packages"
    asked = len(index.asked)
    await save(engine, "own/bad.py", script("gwshapes==1"))
    review = await engine.permissions.review("own/bad.py", AUTHOR)
    assert review.environment is not None
    assert not review.environment.packages
    assert len(index.asked) == asked, "only who may install has the index asked"


async def test_a_run_waits_for_its_packages_and_who_leaves_stops_nothing(engine: Engine, index: PackageIndex) -> None:
    await save(engine, "own/ready.py", script("gwlines>=1.1", body="import gwlines\nresult = gwlines.VERSION\n"))
    await approve(engine, "own/ready.py")
    assert (await run(engine, "own/ready.py")).value == "1.1"
    await save(engine, "own/slow.py", script("gwslow"))
    await approve(engine, "own/slow.py")
    shutil.rmtree(engine.project.private / "cache")
    index.hang = True
    try:
        await _waited(engine, builds(engine))
    finally:
        index.hang = False


async def _waited(engine: Engine, before: list[str]) -> None:
    request = RunRequest(kind=RunKind.SCRIPT, script="own/slow.py")
    at_once = await engine.runs.start(request, engine.owner, "library")
    async with asyncio.timeout(PATIENCE):
        assert (await engine.runs.cancel(at_once.id, engine.owner)).outcome is Outcome.CANCELLED
    first = await engine.runs.start(request, engine.owner, "library")
    second = await engine.runs.start(request, engine.owner, "library")
    async with asyncio.timeout(PATIENCE):
        async for item in engine.runs.follow(first.id, engine.owner):
            if isinstance(item, RunInfo) and (item.queue_reason or "").startswith("building environment with gwslow"):
                break
    assert (item.state, item.queue_position) == (RunState.QUEUED, None)  # type: ignore[union-attr]
    assert (await engine.metrics.info()).waiting == 0, "neither waits for a slot"
    assert [task.kind for task in engine.tasks.list() if task.finished_at is None] == [TASK], "one build for both"
    assert (await run(engine, "own/ready.py")).value == "1.1", "others do not wait for it"
    gone = await engine.runs.cancel(first.id, engine.owner)
    assert (gone.outcome, gone.started_at) == (Outcome.CANCELLED, None)
    [task] = [task for task in engine.tasks.list() if task.kind == TASK and task.finished_at is None]
    await engine.tasks.cancel(task.id, engine.owner)
    async with asyncio.timeout(PATIENCE):
        ended = await engine.runs.wait(second.id, engine.owner)
    assert (ended.outcome, ended.error and ended.error.type) == (Outcome.ENVIRONMENT, "cancelled")
    assert builds(engine) == before, "nothing is left of it"


async def test_a_build_that_fails_is_the_clear_end_of_the_run(engine: Engine) -> None:
    await save(engine, "own/lies.py", script("gwlies"))
    await approve(engine, "own/lies.py")
    before = builds(engine)
    done = await run(engine, "own/lies.py")
    assert (done.outcome, done.started_at) == (Outcome.ENVIRONMENT, None)
    assert done.error is not None
    assert ("gwlies" in done.error.message, "hash" in done.error.message) == (True, True)
    assert builds(engine) == before


@pytest.mark.slow
async def test_another_python_of_the_host_runs_what_asks_for_it(engine: Engine) -> None:
    usual = ".".join(engine.pool.environment.version.split(".")[:2])
    there = {".".join(each.split(".")[:2]) for each in await asyncio.to_thread(engine.interpreters.known_versions)}
    if not (others := sorted(there - {usual})):
        pytest.skip("this host has one Python that scripts can run on")
    body = "import sys\nresult = list(sys.version_info[:2])\n"
    text = f'# /// script\n# requires-python = "=={others[0]}.*"\n# ///\n{body}'
    await save(engine, "own/other.py", text)
    listed = {one.path: one for one in (await engine.scripts.list()).scripts}["own/other.py"]
    assert (listed.problem, listed.needs_approval) == (None, False)
    done = await run(engine, "own/other.py")
    assert (done.outcome, done.value) == (Outcome.OK, [int(part) for part in others[0].split(".")]), done.error
    await save(engine, "own/usual.py", body)
    assert done.isolation == (await run(engine, "own/usual.py")).isolation, "behind the same layers"
    packages = script("gwlines", body="import gwlines\n" + body, more=f'requires-python = "=={others[0]}.*"')
    await save(engine, "own/other.py", packages)
    review = await approve(engine, "own/other.py")
    assert review.environment is not None
    assert review.environment.python.startswith(f"{others[0]}.")
    assert (await run(engine, "own/other.py")).value == done.value


async def test_macros_have_their_packages_in_a_batch(engine: Engine) -> None:
    macro = script(
        "gwmacro",
        body="import gwmacro\ndef render(params, context):\n    return 'lines ' + gwmacro.VERSION\n",
        more='[tool.gatewright]\n# kind = "macro"',
    )
    await save(engine, "macros/lined.py", macro)
    problems = {one.name: one.problem for one in (await engine.render.macros()).macros}
    assert "asks for packages" in (problems["lined"] or "")
    await approve(engine, "macros/lined.py")
    problems = {one.name: one.problem for one in (await engine.render.macros()).macros}
    assert "not installed yet" in (problems["lined"] or ""), "a list has nothing built"
    request = PreviewRequest(text="[[lined]]", path="a.md")
    shown = await engine.render.preview(request, engine.owner)
    assert "waits for its packages" in str(shown)
    async with asyncio.timeout(PATIENCE):
        batch = await engine.render.begin(BatchRequest(), engine.owner)
    await engine.render.end(batch.id, engine.owner)
    assert (await engine.render.preview(request, engine.owner)).text == "lines 1.0"


async def test_what_no_run_needed_is_evicted_and_built_again(engine: Engine) -> None:
    await save(engine, "own/used.py", script("gwlines!=1.1", body=f"import gwlines, time\ntime.sleep({PATIENCE})\n"))
    await save(engine, "own/rare.py", script("gwrare", body="import gwrare\nresult = gwrare.VERSION\n"))
    names = []
    for path in ("own/used.py", "own/rare.py"):
        await approve(engine, path)
        info = (await engine.scripts.load(path)).info
        chosen = await engine.script_environments.choose(info, engine.owner)
        made = await chosen.wait() if isinstance(chosen, Building) else chosen
        assert made is not None
        names.append(made.prefix.name)
    used, rare = names
    going = await engine.runs.start(RunRequest(kind=RunKind.SCRIPT, script="own/used.py"), engine.owner, "library")
    async with asyncio.timeout(PATIENCE):
        async for item in engine.runs.follow(going.id, engine.owner):
            if isinstance(item, RunInfo) and item.state is RunState.RUNNING:
                break
    there = claims(engine)
    await engine.script_environments.evict()
    assert claims(engine) == there, "they were used a moment ago"
    for claim in (engine.project.environments / CLAIMS).iterdir():
        os.utime(claim, (0, 0), follow_symlinks=False)
    await engine.script_environments.evict()
    left = {os.path.basename(claim) for claim in claims(engine)}
    assert (used in left, rare in left) == (True, False), "a process runs with the one"
    assert (used in builds(engine), rare in builds(engine)) == (True, False)
    await engine.runs.cancel(going.id, engine.owner)
    assert (await run(engine, "own/rare.py")).value == "1.0", "it is built again"
    there = claims(engine)
    await asyncio.to_thread(engine.packages.builds.collect)  # whatever processes run with
    assert {os.path.basename(claim) for claim in there} <= set(builds(engine)), "a claim keeps it"


@pytest.mark.slow
async def test_the_same_file_runs_under_uv_run(engine: Engine, index: PackageIndex, tmp_path: Path) -> None:
    body = "import gwshapes, gwlines\nresult = [gwshapes.VERSION, gwlines.VERSION]\nprint(*result)\n"
    await save(engine, "own/anywhere.py", script("gwshapes", body=body))
    await approve(engine, "own/anywhere.py")
    assert (await run(engine, "own/anywhere.py")).value == ["1.0", "1.1"]
    file = engine.project.scripts / "own/anywhere.py"
    chosen = {"UV_DEFAULT_INDEX": index.url, "UV_CACHE_DIR": str(tmp_path), "UV_NO_CONFIG": "1"}
    chosen |= {"UV_PYTHON": str(engine.pool.environment.interpreter), "UV_PYTHON_DOWNLOADS": "never"}
    process = await asyncio.create_subprocess_exec(
        uv_program(), "run", "--no-project", str(file), stdout=asyncio.subprocess.PIPE, cwd=tmp_path, env=chosen
    )
    async with asyncio.timeout(PATIENCE):
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"1.0 1.1\n")


@pytest.mark.slow
async def test_decisions_and_builds_outlive_the_engine(index: PackageIndex, tmp_path: Path) -> None:
    settings = Settings(packages=PackagesSection(index=index.url))
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=settings) as engine:
        await save(engine, "own/lasts.py", script("gwlines", body="import gwlines\nresult = gwlines.VERSION\n"))
        await approve(engine, "own/lasts.py")
        assert (await run(engine, "own/lasts.py")).value == "1.1"
        before = claims(engine)
    nothing = Settings(packages=PackagesSection(index="none"))
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=nothing) as engine:
        assert (await run(engine, "own/lasts.py")).value == "1.1"
        assert claims(engine) == before
        assert not engine.tasks.list(), "nothing was built"
