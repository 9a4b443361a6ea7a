"""What slots and the host use, by a made-up /proc: between two looks, and what cannot be read is missing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.models.engine import SlotInfo, SlotState
from engine.services.pool_use import PoolUseService
from engine.services.usage import TICKS


class Host:
    """A pool of two slots on a host whose /proc is written by the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 100.0
        self.pids: dict[int, int | None] = {1: 11, 2: None}
        pool: Any = SimpleNamespace(
            info=lambda: SimpleNamespace(
                slots=[
                    SlotInfo(slot=slot, state=SlotState.READY, since=0.0, pid=pid) for slot, pid in self.pids.items()
                ]
            )
        )
        self.service = PoolUseService(pool, folder, folder, lambda: self.now)

    def process(self, pid: int, seconds: float, pages: int, children: str = "") -> None:
        place = self.folder / str(pid) / "task" / str(pid)
        place.mkdir(parents=True, exist_ok=True)
        (place / "children").write_text(children)
        fields = ["S", *["0"] * 10, str(int(seconds * TICKS)), *["0"] * 9, str(pages), "0"]
        (self.folder / str(pid) / "stat").write_text(f"{pid} (name) {' '.join(fields)}")

    def processors(self, busy: int, idle: int) -> None:
        (self.folder / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\n")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.process(11, 1.0, 100, "12 ")
    made.process(12, 0.0, 50)
    made.processors(100, 900)
    return made


async def test_the_processor_is_told_between_two_looks_and_memory_at_once(host: Host) -> None:
    first = await host.service.use()
    assert [(one.slot, one.cpu_percent) for one in first.slots] == [(1, None)]
    assert first.cpu_percent is None
    host.now += 2.0
    host.process(11, 2.5, 100, "12 ")
    host.process(12, 1.5, 70)
    host.processors(150, 950)
    found = await host.service.use()
    assert found.slots[0].cpu_percent == pytest.approx(150.0)
    assert found.slots[0].memory is not None
    assert first.slots[0].memory is not None
    assert found.slots[0].memory * 150 == first.slots[0].memory * 170
    assert found.cpu_percent == pytest.approx(50.0)
    assert found.disk is not None
    assert found.disk_free is not None
    assert 0 <= found.disk_free <= found.disk


async def test_screens_that_ask_at_once_share_a_look(host: Host) -> None:
    first = await host.service.use()
    host.now += 0.5
    assert await host.service.use() is first


async def test_the_next_child_of_a_slot_is_not_compared_with_the_one_before(host: Host) -> None:
    await host.service.use()
    host.now += 2.0
    host.pids = {1: 13, 2: 14}
    host.process(13, 900.0, 10)
    found = await host.service.use()
    assert [(one.slot, one.cpu_percent) for one in found.slots] == [(1, None)]


async def test_a_look_of_long_ago_says_nothing_of_now(host: Host) -> None:
    await host.service.use()
    host.now += 3_600.0
    host.processors(200, 1_800)
    assert (await host.service.use()).cpu_percent is None


async def test_what_is_not_shown_is_missing(tmp_path: Path) -> None:
    host = Host(tmp_path / "nothing")
    host.pids = {1: 11}
    await host.service.use()
    host.now += 2.0
    found = await host.service.use()
    assert (found.slots, found.cpu_percent, found.disk) == ([], None, None)
