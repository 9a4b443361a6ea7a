"""What goes on with packages: a change that was begun here, or by another administrator, with its output."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from textual.message import Message

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.models.packages import PackagePlan
from engine.models.sync import TaskInfo
from engine.registry.packages import PACKAGES_INSTALL_BUNDLE, EnvironmentParams
from engine.registry.sync import TASKS_CANCEL, TASKS_LIST, TaskParams
from tui.connection import EngineConnection
from tui.messages import PackageWorkChanged
from tui.text.sanitise import sanitise_line

KIND = "packages"
"""Of the tasks that change environments."""

KEPT_LINES = 200
PIECE = 1 << 20


class NotRead(Exception):
    """A bundle cannot be read here; the message is a sentence."""


class PackageChanges:
    """Begins changes of packages, which go on whatever screen is shown, and keeps what they tell.

    Args:
        connection: To the engine, which does the work.
        publish: Tells every screen.
        begin: Starts work in the background.
        notify: Tells the user what was done.
        notify_error: Tells the user what did not work.

    Attributes:
        task: The change that goes on.
        lines: What it told so far, or the last one did; free of control characters.
        outcome: How the last one that was begun here ended, a sentence.
        failed: It did not do what it was to do.
        watched: A screen shows all of this: what is told besides would cover it.
    """

    def __init__(
        self,
        connection: EngineConnection,
        publish: Callable[[Message], None],
        begin: Callable[[Callable[[], Awaitable[None]]], None],
        notify: Callable[[str], None],
        notify_error: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._publish = publish
        self._begin = begin
        self._notify = notify
        self._notify_error = notify_error
        self._asked = ""
        self._newest = 0
        self.task: TaskInfo | None = None
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.outcome = ""
        self.failed = False
        self.watched = False

    @property
    def doing(self) -> str:
        """What goes on, and how far it is; empty for nothing."""
        task = self.task
        if task is None:
            return self._asked
        count = f" {task.done:,}/{task.total:,}" if task.total else ""
        return sanitise_line(f"{self._asked or f'packages by {task.actor}'}: {task.doing or 'begins'}{count}")

    def begin(self, what: str, ask: Callable[[EngineClient], Awaitable[str]]) -> None:
        """Begin a change.

        Args:
            what: Names it, in a few words.
            ask: Has the engine do it, and returns the sentence that says so. Raises what the client raises, or
                ``NotRead``.
        """
        if self._asked or self.task is not None:
            self._notify_error("Packages are being changed: wait for the end of that, or cancel it.")
            return
        self._asked, self.outcome, self.failed = what, "", False
        self.lines.clear()
        self._publish(PackageWorkChanged())

        async def work() -> None:
            try:
                self.outcome = await ask(self._connection.client)
                self._notify(self.outcome)
            except (EngineError, EngineUnreachable) as error:
                self._fail(f"{error.message} {error.hint}" if error.hint else error.message)
            except NotRead as error:
                self._fail(str(error))
            finally:
                self._asked = ""
                self._publish(PackageWorkChanged(ended=True))

        self._begin(work)

    def heard_task(self, task: TaskInfo) -> None:
        """Take the news of a task."""
        if task.kind != KIND:
            return
        if task.finished_at is not None:
            self.task = None
        else:
            if task.id != self._newest:  # its events may come behind the answer to the call that began it
                self._newest = task.id
                self.lines.clear()
            self.task = task
        self._publish(PackageWorkChanged(ended=task.finished_at is not None))

    def heard_line(self, number: int, text: str) -> None:
        """Take a line that a task told."""
        if self.task is not None and self.task.id == number:
            self.lines.append(sanitise_line(text))
            self._publish(PackageWorkChanged())

    def forget(self) -> None:
        """The engine may be another one, whose tasks have the same numbers."""
        self.task = None
        self._publish(PackageWorkChanged(ended=True))

    async def cancel(self) -> bool:
        """Cancel the change that goes on; False if there is none.

        Raises:
            EngineError: The engine refuses.
            EngineUnreachable: There is no engine.
        """
        client = self._connection.client
        going_on = [
            task for task in (await client.call(TASKS_LIST)).tasks if task.kind == KIND and task.finished_at is None
        ]
        for task in going_on:
            await client.call(TASKS_CANCEL, TaskParams(task_id=task.id))
        return bool(going_on)

    def _fail(self, sentence: str) -> None:
        self.outcome, self.failed = sentence, True
        if not self.watched:
            self._notify_error(sentence)


async def send_bundle(client: EngineClient, file: Path, environment: str) -> PackagePlan:
    """Hand the engine a bundle that this process reads, with the rights of its user.

    Raises:
        NotRead: The file cannot be read.
        EngineError: The engine refuses the bundle; nothing was changed.
        EngineUnreachable: There is no engine.
    """
    try:
        stream = await asyncio.to_thread(file.open, "rb")
    except OSError as error:
        raise NotRead(f"{file} cannot be read: {error.strerror}.") from None

    async def pieces() -> AsyncIterator[bytes]:
        while data := await asyncio.to_thread(stream.read, PIECE):
            yield data

    try:
        size = (await asyncio.to_thread(file.stat)).st_size
        return await client.send(PACKAGES_INSTALL_BUNDLE, EnvironmentParams(environment=environment), pieces(), size)
    except OSError as error:
        raise NotRead(f"{file} cannot be read: {error.strerror}.") from None
    finally:
        stream.close()
