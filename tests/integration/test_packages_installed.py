"""Packages as people get them: pandas from the public index, and an installation by an ordinary account."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from account_support import ordinary_account
from cli_support import cli_project
from daemon_support import write_settings
from package_index import Release, package_index

from engine import Engine
from engine.config import PolicySection, Settings
from engine.models.packages import InstallRequest, UninstallRequest
from engine.models.runs import Outcome, RunKind, RunRequest
from tui.commands import exit_codes

pytestmark = pytest.mark.slow

SCRIPT = """
import pandas
result = int(pandas.DataFrame({"a": [1, 2, 3]})["a"].sum())
"""


async def test_pandas_is_installed_while_an_engine_runs_and_a_restricted_script_uses_it(tmp_path: Path) -> None:
    settings = Settings(policy=PolicySection(modules=("pandas", "numpy")))
    async with Engine.open(tmp_path / "plant", pool_size=1, settings=settings) as engine:
        plan = await engine.packages.install(InstallRequest(requirements=["pandas"]), engine.owner, "cli")
        assert {"numpy", "pandas"} <= {each.name for each in plan.packages if each.change == "new"}
        assert all(each.sha256 and each.size for each in plan.packages)
        used = await engine.run(RunRequest(kind=RunKind.EXEC, code=SCRIPT))
        assert (used.outcome, used.result) == (Outcome.OK, "6"), used.error
        assert "seccomp" in (used.isolation or ""), used
        gone = await engine.packages.uninstall(UninstallRequest(names=["pandas"]), engine.owner, "cli")
        assert {"numpy", "pandas"} <= {each.name for each in gone.packages if each.change == "removed"}
        after = await engine.run(RunRequest(kind=RunKind.EXEC, code=SCRIPT))
        assert after.outcome is Outcome.SCRIPT_ERROR


async def test_an_ordinary_account_installs_by_the_command_line() -> None:
    with ordinary_account() as account, package_index(Release("alpha")) as index:
        folder = account.folder("plant")
        project = ["--project", str(folder)]

        async def call(*arguments: str) -> str:
            done = await asyncio.to_thread(account.call, *project, *arguments)
            assert done.returncode == 0, done.stderr
            return done.stdout

        write_settings(folder, f'[packages]\nindex = "{index.url}"\n[policy]\nmodules = ["alpha"]\n')
        account.own(folder)
        made = await asyncio.to_thread(account.call, "init", str(folder))
        assert made.returncode == 0, made.stderr
        assert "new: alpha 1.0" in await call("packages", "install", "alpha")
        assert "1.0" in await call("exec", "import alpha; print(alpha.VERSION)")
        await call("engine", "stop")


def test_a_bundle_is_made_and_installed_by_the_command_line(tmp_path: Path) -> None:
    place = tmp_path / "plant.gwpackages"
    with (
        package_index(Release("alpha", requires=("beta",)), Release("beta")) as index,
        cli_project(tmp_path / "plant", f'[packages]\nindex = "{index.url}"\n') as plant,
    ):
        assert plant.call("packages", "bundle", str(place)).returncode == exit_codes.CONFLICT
        assert not place.exists()
        assert plant.call("packages", "install", "alpha").returncode == 0
        done = plant.call("packages", "bundle", str(place))
        assert done.returncode == 0, done.stderr
        assert f"{place} has " in done.stderr
        assert plant.call("packages", "bundle", str(place)).returncode == exit_codes.CONFLICT
    with cli_project(tmp_path / "offline", '[packages]\nindex = "none"\n') as offline:
        assert offline.call("packages", "install", "--bundle", "/nowhere").returncode == exit_codes.USAGE
        done = offline.call("packages", "install", "--bundle", str(place))
        assert done.stdout.splitlines() == ["new: alpha 1.0", "new: beta 1.0"], done.stderr
        names = [one["name"] for one in offline.json("packages", "list")["packages"]]
        assert names == ["alpha", "beta"]
