"""The project's scripts as every surface sees them: listed, loaded, saved, prepared for a run."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from engine.models.permissions import Grant
from engine.models.scripts import (
    FoundScript,
    ParamInfo,
    ParamType,
    SaveRequest,
    ScriptInfo,
    ScriptList,
    ScriptText,
    SearchResult,
)
from engine.models.shared import SharedFile
from engine.registry.scripts import SCRIPTS_LIST, SCRIPTS_LOAD, SCRIPTS_SAVE, SCRIPTS_SEARCH
from engine.sandbox.permissions import BadPermissions, asked
from engine.services.access import Actor, ServiceError, require_script
from engine.services.events import EventBus
from engine.services.operations import implements, may
from engine.services.packages.script_environments import Header, ScriptEnvironments
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.own_edits import EditLeases, OwnEdit
from engine.services.scripts.shared_code import SharedCode, shared_files, vain_header
from engine.services.versioned_writer import VersionedWriter, conflict, refusal
from store.errors import BadName, Conflict, NotFound, StoreError
from store.files.names import MAX_PATH, is_shared, module_note, name_notes, script_path
from store.files.script_text import read_script
from store.files.scripts import ScriptFiles
from store.frontmatter.legacy_headers import convert_header
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import DeclaredLimits, Frontmatter, parse
from store.index.reconcile import Reconciler
from store.index.rows import ScriptRow
from store.state.approvals import Approvals

MOST_FOUND = 20_000
"""Scripts that are searched for those that a token may see."""


@dataclass(frozen=True, slots=True)
class ScriptSource:
    """A script as a run needs it."""

    info: ScriptInfo
    data: bytes
    told: str | None = None
    """What a run of it says of its header: keys without effect, packages that it names and that are not installed."""


class ScriptService:
    def __init__(
        self,
        files: ScriptFiles,
        reconciler: Reconciler,
        versions: VersionedWriter,
        approvals: Approvals,
        events: EventBus,
        dependencies: Dependencies,
        shared: SharedCode | None = None,
        leases: EditLeases | None = None,
        environments: ScriptEnvironments | None = None,
    ) -> None:
        """``shared`` tells which shared code a text imports; without it none is looked at."""
        self._environments = environments
        self._files = files
        self._reconciler = reconciler
        self._versions = versions
        self._approvals = approvals
        self._events = events
        self._dependencies = dependencies
        self._shared = shared
        self._leases = leases or EditLeases()
        self._shown: dict[str, tuple[ScriptRow, ScriptInfo]] = {}
        self._shown_for: tuple[str, ...] = ()
        """What was made of the rows of the last list."""

    @implements(SCRIPTS_LIST)
    async def list(self, actor: Actor | None = None) -> ScriptList:
        """Every script that ``actor`` may see, as it is on disk now, by path. None is the engine itself.

        One that cannot be read says why in ``problem``.
        """
        try:
            rows = await self._reconciler.scripts()
        except StoreError as error:
            raise refused(error) from None
        narrowed = actor is not None and bool(actor.scripts)
        if actor is not None and narrowed:  # before they are compared: a note names another script
            rows = [row for row in rows if actor.sees(row.path)]
        infos = await asyncio.to_thread(self._infos, rows, every=not narrowed)
        return ScriptList(scripts=[*await self._marked(infos)])

    @implements(SCRIPTS_SEARCH)
    async def search(self, text: str, limit: int = 50, actor: Actor | None = None) -> SearchResult:
        """Scripts that have every word of ``text`` in name, title, tags or text, of those that ``actor`` may see."""
        narrowed = actor is not None and bool(actor.scripts)
        try:
            found = await self._reconciler.search(text, MOST_FOUND if narrowed else limit + 1)
        except StoreError as error:
            raise refused(error) from None
        if actor is not None:
            found = [hit for hit in found if actor.sees(hit.path)]
        scripts = [FoundScript(path=hit.path, title=hit.title, line=hit.line, text=hit.text) for hit in found[:limit]]
        return SearchResult(scripts=scripts, more=len(found) > limit)

    @implements(SCRIPTS_LOAD)
    async def load(self, path: str, actor: Actor | None = None) -> ScriptText:
        """Raises ``no_script``, ``unreadable``, or ``forbidden`` where ``actor`` may not see it."""
        source = await self.source(path, allow_problem=True, actor=actor)
        try:
            text = source.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ServiceError(
                "unreadable",
                f"{path} is not UTF-8 text (byte {error.start}).",
                hint="Convert it, for example with iconv, and open it again.",
                status=422,
            ) from None
        return ScriptText(info=await self._marked_one(source.info), text=text)

    @implements(SCRIPTS_SAVE)
    async def save(self, path: str, request: SaveRequest, actor: Actor) -> ScriptInfo:
        """Write a script's text durably; it is on disk when this returns.

        Raises:
            ServiceError: ``conflict`` when the file is not what the author loaded, ``bad_header`` when an older header
                cannot be converted. Nothing was written.
        """
        try:
            data = request.text.encode("utf-8")
        except UnicodeEncodeError:
            raise ServiceError("bad_text", "The text holds a lone surrogate, which UTF-8 cannot carry.") from None
        if request.convert_header:
            data = await asyncio.to_thread(_converted, data)
        return await self.write(path, data, request.base_sha256, actor, request.own_edits)

    async def write(self, path: str, data: bytes, base: str | None, actor: Actor, own_edits: str = "") -> ScriptInfo:
        """Save ``data`` over the version with the hash ``base``; shielded from cancellation.

        ``own_edits`` is the token of the lease that the save is made under, if there is one.

        Raises:
            ServiceError: ``conflict`` when the file is another version by now. Nothing was written.
        """
        may(actor, SCRIPTS_SAVE)
        return await asyncio.shield(self._save(path, data, base, OwnEdit(own_edits, actor)))

    async def resolve(self, name: str, *, exact: bool = False, actor: Actor | None = None) -> str:
        """The path of the script that ``name`` means, of those that ``actor`` may see.

        Raises ``no_script``, ``ambiguous`` or ``forbidden``. With ``exact`` a file name alone is not enough: what
        changes a script must not find another one instead.
        """
        return await asyncio.to_thread(self._resolve, name, exact=exact, actor=actor)

    @property
    def changes(self) -> int:
        """While it is the same number, no change of the scripts has been noticed."""
        return self._reconciler.changes

    async def info(self, path: str) -> ScriptInfo:
        """What there is to know about one script, by its path."""
        return await self._marked_one((await asyncio.to_thread(self._read, path)).info)

    async def source(self, name: str, *, allow_problem: bool = False, actor: Actor | None = None) -> ScriptSource:
        """The script that ``name`` means: a path, with or without ``.py``, or a file name that only one script has.

        Of other scripts than those that ``actor`` may see, nothing is told, not even whether they are there.
        """
        source = await asyncio.to_thread(self._find, name, actor)
        path = source.info.path
        if source.info.problem and not allow_problem:
            raise ServiceError("bad_script", f"{path} cannot run: {source.info.problem}", status=422)
        if not source.info.enabled and not allow_problem:
            hint = f"gatewright scripts set {shlex.quote(path)} enabled=true"
            raise ServiceError("disabled", f"{path} is disabled.", hint=hint, status=409)
        return source

    def source_of(self, name: str, text: str) -> ScriptSource:
        """Unsaved text of the script ``name``, as a run needs it. Blocks."""
        try:
            path = script_path(name)
            data = text.encode("utf-8")
        except BadName as error:
            raise refused(error) from None
        except UnicodeEncodeError:
            raise ServiceError("bad_text", "The text holds a lone surrogate, which UTF-8 cannot carry.") from None
        _, front = read_script(data, path)
        info = self._placed(_info(path, front, hashlib.sha256(data).hexdigest(), len(data), 0.0))
        if info.problem:
            raise ServiceError("bad_script", f"{path} cannot run: {info.problem}", status=422)
        return ScriptSource(info=info, data=data, told=self._told(front))

    def code_note(self, text: str) -> str | None:
        """What a run of a text that is no script is told of its header, which counts for scripts only. Blocks.

        Raises:
            ServiceError: ``bad_script`` if a script with this header could not run either.
        """
        front = parse(text)
        required = front.requires_python
        problem = (
            front.problem
            or self._dependencies.python_problem(required)
            or self._dependencies.python_problem(required, elsewhere=False)
        )
        if problem is not None:
            raise ServiceError("bad_script", f"The code cannot run: {problem}", status=422)
        given = (front.entrypoint, front.params, front.preload, front.permissions, front.limits != DeclaredLimits())
        only = "Entrypoint, params, limits and permissions of its header count only when it is run as a script."
        told = (front.note, self._dependencies.note(front.dependencies), only if any(given) else None)
        return " ".join(filter(None, told)) or None

    def _told(self, front: Frontmatter) -> str | None:
        """What runs and lists say of a header that is no reason to refuse it."""
        return " ".join(filter(None, (front.note, self._lacking(front)))) or None

    def _lacking(self, header: Header) -> str | None:
        """What a script's dependencies have to be told of: it has no environment in which they are."""
        if not header.dependencies or header.environment or self._environments is not None:
            return None
        return self._dependencies.note(header.dependencies)

    def _placed(self, info: ScriptInfo) -> ScriptInfo:
        """``info`` with what this host makes of it: a Python that it does not run with is its problem."""
        if info.problem is not None or info.requires_python is None:
            return info
        problem = self._dependencies.python_problem(info.requires_python)
        return info if problem is None else replace(info, problem=problem)

    async def _marked(self, infos: Sequence[ScriptInfo]) -> Sequence[ScriptInfo]:
        """``infos`` with ``needs_approval`` where a script asks for what is not approved for these texts."""
        if not any(info.permissions or info.dependencies for info in infos):
            return infos
        waiting = await asyncio.to_thread(self._waiting, infos)
        approved = await self._approvals.approved()
        asking = {info.path for info in infos if info.permissions}
        same = {info.path for info in infos if info.path in asking and approved.get(info.path) == info.sha256}
        covered = same - await self.with_other_shared_code(same)
        needy = asking - covered | waiting
        return [replace(info, needs_approval=True) if info.path in needy else info for info in infos]

    def _waiting(self, infos: Sequence[ScriptInfo]) -> set[str]:
        """Paths of scripts that ask for packages that no administrator has approved. Blocks."""
        if self._environments is None:
            return set()
        known: dict[tuple[object, ...], bool] = {}  # many ask for the same
        waiting = set()
        for info in infos:
            if info.dependencies and not info.shared:
                asked = (*info.dependencies, info.requires_python, info.environment)
                if asked not in known:
                    known[asked] = self._environments.waits(info)
                if known[asked]:
                    waiting.add(info.path)
        return waiting

    async def with_other_shared_code(self, paths: set[str]) -> set[str]:
        """Those of the approved scripts that import another shared code than they were approved with."""
        if self._shared is None or not paths:
            return set()
        shared, approved = self._shared, await self._approvals.approved_shared()

        def differs(path: str) -> bool:
            try:
                now = shared_files(shared.look(self._files.read(path)))
            except (StoreError, ServiceError):
                return True
            return now != msgspec.json.decode(approved.get(path, "[]"), type=list[SharedFile])

        return await asyncio.to_thread(lambda: {path for path in paths if differs(path)})

    async def _marked_one(self, info: ScriptInfo) -> ScriptInfo:
        return (await self._marked([info]))[0]

    async def index_saved(self, path: str) -> None:
        """Take a script that was written into the index."""
        await self._reconciler.saved(path)

    async def index_removed(self, path: str) -> None:
        """Take a script that was removed on purpose out of the index."""
        await self._reconciler.removed(path)

    def _infos(self, rows: Sequence[ScriptRow], *, every: bool) -> Sequence[ScriptInfo]:
        if (pythons := self._dependencies.pythons) != self._shown_for:
            self._shown, self._shown_for = {}, pythons  # what fits is judged again
        shown: dict[str, tuple[ScriptRow, ScriptInfo]] = {}
        notes = name_notes([row.path for row in rows])
        for row in rows:
            known = self._shown.get(row.path)
            info = known[1] if known and known[0] is row else self._placed(_info_of(row))
            told = self._lacking(row.front)
            if row.front.note is not None:
                told = f"{row.front.note} {told}" if told else row.front.note
            note = notes.get(row.path) or vain_header(row.path, row.front) or told
            # Beside which others it stands, and what is installed, can change without it.
            shown[row.path] = row, info if info.note == note else replace(info, note=note)
        if every:
            self._shown = shown
        return [info for _, info in shown.values()]

    def _read(self, path: str) -> ScriptSource:
        try:
            data, modified = self._files.read(path), self._files.mtime(path)
        except NotFound:
            raise self._unknown(path) from None
        except StoreError as error:
            raise refused(error) from None
        return self._source_in(path, data, modified)

    def _written(self, path: str, data: bytes) -> ScriptInfo:
        """What was saved. It may be gone or another text by now: that is for the next who asks."""
        try:
            modified = self._files.mtime(path)
        except StoreError:
            modified = time.time()
        return self._source_in(path, data, modified).info

    def _source_in(self, path: str, data: bytes, modified: float) -> ScriptSource:
        _, front = read_script(data, path)
        digest = hashlib.sha256(data).hexdigest()
        info = self._placed(_info(path, front, digest, len(data), modified))
        told = self._told(front)
        note = info.note or told
        return ScriptSource(info if info.note == note else replace(info, note=note), data, told)

    async def _save(self, path: str, data: bytes, base: str | None, edit: OwnEdit) -> ScriptInfo:
        asked = await asyncio.to_thread(_asked_by, data) if edit.token else []
        try:
            path = script_path(path)
            with self._leases.saving(edit, path, base, data, asked):
                await self._versions.save(path, data, base, edit.actor)
        except Conflict:
            raise conflict(path, base) from None
        except StoreError as error:
            raise refused(error) from None
        await self.index_saved(path)
        self._events.publish("script", {"path": path, "change": "created" if base is None else "saved"})
        return await self._marked_one(await asyncio.to_thread(self._written, path, data))

    def _find(self, name: str, actor: Actor | None) -> ScriptSource:
        return self._read(self._resolve(name, actor=actor))

    def _resolve(self, name: str, *, exact: bool = False, actor: Actor | None = None) -> str:
        wanted = name if name.endswith(".py") else name + ".py"
        seen = actor is None or actor.sees(wanted)
        if seen and self._files.there(wanted):  # the usual case, which must not cost a walk over ten thousand others
            return wanted
        paths = [file.path for file in self._files.list() if actor is None or actor.sees(file.path)]
        if wanted in paths:
            return wanted
        matches = [] if exact else [path for path in paths if path.rpartition("/")[2] == wanted]
        if not matches and actor is not None:
            require_script(actor, wanted)
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ServiceError(
                "ambiguous", f"{name!r} could be {' or '.join(matches)}.", hint="Give the whole path.", status=409
            )
        raise self._unknown(name, paths)

    def _unknown(self, name: str, paths: Sequence[str] | None = None) -> ServiceError:
        known = paths if paths is not None else [file.path for file in self._files.list()]
        near = _near(name, known)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See gatewright scripts list."
        return ServiceError("no_script", f"There is no script {name!r}.", hint=hint, status=404)


def _converted(data: bytes) -> bytes:
    try:
        return convert_header(data)
    except FrontmatterError as error:
        raise ServiceError("bad_header", str(error), status=422) from None


def _info_of(row: ScriptRow) -> ScriptInfo:
    return _info(row.path, row.front, row.sha256, row.size, row.modified)


def _info(path: str, front: Frontmatter, sha256: str, size: int, modified: float) -> ScriptInfo:
    permissions, bad_permissions = _permissions(front)
    shared = is_shared(path)
    return ScriptInfo(
        path=path,
        title=front.title,
        kind=front.kind,
        description=front.description,
        entrypoint=front.entrypoint,
        enabled=front.enabled,
        tags=list(front.tags),
        params=[
            ParamInfo(
                name=param.name,
                type=ParamType(param.type),
                default=param.default,
                required=param.required,
                help=param.help,
                choices=list(param.choices),
                secret=param.secret,
            )
            for param in front.params
        ],
        timeout=front.limits.timeout,
        memory=front.limits.memory,
        output=front.limits.output,
        result=front.limits.result,
        scratch=front.limits.scratch,
        open_files=front.limits.open_files,
        parallel=front.limits.parallel,
        output_stop=bool(front.limits.output_stop),
        leave_processes=front.leave_processes,
        preload=list(front.preload),
        requires_python=front.requires_python,
        dependencies=list(front.dependencies),
        environment=front.environment,
        permissions=[] if shared else permissions,
        shared=shared,
        sha256=sha256,
        size=size,
        modified=modified,
        problem=front.problem or bad_permissions,
        note=module_note(path) or vain_header(path, front),
    )


def _permissions(front: Frontmatter) -> tuple[list[Grant], str | None]:
    """What it asks for, and what is wrong with the way it asks; whether that can be granted is judged later."""
    try:
        return asked(front.permissions), None
    except BadPermissions as error:
        return [], str(error)


def _asked_by(data: bytes) -> list[Grant]:
    return _permissions(parse(data.decode("utf-8", "replace")))[0]


def _near(name: str, paths: Sequence[str]) -> list[str]:
    """Up to three paths that ``name`` could be meant for: by the whole path or by the file name alone."""
    if len(name) > MAX_PATH:
        return []
    spellings = {spelling: path for path in paths for spelling in (path, path.rpartition("/")[2])}
    wanted = name if name.endswith(".py") else name + ".py"
    return list(dict.fromkeys(spellings[match] for match in difflib.get_close_matches(wanted, spellings, n=3)))


def refused(error: StoreError) -> ServiceError:
    """Return what the store refused of scripts, as every surface says it."""
    return refusal(error, "no_script")
