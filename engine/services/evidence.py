"""What there is to prove of a run, in one file that is verified without the project (``engine.evidence_check``).

Everything comes from the records of then, where there are any. What the records do not have, such as the packages of
the environment that most scripts share, is told as it is now, with what the audit knows of changes since; a sentence
among ``notes`` says so, and what is missing is said there, too.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.evidence_check import STREAMS, content, digest, sealed, subject_of
from engine.models.base import VERSION
from engine.models.packages import DEFAULT, PlannedPackage
from engine.models.permissions import ApprovalState, Grant
from engine.models.runs import Mode, RunInfo, RunKind, RunState
from engine.models.scripts import ScriptInfo
from engine.pool.pool import Pool
from engine.registry.evidence import EVIDENCE, EvidenceParams
from engine.sandbox.plan import Plan
from engine.sandbox.probe import FINDINGS_FILE
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.operations import implements
from engine.services.packages.builds import Builds
from engine.services.packages.script_environments import PackageRequest, ScriptEnvironments
from engine.services.runs.inputs import read_inputs
from engine.services.runs.service import RunService
from engine.services.scripts.service import ScriptService
from store.project import Project
from store.state.audit import AuditRow
from store.state.database import StateDB
from store.state.rows import ApprovalRow, OutputRow, RunRow

ACTION = "evidence"
"""Of the audit record that holds the hash of each file that was made."""

PAGE = 1_000
"""Chunks of output that are read at a time."""

OF_A_TEXT = 20
"""Audit records about one text that are taken, the newest ones: who saved it, approved it, ran it as his own edit."""

CHANGES = (
    "packages_install", "packages_upgrade", "packages_uninstall", "packages_install_bundle", "packages_python",
    "environment_create", "environment_remove",
)  # fmt: skip
"""What the audit calls changes of an environment."""

_OF_THE_RUN = (
    "id", "kind", "name", "mode", "actor", "source", "queued_at", "started_at", "finished_at", "duration", "timeout",
    "slot", "outcome", "signal", "exit_status", "code_sha256", "inputs_sha256", "replay_of", "note", "unrecorded",
    "isolation", "error", "grants", "shared", "files", "condensed",
)  # fmt: skip
"""Fields of a run's record that are told as they are; the others are texts, and stand in parts of their own."""

_OWN_WORDS = frozenset({"kind", "mode", "actor", "outcome", "isolation", "level", "proven", "access"})
"""Of what the engine alone says, or the audit says as it is: a secret that is such a word by chance is no secret."""

_NOT_OF_THE_HEADER = frozenset({"path", "sha256", "size", "modified", "problem", "note", "needs_approval"})


@dataclass(slots=True)
class Notes:
    """Sentences about what the file does not have, and about what it has of another time."""

    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        self.sentences.append(sentence)


@dataclass(frozen=True, slots=True)
class Ran:
    """The texts that ran, as far as they are kept."""

    code: bytes | None
    shared: Mapping[str, bytes]
    header: ScriptInfo | None
    inputs: str | None
    """Canonical JSON."""


class EvidenceService:
    """Reads what others have recorded; it decides nothing and changes nothing.

    Args:
        project: Whose runs they are.
        runs: Its runs.
        state: Their records.
        scripts: Read the header of a text.
        environments: Know which scripts have packages of their own.
        builds: Know what environments are made of.
        pool: Knows the plans of both modes and the usual environment.
        audit: Is told of each file.
    """

    def __init__(
        self,
        project: Project,
        runs: RunService,
        state: StateDB,
        scripts: ScriptService,
        environments: ScriptEnvironments,
        builds: Builds,
        pool: Pool,
        audit: AuditService,
    ) -> None:
        self._project = project
        self._runs = runs
        self._state = state
        self._scripts = scripts
        self._environments = environments
        self._builds = builds
        self._pool = pool
        self._audit = audit

    @implements(EVIDENCE)
    async def evidence(self, params: EvidenceParams, actor: Actor, source: str) -> bytes:
        """Make the evidence of a run that has ended, and tell the audit the file's hash.

        Raises:
            ServiceError: There is no such run, it goes on, or its record is not written.
        """
        info = await self._runs.get(params.run_id, actor)
        if info.state is not RunState.FINISHED:
            raise ServiceError(
                "not_finished",
                f"Run {info.id} goes on, and evidence is of what has happened.",
                hint="Wait for its end, or stop it: gatewright runs cancel.",
                status=409,
            )
        await asyncio.shield(self._runs.recorder.flush())
        await self._audit.flush()  # what was told up to here is asked for below
        row = await self._state.run(info.id)
        if row is None or row.state != RunState.FINISHED:
            raise ServiceError(
                "not_recorded",
                f"The record of run {info.id} is not written yet, so nothing can be proven by it.",
                hint="See gatewright engine status for what keeps the engine from writing.",
                status=409,
            )
        notes = Notes()
        ran = await self._ran(info, notes)
        approval = await self._approval(info, notes)
        body: dict[str, Any] = {
            "made": self._made(actor, source),
            "run": _run(info),
            "code": _text(ran.code, info.code_sha256),
            "shared": [_text(ran.shared.get(one.path), one.sha256) | {"path": one.path} for one in info.shared],
            "header": _header(ran.header),
            "inputs": _inputs(info, ran, notes, whole=params.inputs),
            "output": _output(info, await self._chunks(info), notes, whole=params.output),
            "result": _result(row, whole=params.output),
            "limits": self._limits(info, ran.header),
            "isolation": await asyncio.to_thread(self._isolation, info),
            "approval": None if approval is None else _approval(approval),
            "interpreter": await self._interpreter(info, ran, notes),
        }
        environment = body["interpreter"]["environment"]
        body = await asyncio.to_thread(_without_secrets, body, self._audit.without_secrets, notes)
        body["audit"] = await self._audited(info, ran, environment, notes)
        body["notes"] = notes.sentences
        file = await asyncio.to_thread(sealed, body)
        told = {"file": await asyncio.to_thread(digest, file), "inputs": params.inputs, "output": params.output}
        self._audit.tell(actor, source, ACTION, subject_of(info.id, info.name), **told)
        await self._audit.flush()
        if self._audit.unwritten is not None:
            raise ServiceError(
                "not_recorded",
                f"Evidence is not handed out while its hash cannot be put on record. {self._audit.unwritten}",
                hint="Free some space on the disk of the project, then try again.",
                status=409,
            )
        await self._audit.send_head()  # by the system's log a reader can tell that the file is of now
        return file

    def _made(self, actor: Actor, source: str) -> dict[str, Any]:
        host = os.uname()
        return {
            "at": time.time(),
            "by": actor.name,
            "source": source,
            "gatewright": VERSION,
            "host": host.nodename,
            "kernel": host.release,
            "project": str(self._project.root),
        }

    async def _ran(self, info: RunInfo, notes: Notes) -> Ran:
        """Find the texts; what of them is missing is noted."""
        code = await self._state.inputs.code(info.code_sha256)
        shared = await self._state.inputs.shared(info.id) if info.shared else {}
        if code is None and digest(b"") == info.code_sha256:
            code = b""
        if info.kind is RunKind.RENDER:
            notes.add("The run was a batch: its hash is of all that it ran, and the texts of its macros are not here.")
        elif code is None:
            notes.add("The text that ran is not on record: it was too large, or the disk was full.")
        notes.sentences += [
            f"The text of {file.path} is not on record: the disk was full."
            for file in info.shared
            if file.path not in shared
        ]
        header = None
        if info.kind is RunKind.SCRIPT and code is not None:
            try:
                header = await asyncio.to_thread(self._scripts.source_of, info.name, code.decode("utf-8", "replace"))
            except ServiceError as error:
                notes.add(f"The header cannot be read as it was: {error.message}")
        return Ran(code, shared, None if header is None else header.info, await self._state.inputs.of(info.id))

    async def _chunks(self, info: RunInfo) -> list[OutputRow]:
        found: list[OutputRow] = []
        while rows := await self._state.output(info.id, found[-1].seq + 1 if found else 0, PAGE):
            found += rows
        return found

    def _limits(self, info: RunInfo, header: ScriptInfo | None) -> dict[str, Any]:
        """Return the timeout as recorded, the others as the header declares them, else as they are now."""
        usual = self._pool.settings.limits
        now = {name: getattr(usual, name) for name in ("memory", "output", "result", "scratch", "open_files")}
        declared = {} if header is None else {name: getattr(header, name) for name in now}
        return {
            "timeout": info.timeout,
            "declared": {name: value for name, value in declared.items() if value is not None},
            "usual_now": now,
        }

    def _isolation(self, info: RunInfo) -> dict[str, Any]:
        """Return what the run's own process had proven when it began, and what this host gives now. Blocks."""
        plan = self._pool.settings.plan(info.mode)
        try:
            probed = json.loads((self._project.private / FINDINGS_FILE).read_bytes())["findings"]
        except (OSError, ValueError, KeyError, TypeError):
            probed = None
        level = info.isolation.partition(":")[0]
        return {"level": level, "proven": info.isolation, "host_now": _plan(plan), "probed_now": probed}

    async def _approval(self, info: RunInfo, notes: Notes) -> ApprovalRow | None:
        """Return the approval that the run had its permissions by; None where it had none or needed none."""
        if info.mode is Mode.ADMIN or not info.grants:
            return None
        history = await self._state.approvals.history(info.name)
        fitting = [
            row
            for row in history
            if row.state == ApprovalState.APPROVED
            and row.sha256 == info.code_sha256
            and json.loads(row.shared) == _plain(info.shared)
        ]
        then = [
            row for row in fitting if row.decided_at <= info.queued_at < (row.superseded_at or float("inf"))
        ] or fitting[:1]
        if not then:
            notes.add(
                "No approval on record is of this text: it ran as its author's own edit, which audit records "
                "own_edits_* tell of, or the script was renamed since."
            )
        return then[0] if then else None

    async def _interpreter(self, info: RunInfo, ran: Ran, notes: Notes) -> dict[str, Any]:
        """Return what the run was executed with: by an approval on record, else as it is now."""
        inputs = read_inputs(ran.inputs)
        header = ran.header or ScriptInfo(
            path=info.name,
            title=info.name,
            environment=inputs.get("environment", ""),
            requires_python=_python_of(inputs.get("python", "")),
        )
        name = header.environment or DEFAULT
        since = info.started_at or info.queued_at
        changes = await self._state.audit_slice.about(name, actions=CHANGES)
        later = [row.seq for row in changes if row.at >= since]
        decided = await self._decided(header, info.queued_at)
        own = (header.dependencies or header.requires_python) and not header.environment
        if own and not await asyncio.to_thread(self._usual_satisfies, header):
            if decided is None:
                notes.add(
                    "No approval of its packages from before the run is on record."
                    if header.dependencies
                    else "The run had another Python than the usual one; which version it was is not on record."
                )
            if later:
                notes.add(
                    "The default environment has changed since the run (audit records "
                    f"{_numbers(later)}): it may have had the packages then."
                )
            return _of_decision(decided) | {"changed_since": later}
        if later:
            before = [row for row in changes if row.at < since]
            notes.add(
                f"The environment {name} has changed since the run (audit records {_numbers(later)}): what it has now "
                "is not what the run had" + (f", which audit record {before[-1].seq} tells." if before else ".")
            )
        return await asyncio.to_thread(self._as_now, name, notes) | {"changed_since": later}

    async def _decided(self, header: ScriptInfo, at: float) -> Mapping[str, Any] | None:
        """Return the approval of a header's packages that counted at a time."""
        try:
            request = PackageRequest.of(header)
        except ServiceError:
            return None
        row = await self._state.environment_approvals.at(request.key, at)
        if row is None or not request.requirements:
            return None
        lock = row.lock.encode()
        return {
            "python": row.version,
            "lock": content(lock) | {"sha256": digest(lock), "size": len(lock)},
            "packages": [
                {"name": one.name, "version": one.version, "sha256": one.sha256}
                for one in msgspec.json.decode(row.packages, type=list[PlannedPackage])
            ],
            "approved_by": row.name,
            "approved_at": row.decided_at,
            "approved_for": row.script,
        }

    def _usual_satisfies(self, header: ScriptInfo) -> bool:
        return not self._environments.asks(header) and (
            header.requires_python is None
            or PackageRequest.of(ScriptInfo(path="", title="", requires_python=header.requires_python)).allows(
                self._pool.environment.version
            )
        )

    def _as_now(self, name: str, notes: Notes) -> dict[str, Any]:
        """Return what an environment is made of now. Blocks."""
        prefix = self._builds.prefix(name)
        record = None if prefix is None else self._builds.record(prefix)
        usual = self._pool.environment
        found: dict[str, Any] = {"environment": name, "known_from": "now"}
        if record is None:
            if name != DEFAULT:
                notes.add(f"The environment {name} is not there any longer.")
            return found | {"python": usual.version if name == DEFAULT else "", "packages": []}
        if not record.managed and record.requirements:
            notes.add(f"The environment {name} was installed into by hand, so its packages have no lock.")
        lock = record.lock.encode()
        return found | {
            "python": record.version,
            "path": record.python,
            "built_at": record.made_at,
            "lock": content(lock) | {"sha256": digest(lock), "size": len(lock)},
            "packages": [
                {"name": one.name, "version": one.version, "sha256": one.sha256}
                for one in self._builds.lock(record).packages
            ],
        }

    async def _audited(self, info: RunInfo, ran: Ran, environment: str, notes: Notes) -> dict[str, Any]:
        """Return the records about the run, its texts and its packages, their neighbours, and the newest of all."""
        audit, subject = self._state.audit_slice, subject_of(info.id, info.name)
        found = await audit.about(subject)
        if self._audit.problem is not None:
            notes.add(f"When the file was made, the engine said of its audit: {self._audit.problem}")
        if not found:
            notes.add(
                "The audit has no record of the run itself: it is older than such records, or the calls that its "
                "record stands for are told when their minute is over."
            )
        if info.kind is RunKind.SCRIPT:
            found += await audit.about(info.name, containing=info.code_sha256, limit=OF_A_TEXT)
        for file in info.shared:
            found += await audit.about(file.path, containing=file.sha256, limit=OF_A_TEXT)
        for grant in info.grants:
            if grant.access == "secret":
                found += await audit.about(grant.path, containing=json.dumps(subject))
        if ran.header is not None and ran.header.dependencies:
            found += await audit.about(info.name, actions=("packages_approved", "packages_refused"), limit=OF_A_TEXT)
        if environment:
            found += await audit.about(environment, actions=CHANGES, limit=OF_A_TEXT)
        newest = await self._state.audit.newest(1)
        numbers = {row.seq for row in (*found, *newest)}
        numbers |= {*await audit.around(info.queued_at, info.finished_at or info.queued_at)}
        rows = [row for row in await audit.with_neighbours(numbers) if row.seq <= newest[0].seq] if newest else []
        if not rows:
            raise ServiceError("no_audit", "The audit has no records, so nothing can be proven by it.", status=409)
        return {
            "head": {"seq": rows[-1].seq, "sha256": rows[-1].sha256},
            "records": [_record(row) for row in rows],
            "about": sorted({row.seq for row in found}),
        }


def _without_secrets(value: Any, hide: Callable[[str], str], notes: Notes) -> Any:  # noqa: ANN401 - JSON
    """Return what is told without values of the project's secrets: of a content that has one only its hash is left."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [_without_secrets(one, hide, notes) for one in value]
    if not isinstance(value, dict):
        return value
    names = ("text", "base64") if "sha256" in value else ()
    told = {name for name in names if name in value and (text := _text_of(name, value[name])) != hide(text)}
    if told:
        notes.add(f"A content holds the value of a secret, so only its hash is here: SHA-256 {value['sha256']}.")
    return {
        name: one if name in names or name in _OWN_WORDS else _without_secrets(one, hide, notes)
        for name, one in value.items()
        if name not in told
    }


def _text_of(name: str, held: str) -> str:
    return held if name == "text" else base64.b64decode(held).decode("utf-8", "replace")


def _run(info: RunInfo) -> dict[str, Any]:
    return {name: _plain(getattr(info, name)) for name in _OF_THE_RUN}


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    return msgspec.to_builtins(value)


def _text(data: bytes | None, sha256: str) -> dict[str, Any]:
    """Return a text with its hash; the hash alone where the text is not kept."""
    return {"sha256": sha256} if data is None else content(data) | {"sha256": sha256, "size": len(data)}


def _header(info: ScriptInfo | None) -> dict[str, Any] | None:
    if info is None:
        return None
    return {name: value for name, value in _plain(info).items() if name not in _NOT_OF_THE_HEADER}


def _inputs(info: RunInfo, ran: Ran, notes: Notes, *, whole: bool) -> dict[str, Any]:
    """Return hashes of what the run was given, and with ``whole`` what is kept of it; of secrets an HMAC only."""
    given = read_inputs(ran.inputs)
    told: dict[str, Any] = {
        "sha256": info.inputs_sha256,
        "files": _plain(given["files"]),
        "buffers": _plain(given["buffers"]),
        "stdin": _plain(given["stdin"]),
        "secrets": [{"place": one.place, "name": one.name} for one in given["secrets"]],
    }
    if info.kind is RunKind.RENDER:
        notes.add("The documents and calls of the batch are not here: they go back to who asked for them.")
    elif info.inputs_sha256 is None:
        notes.add("The run is of a time when inputs were not recorded.")
    elif ran.inputs is None and info.inputs_sha256 != digest(b"{}"):
        notes.add("Of what the run was given only the hash is on record: it was too large, or the disk was full.")
    if whole and info.inputs_sha256 is not None:
        data = b"{}" if ran.inputs is None else ran.inputs.encode()
        if digest(data) == info.inputs_sha256:
            told |= content(data) | {"size": len(data)}
    return told


def _output(info: RunInfo, chunks: Sequence[OutputRow], notes: Notes, *, whole: bool) -> dict[str, Any]:
    """Return hashes of what is kept of each stream, and with ``whole`` the texts."""
    streams = {stream: "".join(chunk.text for chunk in chunks if chunk.stream == stream).encode() for stream in STREAMS}
    kept = sum(map(len, streams.values()))
    if not kept and info.output_bytes:
        notes.add("What the run wrote is no longer kept: retention has removed it.")
    elif not info.output_complete:
        notes.add("Not all that the run wrote is kept; its note says why.")
    return {
        "recorded": info.output_bytes,
        "kept": kept,
        "complete": info.output_complete and kept == info.output_bytes,
        **{
            stream: {"sha256": digest(data), "size": len(data)} | (content(data) if whole else {})
            for stream, data in streams.items()
        },
    }


def _result(row: RunRow, *, whole: bool) -> dict[str, Any]:
    """Return hashes of the result as JSON and as text, and of the traceback; with ``whole`` the texts."""
    texts = {"value": row.value, "shown": row.result, "traceback": row.traceback}
    return {
        name: {"sha256": digest(text.encode()), "size": len(text.encode())} | (content(text.encode()) if whole else {})
        for name, text in texts.items()
        if text is not None
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "mode": plan.mode.value,
        "level": plan.level.value,
        "layers": _plain(plan.layers),
        "missing": list(plan.missing),
    }


def _approval(row: ApprovalRow) -> dict[str, Any]:
    return {
        "sha256": row.sha256,
        "shared": json.loads(row.shared),
        "asked": json.loads(row.asked),
        "grants": _plain([Grant(access=one["access"], path=one["path"]) for one in json.loads(row.grants)]),
        "by": row.name,
        "uid": row.uid,
        "at": row.decided_at,
        "superseded_at": row.superseded_at,
    }


def _of_decision(decided: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"environment": "", "known_from": "approval", **(decided or {"python": "", "packages": []})}


def _python_of(version: str) -> str | None:
    """Return the requirement that code makes by naming a version, as for its run (``RequestChecks``)."""
    return f"=={version if version.count('.') == 2 else f'{version}.*'}" if version else None


def _record(row: AuditRow) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "at": row.at,
        "actor": row.actor,
        "uid": row.uid,
        "source": row.source,
        "action": row.action,
        "subject": row.subject,
        "detail": row.detail,
        "prev": row.prev,
        "sha256": row.sha256,
    }


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
