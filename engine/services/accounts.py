"""Accounts and groups of this host by name.

A directory service may answer late or never. It is asked on threads of its own, which nothing else waits for and which
do not keep the engine from ending.
"""

from __future__ import annotations

import asyncio
import grp
import pwd
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from engine.services.access import user_name

Answer = TypeVar("Answer")

PATIENCE = 2.0
"""Seconds that a caller waits for its account's name; then it goes on without one."""

AT_ONCE = 4
"""Look-ups of names at a time."""

KNOWN = 4096
"""Names that are remembered."""

OVERFLOW = 65_534
"""What the kernel reports for accounts of other user namespaces (user_namespaces(7)), by the name nobody."""


class UnknownName(Exception):
    """This host knows no account, or no group, of this name, or none that can have a role."""


def account(name: str) -> int:
    """Return the uid of the account ``name``. Blocks.

    Raises:
        UnknownName: There is none, or it stands for many.
    """
    return _id_of("account", name, lambda: pwd.getpwnam(name).pw_uid)


def group(name: str) -> int:
    """Return the gid of the group ``name``. Blocks.

    Raises:
        UnknownName: There is none, or it stands for many.
    """
    return _id_of("group", name, lambda: grp.getgrnam(name).gr_gid)


def _id_of(kind: str, name: str, look_up: Callable[[], int]) -> int:
    try:
        found = look_up()
    except KeyError:
        raise UnknownName(f"there is no {kind} {name!r} on this host") from None
    if found == OVERFLOW:
        raise UnknownName(f"the {kind} {name} cannot have a role, since processes of any container can look like it")
    return found


async def ask(work: Callable[[], Answer]) -> Answer:
    """Do ``work``, which asks the directory, on a thread that may hang. Cancelling leaves it to itself."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()

    def tell(result: Answer | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    def call() -> None:
        try:
            result, error = work(), None
        except Exception as failure:  # noqa: BLE001 - it is the caller's
            result, error = None, failure
        with suppress(RuntimeError):  # the loop is closed: nothing waits for it any longer
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=call, name="directory", daemon=True).start()
    return await answer


class AccountNames:
    """Names of accounts by uid; each one is looked up once."""

    def __init__(self, lookup: Callable[[int], str] = user_name) -> None:
        self._lookup = lookup
        self._names: dict[int, str] = {}
        self._asking: dict[int, asyncio.Task[str]] = {}

    def of(self, uid: int) -> str:
        """Return the name as far as it is known, else ``uid 1234``."""
        return self._names.get(uid, f"uid {uid}")

    def known(self, uid: int) -> bool:
        return uid in self._names

    def note(self, uid: int, name: str) -> None:
        """Remember a name that was found otherwise."""
        if len(self._names) >= KNOWN:
            self._names.pop(next(iter(self._names)))
        self._names[uid] = name

    async def learn(self, uid: int) -> None:
        """Look up a name. Returns after ``PATIENCE`` seconds at the latest; the answer is taken when it comes."""
        task = self._asking.get(uid)
        if task is None:
            if len(self._asking) >= AT_ONCE:
                return
            task = self._asking[uid] = asyncio.create_task(ask(lambda: self._lookup(uid)), name="account name")
            task.add_done_callback(lambda done: self._answered(uid, done))
        await asyncio.wait({task}, timeout=PATIENCE)

    def _answered(self, uid: int, task: asyncio.Task[str]) -> None:
        self._asking.pop(uid, None)
        if not task.cancelled() and task.exception() is None:
            self.note(uid, task.result())
