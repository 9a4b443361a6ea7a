"""The interpreter of scripts: made once, kept while it runs, made anew when it does not."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from pool_kit import pool_of, run

from engine.pool.environment import EnvironmentProblem, ensure_environment


async def test_it_is_made_kept_and_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "private" / "envs" / "default"
    made = await ensure_environment(folder)
    python = folder / "bin" / "python"
    assert made.interpreter == python.resolve()
    assert made.packages == next(folder.glob("lib/python3*")) / "site-packages"
    code = "import sys; print(sys.prefix != sys.base_prefix, [p for p in sys.path if 'site-packages' in p])"
    answer = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)  # noqa: ASYNC221
    assert answer.stdout.strip() == f"True ['{next(folder.glob('lib/python3*'))}/site-packages']"
    mark = folder / "mark"
    mark.touch()
    started = time.monotonic()
    assert await ensure_environment(folder) == made
    assert time.monotonic() - started < 2.0
    assert mark.exists(), "one that runs is left alone"
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert await ensure_environment(folder) == made
    assert not mark.exists(), "one that does not is made anew"


async def test_scripts_see_nothing_of_the_engines_packages(tmp_path: Path) -> None:
    async with pool_of(1, environment=await ensure_environment(tmp_path / "env")) as pool:
        for name in ("msgspec", "engine", "pytest", "starlette"):
            done = await run(pool, f"import {name}")
            assert done.ending.error is not None
            assert done.ending.error.type == "ModuleNotFoundError"


async def test_where_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EnvironmentProblem, match="cannot be made"):
        await ensure_environment(tmp_path / "file" / "default")
