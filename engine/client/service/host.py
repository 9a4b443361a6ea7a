"""The host that a service is installed on: its units, accounts and systemctl; or an image of one in a folder."""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.client.service.unit import PREFIX, Service, installed
from engine.client.starter import LaunchError
from engine.logind import BOOTED
from engine.user_folders import settings_home

SYSTEM_UNITS = PurePosixPath("/etc/systemd/system")
LINGER = PurePosixPath("/var/lib/systemd/linger")
"""Has a file for each account whose manager runs without a login (loginctl(1), enable-linger)."""

PATIENCE = 360.0
"""Seconds for a program of the host. A service may take five minutes to start."""

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where the programs for accounts are; an ordinary PATH does not name it everywhere."""

MAX_UNIT = 1 << 20

COMMENT = "Gatewright engines"
"""Of the accounts that are made here (passwd(5), GECOS)."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the host.

    Attributes:
        made: By us: its comment says so.
    """

    name: str
    uid: int
    gid: int
    made: bool


@dataclass(frozen=True, slots=True)
class ServiceHost:
    """Where a service goes.

    Attributes:
        system: To the system's manager; else to the caller's own.
        root: Folder that holds the host's files: ``/``, or an image that is put together in it.
    """

    system: bool
    root: Path = Path("/")

    @property
    def staged(self) -> bool:
        """Whether it is an image: nothing runs there."""
        return self.root != Path("/")

    @property
    def units(self) -> Path:
        """The folder of the manager's units."""
        if self.system:
            return self.at(SYSTEM_UNITS)
        return settings_home() / "systemd/user"

    def at(self, path: PurePosixPath) -> Path:
        """Return where a path of the host is.

        Raises:
            LaunchError: A symbolic link in an image leads out of it.
        """
        place = self.root / path.relative_to("/")
        if self.staged and not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(self.root)):
            raise LaunchError(f"{place} leads out of {self.root}.", "Replace the symbolic link by a relative one.")
        return place

    def check(self) -> None:
        """Refuse a host without a systemd that could run the service.

        Raises:
            LaunchError: It is one.
        """
        if self.staged or os.path.isdir(BOOTED):
            return
        raise LaunchError(
            "This host is not run by systemd: nothing would start the service.",
            "Let your service manager run: gatewright engine serve --project DIR. More: gatewright help service",
        )

    def account(self, name: str) -> Account | None:
        """Find an account by its name."""
        if not self.staged:
            try:
                found = pwd.getpwnam(name)
            except KeyError:
                return None
            return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_gecos == COMMENT)
        for line in self._listed("passwd"):
            if line[0] == name:
                return Account(name, int(line[2]), int(line[3]), line[4] == COMMENT)
        return None

    def name_of(self, uid: int) -> str | None:
        """Find an account's name."""
        if not self.staged:
            try:
                return pwd.getpwuid(uid).pw_name
            except KeyError:
                return None
        return next((line[0] for line in self._listed("passwd") if line[2] == str(uid)), None)

    def group(self, name: str) -> int | None:
        """Find a group's gid by its name."""
        if not self.staged:
            try:
                return grp.getgrnam(name).gr_gid
            except KeyError:
                return None
        return next((int(line[2]) for line in self._listed("group") if line[0] == name), None)

    def services(self) -> list[Service]:
        """Return the services of ours that this manager has, by ID."""
        found = [service for path in sorted(self.units.glob(f"{PREFIX}*.service")) if (service := self.service(path))]
        return [service for service in found if service.system == self.system]

    def service(self, unit: Path) -> Service | None:
        """Read a unit; None if it is missing or none of ours."""
        with suppress(OSError, UnicodeDecodeError):
            return installed(unit.read_text("utf-8")[:MAX_UNIT])
        return None

    def lingers(self) -> bool:
        """Return True if the caller's manager goes on without a login."""
        name = self.name_of(os.geteuid())
        return name is not None and os.path.exists(self.at(LINGER / name))

    def systemctl(self, *arguments: str) -> str:
        """Call systemctl for this manager.

        Raises:
            LaunchError: It is missing or refuses.
        """
        try:
            return self.call("systemctl", *self.systemctl_options, *arguments)
        except LaunchError as error:
            if not self.system and "XDG_RUNTIME_DIR" not in os.environ:  # as after su(1)
                hint = "There is a manager of yours only after a login: come by ssh, or let root install it: --system"
                raise LaunchError(error.message, hint) from None
            raise

    @property
    def systemctl_options(self) -> tuple[str, ...]:
        """What names this manager to systemctl."""
        if self.staged:
            return (f"--root={self.root}",)
        return () if self.system else ("--user",)

    def answers(self, question: str, unit: str) -> bool:
        """Ask systemctl a question that its exit code answers: such as ``is-active``."""
        try:
            self.systemctl("--quiet", question, unit)
        except LaunchError:
            return False
        return True

    def enabled(self, unit: str) -> bool:
        """Return True if the manager starts a unit by itself, or will in the image."""
        if self.staged:
            return any(os.path.lexists(wants / unit) for wants in self.units.glob("*.wants"))
        return self.answers("is-enabled", unit)

    def make_group(self, name: str) -> None:
        """Make a system's group."""
        self.call("groupadd", *self._prefix, "--system", name)

    def make_account(self, name: str) -> None:
        """Make a system's account without a shell, with the group of its name."""
        own = ("--gid", name) if self.group(name) is not None else ("--user-group",)
        self.call(
            "useradd", *self._prefix, "--system", *own, "--no-create-home", "--home-dir", "/var/lib/gatewright",
            "--shell", "/usr/sbin/nologin", "--comment", COMMENT, name,
        )  # fmt: skip

    def remove_account(self, name: str) -> None:
        """Remove an account; most hosts take the group of its name along."""
        self.call("userdel", *self._prefix, name)

    def remove_group(self, name: str) -> None:
        """Remove a group, if it has not gone with its account."""
        if self.group(name) is not None:
            self.call("groupdel", *self._prefix, name)

    @property
    def _prefix(self) -> tuple[str, ...]:
        return ("--prefix", str(self.root)) if self.staged else ()

    def call(self, program: str, *arguments: str) -> str:
        """Run a program of the host and return what it prints.

        Raises:
            LaunchError: It is missing, takes too long or fails; the sentence has its last line.
        """
        found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SBIN}")
        if found is None:
            raise LaunchError(f"There is no {program} on this host.", "Do by hand what --print shows.")
        try:
            done = subprocess.run(
                [found, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False,
                env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LaunchError(f"{program} did not come to an end: {error}.") from None
        if done.returncode:
            lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
            said = f": {lines[-1].strip()}" if lines else f" with exit code {done.returncode}."
            raise LaunchError(f"{' '.join([program, *arguments[-2:]])} failed{said}")
        return done.stdout.decode("utf-8", "replace")

    def write(self, file: Path, text: str, mode: int, gid: int = -1) -> None:
        """Put a file in place, whole or not at all, with the folders that it needs."""
        file.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name = f".{file.name}.{secrets.token_hex(4)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=folder)
            try:
                with open(descriptor, "wb") as writing:
                    writing.write(text.encode())
                    if gid >= 0:
                        os.fchown(descriptor, -1, gid)
                    os.fchmod(descriptor, mode)
                    writing.flush()
                    os.fsync(descriptor)
                os.replace(name, file.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(name, dir_fd=folder)
                raise
            os.fsync(folder)
        finally:
            os.close(folder)

    def _listed(self, what: str) -> Iterator[list[str]]:
        """Yield the lines of the image's passwd(5) or group(5), split."""
        try:
            lines = self.at(PurePosixPath("/etc", what)).read_text("utf-8", "replace").splitlines()
        except OSError as error:
            raise LaunchError(
                f"{self.root} has no /etc/{what}: {error.strerror}.", "An image needs its list of accounts."
            ) from None
        for line in lines:
            parts = line.split(":")
            if len(parts) >= (7 if what == "passwd" else 4) and parts[2].isdecimal():
                yield parts
