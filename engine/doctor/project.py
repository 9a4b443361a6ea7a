"""What the project's folder and its engine are like."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from engine import sockets
from engine.client import launch
from engine.client.answers import EngineError, EngineUnreachable
from engine.client.launch import LaunchError
from engine.client.ownership import account_name
from engine.config import ConfigError, Settings
from engine.doctor.finding import Finding, Severity
from engine.lock import engine_lives, holder_of
from engine.models.engine import EngineInfo
from engine.paths import CACHE_SIZE, EnginePaths
from engine.registry.engine import ENGINE_INFO
from store.disk_space import DiskSpace, Floor
from store.sizes import describe_size
from store.watch.folders import Watched
from store.watch.notifier import CannotWatch, try_out


def _owner(paths: EnginePaths) -> Finding:
    tried = f"who owns {paths.project}"
    if not paths.private.is_dir():
        return Finding(level=Severity.OK, tried=tried, found="not a project yet: gatewright init makes it one")
    info = paths.private.stat()
    found = f"{account_name(info.st_uid)}, mode {info.st_mode & 0o777:o}"
    if info.st_mode & 0o077:
        advice = f"Run: chmod 700 {paths.private}"
        return Finding(
            level=Severity.FAIL, tried=tried, found=f"{found}: other accounts may look inside", advice=advice
        )
    return Finding(level=Severity.OK, tried=tried, found=found)


def _settings(paths: EnginePaths) -> Finding:
    file = paths.home / "settings.toml"
    try:
        settings = Settings.load(file)
    except ConfigError as error:
        return Finding(level=Severity.FAIL, tried="settings", found=error.message, advice=error.hint or "")
    named = f", and {', '.join(settings.policy.modules)}" if settings.policy.modules else ""
    imports = f'imports of RESTRICTED: preset "{settings.policy.preset}"{named}'
    return Finding(level=Severity.OK, tried="settings", found=f"pool size {settings.pool.size}; {imports} ({file})")


def _disk(paths: EnginePaths) -> Finding:
    usage = shutil.disk_usage(paths.project)
    found = f"{describe_size(usage.free)} free, {usage.free / usage.total:.0%}"
    with contextlib.suppress(OSError, ValueError):  # none was fetched yet
        cached = int((paths.private / CACHE_SIZE).read_text())
        found += f"; fetched packages take {describe_size(cached)} (packages.cache_size)"
    if (short := DiskSpace(paths.project, _floor(paths)).short()) is not None:
        advice = f"Free some space: {short}, so run output is not recorded and scripts and documents are not saved."
        return Finding(level=Severity.WARN, tried="disk space of the project", found=found, advice=advice)
    return Finding(level=Severity.OK, tried="disk space of the project", found=found)


def _watching(paths: EnginePaths) -> Finding:
    tried = "watching the scripts for outside changes"
    place = Watched(paths.project)
    if (kind := place.remote_kind()) is not None:
        found = f"on a network file system ({kind}): found by looking every few seconds"
        return Finding(level=Severity.WARN, tried=tried, found=found)
    folders = sorted(place.folders())
    if not folders:
        return Finding(level=Severity.OK, tried=tried, found="there is nothing to watch yet")
    try:
        try_out(folders)
    except CannotWatch as failure:
        found = f"{failure.reason}: found by looking every few seconds"
        return Finding(level=Severity.WARN, tried=tried, found=found, advice=failure.advice)
    return Finding(level=Severity.OK, tried=tried, found=f"inotify works in {len(folders)} folders")


def _floor(paths: EnginePaths) -> Floor:
    try:
        disk = Settings.load(paths.home / "settings.toml").disk
    except ConfigError:  # told by its own finding
        return Floor()
    return Floor(disk.keep_free, disk.keep_free_percent / 100)


def _socket_place(paths: EnginePaths) -> Finding:
    tried = "a socket in the project"
    length = len(os.fsencode(paths.socket))
    note = f"{length} bytes of path" + ("" if length <= sockets.MAX_PATH else ", reached through its folder")
    if not os.access(paths.private, os.W_OK):
        return Finding(level=Severity.OK, tried=tried, found=f"{note}; not tried: no folder to write to")
    trial = paths.private / f"doctor-{os.getpid()}.sock"
    try:
        sockets.bind(trial).close()
    except OSError as error:
        found = f"{error.strerror}; the engine uses {paths.fallback_socket(os.geteuid())}"
        return Finding(level=Severity.WARN, tried=tried, found=found)
    trial.unlink()
    return Finding(level=Severity.OK, tried=tried, found=f"works, {note}")


def _engine(paths: EnginePaths) -> Finding:
    tried = "the project's engine"
    if not engine_lives(paths.lifetime_lock):
        return Finding(
            level=Severity.OK, tried=tried, found="does not run; it starts with the first command that needs it"
        )
    try:
        info = asyncio.run(ask_engine(paths.project))
    except (LaunchError, EngineError, EngineUnreachable) as error:
        found = f"{error.message} ({holder_of(paths.lifetime_lock)})"
        return Finding(level=Severity.FAIL, tried=tried, found=found, advice=error.hint or "")
    found = f"version {info.version}, process {info.pid}, isolation: {info.isolation}"
    advice = " ".join(info.problems)
    return Finding(level=Severity.WARN if advice else Severity.OK, tried=tried, found=found, advice=advice)


async def ask_engine(project: Path) -> EngineInfo:
    """Ask the project's engine about itself; none is started.

    Raises:
        LaunchError, EngineError, EngineUnreachable: It cannot be asked.
    """
    client = await launch.connect(project, client="cli", start=False)
    try:
        return await client.call(ENGINE_INFO)
    finally:
        await client.close()


CHECKS = (_owner, _settings, _disk, _watching, _socket_place, _engine)
