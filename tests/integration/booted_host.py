"""A host of its own that a real systemd runs: in namespaces, with accounts, /etc, /run and /srv that end with it.

Nothing of this host's own units is started: the only ones are empty targets, and what a test installs.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from account_support import _closed_top, _needed
from mounts import may_mount

SYSTEMD = Path("/lib/systemd/systemd")
STUBS = Path("/run/stubs")
TARGETS = ("sysinit", "basic", "shutdown", "sockets", "timers", "paths", "network", "nss-user-lookup")
PATIENCE = 60.0
CGROUPS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")


def _cgroup2() -> Path | None:
    """Where cgroup v2 is mounted."""
    return next((Path(place) for place in CGROUPS if Path(place, "cgroup.procs").exists()), None)


needs_systemd = pytest.mark.skipif(
    not (may_mount() and SYSTEMD.exists() and shutil.which("systemctl") is not None and _cgroup2() is not None),
    reason="a host of its own needs root, cgroup v2 and systemd: apt-get install systemd",
)


class BootedHost:
    """What a test does on it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.added: list[Path] = []

    def command(self, *command: str, uid: int | None = None, groups: str = "--clear-groups") -> list[str]:
        """What to call so that ``command`` runs there; as root, or as an account."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc", "--uts", "--wd=/"]
        drop = [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", groups, "--"]
        return [*enter, *drop, *command]

    def call(self, *command: str, uid: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*command, uid=uid), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent", **environment}, check=False,
        )  # fmt: skip

    def shell(self, script: str) -> str:
        """What a script prints; it must succeed."""
        done = self.call("sh", "-ec", script)
        assert done.returncode == 0, (script, done)
        return done.stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        done = self.call("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in done.stdout.splitlines())


@contextmanager
def booted_host() -> Iterator[BootedHost]:
    """Boot it, and end it with all that runs there."""
    around = _cgroup2()
    assert around is not None
    cgroup = around / f"gatewright-booted-{os.getpid()}"
    try:
        cgroup.mkdir()
    except OSError as refusal:
        pytest.skip(f"no cgroup can be made here: {refusal.strerror}")
    hold = Path(tempfile.mkdtemp(prefix="gatewright-booted-"))
    log = hold / "log"
    script = f"""
        echo $$ > {cgroup}/cgroup.procs
        exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --propagation private --mount-proc \\
            sh -ec {shlex.quote(_boot(hold))}
    """
    with log.open("wb") as output:
        process = subprocess.Popen(["sh", "-ec", script], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield BootedHost(_first(process, log))
    finally:
        process.kill()
        process.wait()
        _empty(cgroup)
        shutil.rmtree(hold)


def _boot(hold: Path) -> str:
    """The script that makes the host and becomes its process 1."""
    # systemd raises limits of the kernel when it boots, which are this host's, too.
    lines = ["mount --bind /proc/sys /proc/sys", "mount -o remount,bind,ro /proc/sys"]
    # Nor is the console of this host its own: systemd sets it up for itself.
    lines.append(f"mount --bind {hold}/log /dev/console")
    lines += [
        "mount -t tmpfs -o mode=755 none /run",
        "umount -l /sys/fs/cgroup",
        "mount -t cgroup2 none /sys/fs/cgroup",
    ]
    lines += ["mount -t tmpfs -o mode=755 none /mnt", "cp -a /etc/. /mnt", "mount --move /mnt /etc"]
    # Where the interpreter and this repository are, all accounts can go, and nothing of this host's own /tmp is there.
    trees = sorted(_needed())
    closed = {top for tree in trees if (top := _closed_top(tree)) is not None}
    for number, tree in enumerate(trees):
        lines.append(f"mkdir {hold}/{number}; mount --bind {shlex.quote(str(tree))} {hold}/{number}")
    lines.append(f"mkdir /run/hold; mount --rbind {hold} /run/hold")
    tops = {*closed, *map(Path, ("/tmp", "/var/tmp", "/srv", "/opt", "/home", "/var/lib"))}
    lines += [f"mount -t tmpfs -o mode={1777 if 'tmp' in top.name else 755} none {top}" for top in sorted(tops)]
    for number, tree in enumerate(trees):
        if any(tree.is_relative_to(top) for top in tops):
            lines.append(f"mkdir -p {tree}; mount --bind /run/hold/{number} {tree}")
    lines += ["umount -lR /run/hold; rmdir /run/hold", "rm -rf /etc/systemd/system; mkdir -p /etc/systemd/system"]
    lines += ["mkdir -p /run/systemd", f"mkdir {STUBS}"]
    for target in (*TARGETS, "multi-user", "default"):
        wants = "Wants=multi-user.target\n" if target == "default" else ""
        text = f"[Unit]\nDescription={target}\nDefaultDependencies=no\n{wants}"
        lines.append(f"printf %s {shlex.quote(text)} > {STUBS}/{target}.target")
    paths = f"SYSTEMD_UNIT_PATH=/etc/systemd/system:{STUBS} SYSTEMD_GENERATOR_PATH=/nonexistent"
    lines.append(
        f"exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=gatewright {paths} "
        f"{SYSTEMD} --system --show-status=0 --log-target=console"
    )
    return "\n".join(lines)


def _first(process: subprocess.Popen[bytes], log: Path) -> int:
    """Its process 1, when it has come up."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError, IndexError):
            pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
            ask = ["nsenter", f"--target={pid}", "--mount", "--pid", "systemctl", "is-active", "default.target"]
            if subprocess.run(ask, capture_output=True, check=False).stdout.strip() == b"active":
                return pid
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def _empty(cgroup: Path) -> None:
    """Remove a tree of cgroups, once what was in it has ended."""
    deadline = time.monotonic() + PATIENCE
    while cgroup.exists():
        for folder in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            cgroup.rmdir()
        assert time.monotonic() < deadline, f"{cgroup} is not empty"
        time.sleep(0.02)


GATEWRIGHT = str(Path(sys.executable).with_name("gatewright"))
