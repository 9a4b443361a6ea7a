"""Tasks of the engine: watched, stopped, left alone by whoever began them."""

from __future__ import annotations

import asyncio
import threading

import pytest
from api_support import eventually

from engine.models.sync import TaskState
from engine.services.access import Actor, Role, ServiceError
from engine.services.events import EventBus
from engine.services.tasks import KEPT, Progress, TaskCancelled, TaskService

ALICE = Actor(name="alice", uid=1, role=Role.AUTHOR)
BOB = Actor(name="bob", uid=2, role=Role.OPERATOR)


class Work:
    """Reports until it is let go, in a thread as real work does."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()

    async def __call__(self, progress: Progress) -> str:
        return await asyncio.to_thread(self._work, progress)

    def _work(self, progress: Progress) -> str:
        done = 0
        while not self.go.wait(0.005):
            done += 1
            progress("reading", done)
            self.begun.set()
        return "result"


async def begun(tasks: TaskService, work: Work) -> asyncio.Task[str]:
    task = asyncio.create_task(tasks.run("rebuild", ALICE, work))
    await eventually(work.begun.is_set)
    return task


async def test_a_task_is_watched_from_its_start_to_its_end() -> None:
    events, work = EventBus(), Work()
    tasks = TaskService(events)
    task = await begun(tasks, work)
    await eventually(lambda: tasks.list()[0].done > 0)
    assert (tasks.running, tasks.list()[0].doing, tasks.list()[0].actor) == (1, "reading", "alice")
    work.go.set()
    assert await task == "result"
    assert (tasks.running, tasks.list()[0].state) == (0, TaskState.DONE)
    told = [event.data for event in events.since(0)[0]]
    assert {event.type for event in events.since(0)[0]} == {"task"}
    assert "state" not in told[0]  # running is what a task is unless it says otherwise
    assert told[-1]["state"] == "done"
    assert told[-1]["finished_at"] >= told[-1]["started_at"]


async def test_one_of_a_kind_at_a_time() -> None:
    tasks, work = TaskService(EventBus()), Work()
    task = await begun(tasks, work)
    with pytest.raises(ServiceError, match="alice has begun a rebuild already") as caught:
        await tasks.run("rebuild", BOB, Work())
    assert (caught.value.code, caught.value.status) == ("busy", 409)
    work.go.set()
    await task


async def test_a_cancelled_task_ends_with_a_sentence() -> None:
    tasks, work = TaskService(EventBus()), Work()
    task = await begun(tasks, work)
    with pytest.raises(ServiceError, match="role author"):
        await tasks.cancel(1, BOB)
    info = await tasks.cancel(1, ALICE)
    assert info.state is TaskState.CANCELLED
    with pytest.raises(ServiceError, match="The rebuild was cancelled; nothing was changed"):
        await task
    assert await tasks.cancel(1, ALICE) == info
    with pytest.raises(ServiceError, match="There is no task 7"):
        await tasks.cancel(7, ALICE)


async def test_who_leaves_does_not_end_it() -> None:
    tasks, work = TaskService(EventBus()), Work()
    task = await begun(tasks, work)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tasks.running == 1
    work.go.set()
    await eventually(lambda: tasks.running == 0)
    assert tasks.list()[0].state is TaskState.DONE


async def test_a_failure_is_told_and_kept() -> None:
    tasks = TaskService(EventBus())

    async def fail(progress: Progress) -> None:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        await tasks.run("rebuild", ALICE, fail)
    assert (tasks.list()[0].state, tasks.list()[0].error) == (TaskState.FAILED, "no room")


async def test_closing_stops_everything() -> None:
    tasks, work = TaskService(EventBus()), Work()
    task = await begun(tasks, work)
    await tasks.close()
    assert tasks.running == 0
    with pytest.raises(ServiceError, match="cancelled"):
        await task


async def test_only_the_latest_are_kept() -> None:
    tasks = TaskService(EventBus())

    async def nothing(progress: Progress) -> None:
        return

    for _ in range(KEPT + 5):
        await tasks.run("rebuild", ALICE, nothing)
    assert [task.id for task in tasks.list()] == list(range(KEPT + 5, 5, -1))


async def test_one_that_was_begun_before_many_others_is_told_of_when_it_is_cancelled() -> None:
    tasks, work = TaskService(EventBus()), Work()
    number, task = tasks.begin("render", ALICE, work)
    await eventually(work.begun.is_set)

    async def nothing(progress: Progress) -> None:
        return

    for _ in range(KEPT + 5):
        await tasks.run("rebuild", ALICE, nothing)
    told = await tasks.cancel(number, ALICE)
    assert (told.id, told.state) == (number, TaskState.CANCELLED)
    assert number in [one.id for one in tasks.list()]
    with pytest.raises(ServiceError, match="cancelled"):
        await task


async def test_several_of_a_kind_go_on_at_once_where_they_are_begun_so() -> None:
    tasks = TaskService(EventBus())
    works = [Work(), Work()]
    begun_ones = [tasks.begin("render", ALICE, work) for work in works]
    for work in works:
        await eventually(work.begun.is_set)
    assert tasks.running == 2
    await tasks.cancel(begun_ones[0][0], ALICE)
    works[1].go.set()
    assert await begun_ones[1][1] == "result"
    with pytest.raises(ServiceError, match="cancelled"):
        await begun_ones[0][1]


async def test_a_task_that_knows_how_much_there_is_tells_its_rate_and_its_end() -> None:
    tasks, go = TaskService(EventBus()), asyncio.Event()

    async def work(progress: Progress) -> None:
        progress("rendering", 0, 100)
        await asyncio.sleep(0.01)  # a rate needs a span of time; how long is not judged
        progress("rendering", 100, 100)
        await go.wait()

    number, task = tasks.begin("render", ALICE, work)
    await eventually(lambda: tasks.list()[0].done == 100)
    info = tasks.list()[0]
    assert (info.id, info.total) == (number, 100)
    assert 0 < info.rate <= 100 / 0.01
    assert info.eta is not None
    go.set()
    await task


async def test_work_that_waits_hears_that_it_is_to_end() -> None:
    tasks = TaskService(EventBus())

    async def work(progress: Progress) -> None:
        stop = asyncio.Event()
        progress.on_stop = stop.set
        await stop.wait()
        raise TaskCancelled

    number, task = tasks.begin("render", ALICE, work)
    await asyncio.sleep(0)
    await tasks.cancel(number, ALICE)
    with pytest.raises(ServiceError, match="cancelled"):
        await task


async def test_the_last_of_reports_that_come_at_once_is_told() -> None:
    tasks, go = TaskService(EventBus()), asyncio.Event()

    async def work(progress: Progress) -> None:
        progress("looking for packages", 0)
        await asyncio.sleep(0)
        progress("looking for packages", 1)
        progress("downloading", 2)
        await go.wait()
        progress("compiling", 3)

    _, task = tasks.begin("packages", ALICE, work)
    await eventually(lambda: tasks.list()[0].doing == "downloading")
    go.set()
    await task
    assert (tasks.list()[0].doing, tasks.list()[0].done) == ("compiling", 3)
