"""A change notifier: tells that something may have changed in some folders, by inotify through watchfiles.

It is never the truth: watchfiles drops events without a word when the kernel's queue overflows, and a file name that is
no Unicode breaks it. Whoever hears it looks for himself.

The folders are named one by one and watched without what is below: a recursive watch would follow symbolic links, and
one link to ``/`` would take every watch that this account may have.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

STEP_MS = 100
"""How often watchfiles' thread looks whether inotify told anything: it has no way to wait. Costs 0.04 % of a core."""

_FOREVER = 0
_NO_WATCHES = re.compile(r"file watch limit|No space left", re.IGNORECASE)
_NO_INSTANCES = re.compile(r"Too many open files", re.IGNORECASE)


class CannotWatch(Exception):
    """inotify does not work here, or not now.

    Args:
        reason: Half a sentence.
        advice: What to do about it, a sentence; may be empty.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


class ChangeNotifier:
    """Watches from when it is made until it is taken down or breaks. To be made in the event loop, which it calls.

    Args:
        folders: Absolute paths.
        concerns: Whether a path is worth a notice; called in the notifier's own thread.
        notified: Called in the event loop with such paths, and with none when the notifier broke.
    """

    def __init__(
        self, folders: Sequence[str], concerns: Callable[[str], bool], notified: Callable[[Sequence[str]], None]
    ) -> None:
        self._folders = folders
        self._concerns = concerns
        self._notified = notified
        self._loop = asyncio.get_running_loop()
        self._armed: asyncio.Future[None] = self._loop.create_future()
        self._stop = threading.Event()
        self._broken = False
        # A daemon: whatever goes wrong, it must not keep the process alive. Its end is waited for all the same.
        self._thread = threading.Thread(target=self._watch, name="change notifier", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether its thread is no more."""
        return not self._thread.is_alive()

    @property
    def works(self) -> bool:
        return not self._broken

    async def armed(self) -> None:
        """Wait until nothing can happen unheard.

        Raises:
            CannotWatch: The notifier is broken.
            FileNotFoundError: One of the folders is not there any more.
        """
        await self._armed

    def take_down(self) -> None:
        """Ring no more, from now on. Its thread ends within a step."""
        self._broken = True
        self._stop.set()

    async def gone(self) -> None:
        """Wait for the end of a notifier that was taken down."""
        await asyncio.to_thread(self._thread.join)

    def _watch(self) -> None:
        try:
            with _notify(self._folders) as notify:
                self._call(self._is_armed)
                self._listen(notify)
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to hear that nobody watches any more
            self._call(self._breaks, error)

    def _listen(self, notify: RustNotify) -> None:
        while True:
            found = notify.watch(STEP_MS, STEP_MS, _FOREVER, self._stop)
            if isinstance(found, str):
                return
            paths = [path for _, path in found if self._concerns(path)]
            if paths:
                self._call(self._notices, paths)

    def _call(self, what: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody is left to hear it
            self._loop.call_soon_threadsafe(what, *args)

    def _is_armed(self) -> None:
        if not self._armed.done():
            self._armed.set_result(None)

    def _notices(self, paths: Sequence[str]) -> None:
        if not self._broken:
            self._notified(paths)

    def _breaks(self, error: Exception) -> None:
        if self._broken:
            return
        self._broken = True
        if not self._armed.done():
            self._armed.set_exception(error if isinstance(error, FileNotFoundError) else _explained(error))
        else:
            self._notified(())


def try_out(folders: Sequence[str]) -> None:
    """See whether the folders can be watched now. Blocks.

    Raises:
        CannotWatch: They cannot.
    """
    try:
        _notify(folders).close()
    except Exception as error:
        raise _explained(error) from error


def _notify(folders: Sequence[str]) -> RustNotify:
    from watchfiles._rust_notify import RustNotify  # takes its time, and nobody waits in this thread

    return RustNotify(list(folders), False, False, 0, False, False)


def _explained(error: Exception) -> CannotWatch:
    text = str(error)
    if _NO_WATCHES.search(text):
        return CannotWatch(
            f"this account has no inotify watches left ({_limit('max_user_watches')})",
            "Raise fs.inotify.max_user_watches with sysctl.",
        )
    if _NO_INSTANCES.search(text):
        return CannotWatch(
            f"this account has no inotify instances or file descriptors left ({_limit('max_user_instances')})",
            "Raise fs.inotify.max_user_instances with sysctl.",
        )
    return CannotWatch(f"inotify does not work here ({text})")


def _limit(name: str) -> str:
    try:
        with open(f"/proc/sys/fs/inotify/{name}", encoding="ascii") as file:
            return f"the limit is {file.read().strip()}"
    except OSError:
        return "the limit is not known"
