"""The console's line to its engine: connect, listen, notice that it is gone, come back.

The connection knows no widget. It tells what happened by messages to one function; the app hands them to its screens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec
from textual.message import Message

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.starter import LaunchError
from engine.client.target import REFUSED, Target
from engine.models.access import AccessInfo
from engine.models.base import Event
from engine.models.engine import EngineInfo, PoolInfo
from engine.models.runs import RunInfo
from engine.models.scripts import OutsideChange
from engine.models.sync import TaskInfo
from engine.registry.access import ACCESS_SELF
from engine.registry.engine import ENGINE_INFO, POOL_INFO
from tui.messages import (
    DocumentsChanged,
    EngineAway,
    EngineConnected,
    GitChanged,
    PoolChanged,
    RunChanged,
    RunsMissed,
    ScriptsChanged,
    TaskChanged,
    TaskTold,
)
from tui.text.document_names import shown_path

RETRY_AFTER = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts; the last one repeats."""

TOKEN_LOOK = 2.0
"""Seconds between looks at the token's file while the engine does not let this client in."""

REFUSALS = frozenset({401, 403, 429})
"""Statuses of an engine that does not let this client in."""

STOPPED = "The engine was stopped."


NO_ACCESS = AccessInfo(name="", role="", default_mode="")
"""Stands for what the owner of a project's folder may do: everything."""


class ConnectionState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    AWAY = "away"


class EngineConnection:
    """Keeps a client connected to an engine and starts the engine of a folder when none answers.

    An engine that says that it stops was stopped by somebody: then the connection waits for it to come back, or for
    ``retry``, and does not start it behind that person's back.

    Args:
        target: The engine that is meant.
        publish: Gets a message for everything that happens.
    """

    def __init__(self, target: Target, publish: Callable[[Message], None]) -> None:
        self._target = target
        self._publish = publish
        self._client: EngineClient | None = None
        self._wake = asyncio.Event()
        self._may_start = True
        self._last_seq: int | None = None
        self._reason = ""
        self._barred = False
        self._token_seen: tuple[int, ...] | None = None
        self._access = NO_ACCESS
        self._refusal: EngineError | None = None
        self._look: asyncio.Task[None] | None = None
        self.state = ConnectionState.CONNECTING
        self.connected = asyncio.Event()
        """Set while a client is connected."""
        self.info: EngineInfo | None = None
        self.pool: PoolInfo | None = None
        self.problem = ""
        """Why no client is connected, and what to do; empty while one is, and before the first attempt."""

    @property
    def role(self) -> str:
        """This user's, of an engine elsewhere; empty in a project's folder, whose owner may do everything."""
        return self._access.role

    @property
    def narrow(self) -> str:
        """What to say in place of asking for what a token for some scripts never gets; empty where it may be asked."""
        scripts = self._access.scripts
        return f"This token is for some scripts only: {', '.join(scripts)}." if scripts else ""

    @property
    def client(self) -> EngineClient:
        """The connected client.

        Raises:
            EngineUnreachable: There is none right now.
        """
        if self._client is None:
            raise EngineUnreachable("The engine is not connected.", "Try again when it is back; the text stays here.")
        return self._client

    @property
    def is_elsewhere(self) -> bool:
        """Whether the engine has no folder here: then this console neither starts it nor may it do everything."""
        return self._target.folder is None

    @property
    def folder(self) -> Path:
        """Where relative paths start that a person types: in the project's folder, else in the current one."""
        return self._target.folder or Path()

    async def run(self) -> None:
        """Hold the connection until cancelled; it can be run again."""
        attempt = 0
        self._may_start = True
        try:
            while True:
                self._token_seen = self._token_state()
                if await self._open():
                    attempt = 0
                    await self._listen()
                    await self._drop()
                if self._barred:
                    await self._until_asked()
                else:
                    await self._pause(RETRY_AFTER[min(attempt, len(RETRY_AFTER) - 1)])
                attempt += 1
        finally:
            self.connected.clear()
            self.state, self._reason = ConnectionState.CONNECTING, ""
            await self._drop()

    def aim(self, target: Target) -> None:
        """Reach the engine in another way, at once if it is away."""
        self._target = target
        self.retry()

    def retry(self) -> None:
        """Try now, and start the engine even if somebody stopped it."""
        self._may_start = True
        self._wake.set()

    async def _open(self) -> bool:
        """Try once to get a client that answers; False, and the reason published, if there is none."""
        try:
            client = await self._target.connect("console", start=self._may_start)
        except (LaunchError, EngineUnreachable, EngineError) as error:
            self._away(error.message, error.hint, refused=isinstance(error, LaunchError) and error.exit_code == REFUSED)
            return False
        try:
            info = await client.call(ENGINE_INFO)
            access = await client.call(ACCESS_SELF) if self.is_elsewhere else NO_ACCESS
            # What a caller may not see and did not ask for must not stand in the audit as if it had tried.
            pool = None if access.scripts else await client.call(POOL_INFO)
        except (EngineUnreachable, EngineError) as error:
            await client.close()
            self._away(error.message, error.hint, refused=isinstance(error, EngineError) and error.status in REFUSALS)
            return False
        if self.info is None or (info.pid, info.started_at) != (self.info.pid, self.info.started_at):
            # A new engine counts its events from the start. Listen from this answer on, not from when the stream is
            # open: what changes between the first lists and that would reach nobody.
            self._last_seq = info.last_event
        self._client, self.info, self.pool, self._access = client, info, pool, access
        client.on_doubt = self._look_at_role
        self.state = ConnectionState.CONNECTED
        self.connected.set()
        self._may_start, self._reason, self.problem = True, "", ""
        self._publish(EngineConnected(info, access.role))
        if pool is not None:
            self._publish(PoolChanged(pool))
        return True

    async def _listen(self) -> None:
        """Publish events until the engine is gone."""
        reason, hint, refused = "The engine stopped answering.", None, False
        refusal = self._refusal = None
        try:
            async for event in self.client.events(after=self._last_seq):
                self._last_seq = event.seq
                self._handle(event)
        except EngineUnreachable as error:
            hint, refusal = error.hint, self._refusal
        except EngineError as error:
            reason, hint, refusal = error.message, error.hint, error
        if refusal is not None and (refused := refusal.status in REFUSALS):
            reason, hint = f"{self._target.name} does not let this client in: {refusal.message}", refusal.hint
        if not self._may_start:
            reason, hint = STOPPED, None
        self._away(reason, hint, refused=refused)

    def _look_at_role(self) -> None:
        """Ask for the caller's role, and tell the screens if it is another one: it was given, taken, or the token's."""
        client = self._client
        if self.is_elsewhere and client is not None and (self._look is None or self._look.done()):
            self._look = asyncio.create_task(self._looked_at_role(client))

    async def _looked_at_role(self, client: EngineClient) -> None:
        try:
            access = await client.call(ACCESS_SELF)
            if access == self._access or client is not self._client or self.info is None:
                return
            pool = None if access.scripts else await client.call(POOL_INFO)
        except EngineUnreachable:
            return  # the events end, too
        except EngineError as error:
            if error.status in REFUSALS:
                self._refusal = error  # the events of a token that was revoked would end with the next one only
                await client.close()
            return
        self._access, self.pool = access, pool
        self._publish(EngineConnected(self.info, access.role))
        if pool is not None:
            self._publish(PoolChanged(pool))

    def _handle(self, event: Event) -> None:
        match event.type:
            case "pool":
                self.pool = msgspec.convert(event.data, PoolInfo)
                self._publish(PoolChanged(self.pool))
            case "run":
                self._publish(RunChanged(msgspec.convert(event.data, RunInfo)))
            case "script":
                self._tell_of_scripts(_scripts_changed(event.data))
            case "document":
                self._tell_of_documents(_documents_changed(event.data))
            case "git":
                self._publish(GitChanged())
            case "task":
                self._publish(TaskChanged(msgspec.convert(event.data, TaskInfo)))
            case "task_output" if isinstance(event.data, dict):
                self._publish(TaskTold(int(event.data.get("id", 0)), str(event.data.get("text", ""))))
            case "lagged":
                self._publish(RunsMissed())
                self._publish(ScriptsChanged())
                self._publish(DocumentsChanged())
                self._publish(GitChanged())
            case "engine" if isinstance(event.data, dict) and event.data.get("state") == "stopping":
                self._may_start = False

    def _tell_of_scripts(self, changed: ScriptsChanged) -> None:
        self._publish(changed)
        if changed.outside is not None and changed.has_changes:
            self._publish(GitChanged())  # what is changed in the worktree

    def _tell_of_documents(self, changed: DocumentsChanged) -> None:
        self._publish(changed)
        if changed.outside:
            self._publish(GitChanged())

    def _away(self, reason: str, hint: str | None, *, refused: bool = False) -> None:
        """Say once that the engine is away; the same reason again is no news."""
        self.connected.clear()
        self.problem = f"{reason} {hint}" if hint else reason
        self._barred = refused and self.is_elsewhere
        if self.state is ConnectionState.AWAY and reason == self._reason:
            return
        self.state, self._reason = ConnectionState.AWAY, reason
        self._publish(EngineAway(reason, hint, refused=self._barred))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _until_asked(self) -> None:
        """Wait for ``retry``, or for another token: each attempt with one that was refused counts against this host."""
        while self._token_state() == self._token_seen:
            try:
                async with asyncio.timeout(TOKEN_LOOK):
                    await self._wake.wait()
            except TimeoutError:
                continue
            break
        self._wake.clear()

    def _token_state(self) -> tuple[int, ...] | None:
        """Tell one content of the token's file from another; None where there is none."""
        if self._target.token_file is None:
            return None
        try:
            info = self._target.token_file.stat()
        except OSError:
            return None
        return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns

    async def _drop(self) -> None:
        if self._look is not None:
            self._look.cancel()
        client, self._client, self.pool = self._client, None, None
        if client is not None:
            await client.close()


def _scripts_changed(data: object) -> ScriptsChanged:
    if not isinstance(data, dict):
        return ScriptsChanged()
    if data.get("change") == "outside":
        return ScriptsChanged(outside=msgspec.convert(data, OutsideChange))
    path = data.get("path")
    return ScriptsChanged(path if isinstance(path, str) else None)


def _documents_changed(data: object) -> DocumentsChanged:
    if not isinstance(data, dict):
        return DocumentsChanged()
    path = data.get("path")
    return DocumentsChanged(
        shown_path(path) if isinstance(path, str) else None, outside=data.get("change") == "outside"
    )


@contextlib.contextmanager
def problems_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Turn what the engine refuses, or that it is away, into one sentence for the user."""
    try:
        yield
    except (EngineError, EngineUnreachable) as error:
        tell(f"{error.message} {error.hint}" if error.hint else error.message)
