"""Memory that is left for one run more: what the host says, what running ones may still take, and how fresh that is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.pool.memory_room import Claim, MemoryGauge, MemoryRoom
from engine.sandbox.host_memory import HostMemory, cgroups, host_memory

MIB = 1 << 20


class Host:
    """What is available, and how often somebody asked; ``at`` is the time."""

    def __init__(self, available: int) -> None:
        self.available = available
        self.asked = 0
        self.at = 100.0

    def read(self) -> HostMemory:
        self.asked += 1
        return HostMemory(self.available)

    def gauge(self, reserve: int = 0) -> MemoryGauge:
        return MemoryGauge(self.read, reserve, lambda: self.at)


def holding(held: int) -> Callable[[], int]:
    return lambda: held


def test_the_sum_of_what_is_asked_counts() -> None:
    host = Host(1000 * MIB)
    running = [Claim(400 * MIB, holding(0))] * 2
    assert MemoryRoom(host.gauge(), running).fits(200 * MIB)
    assert not MemoryRoom(host.gauge(), running).fits(201 * MIB)
    assert not MemoryRoom(host.gauge(reserve=MIB), running).fits(200 * MIB)


def test_what_is_held_already_is_not_counted_twice() -> None:
    """It is missing from what the host has available."""
    host = Host(500 * MIB)
    assert MemoryRoom(host.gauge(), [Claim(400 * MIB, holding(300 * MIB))]).fits(400 * MIB)
    assert not MemoryRoom(host.gauge(), [Claim(400 * MIB, holding(299 * MIB))]).fits(400 * MIB)
    hog = [Claim(400 * MIB, holding(4000 * MIB))]
    assert not MemoryRoom(host.gauge(), hog).fits(501 * MIB), "who holds more than it asked for gives nobody room"


def test_figures_are_read_seldom_unless_it_is_tight() -> None:
    host = Host(1000 * MIB)
    gauge = host.gauge()
    for _ in range(50):
        host.at += 0.01
        assert MemoryRoom(gauge, []).fits(500 * MIB)
    assert host.asked == 1
    host.at += 1.0
    assert MemoryRoom(gauge, []).fits(500 * MIB)
    assert host.asked == 2
    host.at += 0.06
    assert MemoryRoom(gauge, []).fits(501 * MIB)
    assert host.asked == 3
    host.available = 400 * MIB
    host.at += 0.06
    assert not MemoryRoom(gauge, []).fits(600 * MIB)


def test_what_does_not_fit_is_decided_by_a_fresh_figure() -> None:
    host = Host(1000 * MIB)
    gauge = host.gauge()
    assert not MemoryRoom(gauge, []).fits(2000 * MIB)
    host.available = 3000 * MIB
    assert MemoryRoom(gauge, []).fits(2000 * MIB)


def test_a_host_that_does_not_say_lets_everything_run() -> None:
    assert MemoryRoom(MemoryGauge(lambda: None, 64 * MIB), []).fits(1 << 50)


def test_sentences_have_both_figures() -> None:
    room = MemoryRoom(Host(300 * MIB).gauge(reserve=64 * MIB), [])
    assert not room.fits(512 * MIB)
    assert room.refusal(512 * MIB) == (
        "The run asks for 512 MiB of memory; this host has 300 MiB available, of which 64 MiB stay free."
    )
    room = MemoryRoom(Host(300 * MIB).gauge(), [Claim(200 * MIB, holding(50 * MIB))])
    assert not room.fits(512 * MIB)
    reason = "it asks for 512 MiB of memory; about 128 MiB are free beside what running scripts may take"
    assert room.wait_reason(512 * MIB) == reason
    room = MemoryRoom(Host(63 * MIB).gauge(), [])
    assert not room.fits(64 * MIB)
    assert "; less than 64 MiB are free beside" in room.wait_reason(64 * MIB)
    group = MemoryRoom(MemoryGauge(lambda: HostMemory(MIB, "/sys/fs/cgroup/a/memory.max"), 0), [])
    assert not group.fits(512 * MIB)
    assert "the limit in /sys/fs/cgroup/a/memory.max leaves 1 MiB available" in group.refusal(512 * MIB)


# -- what the host says ----------------------------------------------------------------------------------------------


def host_of(root: Path, own: str = "/a/b", shown: str = "/", **groups: dict[str, object]) -> Path:
    """A host with 1000 MiB available and these cgroups; ``__`` stands for a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: {2000 << 10} kB\nMemAvailable: {1000 << 10} kB\n")
    (root / "proc/self/cgroup").write_text(f"4:memory:/x\n0::{own}\n")
    mounts = f"30 24 0:26 / /sys rw - sysfs sysfs rw\n42 32 0:38 {shown} /sys/fs/cg\\040v2 rw - cgroup2 cgroup2 rw\n"
    (root / "proc/self/mountinfo").write_text(mounts)
    for name, files in groups.items():
        folder = root / "sys/fs/cg v2" / name.strip("_").replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file.replace("_", ".")).write_text(f"{text}\n")
    return root


def test_available_memory_of_a_host_without_limits(tmp_path: Path) -> None:
    root = host_of(tmp_path, a__b={"memory_max": "max", "memory_high": "max", "memory_current": 5 * MIB})
    assert host_memory(root) == HostMemory(1000 * MIB)


def used(current: int, **more: object) -> dict[str, object]:
    return {"memory_current": current * MIB, **more}


@pytest.mark.parametrize(
    ("groups", "left", "limit"),
    [
        ({"a__b": used(100, memory_max=300 * MIB)}, 200, "a/b/memory.max"),
        ({"a__b": used(100, memory_max=300 * MIB, memory_high=250 * MIB)}, 150, "a/b/memory.high"),
        (
            {"a": used(100, memory_max=300 * MIB), "a__b": used(0, memory_max=290 * MIB)},
            200,
            "a/memory.max",
        ),
        ({"a__b": used(200, memory_max=100 * MIB)}, 0, "a/b/memory.max"),
        (
            {"a__b": used(90, memory_max=100 * MIB, memory_stat=f"anon 5\ninactive_file {40 * MIB}")},
            50,
            "a/b/memory.max",
        ),
    ],
)
def test_the_tightest_limit_of_the_own_cgroups_counts(
    tmp_path: Path, groups: dict[str, dict[str, object]], left: int, limit: str
) -> None:
    found = host_memory(host_of(tmp_path, **groups))
    assert found is not None
    assert (found.available, found.limit) == (left * MIB, str(tmp_path / "sys/fs/cg v2" / limit))


def test_a_limit_above_what_the_host_has_changes_nothing(tmp_path: Path) -> None:
    root = host_of(tmp_path, a__b={"memory_max": 5000 * MIB, "memory_current": 0})
    assert host_memory(root) == HostMemory(1000 * MIB)


def test_a_container_sees_its_own_part_of_the_tree(tmp_path: Path) -> None:
    root = host_of(tmp_path, own="/docker/c/x", shown="/docker/c", x={"memory_max": 70 * MIB, "memory_current": 0})
    assert list(cgroups(root)) == [tmp_path / "sys/fs/cg v2/x", tmp_path / "sys/fs/cg v2"]
    found = host_memory(root)
    assert found is not None
    assert found.available == 70 * MIB
    (root / "proc/self/cgroup").write_text("0::/../elsewhere\n")
    (root / "proc/self/mountinfo").write_text("42 32 0:38 /docker/c /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    assert list(cgroups(root)) == []


def test_a_host_that_says_nothing(tmp_path: Path) -> None:
    assert host_memory(tmp_path) is None


def test_this_host_says_it() -> None:
    found = host_memory()
    assert found is not None
    assert found.available > 0
