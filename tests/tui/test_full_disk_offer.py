"""The console on a full disk says so, offers what can go, and starts the engine again when there is room."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import pytest
from console_support import console, write_settings

from engine.client import launch
from engine.models.runs import RunKind, RunRequest

sys.path.append(str(Path(__file__).resolve().parent.parent / "integration"))

from mounts import needs_mounts, small_disk

MB = 1 << 20
SETTINGS = "[disk]\nkeep_free = '1 MiB'\nkeep_free_percent = 0\n"
TALK = RunRequest(kind=RunKind.EXEC, code="print('x' * 3_000_000)")


def fill(disk: Path) -> None:
    """Leave not one block free."""
    with open(disk / "ballast", "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 1024)


async def talk(root: Path) -> None:
    client = await launch.connect(root, client="cli")
    async for _ in client.run_and_follow(TALK):
        pass
    await client.close()


@pytest.mark.slow
@needs_mounts
async def test_what_can_go_is_offered_and_then_all_is_as_usual(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 48 * MB) as disk:
        project = disk / "plant"
        project.mkdir()
        write_settings(project, SETTINGS)
        try:
            await talk(project)
            await launch.stop(project, client="cli", force=True)
            fill(disk)
            async with console(project, tmp_path, size=(100, 30)) as c:
                await c.shows("The disk is full.", "start the engine again", "go on with a full disk")
                await c.press("a")
                await c.shows("Removed 1 outputs: ", "their output 0 B", "start the engine again")
                await c.press("enter")
                await c.until(lambda: c.app._connection.info and not c.app._connection.info.disk_full, "it has room")
                await c.hides("start the engine again")
        finally:
            await launch.stop(project, client="cli", force=True)
