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

from engine.models.packages import PackagePlan, PlannedPackage
from engine.registry.packages import PACKAGES_PLAN

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
    with engine_project(tmp_path_factory.mktemp("packages") / "plant-a", settings=settings, pictured=True) as root:
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
