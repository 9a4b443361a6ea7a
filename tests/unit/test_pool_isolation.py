"""The isolation line says what a HELLO proves; a child that shows less than its zygote promised is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from engine.models.runs import Mode
from engine.pool.fork_request import parked_child
from engine.pool.isolation import (
    FILTERED,
    HIDDEN,
    LOCKED,
    TRUNCATE,
    UNCHANGED,
    UNLISTED,
    UNSEEN,
    Hello,
    Promise,
    Ready,
    UnfitChild,
    own_namespace,
)
from engine.pool.job import Limits
from engine.sandbox.plan import Level, Plan, PlannedLayers
from engine.worker.limits import MEMORY_RESERVE, PROCESSES
from engine.worker.wire import CHECKED_DESCRIPTORS, HELLO, ForkRequest

DEVICE = 77
SIZE = 50 << 20
FULL = Plan(
    Mode.RESTRICTED, Level.FULL, PlannedLayers(userns=True, pidns=True, view=True, landlock=7, seccomp=True, locks=True)
)
CORE = Plan(Mode.RESTRICTED, Level.CORE, PlannedLayers(landlock=3, seccomp=True))
DENIED = FILTERED | dict.fromkeys(HIDDEN, "EACCES") | UNSEEN | UNLISTED
ANSWERED = DENIED | LOCKED
KEPT = ANSWERED | UNCHANGED | {TRUNCATE: "EACCES"}
"""The answers of a child that may change files of its own."""
ELSEWHERE = {kind: number for number, kind in enumerate(("user", "pid", "mnt", "net", "ipc", "uts"), 1)}
HERE = {kind: own_namespace(kind) for kind in ELSEWHERE}
REQUEST: ForkRequest = parked_child(Limits(), warm=True)
GOOD = Hello(
    pid=1, session=1, no_new_privs=1, capabilities=False, closed_descriptors=CHECKED_DESCRIPTORS, seccomp=2,
    opened_root=False, made_socket=False, scratch_device=DEVICE,
    address_space=SIZE + REQUEST.memory + MEMORY_RESERVE, cpu=REQUEST.cpu, open_files=64, file_size=REQUEST.scratch,
    processes=PROCESSES,
)  # fmt: skip


def ready(**changes: Any) -> Ready:
    """A report of a template that has everything."""
    given: dict[str, Any] = {
        "namespaces": ELSEWHERE, "python": "3.11", "size": SIZE, "umask": 0o077, "leftovers": 0, "attempts": ANSWERED,
    }  # fmt: skip
    return Ready(**(given | changes))


def test_a_contained_child() -> None:
    line = Promise.of(FULL, ready(), own_files=False).check(HELLO.pack(*GOOD), REQUEST, DEVICE)
    assert line == "full: userns+pidns+netns+ipcns+tmpfs+view+landlock7+seccomp+rlimits"


def test_a_child_without_namespaces() -> None:
    hello = GOOD._replace(pid=4321, session=4321, processes=2**64 - 1)
    line = Promise.of(CORE, ready(namespaces=HERE), own_files=False).check(HELLO.pack(*hello), REQUEST, DEVICE)
    assert line == "core: landlock3+seccomp+rlimits, no userns, no scratch"


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_one_namespace_that_is_the_engines_own_is_no_containment(kind: str) -> None:
    with pytest.raises(UnfitChild, match=f"{kind} namespace"):
        Promise.of(FULL, ready(namespaces=ELSEWHERE | {kind: own_namespace(kind)}), own_files=False)


@pytest.mark.parametrize("attempt", DENIED)
@pytest.mark.parametrize("answer", ["allowed", "EBADF", "EFAULT", "ECHILD", None])
@pytest.mark.parametrize("own_files", [False, True])
def test_a_child_that_could_do_one_forbidden_thing_spoils_its_template(
    attempt: str, answer: str | None, own_files: bool
) -> None:
    answers = {name: due for name, due in (KEPT if own_files else ANSWERED).items() if name != attempt}
    if answer is not None:
        answers[attempt] = answer
    with pytest.raises(UnfitChild, match=attempt):
        Promise.of(FULL, ready(attempts=answers), own_files=own_files)


@pytest.mark.parametrize("attempt", UNCHANGED)
def test_what_changes_files_is_refused_by_the_filter_or_by_the_mounts_as_was_planned(attempt: str) -> None:
    """A filter that lets a run change files which are not only its own is found out, and so is a mount to write to."""
    Promise.of(FULL, ready(attempts=KEPT), own_files=True)
    with pytest.raises(UnfitChild, match=attempt):
        Promise.of(FULL, ready(attempts=DENIED | {attempt: UNCHANGED[attempt]}), own_files=False)
    with pytest.raises(UnfitChild, match=attempt):
        Promise.of(FULL, ready(attempts=KEPT | {attempt: "EPERM"}), own_files=True)


@pytest.mark.parametrize("answer", ["EPERM", "ENOSYS", None])
def test_a_child_without_the_locks_that_were_planned_spoils_its_template(answer: str | None) -> None:
    answers = {name: due for name, due in ANSWERED.items() if name != "lock_own_file"}
    if answer is not None:
        answers["lock_own_file"] = answer
    with pytest.raises(UnfitChild, match="lock_own_file"):
        Promise.of(FULL, ready(attempts=answers), own_files=False)
    unlocked = replace(FULL, layers=msgspec.structs.replace(FULL.layers, locks=False))
    Promise.of(unlocked, ready(attempts=answers), own_files=False)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("pid", 2, "session"),
        ("session", 5, "session"),
        ("no_new_privs", 0, "no_new_privs"),
        ("capabilities", True, "capabilities"),
        ("closed_descriptors", 7, "descriptors"),
        ("seccomp", 0, "seccomp"),
        ("opened_root", True, "root folder"),
        ("made_socket", True, "socket"),
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
        Promise.of(FULL, ready(), own_files=False).check(HELLO.pack(*GOOD._replace(**{field: value})), REQUEST, DEVICE)


def test_a_contained_child_must_be_the_first_of_its_namespace() -> None:
    with pytest.raises(UnfitChild, match="pid"):
        Promise.of(FULL, ready(), own_files=False).check(HELLO.pack(*GOOD._replace(pid=9, session=9)), REQUEST, DEVICE)


@pytest.mark.parametrize("payload", [b"", b"x", b"\0" * (HELLO.size + 1)])
def test_a_hello_of_another_size_is_refused(payload: bytes) -> None:
    with pytest.raises(UnfitChild, match="length"):
        Promise.of(FULL, ready(), own_files=False).check(payload, REQUEST, DEVICE)


@pytest.mark.parametrize("report", [ready(umask=0o022), ready(leftovers=4096)])
def test_a_template_that_could_leave_things_behind_is_refused(report: Ready) -> None:
    with pytest.raises(UnfitChild):
        Promise.of(FULL, report, own_files=False).check(HELLO.pack(*GOOD), REQUEST, DEVICE)
