"""Processes that an ADMIN run has left when it ends: which they are, and what its record says of them.

A run's processes are below its child, which is the first of its pid namespace; without one of its own they are below
the template, to which the kernel hands those whose parents have ended (prctl(2), PR_SET_CHILD_SUBREAPER).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from engine.pool.child import Child
from engine.worker.descendants import below, is_alive, session_of

MOST_LOOKED_AT = 256
"""Processes; a fork bomb must not hold up the engine, and a record of more names is of no use."""

NAMED = 5
MAX_NAME = 40
MAX_WORDS = 3
"""Of a command line, after the program."""

_TELLING = frozenset("=@:")
"""What an assignment, an account or an address has in it."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """One process of a run.

    Attributes:
        pid: As the script knows it.
        name: The program and the first words after it, or what it has its command line begin with.
        detached: It has left the session of the run.
    """

    pid: int
    name: str
    detached: bool

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def left_by(child: Child) -> list[Leftover]:
    """The processes of a run that go on beside its own."""
    session = session_of(child.tree)
    pids = islice((pid for pid in below(child.tree) if pid != child.pid), MOST_LOOKED_AT)
    return [Leftover(_own_number(pid), _name(pid), session_of(pid) != session) for pid in pids if is_alive(pid)]


def ended_with_it(left: Sequence[Leftover]) -> str | None:
    """What to say of processes that end with their run."""
    if not left:
        return None
    return (
        f"{_counted(left)} that it left running {_was(left)} ended with it: {_named(left)}. To keep one running, start "
        "it in a session of its own (start_new_session=True) and set leave_processes = true in the header."
    )


def left_on_purpose(left: Sequence[Leftover], *, has_cgroup: bool) -> str:
    """What to say of a run that may leave processes."""
    kept, ended = [one for one in left if one.detached], [one for one in left if not one.detached]
    told = []
    if kept:
        goes = "goes" if len(kept) == 1 else "go"
        told.append(f"{_counted(kept)} {goes} on after it, as leave_processes asks: {_named(kept)}.")
    if ended:
        told.append(
            f"{_counted(ended)} {_was(ended)} ended with it: {_named(ended)}. What is to go on needs a session of its "
            "own (start_new_session=True)."
        )
    told.append(
        "A stop of this run ends all that it started."
        if has_cgroup
        else "A stop of this run ends what it started as far as it is found; under a service with a cgroup of its own "
        "it is found for certain."
    )
    return " ".join(told)


def not_ended(left: Sequence[Leftover]) -> str | None:
    """What to say when a run was stopped and some of it is still there."""
    return f"{_counted(left)} of it could not be ended: {_named(left)}." if left else None


def _counted(left: Sequence[Leftover]) -> str:
    if len(left) >= MOST_LOOKED_AT - 1:
        return f"More than {MOST_LOOKED_AT - 2} processes"
    return "1 process" if len(left) == 1 else f"{len(left)} processes"


def _was(left: Sequence[Leftover]) -> str:
    return "was" if len(left) == 1 else "were"


def _named(left: Sequence[Leftover]) -> str:
    named = ", ".join(map(str, left[:NAMED]))
    return f"{named} and {len(left) - NAMED} more" if len(left) > NAMED else named


def _name(pid: int) -> str:
    """The first words of a command line, the program without its folder; a kernel's name for it where it has none."""
    for place, end in (("cmdline", b"\0"), ("comm", b"\n")):
        try:
            with open(f"/proc/{pid}/{place}", "rb") as file:
                words = file.read(4096).decode("utf-8", "replace").split(end.decode())
        except OSError:
            continue
        program, *rest = words
        if name := os.path.basename(program.split(" ")[0]) or program:
            said = " ".join([name, *_harmless(rest)])
            shown = "".join(character if character.isprintable() else "\ufffd" for character in said)
            return shown if len(shown) <= MAX_NAME else shown[: MAX_NAME - 1] + "…"
    return "?"


def _harmless(words: Sequence[str]) -> list[str]:
    """The arguments of a program up to the first that could have a password in it: a run's record is read by others."""
    told = takewhile(lambda word: word == "-m" or (word and word[0] != "-" and not _TELLING & set(word)), words)
    return list(islice(told, MAX_WORDS))


def _own_number(pid: int) -> int:
    """The pid in the innermost namespace of a process (proc(5), /proc/pid/status, NSpid)."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            for line in status:
                if line.startswith("NSpid:"):
                    return int(line.split()[-1])
    except OSError:
        pass  # it has ended meanwhile
    return pid
