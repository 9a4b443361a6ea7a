"""The event ring: cursors, lag, resume, end."""

import asyncio

from engine.services.events import EventBus


async def test_a_listener_gets_what_is_published_after_it_came() -> None:
    bus = EventBus()
    bus.publish("pool", 1)
    with bus.subscribe() as events:
        bus.publish("pool", 2)
        assert [event.data for event in await anext(events)] == [2]


async def test_a_listener_that_resumes_gets_what_it_missed() -> None:
    bus = EventBus()
    for number in range(5):
        bus.publish("run", number)
    with bus.subscribe(after=2) as events:
        assert [event.data for event in await anext(events)] == [2, 3, 4]


async def test_a_waiting_listener_wakes_and_gets_a_burst_at_once() -> None:
    bus = EventBus()
    with bus.subscribe() as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        for number in range(100):
            bus.publish("run", number)
        assert len(await waiting) == 100


async def test_a_listener_that_lags_is_told_how_much_it_missed() -> None:
    bus = EventBus(ring=10)
    with bus.subscribe() as events:
        for number in range(25):
            bus.publish("run", number)
        got = await anext(events)
    assert got[0].type == "lagged"
    assert got[0].data == {"missed": 15}
    assert [event.data for event in got[1:]] == list(range(15, 25))


async def test_a_cursor_from_another_engine_starts_from_now() -> None:
    bus = EventBus()
    bus.publish("run", "old")
    with bus.subscribe(after=1_000_000) as events:
        bus.publish("run", "new")
        assert [event.data for event in await anext(events)] == ["new"]


async def test_closing_hands_out_the_rest_and_ends() -> None:
    bus = EventBus()
    with bus.subscribe() as events:
        bus.publish("engine", "stopping")
        bus.close()
        assert [[event.data for event in batch] async for batch in events] == [["stopping"]]


async def test_closing_ends_a_listener_that_waits() -> None:
    bus = EventBus()
    with bus.subscribe() as events:
        waiting = asyncio.ensure_future(anext(events, None))
        await asyncio.sleep(0)
        bus.close()
        assert await waiting is None
