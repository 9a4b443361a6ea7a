"""The interpreters that a project knows: listed, added by their path, removed, chosen by a version."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from engine import Engine
from engine.models.packages import PythonInfo
from engine.models.runs import RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.sandbox.interpreters import check_interpreter, version_parts
from engine.services.access import ServiceError
from engine.services.packages.interpreters import ADDED_FILE, fits
from engine.services.packages.lock import Lock
from store.errors import StoreError

VERSION = ".".join(map(str, sys.version_info[:3]))
MINOR = VERSION.rpartition(".")[0]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("python") / "plant", pool_size=1) as opened:
        yield opened


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """An interpreter in no usual place."""
    place = tmp_path / "bin" / f"python{MINOR}"
    place.parent.mkdir(mode=0o755)
    shutil.copy(os.path.realpath(sys.executable), place)
    place.chmod(0o755)
    return place


async def listed(engine: Engine) -> dict[str, PythonInfo]:
    return {one.path: one for one in (await engine.interpreters.all()).interpreters}


async def refused(call: object) -> ServiceError:
    with pytest.raises(ServiceError) as refusal:
        await call  # type: ignore[misc]
    return refusal.value


async def test_the_list_says_what_runs_on_each(engine: Engine) -> None:
    found = (await engine.interpreters.all()).interpreters
    usual = engine.pool.settings.environment
    assert {one.path: one.environments for one in found}[str(usual.interpreter)] == ["default"]
    usable = [one for one in found if one.problem is None]
    assert [*usable, *(one for one in found if one.problem is not None)] == found, "what cannot be used comes last"
    assert usable == sorted(usable, key=lambda one: (version_parts(one.version), one.path), reverse=True)
    assert engine.interpreters.versions == tuple(one.version for one in usable)


async def test_one_is_added_by_its_path_kept_and_removed(engine: Engine, copied: Path, tmp_path: Path) -> None:
    link = tmp_path / "mine"
    link.symlink_to(copied)
    added = await engine.interpreters.add(str(link), engine.owner, "cli")
    assert (added.path, added.version, added.source) == (str(copied), VERSION, "added")
    await engine.interpreters.add(str(copied), engine.owner, "cli")
    file = engine.project.private / ADDED_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().count(str(copied)) == 1
    assert (await listed(engine))[str(copied)].source == "added"
    assert (await asyncio.to_thread(engine.interpreters.named, str(copied))).path == copied
    copied.unlink()
    assert "There is no file" in ((await listed(engine))[str(copied)].problem or "")
    await engine.interpreters.remove(str(copied), engine.owner, "cli")
    assert str(copied) not in await listed(engine)
    await engine.audit.flush()
    told = [(one.action, one.subject) for one in (await engine.audit.list(engine.owner)).records]
    assert [one for one in told if one[1] == str(copied)] == [
        ("python_remove", str(copied)), ("python_add", str(copied)), ("python_add", str(copied)),
    ]  # fmt: skip


async def test_what_is_wrong_with_one_is_told_and_nothing_is_added(engine: Engine, copied: Path) -> None:
    copied.chmod(0o757)
    refusal = await refused(engine.interpreters.add(str(copied), engine.owner, "cli"))
    assert (refusal.code, refusal.status) == ("bad_python", 422)
    assert f"every account may write to {copied}" in refusal.message
    for path in ("python3", "/nowhere/python3", "/a\0b", "--help", "/bin/true"):
        assert (await refused(engine.interpreters.add(path, engine.owner, "cli"))).code == "bad_python"
        assert (await refused(engine.interpreters.remove(path, engine.owner, "cli"))).code == "no_python"
    assert str(copied) not in await listed(engine)
    usual = engine.pool.settings.environment.interpreter
    assert (await refused(engine.interpreters.remove(str(usual), engine.owner, "cli"))).code == "in_use"


async def test_a_version_names_the_preferred_one_of_those_that_have_it(engine: Engine) -> None:
    usual = engine.pool.settings.environment.interpreter
    for name in (MINOR, VERSION, f"python{MINOR}", f" Python {VERSION} "):
        assert (await asyncio.to_thread(engine.interpreters.named, name)).path == usual
    assert (await asyncio.to_thread(engine.interpreters.preferred))[0].path == usual
    for name in ("2.7", "3.1", "", "-m", "3.99"):
        refusal = await refused(asyncio.to_thread(engine.interpreters.named, name))
        assert (refusal.code, VERSION in refusal.message) == ("no_python", True)


async def test_a_file_of_paths_that_is_none_is_told_of(engine: Engine) -> None:
    file = engine.project.private / ADDED_FILE
    for text in ("{", '{"a": 1}', "[1]", '["a\\u0000b"]'):
        file.write_text(text)
        with pytest.raises(StoreError, match="is no list of paths"):
            await engine.interpreters.all()
    file.unlink()


async def test_requires_python_is_read_as_pep_440_has_it() -> None:
    assert fits(None, "3.11.2")
    assert fits(">=3.9,<3.12", "3.11.2")
    assert not fits(">=3.12", "3.11.2")
    assert fits(">=3.14", "3.14.0rc1") is False
    assert fits(">=3.13", "3.14.0rc1")
    assert not fits("three", "3.11.2")


async def test_an_environment_whose_interpreter_others_could_change_by_now_is_not_used(
    engine: Engine, copied: Path
) -> None:
    builds = engine.packages.builds
    made = await builds.make(Lock(), check_interpreter(copied), "trusted")
    builds.swap("trusted", made.prefix)
    for found in (builds.current("trusted"), builds.startable("trusted")):
        assert found is not None
        assert found.interpreter == copied
    copied.chmod(0o757)
    assert builds.current("trusted") is None
    assert builds.startable("trusted") is None
    [told] = [one for one in (await engine.packages.environments()).environments if one.name == "trusted"]
    assert "another account could change it" in (told.problem or "")
    assert f"every account may write to {copied}" in ((await listed(engine))[str(copied)].problem or "")
    refusal = await refused(engine.run(RunRequest(kind=RunKind.EXEC, code="1", environment="trusted")))
    assert refusal.code == "no_environment"
    builds.remove("trusted")


async def test_lists_judge_requires_python_again_when_another_python_is_used(engine: Engine) -> None:
    text = '# /// script\n# requires-python = "==3.8.*"\n# ///\n'
    await engine.scripts.save("old.py", SaveRequest(text=text), engine.owner)

    async def problem() -> str | None:
        [found] = [one for one in (await engine.scripts.list()).scripts if one.path == "old.py"]
        return found.problem

    dependencies, usual = engine.scripts._dependencies, engine.pool.environment
    assert "requires Python ==3.8.*" in (await problem() or "")
    dependencies.follow(replace(usual, version="3.8.1"))
    assert await problem() is None
    dependencies.follow(usual)
    assert "requires Python ==3.8.*" in (await problem() or "")
