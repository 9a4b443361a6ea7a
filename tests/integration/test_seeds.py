"""What a package makes once for itself is made in the sandbox, and every later run finds it in its working folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from pool_kit import ADMIN, environment_on, pool_of, run

from engine.models.runs import Outcome
from engine.pool.environment import seed_place
from engine.pool.job import Environment, Profile
from engine.pool.seeds import make_seeds

MAKER = """
import json, pathlib
cache = pathlib.Path.home() / ".cache" / "matplotlib" / "fontlist-v1.json"
MADE = not cache.exists()
if MADE:
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps(["a font"]))
FONTS = json.loads(cache.read_text())
"""
SCRIPT = """
import matplotlib.font_manager as fonts, pathlib
place = pathlib.Path({place!r})
try:
    next(place.rglob("*.json")).open("a").close()
    written = True
except OSError:
    written = False
result = [fonts.MADE, fonts.FONTS, written]
"""
HOSTILE = """
import pathlib
folder = pathlib.Path.home() / ".cache" / "matplotlib"
folder.mkdir(parents=True)
for name in ("..evil", ".hidden", "with space", "fine.json"):
    (folder / name).write_text(name)
(folder / "link.json").symlink_to("/etc/passwd")
"""


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_on("")


def install(environment: Environment, source: str) -> None:
    """Put a package of that name into the environment, in place of the one before."""
    folder = environment.packages / "matplotlib"
    if folder.exists():
        folder.rename(environment.packages / f"before-{folder.stat().st_ino}")
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "font_manager.py").write_text(source)


@pytest.mark.parametrize(
    "preloads",
    [pytest.param((), id="imported"), pytest.param(("matplotlib",), id="preloaded", marks=pytest.mark.slow)],
)
async def test_runs_find_what_was_made_once(environment: Environment, tmp_path: Path, preloads: Sequence[str]) -> None:
    install(environment, MAKER)
    seeds = tmp_path / "seeds"
    place = seed_place(seeds, environment)
    assert place is not None
    wanted = Profile(preloads=tuple(preloads))
    async with pool_of(1, environment=environment, profile=wanted, modules=("matplotlib",), seeds=seeds) as pool:
        script = SCRIPT.format(place=str(place))
        assert (await run(pool, "import matplotlib.font_manager as f\nresult = f.MADE", profile=wanted)).value is True
        await make_seeds(pool.settings, environment)
        assert [file.name for file in place.rglob("*.json")] == ["fontlist-v1.json"]
        pool.restart_slot(1)
        for profile in (wanted, wanted, ADMIN):
            done = await run(pool, script, profile=profile)
            assert done.outcome is Outcome.OK, done.ending
            # ADMIN runs may write wherever the engine's account may.
            assert done.value == [False, ["a font"], profile is ADMIN]
        assert (await run(pool, "import os\nresult = os.listdir()")).value == []


async def test_names_and_links_of_a_package_do_not_become_ours(environment: Environment, tmp_path: Path) -> None:
    install(environment, HOSTILE)
    async with pool_of(1, environment=environment, seeds=tmp_path / "seeds") as pool:
        await make_seeds(pool.settings, environment)
    files = [path for path in (tmp_path / "seeds").rglob("*") if not path.is_dir()]
    assert [file.name for file in files] == ["fine.json"]


@pytest.mark.slow
async def test_a_package_that_fails_is_noted_and_nothing_kept(
    environment: Environment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install(environment, "raise OSError('no fonts')")
    async with pool_of(1, environment=environment, seeds=tmp_path / "seeds") as pool:
        with caplog.at_level(logging.WARNING):
            await make_seeds(pool.settings, environment)
    assert "no fonts" in caplog.text
    assert not (tmp_path / "seeds").exists()
