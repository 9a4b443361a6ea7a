"""Rows of ``state.db``: run, output, file, decision, version, seeded file. Services make the API's structs of them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run. The fields are the columns of table ``run`` (migrations), in their order.

    A struct, for every run is two of them and a list many: a frozen dataclass takes five times as long to make.
    """

    id: int
    kind: str
    name: str
    state: str
    """``queued``, ``running`` or ``finished``."""
    mode: str
    actor: str
    source: str
    queued_at: float
    timeout: float
    code_sha256: str
    isolation: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    duration: float | None = None
    slot: int | None = None
    outcome: str | None = None
    signal: int | None = None
    value: str | None = None
    """JSON text; None when the run left no value."""
    result: str | None = None
    note: str | None = None
    error: str | None = None
    """JSON text."""
    traceback: str | None = None
    output_bytes: int = 0
    output_complete: bool = True
    grants: str | None = None
    """JSON text; None when it had none."""
    inputs_sha256: str | None = None
    """None for a run of a time when that was not recorded."""
    replay_of: int | None = None
    unrecorded: str | None = None
    """Why its output or its files are not here."""
    exit_status: int | None = None
    shared: str | None = None
    """JSON text: the shared code that it could import; None when there was none."""


@dataclass(frozen=True, slots=True)
class InputRow:
    """What a run was given."""

    run_id: int
    code_sha256: str
    code: bytes | None
    """None when it is too large to be kept."""
    inputs: str | None
    """JSON text; None when there were none, or they are too large to be kept."""
    shared: tuple[tuple[str, str, bytes], ...] = ()
    """Path, hash and text of each file of shared code that it could import."""


@dataclass(frozen=True, slots=True)
class OutputRow:
    """One piece of a run's output. ``seq`` starts at 0 in each run; numbers of what is not kept are left out."""

    run_id: int
    seq: int
    stream: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file that a run left."""

    run_id: int
    name: str
    size: int
    sha256: str
    data: bytes | bytearray | None = None
    """None where only its description was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """One decision of an administrator about a script's permissions. The fields are columns of table ``approval``."""

    script: str
    sha256: str
    state: str
    """``approved`` or ``refused``."""
    asked: str
    """JSON text."""
    grants: str
    """JSON text."""
    text: bytes | None
    uid: int
    name: str
    decided_at: float
    superseded_at: float | None = None
    shared: str = "[]"
    """JSON text: path and hash of the shared code that the text imports."""
    shared_texts: str | None = None
    """JSON text: their texts by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentApprovalRow:
    """One decision of an administrator about packages. The fields are columns of table ``environment_approval``."""

    request: str
    state: str
    """``approved`` or ``refused``."""
    requirements: str
    """JSON text."""
    python: str
    """``requires-python``; empty where none is asked for."""
    lock: str
    lock_sha256: str
    packages: str
    """JSON text."""
    version: str
    script: str
    uid: int
    name: str
    decided_at: float
    superseded_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """A version of a script that something took the place of. The fields are columns of table ``script_version``."""

    script: str
    """The path it belongs to now."""
    path: str
    """The path that it had."""
    sha256: str
    size: int
    reason: str
    """What took its place: ``saved``, ``deleted``, ``renamed``, ``restored``; ``conflict``: it was refused itself."""
    uid: int
    name: str
    at: float
    new_path: str | None = None
    """Only with ``renamed``."""
    id: int = 0
    """0 until it is announced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededRow:
    """A file of the bundle that was put into the project. The fields are the columns of table ``default_script``."""

    path: str
    """Relative to the project's root."""
    version: int
    """Of the bundle whose text this is; 0 is one before versions were counted."""
    sha256: str
    kept_sha256: str | None = None
    """The newer text that somebody declined."""
