"""How much room there is: asked seldom, judged by the larger of two floors, in a sentence."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store.disk_space import DiskSpace, Floor
from store.sizes import describe_size

MB = 1 << 20


@dataclass
class Disk:
    """A file system that says what a test wants, and a clock."""

    total: int = 100_000 * MB
    free: int = 50_000 * MB
    now: float = 0.0
    broken: bool = False
    asked: list[Path] = field(default_factory=list)

    def statvfs(self, folder: Path) -> os.statvfs_result:
        self.asked.append(folder)
        if self.broken:
            raise OSError(5, "Input/output error")
        blocks = self.total // 4096, self.free // 4096
        # f_bfree counts what only root may use: it must not be taken for free.
        return os.statvfs_result((4096, 4096, blocks[0], blocks[0], blocks[1], 0, 0, 0, 0, 255))

    def clock(self) -> float:
        return self.now

    def space(self, floor: Floor | None = None) -> DiskSpace:
        return DiskSpace(Path("/plant"), floor, statvfs=self.statvfs, clock=self.clock)


@pytest.mark.parametrize(
    ("total", "free", "short"),
    [
        (10_000 * MB, 501 * MB, False),
        (10_000 * MB, 499 * MB, True),
        (100_000 * MB, 2_001 * MB, False),  # two percent are more than 500 MB here
        (100_000 * MB, 1_999 * MB, True),
        (0, 0, False),  # a file system that does not count
    ],
)
def test_the_larger_floor_counts(total: int, free: int, short: bool) -> None:
    assert (Disk(total, free).space().short() is not None) is short


def test_it_is_asked_once_a_second_and_only_when_somebody_wants_to_know() -> None:
    disk = Disk()
    space = disk.space()
    assert disk.asked == []
    for disk.now in (0.0, 0.5, 0.99):
        assert space.short() is None
    assert disk.asked == [Path("/plant")]
    disk.free, disk.now = 312_000_000, 1.0
    assert space.short() == "the disk has only 298 MiB free (1.95 GiB are kept free)"
    disk.free, disk.now = 50_000 * MB, 1.5
    assert space.short() is not None
    disk.now = 2.0
    assert space.short() is None


def test_the_settings_may_say_to_use_it_up() -> None:
    assert Disk(free=0).space(Floor(0, 0.0)).short() is None


def test_a_file_system_that_fails_is_not_short_of_room() -> None:
    disk = Disk(free=0, broken=True)
    assert disk.space().short() is None


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (4096, "4 KiB"),
        (312 * 10**6, "298 MiB"),
        (1000 << 20, "1000 MiB"),
        (2 << 40, "2048 GiB"),
    ],
)
def test_sizes_are_short(size: float, text: str) -> None:
    assert describe_size(size) == text
