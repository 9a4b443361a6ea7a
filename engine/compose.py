"""Build an engine's parts from its project, its settings and what this host gives, and connect them."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from default_scripts import Bundle
from engine import spare
from engine.config import ConfigError, Settings, changed_settings
from engine.lock import LifetimeLock
from engine.models.engine import SlotState
from engine.models.metrics import AlertSeverity
from engine.models.packages import DEFAULT
from engine.models.scripts import ScriptInfo
from engine.paths import EnginePaths
from engine.pool.environment import BARE, ensure_environment
from engine.pool.job import Environment, Limits
from engine.pool.pool import Pool
from engine.pool.seeds import make_seeds
from engine.pool.settings import PoolSettings
from engine.pool.switching import UnusableEnvironment
from engine.project_folder import OWN_FOLDER, who_may_replace, why_no_project
from engine.sandbox.cgroup import runs_cgroup
from engine.sandbox.interpreters import Interpreter
from engine.sandbox.modules import ImportPolicy
from engine.sandbox.plan import Findings, Level, admin_plan, restricted_plan
from engine.sandbox.probe import FINDINGS_FILE, ProbeProblem, probe
from engine.sandbox.protected import HostProtection
from engine.services.access import Actor, ServiceError, owner_actor
from engine.services.advice import AdviceService
from engine.services.assistant.chat import BadServer, Server, server_at
from engine.services.assistant.service import AssistantService
from engine.services.audit import AuditService
from engine.services.backup import BackupService
from engine.services.callers import Callers, keep_records
from engine.services.denials import Denials
from engine.services.disk_space import SpaceCheck, short_of_space
from engine.services.documents.index import DocumentIndex
from engine.services.documents.service import DocumentService
from engine.services.events import EventBus
from engine.services.evidence import EvidenceService
from engine.services.git import GitService
from engine.services.macros.library import MacroLibrary
from engine.services.macros.local import LocalExecutor
from engine.services.macros.service import RenderService
from engine.services.metrics.alerts import AlertCause, AlertService
from engine.services.metrics.history import MetricHistoryService
from engine.services.metrics.service import MetricsService
from engine.services.packages.builds import Builds
from engine.services.packages.interpreters import Interpreters
from engine.services.packages.script_builds import ScriptBuilds
from engine.services.packages.script_environments import ScriptEnvironments
from engine.services.packages.service import PackageService
from engine.services.packages.uv import Uv
from engine.services.policy import AccessPolicy
from engine.services.pool import PoolService
from engine.services.pool_use import PoolUseService
from engine.services.retention import RetentionService, VersionHistory
from engine.services.runs.history import RunHistory
from engine.services.runs.metrics import RunMetrics
from engine.services.runs.modes import Modes
from engine.services.runs.requests import RequestChecks
from engine.services.runs.service import RunService
from engine.services.runs.uploads import BufferService, keep_house
from engine.services.script_api.additions import add_usual
from engine.services.script_api.assistant import RunAssistant
from engine.services.script_api.dispatcher import ScriptApi
from engine.services.script_api.secrets import RunSecrets
from engine.services.scripts.changes import ScriptChanges
from engine.services.scripts.checks import ScriptChecks
from engine.services.scripts.defaults import DefaultScriptService
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.examiner import Examiner, tools_pool
from engine.services.scripts.frontmatter import FrontmatterService
from engine.services.scripts.header_rules import HeaderRules
from engine.services.scripts.limits import RunCeilings
from engine.services.scripts.own_edits import EditLeases
from engine.services.scripts.permissions import PermissionService
from engine.services.scripts.service import ScriptService
from engine.services.scripts.shared_code import SharedCode
from engine.services.scripts.state import StateService
from engine.services.scripts.titled import TitledScripts
from engine.services.secrets import SecretService
from engine.services.sync.diff import DiffService
from engine.services.sync.diff_texts import DiffTexts
from engine.services.sync.rebuild import ApprovalPart, HistoryPart, SyncService
from engine.services.sync.watch import WatchService
from engine.services.system_log import SystemLog
from engine.services.tasks import TaskService
from engine.services.tokens import TokenService
from engine.services.usage import UsageMeter
from engine.services.versioned_writer import VersionedWriter
from engine.services.yielding.service import YieldService
from engine.sockets import NotPrivate
from store.disk_space import DiskSpace, Floor, ReadOnlySpace, Reserve, has_room
from store.errors import LowDisk, ProjectError, StoreError
from store.files.documents import DocumentFiles
from store.files.scripts import ScriptFiles
from store.frontmatter.read import Frontmatter
from store.git.trust import TrustFile
from store.index.reconcile import Reconciler
from store.project import MARKER, Project
from store.read_only import NEEDED_ROOM, SPARE_ROOM, FullDiskProject, ReadOnlyProject
from store.secrets import SecretsFile
from store.state.assistant_use import Budget
from store.state.database import StateDB
from store.state.hmac_key import hmac_key
from store.state.pruning import DAY, Retention
from store.watch.folders import Watched

MIN_SIZE = 3
"""Slots of a served engine; a library user may ask for one."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class EngineParts:
    """What an engine is made of, started and connected."""

    project: Project
    pool: Pool
    runs: RunService
    run_history: RunHistory
    scripts: ScriptService
    shared: SharedCode
    frontmatter: FrontmatterService
    changes: ScriptChanges
    titled_scripts: TitledScripts
    documents: DocumentService
    script_state: StateService
    secrets: SecretService
    assistant: AssistantService
    advice: AdviceService
    defaults: DefaultScriptService
    permissions: PermissionService
    checks: ScriptChecks
    sync: SyncService
    diff: DiffService
    tasks: TaskService
    git: GitService
    buffers: BufferService
    pool_service: PoolService
    pool_use: PoolUseService
    metrics: MetricsService
    metric_history: MetricHistoryService
    alerts: AlertService
    events: EventBus
    modes: Modes
    state: StateDB
    space: SpaceCheck
    retention: RetentionService
    audit: AuditService
    owner: Actor
    callers: Callers
    tokens: TokenService
    policy: AccessPolicy
    render: RenderService
    script_api: ScriptApi
    interpreters: Interpreters
    packages: PackageService
    backup: BackupService
    evidence: EvidenceService
    script_environments: ScriptEnvironments
    yielding: YieldService


async def compose(
    stack: AsyncExitStack,
    root: Path,
    pool_size: int | None,
    settings: Settings | None,
    lock: LifetimeLock | None,
    bundle: Bundle,
    settings_file: Path | None = None,
) -> EngineParts:
    """Build every part and leave its undoing on ``stack``, so that a failure half way takes down what stands.

    Raises:
        AlreadyRunning: Another engine has this project.
        StoreError: The folder cannot be used; the sentence says why.
        ConfigError: ``settings.toml`` cannot be used.
    """
    project, state = await _opened(stack, root, bundle, lock)
    shared_file = settings_file
    settings_file = settings_file or project.settings_file
    settings = settings or Settings.load(settings_file)
    server = _server(settings)
    files = ScriptFiles(project.scripts, project.history)
    reconciler = await Reconciler.open(files, project.index_db)
    stack.push_async_callback(reconciler.close)
    uv = Uv(settings.packages, project.private, settings.engine.path)
    builds = Builds(project.environments, uv)
    environment = await _default_environment(project, builds)

    events = EventBus()
    stack.callback(events.close)
    watch = WatchService(Watched(project.root), reconciler, events)
    stack.push_async_callback(watch.gone)
    buffers = BufferService(max_buffer=settings.ceilings.upload)
    stack.callback(buffers.close)
    metrics = RunMetrics()
    pool = await start_pool(project, settings, environment, pool_size)
    stack.push_async_callback(pool.close)
    builds.prepare = lambda made: make_seeds(pool.settings, made)
    stack.push_async_callback(_ended, asyncio.create_task(make_seeds(pool.settings, environment)))
    imports = ImportPolicy(settings.policy)
    admin = pool.settings.admin
    if isinstance(project, ReadOnlyProject):
        admin = replace(admin, level=Level.REFUSED, missing=(f"they cannot be recorded, since {project.why}",))
    modes = Modes(pool.settings.restricted, admin, imports)
    space = _space(project, settings)
    uv.short = space.short
    audit = AuditService(
        state.audit,
        None if isinstance(project, ReadOnlyProject) else state.audit_export,
        None if isinstance(project, ReadOnlyProject) else _system_log(settings, project),
    )
    own = project.home if isinstance(project, ReadOnlyProject) else project.private
    secrets = SecretService(SecretsFile(own), space, audit, lambda: permissions.approved_secrets())
    await secrets.load()  # before anything goes on record
    await state.interrupt_unfinished(time.time())
    owner = owner_actor()
    await audit.start(owner)
    await audit.tell_settings(owner, changed_settings(settings))
    stack.push_async_callback(audit.stop, owner)
    tokens = TokenService(state.tokens, audit, space)
    await tokens.load()
    stack.push_async_callback(tokens.note_used)
    denials = Denials(audit)
    stack.callback(denials.settle, everything=True)
    callers = Callers(owner, tokens, denials, shared_settings=shared_file)
    policy = AccessPolicy(settings_file, settings.access, callers, audit, owner, shared=shared_file is not None)
    await policy.start()
    for keeping in (policy.run(), keep_records(tokens, denials)):
        stack.push_async_callback(_cancelled, asyncio.create_task(keeping, name="access"))
    telling = asyncio.create_task(audit.run(), name="audit")
    stack.push_async_callback(_cancelled, telling)
    writer = VersionedWriter(files, state.versions, reconciler.outside, space, audit)
    stack.push_async_callback(writer.settled)
    await writer.after_crash()
    document_files = DocumentFiles(project.documents, project.document_history)
    document_index = DocumentIndex(document_files)
    document_writer = VersionedWriter(document_files, state.document_versions, document_index.outside, space, audit)
    stack.push_async_callback(document_writer.settled)
    await document_writer.after_crash()
    documents = DocumentService(document_files, document_index, document_writer, state.document_versions, events)
    watch.also(documents.look)
    examiner = Examiner(tools_pool(pool.settings))
    in_use = partial(_in_use, pool, examiner)
    stack.push_async_callback(examiner.close)
    shared = SharedCode(files, lambda: reconciler.paths, examiner.compile)
    stack.push_async_callback(shared.close)
    interpreters = Interpreters(
        project.private,
        lambda: [pool.environment, *(one for one in builds.named() if one.name != DEFAULT)],
        audit,
        space,
    )
    dependencies = Dependencies.of(environment, interpreters.known_versions)
    tasks = TaskService(events, audit)
    stack.push_async_callback(tasks.close)
    script_environments = ScriptEnvironments(
        state.environment_approvals,
        dependencies,
        builds.uv,
        ScriptBuilds(builds, settings.packages.scripts_size, settings.packages.scripts_days * DAY),
        lambda: Interpreter(pool.environment.interpreter, pool.environment.version, "default"),
        interpreters.preferred,
        tasks,
        audit,
        in_use,
    )
    await script_environments.load()
    stack.push_async_callback(script_environments.close)
    leases = EditLeases()
    scripts = ScriptService(
        files, reconciler, writer, state.approvals, events, dependencies, shared, leases, script_environments
    )
    changes = ScriptChanges(scripts, files, writer, state.versions, events)
    defaults = DefaultScriptService(bundle, project, files, scripts, state.seeded, audit)
    if not isinstance(project, ReadOnlyProject):
        await defaults.bring_up_to_date()
    parts = (
        HistoryPart(files, state.versions),
        HistoryPart(document_files, state.document_versions, "document history"),
        ApprovalPart(state.approvals, reconciler, scripts),
    )
    sync = SyncService(reconciler, parts, tasks, events, watch, audit)
    texts = DiffTexts(files, reconciler)
    diff = DiffService(reconciler, texts, writer, changes, state.ignored_differences, tasks, events, audit)
    protection = HostProtection(project.root, environment.interpreter, _keys(settings))

    def follow(environment: Environment) -> None:
        examiner.follow(environment)
        dependencies.follow(environment)
        protection.follow(environment.interpreter)

    pool.on_switch = follow
    asking = settings.assistant
    budget = Budget(asking.script_requests, asking.requests, asking.text)
    assistant = AssistantService(server, state.assistant_use, budget, audit)
    stack.push_async_callback(assistant.close)
    permissions = PermissionService(
        scripts,
        state.approvals,
        events,
        protection.now,
        shared,
        audit,
        leases,
        lambda grant: secrets.note(grant) or assistant.note(grant),
        script_environments,
    )
    stack.push_async_callback(permissions.close)
    ceilings = _ceilings(settings)
    rules = HeaderRules(dependencies, ceilings, protection.now, script_environments)
    request_checks = RequestChecks(scripts, permissions, shared, modes, ceilings, script_environments)
    key = await asyncio.to_thread(hmac_key, project.private, writable=not isinstance(project, ReadOnlyProject))
    wait = settings.pool.api_queue_wait
    runs = RunService(pool, state, request_checks, shared, buffers, events, metrics, space, audit, key, wait)
    audit.before_look = runs.recorder.flush
    run_history = RunHistory(runs, state, scripts, shared, buffers)

    async def expect(path: str, front: Frontmatter) -> None:
        info = ScriptInfo(
            path=path,
            title=front.title,
            dependencies=list(front.dependencies),
            requires_python=front.requires_python,
            environment=front.environment,
        )
        with suppress(ServiceError):  # its run will say so
            found = await script_environments.choose(info, None)
            if isinstance(found, Environment):
                pool.expect(found)

    checks = ScriptChecks(examiner, imports, rules, shared, expect)
    meter = UsageMeter()
    history = MetricHistoryService(metrics, state.metrics, pool, meter, runs.recorder.flush)
    stack.push_async_callback(history.close)  # after the last runs, which are counted when they are closed
    await runs.begin()
    stack.push_async_callback(runs.close)
    pool_service = PoolService(pool, metrics, events, audit)
    stack.callback(pool_service.close)
    metrics.capacity = lambda: pool.capacity
    pool.on_exit = metrics.used
    pool.on_batch = metrics.occupied
    alerts = AlertService(events)
    figures = MetricsService(pool, metrics, meter, alerts, partial(_troubles, audit, runs, space), pool_service.judged)
    stack.push_async_callback(_cancelled, asyncio.create_task(figures.run(), name="figures"))
    stack.push_async_callback(_cancelled, asyncio.create_task(history.run(), name="figures over time"))
    yielding = YieldService(pool, meter, settings.yielding, audit, owner)
    stack.push_async_callback(_cancelled, asyncio.create_task(yielding.run(), name="yielding"))
    stack.push_async_callback(pool.close)  # once more: runs end with it, and their records are written after that
    housekeeping = asyncio.create_task(keep_house(buffers), name="housekeeping")
    stack.push_async_callback(_cancelled, housekeeping)
    keep = _retention(settings)
    retention = RetentionService(
        state,
        writer,
        reconciler,
        project.history,
        keep,
        reserve=Reserve(own),
        on_disk=_prunable(project, files, reconciler, keep),
        documents=VersionHistory(document_writer, state.document_versions, project.document_history),
    )
    if not isinstance(project, ReadOnlyProject):  # its history can perhaps be written to, but its records are a copy
        looking = asyncio.create_task(retention.run(), name="retention")
        stack.push_async_callback(_cancelled, looking)
    # Lists and searches wait for its first look, the engine does not: it may have ten thousand scripts to read.
    watching = asyncio.create_task(watch.run(), name="watch over the scripts")
    stack.push_async_callback(_cancelled, watching)
    packages = PackageService(
        builds,
        tasks,
        audit,
        space,
        imports,
        interpreters.named,
        lambda environment: _switched(pool, environment),
        in_use,
        partial(_naming, scripts),
    )
    interpreters.use_python = packages.use_python
    git = GitService(project.root, TrustFile(project.private), state.authors, audit)
    script_api = ScriptApi(audit, callers)
    render = RenderService(
        MacroLibrary(scripts, request_checks, shared),
        documents,
        runs,
        tasks,
        lambda run_id, actor, workers, calls, preview: LocalExecutor(
            pool, run_id=run_id, actor=actor.name, workers=workers, calls=calls, interactive=preview
        ),
        lambda info, actor: script_api.for_run(info, "macro", actor, ""),
        audit,
    )
    stack.push_async_callback(render.close)
    backup = BackupService(project, own, shared_file, secrets, audit, runs.recorder)
    engine = EngineParts(
        project=project,
        pool=pool,
        runs=runs,
        run_history=run_history,
        scripts=scripts,
        shared=shared,
        frontmatter=FrontmatterService(scripts, rules),
        changes=changes,
        titled_scripts=TitledScripts(scripts, changes, files, writer, state.versions),
        documents=documents,
        script_state=StateService(scripts, state.script_states, space, audit),
        secrets=secrets,
        assistant=assistant,
        advice=AdviceService(assistant, runs, run_history),
        defaults=defaults,
        permissions=permissions,
        checks=checks,
        sync=sync,
        diff=diff,
        tasks=tasks,
        git=git,
        buffers=buffers,
        pool_service=pool_service,
        pool_use=PoolUseService(pool, project.root),
        metrics=figures,
        metric_history=history,
        alerts=alerts,
        events=events,
        modes=modes,
        state=state,
        space=space,
        retention=retention,
        audit=audit,
        owner=owner,
        callers=callers,
        tokens=tokens,
        policy=policy,
        render=render,
        script_api=script_api,
        interpreters=interpreters,
        packages=packages,
        backup=backup,
        evidence=EvidenceService(project, runs, state, scripts, script_environments, builds, pool, audit),
        script_environments=script_environments,
        yielding=yielding,
    )
    add_usual(script_api, documents)
    script_api.tells_secret = runs.tells_secret
    script_api.add("secrets.get", RunSecrets(secrets, runs, audit).operation)
    for name, operation in RunAssistant(assistant).operations.items():
        script_api.add(name, operation)
    script_api.serve(vars(engine).values())
    runs.script_api = script_api
    if not isinstance(project, ReadOnlyProject):
        collecting = asyncio.create_task(packages.run(), name="builds that nothing needs")
        stack.push_async_callback(_cancelled, collecting)
    return engine


def _troubles(audit: AuditService, runs: RunService, space: SpaceCheck) -> Iterator[AlertCause]:
    """Yield what is wrong with the records and the disk."""
    if audit.problem is not None:
        yield AlertCause("audit", AlertSeverity.CRITICAL, audit.problem)
    if runs.recorder.problem is not None:
        yield AlertCause("records", AlertSeverity.CRITICAL, runs.recorder.problem)
    if (short := space.short()) is not None:
        yield AlertCause("disk", AlertSeverity.CRITICAL, short_of_space(short, space.hint))


async def _naming(scripts: ScriptService, environment: str) -> list[str]:
    """Return the paths of scripts that run in an environment by its name."""
    return [one.path for one in (await scripts.list()).scripts if one.environment == environment]


async def _default_environment(project: Project, builds: Builds) -> Environment:
    """The environment that scripts run in; a bare one beside it where its interpreter is gone."""
    if not isinstance(project, ReadOnlyProject):
        try:
            await asyncio.to_thread(builds.adopt, DEFAULT)
        except OSError as error:
            log.warning("the environment %s stays a folder: %s", DEFAULT, error)
    if await asyncio.to_thread(builds.record, project.environments / DEFAULT) is None:
        made = await ensure_environment(project.environments / DEFAULT)
        if made.prefix.name != BARE:
            return made
    elif (found := await asyncio.to_thread(builds.startable, DEFAULT)) is not None:
        return found
    project.problems.append(
        "The interpreter of the scripts' environment is gone, or another account could change it, so scripts run "
        "without packages. See gatewright python list, then run gatewright python use VERSION."
    )
    return replace(await ensure_environment(project.environments / BARE), name=DEFAULT)


async def _ended(task: asyncio.Task[None]) -> None:
    """End a task of the engine's start that may still go on."""
    task.cancel()
    await asyncio.wait([task])


def _in_use(pool: Pool, examiner: Examiner) -> list[Path]:
    """Return the folders of the environments that a process runs with, or a run waits for."""
    return [each.prefix for each in pool.environments_in_use() | examiner.environments_in_use()]


async def _switched(pool: Pool, environment: Environment) -> None:
    """Have runs use another environment from now on.

    Raises:
        ServiceError: Nothing can be started in it; the one from before is used.
    """
    pool.switch_environment(environment)
    try:
        await pool.switched()
    except UnusableEnvironment as problem:
        raise ServiceError(
            "unusable_environment", f"Scripts cannot run in the new environment: {problem}", status=422
        ) from None


async def start_pool(project: Project, settings: Settings, environment: Environment, size: int | None) -> Pool:
    """A pool for ``project``. If no slot keeps what was planned, the host is tried again: it may have changed."""
    pool = Pool(_pool_settings(project, settings, environment, await _findings(environment.interpreter, project), size))
    await pool.start()
    if not _broken(pool):
        return pool
    findings = await _findings(environment.interpreter, project, fresh=True)
    chosen = _pool_settings(project, settings, environment, findings, size)
    if chosen == pool.settings:
        return pool
    log.warning("this host gives less than it gave before: %s", "; ".join(chosen.restricted.missing))
    await pool.close()
    pool = Pool(chosen)
    await pool.start()
    return pool


def run_limits(settings: Settings) -> Limits:
    """What a run gets that asks for nothing; a default above its ceiling is lowered to it."""
    limits, ceilings, usual = settings.limits, settings.ceilings, Limits()
    return Limits(
        wall=min(limits.timeout, ceilings.timeout),
        memory=min(limits.memory, ceilings.memory),
        output=min(limits.output, ceilings.output),
        result=min(limits.result, ceilings.result),
        scratch=min(usual.scratch, ceilings.scratch),
        open_files=min(usual.open_files, ceilings.open_files),
        files=ceilings.files,
    )


async def _opened(
    stack: AsyncExitStack, root: Path, bundle: Bundle, lock: LifetimeLock | None
) -> tuple[Project, StateDB]:
    """The project with its records: its own, or where its disk has no room for an engine's writing, a copy of them."""
    project = await asyncio.to_thread(_project, root, bundle)
    if lock is None:
        lock = LifetimeLock(project.lock_file)
        lock.acquire()
        stack.callback(lock.release)
    try:
        state = await _records(project)
    except StoreError as error:
        full = isinstance(error, LowDisk) or not has_room(project.private, NEEDED_ROOM)
        if isinstance(project, ReadOnlyProject) or not full:
            raise
        log.warning("the project's disk is full: %s", error)
        project = await asyncio.to_thread(_on_full_disk, EnginePaths(project.root))
        state = await _records(project)
    if isinstance(project, ReadOnlyProject):
        stack.callback(project.clear)
    if isinstance(project, FullDiskProject):
        stack.enter_context(spare.held(project.private))
    stack.push_async_callback(state.close)
    return project, state


async def _records(project: Project) -> StateDB:
    if not isinstance(project, ReadOnlyProject):
        await asyncio.to_thread(ScriptFiles(project.scripts, project.history).recover)
        await asyncio.to_thread(DocumentFiles(project.documents, project.document_history).recover)
    return await StateDB.open(project.state_db)


def _project(root: Path, bundle: Bundle) -> Project:
    """Made or completed first if need be, and where it can only be read, read."""
    paths = EnginePaths(root.expanduser().resolve())
    if not os.path.lexists(paths.home) and (reason := why_no_project(paths.project)) is not None:
        raise ProjectError(reason, OWN_FOLDER)
    if paths.read_only:
        spare.prepare(paths.private)
        return ReadOnlyProject.at(root, paths.private)
    if (paths.home / MARKER).exists() and not has_room(paths.home, NEEDED_ROOM):
        log.warning("the project's disk is full")
        return _on_full_disk(paths)
    project = Project.create(root, bundle.files)
    if (reason := who_may_replace(project.root, os.geteuid())) is not None:
        project.problems.append(f"Another account could put a project of its own in place of this one: {reason}.")
    return project


def _on_full_disk(paths: EnginePaths) -> FullDiskProject:
    """The project with a folder elsewhere for what an engine writes.

    Raises:
        LowDisk: There is no room elsewhere either.
    """
    problems = []
    for folder in spare.folders(paths, os.geteuid()):
        try:
            spare.prepare(folder)
            if has_room(folder, SPARE_ROOM):
                (folder / "logs").mkdir(mode=0o700, exist_ok=True)
                return FullDiskProject.at(paths.project, folder)
            spare.remove(folder)
            problems.append(f"{folder.parent} is full, too")
        except NotPrivate as error:
            problems.append(error.sentence.rstrip("."))
        except OSError as error:
            problems.append(f"{folder} cannot be used: {error.strerror}")
    raise LowDisk(
        f"The disk of {paths.project} is full, and there is no other place to work in: {'; '.join(problems)}.",
        "Free some room on one of these disks, then try again.",
    )


def _prunable(
    project: Project, files: ScriptFiles, reconciler: Reconciler, keep: Retention
) -> Callable[[], AbstractAsyncContextManager[RetentionService]] | None:
    """Reach the records of a project on a full disk to remove old ones; None where the engine has them open anyway."""
    if not isinstance(project, FullDiskProject):
        return None

    @asynccontextmanager
    async def on_disk() -> AsyncIterator[RetentionService]:
        state = await StateDB.open(project.home / "state.db")
        try:
            writer = VersionedWriter(files, state.versions, reconciler.outside)
            of_documents = VersionedWriter(
                DocumentFiles(project.documents, project.document_history), state.document_versions
            )
            documents = VersionHistory(of_documents, state.document_versions, project.document_history)
            yield RetentionService(state, writer, reconciler, project.history, keep, documents=documents)
            await writer.settled()
            await of_documents.settled()
        finally:
            await state.close()

    return on_disk


def _system_log(settings: Settings, project: Project) -> SystemLog | None:
    return SystemLog(Path(settings.audit.socket), project.root) if settings.audit.syslog else None


def _space(project: Project, settings: Settings) -> SpaceCheck:
    if isinstance(project, ReadOnlyProject):
        return ReadOnlySpace(project.why, project.hint)
    floor = Floor(settings.disk.keep_free, settings.disk.keep_free_percent / 100)
    return DiskSpace(project.root, floor)


def _retention(settings: Settings) -> Retention:
    """How long runs, their output and versions of scripts are kept."""
    keep = settings.retention
    return Retention(
        output_age=keep.output_days * DAY,
        output_bytes=keep.output_size,
        run_age=keep.run_days * DAY,
        versions=keep.versions,
        deleted_age=keep.deleted_days * DAY,
        unnamed_age=keep.unnamed_days * DAY,
    )


def _ceilings(settings: Settings) -> RunCeilings:
    ceilings = settings.ceilings
    _, own = resource.getrlimit(resource.RLIMIT_NOFILE)
    return RunCeilings(
        limits=run_limits(settings),
        timeout=ceilings.timeout,
        memory=ceilings.memory,
        output=ceilings.output,
        result=ceilings.result,
        scratch=ceilings.scratch,
        # No child can be given more than the engine itself may have.
        open_files=ceilings.open_files if own == resource.RLIM_INFINITY else min(ceilings.open_files, own),
    )


def _broken(pool: Pool) -> bool:
    """Whether no slot has come up although this host should let them."""
    slots = pool.info().slots
    return pool.settings.restricted.refusal is None and all(slot.state is SlotState.FAILED for slot in slots)


async def _findings(interpreter: Path, project: Project, *, fresh: bool = False) -> Findings:
    """What this host gives; where that cannot be found out, nothing."""
    try:
        return await asyncio.to_thread(probe, interpreter, kept=project.private / FINDINGS_FILE, fresh=fresh)
    except ProbeProblem as problem:
        return Findings(abi=0, failures=dict.fromkeys(("seccomp", "landlock", "userns"), str(problem)))


def _pool_settings(
    project: Project, settings: Settings, environment: Environment, findings: Findings, size: int | None
) -> PoolSettings:
    policy = settings.policy
    root = os.geteuid() == 0
    return PoolSettings(
        environment=environment,
        restricted=restricted_plan(findings, allow_degraded=policy.allow_degraded),
        admin=admin_plan(findings, root=root, admin_as_root=policy.admin_as_root),
        preset=policy.preset,
        modules=policy.modules,
        lifted=policy.lifted,
        admin_memory=policy.admin_memory,
        scratch=project.private / "scratch",
        seeds=None if isinstance(project, ReadOnlyProject) else project.environments.parent / "cache" / "seeds",
        scripts=str(project.scripts),
        log_file=project.logs / "zygotes.log",
        size=settings.pool.size if size is None else size,
        min_size=1 if size is not None else MIN_SIZE,
        queue_limit=settings.pool.queue_limit,
        queue_wait=settings.pool.queue_wait,
        memory_reserve=settings.pool.memory_reserve,
        preload_memory=settings.pool.preload_memory,
        cgroup=runs_cgroup(),
        health_interval=settings.pool.health_interval,
        limits=run_limits(settings),
    )


def _keys(settings: Settings) -> list[Path]:
    """Files of keys that the settings name. No script may be granted them: it runs as the account that reads them."""
    return [Path(file) for file in (settings.listen.tls_key, settings.assistant.key_file) if file]


def _server(settings: Settings) -> Server | None:
    """Return where the assistant is; None where there is none.

    Raises:
        ConfigError: It cannot be there.
    """
    asked = settings.assistant
    if not asked.url:
        return None
    try:
        return server_at(asked.url, asked.model, key_file=asked.key_file, ca_file=asked.ca_file, timeout=asked.timeout)
    except BadServer as bad:
        raise ConfigError(f"[assistant] in the settings cannot be used: {bad}") from None


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
