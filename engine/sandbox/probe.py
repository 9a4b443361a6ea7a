"""Finds out what this host gives, by letting the scripts' own interpreter try it, once per boot.

What was found is kept in a file beside the project's other private files. It is no more than a plan: every zygote puts
its layers on for real and proves them, so a stale file can make a run fail and can never make it weaker.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import msgspec

from engine.sandbox.plan import Findings
from engine.sandbox.processes import ENTRY, WORKER, worker_environment

TIMEOUT = 20.0

FINDINGS_FILE = "sandbox.json"
"""The name of the file that keeps what was found, among a project's private ones."""

SWITCHES = (
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)
"""What an administrator may set while the host runs: the findings of before do not hold any more."""


class ProbeProblem(Exception):
    """The trials could not be made. The message says why."""


class _Kept(msgspec.Struct, frozen=True):
    host: str
    findings: Findings


def probe(interpreter: Path, *, kept: Path | None = None, fresh: bool = False) -> Findings:
    """What this host gives to processes of this account that run ``interpreter``.

    Args:
        interpreter: The scripts' own.
        kept: Where the findings of this boot are, or will be.
        fresh: Try again whatever is kept.

    Raises:
        ProbeProblem: The interpreter does not run, or hangs.
    """
    host = host_mark(interpreter)
    if kept is not None and not fresh and (known := _read(kept)) is not None and known.host == host:
        return known.findings
    findings = _try(interpreter)
    if kept is not None:
        _write(kept, _Kept(host, findings))
    return findings


def host_mark(interpreter: Path) -> str:
    """What the findings depend on, in one hash: boot, kernel, account, interpreter, and what confines this process."""
    parts = [
        _text("/proc/sys/kernel/random/boot_id"),
        *os.uname(),
        str(os.geteuid()),
        str(interpreter.resolve()),
        str(_stamp(interpreter.resolve())),
        str(_stamp(WORKER / "trials.py")),
        _text("/proc/self/attr/current"),
        *_confinement(),
        *map(_text, SWITCHES),
        *(os.readlink(f"/proc/self/ns/{kind}") for kind in ("user", "mnt", "pid")),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _confinement() -> list[str]:
    """The lines of /proc/self/status that tell of filters and capabilities (proc(5))."""
    names = ("CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:")
    return [line for line in _text("/proc/self/status").splitlines() if line.startswith(names)]


def _try(interpreter: Path) -> Findings:
    with tempfile.TemporaryDirectory(prefix="gatewright-probe-") as folder:
        command = [str(interpreter), "-I", "-S", "-X", "utf8", str(ENTRY), "--trials", folder]
        try:
            answer = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
                env=worker_environment(),
                cwd="/",
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProbeProblem(f"{interpreter} could not try what this host gives: {error}") from None
    try:
        return msgspec.json.decode(answer.stdout, type=Findings)
    except msgspec.DecodeError:
        words = answer.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ProbeProblem(f"{interpreter} could not try what this host gives: {words or 'no answer'}") from None


def _read(kept: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(kept.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None


def _write(kept: Path, what: _Kept) -> None:
    """Keep it if it can be kept; it is only a saving of time."""
    temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        temporary.write_bytes(msgspec.json.encode(what))
        temporary.replace(kept)
    except OSError:
        temporary.unlink(missing_ok=True)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _stamp(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_mtime_ns, info.st_ino
