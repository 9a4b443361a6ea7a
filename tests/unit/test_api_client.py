"""Client and API against each other over a real socket."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import time
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import msgspec
import pytest
from api_support import SmallHost, chunk, eventually, run_info, serving

from engine import sockets
from engine.api import sse
from engine.client import answers, calls
from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.transport import SocketTransport
from engine.models.base import Event
from engine.models.runs import RunKind, RunRequest, RunState
from engine.models.scripts import SaveRequest
from engine.registry import OPERATIONS
from engine.registry.engine import ENGINE_INFO, POOL_INFO
from engine.registry.runs import RUNS_START, StartParams
from engine.registry.scripts import SCRIPTS_LOAD, SCRIPTS_SAVE, ScriptParams

EXEC = RunRequest(kind=RunKind.EXEC, code="print(1)")
DONE = run_info(state=RunState.FINISHED)


@pytest.fixture
async def host(tmp_path):
    async with serving(tmp_path) as host:
        yield host


@pytest.fixture
async def client(host: SmallHost):
    client = host.client()
    yield client
    await client.close()


async def test_a_call_is_typed_and_its_source_is_told(host: SmallHost, client: EngineClient) -> None:
    assert (await client.call(ENGINE_INFO)).version == "1"
    assert (await client.call(RUNS_START, StartParams(), EXEC)).state is RunState.QUEUED
    assert host.engine.runs.requests == [(EXEC, "cli")]


async def test_calls_share_one_connection(host: SmallHost, client: EngineClient) -> None:
    for _ in range(5):
        await client.call(POOL_INFO)
    assert host.server.connection_count == 1


async def test_parallel_calls_get_their_own_answers(host: SmallHost, client: EngineClient) -> None:
    host.engine.scripts.saved = {f"s{n}.py": str(n) for n in range(30)}
    texts = await asyncio.gather(*(client.call(SCRIPTS_LOAD, ScriptParams(path=f"s{n}.py")) for n in range(30)))
    assert [text.text for text in texts] == [str(n) for n in range(30)]
    assert host.server.connection_count <= 30
    await client.call(POOL_INFO)
    await eventually(lambda: host.server.connection_count <= 4)


async def test_a_refusal_carries_code_sentence_hint_and_status(client: EngineClient) -> None:
    await client.call(SCRIPTS_SAVE, ScriptParams(path="a b/ü.py"), SaveRequest(text="1"))
    with pytest.raises(EngineError) as caught:
        await client.call(SCRIPTS_SAVE, ScriptParams(path="a b/ü.py"), SaveRequest(text="2"))
    error = caught.value
    assert (error.code, error.message, error.hint, error.status) == (
        "conflict", "a b/ü.py has changed.", "Load it again.", 409,
    )  # fmt: skip
    assert (await client.call(SCRIPTS_LOAD, ScriptParams(path="a b/ü.py"))).text == "1"


async def test_an_operation_that_the_engine_does_not_have_is_explained_by_an_upgrade(client: EngineClient) -> None:
    missing = dataclasses.replace(ENGINE_INFO, path="/engine/of-a-later-version")
    with pytest.raises(EngineError, match="of another version") as caught:
        await client.call(missing)
    assert "gatewright engine stop" in (caught.value.hint or "")


async def test_a_cancelled_call_closes_its_connection(host: SmallHost, client: EngineClient) -> None:
    await client.call(POOL_INFO)
    gate = asyncio.Event()
    host.engine.scripts.load = lambda path: gate.wait()
    call = asyncio.create_task(client.call(SCRIPTS_LOAD, ScriptParams(path="x.py")))
    await eventually(lambda: len(host.server.server_state.tasks) == 1)
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()
    await eventually(lambda: host.server.connection_count == 0)
    assert (await client.call(POOL_INFO)).size == 3
    gate.set()


async def test_nothing_listens(host: SmallHost, client: EngineClient) -> None:
    host.paths.socket.unlink()
    with pytest.raises(EngineUnreachable, match="cannot be reached"):
        await client.call(POOL_INFO)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
RUNNING = msgspec.json.encode(run_info())
NAMED = b"event: run\ndata: " + RUNNING + b"\n\n"
BEFORE = "The engine went away before it had answered."
IN = "The engine went away in the middle of its answer."
NO_ENGINE = "What answers at the engine's place is no engine."
UNNAMED = "The engine went away before it had given the run a number: whether it began is not known."


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("answer", "called", "started", "uploaded"),
    [
        (b"", BEFORE, UNNAMED, BEFORE),
        (b"HTTP/1.1 20", BEFORE, UNNAMED, BEFORE),
        (b"HTTP/1.1 100 Continue\r\n\r\n", BEFORE, UNNAMED, BEFORE),
        (HEAD, IN, UNNAMED, IN),
        (HEAD + b"5\r\n{", IN, UNNAMED, IN),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", IN, UNNAMED, IN),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\n{", IN, UNNAMED, IN),
        (b"220 mail ready\r\n\r\n", NO_ENGINE, NO_ENGINE, NO_ENGINE),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", NO_ENGINE, NO_ENGINE, NO_ENGINE),
    ],
    ids=["nothing", "head-cut", "continue", "head", "chunk-cut", "body-cut", "refusal-cut", "other", "bad-length"],
)
async def test_an_engine_that_dies_is_told_in_our_words(
    tmp_path: Path, answer: bytes, called: str, started: str, uploaded: str, reset: bool
) -> None:
    """Whatever the libraries say of it: nobody can do anything with that."""

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            if not reset:  # closed with something unread, it would be
                length = re.search(rb"content-length: (\d+)", head.lower())
                await (reader.readexactly(int(length[1])) if length else reader.readuntil(b"0\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            writer.close()

    async with await asyncio.start_unix_server(die, tmp_path / "socket"):
        client = EngineClient(SocketTransport(lambda: asyncio.open_unix_connection(tmp_path / "socket"), "cli"))
        said, hints = [], []
        for work in (
            client.call(SCRIPTS_SAVE, ScriptParams(path="x.py"), SaveRequest(text="x" * 50_000)),
            anext(client.run_and_follow(EXEC)),
            client.upload("x", [b"x" * 50_000]),
        ):
            with pytest.raises(EngineUnreachable) as caught:
                await work
            said.append(caught.value.message)
            hints.append(caught.value.hint)
        await client.close()
    assert hints[0] == ("Look whether it was done, then try again." if said[0] != NO_ENGINE else None)
    if reset and answer:  # what came before the reset may be lost with it
        assert set(said) <= {called, started, uploaded, BEFORE, UNNAMED}
    else:
        assert said == [called, started, uploaded]


async def test_a_run_that_was_named_and_never_recorded_is_lost(host: SmallHost, client: EngineClient) -> None:
    host.engine.runs.items = [run_info(), [chunk(0)]]
    events = client.run_and_follow(EXEC)
    assert await anext(events) == run_info()
    assert await anext(events) == [chunk(0)]
    host.engine.runs.forgotten = True
    for connection in list(host.server.server_state.connections):
        connection.transport.abort()
    with pytest.raises(EngineError, match="before it had recorded run 1: how far that came is not known") as caught:
        await anext(events)
    assert caught.value.code == "run_lost"
    with pytest.raises(EngineError, match="There is no run 1"):
        await anext(client.follow_run(1))


async def test_a_file_that_shrinks_while_it_is_sent_is_told(host: SmallHost, client: EngineClient) -> None:
    with pytest.raises(EngineUnreachable, match=r"^What was to be sent changed its size meanwhile\.$"):
        await client.upload("x", [b"x" * 100], 200)
    assert (await client.call(POOL_INFO)).size == 3


async def test_an_unexpected_failure_is_a_sentence_and_a_log_line(
    host: SmallHost, client: EngineClient, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EngineError) as caught:
        await client.call(RUNS_START, StartParams(), RunRequest(kind=RunKind.EXEC, code="boom"))
    assert caught.value.status == 500
    assert "secret" not in caught.value.message
    number = caught.value.message.split("error ")[1][:8]
    assert f"error {number} in runs.start" in caplog.text
    assert "the secret inside" in caplog.text


async def test_a_run_is_followed_to_its_end(host: SmallHost, client: EngineClient) -> None:
    host.engine.runs.items = [run_info(), [chunk(0, "a\n"), chunk(1, "é")], [chunk(2)], DONE]
    items = [item async for item in client.follow_run(1, after=1)]
    assert items == [run_info(), [chunk(1, "é")], [chunk(2)], DONE]
    assert [item async for item in client.run_and_follow(EXEC)] == host.engine.runs.items


async def test_following_an_unknown_run_is_an_error(client: EngineClient) -> None:
    with pytest.raises(EngineError, match="no run 7"):
        await anext(client.follow_run(7))


async def test_a_broken_stream_is_resumed_where_it_broke(host: SmallHost, client: EngineClient) -> None:
    host.engine.runs.items = [run_info(), [chunk(0)]]
    seen: list[object] = []

    async def follow() -> None:
        async for item in client.run_and_follow(EXEC):
            seen.append(item)

    following = asyncio.create_task(follow())
    await eventually(lambda: len(seen) == 2)
    host.engine.runs.items = [run_info(), [chunk(0)], [chunk(1)], DONE]
    for connection in list(host.server.server_state.connections):
        connection.transport.abort()
    await asyncio.wait_for(following, 5)
    chunks = [piece for item in seen if isinstance(item, list) for piece in item]
    assert chunks == [chunk(0), chunk(1)]
    assert seen[-1] == DONE


async def test_a_follower_that_had_enough_frees_its_connection(host: SmallHost, client: EngineClient) -> None:
    host.engine.runs.items = [run_info(), [chunk(0)]]
    async with aclosing(client.follow_run(1)) as items:
        assert await anext(items) == run_info()
    await eventually(lambda: host.engine.runs.followers == 0 and host.server.connection_count == 0)


async def test_events_are_resumed_without_loss_or_repetition(host: SmallHost, client: EngineClient) -> None:
    bus = host.engine.events
    bus.publish("pool", 0)
    seen: list[Event] = []

    async def listen() -> None:
        async for event in client.events(after=0):
            seen.append(event)

    listening = asyncio.create_task(listen())
    await eventually(lambda: len(seen) == 1)
    for connection in list(host.server.server_state.connections):
        connection.transport.abort()
    bus.publish("pool", 1)
    bus.publish("pool", 2)
    await eventually(lambda: len(seen) == 3)
    assert [event.data for event in seen] == [0, 1, 2]
    assert [event.seq for event in seen] == [1, 2, 3]
    listening.cancel()
    await asyncio.wait({listening})


async def test_a_cursor_of_an_earlier_engine_means_lagged(host: SmallHost) -> None:
    bus = host.engine.events
    for number in range(5):
        bus.publish("pool", number)
    request = b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: other-2\r\n\r\n"
    answer = await host.raw(request, until=b"\n\n")
    assert b"event: lagged\n" in answer
    assert b'"missed":5' in answer


async def test_a_slow_reader_is_told_what_it_missed(host: SmallHost) -> None:
    client = host.client()
    bus = host.engine.events
    events = client.events(after=0)
    bus.publish("pool", "first")
    assert (await anext(events)).data == "first"
    # Nobody reads now: the socket fills, the server waits, the ring goes round.
    filler = "x" * 50_000
    for _ in range(300):
        bus.publish("pool", filler)
        await asyncio.sleep(0)
        if bus.last_seq % 10 == 0:
            await asyncio.sleep(0.025)
    missed = 0
    async with asyncio.timeout(10):
        seqs = []
        while not seqs or seqs[-1] < bus.last_seq:
            event = await anext(events)
            if event.type == "lagged":
                missed += event.data["missed"]
            else:
                seqs.append(event.seq)
    assert missed > 0
    assert missed + len(seqs) == bus.last_seq - 1
    await events.aclose()
    await client.close()


async def test_streams_end_when_the_engine_stops(
    host: SmallHost, client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "RECONNECT_DELAYS", (0.0,))
    host.engine.runs.items = [run_info()]
    events = client.events(after=0)
    host.engine.events.publish("pool")
    await anext(events)
    follower = client.follow_run(1)
    await anext(follower)
    host.engine.events.publish("engine", {"state": "stopping"})
    host.stop()
    host.paths.socket.unlink()
    assert (await anext(events)).data == {"state": "stopping"}
    for stream in (events, follower):
        with pytest.raises(EngineUnreachable):
            await asyncio.wait_for(anext(stream), 3)


async def test_a_silent_stream_counts_as_dead(
    host: SmallHost, client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "SILENCE_TIMEOUT", 0.05)
    monkeypatch.setattr(calls, "RECONNECT_DELAYS", ())
    with pytest.raises(EngineUnreachable, match="does not answer"):
        await anext(client.events())


async def test_closing_the_client_ends_its_streams(host: SmallHost, client: EngineClient) -> None:
    host.engine.runs.items = [run_info()]
    stream = client.follow_run(1)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(EngineUnreachable):
        await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("size", [None, 3_000_000])
async def test_an_upload_arrives_whole(host: SmallHost, client: EngineClient, size: int | None) -> None:
    data = bytes(range(256)) * 11_719
    data = data[:3_000_000]
    pieces = [data[at : at + 70_000] for at in range(0, len(data), 70_000)]
    info = await client.upload("dir/data.bin", pieces, size)
    assert (info.name, info.size) == ("data.bin", 3_000_000)
    (buffer,) = await host.engine.buffers.hold([info.id], host.engine.owner)
    assert os.pread(buffer.fd, 4_000_000, 0) == data


@pytest.mark.parametrize(
    ("request_", "sentence", "status"),
    [
        (RunRequest(kind=RunKind.EXEC, code="x" * (17 << 20)), "The request is larger than 16 MiB.", 413),
        (RunRequest(kind=RunKind.EXEC, code="'\ud800'"), "The text holds a lone surrogate", 400),
        (RunRequest(kind=RunKind.EXEC, variables={"a": object()}), "The request cannot be sent as JSON", 400),
    ],
)
async def test_what_cannot_be_asked_is_refused_like_everything_else(
    host: SmallHost, client: EngineClient, request_: RunRequest, sentence: str, status: int
) -> None:
    for ask in (client.call(RUNS_START, StartParams(), request_), anext(client.run_and_follow(request_))):
        with pytest.raises(EngineError, match=sentence) as caught:
            await ask
        assert caught.value.status == status
    assert host.engine.runs.requests == []
    assert (await client.call(POOL_INFO)).size == 3


async def test_a_reader_that_stopped_reading_does_not_hold_up_the_end(host: SmallHost) -> None:
    bus = host.engine.events
    _, writer = await sockets.connect(host.paths, os.geteuid())
    writer.transport.pause_reading()
    writer.write(b"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\n\r\n")
    bus.publish("pool", "x" * 2_000_000)
    await eventually(lambda: any(c.flow.write_paused for c in host.server.server_state.connections))
    begin = time.monotonic()
    host.stop()
    await host.server.shutdown()
    assert time.monotonic() - begin < 20
    writer.close()


async def test_a_quiet_stream_shows_that_it_lives(host: SmallHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE", 0.02)
    await host.raw(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n", until=b"\r\n:\n\n")


async def test_a_reader_that_never_reads_is_let_go(
    host: SmallHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sse, "SEND_TIMEOUT", 0.1)
    _, writer = await sockets.connect(host.paths, os.geteuid())
    writer.transport.pause_reading()
    writer.write(b"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(2):
        host.engine.events.publish("pool", "x" * 1_000_000)
        await asyncio.sleep(0.05)
    await eventually(lambda: not host.server.server_state.tasks)
    assert "whose client had not read for" in caplog.text
    writer.transport.abort()


async def test_an_answer_without_measure_is_not_held(
    host: SmallHost, client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER", 1 << 20)
    host.engine.scripts.saved["big.py"] = "x" * (2 << 20)
    with pytest.raises(EngineUnreachable, match=r"^The engine's answer is larger than 1 MiB\.$"):
        await client.call(SCRIPTS_LOAD, ScriptParams(path="big.py"))
    assert (await client.call(POOL_INFO)).size == 3


async def test_an_upload_that_is_refused_stops_early(host: SmallHost, client: EngineClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 65536
            yield b"x" * 65536

    with pytest.raises(EngineError, match="at most 4 MiB") as caught:
        await client.upload("big", endless())
    assert caught.value.status == 413
    assert sent < 64 << 20
    assert (await client.call(POOL_INFO)).size == 3


async def test_an_upload_that_is_cut_leaves_nothing(host: SmallHost) -> None:
    head = b"POST /api/v1/buffers?name=x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    _, writer = await sockets.connect(host.paths, os.geteuid())
    writer.write(head + b"x" * 500_000)
    await writer.drain()
    await eventually(lambda: open_buffers() == 1)
    writer.close()
    await eventually(lambda: open_buffers() == 0)


def open_buffers() -> int:
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += "gatewright-buffer" in os.readlink(f"/proc/self/fd/{fd}")
    return found


async def test_the_document_names_every_operation(client: EngineClient, host: SmallHost) -> None:
    answer = await host.raw(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    document = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
    names = {op["operationId"] for path in document["paths"].values() for op in path.values()}
    assert names == {operation.name for operation in OPERATIONS}
    cancel = document["paths"]["/runs/{run_id}/cancel"]["post"]
    assert cancel["parameters"][0]["in"] == "path"
    start = document["paths"]["/runs"]["post"]
    assert start["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/RunRequest"}
    assert "memory" in document["components"]["schemas"]["ScriptInfo"]["properties"]
