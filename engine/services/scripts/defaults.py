"""The bundle's scripts in a project: brought up to date where nobody edited them, offered where somebody did.

Hashes decide. A file that holds the text which was put there is untouched and gets the new one by an ordinary save; any
other text is somebody's own and is never replaced by itself. A file is written before it is remembered, so an engine
that is killed in between finds the bundle's text in place and only has to remember it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence

from default_scripts import Bundle
from engine.models.defaults import (
    DefaultChoice,
    DefaultDecision,
    DefaultDiff,
    DefaultScript,
    DefaultScripts,
    DefaultsRequest,
    DefaultState,
)
from engine.models.scripts import SaveRequest
from engine.registry.defaults import DEFAULTS_DECIDE, DEFAULTS_DIFF, DEFAULTS_LIST, DEFAULTS_RESTORE
from engine.services.access import Actor, Role, ServiceError
from engine.services.audit import AuditService
from engine.services.operations import implements
from engine.services.scripts.service import ScriptService, refused
from engine.text_diff import unified
from store.errors import StoreError
from store.files.scripts import ScriptFiles
from store.project import SCRIPTS, Project
from store.state.rows import SeededRow
from store.state.seeded import Seeded

log = logging.getLogger(__name__)

UPGRADE = "gatewright"
"""Who the history says replaced an untouched default script."""


class DefaultScriptService:
    """Scripts are named by their paths below ``scripts/`` here, as everywhere outside the store."""

    def __init__(
        self,
        bundle: Bundle,
        project: Project,
        files: ScriptFiles,
        scripts: ScriptService,
        seeded: Seeded,
        audit: AuditService,
    ) -> None:
        self._bundle = bundle
        self._project = project
        self._files = files
        self._scripts = scripts
        self._seeded = seeded
        self._audit = audit
        lead = f"{SCRIPTS}/"
        self._texts = {path.removeprefix(lead): data for path, data in bundle.files.items() if path.startswith(lead)}
        self._samples = {path: data for path, data in bundle.files.items() if not path.startswith(lead)}
        self._failures: list[str] = []
        self._offered: Sequence[str] = ()

    @property
    def problems(self) -> list[str]:
        """What the user should know, one sentence each."""
        return [*self._failures, *([_offer(self._offered)] if self._offered else [])]

    async def bring_up_to_date(self) -> None:
        """After a start: what is new in the bundle goes where nobody has edited or deleted anything.

        A project that never had default scripts gets none. What cannot be read or written becomes a problem, and the
        next start tries again.
        """
        try:
            rows = await self._rows()
            if rows:
                for path in sorted(self._texts):
                    await self._bring(path, rows.get(f"{SCRIPTS}/{path}"))
                await self._add_samples({path: data for path, data in self._samples.items() if path not in rows})
                await self._look(rows)
        except StoreError as error:
            self._fail("The default scripts could not be brought up to date", error)

    @implements(DEFAULTS_LIST)
    async def list(self) -> DefaultScripts:
        """Every script of the bundle, and how it stands in the project."""
        try:
            return await self._look(await self._rows())
        except StoreError as error:
            raise refused(error) from None

    @implements(DEFAULTS_DIFF)
    async def diff(self, path: str) -> DefaultDiff:
        """What taking the bundle's text would change. ``path`` may be a file name alone, with or without ``.py``."""
        script = _find((await self.list()).scripts, path)
        try:
            mine = "" if script.sha256 is None else await asyncio.to_thread(self._files.read, script.path)
        except StoreError as error:
            raise refused(error) from None
        old = mine if isinstance(mine, str) else mine.decode("utf-8", "replace")
        new = self._texts[script.path].decode()
        titles = f"{script.path} yours", f"{script.path} bundle version {self._bundle.version}"
        return DefaultDiff(script=script, diff=await asyncio.to_thread(unified, old, new, *titles))

    @implements(DEFAULTS_DECIDE)
    async def decide(self, request: DefaultsRequest, actor: Actor) -> DefaultScripts:
        """Take or decline texts of the bundle.

        Raises:
            ServiceError: ``changed`` when a text is not the one that was seen; then nothing was done. ``conflict`` when
                somebody saved in that very moment; what was decided before that one is done.
        """
        found = {script.path: script for script in (await self.list()).scripts}
        for decision in request.decisions:
            _check(decision, found.get(decision.path))
        return await asyncio.shield(self._decide(request.decisions, actor))

    @implements(DEFAULTS_RESTORE)
    async def restore(self, actor: Actor) -> DefaultScripts:
        """Write every bundled script that the project does not have, and the sample data. Nothing is overwritten."""
        missing = [script.path for script in (await self.list()).scripts if script.state is DefaultState.MISSING]
        return await asyncio.shield(self._restore(missing, actor))

    async def _rows(self) -> dict[str, SeededRow]:
        """What is remembered; at first, what the project was made with."""
        rows = await self._seeded.rows()
        made_with = self._project.seeded
        if rows or not made_with:
            return rows
        rows = {path: self._as_seeded(path, sha256) for path, sha256 in made_with.items()}
        await self._seeded.remember(rows.values())
        return rows

    def _as_seeded(self, path: str, sha256: str) -> SeededRow:
        bundled = self._bundle.files.get(path)
        current = bundled is not None and _sha256(bundled) == sha256
        return SeededRow(path=path, version=self._bundle.version if current else 0, sha256=sha256)

    async def _bring(self, path: str, row: SeededRow | None) -> None:
        """Bring one script up to date, if nobody edited or deleted it."""
        data = self._texts[path]
        bundled = _sha256(data)
        try:
            found = await asyncio.to_thread(self._files.version, path)
            disk = None if found is None else found.sha256
            if disk == bundled:
                if row != self._row(f"{SCRIPTS}/{path}", data):
                    await self._remember(path)
            elif _may_replace(row, disk, bundled, self._bundle.version):
                upgrade = Actor(name=UPGRADE, uid=os.geteuid(), role=Role.AUTHOR)
                await self._save(path, disk, upgrade)
                log.info("the default script %s is that of bundle version %d now", path, self._bundle.version)
        except (StoreError, ServiceError) as error:
            self._fail(f"The default script {path} could not be brought up to date", error)

    async def _save(self, path: str, base: str | None, actor: Actor) -> None:
        """Put the bundle's text in place of the one with hash ``base``, and remember it."""
        await self._scripts.save(path, SaveRequest(text=self._texts[path].decode(), base_sha256=base), actor)
        await self._remember(path)

    async def _remember(self, path: str) -> None:
        await self._seeded.remember([self._row(f"{SCRIPTS}/{path}", self._texts[path])])

    def _row(self, path: str, data: bytes) -> SeededRow:
        return SeededRow(path=path, version=self._bundle.version, sha256=_sha256(data))

    async def _add_samples(self, samples: Mapping[str, bytes]) -> Sequence[str]:
        """Sample data is only ever added: people put their own in its place."""
        if not samples:
            return ()
        written = await asyncio.to_thread(self._project.add, samples)
        await self._seeded.remember([self._row(path, data) for path, data in samples.items()])
        return written

    async def _look(self, rows: Mapping[str, SeededRow]) -> DefaultScripts:
        scripts = [
            await asyncio.to_thread(self._judge, path, rows.get(f"{SCRIPTS}/{path}")) for path in sorted(self._texts)
        ]
        self._offered = [script.path for script in scripts if script.state is DefaultState.OFFERED]
        return DefaultScripts(version=self._bundle.version, scripts=scripts)

    def _judge(self, path: str, row: SeededRow | None) -> DefaultScript:
        bundled = _sha256(self._texts[path])
        try:
            found = self._files.version(path)
        except StoreError as error:
            state = DefaultState.EDITED
            return DefaultScript(path=path, state=state, bundled_sha256=bundled, problem=error.sentence)
        disk = None if found is None else found.sha256
        state = judge(row, disk, bundled, self._bundle.version)
        return DefaultScript(path=path, state=state, bundled_sha256=bundled, sha256=disk)

    async def _decide(self, decisions: Sequence[DefaultDecision], actor: Actor) -> DefaultScripts:
        written = []
        for decision in decisions:
            if decision.choice is DefaultChoice.KEEP:
                await self._keep(decision)
                self._audit.tell(actor, "scripts", "default_kept", decision.path, bundled=decision.bundled_sha256)
            elif decision.sha256 != decision.bundled_sha256:
                await self._put(decision.path, decision.sha256, actor)
                written.append(f"{SCRIPTS}/{decision.path}")
        return await self._report(written)

    async def _keep(self, decision: DefaultDecision) -> None:
        path = f"{SCRIPTS}/{decision.path}"
        try:
            row = (await self._rows()).get(path)
            # A file of the user's own that had the name first was never the bundle's: nothing is known of its past.
            seeded = (self._bundle.version, decision.bundled_sha256) if row is None else (row.version, row.sha256)
            kept = SeededRow(path=path, version=seeded[0], sha256=seeded[1], kept_sha256=decision.bundled_sha256)
            await self._seeded.remember([kept])
        except StoreError as error:
            raise refused(error) from None

    async def _put(self, path: str, base: str | None, actor: Actor) -> None:
        try:
            await self._save(path, base, actor)
        except StoreError as error:  # it is saved, and its hash will tell the next start so
            raise refused(error) from None

    async def _restore(self, missing: Sequence[str], actor: Actor) -> DefaultScripts:
        written = []
        for path in missing:
            await self._put(path, None, actor)
            written.append(f"{SCRIPTS}/{path}")
        try:
            written.extend(await self._add_samples(self._samples))
        except StoreError as error:
            raise refused(error) from None
        return await self._report(written)

    async def _report(self, written: Sequence[str]) -> DefaultScripts:
        found = await self.list()
        return DefaultScripts(version=found.version, scripts=found.scripts, written=list(written))

    def _fail(self, what: str, reason: Exception) -> None:
        log.warning("%s: %s", what, reason)
        self._failures.append(f"{what}: {reason}")


def judge(row: SeededRow | None, disk: str | None, bundled: str, version: int) -> DefaultState:
    """How a bundled script stands.

    Args:
        row: What is remembered of it.
        disk: Hash of the project's file; None when there is none.
        bundled: Hash of the bundle's text.
        version: Of the bundle.
    """
    if disk is None:
        return DefaultState.MISSING
    if disk == bundled:
        return DefaultState.CURRENT
    if row is None:
        return DefaultState.OFFERED
    if row.kept_sha256 == bundled:
        return DefaultState.KEPT
    if row.version > version:
        return DefaultState.LATER
    return DefaultState.EDITED if row.sha256 == bundled else DefaultState.OFFERED


def _may_replace(row: SeededRow | None, disk: str | None, bundled: str, version: int) -> bool:
    """Whether the bundle's text may be put there unasked: a script that is new, or one that nobody has edited."""
    if row is None:
        return disk is None
    return disk == row.sha256 and row.version < version and row.kept_sha256 != bundled


def _find(scripts: Sequence[DefaultScript], name: str) -> DefaultScript:
    wanted = name if name.endswith(".py") else f"{name}.py"
    named = [script for script in scripts if script.path == wanted]
    named = named or [script for script in scripts if script.path.rpartition("/")[2] == wanted]
    if len(named) != 1:
        hint = "gatewright scripts defaults lists them."
        raise ServiceError("no_script", f"There is no default script {name!r}.", hint=hint, status=404)
    return named[0]


def _check(decision: DefaultDecision, script: DefaultScript | None) -> None:
    """Raise unless both texts are those that the user saw, and the choice means something."""
    if script is None:
        raise ServiceError("no_script", f"There is no default script {decision.path!r}.", status=404)
    if script.problem is not None:
        raise ServiceError("unreadable", f"{script.path} was left alone: {script.problem}", status=422)
    if (script.sha256, script.bundled_sha256) != (decision.sha256, decision.bundled_sha256):
        raise ServiceError(
            "changed",
            f"{script.path} has changed since you looked at it; nothing was done.",
            hint="Look at the difference again, then decide.",
            status=409,
        )
    if decision.choice is DefaultChoice.KEEP and script.sha256 is None:
        raise ServiceError("bad_request", f"There is no {script.path} of yours to keep.", status=409)


def _offer(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    return f"There is a newer text of {shown}, which you have edited: see gatewright scripts defaults."


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
