"""Who goes first: priority, age, arrival, and obstacles that let others pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.models.runs import Priority
from engine.pool.queue import AGEING, WAITING_FOR_SLOT, Entry, RunQueue


def queue_of(*entries: tuple[int, Priority, float]) -> RunQueue[int]:
    queue: RunQueue[int] = RunQueue()
    for run_id, priority, queued_at in entries:
        queue.add(Entry(run_id, run_id, priority, queued_at))
    return queue


def drain(queue: RunQueue[int]) -> list[int]:
    order = []
    while (entry := queue.take(lambda _: None)) is not None:
        order.append(entry.run_id)
    return order


def test_people_go_before_clients_and_batches_last() -> None:
    queue = queue_of((1, Priority.BATCH, 0), (2, Priority.API, 1), (3, Priority.INTERACTIVE, 2))
    assert drain(queue) == [3, 2, 1]


def test_waiting_makes_up_for_priority() -> None:
    queue = queue_of((1, Priority.BATCH, 0), (2, Priority.INTERACTIVE, 2 * AGEING + 1), (3, Priority.API, AGEING - 1))
    assert drain(queue) == [3, 1, 2]


@given(st.lists(st.sampled_from(list(Priority)), max_size=30))
def test_within_one_priority_first_come_is_first_served(priorities: list[Priority]) -> None:
    order = drain(queue_of(*((number, priority, 0.0) for number, priority in enumerate(priorities))))
    assert order == sorted(range(len(priorities)), key=lambda number: (priorities[number], number))


def test_an_obstacle_lets_the_next_one_pass_and_keeps_the_place() -> None:
    queue = queue_of((1, Priority.API, 0), (2, Priority.API, 1), (3, Priority.API, 2))
    obstacle = {1: "its script runs already"}.get
    taken = queue.take(obstacle)
    assert taken is not None
    assert taken.run_id == 2
    assert [(e.run_id, position, reason) for e, position, reason in queue.standings(obstacle)] == [
        (1, 1, "its script runs already"),
        (3, 2, WAITING_FOR_SLOT),
    ]
    assert queue.take(lambda _: "nobody may") is None
    assert len(queue) == 2


def test_removing_by_id() -> None:
    queue = queue_of((1, Priority.API, 0), (2, Priority.API, 1))
    assert queue.remove(3) is None
    removed = queue.remove(1)
    assert removed is not None
    assert removed.run_id == 1
    assert drain(queue) == [2]


def test_those_who_waited_too_long_are_taken_out() -> None:
    queue = queue_of((1, Priority.BATCH, 0), (2, Priority.INTERACTIVE, 50), (3, Priority.API, 99))
    assert [entry.run_id for entry in queue.expired(now=100, longest=50)] == [2, 1]
    assert queue.expired(now=100, longest=50) == []
    assert drain(queue) == [3]
