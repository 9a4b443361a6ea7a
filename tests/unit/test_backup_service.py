"""One backup at a time, with all that clients were told before, and no engine that makes way meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.api.host import HostOperations
from engine.models.engine import StopRequest
from engine.models.secrets import SecretList
from engine.services import backup as service
from engine.services.access import Actor, Role, ServiceError
from engine.services.backup import BackupService
from engine.services.packages.interpreters import ADDED_FILE
from store import read_only
from store.backup.making import Stopped
from store.backup.restoring import look_over
from store.project import Project
from store.read_only import ReadOnlyProject
from store.state.database import StateDB

ADA = Actor(name="ada", uid=1, role=Role.ADMIN)


class Told:
    """Stands for the audit, the recorder of runs and the secrets; notes in which order they are asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    def tell(self, actor: Actor, source: str, action: str, subject: str = "") -> None:
        self.calls.append(f"{actor.name} {source} {action} {subject}")

    async def flush(self) -> None:
        self.calls.append("flush")
        await self.go_on.wait()

    async def list(self, actor: Actor) -> SecretList:
        return SecretList(secrets=[])


@pytest.fixture
async def made(tmp_path: Path) -> tuple[BackupService, Told, Project]:
    project = Project.create(tmp_path / "plant", {})
    await (await StateDB.open(project.state_db)).close()
    told = Told()
    return BackupService(project, project.private, None, *([cast(Any, told)] * 3)), told, project


async def test_it_is_recorded_and_runs_are_before_anything_is_copied(made: tuple[BackupService, Told, Project]) -> None:
    backups, told, project = made
    data = await backups.backup("x.gwbackup", ADA, "cli")
    assert told.calls == ["ada cli backup x.gwbackup", "flush", "flush"]
    file = project.root / "x"
    file.write_bytes(data)
    assert zipfile.ZipFile(file).testzip() is None
    assert not list(project.private.glob("backup-*"))
    assert not backups.busy


async def test_interpreters_that_were_added_are_named_as_left_out(made: tuple[BackupService, Told, Project]) -> None:
    backups, _, project = made
    told = []
    for text in (None, "[]"):
        if text is not None:
            (project.private / ADDED_FILE).write_text(text)
        file = project.root / "x"
        file.write_bytes(await backups.backup("x.gwbackup", ADA, "cli"))
        told.append("gatewright python add" in str(look_over(file).left_out))
    assert told == [False, True]


async def test_a_second_one_meanwhile_is_refused_and_the_engine_does_not_make_way(
    made: tuple[BackupService, Told, Project],
) -> None:
    backups, told, _ = made
    told.go_on.clear()
    first = asyncio.ensure_future(backups.backup("one", ADA, "cli"))
    await asyncio.sleep(0)
    with pytest.raises(ServiceError, match="being made already"):
        await asyncio.wait_for(backups.backup("two", ADA, "cli"), 20)
    audit = SimpleNamespace(tell=lambda *_, **__: None)
    engine = SimpleNamespace(
        tasks=SimpleNamespace(running=0), runs=SimpleNamespace(unfinished=0), backup=backups, audit=audit
    )
    stopped = asyncio.Event()
    host = HostOperations(cast(Any, SimpleNamespace(engine=engine, stop=stopped.set, info=lambda: None)))
    with pytest.raises(ServiceError, match="busy"):
        host.stop(StopRequest(when_idle=True), ADA, "cli")
    told.go_on.set()
    await first
    engine.tasks.running = 1
    with pytest.raises(ServiceError, match="busy"):
        host.stop(StopRequest(when_idle=True), ADA, "cli")
    assert not stopped.is_set()
    host.stop(StopRequest(), ADA, "cli")
    assert stopped.is_set(), "people may stop an engine with a task"


async def test_records_that_a_read_only_project_does_not_show_are_named(
    made: tuple[BackupService, Told, Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, told, writable = made
    monkeypatch.setattr(read_only, "MOST_COPIED", 10)
    spare = tmp_path / "spare"
    spare.mkdir()
    project = ReadOnlyProject.at(writable.root, spare)
    await (await StateDB.open(project.state_db)).close()
    backups = BackupService(project, project.home, None, *([cast(Any, told)] * 3))
    (tmp_path / "x").write_bytes(await backups.backup("x", ADA, "cli"))
    assert look_over(tmp_path / "x").problems == [service.NO_RECORDS]


async def test_a_caller_that_leaves_ends_it(
    made: tuple[BackupService, Told, Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    backups, _, project = made
    begun, ends = threading.Event(), []

    def make(_: object, __: object, ___: object, stop: threading.Event) -> None:
        begun.set()
        ends.append(stop.wait(20))
        raise Stopped("The backup was stopped.")

    monkeypatch.setattr(service, "make", make)
    asked = asyncio.ensure_future(backups.backup("one", ADA, "cli"))
    assert await asyncio.to_thread(begun.wait, 20)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert ends == [True]
    assert not backups.busy
    assert not [name for name in os.listdir(project.private) if name.startswith("backup-")]
