"""Processor time and memory by /proc: a made-up one, this machine's own, and one that cannot be read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from made_up_proc import MIB, MadeUpProc

from engine.services import usage
from engine.services.usage import EVERY, Usage, UsageMeter, Use, cores


@pytest.fixture
def proc(tmp_path: Path) -> MadeUpProc:
    return MadeUpProc(tmp_path)


ME = os.getpid()
ALL = 60.0 * cores()
"""Seconds of processor time that a minute has."""


async def test_the_engine_and_all_below_it_count_together(proc: MadeUpProc) -> None:
    proc.process(ME, 1.0, memory=10 * MIB)
    proc.process(900_001, 2.0, parent=ME, memory=20 * MIB)
    proc.process(900_002, 3.0, parent=900_001, memory=30 * MIB, reaped=6.0)
    found = await proc.meter().usage()
    # Ten seconds old: in the fifty before it used nothing.
    assert found.engine.cpu_percent == pytest.approx(100 * 12 / ALL)
    assert found.engine.memory == 60 * MIB
    assert (found.load, found.memory, found.available, found.cores) == (1.25, 8 * MIB, 4 * MIB, cores())
    assert found.gateway == Use()


async def test_use_is_that_of_the_last_minute(proc: MadeUpProc) -> None:
    meter = proc.meter()
    proc.process(ME, 50.0, began=1.0)
    assert (await meter.usage()).engine.cpu_percent is None  # nothing to compare with yet
    for _ in range(30):
        proc.now += EVERY
        proc.process(ME, 50.0 + (proc.now - 10_000) / 10, began=1.0)
        found = await meter.usage()
    assert found.engine.cpu_percent == pytest.approx(100 * 6 / ALL)
    proc.now += 600
    proc.process(ME, 80.0, began=1.0)
    assert (await meter.usage()).engine.cpu_percent == pytest.approx(0.0, abs=0.01)


async def test_a_process_that_ended_keeps_what_it_used(proc: MadeUpProc) -> None:
    meter = proc.meter()
    proc.process(ME, 1.0)
    proc.process(900_001, 2.0, parent=ME)
    await meter.usage()
    proc.now += 5
    proc.end(900_001, ME)
    proc.process(ME, 1.0, reaped=3.0)
    assert (await meter.usage()).engine.cpu_percent == pytest.approx(100 * 4 / ALL)


async def test_one_that_was_killed_unseen_makes_no_negative_use(proc: MadeUpProc) -> None:
    meter = proc.meter()
    proc.process(ME, 1.0, began=1.0)
    proc.process(900_001, 20.0, parent=ME, began=1.0)
    await meter.usage()
    proc.now += 5
    proc.end(900_001, ME)
    assert (await meter.usage()).engine.cpu_percent == 0.0


async def test_a_sample_is_used_for_a_second(proc: MadeUpProc) -> None:
    meter = proc.meter()
    proc.process(ME, 1.0)
    first = await meter.usage()
    proc.process(ME, 60.0)
    proc.now += 0.9
    assert (await meter.usage()).engine == first.engine
    proc.now += 0.2
    assert (await meter.usage()).engine != first.engine


async def test_ignitions_jvm_is_found_and_followed(proc: MadeUpProc) -> None:
    meter = proc.meter()
    proc.process(ME, 1.0)
    proc.process(900_002, 3.0, memory=2 * MIB, command="/opt/jre/bin/java -jar ignition-tool.jar")
    proc.process(900_003, 3.0, command="/usr/bin/java -jar other.jar")
    proc.process(900_004, 4.0, command="sh /usr/local/bin/ignition/ignition.sh")
    proc.process(900_005, 100.0, memory=70 * MIB, command="/usr/local/bin/ignition/lib/runtime/jre-nix/bin/java -Xmx2g")
    found = await meter.usage()
    assert found.gateway == Use(cpu_percent=None, memory=70 * MIB)
    proc.now += 2
    proc.process(900_005, 101.0, memory=80 * MIB, command="/opt/ignition/jre/bin/java -Xmx2g")
    found = await meter.usage()
    assert found.gateway == Use(cpu_percent=pytest.approx(100 * 1.0 / (2 * cores())), memory=80 * MIB)
    # Restarted under the pid that it had: another process, whose use is not known yet.
    proc.now += 2
    proc.process(900_005, 1.0, began=10_003.0, command="/opt/ignition/jre/bin/java -Xmx2g")
    assert (await meter.usage()).gateway == Use(cpu_percent=None, memory=MIB)
    proc.now += 2
    for left in ("900002", "900005"):
        shutil.rmtree(proc.folder / left)
    assert (await meter.usage()).gateway == Use()


async def test_what_cannot_be_read_is_missing_and_never_zero(tmp_path: Path) -> None:
    found = await UsageMeter(tmp_path / "nothing").usage()
    assert found == Usage(cores=cores(), engine=Use(), gateway=Use(), load=None, memory=None, available=None)


@pytest.mark.parametrize("file", ["stat", pytest.param(f"task/{ME}/children", id="children"), "task"])
async def test_an_engine_whose_processes_are_hidden_has_no_figures(proc: MadeUpProc, file: str) -> None:
    proc.process(ME, 1.0)
    proc.process(900_001, 2.0, parent=ME)
    path = proc.folder / str(ME) / file
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert (await proc.meter().usage()).engine == Use()


async def test_a_process_below_that_is_hidden_is_not_taken_for_an_ended_one(proc: MadeUpProc) -> None:
    proc.process(ME, 1.0)
    proc.process(900_001, 2.0, parent=ME)
    proc.process(900_002, 2.0, parent=900_001)
    (proc.folder / "900002" / "stat").unlink()
    assert (await proc.meter().usage()).engine == Use()


async def test_a_process_that_ends_meanwhile_hides_nothing(proc: MadeUpProc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.process(ME, 1.0, memory=MIB)
    proc.process(900_001, 2.0, parent=ME, memory=MIB)
    proc.process(900_002, 2.0, parent=900_001, memory=MIB)
    read = usage.process_times

    def ended(place: Path, pid: int) -> usage.ProcessTimes | None:
        if pid == 900_002:
            proc.end(900_002, 900_001)
        return read(place, pid)

    monkeypatch.setattr(usage, "process_times", ended)
    assert (await proc.meter().usage()).engine.memory == 2 * MIB


async def test_this_process_has_figures() -> None:
    meter = UsageMeter()
    found = await meter.usage()
    assert found.engine.memory is not None
    assert found.engine.memory > MIB
    assert found.load is not None
    assert found.memory is not None
    assert found.available is not None
    assert found.memory > found.available > 0
