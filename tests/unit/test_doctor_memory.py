"""What the doctor says of memory and of who goes first: texts from figures, and the checks of this host."""

from __future__ import annotations

from pathlib import Path

from engine.config import LimitsSection, PoolSection, Settings
from engine.doctor import memory
from engine.doctor.finding import Severity
from engine.paths import EnginePaths
from engine.sandbox.host_memory import HostMemory

MIB = 1 << 20


def test_memory_that_is_enough_for_every_slot() -> None:
    found = memory.room(Settings(), HostMemory(1600 * MIB))
    assert (found.level, found.advice) == (Severity.OK, "")
    assert found.found == (
        "this host has 1.56 GiB available, enough for 3 runs of 512 MiB at once with 64 MiB left free"
    )


def test_memory_that_some_runs_will_wait_for() -> None:
    settings = Settings(pool=PoolSection(size=4), limits=LimitsSection(memory=1 << 30))
    found = memory.room(settings, HostMemory(3 << 30, "/sys/fs/cgroup/a/memory.max"))
    assert found.level is Severity.WARN
    assert found.found.startswith("the limit in /sys/fs/cgroup/a/memory.max leaves 3 GiB available, too little for 4")
    assert "limits.memory or pool.size" in found.advice


def test_a_host_that_does_not_say_what_it_has() -> None:
    assert memory.room(Settings(), None).level is Severity.WARN


def test_what_niceness_is_worth_between_sessions() -> None:
    assert "nicer than the engine" in memory.turn("0").found
    assert not memory.turn("").advice
    shared = memory.turn("1")
    assert "within one session only" in shared.found
    assert "CPUWeight" in shared.advice


def test_the_checks_of_this_host(tmp_path: Path) -> None:
    found = [check() for check in memory.HOST_CHECKS]
    found += [check(EnginePaths(tmp_path)) for check in memory.PROJECT_CHECKS]
    assert found[0].found == "holds: runs first, then what makes them"
    assert all(finding.tried and finding.found for finding in found)
    assert list(tmp_path.iterdir()) == []
