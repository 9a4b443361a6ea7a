"""The isolation line says what a HELLO proves; a child that shows less than its zygote promised is refused."""

from __future__ import annotations

import pytest

from engine.pool.isolation import Hello, Promise, Ready, UnfitChild, own_namespace
from engine.pool.job import Limits
from engine.pool.order import Order, parked_child
from engine.worker.limits import MEMORY_RESERVE, PROCESSES
from engine.worker.wire import HELLO

DEVICE = 77
SIZE = 50 << 20
READY = Ready(
    user=1, pid=2, mnt=3, no_namespaces=None, python="3.11", size=SIZE, umask=0o077, leftovers=0,
)  # fmt: skip
ORDER: Order = parked_child(Limits(), warm=True)
GOOD = Hello(
    pid=1, session=1, no_new_privs=1, capabilities=False, descriptors=4, scratch_device=DEVICE,
    address_space=SIZE + ORDER.memory + MEMORY_RESERVE, cpu=ORDER.cpu, open_files=64, file_size=ORDER.scratch,
    processes=PROCESSES,
)  # fmt: skip


def test_a_contained_child() -> None:
    line = Promise.of(READY).check(HELLO.pack(*GOOD), ORDER, DEVICE)
    assert line == "process+userns+pidns+tmpfs+rlimits, no landlock, no seccomp, no netns"


def test_a_child_without_namespaces() -> None:
    same = Ready(
        user=own_namespace("user"), pid=own_namespace("pid"), mnt=own_namespace("mnt"), no_namespaces="refused",
        python="3.11", size=SIZE, umask=0o077, leftovers=0,
    )  # fmt: skip
    hello = GOOD._replace(pid=4321, session=4321, processes=2**64 - 1)
    line = Promise.of(same).check(HELLO.pack(*hello), ORDER, DEVICE)
    assert line == "process+rlimits, no userns, no pidns, no tmpfs, no landlock, no seccomp, no netns"


def test_one_namespace_that_is_the_engines_own_is_no_containment() -> None:
    assert not Promise.of(Ready(own_namespace("user"), 2, 3, None, "3.11", SIZE, 0o077, 0)).contained


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("pid", 2, "session"),
        ("session", 5, "session"),
        ("no_new_privs", 0, "no_new_privs"),
        ("capabilities", True, "capabilities"),
        ("descriptors", 5, "descriptors"),
        ("scratch_device", 78, "device"),
        ("address_space", 2**64 - 1, "address space"),
        ("cpu", 60, "processor time"),
        ("open_files", 1024, "open files"),
        ("file_size", 2**64 - 1, "file size"),
        ("processes", 2**64 - 1, "processes"),
    ],
)
def test_less_than_promised_is_refused(field: str, value: int, word: str) -> None:
    with pytest.raises(UnfitChild, match=word):
        Promise.of(READY).check(HELLO.pack(*GOOD._replace(**{field: value})), ORDER, DEVICE)


def test_a_contained_child_must_be_the_first_of_its_namespace() -> None:
    with pytest.raises(UnfitChild, match="pid"):
        Promise.of(READY).check(HELLO.pack(*GOOD._replace(pid=9, session=9)), ORDER, DEVICE)


@pytest.mark.parametrize("payload", [b"", b"x", b"\0" * (HELLO.size + 1)])
def test_a_hello_of_another_size_is_refused(payload: bytes) -> None:
    with pytest.raises(UnfitChild, match="length"):
        Promise.of(READY).check(payload, ORDER, DEVICE)


def test_a_template_that_could_leave_things_behind_is_refused() -> None:
    for ready in (
        Ready(1, 2, 3, None, "3.11", SIZE, 0o022, 0),
        Ready(1, 2, 3, None, "3.11", SIZE, 0o077, 4096),
    ):
        with pytest.raises(UnfitChild):
            Promise.of(ready).check(HELLO.pack(*GOOD), ORDER, DEVICE)
