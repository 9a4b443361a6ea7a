"""Uploads: sealed, limited, leased."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.runs.uploads import LEASE, MOST, MOST_OF_TOKEN, PIECE, BufferService

ALICE = Actor(name="alice", uid=os.geteuid(), role=Role.ADMIN)
"""The owner."""
BOB = Actor(name="bob", uid=os.geteuid() + 1, role=Role.ADMIN)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def upload(service: BufferService, data: bytes, actor: Actor = ALICE) -> str:
    writer = service.create("wrapper.log", actor)
    writer.write(data)
    return writer.finish().id


async def test_what_was_uploaded_comes_back_and_cannot_be_changed() -> None:
    service = BufferService()
    [buffer] = await service.hold([upload(service, b"line one\nline two\n")], ALICE)
    assert os.pread(buffer.fd, 100, 0) == b"line one\nline two\n"
    with pytest.raises(PermissionError):
        os.pwrite(buffer.fd, b"X", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(buffer.fd, 1)
    service.close()


async def test_only_the_one_who_uploaded_may_use_it() -> None:
    service = BufferService()
    buffer_id = upload(service, b"secret")
    with pytest.raises(ServiceError, match="gone"):
        await service.hold([buffer_id], BOB)
    service.close()


async def test_one_unknown_id_holds_none() -> None:
    clock = Clock()
    service = BufferService(clock=clock)
    buffer_id = upload(service, b"x")
    with pytest.raises(ServiceError):
        await service.hold([buffer_id, "nonsense"], ALICE)
    clock.now = LEASE + 1
    service.expire()
    with pytest.raises(ServiceError):
        await service.hold([buffer_id], ALICE)


async def test_a_lease_ends_but_not_while_a_run_holds_the_buffer() -> None:
    clock = Clock()
    service = BufferService(clock=clock)
    held = await service.hold([upload(service, b"x")], ALICE)
    clock.now = LEASE + 1
    service.expire()
    assert os.pread(held[0].fd, 1, 0) == b"x"
    service.give_back(held)
    clock.now += LEASE + 1
    service.expire()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held[0].fd)


def test_too_large_alone_and_together() -> None:
    service = BufferService(max_buffer=100, max_total=150)
    writer = service.create("a", ALICE)
    writer.write(b"x" * 100)
    with pytest.raises(ServiceError) as too_large:
        writer.write(b"x")
    assert too_large.value.status == 413
    writer.finish()
    second = service.create("b", ALICE)
    with pytest.raises(ServiceError):
        second.write(b"x" * 51)
    second.write(b"x" * 50)
    second.abort()
    third = service.create("c", ALICE)
    third.write(b"x" * 50)
    third.abort()
    service.close()


@pytest.mark.parametrize("name", ["a\nb", "\x1b]0;x\x07", "x" * 300])
def test_a_name_that_could_drive_a_terminal_is_refused(name: str) -> None:
    with pytest.raises(ServiceError):
        BufferService().create(name, ALICE)


def test_only_the_last_part_of_a_path_is_kept() -> None:
    service = BufferService()
    writer = service.create("/var/log/secret/wrapper.log", ALICE)
    assert writer.finish().name == "wrapper.log"
    service.close()


async def test_no_two_runs_have_one_file() -> None:
    """A script can change mode and times of what it is handed: the next one must neither see that nor fail by it."""
    service = BufferService()
    buffer_id = upload(service, b"x" * 100_000)
    first, twice = await service.hold([buffer_id, buffer_id], ALICE)
    os.fchmod(first.fd, 0)
    os.utime(first.fd, (1, 1))
    [second] = await service.hold([buffer_id], ALICE)
    [third] = await service.hold([buffer_id], ALICE)
    assert first is twice
    assert len({os.fstat(one.fd).st_ino for one in (first, second, third)}) == 3
    assert (os.fstat(second.fd).st_mode & 0o777 != 0, os.fstat(second.fd).st_mtime > 1) == (True, True)
    descriptor = service.opened(second)
    assert os.read(descriptor, 200_000) == b"x" * 100_000
    os.close(descriptor)
    with pytest.raises(PermissionError):
        os.pwrite(second.fd, b"X", 0)
    service.give_back([first, twice, second, third])
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(second.fd)
    assert os.pread(first.fd, 1, 0) == b"x"  # the upload waits for its next run
    service.close()


async def test_copies_count_for_the_limit_of_all_uploads_and_end_with_their_runs() -> None:
    clock = Clock()
    service = BufferService(max_total=250, clock=clock)
    buffer_id = upload(service, b"x" * 100)
    held = await service.hold([buffer_id], ALICE)
    for _ in range(3):
        copy = await service.hold([buffer_id], ALICE)
        with pytest.raises(ServiceError, match="too many uploaded files"):
            await service.hold([buffer_id], ALICE)
        service.give_back(copy)
    service.give_back(held)
    clock.now = LEASE + 1
    service.expire()
    upload(service, b"y" * 250)
    service.close()


async def test_a_file_that_cannot_be_handed_over_is_refused_with_a_sentence() -> None:
    service = BufferService()
    [buffer] = await service.hold([upload(service, b"x")], ALICE)
    closed = replace(buffer, fd=1 << 20)
    with pytest.raises(ServiceError, match=r"cannot be given wrapper\.log: No such file"):
        service.opened(closed)
    service.close()


SCADA = Actor(name="token:scada", uid=NO_ACCOUNT, role=Role.OPERATOR, token="t1")
MES = Actor(name="token:mes", uid=NO_ACCOUNT, role=Role.OPERATOR, token="t2")


def refused(service: BufferService, data: bytes, actor: Actor) -> str:
    with pytest.raises(ServiceError) as caught:
        upload(service, data, actor)
    assert (caught.value.code, caught.value.status) == ("busy", 429)
    assert caught.value.retry_after
    return caught.value.message


async def test_a_token_has_few_files_at_once_and_the_others_go_on() -> None:
    service = BufferService()
    ids = [upload(service, b"z", SCADA) for _ in range(MOST_OF_TOKEN)]
    assert f"This token has {MOST_OF_TOKEN}" in refused(service, b"z", SCADA)
    for actor in (MES, BOB, ALICE):
        upload(service, b"z", actor)
    service.give_back(await service.hold(ids[:1], SCADA))
    upload(service, b"z", SCADA)  # instead of the one that a run has used
    with pytest.raises(ServiceError, match="gone"):
        await service.hold(ids[:1], SCADA)
    assert "This token has" in refused(service, b"z", SCADA)
    service.close()
    for _ in range(MOST_OF_TOKEN):  # nothing is counted twice, or forever
        upload(service, b"z", SCADA)
    service.close()


async def test_the_last_quarter_of_all_files_is_the_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (128, 1024))
    service = BufferService()
    for number in range(24):
        upload(service, b"z", replace(SCADA, token=f"t{number // 6}"))
    assert "too many uploaded files" in refused(service, b"z", BOB)
    assert "too many uploaded files" in refused(service, b"z", MES)
    for _ in range(8):
        upload(service, b"z")
    assert "too many uploaded files" in refused(service, b"z", ALICE)
    service.close()
    assert MOST > 24


def test_no_descriptor_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> int:
        raise OSError(24, "Too many open files")

    service = BufferService()
    with monkeypatch.context() as patched:
        patched.setattr(os, "memfd_create", none)
        for _ in range(MOST_OF_TOKEN + 1):  # a refusal leaves nothing that counts
            assert "too many open" in refused(service, b"z", SCADA)
    upload(service, b"z", SCADA)
    service.close()


async def test_a_token_has_its_share_of_the_room() -> None:
    service = BufferService(max_buffer=100, max_total=1000)
    first = upload(service, b"x" * 100, SCADA)
    upload(service, b"x" * 100, SCADA)
    assert "250 bytes" in refused(service, b"x" * 51, SCADA)
    for number in range(5):
        upload(service, b"x" * 100, replace(MES, token=f"m{number // 2}"))
    assert "too many uploaded files" in refused(service, b"x" * 51, BOB)
    upload(service, b"x" * 100)
    service.give_back(await service.hold([first], SCADA))
    upload(service, b"x" * 100, SCADA)  # in the place of what is used
    service.close()


async def test_a_file_handed_over_again_makes_room_with_no_other_one_of_its_run() -> None:
    service = BufferService(max_buffer=100, max_total=400)
    both = [upload(service, b"x" * 70, SCADA), upload(service, b"y" * 40, SCADA)]
    service.give_back(await service.hold(both, SCADA))
    with pytest.raises(ServiceError) as caught:
        await service.hold([*both, upload(service, b"z" * 90, SCADA)], SCADA)
    assert caught.value.status == 429
    for buffer_id in both:
        assert service.info(buffer_id, SCADA)
    service.close()


async def test_one_upload_does_not_stop_the_others() -> None:
    """Neither where much is there already nor where one piece is large."""
    service, turns = BufferService(), 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield bytes(PIECE // 8)
        yield bytes(4 * PIECE)

    other = asyncio.create_task(count())
    info = await service.upload("a", chunks(), ALICE)
    other.cancel()
    assert info.size == 8 * PIECE
    assert turns >= 8
    service.close()
