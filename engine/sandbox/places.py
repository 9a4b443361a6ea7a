"""The places that no script is ever given: this project, its interpreters, and the host's secrets and switches.

A place need not exist to be protected: what is not there today may be made tomorrow, below a folder that was granted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ACCOUNTS = "/etc/passwd"

_SHARED_PREFIXES = frozenset({"/", "/usr", "/usr/local", "/opt"})
"""Installations that an interpreter shares with everything else on the host: only its own part of them is protected."""

_CREDENTIALS = (
    ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".pgpass", ".my.cnf", ".mylogin.cnf",
    ".git-credentials", ".pypirc", ".npmrc", ".vault-token", ".terraform.d", ".password-store", ".pki", ".rhosts",
    ".shosts", ".k5login", ".config/gh", ".config/gcloud", ".config/git", ".config/rclone", ".config/containers",
    ".config/op", ".local/share/keyrings", ".local/state/gatewright", ".mozilla", ".bash_history", ".zsh_history",
    ".python_history",
)  # fmt: skip

_START_FILES = (
    ".bash*", ".profile", ".zsh*", ".zlog*", ".zprofile", ".cshrc", ".tcshrc", ".login", ".logout", ".kshrc",
    ".pam_environment", ".xprofile", ".xsession*", ".xinitrc", ".forward", ".config/systemd", ".config/autostart",
    ".config/environment.d", ".config/fish", ".local/share/systemd",
)  # fmt: skip

_PROGRAMS = (".local/bin", ".local/lib", "bin", ".gitconfig", ".config/pip", ".vimrc", ".vim", ".tmux.conf")


@dataclass(frozen=True, slots=True)
class ProtectedPath:
    """One protected path with everything in it."""

    path: str
    """Absolute. With ``prefix`` its last component is the beginning of a name."""
    what: str
    """What is there, to follow the path in a sentence."""
    prefix: bool = False
    inside: bool = True
    """False: what lies in it may be granted, only it itself and what is above it may not."""
    reading: bool = True
    """False: it may be read, not written."""


def host_places(
    project: Path, interpreter: Path, accounts: str = ACCOUNTS, keys: Iterable[Path] = ()
) -> tuple[ProtectedPath, ...]:
    """Everything that is protected on this host.

    Args:
        project: The project's root.
        interpreter: What runs the scripts; it may be a symbolic link into another installation.
        accounts: The file of accounts. It is read itself: a directory service may know a hundred thousand more, whose
            homes are on other hosts.
        keys: Files whose keys this engine uses, wherever its settings say they are.
    """
    return (
        *_project(project),
        *_interpreters(interpreter),
        *(ProtectedPath(os.path.abspath(key), "a key of this engine") for key in keys),
        *_SYSTEM,
        *(place for home in _homes(accounts) for place in _of_home(home)),
    )


def _project(root: Path) -> Iterator[ProtectedPath]:
    yield ProtectedPath(str(root / ".gatewright"), "the engine's own files")
    yield ProtectedPath(str(root / ".git"), "this project's repository")
    yield ProtectedPath(str(root / "scripts"), "this project's scripts")
    # Where sockets and agents of this account are, if they are not in /run.
    for name in (f"gatewright-{os.geteuid()}-", "ssh-", "tmux-", "systemd-private-", ".X11-unix"):
        yield ProtectedPath(f"/tmp/{name}", "sockets and private files of other programs", prefix=True)  # noqa: S108


def _interpreters(interpreter: Path) -> Iterator[ProtectedPath]:
    what = "an interpreter and its modules"
    for executable in (interpreter, Path(sys.executable)):
        for path in (str(executable), os.path.realpath(executable)):
            yield ProtectedPath(path, what)
            yield from _installation(os.path.dirname(os.path.dirname(path)), what)
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix):
        yield from _installation(prefix, what)
    ours = Path(__file__).resolve().parents[2]
    for name in ("engine", "store", "tui", "default_scripts"):
        yield ProtectedPath(str(ours / name), "Gatewright's own code")


def _installation(prefix: str, what: str) -> Iterator[ProtectedPath]:
    if prefix not in _SHARED_PREFIXES and os.path.realpath(prefix) not in _SHARED_PREFIXES:
        yield ProtectedPath(prefix, what)
        return
    for part in ("bin/python", "lib/python3", "lib64/python3", "lib/libpython3", "lib64/libpython3"):
        yield ProtectedPath(os.path.join(prefix, part), what, prefix=True)


def _all(what: str, *paths: str, reading: bool = True, inside: bool = True) -> tuple[ProtectedPath, ...]:
    """Places of one sort; a path that ends in ``*`` is the beginning of names."""
    return tuple(
        ProtectedPath(path.rstrip("*"), what, prefix=path.endswith("*"), reading=reading, inside=inside)
        for path in paths
    )


_SYSTEM = (
    *_all("the kernel's own files", "/proc", "/sys", "/dev", "/boot"),
    *_all("sockets and state of running programs", "/run", "/var/run"),
    *_all("the passwords of this host", "/etc/shadow*", "/etc/gshadow*", "/etc/opasswd", "/etc/security/opasswd"),
    *_all("who may become root", "/etc/sudo*", "/etc/doas*", "/etc/polkit-1"),
    *_all("the keys of this host", "/etc/ssh", "/etc/ssl/private", "/etc/pki/tls/private", "/etc/krb5.keytab"),
    *_all("the policy of this engine", "/etc/gatewright"),
    *_all(
        "what this host starts by itself",
        "/etc/systemd", "/lib/systemd", "/usr/lib/systemd", "/usr/local/lib/systemd", "/var/lib/systemd",
        "/etc/cron*", "/etc/anacron*", "/etc/at.*", "/var/spool/cron*", "/var/spool/at*", "/var/spool/anacron",
        "/etc/init.d", "/etc/init", "/etc/inittab", "/etc/rc*", "/etc/xdg/autostart", "/etc/xdg/systemd",
    ),
    *_all(
        "what every shell and program starts with",
        "/etc/profile*", "/etc/bash*", "/etc/zsh*", "/etc/csh*", "/etc/environment*", "/etc/ld.so.*",
    ),
    *_all(
        "accounts, programs and switches of this host",
        "/etc/passwd*", "/etc/group*", "/etc/subuid*", "/etc/subgid*", "/etc/pam*", "/etc/security",
        "/etc/nsswitch.conf", "/etc/hosts*", "/etc/resolv.conf", "/etc/fstab*", "/etc/modprobe.d", "/etc/modules*",
        "/etc/sysctl*", "/etc/udev", "/etc/dbus-1", "/etc/apparmor*", "/etc/selinux", "/etc/logrotate*",
        "/etc/update-*", "/etc/network*", "/etc/NetworkManager", "/etc/apt", "/etc/dpkg", "/etc/yum*", "/etc/dnf",
        "/etc/alternatives", "/etc/git*", "/etc/python3*", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
        "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/libexec",
        "/usr/share/dbus-1", "/usr/share/polkit-1", "/var/lib/dpkg", "/var/lib/rpm",
        reading=False,
    ),
    # Ignition itself usually lies in /usr/local/bin/ignition, and its folders may be granted.
    *_all("programs of this host", "/usr/local/bin", "/usr/local/sbin", "/usr/local/lib", reading=False, inside=False),
)  # fmt: skip


def _of_home(home: str) -> Iterator[ProtectedPath]:
    kinds = ((_CREDENTIALS, "credentials", True), (_START_FILES, "what starts with a login", True))
    for names, what, reading in (*kinds, (_PROGRAMS, "programs and settings of an account", False)):
        yield from _all(what, *(os.path.join(home, name) for name in names), reading=reading)


def _homes(accounts: str) -> Iterator[str]:
    """The homes of the local accounts, each once (passwd(5): the sixth field), and this account's own."""
    seen = {"/", ""}  # many accounts of daemons have "/", and nothing is kept there
    try:
        with open(accounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:  # without it nobody can log in here, and "/root" is below
        lines = []
    found = [fields[5] for line in lines if len(fields := line.split(":")) >= 7]
    for home in (*found, "/root", os.path.expanduser("~")):
        path = os.path.normpath(home) if home.startswith("/") else ""
        if path not in seen:
            seen.add(path)
            yield path
