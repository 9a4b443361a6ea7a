"""What an administrator can do where this host lacks a layer: chosen by what the host's own switches say."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

CONTAINER_MARKS = (".dockerenv", "run/.containerenv")
"""What Docker and Podman put into the root of a container."""

NAMESPACE_SWITCHES = {
    "user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=15000"),
    "kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
}
"""Below /proc/sys: the value that forbids, and the command that allows (user_namespaces(7), and Debian's own)."""

APPARMOR_SWITCH = "kernel/apparmor_restrict_unprivileged_userns"
"""Ubuntu's, since 23.10: only programs whose AppArmor profile says so get a usable user namespace."""

SYSTEM_FOLDERS = (Path("/usr/bin"), Path("/bin"), Path("/usr/local/bin"))
"""Where interpreters are that other programs of the host run on, too."""

OWN_FOLDER = Path("/opt/gatewright/bin")
"""Where the advice has a copy made: found by itself there (``sandbox/interpreters.py``)."""

IN_CONTAINER = (
    "Start the container with `--security-opt seccomp=FILE`, a filter that permits unshare, setns, clone, mount, "
    "umount2 and pivot_root, and with `--security-opt apparmor=unconfined`; or with `--privileged`, which takes away "
    "the container's own walls."
)
"""How to allow namespaces and mounts in a container."""

LANDLOCK_SINCE = "5.13"
LANDLOCK_TRUNCATES_SINCE = "6.2"


@dataclass(frozen=True)
class HostSystem:
    """Where the host's switches are read; ``root`` is another folder in tests."""

    root: Path = Path("/")

    def switch(self, name: str) -> str | None:
        """A sysctl's value, None where this kernel has none of that name."""
        return self.read(f"proc/sys/{name}")

    def read(self, name: str) -> str | None:
        """Return what a small file holds, without the space around it; None where it cannot be read."""
        try:
            return (self.root / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None

    @property
    def in_container(self) -> bool:
        return any((self.root / mark).exists() for mark in CONTAINER_MARKS)

    @property
    def security_modules(self) -> list[str]:
        """Those switched on at boot, in order; none if securityfs is not there to ask."""
        named = self.read("sys/kernel/security/lsm")
        return [] if named is None else named.split(",")


def for_namespaces(host: HostSystem, interpreter: Path) -> str:
    """How to allow ``interpreter`` user namespaces and mounts in them."""
    commands = [allow for name, (forbids, allow) in NAMESPACE_SWITCHES.items() if host.switch(name) == forbids]
    steps = []
    if commands:
        steps.append(f"Run `{'`, `'.join(commands)}`, and put the same into a file in /etc/sysctl.d.")
    if host.switch(APPARMOR_SWITCH) == "1":
        steps.append(for_apparmor(interpreter))
    if host.in_container:
        steps.append(IN_CONTAINER)
    if not steps:
        steps.append(
            "Something that this check cannot see forbids it: in a container the engine's seccomp filter "
            "(`--security-opt seccomp=FILE`, or `--privileged`), in a service RestrictNamespaces= of its unit, "
            "else a security module."
        )
    return " ".join(steps)


def for_apparmor(interpreter: Path) -> str:
    """Say how to allow ``interpreter`` user namespaces where AppArmor restricts them.

    A profile by path. With a copy of the interpreter it holds for scripts and for no other program of the host.

    The copy finds its standard library by the folder that was built into it (Modules/getpath.py).
    """
    copy, path = "", interpreter
    if interpreter.parent in SYSTEM_FOLDERS:
        path = OWN_FOLDER / interpreter.name
        copy = (
            f"Give the scripts a Python of their own: `install -D {shlex.quote(str(interpreter))} "
            f"{shlex.quote(str(path))}`, then `gatewright python use {shlex.quote(str(path))}`. "
        )
    profile = f'abi <abi/4.0>, profile gatewright "{path}" flags=(unconfined) {{ userns, }}'
    return (
        f"{copy}Write this line into /etc/apparmor.d/gatewright and load it with `apparmor_parser -r "
        f"/etc/apparmor.d/gatewright`: {profile} Or allow it to every program: "
        "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`."
    )


def for_landlock(host: HostSystem) -> str:
    """How to get Landlock where there is none."""
    modules = host.security_modules
    if host.in_container:
        return (
            f"The host's kernel must be Linux {LANDLOCK_SINCE} or later with Landlock switched on, and the container's "
            "seccomp filter must permit the landlock calls: Docker 23 or later, or `--security-opt seccomp=FILE`."
        )
    if modules and "landlock" not in modules:
        line = ",".join(["landlock", *modules])
        return (
            f"If the kernel is Linux {LANDLOCK_SINCE} or later and built with it, boot with the parameter lsm={line}; "
            "else use a later kernel."
        )
    return (
        f"Use Linux {LANDLOCK_SINCE} or later, built with CONFIG_SECURITY_LANDLOCK, and name landlock first in the "
        "boot parameter lsm=."
    )


def for_truncation() -> str:
    """How to get a Landlock that protects the content of readable files by itself."""
    return f"Use Linux {LANDLOCK_TRUNCATES_SINCE} or later (Landlock ABI 3)."


def for_seccomp(machine: str) -> str:
    if machine != "x86_64":
        return "The filters are made for x86-64: move the engine to such a host."
    return "Use a kernel with CONFIG_SECCOMP_FILTER; if a sandbox around the engine forbids filters, allow seccomp(2)."
