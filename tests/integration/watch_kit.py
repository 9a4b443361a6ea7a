"""A folder of scripts with a watch over it, real files and a real index, and bells that fail as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from engine.models.base import Event
from engine.models.scripts import OutsideChange
from engine.services.events import EventBus, Subscription
from engine.services.sync.notifiers import MakeNotifier
from engine.services.sync.watch import WatchService
from store.files.scripts import ScriptFiles
from store.index.reconcile import Reconciler
from store.watch.folders import Watched
from store.watch.notifier import CannotWatch, ChangeNotifier

PATIENCE = 20.0


class Scene:
    """What a test does things to, and hears events of."""

    def __init__(self, root: Path, reconciler: Reconciler, watch: WatchService, events: EventBus) -> None:
        self.root = root
        self.scripts = root / "scripts"
        self.reconciler = reconciler
        self.watch = watch
        self.events = events
        self.heard: list[Event] = []
        self.notifiers: list[MutedNotifier] = []
        self._subscription: Subscription = events.subscribe(0)

    async def next(self, type_: str) -> Event:
        """The next event of a type."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for number, event in enumerate(self.heard):
                    if event.type == type_:
                        return self.heard.pop(number)
                self.heard += await anext(self._subscription)

    async def change(self) -> OutsideChange:
        """The next outside change."""
        data = (await self.next("script")).data
        assert isinstance(data, OutsideChange)
        return data

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a state."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - of objects that know nothing of a test's events
                await asyncio.sleep(0.01)

    async def nothing_more(self) -> None:
        """A change that is heard now is the next one that is told: nothing before it was."""
        (self.scripts / "last_word.py").write_text("pass\n")
        assert (await self.change()).paths == ["last_word.py"]
        assert [event for event in self.heard if event.type == "script"] == []

    async def paths(self) -> list[str]:
        return [row.path for row in await self.reconciler.scripts()]

    def listening(self) -> Subscription:
        return self._subscription


class BrokenNotifier:
    """Cannot be hung."""

    works = False
    ended = True

    def __init__(self, *_: object) -> None:
        pass

    async def armed(self) -> None:
        raise CannotWatch("this account has no inotify watches left", "Raise fs.inotify.max_user_watches with sysctl.")

    def take_down(self) -> None:
        pass

    async def gone(self) -> None:
        pass


class MutedNotifier(BrokenNotifier):
    """Hangs, and tells nothing until a test rings it."""

    works = True

    def __init__(self, _: Sequence[str], __: Callable[[str], bool], rang: Callable[[Sequence[str]], None]) -> None:
        self.ring = rang

    async def armed(self) -> None:
        pass


@asynccontextmanager
async def scene(root: Path, make_notifier: MakeNotifier = ChangeNotifier) -> AsyncIterator[Scene]:
    """A watch that has taken its first look."""
    (root / "scripts").mkdir(parents=True, exist_ok=True)
    (root / "history").mkdir()
    reconciler = await Reconciler.open(ScriptFiles(root / "scripts", root / "history"), root / "index.db")
    events = EventBus()
    notifiers: list[MutedNotifier] = []

    def make(*args: object) -> object:
        notifiers.append(make_notifier(*args))  # type: ignore[arg-type]
        return notifiers[-1]

    watch = WatchService(Watched(root), reconciler, events, make)  # type: ignore[arg-type]
    running = asyncio.create_task(watch.run())
    made = Scene(root, reconciler, watch, events)
    made.notifiers = notifiers
    try:
        with made.listening():
            await made.until(lambda: watch._signs is not None)
            yield made
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        async with asyncio.timeout(PATIENCE):
            await watch.gone()
        await reconciler.close()
