"""The engine as a process: puts library, API and socket together, and decides when to leave.

Exactly one engine serves a project: whoever holds its lifetime lock. Everything else (socket file, log, readiness pipe)
may fail or be found stale without doubt about that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from engine import spare
from engine.api.app import build_app
from engine.api.event_wire import EventWire
from engine.api.server import EngineServer
from engine.client.ownership import become_owner, owner_of, owner_to_become
from engine.client.starter import LaunchError, Readiness, prepare_folders
from engine.config import ConfigError, Settings
from engine.daemon import logs, process
from engine.daemon.idle import SocketPlace, until_idle
from engine.daemon.listening import TcpPlace, as_typed
from engine.daemon.service_manager import ServiceManager
from engine.daemon.shared import GROUP, RuntimeFolder
from engine.daemon.upgrade import InstalledVersion
from engine.library import Engine
from engine.lock import AlreadyRunning, LifetimeLock
from engine.models.base import API_VERSION, VERSION
from engine.models.engine import EngineInfo
from engine.paths import EnginePaths
from engine.pool.environment import EnvironmentProblem
from engine.sandbox import cgroup
from engine.sandbox.probe import FINDINGS_FILE
from engine.sockets import NotPrivate
from store.errors import StoreError
from store.read_only import FullDiskProject

log = logging.getLogger("engine.daemon")

EXIT_FAILED = 3
LAST_RESORT = 15
"""Seconds for an orderly end. A process that hangs longer is killed by its own alarm; its children die with it."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How an engine was started.

    Attributes:
        background: Detached by a client: it leaves when idle, and a hang-up of somebody's terminal is not its business.
        ready_fd: Where to report that it is ready, or why not.
        idle_exit: Seconds, instead of the setting; 0 is never.
        become: Root may become the project's owner.
        listen: Settings of ``[listen]`` from the command line, by key.
        shared: The ID under which members of ``group`` find the project; empty where it is not shared.
    """

    project: Path
    background: bool = False
    ready_fd: int | None = None
    idle_exit: float | None = None
    pool_size: int | None = None
    become: bool = True
    listen: Mapping[str, str] = field(default_factory=dict)
    shared: str = ""
    group: str = GROUP


class ReadinessReport:
    """Reports that this engine is ready, or why not, to what started it: a client by a pipe, or a service manager."""

    def __init__(self, fd: int | None, manager: ServiceManager) -> None:
        self._fd = fd
        self._manager = manager
        if fd is not None:
            # The reader waits for its end: no process that the engine starts may hold it open.
            os.set_inheritable(fd, False)

    def ready(self, status: str) -> None:
        self._send(Readiness(pid=os.getpid()))
        self._manager.ready(status)

    def failed(self, sentence: str, hint: str | None) -> None:
        # A full disk, where stderr is a file, must not keep it from whoever waits.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{sentence}{f' {hint}' if hint else ''}\n")
        self._manager.failed(sentence)
        self._send(Readiness(pid=os.getpid(), error=sentence, hint=hint))

    def _send(self, readiness: Readiness) -> None:
        if self._fd is None:
            return
        # Whoever waited may be gone; that changes nothing for the engine.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._fd, msgspec.json.encode(readiness))
        os.close(self._fd)
        self._fd = None


class Daemon:
    """One serving engine: what the API calls its host."""

    def __init__(
        self,
        engine: Engine,
        paths: EnginePaths,
        lock: LifetimeLock,
        engine_log: logs.EngineLog,
        tcp: TcpPlace | None,
        shared: RuntimeFolder | None,
        manager: ServiceManager,
    ) -> None:
        self.engine = engine
        self.wire = EventWire(secrets.token_hex(4))
        self.stopping = asyncio.Event()
        self._paths = paths
        self._log = engine_log
        self.recent_log = engine_log.recent
        self._background = False
        self._installed = InstalledVersion()
        self._started_at = time.time()
        self._app = build_app(self)
        self._server = EngineServer(self._app)
        self._place = SocketPlace(paths, lock, self._server, shared)
        self._tcp = tcp
        self._shared = shared
        self._manager = manager
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False

    @property
    def in_flight(self) -> int:
        return self.engine.policy.access.in_flight

    def info(self) -> EngineInfo:
        problems = [*self.engine.problems, self._log.problem, *self._place.problems, self._installed.problem()]
        if self._tcp is not None:
            problems.append(self._tcp.problem)
        if self._shared is not None:
            problems.append(self._shared.unread(self._paths.home / "settings.toml"))
        return EngineInfo(
            version=VERSION,
            background=self._background,
            replaced=self._installed.replaced,
            api_version=API_VERSION,
            pid=os.getpid(),
            project=str(self._paths.project),
            owner=self.engine.owner.name,
            started_at=self._started_at,
            isolation=self.engine.pool_service.info().isolation,
            level=self.engine.modes.restricted.level,
            admin=self.engine.modes.admin.refusal or "",
            python=self.engine.pool.environment.version,
            log_file=str(self._paths.log) if self._log.in_file else "",
            last_event=self.engine.events.last_seq,
            shared="" if self._shared is None else self._shared.id,
            listening=[] if self._tcp is None else self._tcp.urls,
            disk_full=isinstance(self.engine.project, FullDiskProject),
            problems=[problem for problem in problems if problem],
        )

    def stop(self) -> None:
        """Begin to leave: listeners hear of it, then every stream ends."""
        if self.stopping.is_set():
            return
        signal.alarm(LAST_RESORT)
        self._manager.stopping()
        self.engine.events.publish("engine", {"state": "stopping"})
        self.engine.events.close()
        self.stopping.set()
        # At once: who connects after hearing of the stop must meet the next engine, not the rest of this one.
        self._place.leave()
        self._server.close_tcp()

    async def run(self, report: ReadinessReport, *, background: bool, idle_exit: float) -> None:
        """Serve until stopped, idle or without a place."""
        self._background = background
        await self._place.take()
        if self._tcp is not None:
            self._tcp.open(self._server, self._app, lambda: self.engine.policy.access.hosts)
        self._handle_signals(background=background)
        report.ready(self._status() if self._manager else "")
        log.info("engine %s serves %s as process %d", VERSION, self._paths.project, os.getpid())
        if self._shared is not None:
            log.info("it is shared as @%s", self._shared.id)
        if self._tcp is not None:
            log.info("it listens at %s", self._tcp)
        async with asyncio.TaskGroup() as group:
            watches = [
                group.create_task(watch) for watch in (self._leave_without_place(), self._manager.keep(self._status))
            ]
            if self._tcp is not None:
                watches.append(group.create_task(self._tcp.watch()))
            if idle_exit > 0:
                watches.append(group.create_task(self._leave_when_idle(idle_exit)))
            await self.stopping.wait()
            for watch in watches:
                watch.cancel()
        log.info("the engine stops")
        # Runs end before their followers' connections do, so that these hear how.
        await self.engine.pool.close()
        await self._server.shutdown()

    async def _leave_when_idle(self, seconds: float) -> None:
        await until_idle(self._server, lambda: self.engine.runs.unfinished + self.engine.tasks.running, seconds)
        log.info("nobody needed the engine for %g seconds", seconds)
        self.stop()

    async def _leave_without_place(self) -> None:
        await self._place.keep()
        self.stop()

    def _handle_signals(self, *, background: bool) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        if background:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        elif self._manager and not os.isatty(0):
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1) asked for it
            loop.add_signal_handler(signal.SIGHUP, self.stop)

    def _status(self) -> str:
        """Say in a line what a service manager shows of the engine."""
        info = self.info()
        pool = self.engine.pool_service.info()
        queued = f", {len(pool.queue)} queued" if pool.queue else ""
        first = f" Problem: {info.problems[0]}" if info.problems else ""
        return f"{pool.running} of {pool.size} slots running{queued}, RESTRICTED {info.level}.{first}"

    def reload(self) -> None:
        """Read again what can change while the engine runs.

        What is asked for meanwhile is done once more after that, however often it was: the files may have been read
        already.
        """
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload(), name="reload")
        else:
            self._reload_again = True

    async def _reload(self) -> None:
        self._manager.reloading()
        try:
            self._reload_again = True
            while self._reload_again:
                self._reload_again = False
                await self._read_again()
        finally:
            if not self.stopping.is_set():
                self._manager.ready(self._status())

    async def _read_again(self) -> None:
        try:
            await self.engine.policy.look(again=True)
            if self._tcp is not None:
                self._tcp.look()
            log.info("settings and certificate are read again")
        except Exception:  # it goes on with what it has
            log.exception("not all could be read again")


def serve(options: ServeOptions) -> int:
    """Be the engine of a project until told to leave. Returns the exit code."""
    # One in the background is a client's, also where that is part of a service.
    manager = ServiceManager() if options.background else ServiceManager.of()
    report = ReadinessReport(options.ready_fd, manager)
    paths = EnginePaths(options.project)
    try:
        shared = _shared(options, paths)
        become_owner(paths, become=options.become)
        if shared is not None:
            shared.check()
        prepare_folders(paths)
        lock = LifetimeLock(paths.lifetime_lock)
        lock.acquire()
        shared_lock = None if shared is None else shared.lock()
        engine_log = logs.configure(paths.log, foreground=not options.background, journal=logs.reads_stderr())
        # Of a shared project it is out of reach of those who may write to the project.
        settings_file = paths.home / "settings.toml" if shared is None else shared.settings_file
        flags: dict[str, str | float] = {**options.listen}
        if options.pool_size is not None:
            flags["pool.size"] = options.pool_size
        settings = Settings.load(settings_file, flags=flags)
        engine_log.in_file = settings.engine.log_file or options.background
        try:
            tcp = TcpPlace.bound(settings.listen)
        except ConfigError as error:
            raise (as_typed(error) if options.listen else error) from None
        process.settle(settings.engine.path)
        if manager:
            # A unit's restrictions may have changed since, and nothing that the mark of the trials knows says so.
            (paths.private / FINDINGS_FILE).unlink(missing_ok=True)
        _divide_cgroup()
        spare.clear_leftovers(os.geteuid(), paths.fallback_socket(os.geteuid()).parent)
        uvloop.run(_serve(options, settings, paths, lock, engine_log, report, tcp, shared, manager))
    except NotPrivate as error:
        report.failed(error.sentence, error.hint)
        return EXIT_FAILED
    except (AlreadyRunning, ConfigError, EnvironmentProblem, LaunchError, StoreError) as error:
        report.failed(str(error), getattr(error, "hint", None))
        return error.exit_code if isinstance(error, LaunchError) else EXIT_FAILED
    except Exception as error:
        log.exception("the engine failed")
        report.failed(f"{type(error).__name__}: {error}.", f"The engine's log has the details: {paths.log}.")
        return EXIT_FAILED
    lock.release()
    if shared_lock is not None:
        shared_lock.release()
    if paths.read_only:
        spare.remove(paths.private)
    return 0


def _shared(options: ServeOptions, paths: EnginePaths) -> RuntimeFolder | None:
    """Return where the project is shared, its folder made if this is root and will go on as the project's owner."""
    if not options.shared:
        return None
    owner_to_become(paths, become=options.become)  # what refuses must leave no folder behind
    shared = RuntimeFolder(options.shared, options.group)
    owner = owner_of(paths).uid
    if os.geteuid() == 0 and (options.become or owner == 0):
        shared.make(owner)
    return shared


def idle_seconds(options: ServeOptions, settings: Settings, *, expected: bool) -> float:
    """Return after how many seconds without use the engine leaves; 0 is never.

    Args:
        options: How it was started.
        settings: What holds otherwise.
        expected: Whether clients that cannot start it expect it to be there.
    """
    if options.idle_exit is not None:
        return options.idle_exit
    return settings.engine.idle_exit_minutes * 60 if options.background and not expected else 0


def _divide_cgroup() -> None:
    """Let the runs have less of the processor than the engine where this host lets it say so."""
    try:
        cgroup.divide()
    except cgroup.NoCgroup as why:
        log.info("runs have no cgroup of their own: %s", why)


async def _serve(
    options: ServeOptions,
    settings: Settings,
    paths: EnginePaths,
    lock: LifetimeLock,
    engine_log: logs.EngineLog,
    report: ReadinessReport,
    tcp: TcpPlace | None,
    shared: RuntimeFolder | None,
    manager: ServiceManager,
) -> None:
    async with Engine.open(
        paths.project, settings=settings, lock=lock, settings_file=None if shared is None else shared.settings_file
    ) as engine:
        daemon = Daemon(engine, paths, lock, engine_log, tcp, shared, manager)
        idle_exit = idle_seconds(options, settings, expected=tcp is not None or shared is not None)
        await daemon.run(report, background=options.background, idle_exit=idle_exit)
    log.info("the engine has left")
