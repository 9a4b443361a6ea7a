"""A project with a real engine, and the console on it, driven by keys; waits for states, never for times.

A key is dealt with when no call to the engine and no thread is under way either.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
from quiet import QuietPilot
from textual import events

from default_scripts import Bundle
from engine.client import launch
from engine.client.calls import Calls
from engine.client.target import Target
from engine.registry.operation import Operation
from store.project import Project
from tui.app import GatewrightApp, Preferences
from tui.editing.recovery import RecoveryJournal

PATIENCE = 20.0
"""Seconds until a state that does not come fails the test."""

POLL = 0.01


def allow_admin(root: Path) -> None:
    """Let a new project have ADMIN runs also where the tests run as root; before its engine starts."""
    set_policy(root, "admin_as_root = true")


def set_policy(root: Path, policy: str) -> None:
    """Settings of a new project, before its engine starts."""
    write_settings(root, f"[policy]\n{policy}\n")


def write_settings(root: Path, text: str) -> None:
    """Give a new project settings of its own, before its engine starts."""
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    settings = root / ".gatewright/settings.toml"
    settings.write_text(text)
    settings.chmod(0o600)


FEW = ("csv_summary.py", "log_digest.py", "tour.py", "live_sqlite.py", "tag_history.csv", "wrapper.log")
"""The default scripts and samples that most console tests' projects have."""


@contextmanager
def engine_project(
    root: Path, *, admin: bool = False, policy: str = "", settings: str = "", bundled: bool = False
) -> Iterator[Path]:
    """A new project with its engine running; the engine is gone afterwards.

    Args:
        bundled: With all default scripts. Elsewhere there are few, so that a test's own are in sight below them, and
            pictures stay as they are when there are more.
    """
    root.mkdir(parents=True)
    if admin:
        policy = "admin_as_root = true"
    if policy:
        set_policy(root, policy)
    if settings:
        write_settings(root, settings)
    if not bundled:
        for path in Project.create(root, Bundle().files).seeded:
            if path.startswith(("scripts/defaults/", "documents/samples/")) and Path(path).name not in FEW:
                (root / path).unlink()  # as if its user had deleted it: it does not come again

    async def start() -> None:
        await (await launch.connect(root, client="console")).close()

    asyncio.run(start())
    try:
        yield root
    finally:
        asyncio.run(launch.stop(root, client="cli", force=True))


def write_script(project: Path, path: str, text: str) -> None:
    """Put a script where the engine finds it."""
    file = project / "scripts" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def screen_text(app: GatewrightApp) -> str:
    """What the terminal would show now, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


class UnderWay:
    """Counts the calls to engines and the threads that are not done yet."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Meanwhile whatever begins is counted, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Calls, "call", self._counted(Calls.call))
            patch.setattr(asyncio, "to_thread", self._counted(asyncio.to_thread))
            yield

    def _counted(self, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(work)
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            try:
                return await work(*args, **kwargs)
            finally:
                self.count -= 1

        return counted


class ConsolePilot(QuietPilot):
    """Presses keys of the console."""

    def __init__(self, app: GatewrightApp, under_way: UnderWay) -> None:
        super().__init__(app)
        self._under_way = under_way
        self._keys = app._keys

    def busy(self) -> bool:
        return bool(self._under_way.count) or not self._keys._waiting.empty() or super().busy()


class Console:
    """The console under test."""

    def __init__(self, app: GatewrightApp, pilot: ConsolePilot) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def text(self) -> str:
        return screen_text(self.app)

    def answer(
        self, monkeypatch: pytest.MonkeyPatch, operation: Operation[Any, Any, Any], answer: Callable[..., Any] | None
    ) -> None:
        """Let ``answer`` stand in for the engine in calls of ``operation``."""
        client = self.app._connection.client
        real = client.call

        def call(asked: Operation[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
            return (answer if asked is operation else partial(real, asked))(*args, **kwargs)

        monkeypatch.setattr(client, "call", call)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """All of it at once, as a fast typist on a slow line."""
        for character in text:
            key = events.Key("enter", "\r") if character == "\n" else events.Key(character, character)
            self.pilot.send(key)
        await self.pilot.settled()

    async def settled(self) -> None:
        """Wait until all that was asked of the console is done, and shown."""
        await self.pilot.settled()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a state."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}\n{self.text}")
            await asyncio.sleep(POLL)
            self.pilot.draw()

    async def shows(self, *texts: str) -> None:
        """Wait until the screen shows all of these."""
        await self.until(lambda: all(text in self.text for text in texts), f"the screen shows {texts}")

    async def hides(self, text: str) -> None:
        """Wait until the screen does not show this."""
        await self.until(lambda: text not in self.text, f"the screen is without {text!r}")

    async def told(self, text: str) -> None:
        """Wait until a message says this, however it is wrapped."""
        said: dict[str, None] = {}

        def told() -> bool:
            said.update(dict.fromkeys(one.message for one in self.app._notifications))
            return any(text in message for message in said)

        try:
            await self.until(told, f"a message says {text!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\ntold instead: {list(said)}") from None

    async def lists(self, path: str) -> None:
        """Wait until the list of scripts has this one, wherever the list is scrolled to."""
        scripts = self.app._console.script_pane
        await self.until(lambda: scripts.info(path) is not None, f"{path} is listed")

    async def open(self, path: str) -> None:
        """Open a script by quick open, once the list has it."""
        await self.lists(path)
        await self.press("ctrl+o")
        await self.shows("open a script")
        await self.type(path)
        await self.press("enter")
        await self.until(lambda: path in self.text.splitlines()[0], f"{path} is open")


@asynccontextmanager
async def console(
    project: Path | Target,
    state: Path,
    *,
    size: tuple[int, int] = (80, 24),
    open_script: str | None = None,
    sixteen_colours: bool = False,
    place: str = "gw-01:/srv/plant-a",
) -> AsyncIterator[Console]:
    """The console on a project or an engine elsewhere, connected; its colours are not left to the tests' terminal."""
    target = launch.LocalTarget(project) if isinstance(project, Path) else project
    journal = RecoveryJournal(target.key, state / "recovery")
    app = GatewrightApp(
        target,
        open_script,
        journal,
        place=place,
        preferences=Preferences(sixteen_colours=sixteen_colours),
    )
    under_way = UnderWay()
    with under_way.counting():
        async with app.run_test(size=size, notifications=True):
            yield Console(app, ConsolePilot(app, under_way))
