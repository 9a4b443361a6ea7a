"""Packages and environments as surfaces see them: what there is, and changes, one at a time, as tasks."""

from __future__ import annotations

import asyncio
import logging
import mmap
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from packaging.version import InvalidVersion, Version

from engine.models.packages import (
    DEFAULT,
    CreateEnvironment,
    EnvironmentInfo,
    EnvironmentList,
    InstalledPackage,
    InstallRequest,
    OfferedList,
    PackageDetail,
    PackageList,
    PackagePlan,
    PlannedPackage,
    UninstallRequest,
    UpgradeRequest,
)
from engine.models.runs import Mode
from engine.models.sync import TaskInfo
from engine.pool.job import Environment
from engine.registry.packages import (
    ENVIRONMENTS_CREATE,
    ENVIRONMENTS_LIST,
    ENVIRONMENTS_REMOVE,
    PACKAGES_BUNDLE,
    PACKAGES_INSTALL,
    PACKAGES_INSTALL_BUNDLE,
    PACKAGES_LIST,
    PACKAGES_PLAN,
    PACKAGES_SEARCH,
    PACKAGES_SHOW,
    PACKAGES_UNINSTALL,
    PACKAGES_UPGRADE,
)
from engine.sandbox.modules import ImportPolicy
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.disk_space import SpaceCheck
from engine.services.operations import implements
from engine.services.packages.builds import BUILDS, BuildRecord, Builds
from engine.services.packages.bundles import fetch_wheels, new_folder, read_bundle, receive, remove_unused, write_bundle
from engine.services.packages.installed import Installed, InstalledDistribution
from engine.services.packages.lock import Lock, LockedPackage
from engine.services.packages.offers import Offers
from engine.services.packages.requirements import (
    checked_name,
    checked_requirements,
    name_of,
    with_requirements,
    without_packages,
)
from engine.services.packages.uv import BasePython, PythonProgram, Tell
from engine.services.tasks import Progress, TaskCancelled, TaskService

CHANGE = "packages"
"""The kind of the tasks."""

MAX_ENVIRONMENTS = 50

MAX_NAMED = 5
"""Scripts in one sentence."""

COLLECT_EVERY = 600.0
"""Seconds."""

LEFT_FOR = 60.0
"""Seconds for which a build stays that a name led to: a run that has found it may be on its way to a process."""

NOT_OFFERED = frozenset({"unknown_package", "no_version", "no_wheel", "yanked", "no_index", "other_python"})
"""Problems of a package that is not to be had."""

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Present:
    """An environment as it is now.

    Attributes:
        name: Of the environment.
        prefix: Its folder.
        record: What it was made from.
        environment: None if nothing runs in it.
        installed: Its packages.
    """

    name: str
    prefix: Path
    record: BuildRecord
    environment: Environment | None
    installed: Installed

    @property
    def python(self) -> PythonProgram:
        return BasePython(Path(self.record.python), self.record.version)

    def lock(self) -> Lock:
        """Return its lock; of one that was installed into by hand what is there, which is good for its versions."""
        if self.record.lock:
            return Lock.read(self.record.lock, self.record.version, source=True)
        return Lock(
            tuple(
                LockedPackage(each.name, each.version, f"file:///{each.name}-{each.version}-py3-none-any.whl", "0" * 64)
                for each in self.installed.packages.values()
            )
        )


@dataclass(frozen=True, slots=True)
class PlannedBuild:
    """What a change would make of an environment."""

    python: PythonProgram
    requirements: list[str]
    lock: Lock


class PackageService:
    """Changes an environment by a new build: the one in use stays as it is until the new one is complete.

    Args:
        builds: The project's environments.
        tasks: Where changes are done.
        audit: Is told of changes.
        space: Whether there is room for them.
        imports: What RESTRICTED scripts may import.
        named: Finds the interpreter of a version or path; raises ``ServiceError`` and blocks.
        switch: Has scripts run in another default environment; raises ``ServiceError`` if they cannot.
        in_use: Folders of environments that processes have.
        naming: Returns the paths of scripts whose headers name an environment.
    """

    def __init__(
        self,
        builds: Builds,
        tasks: TaskService,
        audit: AuditService,
        space: SpaceCheck,
        imports: ImportPolicy,
        named: Callable[[str], PythonProgram],
        switch: Callable[[Environment], Awaitable[None]],
        in_use: Callable[[], Iterable[Path]],
        naming: Callable[[str], Awaitable[Sequence[str]]],
    ) -> None:
        self.builds = builds
        self.uv = builds.uv
        self._tasks = tasks
        self._audit = audit
        self._space = space
        self._imports = imports
        self._named = named
        self._switch = switch
        self._in_use = in_use
        self._naming = naming
        self._offers = Offers(self.uv)
        self._bundling = asyncio.Lock()
        self._left: dict[Path, float] = {}
        """Builds that a name has led to, and until when."""
        builds.claims.append(self._spared)

    @implements(PACKAGES_LIST)
    async def list(self, environment: str = DEFAULT) -> PackageList:
        """The packages of an environment, by name."""
        return await asyncio.to_thread(self._list, environment)

    @implements(PACKAGES_SHOW)
    async def show(self, name: str, environment: str = DEFAULT) -> PackageDetail:
        """Everything that an installed package says of itself, and where it came from."""
        wanted = checked_name(name)
        present = await asyncio.to_thread(self._present, environment)
        one = present.installed.packages.get(wanted)
        if one is None:
            raise _not_installed([name], environment)
        locked = present.lock().of(wanted) if present.record.lock else None
        return PackageDetail(
            **msgspec.structs.asdict(self._package(one, present.record)),
            summary=one.summary,
            licence=one.licence,
            homepage=one.homepage,
            requires=present.installed.requires(one),
            sha256=locked.sha256 if locked else "",
            origin=locked.origin if locked else "",
        )

    @implements(PACKAGES_SEARCH)
    async def search(self, q: str, environment: str, actor: Actor) -> OfferedList:  # noqa: ARG002 - its role is checked
        """What the index and the wheelhouse offer by a name."""
        present = await asyncio.to_thread(self._present, environment)
        return await self._offers.search(q.strip(), present.record.version)

    @implements(PACKAGES_PLAN)
    async def plan(self, request: InstallRequest, actor: Actor) -> PackagePlan:  # noqa: ARG002 - its role is checked
        """What an installation would change. Nothing is installed."""
        present = await asyncio.to_thread(self._present, request.environment)
        return _plan(present, await self._resolved(present, request, None))

    @implements(PACKAGES_INSTALL)
    async def install(self, request: InstallRequest, actor: Actor, source: str) -> PackagePlan:
        """Install packages. It goes on when the caller leaves; cancelling its task ends it.

        Raises:
            ServiceError: ``busy``, ``cancelled``, or why it cannot be done; the environment is as it was.
        """
        checked_requirements(request.requirements)

        async def wanted(present: Present, tell: Tell) -> PlannedBuild:
            return await self._resolved(present, request, tell)

        return await self._change("install", request.environment, wanted, actor, source)

    @implements(PACKAGES_UPGRADE)
    async def upgrade(self, request: UpgradeRequest, actor: Actor, source: str) -> PackagePlan:
        """Take the newest versions that fit, of the packages that are named or of all."""
        names = [checked_name(name) for name in request.names]

        async def wanted(present: Present, tell: Tell) -> PlannedBuild:
            installed = present.installed.packages
            if missing := [name for name in names if name not in installed]:
                raise _not_installed(missing, present.name)
            lock = await self._locked(present, present.python, present.record.requirements, names or installed, tell)
            return PlannedBuild(present.python, [*present.record.requirements], lock)

        return await self._change("upgrade", request.environment, wanted, actor, source)

    @implements(PACKAGES_UNINSTALL)
    async def uninstall(self, request: UninstallRequest, actor: Actor, source: str) -> PackagePlan:
        """Uninstall packages, and what nothing else needs then. No index is asked.

        Raises:
            ServiceError: ``needed``: others need one of them.
        """
        names = [checked_name(name) for name in request.names]

        async def wanted(present: Present, tell: Tell) -> PlannedBuild:
            installed = present.installed.packages
            if missing := [name for name in names if name not in installed]:
                raise _not_installed(missing, present.name)
            for name in names:
                if needed_by := [each for each in installed[name].needed_by if each not in names]:
                    raise ServiceError(
                        "needed",
                        f"{name} is needed by {', '.join(needed_by[:5])}.",
                        hint="Uninstall these, too, or leave it.",
                        status=409,
                    )
            kept = without_packages(present.record.requirements, names)
            if not present.record.lock:
                return PlannedBuild(present.python, kept, await self._locked(present, present.python, kept, (), tell))
            needed = present.installed.needed(name_of(each) for each in kept)
            rest = tuple(each for each in present.lock().packages if each.name in needed and each.name not in names)
            return PlannedBuild(present.python, kept, Lock(rest))

        return await self._change("uninstall", request.environment, wanted, actor, source)

    @implements(PACKAGES_BUNDLE)
    async def bundle(self, name: str, environment: str, actor: Actor, source: str) -> bytes | memoryview:
        """Fetch the wheels of an environment's lock, and put them into one file with it. A caller that leaves ends it.

        Raises:
            ServiceError: ``no_lock``: it was installed into by hand; or why a wheel is not to be had.
        """
        present = await asyncio.to_thread(self._present, environment)
        if not present.record.managed or not present.lock().packages:
            raise ServiceError(
                "no_lock",
                f"The environment {environment} has no packages that could be bundled.",
                hint="Install some, or build an older environment again: gatewright packages upgrade",
                status=409,
            )
        self._check_space(environment)
        async with self._bundling:
            folder = self.builds.folder.parent / "cache" / "bundle"
            try:
                await asyncio.to_thread(new_folder, folder)
                wheels = await fetch_wheels(present.lock(), self.uv, folder)
                made = await asyncio.to_thread(_bundled, folder, present, wheels)
            except OSError as error:
                raise _disk_problem("The bundle cannot be written", error) from None
            finally:
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
        self._audit.tell(actor, source, "packages_bundle", environment, file=name, lock=present.lock().key)
        return made

    @implements(PACKAGES_INSTALL_BUNDLE)
    async def install_bundle(
        self, environment: str, chunks: AsyncIterator[bytes], actor: Actor, source: str
    ) -> PackagePlan:
        """Have an environment become what it was where a bundle was made. No index is asked.

        Raises:
            ServiceError: The bundle is damaged or for another Python; the environment is as it was.
        """
        self._check_space(environment)
        try:
            await asyncio.to_thread(self.uv.bundled.mkdir, mode=0o700, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.uv.bundled) as file:
                await receive(chunks, file)

                async def wanted(present: Present, tell: Tell) -> PlannedBuild:
                    tell("Looking at the bundle")
                    requirements, lock = await asyncio.to_thread(
                        read_bundle, file, present.record.version, self.uv.bundled
                    )
                    return PlannedBuild(present.python, requirements, lock)

                return await self._change("install_bundle", environment, wanted, actor, source)
        except OSError as error:
            raise _disk_problem("The bundle cannot be written", error) from None

    @implements(ENVIRONMENTS_LIST)
    async def environments(self) -> EnvironmentList:
        """The environments by name, the default first."""
        return await asyncio.to_thread(self._environments)

    @implements(ENVIRONMENTS_CREATE)
    async def create(self, request: CreateEnvironment, actor: Actor, source: str) -> EnvironmentInfo:
        """Make an environment, with packages or without any."""
        requirements = checked_requirements(request.requirements)
        self._check_new(request.name)

        async def work(progress: Progress) -> EnvironmentInfo:
            self._check_new(request.name)
            if request.python:
                python = await asyncio.to_thread(self._named, request.python)
            else:
                python = (await asyncio.to_thread(self._present, DEFAULT)).python
            lock = await self.uv.lock(requirements, python, tell=progress.tell)
            await self._build(request.name, PlannedBuild(python, requirements, lock), actor, progress)
            return await asyncio.to_thread(self._info, request.name)

        made = await self._as_task("create", request.name, work, actor, source)
        self._audit.tell(actor, source, "environment_create", request.name, python=made.python, packages=made.packages)
        return made

    @implements(ENVIRONMENTS_REMOVE)
    async def remove(self, name: str, actor: Actor, source: str) -> EnvironmentInfo:
        """Remove an environment that no script names; runs that are in it go on to their end."""
        if name == DEFAULT:
            raise ServiceError("bad_request", "The default environment cannot be removed: scripts run in it.")

        async def work(progress: Progress) -> EnvironmentInfo:  # noqa: ARG001 - it is done at once
            info = await asyncio.to_thread(self._info, name)
            if paths := await self._naming(name):
                more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
                raise ServiceError(
                    "in_use",
                    f"The environment {name} is named by {', '.join(paths[:MAX_NAMED])}{more}.",
                    hint="Change the headers of these scripts first, or remove the scripts.",
                    status=409,
                )
            try:
                await asyncio.to_thread(self.builds.remove, name)
            except OSError as error:
                sentence = f"The environment {name} cannot be removed: {error.strerror}."
                raise ServiceError("disk", sentence, status=507) from None
            return info

        info = await self._as_task("remove", name, work, actor, source)
        self._audit.tell(actor, source, "environment_remove", name)
        await self.collect()
        return info

    async def use_python(self, environment: str, python: PythonProgram, actor: Actor, source: str) -> EnvironmentInfo:
        """Build an environment again on another interpreter, with the same requirements and, where they fit, versions.

        Raises:
            ServiceError: It cannot be done; the environment is as it was.
        """

        async def wanted(present: Present, tell: Tell) -> PlannedBuild:
            requirements = present.record.requirements
            return PlannedBuild(python, [*requirements], await self._locked(present, python, requirements, (), tell))

        await self._change("python", environment, wanted, actor, source)
        return await asyncio.to_thread(self._info, environment)

    async def run(self) -> None:
        """Remove what is not needed, now and then, until cancelled: what runs were in has to wait for their end.

        The cache is tidied some time after a change, when further changes have had the use of it.
        """
        while True:
            try:
                await self.collect()
            except Exception:  # the next time may do
                log.exception("builds that nothing needs could not be removed")
            await asyncio.sleep(COLLECT_EVERY)
            try:
                await self.uv.tidy()
            except (ServiceError, OSError) as error:  # the next time may do
                log.warning("the cache of packages could not be tidied: %s", error)

    async def collect(self) -> None:
        """Remove what no environment, no script and no process needs any longer; what cannot be removed stays."""
        quiet = self._going_on() is None
        try:
            removed = await asyncio.to_thread(self._collect, tuple(self._in_use()), quiet=quiet)
        except OSError as error:
            log.warning("builds that nothing needs stay: %s", error)
            return
        if removed:
            log.info("removed %d builds that nothing needs", len(removed))

    def _collect(self, in_use: Sequence[Path], *, quiet: bool) -> Sequence[Path]:
        removed = self.builds.collect(in_use)
        if quiet and self.uv.bundled.is_dir():
            remove_unused(self.uv.bundled, [self.builds.lock(record) for _, record in self.builds.all()])
        return removed

    def _spared(self) -> Sequence[Path]:
        """Return the builds that have lost their name a moment ago."""
        now = time.monotonic()
        return [prefix for prefix, at in list(self._left.items()) if now - at < LEFT_FOR]

    async def _change(
        self,
        what: str,
        name: str,
        wanted: Callable[[Present, Tell], Awaitable[PlannedBuild]],
        actor: Actor,
        source: str,
    ) -> PackagePlan:
        """Resolve what is wanted, build it, and have the name lead there."""

        async def work(progress: Progress) -> tuple[PackagePlan, str]:
            present = await asyncio.to_thread(self._present, name)
            progress("resolving", 0)
            asked = await wanted(present, progress.tell)
            plan = _plan(present, asked)
            same = asked.lock == present.lock() and [*present.record.requirements] == asked.requirements
            if not (same and present.record.managed and asked.python.path == present.python.path):
                await self._build(name, asked, actor, progress)
            return plan, asked.lock.key

        plan, key = await self._as_task(what, name, work, actor, source)
        changed = [f"{each.name} {each.version}" for each in plan.packages if each.change not in ("same", "removed")]
        removed = [each.name for each in plan.packages if each.change == "removed"]
        self._audit.tell(
            actor, source, f"packages_{what}", name, requirements=plan.requirements, changed=changed, removed=removed,
            python=plan.python, lock=key,
        )  # fmt: skip
        await self.collect()
        return plan

    async def _as_task(
        self, what: str, name: str, work: Callable[[Progress], Awaitable[T]], actor: Actor, source: str
    ) -> T:
        """Do ``work`` as the one change that goes on. Cancelling the task cancels it and waits for its end.

        Raises:
            ServiceError: What it raises; ``busy``; ``cancelled``.
        """
        self._check_space(name)

        async def cancellable(progress: Progress) -> T:
            doing = asyncio.ensure_future(work(progress))
            progress.on_stop = doing.cancel
            try:
                return await doing
            except asyncio.CancelledError:
                if progress.stopped:
                    raise TaskCancelled from None
                doing.cancel()
                raise

        try:
            return await self._tasks.run(CHANGE, actor, cancellable)
        except ServiceError as error:
            if error.code == "busy":
                raise self._busy() from None
            self._audit.tell(actor, source, f"packages_{what}_failed", name, code=error.code)
            if error.code == "cancelled":
                sentence = "The change of packages was cancelled; nothing was changed."
                raise ServiceError("cancelled", sentence, status=409) from None
            raise

    def _check_space(self, name: str) -> None:
        if (short := self._space.short()) is not None:
            raise ServiceError("disk", f"Nothing is changed in {name}: {short}.", hint=self._space.hint, status=507)

    def _going_on(self) -> TaskInfo | None:
        """The change that goes on, if there is one."""
        return next((task for task in self._tasks.list() if task.kind == CHANGE and task.finished_at is None), None)

    def _busy(self) -> ServiceError:
        going_on = self._going_on()
        who = (
            f"{going_on.actor} is changing packages (task {going_on.id})" if going_on else "Packages are being changed"
        )
        return ServiceError("busy", f"{who}.", hint="Wait for the end of that, or cancel it.", status=409)

    async def _build(self, name: str, wanted: PlannedBuild, actor: Actor, progress: Progress) -> None:
        """Make the build and have its name lead there. From then on it is not cancelled."""
        progress("fetching", 0, len(wanted.lock.packages))
        made = await self.builds.make(
            wanted.lock,
            wanted.python,
            name,
            requirements=wanted.requirements,
            by=actor.name,
            tell=progress.tell,
            count=progress,
        )
        progress.on_stop = None
        await self._put_in_place(name, made, progress)

    async def _put_in_place(self, name: str, made: Environment, progress: Progress) -> None:
        """Have a name lead to a build.

        Raises:
            ServiceError: It does not; the name leads where it did.
        """
        led_to = await asyncio.to_thread(self.builds.prefix, name)
        before = await asyncio.to_thread(self.builds.current, name) if name == DEFAULT else None
        if name == DEFAULT:
            progress("switching", 0)
            await self._switch(made)
        try:
            await asyncio.to_thread(self.builds.swap, name, made.prefix)
        except ServiceError:
            if before is not None:
                await self._switch(before)
            raise
        now = time.monotonic()
        self._left = {prefix: at for prefix, at in self._left.items() if now - at < LEFT_FOR}
        if led_to is not None and name != DEFAULT:  # a run of the default one finds it when the pool takes it
            self._left[led_to] = now

    async def _resolved(self, present: Present, request: InstallRequest, tell: Tell | None) -> PlannedBuild:
        requirements = with_requirements(present.record.requirements, checked_requirements(request.requirements))
        asked = {name_of(each) for each in request.requirements}
        upgrade: Collection[str] = present.installed.packages if request.upgrade else asked
        lock = await self._locked(present, present.python, requirements, upgrade, tell)
        return PlannedBuild(present.python, requirements, lock)

    async def _locked(
        self,
        present: Present,
        python: PythonProgram,
        requirements: Sequence[str],
        upgrade: Collection[str],
        tell: Tell | None,
    ) -> Lock:
        try:
            return await self.uv.lock(requirements, python, previous=present.lock(), upgrade=upgrade, tell=tell)
        except ServiceError as error:
            if present.record.managed or error.code not in NOT_OFFERED:
                raise
            by_hand = {name_of(each) for each in present.record.requirements}
            missing = await self._not_offered([each for each in requirements if name_of(each) in by_hand], python, tell)
            if not missing:
                raise
            raise ServiceError(
                "not_offered",
                f"The environment {present.name} was installed into by hand, and {_listed(missing)} "
                f"cannot be had again for Python {python.version}: no index or wheelhouse of the settings offers it. "
                "Nothing was changed.",
                hint="Put wheels of that into the wheelhouse, or give it up: gatewright packages uninstall "
                f"{' '.join(missing)}",
                status=422,
            ) from None

    async def _not_offered(
        self, requirements: Sequence[str], python: PythonProgram, tell: Tell | None
    ) -> Sequence[str]:
        """Return the names of those that cannot be had, each by itself: uv tells the first one only."""
        missing = []
        for requirement in requirements:
            if tell is not None:
                tell(f"Looking for {requirement}")
            try:
                await self.uv.lock([requirement], python)
            except ServiceError as error:
                if error.code in NOT_OFFERED:
                    missing.append(name_of(requirement))
        return missing

    def _present(self, name: str) -> Present:
        """Return the environment of that name. Blocks.

        Raises:
            ServiceError: ``no_environment``.
        """
        prefix = self.builds.prefix(name)
        if prefix is None:
            raise ServiceError(
                "no_environment",
                f"There is no environment {name}.",
                hint="See: gatewright packages environments",
                status=404,
            )
        environment = self.builds.current(name)
        record = self.builds.record(prefix)
        if record is None:
            record = BuildRecord(0, name, "", "", managed=False)
            if environment is not None:
                record = self.builds.unmanaged(name, environment)
        place = environment or self.builds.at(prefix)
        locked = [(each.name, each.version) for each in self.builds.lock(record).packages]
        installed = Installed(place.packages if place else prefix, record.version, record.requirements, locked)
        return Present(name, prefix, record, environment, installed)

    def _list(self, name: str) -> PackageList:
        present = self._present(name)
        packages = [self._package(one, present.record) for one in present.installed.packages.values()]
        return PackageList(environment=_info(present), packages=sorted(packages, key=lambda each: each.name))

    def _info(self, name: str) -> EnvironmentInfo:
        return _info(self._present(name))

    def _environments(self) -> EnvironmentList:
        infos = [self._info(name) for name in self.builds.names() if self.builds.prefix(name) is not None]
        named = {self.builds.prefix(info.name) for info in infos}
        return EnvironmentList(environments=infos, own=len(self.builds.claimed() - named - {*self._spared()}))

    def _package(self, one: InstalledDistribution, record: BuildRecord) -> InstalledPackage:
        asked = {name_of(each): each for each in record.requirements}
        return InstalledPackage(
            name=one.name,
            version=one.version,
            requested=one.name in asked,
            requirement=asked.get(one.name, ""),
            needed_by=sorted(one.needed_by),
            modules=one.modules,
            allowed=any(self._imports.verdict(module, Mode.RESTRICTED) is None for module in one.modules),
            size=one.size,
        )

    def _check_new(self, name: str) -> None:
        names = self.builds.names()
        if name in names or name == BUILDS:
            raise ServiceError("exists", f"There is an environment {name} already.", status=409)
        if len(names) >= MAX_ENVIRONMENTS:
            raise ServiceError("too_many", f"A project has {MAX_ENVIRONMENTS} environments at most.", status=409)


def _plan(present: Present, wanted: PlannedBuild) -> PackagePlan:
    before = {each.name: each.version for each in present.installed.packages.values()}
    after = {each.name for each in wanted.lock.packages}
    planned = [
        PlannedPackage(
            name=each.name,
            version=each.version,
            change=_kind_of_change(before.get(each.name), each.version),
            before=before.get(each.name, ""),
            sha256=each.sha256,
            size=each.size,
            origin=each.origin,
        )
        for each in wanted.lock.packages
    ]
    planned += [
        PlannedPackage(name=name, version="", change="removed", before=version)
        for name, version in before.items()
        if name not in after
    ]
    return PackagePlan(
        environment=present.name,
        python=wanted.python.version,
        packages=sorted(planned, key=lambda each: each.name),
        requirements=wanted.requirements,
    )


def _kind_of_change(before: str | None, after: str) -> str:
    if before is None:
        return "new"
    if before == after:
        return "same"
    try:
        return "upgrade" if Version(after) > Version(before) else "downgrade"
    except InvalidVersion:
        return "upgrade"


def _info(present: Present) -> EnvironmentInfo:
    record = present.record
    problem = None
    if present.environment is None:
        problem = (
            f"Its interpreter {record.python or 'bin/python'} does not run, or another account could change it: "
            "gatewright python use VERSION"
        )
    return EnvironmentInfo(
        name=present.name,
        python=record.version,
        interpreter=record.python,
        packages=len(present.installed.packages),
        built_at=record.made_at or None,
        built_by=record.made_by,
        managed=record.managed,
        problem=problem,
    )


def _bundled(folder: Path, present: Present, wheels: Sequence[Path]) -> memoryview:
    """Return a bundle as memory that the kernel reads from a file without a name, and drops with it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        write_bundle(file, present.lock(), present.record.version, present.record.requirements, wheels)
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _disk_problem(what: str, error: OSError) -> ServiceError:
    return ServiceError(
        "disk", f"{what}: {error.strerror}. Nothing was changed.", hint="Free some room, then try again.", status=507
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _not_installed(names: Sequence[str], environment: str) -> ServiceError:
    return ServiceError(
        "not_installed",
        f"{', '.join(names[:5])} {'is' if len(names) == 1 else 'are'} not installed in the environment {environment}.",
        hint="See: gatewright packages list",
        status=404,
    )
