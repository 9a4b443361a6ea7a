"""The pool makes room for a gateway that is really busy, and for one whose log says so, and tells it.

Only what the host's other programs do is left out of the figures: this machine may be busy with anything.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from engine.config import Settings, YieldSection
from engine.library import Engine
from engine.models.engine import SlotState
from engine.models.runs import Outcome
from engine.services.usage import UsageMeter
from engine.services.yielding.pressure import HostReader
from engine.services.yielding.service import YieldService
from tui.commands.engine import _figures

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 30.0
QUIET = YieldSection(load=1000, stalled=100, memory=0, gateway=100, after=0.01, back=0.01)
"""Limits that nothing on this machine reaches; a step takes no time."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder = tmp_path_factory.mktemp("yielding")
    log = folder / "wrapper.log"
    log.write_text("")
    limits = replace(QUIET, enabled=False, wrapper_log=str(log))
    async with Engine.open(folder / "plant", settings=Settings(yielding=limits)) as opened:
        yield opened


def service(engine: Engine, limits: YieldSection, meter: UsageMeter | None = None) -> YieldService:
    """One of the test's own beside the engine's, which is off; the host's other programs are not seen."""
    made = YieldService(engine.pool, meter or UsageMeter(), limits, engine.audit, engine.owner)
    made._host = HostReader(Path("/nonexistent"))
    return made


async def looked(service: YieldService, engine: Engine, resting: int) -> None:
    """Look until so many slots rest."""
    deadline = time.monotonic() + PATIENCE
    while engine.pool.info().resting != resting:
        assert time.monotonic() < deadline, engine.pool.info()
        await service.look()
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_busy_gateway_gets_room_and_gives_it_back(engine: Engine) -> None:
    """A real process that does nothing but compute, and is called what Ignition's JVM is called."""
    name = ["/opt/ignition/lib/runtime/jre-nix/bin/java", "-c", "while :; do :; done", "-Dignition"]
    busy = await asyncio.create_subprocess_exec(*name, executable="/bin/sh")
    try:
        watch = service(engine, replace(QUIET, gateway=1))
        if os.cpu_count() > 50:  # type: ignore[operator]
            pytest.skip("one process uses less than a percent of so many processors")
        await looked(watch, engine, 2)
        info = engine.pool.info()
        assert info.rest_reason.startswith("The gateway uses ")
        assert info.rest_reason.endswith(" % of the processors.")
        run = await engine.execute("result = 6 * 7")
        assert (run.outcome, run.value) == (Outcome.OK, 42)
    finally:
        busy.kill()
        await busy.wait()
    await looked(watch, engine, 0)
    assert engine.pool.info().rest_reason == ""


async def test_what_its_log_says_counts_and_each_change_is_told_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "engine.services.yielding")
    limits = replace(QUIET, keep=2, wrapper_log=engine_log(engine))
    watch = service(engine, limits, UsageMeter(Path("/nonexistent")))
    assert watch._log is not None
    watch._log._window = 600.0
    await watch.look()
    last = engine.events.last_seq
    before = len((await engine.audit.list(actor=engine.owner, limit=500)).records)
    Path(limits.wrapper_log).write_text(
        "W [ClockDriftDetector]: Max allowed deviation=1000ms, actual deviation=2500ms\n"
    )
    await looked(watch, engine, 1)
    reason = "The gateway's clock drifted by 2.5 s."
    assert engine.pool.info().rest_reason == reason
    assert ("resting", f"1 of 3 slots. {reason}") in _figures(engine.pool_service.info())
    assert said(caplog) == [f"1 of 3 slots rest. {reason}"]
    for _ in range(3):
        await watch.look()
    records = (await engine.audit.list(actor=engine.owner, limit=500)).records
    told = [one for one in records[: len(records) - before] if one.action == "yield"]
    assert [(one.actor, one.source, one.subject, one.detail) for one in told] == [
        ("engine", "engine", "pool", {"resting": 1, "size": 3, "reason": reason})
    ]
    await asyncio.sleep(0)
    deadline = time.monotonic() + PATIENCE
    while not [event for event in engine.events.since(last)[0] if event.type == "pool" and event.data.rest_reason]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    watch._log = None  # the half minute is over
    await looked(watch, engine, 0)
    assert said(caplog)[-1] == "no slot rests: the host has room again"


async def test_a_log_that_cannot_be_read_is_a_problem_that_says_where_it_is_named(engine: Engine) -> None:
    path = Path(engine_log(engine)).with_name("fifo.log")
    os.mkfifo(path)
    watch = service(engine, replace(QUIET, wrapper_log=str(path)))
    await watch.look()
    assert watch.problems == [f"wrapper_log under [yield] in the settings: {path} is no file, so nothing of it counts."]
    path.unlink()
    path.write_text("")
    await watch.look()
    assert watch.problems == []
    engine.yielding._problem = "wrapper_log is no file."
    assert "wrapper_log is no file." in engine.problems
    engine.yielding._problem = None


async def test_a_log_on_a_file_system_that_hangs_delays_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.services.yielding.service.LOG_PATIENCE", 0.05)
    watch = service(engine, replace(QUIET, wrapper_log=engine_log(engine)))
    assert watch._log is not None
    looks, done, hangs = 0, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    release = os.pipe()

    def hang() -> None:
        nonlocal looks
        looks += 1
        hangs.set()
        os.read(release[0], 1)
        loop.call_soon_threadsafe(done.set)

    monkeypatch.setattr(watch._log, "look", hang)
    for _ in range(3):
        await watch.look()
    assert await asyncio.to_thread(hangs.wait, PATIENCE)
    await watch.look()
    assert looks == 1, "there is no second thread beside one that hangs"
    assert "does not answer" in watch.problems[0]
    os.write(release[1], b"!")
    await asyncio.wait_for(done.wait(), PATIENCE)
    for end in release:
        os.close(end)


async def test_a_mistake_of_ours_wakes_every_slot(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = service(engine, QUIET)
    watch._steps.resting = watch._resting = 2
    watch._reason = "The load is high."
    engine.pool.rest(2, watch._reason)

    async def broken() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(watch, "look", broken)
    task = asyncio.create_task(watch.run())
    deadline = time.monotonic() + PATIENCE
    while any(slot.state is SlotState.RESTING for slot in engine.pool.slots()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    task.cancel()
    monkeypatch.undo()
    await watch.look()
    assert (engine.pool.info().resting, engine.pool.info().rest_reason) == (0, ""), "it begins again from the start"


async def test_an_engine_watches_its_host_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit that every host passes: less than all of its memory is available."""
    monkeypatch.setattr("engine.services.yielding.service.EVERY", 0.05)
    limits = replace(QUIET, memory=100, keep=2)
    async with Engine.open(tmp_path / "plant", settings=Settings(yielding=limits)) as watching:
        deadline = time.monotonic() + PATIENCE
        while watching.pool.info().resting != 1:
            assert time.monotonic() < deadline, watching.pool.info()
            await asyncio.sleep(0.02)
        assert watching.pool.info().rest_reason.endswith(" of memory are available.")
        assert (await watching.execute("result = 1")).value == 1


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What yielding itself logged: alerts tell of it, too, in their own time."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("engine.services.yielding")]


def engine_log(engine: Engine) -> str:
    return str(engine.project.root.parent / "wrapper.log")
