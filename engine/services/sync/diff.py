"""The metadata diff: files and rows compared, and what the user decides done, each as a task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

from engine.models.scripts import DeleteRequest
from engine.models.sync import (
    DiffAnswer,
    DiffChoice,
    DiffDecision,
    DiffItem,
    DiffOutcome,
    DiffReport,
    DiffRequest,
    DiffState,
)
from engine.registry.sync import SYNC_APPLY, SYNC_DIFF
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.events import EventBus
from engine.services.operations import implements
from engine.services.scripts.changes import ScriptChanges
from engine.services.sync.diff_items import fingerprint_of, items_of, with_keys
from engine.services.sync.diff_texts import DiffTexts, preview_of, with_old_keys
from engine.services.tasks import Progress, TaskCancelled, TaskService
from engine.services.versioned_writer import VersionedWriter
from store.errors import Conflict, StoreError
from store.index.differences import changed_keys
from store.index.reconcile import Reconciler, Scanned
from store.state.ignored_differences import IgnoredDifferences

MAX_KEYED = 500
"""Invalid files whose keys are compared; each is read twice for that."""

MOST_TOLD = 100
"""Decisions that the audit has one by one; of more of them it has the number."""

SCAN, APPLY = "diff", "decisions"

_DONE = {
    DiffChoice.KEEP_FILE: "kept as it is, listed with its problem; the valid text is in its history",
    DiffChoice.RESTORE: "restored; the invalid text is in its history",
    DiffChoice.WRITE_FILE: "written again",
    DiffChoice.DROP_ROW: "dropped; its text is in the history",
    DiffChoice.FOLLOW: "followed to its new path, with its history",
    DiffChoice.KEEP_BOTH: "kept, all of them",
    DiffChoice.DELETE: "deleted; its text is in the history",
    DiffChoice.ACCEPT: "taken as gone; each waits for a decision of its own now",
}
_DONE_WITHOUT = {
    DiffChoice.DROP_ROW: "dropped; its text is not kept anywhere",
    DiffChoice.KEEP_FILE: "kept as it is, listed with its problem; the valid text is not kept anywhere",
}
"""The same, where the text that was last seen is lost."""

_ROW_CHOICES = frozenset({DiffChoice.WRITE_FILE, DiffChoice.DROP_ROW, DiffChoice.FOLLOW, DiffChoice.KEEP_FILE})
"""After these nobody needs to know any more what was last seen of the script."""

_NOTHING = "nothing is to be decided about it any more"


class DiffService:
    def __init__(
        self,
        reconciler: Reconciler,
        texts: DiffTexts,
        writer: VersionedWriter,
        changes: ScriptChanges,
        ignored: IgnoredDifferences,
        tasks: TaskService,
        events: EventBus,
        audit: AuditService | None = None,
    ) -> None:
        self._reconciler = reconciler
        self._texts = texts
        self._writer = writer
        self._changes = changes
        self._ignored = ignored
        self._tasks = tasks
        self._events = events
        self._audit = audit

    @implements(SYNC_DIFF)
    async def scan(self, actor: Actor) -> DiffReport:
        """Read every file, take in what is new and valid, and tell what waits for a decision. No file is touched.

        Raises:
            ServiceError: ``cancelled``, ``busy``, or ``store`` when the scripts could not be read.
        """
        begun = time.monotonic()
        try:
            scanned = await self._tasks.run(SCAN, actor, self._reconciler.scan)
            items = await self._keyed(await self._items(scanned))
        except StoreError as error:
            raise _refused(error) from None
        if scanned.created or scanned.updated:
            self._events.publish("script", {"change": "rebuilt"})
        return DiffReport(
            scripts=len(scanned.rows),
            seconds=time.monotonic() - begun,
            items=items,
            created=scanned.created,
            updated=scanned.updated,
        )

    @implements(SYNC_APPLY)
    async def apply(self, request: DiffRequest, actor: Actor) -> DiffAnswer:
        """Do what was decided, one item after the other. What is not as it was shown is left alone, and says so.

        Raises:
            ServiceError: ``busy``, or ``store`` when the scripts could not be read. Nothing was done.
        """
        try:
            items = {(item.state, item.path): item for item in await self._items(await self._reconciler.known())}
            if request.preview:
                outcomes = [await self._preview(one, items.get((one.state, one.path))) for one in request.decisions]
                return DiffAnswer(outcomes=outcomes)
            answer = await self._tasks.run(APPLY, actor, lambda progress: self._all(request, items, actor, progress))
        except StoreError as error:
            raise _refused(error) from None
        if self._audit is not None and (done := [one for one in answer.outcomes if one.done]):
            told = [f"{one.choice} {one.path}" for one in done[:MOST_TOLD]]
            self._audit.tell(actor, "scripts", "differences_decided", decided=told, differences=len(done))
        return answer

    async def _items(self, scanned: Scanned) -> list[DiffItem]:
        lost = frozenset([path for path in await self._reconciler.lost() if path in scanned.last])
        lost = await self._texts.without_history(lost, scanned)
        return await asyncio.to_thread(items_of, scanned, await self._ignored.all(), lost)

    async def _keyed(self, items: Iterable[DiffItem]) -> list[DiffItem]:
        keyed, left = [], MAX_KEYED
        for item in items:
            if item.state is DiffState.INVALID_FILE and item.database_choice is not None and left:
                left -= 1
                item = await self._with_keys(item)
            keyed.append(item)
        return keyed

    async def _with_keys(self, item: DiffItem) -> DiffItem:
        now, last = await self._texts.now(item), await self._texts.last(item)
        if now is None or last is None:
            return item
        return with_keys(item, await asyncio.to_thread(changed_keys, now, last))

    async def _all(
        self, request: DiffRequest, items: dict[tuple[DiffState, str], DiffItem], actor: Actor, progress: Progress
    ) -> DiffAnswer:
        outcomes: list[DiffOutcome] = []
        cancelled = False
        for number, decision in enumerate(request.decisions):
            try:
                progress("deciding", number)
            except TaskCancelled:
                cancelled = True
            if cancelled:
                outcomes.append(_outcome(decision, "it was cancelled before this one", done=False))
                continue
            item = items.get((decision.state, decision.path))
            if item is None:
                settled = _is_settled(decision, items)
                outcomes.append(_outcome(decision, _NOTHING, done=settled, stale=not settled))
            else:
                outcomes.append(await asyncio.shield(self._one(decision, item, actor)))
        with suppress(StoreError):  # the next look finds it; what was done must be told
            await self._reconciler.scripts()
        self._events.publish("script", {"change": "rebuilt"})
        return DiffAnswer(outcomes=outcomes, cancelled=cancelled)

    async def _one(self, decision: DiffDecision, item: DiffItem, actor: Actor) -> DiffOutcome:
        problem = _problem(decision, item)
        if problem is not None:
            return _outcome(decision, problem, done=False, stale=item.seen != decision.seen)
        try:
            kept = await self._do(decision, item, actor)
            if decision.choice in _ROW_CHOICES:  # at once: what is seen last of it later is another thing
                await self._reconciler.decide([item.path])
        except Conflict:
            return _outcome(decision, "its file has changed meanwhile; scan again", done=False, stale=True)
        except StoreError as error:
            return _outcome(decision, error.sentence, done=False)
        except ServiceError as error:
            return _outcome(decision, error.message, done=False, stale=error.code == "conflict")
        return _outcome(decision, (_DONE if kept else _DONE_WITHOUT)[decision.choice], done=True)

    async def _do(self, decision: DiffDecision, item: DiffItem, actor: Actor) -> bool:
        """Whether nothing is lost by it."""
        match decision.choice:
            case DiffChoice.KEEP_BOTH:
                await self._ignored.ignore(fingerprint_of(item), actor.uid, actor.name, time.time())
            case DiffChoice.DELETE:
                await self._delete(item, actor)
            case DiffChoice.ACCEPT:
                await self._reconciler.accept((await self._reconciler.known()).held)
            case DiffChoice.RESTORE:
                data = await self._restored(item, decision.keys)
                await self._writer.put(item.path, data, item.file_sha256, actor)
            case DiffChoice.WRITE_FILE:
                await self._writer.put(item.path, await self._texts.needed(item), None, actor)
            case DiffChoice.FOLLOW:
                await self._writer.gone(item.path, await self._texts.needed(item), actor, item.others[0])
            case DiffChoice.DROP_ROW | DiffChoice.KEEP_FILE:
                return await self._let_go(decision.choice, item, actor)
        return True

    async def _let_go(self, choice: DiffChoice, item: DiffItem, actor: Actor) -> bool:
        """Put the text that was last seen into the history; False if it is lost."""
        last = await self._texts.last(item)
        if last is None:
            return False
        if choice is DiffChoice.DROP_ROW:
            await self._writer.gone(item.path, last, actor)
        else:
            await self._writer.replaced(item.path, last, actor)
        return True

    async def _delete(self, item: DiffItem, actor: Actor) -> None:
        """Delete one of several that are alike, unless it is the last one of them by now."""
        now = await self._items(await self._reconciler.known())
        if all((one.state, one.path, one.seen) != (item.state, item.path, item.seen) for one in now):
            sentence = "It is the only one left, or they are not alike any more; it was not deleted."
            raise ServiceError("conflict", sentence, status=409)
        await self._changes.delete(item.path, DeleteRequest(base_sha256=item.file_sha256), actor)

    async def _restored(self, item: DiffItem, keys: list[str]) -> bytes:
        last = await self._texts.needed(item)
        if not keys:
            return last
        now = await self._texts.now(item)
        if now is None:
            raise StoreError("Its file cannot be read; restore all of it.")
        return await asyncio.to_thread(with_old_keys, now, last, keys)

    async def _preview(self, decision: DiffDecision, item: DiffItem | None) -> DiffOutcome:
        problem = _problem(decision, item)
        if item is None or problem is not None:
            return _outcome(decision, problem or "", done=False)
        try:
            now, last = await self._texts.now(item), await self._texts.last(item)
            after = await self._restored(item, decision.keys) if decision.choice is DiffChoice.RESTORE else None
        except StoreError as error:
            return _outcome(decision, error.sentence, done=False)
        sentence, diff = await asyncio.to_thread(preview_of, decision.choice, item, now, last, after)
        return _outcome(decision, sentence, done=True, diff=diff)


def _is_settled(decision: DiffDecision, items: Iterable[tuple[DiffState, str]]) -> bool:
    """Whether a decision about what waits no more has nothing left to do: not where a text was to be written."""
    writes = decision.choice in (DiffChoice.WRITE_FILE, DiffChoice.RESTORE)
    return not writes and all(path != decision.path for _, path in items)


def _problem(decision: DiffDecision, item: DiffItem | None) -> str | None:
    """Why a decision cannot be taken, or need not."""
    if item is None:
        return _NOTHING
    if item.seen != decision.seen:
        return "it is not what was shown any more; scan again"
    if decision.choice not in item.choices:
        possible = ", ".join(item.choices)
        return f"{decision.choice} is not possible here; {f'possible: {possible}' if possible else 'edit the file'}"
    return None


def _outcome(decision: DiffDecision, sentence: str, *, done: bool, diff: str = "", stale: bool = False) -> DiffOutcome:
    return DiffOutcome(
        path=decision.path,
        state=decision.state,
        choice=decision.choice,
        done=done,
        sentence=sentence,
        diff=diff,
        stale=stale,
    )


def _refused(error: StoreError) -> ServiceError:
    return ServiceError("store", error.sentence, hint=error.hint, status=422)
