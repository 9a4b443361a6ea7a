"""Who goes first when memory or the processor is short: what of it holds on this host, and for the project's engine."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.launch import LaunchError
from engine.config import ConfigError, Settings
from engine.doctor.finding import Finding, Severity
from engine.doctor.project import ask_engine
from engine.lock import engine_lives
from engine.paths import EnginePaths
from engine.sandbox.cgroup import WEIGHT, runs_cgroup
from engine.sandbox.host_memory import HostMemory, cgroups, host_memory
from engine.worker.limits import RUN_NICENESS, ZYGOTE_NICENESS
from engine.worker.oom import CHILD, OWN
from store.sizes import describe_size

AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")
"""Where it is 1, sessions share the processor evenly and nice(1) counts only within one (sched(7))."""

TRIED_MEMORY = "memory for runs"
TRIED_GROUP = "a cgroup of the runs' own"
TRY_TIMEOUT = 10.0


def room(settings: Settings, available: HostMemory | None) -> Finding:
    """Hold what all slots together may take against what is available."""
    tried = TRIED_MEMORY
    if available is None:
        advice = "The kernel's /proc/meminfo cannot be read: runs are started whatever they ask for."
        return Finding(level=Severity.WARN, tried=tried, found="the host does not say", advice=advice)
    size, memory, reserve = settings.pool.size, settings.limits.memory, settings.pool.memory_reserve
    found = f"{available.giver} {describe_size(available.available)} available"
    whole = f"{size} runs of {describe_size(memory)} at once with {describe_size(reserve)} left free"
    if size * memory + reserve <= available.available:
        return Finding(level=Severity.OK, tried=tried, found=f"{found}, enough for {whole}")
    advice = "Some runs will wait for others to end: lower limits.memory or pool.size, or free some memory."
    return Finding(level=Severity.WARN, tried=tried, found=f"{found}, too little for {whole}", advice=advice)


def _room(paths: EnginePaths) -> Finding:
    try:
        settings = Settings.load(paths.home / "settings.toml")
    except ConfigError:  # told by its own finding
        settings = Settings()
    return room(settings, host_memory())


def _victims() -> Finding:
    tried = "letting the kernel end runs first when memory is short (oom_score_adj)"
    code = f"open({OWN!r}, 'w').write('{CHILD.decode()}'); print(open({OWN!r}).read())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TRY_TIMEOUT,
        check=False,
    )
    if done.stdout.strip() == CHILD:
        return Finding(level=Severity.OK, tried=tried, found="holds: runs first, then what makes them")
    advice = "Make /proc/PID/oom_score_adj writable to the engine's account: a container may mount /proc read-only."
    return Finding(level=Severity.WARN, tried=tried, found="refused: any process may be ended", advice=advice)


def turn(autogroup: str) -> Finding:
    """Say what nice(1) is worth, by the kernel's switch of sched(7)."""
    tried = "letting the gateway have the processor before runs (nice)"
    found = f"runs are {ZYGOTE_NICENESS + RUN_NICENESS} nicer than the engine"
    if autogroup != "1":
        return Finding(level=Severity.OK, tried=tried, found=found)
    advice = (
        "Where the gateway runs in a session of its own, give its service a CPUWeight=, or set "
        "`sysctl -w kernel.sched_autogroup_enabled=0`."
    )
    found = f"{found}, within one session only: the kernel shares evenly between sessions (autogroup)"
    return Finding(level=Severity.OK, tried=tried, found=found, advice=advice)


def _turn() -> Finding:
    try:
        return turn(AUTOGROUP.read_text(encoding="ascii").strip())
    except OSError:
        return turn("")


def _group(paths: EnginePaths) -> Finding:
    """Look at the engine that runs: another process's cgroup says nothing about it."""
    if next(cgroups(), None) is None:
        return _without("no cgroup v2 here", "Use a host with cgroup v2 (systemd.unified_cgroup_hierarchy=1).")
    if not engine_lives(paths.lifetime_lock):
        return Finding(level=Severity.OK, tried=TRIED_GROUP, found="not known: the engine does not run")
    try:
        pid = asyncio.run(ask_engine(paths.project)).pid
    except (LaunchError, EngineError, EngineUnreachable):  # told by its own finding
        return Finding(level=Severity.OK, tried=TRIED_GROUP, found="not known: the engine does not answer")
    own = next(cgroups(pid=pid), None)
    if own is None or runs_cgroup(own) is None:
        return _without("none", "Run the engine as a service with Delegate=cpu memory: `gatewright engine serve`.")
    found = f"yes, with weight {WEIGHT} against the engine's 100; memory that no process has mapped is counted"
    return Finding(level=Severity.OK, tried=TRIED_GROUP, found=found)


def _without(found: str, advice: str) -> Finding:
    found = f"{found}: of ADMIN runs, memory that no process has mapped (memfd, System V) is not counted"
    return Finding(level=Severity.OK, tried=TRIED_GROUP, found=found, advice=advice)


HOST_CHECKS = (_victims, _turn)
PROJECT_CHECKS = (_room, _group)
