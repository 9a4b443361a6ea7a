"""Declared permissions: shown to an administrator, approved or refused, and opened for each run (DESIGN 4.4).

The packages that a script names for itself are shown and decided about together with them (``ScriptEnvironments``).
An approval counts for one script path, one text and one set of permissions, as written and by the paths they led to.
The script itself is only read here, never compiled.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from engine import text_diff
from engine.models.permissions import (
    ON_PATHS,
    Access,
    ApprovalState,
    ApproveRequest,
    AskedPermission,
    Grant,
    OwnEdits,
    PermissionReview,
    ReviewedEnvironment,
    ReviewedFile,
)
from engine.models.scripts import ScriptInfo, ScriptList
from engine.models.shared import SharedFile
from engine.pool.job import SharedModule
from engine.registry.scripts import (
    PERMISSIONS_APPROVE,
    PERMISSIONS_BEGIN_EDITS,
    PERMISSIONS_END_EDITS,
    PERMISSIONS_REFUSE,
    PERMISSIONS_RENEW_EDITS,
    PERMISSIONS_REVIEW,
)
from engine.sandbox.grants import OpenedGrant
from engine.sandbox.permissions import JudgedPermission, PathChanged, judge, open_grant
from engine.sandbox.protected import ProtectedPaths
from engine.services.access import Actor, Role, ServiceError
from engine.services.audit import AuditService
from engine.services.events import EventBus
from engine.services.operations import implements
from engine.services.packages.script_environments import ScriptEnvironments
from engine.services.scripts.own_edits import HEARD_FOR, EditLeases, Fixed, Lease, OwnEdit
from engine.services.scripts.service import ScriptSource
from engine.services.scripts.shared_code import SharedCode, changed_files, shared_files, whole_sha256
from store.errors import StoreError
from store.files.names import is_shared
from store.state.approvals import Approvals
from store.state.rows import ApprovalRow

MAX_OTHERS = 20
"""Further scripts that a review of packages names."""


class Scripts(Protocol):
    """The part of ``ScriptService`` that finds a script by its name."""

    async def source(self, name: str, *, allow_problem: bool = False) -> ScriptSource: ...

    async def list(self, actor: Actor | None = None) -> ScriptList: ...


class ApprovedGrant(Grant, frozen=True):
    """What an approval fixes: the canonical path, and whether a folder was there."""

    folder: bool = True


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided about a script so far."""

    in_force: ApprovalRow | None
    last_approval: ApprovalRow | None
    """Also when it was withdrawn."""


@dataclass(frozen=True, slots=True)
class RunGrants:
    """What a run may have outside its scratch folder.

    Attributes:
        paths: For the sandbox.
        hosted: Secrets, and leave to ask the assistant: the engine does that for it.
    """

    paths: tuple[OpenedGrant, ...] = ()
    hosted: tuple[Grant, ...] = ()


def _nothing_to_note(grant: Grant) -> str | None:  # noqa: ARG001
    """Stand in for who knows what is behind a permission."""
    return None


class PermissionService:
    def __init__(
        self,
        scripts: Scripts,
        approvals: Approvals,
        events: EventBus,
        protection: Callable[[], ProtectedPaths],
        shared: SharedCode,
        audit: AuditService | None = None,
        leases: EditLeases | None = None,
        hosted_note: Callable[[Grant], str | None] = _nothing_to_note,
        environments: ScriptEnvironments | None = None,
    ) -> None:
        """Make the service of one project.

        Args:
            scripts: Finds them.
            approvals: Keeps decisions.
            events: Hears of them.
            protection: Tells what must never be granted; called in a thread.
            shared: The project's shared code.
            audit: Hears of leases.
            leases: Of own edits.
            hosted_note: Tells what to know of a permission that the engine carries out; called in a thread.
            environments: The packages that scripts name for themselves.
        """
        self._environments = environments
        self._hosted_note = hosted_note
        self._leases = leases or EditLeases()
        self._leases.tell = self._tell_lease
        self._watching: set[asyncio.Task[None]] = set()
        self._scripts = scripts
        self._approvals = approvals
        self._events = events
        self._protection = protection
        self._shared = shared
        self._audit = audit

    @implements(PERMISSIONS_REVIEW)
    async def review(self, path: str, actor: Actor) -> PermissionReview:
        """What a script asks for, judged now, and what changed since its last approval."""
        source = await self._source(path)
        shared = await self._shared.used_by(source.data)
        environment = await self._environment(source.info, actor)
        return await self._review(source, shared, await self._judge(source.info.permissions), environment)

    @implements(PERMISSIONS_APPROVE)
    async def approve(self, path: str, request: ApproveRequest, actor: Actor) -> PermissionReview:
        """Let a script have what it asks for, if it is still what the administrator saw.

        Raises:
            ServiceError: ``changed`` when the text or what its paths lead to differs from ``request``,
                ``bad_permission`` when something it asks for cannot be granted, ``bad_packages`` when the packages that
                it names cannot be had, ``no_permissions`` when it asks for nothing. Nothing was approved.
        """
        source, shared, judged = await self._as_seen(path, request)
        info = source.info
        environment = await self._environment(info, actor)
        if not judged and environment is None:
            raise _asks_for_nothing(info.path)
        if environment is not None and environment.problem:
            raise ServiceError("bad_packages", f"{info.path} cannot be approved: {environment.problem}", status=422)
        if request.environment != ("" if environment is None else environment.lock):
            what = "The packages that it names" if request.environment else "It names packages, which"
            raise _changed(f"{what} are not those that you looked at; nothing was approved.", info.path)
        if self._environments is not None and environment is not None and environment.state != ApprovalState.APPROVED:
            await self._environments.approve(info, environment, actor)
            environment = await self._environment(info, actor)
        if judged:
            await self._decide(source, shared, judged, ApprovalState.APPROVED, actor)
        else:
            self._events.publish("script", {"path": info.path, "change": ApprovalState.APPROVED.value})
        return await self._review(source, shared, judged, environment)

    async def _environment(
        self, info: ScriptInfo, actor: Actor, *, resolve: bool | None = None
    ) -> ReviewedEnvironment | None:
        """The packages of a script's own, resolved now for those who may install any."""
        if self._environments is None or not info.dependencies:
            return None
        resolve = actor.role >= Role.ADMIN if resolve is None else resolve
        others = self._environments.same_request(info, (await self._scripts.list(actor)).scripts)
        return await self._environments.review(info, resolve=resolve, others=others[:MAX_OTHERS])

    async def _as_seen(
        self, path: str, request: ApproveRequest
    ) -> tuple[ScriptSource, tuple[SharedModule, ...], list[JudgedPermission]]:
        """What a script asks for and imports, if it is still what the administrator saw and can be granted."""
        source = await self._source(path)
        info = source.info
        if info.sha256 != request.sha256:
            raise _changed(f"{info.path} has changed since you looked at it; nothing was approved.", info.path)
        shared = await self._shared.used_by(source.data)
        if changed := changed_files(request.shared, shared_files(shared)):
            what = f"{', '.join(changed)}, which {info.path} imports, changed since you looked at it"
            raise _changed(f"{what}; nothing was approved.", info.path)
        judged = await self._judge(info.permissions)
        _refuse_problems(info.path, judged)
        if {one.grant for one in judged} != set(request.grants):
            raise _changed(f"A path that {info.path} asks for leads elsewhere now; nothing was approved.", info.path)
        return source, shared, judged

    @implements(PERMISSIONS_BEGIN_EDITS)
    async def begin_edits(self, path: str, request: ApproveRequest, actor: Actor) -> OwnEdits:
        """Let the console that asks run its own edits of a script, for as long as a lease lasts.

        Raises:
            ServiceError: As ``approve`` does, or ``too_many``. Nothing was approved.
        """
        source, shared, judged = await self._as_seen(path, request)
        if not judged:
            raise _asks_for_nothing(source.info.path)
        permitted = {one.asked: (one.canonical, one.folder) for one in judged if one.canonical is not None}
        lease = self._leases.begin(actor, source.info.path, source.info.sha256, permitted, shared_files(shared))
        watching = asyncio.create_task(self._watch(lease), name="own edits")
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return self._own_edits(lease)

    @implements(PERMISSIONS_RENEW_EDITS)
    async def renew_edits(self, token: str, actor: Actor) -> OwnEdits:
        """The console is still there; raises ``edits_over``, with the reason."""
        return self._own_edits(self._leases.renew(OwnEdit(token, actor)))

    @implements(PERMISSIONS_END_EDITS)
    async def end_edits(self, token: str, actor: Actor) -> OwnEdits:
        """Let it be over now; raises ``edits_over`` if it is already."""
        lease = self._leases.renew(OwnEdit(token, actor))
        self._leases.end(lease, "you ended it")
        return self._own_edits(lease)

    async def close(self) -> None:
        """End every lease: the engine stops."""
        for watching in list(self._watching):
            watching.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def _watch(self, lease: Lease) -> None:
        """End a lease when its time is over, and when something else happens to its script."""
        try:
            with self._events.subscribe() as changes:
                await self._look(lease)
                while (left := self._leases.left(lease)) > 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            events = await anext(changes)
                            if any(event.type in ("script", "git", "lagged") for event in events):
                                await self._look(lease)
            self._leases.expire(lease)
        except StopAsyncIteration:
            pass
        finally:
            self._leases.end(lease, "the engine stopped")  # unless it is over already

    async def _look(self, lease: Lease) -> None:
        """Compare the script's file with what the lease counts for."""
        known = lease.texts
        try:
            info = (await self._scripts.source(lease.script, allow_problem=True)).info
        except ServiceError:
            found = None
        else:
            found = info.sha256 if info.path == lease.script else None  # else it is another one of that file name
        self._leases.found(lease, found, known)

    def _own_edits(self, lease: Lease) -> OwnEdits:
        return OwnEdits(
            script=lease.script,
            token=lease.token,
            sha256=lease.sha256,
            remaining=self._leases.remaining(lease) if self._leases.left(lease) else 0.0,
            renew_within=HEARD_FOR,
        )

    def _tell_lease(self, lease: Lease, action: str, detail: Mapping[str, object]) -> None:
        """Put on record what becomes of a lease; never its token."""
        if self._audit is not None:
            detail = {**detail, "grants": _grants_text(lease.permitted)} if action == "begin" else detail
            self._audit.tell(
                lease.actor, "permissions", f"own_edits_{action}", lease.script, sha256=lease.sha256, **detail
            )
        if action in ("begin", "end"):
            self._events.publish("script", {"path": lease.script, "change": f"own_edits_{action}"})

    @implements(PERMISSIONS_REFUSE)
    async def refuse(self, path: str, actor: Actor) -> PermissionReview:
        """Say no to what a script asks for; an approval that it had, for whatever text, ends."""
        source = await self._source(path)
        judged = await self._judge(source.info.permissions)
        environment = await self._environment(source.info, actor, resolve=False)
        if not judged and environment is None and await self._approvals.in_force(source.info.path) is None:
            raise _asks_for_nothing(source.info.path)
        try:
            shared = await self._shared.used_by(source.data)
        except ServiceError:  # what it imports cannot be used now: no reason not to refuse
            shared = ()
        if self._environments is not None and environment is not None:
            await self._environments.refuse(source.info, actor)
            environment = await self._environment(source.info, actor, resolve=False)
        if judged or environment is None:
            await self._decide(source, shared, judged, ApprovalState.REFUSED, actor)
        else:
            self._events.publish("script", {"path": source.info.path, "change": ApprovalState.REFUSED.value})
        self._leases.end_all(source.info.path, f"{actor.name} refused what the script asks for")
        return await self._review(source, shared, judged, environment)

    async def grants_for(
        self, info: ScriptInfo, sha256: str, shared: Sequence[SharedFile] = (), edit: OwnEdit | None = None
    ) -> RunGrants:
        """What a run of a script may have outside its scratch folder.

        Args:
            info: What the text that is to run says about itself.
            sha256: Of that text.
            shared: The shared code that it imports.
            edit: Whose own edit it may be: then a lease of theirs counts as well.

        Raises:
            ServiceError: ``needs_approval`` when it asks for something that is not approved for exactly these texts
                and these paths, ``bad_permission`` when what was approved cannot be granted any more.
        """
        if not info.permissions:
            return RunGrants()
        decided = await self._approvals.in_force(info.path)
        if edit is not None and (leased := self._leased(info, sha256, shared, edit)) is not None:
            return await asyncio.to_thread(self._open, info, leased)
        approved_for = decided is not None and _is_for(decided, sha256, info.permissions, shared)
        if decided is None or decided.state != ApprovalState.APPROVED or not approved_for:
            # Whoever is sent to an administrator should not come back with what was wrong from the beginning.
            _refuse_problems(info.path, await self._judge(info.permissions))
            why_not = _why_not(info, decided, sha256, shared)
            if edit is not None and self._leases.is_elsewhere(edit, info.path):
                why_not += " Your own edits run in the console that asked for them only."
            raise _needs_approval(info.path, why_not)
        approved = msgspec.json.decode(decided.grants, type=list[ApprovedGrant])
        return await asyncio.to_thread(self._open, info, approved)

    def _leased(
        self, info: ScriptInfo, sha256: str, shared: Sequence[SharedFile], edit: OwnEdit
    ) -> list[ApprovedGrant] | None:
        """What a lease lets this text have; None where there is none."""
        fixed = self._leases.permitted(edit, info.path, sha256, info.permissions, shared)
        if fixed is None:
            return None
        return [
            ApprovedGrant(access=grant.access, path=path, folder=folder)
            for grant, (path, folder) in zip(info.permissions, fixed, strict=True)
        ]

    async def _source(self, name: str) -> ScriptSource:
        source = await self._scripts.source(name, allow_problem=True)
        if is_shared(source.info.path):
            sentence = f"{source.info.path} holds shared code: the scripts that import it ask for permissions."
            raise ServiceError("shared_code", sentence, status=422)
        if source.info.problem:
            sentence = f"{source.info.path} cannot be judged: {source.info.problem}"
            raise ServiceError("bad_script", sentence, status=422)
        return source

    async def _judge(self, asked: Sequence[Grant]) -> list[JudgedPermission]:
        return await asyncio.to_thread(self._judge_now, asked) if asked else []

    def _judge_now(self, asked: Sequence[Grant]) -> list[JudgedPermission]:
        protected = self._protection()
        return [self._noted(judge(grant, protected)) for grant in asked]

    def _noted(self, judged: JudgedPermission) -> JudgedPermission:
        if judged.asked.access in ON_PATHS or judged.problem:
            return judged
        return replace(judged, note=self._hosted_note(judged.asked))

    def _open(self, info: ScriptInfo, approved: Sequence[ApprovedGrant]) -> RunGrants:
        protected = self._protection()
        judged = [judge(grant, protected) for grant in info.permissions]
        _refuse_problems(info.path, judged)
        if _fixed(judged) != list(approved):
            moved = f"A path that {info.path} asks for leads elsewhere than when it was approved."
            raise _needs_approval(info.path, moved)
        try:
            opened = [
                open_grant(Grant(access=one.access, path=one.path), protected, folder=one.folder)
                for one in approved
                if one.access in ON_PATHS
            ]
        except PathChanged as change:
            raise _needs_approval(info.path, f"{info.path} cannot have what was approved: {change}") from None
        return RunGrants(tuple(dict.fromkeys(opened)), hosted_of(info))

    async def approved_secrets(self) -> dict[str, list[str]]:
        """Scripts with an approval in force that lets them use a secret, by its name."""
        found: dict[str, list[str]] = {}
        for script, grants in (await self._approvals.approved_grants()).items():
            for grant in msgspec.json.decode(grants, type=list[ApprovedGrant]):
                if grant.access is Access.SECRET:
                    found.setdefault(grant.path, []).append(script)
        return {name: sorted(scripts) for name, scripts in found.items()}

    async def _decide(
        self,
        source: ScriptSource,
        shared: Sequence[SharedModule],
        judged: Sequence[JudgedPermission],
        state: ApprovalState,
        actor: Actor,
    ) -> None:
        texts = {one.path: one.text.decode() for one in shared if one.path}
        row = ApprovalRow(
            script=source.info.path,
            sha256=source.info.sha256,
            state=state.value,
            asked=msgspec.json.encode(source.info.permissions).decode(),
            grants=msgspec.json.encode(_fixed(judged)).decode(),
            text=source.data if state is ApprovalState.APPROVED else None,
            uid=actor.uid,
            name=actor.name,
            decided_at=time.time(),
            shared=msgspec.json.encode(shared_files(shared)).decode(),
            shared_texts=msgspec.json.encode(texts).decode() if texts and state is ApprovalState.APPROVED else None,
        )
        try:
            await self._approvals.decide(row)
        except StoreError as error:
            raise ServiceError("store", error.sentence, hint=error.hint, status=500) from None
        if self._audit is not None:
            told = {"sha256": row.sha256, "grants": row.grants} | ({"shared": row.shared} if texts else {})
            self._audit.tell(actor, "permissions", state.value, row.script, **told)
        self._events.publish("script", {"path": source.info.path, "change": state.value})

    async def _review(
        self,
        source: ScriptSource,
        shared: Sequence[SharedModule],
        judged: Sequence[JudgedPermission],
        environment: ReviewedEnvironment | None,
    ) -> PermissionReview:
        path = source.info.path
        decisions = Decisions(await self._approvals.in_force(path), await self._approvals.last_approval(path))
        return await asyncio.to_thread(_reviewed, source, shared, judged, decisions, environment)


def _reviewed(
    source: ScriptSource,
    shared: Sequence[SharedModule],
    judged: Sequence[JudgedPermission],
    decisions: Decisions,
    environment: ReviewedEnvironment | None,
) -> PermissionReview:
    """Blocks: it compares texts."""
    files = shared_files(shared)
    old_files = _shared_of(decisions.last_approval)
    info, last = source.info, decisions.last_approval
    before = _grants(msgspec.json.decode(last.grants, type=list[ApprovedGrant])) if last else []
    asked = [_asked(one, before) for one in judged]
    now = {one.grant for one in judged}
    return PermissionReview(
        script=info.path,
        sha256=info.sha256,
        state=_together(_state(info, files, judged, decisions), environment),
        asked=asked,
        removed=[grant for grant in before if grant not in now],
        approved_by=last.name if last else None,
        approved_at=last.decided_at if last else None,
        approved_sha256=last.sha256 if last else None,
        diff=_diff(source, shared, last) if judged else "",
        shared=[ReviewedFile(path=file.path, sha256=file.sha256, change=_change(file, old_files)) for file in files],
        removed_shared=sorted({file.path for file in old_files} - {file.path for file in files}),
        whole_sha256=_whole(whole_sha256(info.sha256, files), environment),
        environment=environment,
    )


def _together(state: ApprovalState, environment: ReviewedEnvironment | None) -> ApprovalState:
    """The state of permissions and packages: of the two the one that still has to be decided."""
    states = {state} if environment is None else {state, environment.state}
    return next(one for one in _MOST_TELLING if one in states)


_MOST_TELLING = (
    ApprovalState.REFUSED,
    ApprovalState.CHANGED,
    ApprovalState.NEEDED,
    ApprovalState.APPROVED,
    ApprovalState.NONE,
)


def _whole(sha256: str, environment: ReviewedEnvironment | None) -> str:
    """One hash for the texts with the packages that they name."""
    if environment is None:
        return sha256
    return hashlib.sha256(f"{sha256}\n{environment.lock}".encode()).hexdigest()


def _change(file: SharedFile, before: Sequence[SharedFile]) -> str:
    old = next((one for one in before if one.path == file.path), None)
    if old is None:
        return "new"
    return "unchanged" if old.sha256 == file.sha256 else "changed"


def _shared_of(decided: ApprovalRow | None) -> list[SharedFile]:
    return [] if decided is None else msgspec.json.decode(decided.shared, type=list[SharedFile])


def _asked(judged: JudgedPermission, before: Sequence[Grant]) -> AskedPermission:
    return AskedPermission(
        access=judged.asked.access,
        path=judged.asked.path,
        canonical=judged.canonical,
        folder=judged.folder,
        change="unchanged" if judged.grant in before else "new",
        problem=judged.problem,
        note=judged.note,
    )


def _state(
    info: ScriptInfo, shared: Sequence[SharedFile], judged: Sequence[JudgedPermission], decisions: Decisions
) -> ApprovalState:
    if not judged:
        return ApprovalState.NONE
    decided = decisions.in_force
    if decided is not None and _is_for(decided, info.sha256, info.permissions, shared):
        if decided.state == ApprovalState.REFUSED:
            return ApprovalState.REFUSED
        if msgspec.json.decode(decided.grants, type=list[ApprovedGrant]) == _fixed(judged):
            return ApprovalState.APPROVED
    return ApprovalState.NEEDED if decisions.last_approval is None else ApprovalState.CHANGED


def _is_for(decided: ApprovalRow, sha256: str, asked: Sequence[Grant], shared: Sequence[SharedFile]) -> bool:
    """Whether a decision is about these texts. What was asked for counts too: another version may read it differently.

    A refusal is of the script's text, whatever it imports.
    """
    if decided.sha256 != sha256 or msgspec.json.decode(decided.asked, type=list[Grant]) != list(asked):
        return False
    return decided.state == ApprovalState.REFUSED or _shared_of(decided) == list(shared)


def _fixed(judged: Sequence[JudgedPermission]) -> list[ApprovedGrant]:
    """What an approval of ``judged`` holds."""
    return [
        ApprovedGrant(access=one.asked.access, path=one.canonical, folder=one.folder)
        for one in judged
        if one.canonical is not None
    ]


def _grants(approved: Sequence[ApprovedGrant]) -> list[Grant]:
    return list(dict.fromkeys(Grant(access=one.access, path=one.path) for one in approved))


def _diff(source: ScriptSource, shared: Sequence[SharedModule], last: ApprovalRow | None) -> str:
    old = (last.text or b"").decode("utf-8", "backslashreplace") if last else ""
    old_name = "approved" if last else "/dev/null"
    parts = [text_diff.unified(old, source.data.decode("utf-8", "backslashreplace"), old_name, source.info.path)]
    before: dict[str, str] = json.loads(last.shared_texts) if last and last.shared_texts else {}
    now = {one.path: one.text.decode() for one in shared if one.path}
    for path in sorted(before.keys() | now.keys()):
        old_name = f"approved {path}" if path in before else "/dev/null"
        new_name = path if path in now else "/dev/null"
        parts.append(text_diff.unified(before.get(path, ""), now.get(path, ""), old_name, new_name))
    return "\n".join(filter(None, parts))


def _grants_text(permitted: Mapping[Grant, Fixed]) -> str:
    """Where permissions lead, as approvals on record have it."""
    fixed = [
        ApprovedGrant(access=asked.access, path=path, folder=is_folder)
        for asked, (path, is_folder) in permitted.items()
    ]
    return msgspec.json.encode(fixed).decode()


def hosted_of(info: ScriptInfo) -> tuple[Grant, ...]:
    """What a script asks for and the engine carries out."""
    return tuple(grant for grant in info.permissions if grant.access not in ON_PATHS)


def _refuse_problems(script: str, judged: Sequence[JudgedPermission]) -> None:
    for one in judged:
        if one.problem:
            raise ServiceError(
                "bad_permission",
                f"{script} cannot {_USES.get(one.asked.access, one.asked.access)} what it asks for: {one.problem}",
                hint="Change permissions in its header, or what is there.",
                status=422,
            )


_USES = {Access.SECRET: "use"}


def _wanted(asked: Sequence[Grant]) -> str:
    """What a script asks for, by its kinds."""
    kinds = {grant.access for grant in asked}
    parts = ["files outside its scratch folder"] if kinds & ON_PATHS else []
    parts += ["secrets"] if Access.SECRET in kinds else []
    parts += ["the assistant"] if Access.ASK in kinds else []
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _why_not(info: ScriptInfo, decided: ApprovalRow | None, sha256: str, shared: Sequence[SharedFile]) -> str:
    path, wanted = info.path, _wanted(info.permissions)
    if decided is None:
        return f"{path} asks for {wanted}, and no administrator has approved that yet."
    if decided.state == ApprovalState.APPROVED:
        if decided.sha256 == sha256 and (changed := changed_files(_shared_of(decided), shared)):
            return f"{', '.join(changed)}, which {path} imports, changed since the permissions of {path} were approved."
        return f"{path} is not the text whose permissions were approved: it has changed since."
    if decided.sha256 == sha256:
        return f"{path} was refused the permissions that it asks for, by {decided.name}."
    return f"{path} asks for {wanted}; {decided.name} refused that for an earlier text."


def _asks_for_nothing(path: str) -> ServiceError:
    return ServiceError("no_permissions", f"{path} asks for no permissions.", status=422)


def _needs_approval(path: str, sentence: str) -> ServiceError:
    hint = f"An administrator can look at it and decide: gatewright scripts approve {shlex.quote(path)}"
    return ServiceError("needs_approval", sentence, hint=hint, status=403)


def _changed(sentence: str, path: str) -> ServiceError:
    hint = f"Look again: gatewright scripts approve {shlex.quote(path)}"
    return ServiceError("changed", sentence, hint=hint, status=409)
