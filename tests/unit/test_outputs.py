"""Buffers that runs make: counted, sealed when they are read, held for a while; and what a library hands over."""

import asyncio
import fcntl
import hashlib
import mmap
import os
import threading
from contextlib import suppress

import pytest

from engine.services.access import Actor, Role, ServiceError
from engine.services.masking import WINDOW, Masks
from engine.services.runs import uploads
from engine.services.runs.outputs import LeftBuffers, RunOutputs, mapped, small_ones
from engine.services.runs.uploads import COPIED_AT_ONCE, LEASE, MOST_OF_TOKEN, BufferService
from engine.worker.buffers import MAX_NAME, MOST_MADE

ALICE = Actor(name="alice", uid=os.geteuid(), role=Role.ADMIN)
"""The owner."""
TOKEN = Actor(name="token:press", uid=os.geteuid(), role=Role.OPERATOR, token="press")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def outputs_of(service: BufferService, actor: Actor = ALICE, most: int = 1 << 20) -> RunOutputs:
    return RunOutputs(service, actor.identity, most, most)


async def test_what_was_written_is_left_and_can_no_longer_be_changed() -> None:
    service = BufferService()
    outputs, left = outputs_of(service), LeftBuffers(service)
    fd = outputs.create("out", 5)
    with mmap.mmap(fd, 5) as memory:
        memory[:] = b"hello"
    left.add(7, await outputs.take())
    assert [(buffer.name, buffer.size) for buffer in left.of(7)] == [("out", 5)]
    content = left.read(7, "out")
    assert content == b"hello"
    assert content.readonly
    assert left.read(7, "other") is None
    assert left.of(8) == []
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"X", 0)
    service.close()
    assert content == b"hello"


async def test_what_a_process_may_still_write_to_is_read_as_a_copy() -> None:
    service = BufferService()
    outputs = outputs_of(service)
    fd = outputs.create("out", 5)
    with mmap.mmap(fd, 5) as memory:
        memory[:] = b"first"
        left = await outputs.take()
        memory[:] = b"later"
    assert os.pread(left["out"].fd, 9, 0) == b"first"
    assert fcntl.fcntl(left["out"].fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    assert service._all.size == 5, "the original is no longer counted"
    for buffer in left.values():
        service.discard(buffer)
    assert (service._all.files, service._all.size) == (0, 0)


async def test_a_buffer_keeps_the_size_that_it_was_made_with() -> None:
    service = BufferService()
    fd = outputs_of(service).create("out", 5)
    for size in (4, 6):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    service.close()


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [
        ("", 1, "1 to"),
        ("n" * (MAX_NAME + 1), 1, "1 to"),
        ("a/b", 1, "no plain name"),
        ("..", 1, "no plain name"),
        ("a\n", 1, "no plain name"),
        (b"a", 1, "no text"),
        (None, 1, "no text"),
        ("a", -1, "number of bytes"),
        ("a", True, "number of bytes"),
        ("a", 1.5, "number of bytes"),
        ("a", "9", "number of bytes"),
        ("a", (1 << 20) + 1, "limits.memory|more: its buffers"),
        ("a", 1 << 80, "more: its buffers"),
    ],
)
def test_what_is_no_buffer_is_refused_and_counts_nothing(name: object, size: object, sentence: str) -> None:
    service = BufferService()
    with pytest.raises(ServiceError, match=sentence):
        outputs_of(service).create(name, size)
    assert (service._all.files, service._all.size) == (0, 0)


def test_a_name_is_used_once_and_a_run_makes_so_many() -> None:
    service = BufferService()
    outputs = outputs_of(service)
    outputs.create("0", 1)
    with pytest.raises(ServiceError, match="made a buffer '0' already"):
        outputs.create("0", 1)
    for number in range(1, MOST_MADE):
        outputs.create(str(number), 1)
    with pytest.raises(ServiceError, match=f"{MOST_MADE} buffers"):
        outputs.create("more", 1)
    outputs.drop()
    assert service._all.files == 0
    with pytest.raises(ServiceError, match="ended"):
        outputs.create("after", 1)


def test_buffers_of_a_run_are_part_of_its_memory() -> None:
    service = BufferService()
    outputs = outputs_of(service, most=100)
    outputs.create("a", 60)
    with pytest.raises(ServiceError, match=r"'b' would have 41 bytes, and the run may make 40 bytes more"):
        outputs.create("b", 41)
    outputs.create("c", 40)
    outputs.drop()


def test_the_engine_holds_only_so_much_for_all() -> None:
    service = BufferService(max_buffer=100, max_total=150)
    with pytest.raises(ServiceError, match="A buffer may have at most 100 bytes"):
        outputs_of(service).create("a", 101)
    made = [outputs_of(service), outputs_of(service)]
    made[0].create("a", 100)
    with pytest.raises(ServiceError, match="too many"):
        made[1].create("a", 51)
    made[0].drop()
    made[1].create("a", 51)
    made[1].drop()
    assert (service._all.files, service._all.size) == (0, 0)


def test_runs_of_a_token_do_not_take_every_descriptor() -> None:
    service = BufferService(max_total=1 << 40)
    runs = [outputs_of(service, TOKEN) for _ in range(MOST_OF_TOKEN // MOST_MADE)]
    with suppress(ServiceError):  # earlier still where few descriptors are given
        for outputs in runs:
            for number in range(MOST_MADE):
                outputs.create(str(number), 1)
    with pytest.raises(ServiceError, match="This token has"):
        outputs_of(service, TOKEN).create("more", 1)
    outputs_of(service).create("mine", 1)
    service.close()


async def test_a_lease_begins_with_the_end_of_the_run() -> None:
    clock = Clock()
    service = BufferService(clock=clock)
    outputs, left = outputs_of(service), LeftBuffers(service)
    outputs.create("out", 1)
    clock.now = 10 * LEASE
    service.expire()
    left.add(1, await outputs.take())
    clock.now += LEASE - 1
    assert left.read(1, "out") == b"\0"
    clock.now += 2
    assert left.read(1, "out") is None
    assert (left.of(1), service._all.files) == ([], 0)


async def test_what_nobody_has_fetched_makes_no_room() -> None:
    service = BufferService(max_buffer=100, max_total=150)
    left = LeftBuffers(service)
    for run_id in (1, 2):
        outputs = outputs_of(service)
        outputs.create("out", 75)
        left.add(run_id, await outputs.take())
    with pytest.raises(ServiceError, match="too many"):
        outputs_of(service).create("out", 10)
    assert left.read(1, "out") is not None
    outputs_of(service).create("out", 10)
    assert (left.of(1), len(left.of(2))) == ([], 1)
    service.close()


async def test_what_is_being_read_is_counted_until_it_has_been() -> None:
    clock = Clock()
    service = BufferService(max_buffer=100, max_total=150, clock=clock)
    outputs, left = outputs_of(service), LeftBuffers(service)
    outputs.create("out", 75)
    left.add(1, await outputs.take())
    reading = left.read(1, "out")
    assert reading is not None
    with reading[:10] as piece, pytest.raises(ServiceError, match="too many"):
        outputs_of(service).create("more", 76)
    clock.now = LEASE + 1
    service.expire()
    assert service._all.size == 75
    del reading, piece
    assert (left.of(1), service._all.size) == ([], 0)


async def test_a_library_takes_what_was_left_and_nothing_is_held_for_it() -> None:
    service = BufferService()
    outputs, left = outputs_of(service), LeftBuffers(service)
    outputs.create("empty", 0)
    os.pwrite(outputs.create("out", 3), b"abc", 0)
    left.add(1, await outputs.take())
    assert left.take(1) == {"empty": b"", "out": b"abc"}
    assert (left.take(1), left.of(1), service._all.files) == ({}, [], 0)


async def test_small_buffers_go_on_record_beside_the_files() -> None:
    service = BufferService()
    outputs = outputs_of(service)
    for name, size in (("a", 4), ("big", 100), ("b", 6)):
        os.pwrite(outputs.create(name, size), b"x" * size, 0)
    left = await outputs.take()
    kept = small_ones(left, (), 10)
    assert [(file.name, bytes(file.data)) for file in kept] == [("a", b"xxxx"), ("b", b"xxxxxx")]
    assert kept[0].sha256 == hashlib.sha256(b"xxxx").hexdigest()
    assert [file.name for file in small_ones(left, kept[:1], 10)] == ["b"], "a file of its own goes first"
    service.close()


@pytest.mark.parametrize("size", [0, 1, COPIED_AT_ONCE - 1, COPIED_AT_ONCE, COPIED_AT_ONCE + 1, 2 * COPIED_AT_ONCE + 5])
async def test_what_a_library_hands_over_arrives_with_its_hash(size: int) -> None:
    service = BufferService()
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    info = await service.take("data", memoryview(data), ALICE)
    assert (info.size, info.sha256) == (size, hashlib.sha256(data).hexdigest())
    [buffer] = await service.hold([info.id], ALICE)
    assert os.pread(buffer.fd, size + 1, 0) == data
    with pytest.raises(PermissionError):
        os.pwrite(buffer.fd, b"X", 0)
    service.forget(info.id, ALICE)
    assert service._all.files == 1, "a run holds it"
    service.give_back([buffer])
    service.forget(info.id, TOKEN)
    assert service._all.files == 1, "it is not the token's"
    service.forget(info.id, ALICE)
    assert (service._all.files, service._all.size) == (0, 0)


async def test_a_caller_that_leaves_or_has_too_much_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = BufferService(max_buffer=3 * COPIED_AT_ONCE)
    with pytest.raises(ServiceError, match="at most 24 MiB"):
        await service.take("data", memoryview(bytes(3 * COPIED_AT_ONCE + 1)), ALICE)
    begun, go_on = threading.Event(), threading.Event()
    write = uploads._write

    def slowly(fd: int, data: memoryview, start: int) -> None:
        begun.set()
        assert go_on.wait(20)
        os.fstat(fd)  # nothing has closed it meanwhile
        write(fd, data, start)
        written.append(start)

    written: list[int] = []
    monkeypatch.setattr(uploads, "_write", slowly)
    task = asyncio.create_task(service.take("data", memoryview(bytes(3 * COPIED_AT_ONCE)), ALICE))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert written == [0]
    assert (service._all.files, service._all.size) == (0, 0)


async def test_secrets_are_hidden_in_what_is_left() -> None:
    service, masks = BufferService(), Masks()
    outputs = outputs_of(service, most=8 << 20)
    masks.add("press", "open-sesame")
    clean, found = b"x" * WINDOW * 2, bytearray(b"y" * WINDOW * 3)
    for at in (0, WINDOW - 5, 2 * WINDOW, 3 * WINDOW - 11):  # also where two looks meet
        found[at : at + 11] = b"open-sesame"
    for name, data in (("clean", clean), ("found", found)):
        os.pwrite(outputs.create(name, len(data)), data, 0)
    left = await outputs.take(masks.data)
    assert outputs.changed == ["found"]
    assert mapped(left["clean"]) == clean
    assert mapped(left["found"]) == found.replace(b"open-sesame", b"***")
    assert (service._all.files, service._all.size) == (2, sum(buffer.info.size for buffer in left.values()))
    service.close()
