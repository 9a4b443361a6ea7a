"""What a backup is: a zip archive (PKWARE APPNOTE 6.3) whose last entry names every other one with size and hash.

project/…           scripts, documents and what else git knows of the project's folder
gatewright/…        records of runs, settings, the replaced versions of scripts and documents
environments/…      which packages each environment has; the packages themselves are installed again
git.bundle          the repository, as git-bundle(1) writes it
manifest.json
"""

from __future__ import annotations

import re

import msgspec

from store.errors import StoreError
from store.project import DOCUMENTS, PRIVATE, SCRIPTS

FORMAT = 1
"""Raised when a backup could no longer be read by the versions before."""

MANIFEST = "manifest.json"
BUNDLE = "git.bundle"
PROJECT = "project"
OWN = "gatewright"
ENVIRONMENTS = "environments"
DATABASE = f"{OWN}/state.db"
SETTINGS = f"{OWN}/settings.toml"
SHARED_SETTINGS = f"{OWN}/shared-settings.toml"
MARKER = f"{OWN}/project.json"

HISTORIES = ("history", "document_history")
"""Folders of replaced versions, each file named by the SHA-256 of its content."""

DIGEST = re.compile(r"[0-9a-f]{64}")
ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(json|txt)")
MAX_MANIFEST = 256 << 20
"""Bytes. An entry takes about 150, so that is more than a million files."""


class NoBackup(StoreError):
    """A file is no backup, not a whole one, or not what its list says."""


class BackupEntry(msgspec.Struct, frozen=True):
    """A file of a backup. ``mtime_ns`` is nanoseconds since the epoch."""

    size: int
    sha256: str
    mode: int = 0o600
    mtime_ns: int = 0


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds.

    Attributes:
        format: ``FORMAT`` of the version that made it.
        version: Of Gatewright.
        schema: The number of migrations that its records have seen.
        project: The folder it was made of.
        host: The host's name.
        made_at: Seconds since the epoch.
        made_by: The account or token that asked for it.
        branch: The one that HEAD names; None where it names a commit itself, or there is no repository.
        files: By name in the archive.
        folders: Empty ones, by name in the archive.
        left_out: What was left out on purpose, a sentence each.
        problems: What could not be taken, a sentence each.
    """

    format: int
    version: str
    schema: int
    project: str
    host: str
    made_at: float
    made_by: str
    branch: str | None = None
    files: dict[str, BackupEntry] = {}
    folders: list[str] = []
    left_out: list[str] = []
    problems: list[str] = []


def decode(data: bytes, schemas: int) -> BackupManifest:
    """Read a manifest and refuse what this version cannot restore.

    Args:
        data: The manifest as it stands in the backup.
        schemas: How many migrations this version knows.

    Raises:
        NoBackup: It is none, or names a file that has no place in a project.
        StoreError: A newer version made it.
    """
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format > FORMAT:
            raise _newer(head, f"backup format {head.format}, this one knows {FORMAT}")
        manifest = msgspec.json.decode(data, type=BackupManifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NoBackup("The list of what is in the backup is damaged.") from None
    if manifest.schema > schemas:
        raise _newer(head, f"schema {manifest.schema}, this one knows {schemas}")
    for name, entry in manifest.files.items():
        if not has_place(name) or not DIGEST.fullmatch(entry.sha256) or entry.size < 0:
            raise NoBackup(f"The backup has a file that belongs to no project: {name[:200]!r}")
    for name in manifest.folders:
        if not name.startswith(f"{PROJECT}/") or not has_place(name):
            raise NoBackup(f"The backup has a folder that belongs to no project: {name[:200]!r}")
    return manifest


def has_place(name: str) -> bool:
    """Whether a file of this name in the archive belongs to a project, and to no other place of the host."""
    top, *parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        return False
    if top == PROJECT:
        # A repository or private files that came along with the scripts could have programs run.
        return bool(parts) and not any(part.casefold() in (".git", PRIVATE) for part in parts)
    if top == OWN:
        fixed = name in (DATABASE, SETTINGS, SHARED_SETTINGS, MARKER)
        return fixed or (len(parts) == 2 and parts[0] in HISTORIES and DIGEST.fullmatch(parts[1]) is not None)
    if top == ENVIRONMENTS:
        return len(parts) == 1 and ENVIRONMENT.fullmatch(parts[0]) is not None
    return name == BUNDLE


def whole_folders() -> tuple[str, str]:
    """Return the project's folders that are taken with all that is in them."""
    return SCRIPTS, DOCUMENTS


class _Head(msgspec.Struct):
    """What every format has, so that a newer one can be refused by its version's name."""

    format: int
    version: str


def _newer(head: _Head, what: str) -> StoreError:
    return StoreError(
        f"This backup was made by a newer Gatewright ({head.version}: {what}).", "Upgrade Gatewright, then try again."
    )
