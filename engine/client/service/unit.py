"""The systemd unit of an engine: what it says, what each restriction costs, and what it is read back from.

A restriction is there if the engine and its sandbox work under it; the others are named with the reason. The table of
``gatewright help service`` is made of the same two lists (``test_service_unit.py`` compares them).
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

PREFIX = "gatewright-"
SECTION = "X-Gatewright"
"""What begins with X- is ignored by systemd (systemd.syntax(7)), so that a unit can say what it was made of."""

STATE = PurePosixPath("/var/lib/gatewright")
"""Below it lie projects that have no other place."""

HOMES = ("/home", "/root", "/run/user")
"""What ``ProtectHome=`` closes (systemd.exec(5))."""

TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - names only
"""What ``PrivateTmp=`` exchanges."""

CALLS = (
    "@system-service @mount seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self clone3 unshare "
    "setns pivot_root pidfd_open pidfd_getfd pidfd_send_signal process_vm_readv process_madvise close_range"
)
"""System calls of the engine, its git and uv, and its sandbox. A name that an older systemd does not know is left out
by it with a warning; kernels of its time have no such call."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A restriction of the unit.

    Attributes:
        name: As systemd has it (systemd.exec(5)).
        value: What the unit gives it.
        costs: What no process of the service can do with it, and by which system call.
        user: Whether a user's own manager can have it: it may filter system calls and mount nothing.
    """

    name: str
    value: str
    costs: str
    user: bool = False


HARDENING = (
    Directive("NoNewPrivileges", "yes", "execve of set-user-ID programs: no sudo in ADMIN runs", True),
    Directive("CapabilityBoundingSet", "", "every call that asks for a right of root, outside of own user namespaces"),
    Directive("AmbientCapabilities", "", "rights of root that are inherited by execve"),
    Directive("ProtectSystem", "strict", "open for writing outside of the project, /dev, /proc and --read-write"),
    Directive("ProtectHome", "yes", "open below /home, /root and /run/user (for writing, where something of it is)"),
    Directive("PrivateTmp", "yes", "open of other services' files in /tmp and /var/tmp"),
    Directive("PrivateMounts", "yes", "mount: what is mounted here is not there for the host"),
    Directive("PrivateDevices", "yes", "open of devices, serial ports included; mknod, ioperm, iopl"),
    Directive("ProtectKernelTunables", "yes", "open for writing below /proc/sys and /sys"),
    Directive("ProtectKernelModules", "yes", "init_module, finit_module, delete_module"),
    Directive("ProtectKernelLogs", "yes", "syslog; open of /dev/kmsg"),
    Directive("ProtectClock", "yes", "clock_settime, settimeofday, adjtimex; open of /dev/rtc"),
    Directive("ProtectHostname", "yes", "sethostname, setdomainname"),
    Directive("RestrictNamespaces", "user mnt pid net ipc uts", "unshare, clone, setns for cgroup namespaces", True),
    Directive("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK", "socket for AF_PACKET, AF_CAN", True),
    Directive("RestrictSUIDSGID", "yes", "chmod, mknod, open that would set set-user-ID or set-group-ID", True),
    Directive("RestrictRealtime", "yes", "sched_setscheduler for realtime", True),
    Directive("LockPersonality", "yes", "personality", True),
    Directive("SystemCallArchitectures", "native", "every call by the 32-bit interface", True),
    Directive("SystemCallFilter", CALLS, "all others, such as bpf, ptrace, kexec_load", True),
    Directive("SystemCallErrorNumber", "EPERM", "nothing: what is refused gets an error, no signal", True),
    Directive("KeyringMode", "private", "keyctl for the keys of others"),
    Directive("UMask", "0077", "nothing: files are for the account alone", True),
)  # fmt: skip
"""In the order of the unit."""

LEFT_OUT: Mapping[str, str] = {
    "RestrictNamespaces=yes": "unshare: slots and runs have namespaces of their own; without them the level is core",
    "PrivateUsers=yes": "getsockopt SO_PEERCRED: each member would be called nobody, in roles and in the audit",
    "MemoryDenyWriteExecute=yes": "mmap, mprotect: ctypes, cffi and compilers such as numba make code while they run",
    "ProtectProc=invisible, ProcSubset=pid": "open below /proc: load and memory of the host and of the gateway's JVM",
    "ProtectControlGroups=yes": "mkdir below /sys/fs/cgroup: Delegate=yes lets runs have less than the engine",
    "PrivateNetwork=yes, IPAddressDeny=any": "connect: package indexes, clients over TCP, ADMIN runs",
    "RemoveIPC=yes": "shmget: it would take the segments of the account's other services, too",
    "DynamicUser=yes": "chown: a project belongs to one account that stays",
}
"""What the engine and its sandbox do not work with, and the call that it would take away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """An engine as a service.

    Attributes:
        id: In the name of the unit; a system's service is shared under it.
        project: Absolute.
        command: The program ``gatewright``, absolute.
        system: The system's manager runs it, else the user's own one.
        account: Whose the project is; of a system's service only.
        group: Whose members find it as ``@ID``; of a system's service only.
        writable: Further places that its runs may write to.
        log_file: Whether its log is a file of the project, too, beside the journal.
        made_account: The account was made for it, or for another one of ours.
        made_group: The same of the group.
        libraries: Where the interpreter and its packages are: they must stay readable.
    """

    id: str
    project: PurePosixPath
    command: PurePosixPath
    system: bool = True
    account: str = ""
    group: str = ""
    writable: tuple[PurePosixPath, ...] = ()
    log_file: bool = True
    made_account: bool = False
    made_group: bool = False
    libraries: tuple[PurePosixPath, ...] = ()

    @property
    def name(self) -> str:
        """The unit's."""
        return f"{PREFIX}{self.id}.service"

    def text(self) -> str:
        """Return the unit."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"# Made by gatewright engine install. Changes of yours: systemctl{self._flag} edit {self.name}"
        yield "# Installing it again keeps them and writes this file again. What lines are for: gatewright help service"
        yield ""
        yield "[Unit]"
        yield f"Description=Gatewright engine of {_text(str(self.project))}"
        if self.system:
            yield "After=network.target nss-user-lookup.target"
        yield f"RequiresMountsFor={_word(self.project)}"
        # An address that is not there yet at boot is tried again for a while, a mistake in the settings not forever.
        yield "StartLimitIntervalSec=300"
        yield "StartLimitBurst=20"
        yield ""
        yield "[Service]"
        yield "Type=notify"
        yield "NotifyAccess=main"
        yield from self._who()
        yield f"ExecStart={self._start()}"
        yield "ExecReload=/bin/kill -HUP $MAINPID"
        yield "Restart=on-failure"
        yield "RestartSec=5"
        yield "RestartPreventExitStatus=2 4"
        yield "WatchdogSec=60"
        yield "TimeoutStartSec=300"
        yield "TimeoutStopSec=30"
        # The engine ends its runs by itself; what is left after that is killed.
        yield "KillMode=mixed"
        yield "Delegate=yes"
        # A run that the kernel ends for its memory is no reason to end the others.
        yield "OOMPolicy=continue"
        yield "LimitNOFILE=65536"
        yield "LimitCORE=0"
        yield f"SyslogIdentifier={PREFIX}{self.id}"
        if not self.log_file:
            yield "Environment=GATEWRIGHT_ENGINE_LOG_FILE=false"
        yield ""
        yield from self._restrictions()
        yield ""
        yield "[Install]"
        yield f"WantedBy={'multi-user' if self.system else 'default'}.target"
        yield ""
        yield f"[{SECTION}]"
        yield from self._kept()

    @property
    def _flag(self) -> str:
        return "" if self.system else " --user"

    def _who(self) -> Iterator[str]:
        if not self.system:
            return
        yield f"User={self.account}"
        yield f"Group={self.group}"
        yield f"RuntimeDirectory=gatewright/{self.id}"
        yield "RuntimeDirectoryMode=2750"
        # Members who come while it is stopped are told that it does not run, not that there is no such project.
        yield "RuntimeDirectoryPreserve=yes"
        if self.project == STATE / self.id:
            yield f"StateDirectory=gatewright/{self.id}"
            yield "StateDirectoryMode=0700"

    def _start(self) -> str:
        words = [_word(self.command, command=True), "engine serve --project", _word(self.project, command=True)]
        if self.system:
            words.append(f"--shared {self.id} --group {self.group}")
        return " ".join(words)

    def _restrictions(self) -> Iterator[str]:
        for directive in HARDENING:
            if not self.system and not directive.user:
                continue
            value = self._value(directive)
            # The engine and its runs need some /tmp to write to, if not one of their own.
            yield f"{directive.name}={value}" if value is not None else f"ReadWritePaths={' '.join(TEMPORARY)}"
            if directive.name == "ProtectSystem":
                yield f"ReadWritePaths={_word(self.project)}"
                yield from (f"ReadWritePaths={_word(path, missing=True)}" for path in self.writable)

    def _value(self, directive: Directive) -> str | None:
        places = (self.project, self.command, *self.writable, *self.libraries)
        if directive.name == "ProtectHome" and _any_below(places, HOMES):
            return "read-only"
        if directive.name == "PrivateTmp" and _any_below(places, TEMPORARY):
            return None
        return directive.value

    def _kept(self) -> Iterator[str]:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "libraries":
                continue
            if field.name == "writable":
                yield from (f"writable-{number}={path}" for number, path in enumerate(value))
            else:
                yield f"{field.name}={_yes(value) if isinstance(value, bool) else value}"


def installed(text: str) -> Service | None:
    """Return what a unit was made of; None if it is none of ours."""
    kept = configparser.RawConfigParser(
        strict=False, delimiters=("=",), comment_prefixes=("#", ";"), allow_no_value=True
    )
    _, found, section = text.partition(f"\n[{SECTION}]\n")
    try:
        kept.read_string(f"[{SECTION}]\n{section}")
        given = dict(kept[SECTION])
        writable = tuple(PurePosixPath(value) for key, value in given.items() if key.startswith("writable-"))
        return Service(
            id=given["id"], project=PurePosixPath(given["project"]), command=PurePosixPath(given["command"]),
            system=given["system"] == "yes", account=given["account"], group=given["group"], writable=writable,
            log_file=given["log_file"] == "yes", made_account=given["made_account"] == "yes",
            made_group=given["made_group"] == "yes",
        ) if found else None  # fmt: skip
    except (configparser.Error, KeyError):
        return None


def id_of(project: Path) -> str:
    """Return an ID for a project, from its folder's name; empty where nothing of the name can be part of one."""
    return re.sub(r"[^a-z0-9]+", "-", project.name.lower()).strip("-")[:32].rstrip("-")


def unusable(path: PurePosixPath) -> str | None:
    """Say why a path cannot stand in a unit, in a clause; None where it can."""
    if not path.is_absolute():
        return "it does not begin at /"
    text = str(path)
    if not text.isprintable() or "\\" in text or text != text.strip() or '"' in text:
        return "its name has a quote, a backslash, a space at its end or what cannot be printed"
    return None


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _any_below(places: Iterable[PurePosixPath], tops: Iterable[str]) -> bool:
    return any(place.is_relative_to(top) for place in places for top in tops)


def _text(value: str) -> str:
    """Return a value in which systemd replaces nothing (systemd.unit(5), specifiers)."""
    return value.replace("%", "%%")


def _word(path: PurePosixPath, *, command: bool = False, missing: bool = False) -> str:
    """Return a path as one word of a list or a command line (systemd.syntax(7), systemd.service(5)).

    Args:
        path: One that is not ``unusable``.
        command: In a command line, where ``$`` is a variable's.
        missing: It need not be there.
    """
    word = _text(str(path))
    if command:
        word = word.replace("$", "$$")
    if not re.fullmatch(r"[\w/.,:@+=%$-]+", word, re.ASCII):
        return f'"{"-" if missing else ""}{word}"'
    return ("-" if missing else "") + word
