"""Install an engine as a service, bring it up to date, remove it: each as steps that are shown before they are done."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

from engine.client.ownership import Owner, closed_to
from engine.client.service.host import Account, ServiceHost
from engine.client.service.unit import STATE, Service, id_of, unusable
from engine.client.shared import ID_FORM, RUN_FOLDER
from engine.client.starter import LaunchError
from engine.client.target import REFUSED
from engine.lock import engine_lives, holder_of
from engine.paths import PRIVATE, EnginePaths
from engine.project_folder import why_no_project

SETTINGS = PurePosixPath("/etc/gatewright")
NAME_FORM = re.compile(r"[a-z_][a-z0-9_-]{0,30}", re.ASCII)
"""Of accounts and groups, as useradd(8) takes them."""

OWN = "gatewright"
"""The account and the group that are made where none is named."""

NOBODY = Owner(65534, 65534, of_project=False)
"""Stands for an account that is still to be made: what it may not read, that one may not either."""

USAGE = 2
"""Exit code of a request that cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedService:
    """What was asked for; None is as it was, or the default.

    Attributes:
        project: Absolute.
        writable: Further places that runs may write to.
        looks: Nothing will be done now: an engine that would have to end first is told in a note.
    """

    id: str | None = None
    project: PurePosixPath | None = None
    account: str | None = None
    group: str | None = None
    writable: tuple[PurePosixPath, ...] | None = None
    log_file: bool | None = None
    start: bool = True
    looks: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the host.

    Attributes:
        says: What is done, as an imperative.
        act: Does it.
    """

    says: str
    act: Callable[[], object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What is to be done for a service.

    Attributes:
        files: What will stand in which file that is written.
        notes: What the administrator should know, a sentence each.
    """

    service: Service
    steps: tuple[Step, ...]
    files: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]

    def carry_out(self) -> None:
        """Do all steps, in turn.

        Raises:
            LaunchError: One failed. Those before it stay done; all can be called again.
        """
        for step in self.steps:
            try:
                step.act()
            except OSError as error:
                raise LaunchError(f"It stopped at this: {step.says}: {error.strerror} ({error.filename}).") from None


def plan_installation(host: ServiceHost, wanted: WantedService) -> ServicePlan:
    """Find out what is to be done so that ``wanted`` is a service. Changes nothing.

    Raises:
        LaunchError: It cannot be one.
    """
    before = _before(host, wanted)
    service = _chosen(host, wanted, before)
    _check_names(service)
    project = host.at(service.project)
    owner = _owner(project)
    if host.system:
        _check_owner(host, service, owner)
    elif owner not in (None, os.geteuid()):
        raise LaunchError(
            f"{service.project} is another account's.", "Its owner installs it, or root: --system", REFUSED
        )
    unit = host.units / service.name
    if os.path.lexists(unit) and host.service(unit) is None:
        raise LaunchError(f"{unit} was not made by gatewright engine install.", "Move it away, or choose another --id.")
    there = host.service(unit)
    if there is not None and there.project != service.project:
        raise LaunchError(
            f"The ID {service.id} is that of {there.project} already.",
            f"Choose another: --id ID. Or remove that service first: gatewright engine uninstall --id {service.id}",
            5,
        )
    active = not host.staged and host.answers("is-active", service.name)
    notes: tuple[str, ...] = ()
    try:
        _check_free(service, project, staged=host.staged, active=active)
    except LaunchError as error:
        if not wanted.looks:
            raise
        notes = (f"{error.message} {error.hint}.",)
    plan = _Installing(host, service, unit, there, active=active, start=wanted.start).plan()
    return replace(plan, notes=(*notes, *plan.notes))


def plan_removal(host: ServiceHost, wanted: WantedService, *, keep_settings: bool) -> ServicePlan:
    """Find out what is to be done so that nothing of a service is left but its project. Changes nothing.

    Raises:
        LaunchError: There is no such service.
    """
    service = _before(host, wanted)
    if service is None:
        there = ", ".join(one.id for one in host.services())
        named = wanted.id or (str(wanted.project) if wanted.project else "")
        raise LaunchError(
            f"There is no service{f' of {named}' if named else ' that was installed'} here.",
            f"There are: {there}. Name one: --id ID" if there else None,
            USAGE,
        )
    return _Removing(host, service, keep_settings=keep_settings).plan()


def _before(host: ServiceHost, wanted: WantedService) -> Service | None:
    """Return the service that is meant, if it is there: by its ID, or by its project."""
    services = host.services()
    if wanted.id is not None:
        return next((one for one in services if one.id == wanted.id), None)
    if wanted.project is not None:
        return next((one for one in services if one.project == wanted.project), None)
    return services[0] if len(services) == 1 else None


def _chosen(host: ServiceHost, wanted: WantedService, before: Service | None) -> Service:
    """Return the service to install: the options given, then those of the unit that is there, then the defaults."""
    id_ = wanted.id or (before.id if before else "") or (id_of(Path(wanted.project)) if wanted.project else "")
    project = wanted.project or (before.project if before else None)
    if project is None and host.system and id_:
        project = STATE / id_
    if project is None:
        also = ", or give it a name, and it gets a project of its own: --id ID" if host.system else ""
        raise LaunchError("No project is named.", f"Name its folder: --project DIR{also}", USAGE)
    service = Service(
        id=id_,
        project=project,
        command=_program(),
        system=host.system,
        writable=wanted.writable if wanted.writable is not None else before.writable if before else (),
        log_file=wanted.log_file if wanted.log_file is not None else before.log_file if before else True,
        libraries=tuple(PurePosixPath(place) for place in (sys.prefix, sys.base_prefix)),
    )
    if not host.system:
        return service
    owner = _owner(host.at(project))
    owners_name = host.name_of(owner) if owner else None
    account = wanted.account or (before.account if before else None) or owners_name or OWN
    group = wanted.group or (before.group if before else None) or OWN
    others, found = host.services(), host.account(account)
    return replace(
        service,
        account=account,
        group=group,
        made_account=found is None or found.made,
        made_group=host.group(group) is None or any(one.made_group and one.group == group for one in others),
    )


def _program() -> PurePosixPath:
    """Return the installed command; its folder is the interpreter's (PEP 405)."""
    program = Path(sys.executable).with_name("gatewright")
    if not os.access(program, os.X_OK):
        raise LaunchError(f"There is no {program}.", "Install Gatewright first: gatewright help installation")
    return PurePosixPath(program)


def _check_names(service: Service) -> None:
    if not ID_FORM.fullmatch(service.id) or service.id.startswith("-"):
        raise LaunchError(
            f"{service.id!r} cannot be the ID of a service: that is up to 32 of a to z, 0 to 9 and -.",
            "Name one: --id plant", USAGE,
        )  # fmt: skip
    for what, name in (("account", service.account), ("group", service.group)):
        if service.system and not NAME_FORM.fullmatch(name):
            raise LaunchError(f"{name!r} cannot be the {what} of a service.", f"Name another: --{what} NAME", USAGE)
    if service.account == "root":
        raise LaunchError(
            "No service runs as root: each ADMIN run would be root's.",
            "Give the project to an account of its own, and name that: --account NAME", USAGE,
        )  # fmt: skip
    for path in (service.project, service.command, *service.writable):
        if why := unusable(path):
            raise LaunchError(f"{path} cannot stand in a unit: {why}.", "Use another path.", USAGE)
    if why := why_no_project(Path(service.project)):
        raise LaunchError(why, "Name a folder of its own: --project DIR", USAGE)


def _owner(project: Path) -> int | None:
    """Return the uid of the project's owner; None where there is nothing yet, or an empty folder of root's."""
    for folder in (project / PRIVATE, project):
        try:
            info = folder.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LaunchError(f"{project} cannot be a project: {error.strerror}.", exit_code=USAGE) from None
        if not stat.S_ISDIR(info.st_mode):
            raise LaunchError(f"{folder} is not a folder.", "Name a project's folder: --project DIR", USAGE)
        if info.st_uid == 0 and folder == project and os.geteuid() == 0 and not os.listdir(folder):
            return None
        return info.st_uid
    return None


def _check_owner(host: ServiceHost, service: Service, owner: int | None) -> None:
    """Refuse a project of another account than the service's, and a Python that this one cannot read."""
    account = host.account(service.account)
    if owner is not None and (account is None or account.uid != owner):
        name = host.name_of(owner) or f"uid {owner}"
        raise LaunchError(
            f"{service.project} belongs to {name}, and the service would run as {service.account}.",
            f"Say --account {name}, or give it away: chown -R {service.account}: {service.project}" if owner else
            f"Give it to an account: chown -R ACCOUNT: {service.project}",
            REFUSED,
        )  # fmt: skip
    if host.staged or os.geteuid() != 0:
        return
    who = NOBODY if account is None else Owner(account.uid, account.gid, of_project=False)
    also = [(str(service.command), os.X_OK)]
    above = next(place for place in Path(service.project).parents if place.exists())
    also.append((str(above), os.X_OK) if owner is None else (str(service.project), os.R_OK | os.W_OK | os.X_OK))
    if (closed := closed_to(who, also)) is not None:
        raise LaunchError(
            f"The account {service.account} cannot use {closed}.",
            "Install Gatewright where all accounts can read it, such as in /opt/gatewright, and keep the project where "
            "its account can go.",
            REFUSED,
        )  # fmt: skip


def _check_free(service: Service, project: Path, *, staged: bool, active: bool) -> None:
    """Refuse a project that an engine serves which is not this service's."""
    paths = EnginePaths(project)
    if staged or active or not paths.lifetime_lock.exists() or not engine_lives(paths.lifetime_lock):
        return
    holder = holder_of(paths.lifetime_lock)
    raise LaunchError(
        f"An engine serves {service.project} already{f', process {holder.pid}' if holder else ''}.",
        f"End it: gatewright engine stop --project {service.project}",
        5,
    )


class _Installing:
    """The steps of an installation."""

    def __init__(
        self, host: ServiceHost, service: Service, unit: Path, before: Service | None, *, active: bool, start: bool
    ) -> None:
        self._host = host
        self._service = service
        self._unit = unit
        self._before = before
        self._active = active
        self._start = start
        self._steps: list[Step] = []
        self._files: list[tuple[Path, str]] = []

    def plan(self) -> ServicePlan:
        service = self._service
        if service.system:
            self._accounts()
        self._project()
        if service.system:
            self._settings()
        changed = self._write_unit()
        self._begin(changed=changed)
        self._leave_group()
        return ServicePlan(service, tuple(self._steps), tuple(self._files), tuple(self._notes(changed=changed)))

    def _do(self, says: str, act: Callable[[], object]) -> None:
        self._steps.append(Step(says, act))

    def _accounts(self) -> None:
        host, service = self._host, self._service
        if host.group(service.group) is None:
            self._do(f"make the group {service.group}", lambda: host.make_group(service.group))
        if host.account(service.account) is None:
            self._do(f"make the account {service.account}, without a shell", lambda: host.make_account(service.account))

    def _project(self) -> None:
        service, place = self._service, self._host.at(self._service.project)
        if os.path.lexists(place / PRIVATE):
            return
        whose = f", of {service.account}" if service.system else ""
        self._do(f"make a project of {place}{whose}", lambda: self._make(place))

    def _make(self, place: Path) -> None:
        """Make the folder and in it what says whose project it is; the engine makes the rest (``serve``)."""
        account = self._made_account() if self._service.system else None
        for folder in reversed(place.parents):
            with suppress(FileExistsError):
                folder.mkdir()
                folder.chmod(0o755)  # whatever the umask is: its account must pass
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if account is not None and os.fstat(descriptor).st_uid == 0:
                if os.listdir(descriptor):
                    raise LaunchError(f"{place} is no longer empty.", "Look who uses it, and call this again.")
                os.fchmod(descriptor, 0o700)
                os.fchown(descriptor, account.uid, account.gid)
            os.mkdir(PRIVATE, 0o700, dir_fd=descriptor)
            if account is not None:
                os.chown(PRIVATE, account.uid, account.gid, dir_fd=descriptor, follow_symlinks=False)
        finally:
            os.close(descriptor)

    def _made_account(self) -> Account:
        account = self._host.account(self._service.account)
        if account is None:
            raise LaunchError(f"This host does not list the account {self._service.account} that was made.")
        return account

    def _settings(self) -> None:
        service, host = self._service, self._host
        folder = host.at(SETTINGS)
        file = folder / f"{service.id}.toml"
        if os.path.lexists(file):
            gid = host.group(service.group)
            if not file.is_symlink() and (gid is None or file.stat().st_gid != gid):
                self._do(f"give {file} to the group {service.group}", lambda: self._give(file))
            return
        text = _settings_text(service)
        self._files.append((file, text))

        def act() -> None:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o755)
                folder.chmod(0o755)
            gid = host.group(service.group)
            host.write(file, text, 0o640, -1 if gid is None else gid)

        self._do(f"write {file}, of root, readable by the group {service.group}", act)

    def _give(self, file: Path) -> None:
        gid = self._host.group(self._service.group)
        if gid is not None:
            os.chown(file, -1, gid, follow_symlinks=False)

    def _write_unit(self) -> bool:
        text = self._service.text()
        with suppress(OSError, UnicodeDecodeError):
            if self._unit.read_text("utf-8") == text:
                return False
        self._files.append((self._unit, text))
        again = "write again" if self._unit.exists() else "write"
        self._do(f"{again} {self._unit}", lambda: self._host.write(self._unit, text, 0o644))
        return True

    def _begin(self, *, changed: bool) -> None:
        host, name = self._host, self._service.name
        if changed and not host.staged:
            self._systemctl("daemon-reload")
        if not host.enabled(name):
            self._systemctl("enable", name)
        if host.staged or not self._start:
            return
        if not self._active:
            self._do(f"start it: systemctl{self._flag} start {name}", self._started)
        elif changed:
            self._do(
                f"start it again, which ends what runs: systemctl{self._flag} restart {name}",
                lambda: self._started("restart"),
            )

    def _started(self, verb: str = "start") -> None:
        name = self._service.name
        try:
            self._host.systemctl(verb, name)
        except LaunchError:
            why = ""
            with suppress(LaunchError):
                why = self._host.systemctl("show", "--property=StatusText", "--value", name).strip()
            raise LaunchError(
                f"The service is installed and did not start{f': {why}' if why else '.'}",
                f"Its log: journalctl{self._flag} -u {name} -n 30",
            ) from None

    def _leave_group(self) -> None:
        """Plan the end of a group that was made for the service and is no longer its own."""
        host, before = self._host, self._before
        if before is None or not before.made_group or before.group == self._service.group:
            return
        account, gid = host.account(self._service.account), host.group(before.group)
        used = any(one.group == before.group for one in host.services() if one.id != before.id)
        if gid is not None and not used and (account is None or account.gid != gid):
            self._do(f"remove the group {before.group}", lambda: host.remove_group(before.group))

    def _systemctl(self, *words: str) -> None:
        self._do(f"call systemctl{self._flag} {' '.join(words)}", lambda: self._host.systemctl(*words))

    @property
    def _flag(self) -> str:
        return "".join(f" {option}" for option in self._host.systemctl_options)

    def _notes(self, *, changed: bool) -> list[str]:
        service, host = self._service, self._host
        notes = []
        if service.system:
            notes.append(
                f"Members of the group {service.group} say: gatewright @{service.id}. What they may do stands in "
                f"{SETTINGS / service.id}.toml."
            )
            own = host.at(service.project) / PRIVATE / "settings.toml"
            if own.exists():
                notes.append(f"{own} does not count for a shared project: take over what you have set there.")
            if "\nPrivateTmp=" not in service.text():
                notes.append("PrivateTmp= is left out, since something of it lies below /tmp.")
        elif not host.lingers():
            notes.append("It ends when you log out, unless an administrator allows: loginctl enable-linger")
        if self._active and not changed and self._start:
            notes.append(
                f"It runs, and nothing has changed. For a new version: systemctl{self._flag} restart {service.name}"
            )
        return notes


class _Removing:
    """The steps of a removal."""

    def __init__(self, host: ServiceHost, service: Service, *, keep_settings: bool) -> None:
        self._host = host
        self._service = service
        self._keep_settings = keep_settings
        self._steps: list[Step] = []

    def plan(self) -> ServicePlan:
        host, service = self._host, self._service
        unit = host.units / service.name
        if host.staged and host.enabled(service.name):
            self._systemctl("disable", service.name)
        elif (not host.staged and host.answers("is-active", service.name)) or host.enabled(service.name):
            self._systemctl("disable", "--now", service.name)
        self._remove(unit)
        own = unit.with_name(f"{service.name}.d")
        if own.is_dir():
            self._do(f"remove {own}, with what was changed there", lambda: shutil.rmtree(own))
        if not host.staged:
            self._systemctl("daemon-reload")
        if service.system:
            self._shared_places()
        notes = [f"The project stays in {service.project}."] if host.at(service.project).exists() else []
        if service.system:
            notes += self._accounts()
        return ServicePlan(service, tuple(self._steps), (), tuple(notes))

    def _do(self, says: str, act: Callable[[], object]) -> None:
        self._steps.append(Step(says, act))

    def _systemctl(self, *words: str) -> None:
        flag = "".join(f" {option}" for option in self._host.systemctl_options)
        self._do(f"call systemctl{flag} {' '.join(words)}", lambda: self._host.systemctl(*words))

    def _remove(self, file: Path) -> None:
        if os.path.lexists(file):
            self._do(f"remove {file}", lambda: file.unlink(missing_ok=True))

    def _shared_places(self) -> None:
        host, service = self._host, self._service
        settings = host.at(SETTINGS)
        if not self._keep_settings:
            self._remove(settings / f"{service.id}.toml")
        runtime = host.at(PurePosixPath(RUN_FOLDER)) / service.id
        if not host.staged and runtime.is_dir():
            self._do(f"remove {runtime}", lambda: shutil.rmtree(runtime))
        for folder in (settings, runtime.parent):
            if folder.is_dir():
                self._do(f"remove {folder} if it is empty then", partial(_remove_empty, folder))

    def _accounts(self) -> list[str]:
        """Plan the removal, and return a sentence about each thing that stays."""
        host, service = self._host, self._service
        others = [one for one in host.services() if one.id != service.id]
        account, gid = host.account(service.account), host.group(service.group)
        goes = service.made_account and account is not None and not any(one.account == account.name for one in others)
        notes = []
        if goes and account is not None and _owner(host.at(service.project)) == account.uid:
            goes = False
            notes = [f"The account {account.name} stays, since the project is its own. Later: userdel {account.name}"]
        if goes:
            self._do(f"remove the account {service.account}", lambda: host.remove_account(service.account))
        primary = account is not None and account.gid == gid and not goes
        used = primary or any(one.group == service.group for one in others)
        if service.made_group and gid is not None and not used:
            self._do(f"remove the group {service.group}", lambda: host.remove_group(service.group))
        return notes


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _settings_text(service: Service) -> str:
    return f"""\
# Settings of the shared Gatewright project @{service.id} ({service.project}).
# Root writes this file; the group {service.group} can read it, so no password belongs here.
# [access] counts as soon as the file changes, all else after: systemctl restart {service.name}
# All settings: .gatewright/settings.toml in the project has them with their defaults, and does not count itself.

[access]
# What accounts and groups may do: viewers, operators, authors, admins (gatewright help access). Groups have an @.
viewers = ["@{service.group}"]
# operators = []
# authors = []
# admins = []

[listen]
# For programs and other hosts; each needs a token. Without a certificate only addresses of this host are taken. The key
# is {service.account}'s alone: install -o {service.account} -m 400 key.pem /etc/gatewright/{service.id}.key
# address = "10.0.0.5:9089"
# tls_cert = "/etc/gatewright/{service.id}.pem"
# tls_key = "/etc/gatewright/{service.id}.key"
"""
