"""What this host gives to an engine, found out by trying, and what to do about what is missing.

The diagnosis succeeds when it was made, whatever it found: its exit code says only that.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.client.launch import LaunchError
from engine.client.ownership import become_owner
from engine.doctor import host, hosts, memory, project, sandbox, security_modules
from engine.doctor.finding import Finding, Severity, careful, careful_each
from engine.paths import EnginePaths

__all__ = ["Finding", "Severity", "diagnose", "examine"]


def diagnose(folder: Path | None, *, as_json: bool, become: bool = True) -> int:
    """Print a diagnosis of the host and of the project, if one is given. Returns the exit code."""
    findings = list(examine(None if folder is None else folder.resolve(), become=become))
    if as_json:
        sys.stdout.write(msgspec.json.encode({"findings": findings}).decode() + "\n")
    else:
        sys.stdout.write("\n".join(map(str, findings)) + "\n")
    return 0


def explain(name: str) -> int:
    """Print what is known of a kind of host, or of all of them, as JSON. Returns the exit code: 2 for no such name."""
    try:
        found = [hosts.find(name)] if name else list(hosts.HOSTS)
    except hosts.UnknownHost as unknown:
        sys.stdout.write(msgspec.json.encode({"error": str(unknown), "hint": unknown.hint}).decode() + "\n")
        return 2
    told = {
        "hosts": [_told(each) for each in found],
        "emulations": hosts.EMULATIONS,
        "emulated": hosts.EMULATED,
        "this_host": hosts.this_host(),
    }
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    return 0


def _told(host: hosts.KnownHost) -> dict[str, object]:
    known: dict[str, object] = msgspec.to_builtins(host)
    return known | {"usual": host.usual, "best": host.best}


def examine(folder: Path | None, *, become: bool = True) -> Iterator[Finding]:
    """Every finding; a check that fails in itself is a finding too.

    All is tried as the project's owner, whom root becomes, since the engine will be that account. A stranger hears
    whose the project is, and of the host what it gives to the stranger.
    """
    paths = None if folder is None else EnginePaths(folder)
    refusal = None if paths is None else _refusal(paths, become)
    for check in (*host.CHECKS, *security_modules.CHECKS, *memory.HOST_CHECKS):
        yield careful(check, check.__name__)
    yield from careful_each(lambda: sandbox.examine(None if refusal else paths), "sandbox")
    if refusal is not None:
        yield refusal
    elif paths is not None:
        for examination in (*project.CHECKS, *memory.PROJECT_CHECKS):
            yield careful(functools.partial(examination, paths), examination.__name__)


def _refusal(paths: EnginePaths, become: bool) -> Finding | None:
    """Become the project's owner; what to say if that is not possible."""
    tried = f"who owns {paths.project}"
    try:
        become_owner(paths, become=become)
    except LaunchError as refusal:
        return Finding(level=Severity.FAIL, tried=tried, found=refusal.message, advice=refusal.hint or "")
    except OSError as error:
        return Finding(level=Severity.FAIL, tried=tried, found=f"cannot be found out: {error}")
    return None
