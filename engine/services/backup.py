"""A backup of the project while it is in use, as one file for the caller alone."""

from __future__ import annotations

import asyncio
import logging
import mmap
import shutil
import tempfile
import threading
from pathlib import Path

from engine.models.base import VERSION
from engine.registry.engine import BACKUP
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.operations import implements
from engine.services.packages.interpreters import ADDED_FILE
from engine.services.runs.recorder import Recorder
from engine.services.secrets import SecretService
from store.backup.making import BackupSource, Stopped, make
from store.errors import LowDisk, StoreError
from store.project import Project
from store.read_only import ReadOnlyProject

log = logging.getLogger(__name__)

WORK = "backup-"
"""What the folders for copies begin with."""

LEFT_OUT = (
    "The secrets of tokens: the tokens are revoked, so make new ones for their programs.",
    "The key by which secret parameters of two runs are compared.",
    "What the owner trusts the repository to run: git asks again.",
    "Logs, and what can be made again from the rest: the index of scripts.",
)
"""Of every project. What lets a program in, or runs one, does not travel with a file."""

INTERPRETERS = "Which interpreters were added by their path: add them again by gatewright python add PATH."


NO_RECORDS = "Records of old runs: they are too large to be copied from a project that cannot be written to."


class BackupService:
    """One backup at a time. It is made on the project's disk, beside what it is made of, and is gone once it was sent.

    Args:
        project: What is backed up.
        home: The project's private folder itself, also where an engine writes elsewhere.
        shared_settings: The settings of a shared project; None of any other.
        secrets: Whose names are told, since the values are left out.
        audit: Told of each backup before it is made.
        recorder: Writes the records of runs.
    """

    def __init__(
        self,
        project: Project,
        home: Path,
        shared_settings: Path | None,
        secrets: SecretService,
        audit: AuditService,
        recorder: Recorder,
    ) -> None:
        self._project = project
        self._home = home
        self._shared_settings = shared_settings
        self._secrets = secrets
        self._audit = audit
        self._recorder = recorder
        self._has_records = not isinstance(project, ReadOnlyProject) or project.has_old_records
        self.busy = False
        """Whether one is being made."""
        for left in project.private.glob(f"{WORK}*"):  # an engine was killed at it
            shutil.rmtree(left, ignore_errors=True)

    @implements(BACKUP)
    async def backup(self, name: str, actor: Actor, source: str) -> bytes | memoryview:
        """Make a backup; a caller that leaves ends it."""
        if self.busy:
            raise ServiceError("busy", "A backup is being made already.", hint="Try again when it is done.", status=409)
        self.busy = True
        try:
            self._audit.tell(actor, source, "backup", name)
            await self._audit.flush()
            await asyncio.shield(self._recorder.flush())  # what a client was told of a moment ago belongs to it
            return await self._made(await self._source(actor))
        except LowDisk as error:
            raise ServiceError("disk_full", error.sentence, hint=error.hint, status=507) from None
        except StoreError as error:
            raise ServiceError("backup", error.sentence, hint=error.hint, status=422) from None
        finally:
            self.busy = False

    async def _source(self, actor: Actor) -> BackupSource:
        names = [secret.name for secret in (await self._secrets.list(actor)).secrets]
        values = f"The values of secrets: {', '.join(names)}. Set them again: gatewright secrets set NAME."
        added = (self._home / ADDED_FILE).exists()
        return BackupSource(
            root=self._project.root,
            home=self._home,
            database=self._project.state_db,
            version=VERSION,
            made_by=actor.name,
            shared_settings=self._shared_settings,
            left_out=(*LEFT_OUT, *([values] if names else []), *([INTERPRETERS] if added else [])),
            problems=() if self._has_records else (NO_RECORDS,),
        )

    async def _made(self, source: BackupSource) -> memoryview:
        stop = threading.Event()
        work = asyncio.ensure_future(asyncio.to_thread(_make, source, self._project.private, stop))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([work])
            if not work.cancelled() and (error := work.exception()) is not None and not isinstance(error, Stopped):
                log.warning("a backup that no caller waited for any longer failed: %s", error)
            raise


def _make(source: BackupSource, place: Path, stop: threading.Event) -> memoryview:
    """Return the backup as memory that the kernel reads from a file without a name, and drops with it."""
    work = Path(tempfile.mkdtemp(prefix=WORK, dir=place))
    try:
        with tempfile.TemporaryFile(dir=work) as file:
            make(source, file, work, stop)
            file.flush()
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    finally:
        shutil.rmtree(work, ignore_errors=True)
