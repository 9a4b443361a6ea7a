"""The packages screen, with a real engine, a real uv and a folder of tiny wheels in place of an index."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_support import Console, console, engine_project
from pictures_support import check

from engine.models.access import AccessInfo
from engine.models.packages import (
    AddPythonRequest,
    EnvironmentInfo,
    PackagePlan,
    PlannedPackage,
    PythonInfo,
    PythonList,
    UsePythonRequest,
)
from engine.registry.packages import (
    PACKAGES_BUNDLE,
    PACKAGES_PLAN,
    PYTHON_LIST,
    PYTHON_REMOVE,
    PYTHON_USE,
    BundleParams,
)

sys.path.append(str(Path(__file__).resolve().parent.parent / "integration"))

from package_index import PackageIndex, Release, package_index

RELEASES = (
    Release("sensors", requires=("units>=1",)),
    Release("units"),
    Release("tables", "1.5"),
    Release("hanging", hang=True),
)


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with package_index(*RELEASES) as serving:
        yield serving


@pytest.fixture(scope="module")
def plant(index: PackageIndex, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    settings = f'[packages]\nindex = "{index.url}"\n[policy]\nmodules = ["sensors"]\n'
    with engine_project(tmp_path_factory.mktemp("packages") / "plant-a", settings=settings) as root:
        yield root


async def open_packages(c: Console) -> None:
    await c.shows("pool [")
    await c.press("f2", "p")
    await c.shows("packages  default", "Python 3.")


async def install(c: Console, line: str) -> None:
    await c.press("i")
    await c.shows("Install into default")
    await c.type(line)
    await c.press("enter")
    await c.shows("Enter installs")
    await c.press("enter")
    await c.shows("Runs that begin from now on have it.")


@pytest.mark.slow
async def test_packages_are_planned_installed_looked_at_and_uninstalled(plant: Path, tmp_path: Path) -> None:
    async with console(plant, tmp_path) as c:
        await open_packages(c)
        await c.shows("No packages yet", "i installs packages by", "b takes them from a bundle file")
        await c.press("i")
        await c.shows("Install into default")
        await c.type("sensors >= 1, <2\n")
        await c.shows(
            "2 packages change", "new        sensors 1.0", "new        units 1.0", "127.0.0.1", "nothing changes"
        )
        await c.press("escape")
        await c.shows("No packages yet")
        await install(c, "sensors")
        await c.shows("default: new sensors 1.0, new units 1.0.", "2 packages", "asked for", "for sensors")
        lines = c.text.splitlines()
        assert ["allowed" in line for line in lines if line.startswith((" sensors ", " units "))] == [True, False]
        changes = c.app._console.parts.package_changes
        await c.until(
            lambda: any("sensors" in line for line in changes.lines), "the output of the installation is kept"
        )
        await check(c, "packages", lambda c: re.sub(r"by \w+\n", "by WHO\n", c.text))
        await c.press("enter")
        await c.shows("sensors 1.0", "RESTRICTED scripts may import it", "requires units>=1", "The package sensors")
        await c.press("escape", "down")
        await c.shows("import units   needed by sensors")
        await c.press("x")
        await c.shows("units is needed by sensors: these cannot do without it.", "uninstall units and sensors")
        await c.press("enter")  # the row of Esc: what takes something away has a letter only
        await c.shows("i install", "2 packages")
        await c.press("x")
        await c.shows("uninstall units and sensors")
        await c.press("a")
        await c.shows("default: removed sensors 1.0, removed units 1.0.", "No packages yet")


async def test_what_cannot_be_installed_is_told_where_it_was_typed(plant: Path, tmp_path: Path) -> None:
    async with console(plant, tmp_path) as c:
        await open_packages(c)
        await c.press("i")
        await c.shows("Install into default")
        await c.type("nothing-of-this-name\n")
        await c.shows("Install into default", "nothing-of-this-name", "Enter goes on")
        await c.until(lambda: c.app.screen.query_one(".dialog--problem").display, "the reason is told")
        await c.press("escape")
        await c.shows("i install")


@pytest.mark.slow
async def test_a_plan_and_a_change_that_hang_are_cancelled_and_nothing_has_changed(
    plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with console(plant, tmp_path) as c:
        await open_packages(c)
        await c.press("i")
        await c.shows("Install into default")
        await c.type("hanging\n")
        await c.shows("looking at what would change ...   c cancels", "c cancel")
        await c.press("c")
        await c.shows("cancelled; nothing was changed")
        await c.hides("looking at what")

        async def planned(**_: Any) -> PackagePlan:
            new = PlannedPackage(name="hanging", version="1.0", change="new", size=12_345_678, origin="127.0.0.1")
            return PackagePlan(environment="default", python="3.12.0", packages=[new], requirements=["hanging"])

        c.answer(monkeypatch, PACKAGES_PLAN, planned)
        await c.press("i")
        await c.shows("Install into default")
        await c.type("hanging\n")
        await c.shows("default, Python 3.12.0: 1 package changes, 11.8 MiB to fetch", "11.8 MiB  127.0.0.1")
        await c.press("enter")
        await c.shows("installing hanging:", "c cancels")
        await c.until(lambda: c.app._console.parts.package_changes.task is not None, "the task is known")
        await c.press("c")
        await c.shows("was cancelled; nothing was changed", "No packages yet")


async def test_interpreters_say_why_they_cannot_be_used_and_come_and_go(
    plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = PythonInfo(path="/usr/bin/python3.12", version="3.12.3", source="system", environments=["default"])
    bad = PythonInfo(path="/opt/py/bin/python3", version="3.8.1", source="added", problem="It is too old: \x1b[2J3.9.")
    newer = PythonInfo(path="/usr/bin/python3.13", version="3.13.1", source="local")
    found = [good, bad, newer]

    async def used(*, body: UsePythonRequest) -> EnvironmentInfo:
        return EnvironmentInfo(name=body.environment, python="3.13.1", interpreter=body.python, packages=0)

    async def listed() -> PythonList:
        return PythonList(interpreters=list(found))

    async def removed(*, body: AddPythonRequest) -> PythonInfo:
        return found.pop([one.path for one in found].index(body.path))

    async with console(plant, tmp_path) as c:
        await open_packages(c)
        c.answer(monkeypatch, PYTHON_LIST, listed)
        await c.press("v")
        await c.shows("Python for default", "3.12.3", "this system's", "not usable", "Enter use it")
        await c.press("enter")
        await c.shows("default runs on it already")
        await c.press("down")
        await c.shows("It is too old:")
        await c.press("enter")
        await c.shows("scripts cannot run on it")
        await c.press("a")
        await c.shows("Path of the interpreter on the engine's host")
        await c.type("/nowhere/python3\n")
        await c.shows("/nowhere/python3", "Enter goes on")
        await c.until(lambda: c.app.screen.query_one(".dialog--problem").display, "the reason is told")
        await c.press("escape")
        c.answer(monkeypatch, PYTHON_REMOVE, removed)
        await c.press("x")
        await c.shows("/opt/py/bin/python3 is no longer among the added ones")
        await c.hides("not usable")
        c.answer(monkeypatch, PYTHON_USE, used)
        await c.press("end", "enter")
        await c.shows("Build default again on Python 3.13.1, with the same packages")
        await c.press("y")
        await c.shows("scripts in default run with Python 3.13.1: /usr/bin/python3.13", "i install")


async def test_who_may_not_change_packages_sees_them_and_is_told(
    plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with console(plant, tmp_path) as c:
        await open_packages(c)
        monkeypatch.setattr(c.app._connection, "_access", AccessInfo(name="vera", role="viewer", default_mode=""))
        for key in ("i", "U", "b", "n"):
            await c.press(key)
            await c.told("Packages are changed by administrators. Your role is viewer.")
            assert "i install" in c.text
        await c.press("left_square_bracket")
        await c.shows("there is only one environment; n makes another")
        await c.press("D")
        await c.shows("the default environment stays")


async def test_the_palette_leads_to_an_installation(plant: Path, tmp_path: Path) -> None:
    async with console(plant, tmp_path) as c:
        await c.shows("pool [")
        await c.press("ctrl+p")
        await c.type("install packages; shows\n")
        await c.shows("Install into default")
        await c.press("escape")
        await c.shows("packages  default")


@pytest.mark.slow
async def test_an_environment_is_made_filled_from_a_bundle_upgraded_and_removed(
    plant: Path, index: PackageIndex, tmp_path: Path
) -> None:
    async with console(plant, tmp_path) as c:
        await open_packages(c)
        await c.press("n")
        await c.shows("Name of the new environment")
        await c.type("reports\n")
        await c.shows("on which Python reports runs")
        await c.press("enter")
        await c.shows("packages  reports (2 of 2)", "No packages yet", '= "reports" under')
        await c.press("i")
        await c.shows("Install into reports")
        await c.type("tables\n")
        await c.shows("Enter installs")
        await c.press("enter")
        await c.shows("reports: new tables 1.5.")
        file = tmp_path / "plant.gwpackages"
        with file.open("wb") as stream:
            params = BundleParams(name=file.name, environment="reports")
            await c.app._connection.client.download(PACKAGES_BUNDLE, params, stream.write)
        index.add(Release("tables", "1.6"))
        await c.press("u")
        await c.shows("upgrade    tables 1.5 -> 1.6", "Enter upgrades")
        await c.press("enter")
        await c.shows("reports: upgrade tables 1.5 -> 1.6.")
        await c.press("U")
        await c.shows("they are the newest versions that fit")
        await c.press("b")
        await c.shows("Install a bundle into reports")
        await c.type(f"{file}x\n")
        await c.shows("There is no such file.")
        await c.press("backspace", "enter")
        await c.shows("what it has not is removed.", "install plant.gwpackages")
        await c.press("i")
        await c.shows("reports: downgrade tables 1.6 -> 1.5.")
        await c.press("slash")
        await c.shows("Search the index")
        await c.type("tables\n")
        await c.shows("tables 1.6", "Enter goes on to installing it")
        await c.press("escape", "D")
        await c.shows("Remove the environment reports with its packages?")
        await c.press("r")
        await c.shows("removed the environment reports", "packages  default")
