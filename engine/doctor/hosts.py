"""Kinds of hosts, what level RESTRICTED runs have on each, and what to set: known beforehand, without being there.

No row was met: the restrictions of each were put around the trials on another kernel (``Reach.emulated``), and
``tests/security/test_known_hosts.py`` does that again. So every answer says so, and that the doctor there decides.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.doctor import remedies
from engine.doctor.remedies import HostSystem
from engine.sandbox.plan import Level

EMULATED = (
    "Emulated: these restrictions were set around Gatewright's own trials on another kernel; no such host was met. "
    "On the host itself, gatewright doctor decides."
)

LIMITED = remedies.NAMESPACE_SWITCHES["user/max_user_namespaces"][1]

NO_SCRATCH = "no user namespace, so no scratch folder, no SQLite, and no private network and process list"
NO_LANDLOCK = "no Landlock; the private view holds back the host's files"
BOTH = "neither Landlock that is enough by itself nor a user namespace"


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What runs have there in one case.

    Attributes:
        when: The case, a clause.
        missing: What they lack, a clause; empty where nothing.
        to_do: How to have more, or how to have it so; in sentences.
        emulated: The restrictions that the level was found with, by the names of ``EMULATIONS``.
    """

    when: str
    level: Level
    missing: str = ""
    to_do: str = ""
    emulated: list[str] = []


class KnownHost(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of host.

    Attributes:
        name: As people give it.
        aliases: Other names of it, or of what is built from it.
        kernel: Which kernel it has, and what of Landlock.
        reaches: The usual case first.
        notes: What else to know before installing there.
    """

    name: str
    title: str
    kernel: str
    reaches: list[Reach]
    notes: list[str] = []
    aliases: list[str] = []

    @property
    def usual(self) -> Level:
        return self.reaches[0].level

    @property
    def best(self) -> Level:
        return min((reach.level for reach in self.reaches), key=list(Level).index)


EMULATIONS = {
    "linux-4.18": "no system call that came after Linux 4.18, but for descriptors of processes",
    "no-pidfd": "no descriptors of processes (pidfd_open)",
    "no-landlock": "no Landlock in the kernel",
    "landlock-abi-1": "Landlock of ABI 1",
    "landlock-abi-2": "Landlock of ABI 2",
    "landlock-abi-4": "Landlock of ABI 4",
    "landlock-abi-6": "Landlock of ABI 6",
    "userns-limit": "user.max_user_namespaces = 0",
    "apparmor-like": "a security module that refuses every mount",
    "container": "a filter that refuses namespaces and mounts",
    "nested": "a user namespace around everything",
    "masked-proc": "a /proc that is covered in part, in a user namespace around everything",
    "no-new-privs": "no_new_privs on everything",
}
"""What is emulated, as ``tests/security/emulated_host.py`` calls it, and in words."""


def _hardened(level: Level, *emulated: str) -> Reach:
    """Without user namespaces, as hardening guides have it."""
    held = level is Level.CORE
    return Reach(
        when="hardened with user.max_user_namespaces = 0",
        level=level,
        missing=NO_SCRATCH if held else BOTH,
        to_do=f"Run `{LIMITED}`, and put the same into a file in /etc/sysctl.d.",
        emulated=["userns-limit", *emulated],
    )


_SELINUX = (
    "SELinux enforces there. An engine that a person or a service starts is not confined by it, if Gatewright and its "
    "Python lie below /opt or /usr/local (restorecon -R /opt/gatewright): a service may not execute what lies in a "
    "home folder."
)

_PYTHON_WITH_SQLITE = (
    "Its SQLite ({}) is older than the 3.35 that Gatewright needs, and the system's Pythons use it: install a Python "
    "that brings its own, such as `uv python install 3.12`."
)

_OLD_CGROUPS = (
    "Its cgroups are of version 1, so memory that no process has mapped is not counted; boot with "
    "systemd.unified_cgroup_hierarchy=1."
)

_ON_A_VOLUME = (
    "An engine in a container serves the project on a volume; clients outside reach it by its socket on that volume as "
    "the same account, or over TCP."
)

HOSTS = (
    KnownHost(
        name="rhel-8",
        title="Red Hat Enterprise Linux 8, AlmaLinux 8, Rocky Linux 8, Oracle Linux 8",
        kernel="Linux 4.18 with later parts; no Landlock",
        aliases=["almalinux-8", "alma-8", "rocky-8", "ol-8", "oracle-8", "centos-8"],
        reaches=[
            Reach(
                when="with a kernel that has pidfd_open(2)",
                level=Level.CORE,
                missing=f"{NO_LANDLOCK}; no locks on files, so no SQLite",
                to_do="Nothing gives it Landlock but a later kernel: RHEL 9 is no better there, Debian or Ubuntu are.",
                emulated=["linux-4.18"],
            ),
            Reach(
                when="with a kernel without pidfd_open(2)",
                level=Level.REFUSED,
                missing="no slot that could be ended for sure, so no namespaces; and no Landlock",
                to_do="A later kernel of it may have that (dnf update kernel, then gatewright doctor); else use one "
                "from Linux 5.3 on.",
                emulated=["linux-4.18", "no-pidfd"],
            ),
            _hardened(Level.REFUSED, "linux-4.18"),
        ],
        notes=[
            _PYTHON_WITH_SQLITE.format("3.26"),
            _SELINUX,
            _OLD_CGROUPS,
        ],
    ),
    KnownHost(
        name="rhel-9",
        title="Red Hat Enterprise Linux 9, AlmaLinux 9, Rocky Linux 9, Oracle Linux 9",
        kernel="Linux 5.14, built without Landlock",
        aliases=["almalinux-9", "alma-9", "rocky-9", "ol-9", "oracle-9", "centos-9"],
        reaches=[
            Reach(
                when="as installed",
                level=Level.CORE,
                missing=NO_LANDLOCK,
                to_do="Nothing to set. If a later kernel has Landlock, boot with landlock first in lsm=.",
                emulated=["no-landlock"],
            ),
            _hardened(Level.REFUSED, "no-landlock"),
        ],
        notes=[_PYTHON_WITH_SQLITE.format("3.34"), _SELINUX],
    ),
    KnownHost(
        name="debian-12",
        title="Debian 12 (bookworm)",
        kernel="Linux 6.1, Landlock ABI 2",
        aliases=["bookworm"],
        reaches=[
            Reach(when="as installed", level=Level.FULL, to_do="Nothing to set.", emulated=["landlock-abi-2"]),
            _hardened(Level.REFUSED, "landlock-abi-2"),
        ],
        notes=["kernel.unprivileged_userns_clone = 0 forbids user namespaces to ordinary accounts, too."],
    ),
    KnownHost(
        name="debian-13",
        title="Debian 13 (trixie)",
        kernel="Linux 6.12, Landlock ABI 6",
        aliases=["trixie"],
        reaches=[
            Reach(when="as installed", level=Level.FULL, to_do="Nothing to set.", emulated=["landlock-abi-6"]),
            _hardened(Level.CORE, "landlock-abi-6"),
        ],
        notes=["kernel.unprivileged_userns_clone = 0 forbids user namespaces to ordinary accounts, too."],
    ),
    KnownHost(
        name="ubuntu-22.04",
        title="Ubuntu 22.04 LTS (jammy)",
        kernel="Linux 5.15, Landlock ABI 1; with the HWE kernel 6.8, ABI 4",
        aliases=["jammy"],
        reaches=[
            Reach(when="as installed", level=Level.FULL, to_do="Nothing to set.", emulated=["landlock-abi-1"]),
            _hardened(Level.REFUSED, "landlock-abi-1"),
        ],
        notes=["Its python3 is 3.10; Gatewright needs 3.11 or later, such as by `uv python install 3.12`."],
    ),
    KnownHost(
        name="ubuntu-24.04",
        title="Ubuntu 24.04 LTS (noble)",
        kernel="Linux 6.8, Landlock ABI 4; AppArmor restricts user namespaces",
        aliases=["noble"],
        reaches=[
            Reach(
                when="as installed, with an engine of an ordinary account",
                level=Level.CORE,
                missing=NO_SCRATCH,
                to_do=remedies.for_apparmor(Path("/usr/bin/python3.12")),
                emulated=["landlock-abi-4", "apparmor-like"],
            ),
            Reach(
                when="with that profile, with the switch off, or with an engine of root",
                level=Level.FULL,
                emulated=["landlock-abi-4"],
            ),
        ],
    ),
    KnownHost(
        name="docker",
        title="A Docker container",
        kernel="that of its host, whose Landlock the container shares (Docker 23 or later)",
        aliases=["container"],
        reaches=[
            Reach(
                when="as started, on a host with Linux 6.2 or later and Landlock",
                level=Level.CORE,
                missing=NO_SCRATCH,
                to_do=remedies.IN_CONTAINER,
                emulated=["container"],
            ),
            Reach(
                when="as started, on an older host or one without Landlock (RHEL, Debian 12, Ubuntu 22.04)",
                level=Level.REFUSED,
                missing=BOTH,
                to_do=remedies.IN_CONTAINER,
                emulated=["container", "landlock-abi-2"],
            ),
            Reach(
                when="with such a filter and apparmor=unconfined, with no-new-privileges as well",
                level=Level.FULL,
                missing="where the host has no Landlock, it is core",
                emulated=["masked-proc", "no-new-privs"],
            ),
        ],
        notes=[
            _ON_A_VOLUME,
        ],
    ),
    KnownHost(
        name="lxc",
        title="An unprivileged LXC container (LXD, Incus, Proxmox)",
        kernel="that of its host",
        aliases=["lxd", "incus", "proxmox"],
        reaches=[
            Reach(
                when="as started, on a host with Linux 6.2 or later and Landlock",
                level=Level.CORE,
                missing=NO_SCRATCH,
                to_do="Allow nesting: `incus config set NAME security.nesting=true` (LXD: `lxc config set`; Proxmox: "
                "`pct set ID --features nesting=1`), and start it again.",
                emulated=["nested", "apparmor-like"],
            ),
            Reach(
                when="as started, on an older host or one without Landlock",
                level=Level.REFUSED,
                missing=BOTH,
                to_do="Allow nesting as above.",
                emulated=["nested", "apparmor-like", "landlock-abi-2"],
            ),
            Reach(
                when="with nesting",
                level=Level.FULL,
                missing="where the host has no Landlock, it is core",
                emulated=["nested"],
            ),
        ],
        notes=[
            "Where LXD or Incus intercepts system calls (security.syscalls.intercept), there are no locks on files."
        ],
    ),
)


class UnknownHost(Exception):
    """No row has this name. The message says so.

    Attributes:
        hint: Which there are.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"No host is known as {name!r}.")
        named = {_plain(each): host.name for host in HOSTS for each in (host.name, *host.aliases)}
        nearest = difflib.get_close_matches(_plain(name), named, n=1, cutoff=0.6)
        known = f"Known are {', '.join(host.name for host in HOSTS)}."
        self.hint = f"Did you mean {named[nearest[0]]}? {known}" if nearest else known


def find(name: str) -> KnownHost:
    """Return the row of a name, which may be an alias, written as one likes.

    Raises:
        UnknownHost: There is none.
    """
    for host in HOSTS:
        if _plain(name) in {_plain(each) for each in (host.name, *host.aliases)}:
            return host
    raise UnknownHost(name)


def this_host(system: HostSystem | None = None) -> str | None:
    """Return the name of the row that this host looks like, by os-release(5) and the marks of containers."""
    system = system or HostSystem()
    if system.in_container:
        return "docker"
    if system.read("run/systemd/container") in ("lxc", "lxc-libvirt"):
        return "lxc"
    release = dict(_assignments(system.read("etc/os-release") or ""))
    version = release.get("VERSION_ID", "")
    for identity in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
        for asked in (f"{identity}-{version}", f"{identity}-{version.partition('.')[0]}"):
            try:
                return find(asked).name
            except UnknownHost:
                continue
    return None


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition("=")
        yield name.strip(), value.strip().strip("\"'")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
