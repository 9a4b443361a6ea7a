"""Does this host kill a user's processes at logout? (logind.conf(5), KillUserProcesses; loginctl(1), linger)"""

from __future__ import annotations

import os
import shutil
import subprocess

LOGIN_MANAGER = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
ANSWER_TIMEOUT = 2.0
BOOTED = "/run/systemd/system"
"""There when systemd runs this host (sd_booted(3))."""


def in_login_session() -> bool:
    """Whether this process would be counted as part of a login session (systemd-logind(8): a session's scope)."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
            return any("/session-" in line and line.rstrip().endswith(".scope") for line in file)
    except OSError:
        return False


def kills_user_processes() -> bool | None:
    """What logind says; None where there is no logind or it does not answer."""
    busctl = shutil.which("busctl")
    if busctl is None or not os.path.isdir(BOOTED):
        return None
    try:
        answer = subprocess.run(
            [busctl, "get-property", *LOGIN_MANAGER, "KillUserProcesses"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {b"b true": True, b"b false": False}.get(answer.stdout.strip())


def scope_command() -> list[str]:
    """What to put before a command so that logout leaves it alone; empty where that is not needed or not possible."""
    runner = shutil.which("systemd-run")
    if runner is None or not in_login_session() or not kills_user_processes():
        return []
    return [runner, "--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--"]
