"""Environments of scripts that name packages in their headers (PEP 723): approved, built on first use, shared.

A script whose header the project's own environment satisfies runs there. Else its requirements with ``requires-python``
are a request. An administrator approves the lock that a request was resolved to, and every script with the same request
runs by that approval. Builds are shared by equal locks and interpreters.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import logging
import shlex
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from engine.models.packages import DEFAULT, PlannedPackage
from engine.models.permissions import ApprovalState, ReviewedEnvironment
from engine.models.scripts import ScriptInfo
from engine.pool.job import Environment
from engine.sandbox.interpreters import Interpreter
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.packages.lock import BadLock, Lock
from engine.services.packages.requirements import checked_requirements, name_of
from engine.services.packages.script_builds import ScriptBuilds
from engine.services.packages.uv import Uv
from engine.services.tasks import Progress, TaskCancelled, TaskService
from engine.worker.imports import ALWAYS_ALLOWED, BLOCKED, GONE, OUTSIDE, RESERVED, TWINS
from store.errors import StoreError
from store.state.environment_approvals import EnvironmentApprovals
from store.state.rows import EnvironmentApprovalRow

TASK = "environment"
"""Kind of the task that builds one."""

RESOLVED_FOR = 600.0
"""Seconds for which a lock that was shown may be approved without being resolved again."""

LOOKED_FOR = 30.0
"""Seconds for which the interpreters that were found are taken to be there."""

TIDIED_EVERY = 3600.0
"""Seconds between two looks for builds that no run needs."""

MAX_RESOLVED = 64
"""Locks that are remembered for that."""

MAX_NAMED = 3
"""Packages in one sentence."""

NEVER_OPENED = (
    frozenset(sys.stdlib_module_names)
    | {*ALWAYS_ALLOWED, *BLOCKED, *GONE, *RESERVED, *TWINS}
    | {name.partition(".")[0] for name in OUTSIDE}
)
"""Import names that no approval of packages opens: a package may call a module of its own like a standard one."""

log = logging.getLogger(__name__)


class Header(Protocol):
    """The part of what a script says about itself that decides what it runs with."""

    @property
    def dependencies(self) -> Sequence[str]: ...

    @property
    def requires_python(self) -> str | None: ...

    @property
    def environment(self) -> str: ...


class Usual(Protocol):
    """What the project's own environment has. Its methods block."""

    def satisfies(self, requirements: Sequence[str], requires_python: str | None) -> bool: ...


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """What a header asks for.

    Attributes:
        requirements: Spelt alike, sorted, none twice.
        python: ``requires-python``, spelt alike; empty where there is none.
    """

    requirements: tuple[str, ...]
    python: str = ""

    @classmethod
    def of(cls, header: Header) -> PackageRequest:
        """Return the request of a script.

        Raises:
            ServiceError: ``bad_request`` when it names something else than packages of an index.
        """
        return _requested(tuple(header.dependencies), header.requires_python)

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps([self.requirements, self.python]).encode()).hexdigest()

    def allows(self, version: str) -> bool:
        return not self.python or SpecifierSet(self.python).contains(version, prereleases=True)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request with the lock that it comes to on one interpreter."""

    lock: Lock
    interpreter: Interpreter
    at: float


class Building:
    """An environment that is being built, and the runs that wait for it.

    Attributes:
        label: Names the first of its packages.
        doing: The step that goes on.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.doing = ""
        self.task: asyncio.Task[Environment] | None = None
        self._told: set[Callable[[str], None]] = set()

    @property
    def sentence(self) -> str:
        return f"building environment with {self.label}" + (f": {self.doing}" if self.doing else "")

    def tell(self, doing: str) -> None:
        """Pass a step on to those who wait."""
        if (doing := doing.strip()) != self.doing:
            self.doing = doing
            for told in list(self._told):
                told(self.sentence)

    async def wait(self, told: Callable[[str], None] | None = None) -> Environment:
        """Return the environment when it is there. A caller that is cancelled does not stop the build.

        Args:
            told: Called with a sentence at once and whenever the step changes.

        Raises:
            ServiceError: It could not be built.
        """
        if self.task is None:
            raise RuntimeError("the build has not begun")
        if told is not None:
            self._told.add(told)
            told(self.sentence)
        try:
            return await asyncio.shield(self.task)
        finally:
            if told is not None:
                self._told.discard(told)


class ScriptEnvironments:
    def __init__(
        self,
        approvals: EnvironmentApprovals,
        usual: Usual,
        uv: Uv,
        builds: ScriptBuilds,
        usual_interpreter: Callable[[], Interpreter],
        interpreters: Callable[[], Sequence[Interpreter]],
        tasks: TaskService,
        audit: AuditService,
        in_use: Callable[[], Sequence[Path]],
    ) -> None:
        """Make the service of one project.

        Args:
            approvals: Keeps decisions.
            usual: What scripts have without an environment of their own.
            uv: Makes locks of requests.
            builds: Holds what was built of them.
            usual_interpreter: That of the project's own environment.
            interpreters: What there is on this host, the preferred one first; called in a thread.
            tasks: Carry out builds.
            audit: Hears of decisions and builds.
            in_use: Folders of environments that processes run with.
        """
        self._approvals = approvals
        self._usual = usual
        self._uv = uv
        self._builds = builds
        self._usual_interpreter = usual_interpreter
        self._interpreters = interpreters
        self._found: tuple[float, Sequence[Interpreter]] = (0.0, ())
        self._tasks = tasks
        self._audit = audit
        self._in_use = in_use
        self._decided: dict[str, EnvironmentApprovalRow] = {}
        self._resolved: OrderedDict[str, Resolved] = OrderedDict()
        self._resolving: dict[str, asyncio.Task[Resolved]] = {}
        self._building: dict[str, Building] = {}
        self._tidying: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read what was decided. This engine alone changes it from here on."""
        self._decided = await self._approvals.in_force()
        self._tidying = asyncio.create_task(self._tidy(), name="environments of scripts")

    def asks(self, header: Header) -> bool:
        """Return whether a script needs packages that the project's own environment has not. Blocks."""
        if not header.dependencies or header.environment:
            return False
        return not self._usual.satisfies(header.dependencies, header.requires_python)

    def waits(self, header: Header) -> bool:
        """Return whether a script asks for packages that no administrator has approved. Blocks."""
        if not self.asks(header):
            return False
        request = _request(header)
        decided = None if request is None else self._decided.get(request.key)
        return decided is None or decided.state != ApprovalState.APPROVED

    def opened_by(self, header: Header) -> tuple[str, ...] | None:
        """Return the import names that a script's own environment opens; None: they are known when it is built. Blocks.

        Nothing for a script that needs none.
        """
        if not self.asks(header):
            return ()
        request = _request(header)
        decided = None if request is None else self._decided.get(request.key)
        if decided is None or decided.state != ApprovalState.APPROVED:
            return None
        usual = self._usual_interpreter()
        for interpreter in (usual, *self._found[1]):
            with suppress(BadLock):
                lock = Lock.read(decided.lock, interpreter.version, source=True)
                if (found := self._builds.find(build_key(lock, interpreter))) is not None:
                    return opened(found).modules
        return None

    async def choose(self, info: ScriptInfo, actor: Actor | None) -> Environment | Building | None:
        """Return what a script runs with, or what is building it; None: the usual one.

        It is the same in both modes: an ADMIN run installs nothing by itself either.

        Args:
            info: What the text that is to run says about itself.
            actor: Who asks; a build is begun in this name. None: none is begun.

        Raises:
            ServiceError: ``needs_approval``, ``bad_request`` for requirements that are none, ``no_interpreter``,
                ``not_built``, ``no_environment`` for the name of none.
        """
        if info.environment:
            return await asyncio.to_thread(self._named, info)
        if not info.dependencies and info.requires_python is None:
            return None
        if await asyncio.to_thread(self._usual.satisfies, info.dependencies, info.requires_python):
            return None
        request = PackageRequest.of(info)
        if not request.requirements:
            return await self._built(info, request, Lock(), await self._interpreter(info, request), actor)
        decided = self._decided.get(request.key)
        if decided is None or decided.state != ApprovalState.APPROVED:
            raise _needs_approval(info, request, decided)
        interpreter = await self._interpreter(info, request, decided.version)
        try:
            lock = Lock.read(decided.lock, interpreter.version, source=True)
        except BadLock as error:
            log.warning("the approved lock of %s cannot be used: %s", info.path, error)
            raise _needs_approval(info, request, None) from None
        return await self._built(info, request, lock, interpreter, actor)

    def _named(self, info: ScriptInfo) -> Environment | None:
        """Return the environment that a header names; None: it is the usual one. Blocks."""
        usual = info.environment == DEFAULT
        found = self._usual_interpreter() if usual else self._builds.named(info.environment)
        if found is None:
            raise ServiceError(
                "no_environment",
                f"{info.path} runs in the environment {info.environment}, which this project does not have.",
                hint="An administrator can make it; see gatewright packages environments.",
                status=422,
            )
        if not PackageRequest((), _specifier(info.requires_python)).allows(found.version):
            raise ServiceError(
                "bad_script",
                f"{info.path} requires Python {info.requires_python} (requires-python), and the environment "
                f"{info.environment} has Python {found.version}.",
                status=422,
            )
        return None if isinstance(found, Interpreter) else found

    async def review(
        self, info: ScriptInfo, *, resolve: bool, others: Iterable[str] = ()
    ) -> ReviewedEnvironment | None:
        """Return what an administrator is shown of the packages of a script; None if it needs none of its own.

        Args:
            info: Of the script.
            resolve: Ask the package index what the request comes to, if that is not approved.
            others: Further scripts that ask for the same.
        """
        if not await asyncio.to_thread(self.asks, info):
            return None
        try:
            request = PackageRequest.of(info)
        except ServiceError as error:
            return ReviewedEnvironment(
                state=ApprovalState.NEEDED, requirements=list(info.dependencies), problem=error.message
            )
        decided = self._decided.get(request.key)
        state = ApprovalState.NEEDED if decided is None else ApprovalState(decided.state)
        shown = ReviewedEnvironment(
            state=state,
            requirements=list(request.requirements),
            requires_python=request.python,
            others=list(others),
        )
        if decided is not None and state is ApprovalState.APPROVED:
            try:
                interpreter = await self._interpreter(info, request, decided.version)
            except ServiceError:  # it has gone from this host: what is resolved for another one is another lock
                shown = msgspec.structs.replace(shown, state=ApprovalState.CHANGED)
            else:
                return await self._with_approved(shown, decided, interpreter)
        if not resolve:
            return shown
        try:
            resolved = await self._resolve(info, request)
        except ServiceError as error:
            sentence = error.message if error.hint is None else f"{error.message} {error.hint}"
            return msgspec.structs.replace(shown, problem=sentence)
        before = {} if decided is None else _versions(decided)
        return msgspec.structs.replace(
            shown,
            python=resolved.interpreter.version,
            packages=planned(resolved.lock, before),
            lock=lock_sha256(resolved.lock),
        )

    def same_request(self, info: ScriptInfo, infos: Iterable[ScriptInfo]) -> list[str]:
        """Return the paths of the further scripts among ``infos`` that ask for the same packages."""
        wanted = _request(info)
        others = (each for each in infos if each.dependencies and not (each.shared or each.environment))
        return [each.path for each in others if each.path != info.path and _request(each) == wanted]

    async def approve(self, info: ScriptInfo, review: ReviewedEnvironment, actor: Actor) -> None:
        """Let the scripts that ask for the same have the packages of a review, which is of this moment.

        Raises:
            ServiceError: ``changed`` when it is no longer resolved. Nothing was approved.
        """
        request = PackageRequest.of(info)
        resolved = self._resolved.get(request.key)
        if resolved is None or lock_sha256(resolved.lock) != review.lock:
            raise ServiceError("changed", f"The packages of {info.path} were resolved too long ago.", status=409)
        await self._decide(info, request, ApprovalState.APPROVED, actor, resolved)

    async def refuse(self, info: ScriptInfo, actor: Actor) -> None:
        """Say no to the packages that a script asks for; an approval of the same request ends."""
        await self._decide(info, PackageRequest.of(info), ApprovalState.REFUSED, actor)

    async def evict(self) -> None:
        """Remove builds that no run needed for long, and the longest unused when all take too much of the disk."""
        try:
            gone = await asyncio.to_thread(self._builds.evict, self._in_use())
        except OSError as error:  # of a project that cannot be written to
            log.warning("environments that no run needs stay: %s", error)
            return
        if gone:
            log.info("removed %d environments of scripts that no run needed", len(gone))

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDIED_EVERY)
            await self.evict()

    async def close(self) -> None:
        going_on = [*self._resolving.values(), *([] if self._tidying is None else [self._tidying])]
        for task in going_on:
            task.cancel()
        await asyncio.gather(*going_on, return_exceptions=True)

    async def _decide(
        self,
        info: ScriptInfo,
        request: PackageRequest,
        state: ApprovalState,
        actor: Actor,
        resolved: Resolved | None = None,
    ) -> None:
        packages = [] if resolved is None else planned(resolved.lock, {})
        row = EnvironmentApprovalRow(
            request=request.key,
            state=state.value,
            requirements=json.dumps(request.requirements),
            python=request.python,
            lock="" if resolved is None else resolved.lock.text,
            lock_sha256="" if resolved is None else lock_sha256(resolved.lock),
            packages=msgspec.json.encode(packages).decode(),
            version="" if resolved is None else resolved.interpreter.version,
            script=info.path,
            uid=actor.uid,
            name=actor.name,
            decided_at=time.time(),
        )
        try:
            await self._approvals.decide(row)
        except StoreError as error:
            raise ServiceError("store", error.sentence, hint=error.hint, status=500) from None
        self._decided[request.key] = row
        self._resolved.pop(request.key, None)
        told: dict[str, object] = {"requirements": ", ".join(request.requirements)}
        if resolved is not None:
            told["packages"] = ", ".join(f"{one.name} {one.version}" for one in resolved.lock.packages)
            told |= {"lock": row.lock_sha256, "python": row.version}
        self._audit.tell(actor, "permissions", f"packages_{state.value}", info.path, **told)

    async def _with_approved(
        self, shown: ReviewedEnvironment, decided: EnvironmentApprovalRow, interpreter: Interpreter
    ) -> ReviewedEnvironment:
        packages = msgspec.json.decode(decided.packages, type=list[PlannedPackage])
        try:
            key = build_key(Lock.read(decided.lock, interpreter.version, source=True), interpreter)
            built = await asyncio.to_thread(self._builds.find, key) is not None
        except BadLock as error:
            return msgspec.structs.replace(shown, state=ApprovalState.CHANGED, problem=str(error))
        return msgspec.structs.replace(
            shown,
            python=decided.version,
            packages=[msgspec.structs.replace(one, change="same", before=one.version) for one in packages],
            lock=decided.lock_sha256,
            built=built,
            approved_by=decided.name,
            approved_at=decided.decided_at,
        )

    async def _interpreter(self, info: ScriptInfo, request: PackageRequest, version: str = "") -> Interpreter:
        """Return the interpreter of this host that a request runs on, of the minor version of ``version`` if given."""
        minor = _minor(version)
        usual = self._usual_interpreter()
        if request.allows(usual.version) and minor in ("", _minor(usual.version)):
            return usual
        found = await self._on_this_host()
        for each in found:
            if request.allows(each.version) and minor in ("", _minor(each.version)):
                return each
        if minor:
            raise ServiceError(
                "needs_approval",
                f"The packages of {info.path} were approved for Python {minor}, which this host no longer has.",
                hint=_approve_hint(info),
                status=403,
            )
        newest = sorted(
            {_minor(each.version) for each in found}, key=lambda minor: int(minor.partition(".")[2]), reverse=True
        )
        there = ", ".join(newest) or "none"
        raise ServiceError(
            "no_interpreter",
            f"{info.path} requires Python {request.python} (requires-python); this host has {there}.",
            hint="See gatewright python list; an administrator adds others by gatewright python add PATH.",
            status=422,
        )

    async def _on_this_host(self) -> Sequence[Interpreter]:
        """Return the interpreters, looked for again only after a while: a run must not wait for it."""
        if not self._found[1] or time.monotonic() - self._found[0] > LOOKED_FOR:
            self._found = time.monotonic(), await asyncio.to_thread(self._interpreters)
        return self._found[1]

    async def _resolve(self, info: ScriptInfo, request: PackageRequest) -> Resolved:
        """Return what a request comes to now; several who ask at once wait for one answer."""
        known = self._resolved.get(request.key)
        if known is not None and time.monotonic() - known.at < RESOLVED_FOR:
            return known
        task = self._resolving.get(request.key)
        if task is None:
            task = asyncio.create_task(self._resolve_now(info, request), name="resolve packages")
            task.add_done_callback(_seen)
            self._resolving[request.key] = task
        return await asyncio.shield(task)

    async def _resolve_now(self, info: ScriptInfo, request: PackageRequest) -> Resolved:
        try:
            interpreter = await self._interpreter(info, request)
            lock = await self._uv.lock(request.requirements, interpreter)
            resolved = Resolved(lock, interpreter, time.monotonic())
            self._resolved[request.key] = resolved
            while len(self._resolved) > MAX_RESOLVED:
                self._resolved.popitem(last=False)
            return resolved
        finally:
            del self._resolving[request.key]

    async def _built(
        self, info: ScriptInfo, request: PackageRequest, lock: Lock, interpreter: Interpreter, actor: Actor | None
    ) -> Environment | Building:
        key = build_key(lock, interpreter)
        if (going_on := self._building.get(key)) is not None:
            return going_on
        found = await asyncio.to_thread(self._builds.find, key)
        if found is not None:
            return opened(found)
        if (going_on := self._building.get(key)) is not None:  # begun by another while this one looked
            return going_on
        if actor is None:
            raise ServiceError(
                "not_built",
                f"The packages of {info.path} are approved and not installed yet: its next run has that done.",
                status=409,
            )
        return self._begin(key, request, lock, interpreter, actor)

    def _begin(self, key: str, request: PackageRequest, lock: Lock, interpreter: Interpreter, actor: Actor) -> Building:
        building = self._building[key] = Building(_label(lock, interpreter, request))

        async def work(progress: Progress) -> Environment:
            def told(doing: str, done: int, total: int = 0) -> None:
                progress(doing, done, total)
                share = f"{doing}, {done:,} of {total:,}" if done and total else doing
                loop.call_soon_threadsafe(building.tell, share)

            loop = asyncio.get_running_loop()
            asked = request.requirements
            making = asyncio.ensure_future(self._builds.make(key, lock, asked, interpreter, actor.name, told))
            progress.on_stop = making.cancel
            try:
                progress(f"installing {building.label}", 0, len(lock.packages))
                made = await making
            except asyncio.CancelledError:
                if progress.stopped:
                    raise TaskCancelled from None
                raise
            finally:
                if making.cancel():  # nothing of it goes on, also when it was stopped before it began
                    await asyncio.wait([making])
                del self._building[key]
            packages = ", ".join(f"{one.name} {one.version}" for one in lock.packages)
            await self.evict()
            self._audit.tell(actor, "packages", "environment_built", made.name, packages=packages, python=made.version)
            return opened(made)

        try:
            _, building.task = self._tasks.begin(TASK, actor, work)
        except BaseException:
            self._building.pop(key, None)
            raise
        building.task.add_done_callback(_seen)  # all who waited may have left
        return building


def opened(environment: Environment) -> Environment:
    """Return an environment with the import names that RESTRICTED scripts may use of it."""
    return replace(environment, modules=tuple(name for name in environment.modules if _may_be_opened(name)))


def planned(lock: Lock, before: Mapping[str, str]) -> list[PlannedPackage]:
    """Return the packages of a lock against versions by name, with those that are in it no longer."""
    found = [
        PlannedPackage(
            name=one.name,
            version=one.version,
            change=_change(before.get(one.name), one.version),
            before=before.get(one.name, ""),
            sha256=one.sha256,
            size=one.size,
            origin=one.origin,
        )
        for one in lock.packages
    ]
    names = {one.name for one in lock.packages}
    gone = [
        PlannedPackage(name=name, version="", change="removed", before=version)
        for name, version in sorted(before.items())
        if name not in names
    ]
    return [*found, *gone]


def lock_sha256(lock: Lock) -> str:
    """Return the hash of a lock as it is kept: of the files and of where they come from."""
    return hashlib.sha256(lock.text.encode()).hexdigest()


def build_key(lock: Lock, interpreter: Interpreter) -> str:
    """Return the same text for all requests that come to the same files on the same interpreter."""
    return hashlib.sha256(json.dumps([lock.key, str(interpreter.path), interpreter.version]).encode()).hexdigest()


def _may_be_opened(name: str) -> bool:
    return name.partition(".")[0] not in NEVER_OPENED


def _change(before: str | None, now: str) -> str:
    if before is None:
        return "new"
    if before == now:
        return "same"
    try:
        return "upgrade" if Version(before) < Version(now) else "downgrade"
    except InvalidVersion:
        return "upgrade"


def _versions(decided: EnvironmentApprovalRow) -> dict[str, str]:
    return {one.name: one.version for one in msgspec.json.decode(decided.packages, type=list[PlannedPackage])}


def _request(header: Header) -> PackageRequest | None:
    """Return the request of a script; None for one that can never be granted."""
    try:
        return PackageRequest.of(header)
    except ServiceError:
        return None


@functools.lru_cache(maxsize=1024)
def _requested(dependencies: tuple[str, ...], python: str | None) -> PackageRequest:
    spelt = sorted({_canonical(text) for text in checked_requirements(dependencies)})
    return PackageRequest(tuple(spelt), _specifier(python))


def _canonical(requirement: str) -> str:
    found = Requirement(requirement)
    found.name = canonicalize_name(found.name)
    return str(found)


def _specifier(text: str | None) -> str:
    if text is None:
        return ""
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:  # the header itself is refused for that
        return text


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _label(lock: Lock, interpreter: Interpreter, request: PackageRequest) -> str:
    """Return the names of the first packages, those that are asked for before those that come along."""
    if not lock.packages:
        return f"Python {interpreter.version}"
    asked = {name_of(each) for each in request.requirements}
    ordered = sorted(lock.packages, key=lambda one: (one.name not in asked, one.name))
    first = ", ".join(f"{one.name} {one.version}" for one in ordered[:MAX_NAMED])
    more = len(lock.packages) - MAX_NAMED
    return f"{first} and {more} more" if more > 0 else first


def _needs_approval(info: ScriptInfo, request: PackageRequest, decided: EnvironmentApprovalRow | None) -> ServiceError:
    names = ", ".join(request.requirements[:MAX_NAMED])
    more = len(request.requirements) - MAX_NAMED
    names += f" and {more} more" if more > 0 else ""
    if decided is None:
        sentence = f"{info.path} asks for packages that are not all installed here ({names}), and no administrator has "
        sentence += "approved them yet."
    else:
        sentence = f"{info.path} was refused the packages that it asks for ({names}), by {decided.name}."
    return ServiceError("needs_approval", sentence, hint=_approve_hint(info), status=403)


def _approve_hint(info: ScriptInfo) -> str:
    return f"An administrator can look at it and decide: gatewright scripts approve {shlex.quote(info.path)}"


def _seen(task: asyncio.Task[object]) -> None:
    """Take the failure of a task that may have no waiter left; who waits gets it all the same."""
    if not task.cancelled():
        task.exception()
