"""Packages that an administrator lets RESTRICTED scripts import: they work behind every layer, and run after run."""

from __future__ import annotations

import array
import os
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pool_kit import ADMIN, limits, pool_of, run

from engine.models.runs import Outcome
from engine.pool.environment import _ensure
from engine.pool.job import Environment, FileInput, Profile, Reply, SharedModule
from engine.pool.pool import Pool

TABLE = """
import numpy, pandas
table = pandas.DataFrame({"a": range(10), "b": numpy.arange(10) ** 2})
table["t"] = pandas.to_datetime("2024-01-01") + pandas.to_timedelta(table.a, unit="h")
table.to_csv("table.csv")
back = pandas.read_csv("table.csv", parse_dates=["t"])
result = {
    "sum": int(back.b.sum()),
    "zone": str(pandas.Timestamp("2024-06-01", tz="Europe/Berlin")),
    "singular": float(numpy.linalg.svd(numpy.eye(20))[1].sum()),
}
"""
VALUE = {"sum": 285, "zone": "2024-06-01 00:00:00+02:00", "singular": 20.0}
RANDOM = "import numpy\nresult = float(numpy.random.rand())"
ROOMY = limits(wall=30.0, memory=1 << 30)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which a package ``lib`` is installed."""
    made = _ensure(tmp_path_factory.mktemp("environment") / "default")
    (made.packages / "lib").mkdir()
    (made.packages / "lib" / "__init__.py").write_text("")
    (made.packages / "lib" / "tags.py").write_text("")
    return made


@pytest.fixture
async def pool(bare: Environment) -> AsyncIterator[Pool]:
    """One whose scripts have the packages of the tests."""
    packages = replace(bare, packages=Path(sysconfig.get_paths()["purelib"]))
    async with pool_of(
        1, environment=packages, profile=Profile(), modules=("numpy", "pandas"), profile_keep=0.0
    ) as made:
        yield made


@pytest.fixture
async def pool_with_lib(bare: Environment) -> AsyncIterator[Pool]:
    async with pool_of(1, environment=bare, profile=Profile(), profile_keep=0.0) as made:
        yield made


@pytest.mark.parametrize("preloads", [(), ("pandas",)])
async def test_a_script_with_pandas_and_numpy_runs(pool: Pool, preloads: tuple[str, ...]) -> None:
    done = await run(pool, TABLE, limits=ROOMY, profile=Profile(preloads=preloads))
    assert (done.outcome, done.value) == (Outcome.OK, VALUE), done.ending
    assert done.ending.isolation.startswith("full")


class Maker:
    """``HostCalls`` that make one buffer of 8,000 bytes."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("out")
        os.ftruncate(self.fd, 8_000)

    def call(self, _: bytes, reply: Reply) -> None:
        reply(b'{"ok":null}', (self.fd,))

    def end(self) -> None: ...


async def test_arrays_use_the_memory_of_buffers(pool: Pool) -> None:
    code = """
import gatewright, numpy
data = numpy.frombuffer(gatewright.buffers["data"])
out = numpy.frombuffer(gatewright.buffers.create("out", data.nbytes))
numpy.multiply(data, 2, out=out)
result = [data.flags.writeable, out.flags.writeable, data.flags.owndata, out.flags.owndata]
"""
    given, made = array.array("d", range(1_000)), Maker()
    handed = os.memfd_create("data")
    os.write(handed, given)
    try:
        buffers = {"data": FileInput("data", handed, 8_000)}
        done = await run(pool, code, limits=ROOMY, profile=Profile(), buffers=buffers, calls=made)
        assert done.value == [False, True, False, False], done.ending
        assert os.pread(made.fd, 8_000, 0) == array.array("d", [2 * number for number in given]).tobytes()
    finally:
        os.close(handed)
        os.close(made.fd)


@pytest.mark.parametrize("mode", [Profile(), ADMIN])
@pytest.mark.parametrize(
    "code", ["import lib", "from lib import tags", "import importlib; importlib.import_module('lib.tags')"]
)
async def test_an_installed_package_lib_is_no_shared_code(pool_with_lib: Pool, mode: Profile, code: str) -> None:
    for shared in ([], [SharedModule("lib", package=True)]):
        done = await run(pool_with_lib, code, limits=ROOMY, profile=mode, shared=shared)
        if code == "import lib" and shared:
            assert done.outcome is Outcome.OK
            continue
        assert done.ending.error is not None
        assert done.ending.error.type in ("ModuleNotFoundError", "ImportError")


async def test_what_a_package_imports_is_not_judged_and_what_the_script_imports_is(pool: Pool) -> None:
    done = await run(pool, "import pandas\nimport threading", limits=ROOMY, profile=Profile())
    assert done.outcome is Outcome.IMPORT_DENIED
    assert done.ending.error is not None
    assert "threading" in done.ending.error.message


async def test_runs_of_one_zygote_draw_other_random_numbers(pool: Pool) -> None:
    """numpy does not seed itself anew after a fork, unlike ``random``."""
    profile = Profile(preloads=("numpy",))
    drawn = [(await run(pool, RANDOM, limits=ROOMY, profile=profile)).value for _ in range(4)]
    assert len(set(drawn)) == 4, drawn


async def test_a_preload_that_is_not_there_ends_the_run_with_its_reason_and_not_the_slot(pool: Pool) -> None:
    done = await run(pool, "result = 1", profile=Profile(preloads=("no_such_package",)))
    assert done.outcome is Outcome.SANDBOX_UNAVAILABLE
    assert done.ending.error is not None
    assert "No module named 'no_such_package'" in done.ending.error.message
    assert (await run(pool, "result = 1", profile=Profile())).value == 1
