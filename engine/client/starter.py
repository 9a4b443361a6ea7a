"""Starting an engine in the background: its command, its environment, and the wait until it is ready."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.paths import EnginePaths
from engine.project_folder import OWN_FOLDER, why_no_project
from engine.sockets import NotPrivate, check_private

START_TIMEOUT = 20.0
"""Seconds. Usually it is a tenth of one; a new project on a slow disk takes longer."""

FILE_TIME_GRAIN = 0.05
"""Seconds that a file's time may lag behind the clock: it advances with the kernel's timer (inode(7))."""

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
KEPT = ("HOME", "USER", "LOGNAME", "TZ")
OWN_PREFIX = "GATEWRIGHT_"
OF_CLIENTS = ("GATEWRIGHT_GATEWAY", "GATEWRIGHT_URL", "GATEWRIGHT_TOKEN_FILE", "GATEWRIGHT_CA_FILE")
"""What tells a client which engine it is for is nothing to one that it starts."""

OF_SERVICE_MANAGERS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "JOURNAL_STREAM")
"""What a service manager gives to its service (sd_notify(3), systemd.exec(5)), and nothing to what a client starts."""


class LaunchError(Exception):
    """The engine cannot be reached or started. ``exit_code`` is what a command ends with."""

    def __init__(self, message: str, hint: str | None = None, exit_code: int = 3) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class Readiness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an engine reports through its readiness pipe: ready, or why not."""

    pid: int
    error: str = ""
    hint: str | None = None


def daemon_command(project: Path, *, background: bool = False, ready_fd: int | None = None) -> list[str]:
    """The command that serves ``project``: in the foreground, or detached and reporting to ``ready_fd``.

    Who starts one in the background is the project's owner by then. It may become nobody else, whatever is found where
    the project was.
    """
    command = [sys.executable, "-P", "-m", "engine", "serve", "--project", str(project)]
    if background:
        command += ["--background", "--stay"]
    if ready_fd is not None:
        command += ["--ready-fd", str(ready_fd)]
    return command


def daemon_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What an engine gets to see of whoever starts it: who and when it is, and the settings meant for it.

    Nothing that lends it the starter's rights or bends its interpreter: no SSH_AUTH_SOCK, GIT_*, PYTHON*, LD_*.
    """
    kept = {name: value for name, value in environ.items() if name in KEPT or _is_for_engines(name)}
    return {**kept, "LANG": "C.UTF-8", "PATH": DEFAULT_PATH}


def _is_for_engines(name: str) -> bool:
    return name.startswith(OWN_PREFIX) and name not in OF_CLIENTS


def check_suitable(folder: Path) -> None:
    """Refuse to make a project of a folder that belongs to everybody, the system or a whole account.

    Raises:
        LaunchError: It is such a folder.
    """
    reason = why_no_project(folder)
    if reason is not None:
        raise LaunchError(reason, OWN_FOLDER, exit_code=2)


def prepare_folders(paths: EnginePaths) -> None:
    """Make what must be there before an engine is: the private folder for the locks, and one for what it prints."""
    if not os.path.lexists(paths.home):
        check_suitable(paths.project)
    for folder in (paths.private, paths.logs):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LaunchError(
                f"Cannot make {folder}: {error.strerror}.",
                "A project needs a folder that you may write to.",
                exit_code=2,
            ) from None
        if paths.read_only:  # below /tmp, where anybody may have made it
            check_own(folder)


def check_own(folder: Path) -> None:
    """Refuse a folder outside the project that another account owns or may open; a missing one passes.

    Raises:
        LaunchError: It is.
    """
    try:
        check_private(folder, os.geteuid())
    except FileNotFoundError:
        return
    except NotPrivate as error:
        raise LaunchError(error.sentence, error.hint) from None


def open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LaunchError(f"Cannot open {path}: {error.strerror}.") from None


def try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise LaunchError(f"The project's file system takes no locks: {error.strerror}.") from None
    return True


async def start_engine(paths: EnginePaths) -> None:
    """Start an engine and wait until it is ready. The caller holds the start lock.

    Raises:
        LaunchError: It did not get ready; the sentence says why, the hint where to read more.
    """
    from engine import logind  # only a start needs it

    scope, began = logind.scope_command(), time.time()
    report = await _start(paths, scope, began)
    if report is None and scope:
        report = await _start(paths, [], began)
    if report is None:
        raise LaunchError(f"The engine did not start: {_last_words(paths, began)}", f"Its log: {paths.log}.")
    if report.error:
        raise LaunchError(f"The engine did not start: {report.error}", report.hint or f"Its log: {paths.log}.")


async def _start(paths: EnginePaths, scope: list[str], began: float) -> Readiness | None:
    """Start once. None when it ended without a word."""
    reader, writer = os.pipe()
    try:
        try:
            process = _spawn(paths, scope, writer)
        finally:
            os.close(writer)
        data = await _read_report(paths, reader, began)
    finally:
        os.close(reader)
    # What was started only made the engine and has ended: the report comes after that.
    process.wait()
    try:
        return msgspec.json.decode(data, type=Readiness)
    except msgspec.DecodeError:
        return None


def _spawn(paths: EnginePaths, scope: list[str], ready_fd: int) -> subprocess.Popen[bytes]:
    environment = daemon_environment()
    if scope:
        bus = {name: os.environ[name] for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS") if name in os.environ}
        environment.update(bus)
    command = [*scope, *daemon_command(paths.project, background=True, ready_fd=ready_fd)]
    try:
        log = os.open(paths.start_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(ready_fd,),
                env=environment,
                cwd="/",
                umask=0o077,
                start_new_session=True,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise LaunchError(f"The engine cannot be started: {error.strerror} ({error.filename}).") from None


async def _read_report(paths: EnginePaths, fd: int, began: float) -> bytes:
    """All that the engine writes into its readiness pipe until it closes it."""
    os.set_blocking(fd, False)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    data = bytearray()

    def readable() -> None:
        try:
            piece = os.read(fd, 4096)
        except BlockingIOError:
            return
        data.extend(piece)
        if not piece and not done.done():
            done.set_result(None)

    loop.add_reader(fd, readable)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            await done
    except TimeoutError:
        raise LaunchError(
            f"The engine is not ready after {START_TIMEOUT:g} seconds: {_last_words(paths, began)}",
            f"Its log: {paths.log}.",
        ) from None
    finally:
        loop.remove_reader(fd)
    return bytes(data)


def _last_words(paths: EnginePaths, began: float) -> str:
    """The last line that the engine printed or logged since it ``began``: usually the cause."""
    for log in (paths.start_log, paths.log):
        try:
            with open(log, "rb") as file:
                info = os.fstat(file.fileno())
                if info.st_mtime < began - FILE_TIME_GRAIN:  # an earlier engine's
                    continue
                file.seek(max(0, info.st_size - 4096))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except OSError:
            continue
        words = [line.strip() for line in lines if line.strip()]
        if words:
            return words[-1]
    return "it left no message."
