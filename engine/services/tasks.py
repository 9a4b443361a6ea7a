"""What the engine does for somebody that takes a while: who began it, how far it is, how to stop it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from engine.models.sync import TaskInfo, TaskList, TaskState
from engine.registry.sync import TASKS_CANCEL, TASKS_LIST
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.events import EventBus
from engine.services.operations import implements

T = TypeVar("T")

KEPT = 10
"""Tasks that are listed after their end."""

PROGRESS_EVERY = 0.1
"""Seconds between two events of one task."""


class TaskCancelled(Exception):
    """Somebody stopped the task."""


class Progress:
    """What a task's work reports to, from whatever thread."""

    def __init__(self, changed: Callable[[str, int, int], None], told: Callable[[str], None]) -> None:
        self._changed = changed
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._next = 0.0
        self._latest: tuple[str, int, int] | None = None
        """A report that has not been told yet; a later one takes its place."""
        self.on_stop: Callable[[], object] | None = None
        """Called in the event loop when the task is to end, for work that waits instead of reporting."""

    def __call__(self, doing: str, done: int, total: int = 0) -> None:
        """Tell what is being done, how far it is, and how much there is of it, where that is known.

        Of reports that follow each other within ``PROGRESS_EVERY`` seconds the last one is told.

        Raises:
            TaskCancelled: It is to end; nothing more must be done.
        """
        if self._stop.is_set():
            raise TaskCancelled
        first, self._latest = self._latest is None, (doing, done, total)
        if first:
            self._loop.call_soon_threadsafe(self._tell_soon)

    def tell(self, line: str) -> None:
        """Hand a line of output to those who follow the task: an event ``task_output``."""
        self._loop.call_soon_threadsafe(self._told, line)

    def settle(self) -> None:
        """Tell the latest report now, if it has not been told."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self._next = time.monotonic() + PROGRESS_EVERY
            self._changed(*latest)

    def _tell_soon(self) -> None:
        self._loop.call_later(self._next - time.monotonic(), self.settle)

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()
        if self.on_stop is not None:
            self.on_stop()


class TaskService:
    """Tasks of one engine. One of each kind goes on at a time, but for those that are begun as one of several."""

    def __init__(self, events: EventBus, audit: AuditService | None = None) -> None:
        self._events = events
        self._audit = audit
        self._tasks: dict[int, TaskInfo] = {}
        self._work: dict[int, tuple[Progress, asyncio.Task[object]]] = {}
        self._next_id = 1
        self._begun: dict[int, tuple[str, float, int]] = {}
        """By task: what it is at, since when, and how far it was then."""

    @property
    def running(self) -> int:
        return len(self._work)

    @implements(TASKS_LIST)
    def all(self) -> TaskList:
        return TaskList(tasks=self.list())

    def list(self) -> list[TaskInfo]:
        """What goes on and what ended lately, newest first."""
        return [self._tasks[number] for number in sorted(self._tasks, reverse=True)]

    async def run(self, kind: str, actor: Actor, work: Callable[[Progress], Awaitable[T]]) -> T:
        """Do ``work`` to its end, also when the caller does not wait for it any more.

        Raises:
            ServiceError: ``busy`` when one of this kind goes on, ``cancelled`` when somebody stopped it.
        """
        going_on = next((task for task in self._tasks.values() if task.kind == kind and task.id in self._work), None)
        if going_on is not None:
            raise ServiceError(
                "busy",
                f"{going_on.actor} has begun a {kind} already; it goes on as task {going_on.id}.",
                hint="Wait for its end, or cancel it.",
                status=409,
            )
        _, task = self.begin(kind, actor, work)
        return await asyncio.shield(task)

    def begin(
        self, kind: str, actor: Actor, work: Callable[[Progress], Awaitable[T]], run_id: int | None = None
    ) -> tuple[int, asyncio.Task[T]]:
        """Begin ``work`` as one of several of its kind; return the task's number and what ends with it.

        Args:
            kind: Of the task.
            actor: Who began it.
            work: To be done.
            run_id: Its record among the runs, if it has one.
        """
        number, self._next_id = self._next_id, self._next_id + 1
        progress = Progress(
            lambda doing, done, total: self._report(number, doing, done, total),
            lambda line: self._events.publish("task_output", {"id": number, "text": line}),
        )
        self._tasks[number] = TaskInfo(id=number, kind=kind, actor=actor.name, started_at=time.time(), run_id=run_id)
        task: asyncio.Task[T] = asyncio.ensure_future(self._to_end(number, progress, work(progress)))
        self._work[number] = progress, task
        self._publish(number)
        return number, task

    @implements(TASKS_CANCEL)
    async def cancel(self, task_id: int, actor: Actor) -> TaskInfo:
        """Stop a task and wait for its end. One that has ended stays as it is."""
        if task_id not in self._tasks:
            raise ServiceError("no_task", f"There is no task {task_id}.", hint="See GET /tasks.", status=404)
        going_on = self._tasks[task_id]
        if task_id in self._work:
            progress, task = self._work[task_id]
            progress.stop()
            if self._audit is not None:
                self._audit.tell(actor, "tasks", "task_cancel", going_on.kind, task=task_id, of=going_on.actor)
            await asyncio.wait([task])
        # Of many that end at once it may be forgotten already.
        return self._tasks.get(task_id, replace(going_on, state=TaskState.CANCELLED, finished_at=time.time()))

    async def close(self) -> None:
        """Stop everything and wait for it."""
        work = list(self._work.values())
        for progress, _ in work:
            progress.stop()
        if work:
            await asyncio.wait([task for _, task in work])

    async def _to_end(self, number: int, progress: Progress, work: Awaitable[T]) -> T:
        state, error = TaskState.FAILED, None
        try:
            result = await work
            state = TaskState.DONE
        except TaskCancelled:
            state = TaskState.CANCELLED
            kind = self._tasks[number].kind
            raise ServiceError("cancelled", f"The {kind} was cancelled; nothing was changed.", status=409) from None
        except Exception as failure:
            error = str(failure)
            raise
        finally:
            progress.settle()
            del self._work[number]
            self._begun.pop(number, None)
            self._change(number, state=state, error=error, finished_at=time.time())
            self._forget_old()
        return result

    def _report(self, number: int, doing: str, done: int, total: int) -> None:
        """Note how far a task is, and how long it will go on if it goes on as it did."""
        if number not in self._work:  # a report that was late
            return
        now = time.monotonic()
        what, begun, before = self._begun.get(number, ("", 0.0, 0))
        if what != doing:
            self._begun[number] = doing, now, done
            begun, before = now, done
        seconds = now - begun
        rate = (done - before) / seconds if seconds > 0 else 0.0
        eta = time.time() + (total - done) / rate if total and rate > 0 else None
        self._change(number, doing=doing, done=done, total=total, rate=rate, eta=eta)

    def _change(self, number: int, **changes: object) -> None:
        task = self._tasks.get(number)
        if task is None or task.finished_at is not None:  # a report that was late
            return
        self._tasks[number] = replace(task, **changes)
        self._publish(number)

    def _publish(self, number: int) -> None:
        self._events.publish("task", msgspec.to_builtins(self._tasks[number]))

    def _forget_old(self) -> None:
        ended = [task for task in self._tasks.values() if task.id not in self._work]
        ended.sort(key=lambda task: (task.finished_at or 0.0, task.id))  # one that took long was begun before others
        for task in ended[: max(0, len(ended) - KEPT)]:
            del self._tasks[task.id]
