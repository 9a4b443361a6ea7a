"""Look a backup over, and make a project of it in a folder that does not exist yet.

A backup may come from anywhere. So every name in it must have a place in a project, sizes are what the list says and
no more, and nothing in it is run: no hook, no filter, no configuration of a repository.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from store import disk, migrations
from store.backup.making import check_records
from store.backup.manifest import (
    BUNDLE,
    DATABASE,
    ENVIRONMENTS,
    HISTORIES,
    MANIFEST,
    MARKER,
    MAX_MANIFEST,
    OWN,
    PROJECT,
    SHARED_SETTINGS,
    BackupEntry,
    BackupManifest,
    NoBackup,
    decode,
    whole_folders,
)
from store.disk_space import has_room
from store.errors import Damaged, LowDisk, ProjectError, StoreError, from_os_error
from store.git.command import GitCommand, demand
from store.project import LAYOUT, PRIVATE
from store.sizes import describe_size
from store.state.audit import AuditEvent, add

PIECE = 1 << 20
ROOM_BESIDE = 8 << 20
"""Bytes beside those of the files: their folders, the repository's own."""

GIT_TIMEOUT = 1_800.0
RESTORED_LISTS = "restored-environments"
"""Folder of the private one where the lists of environments are put."""

Sink = Callable[[bytes], Any]


def look_over(file: Path) -> BackupManifest:
    """Read a backup whole, hold everything against its list, and open its records. Blocks.

    Raises:
        NoBackup: It is none, or not whole.
        StoreError: It cannot be read, or a newer version made it.
    """
    place = file.parent if os.access(file.parent, os.W_OK) else None  # else where all have room for such files
    with _opened(file) as (archive, manifest), tempfile.TemporaryDirectory(dir=place, prefix=".looking-") as work:
        for name, entry in manifest.files.items():
            if name == DATABASE:
                with open(Path(work, "state.db"), "xb") as target:
                    _read(archive, name, entry, target.write)
                _check_schema(Path(work, "state.db"), manifest)
            else:
                _read(archive, name, entry, len)
    return manifest


def restore(file: Path, folder: Path, actor: str) -> BackupManifest:
    """Make a project in ``folder`` of a backup; it appears there whole or not at all. Blocks.

    Args:
        file: The backup.
        folder: Absolute; does not exist yet, or is empty. Its parent exists.
        actor: The account that does it, for the audit record.

    Raises:
        NoBackup: It is none, or not whole.
        ProjectError: The folder cannot take it.
        StoreError: A newer version made it, or the disk did not let us.
    """
    with _opened(file) as (archive, manifest):
        _check_folder(folder)
        needed = 2 * manifest.files[DATABASE].size + sum(entry.size for entry in manifest.files.values())
        if not has_room(folder.parent, needed + ROOM_BESIDE):
            raise LowDisk(
                f"There is no room for the project in {folder.parent}: it takes {describe_size(needed)}.",
                "Free some space, or restore on another disk.",
            )
        # Beside the folder, so that one rename puts it in place.
        making = folder.parent / disk.temp_name(folder.name)
        try:
            os.mkdir(making, 0o700)
            try:
                _build(archive, manifest, making, actor)
                os.sync()
                _put_in_place(making, folder)
            except BaseException:
                shutil.rmtree(making, ignore_errors=True)
                raise
        except OSError as error:
            raise from_os_error(error, f"restore into {folder}") from error
    return manifest


def _build(archive: zipfile.ZipFile, manifest: BackupManifest, root: Path, actor: str) -> None:
    private = root / PRIVATE
    for made in (private, *(private / name for name in HISTORIES)):
        made.mkdir(mode=0o700)
    for name in whole_folders():
        (root / name).mkdir(mode=0o755)
    places = {PROJECT: root, OWN: private, ENVIRONMENTS: private / RESTORED_LISTS, BUNDLE: private}
    for name, entry in manifest.files.items():
        top, _, rest = name.partition("/")
        place = places[top] / (rest or name)
        if top == PROJECT:
            place.parent.mkdir(parents=True, exist_ok=True)
            _extract(archive, name, entry, place, entry.mode & 0o777)
        else:
            place.parent.mkdir(mode=0o700, exist_ok=True)
            _extract(archive, name, entry, place, 0o600)
    for name in manifest.folders:
        (root / name.partition("/")[2]).mkdir(parents=True, exist_ok=True)
    _check_schema(private / "state.db", manifest)
    _note(private / "state.db", private / "audit.head", manifest, actor)
    _finish_marker(private / "project.json", has_repository=BUNDLE in manifest.files)
    if SHARED_SETTINGS in manifest.files:
        _count_shared_settings(private)
    if BUNDLE in manifest.files:
        _bring_repository(root, private / BUNDLE, manifest)


def _put_in_place(making: Path, folder: Path) -> None:
    """Rename; rename(2) replaces an empty folder and nothing else."""
    try:
        os.rename(making, folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _taken(folder) from None
        raise
    with disk.open_folder(folder.parent) as parent:
        os.fsync(parent)


def _check_folder(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise ProjectError(f"There is no folder {folder.parent} to restore into.", "Make it first.")
    try:
        if os.listdir(folder):
            raise _taken(folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise _taken(folder) from None


def _taken(folder: Path) -> ProjectError:
    return ProjectError(
        f"{folder} is there already, and nothing is overwritten.", "Name a folder that does not exist yet."
    )


@contextmanager
def _opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, BackupManifest]]:
    """The archive and its list, which agree on what there is.

    Raises:
        NoBackup: It is none; also when that shows while it is read.
        StoreError: It cannot be opened.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _manifest(archive)
            yield archive, manifest
    except zipfile.BadZipFile as error:
        raise NoBackup(f"{file} is no backup, or not a whole one: {error}.") from None
    # What a file says that was made to be hostile: encryption, unknown compression, an end in the middle.
    except (zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise NoBackup(f"{file} is damaged: {error}.") from None
    except OSError as error:
        raise from_os_error(error, f"read {file}") from error


def _manifest(archive: zipfile.ZipFile) -> BackupManifest:
    names = archive.namelist()
    if MANIFEST not in names:
        raise NoBackup(f"{archive.filename} is no backup of a project, or not a whole one.")
    info = archive.getinfo(MANIFEST)
    if info.file_size > MAX_MANIFEST:
        raise NoBackup("The list of what is in the backup is too large.")
    with archive.open(info) as entry:
        manifest = decode(entry.read(MAX_MANIFEST), len(migrations.scripts()))
    if sorted(names) != sorted([*manifest.files, MANIFEST]):
        raise NoBackup(f"{archive.filename} has not the files that its list names.")
    if DATABASE not in manifest.files or MARKER not in manifest.files:
        raise NoBackup(f"{archive.filename} lacks the records of the project.")
    return manifest


def _extract(archive: zipfile.ZipFile, name: str, entry: BackupEntry, place: Path, mode: int) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as target:
        _read(archive, name, entry, target.write)
        os.fchmod(descriptor, mode)
    os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))


def _read(archive: zipfile.ZipFile, name: str, entry: BackupEntry, sink: Sink) -> None:
    """Hand over a file's bytes, as many as its list says.

    Raises:
        NoBackup: They are others.
    """
    digest, left = hashlib.sha256(), entry.size
    with archive.open(name) as source:
        while piece := source.read(min(PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                break
            digest.update(piece)
            sink(piece)
    if left or digest.hexdigest() != entry.sha256:
        raise NoBackup(f"The backup is damaged: {name} is not what its list says.")


def _check_schema(database: Path, manifest: BackupManifest) -> None:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            check_records(connection)
            schema = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise Damaged(f"The records in the backup cannot be opened: {error}.") from None
    if schema != manifest.schema:
        raise NoBackup(f"The records in the backup have schema {schema}, and its list says {manifest.schema}.")


def _note(database: Path, head: Path, manifest: BackupManifest, actor: str) -> None:
    """Record the restoring itself, and where the audit record ends now."""
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.made_at))
    detail = json.dumps({"backup_of": manifest.project, "host": manifest.host, "made": made})
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchone() is None:
            return  # records of a version that kept none
        connection.execute("BEGIN IMMEDIATE")
        add(connection, [AuditEvent(time.time(), actor, os.geteuid(), "cli", "restore_backup", "", detail)])
        connection.execute("COMMIT")
        seq, digest = connection.execute("SELECT seq, sha256 FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    with disk.open_folder(head.parent) as folder:
        disk.replace_file(folder, head.name, json.dumps({"seq": seq, "sha256": digest}).encode(), 0o600)


def _finish_marker(file: Path, *, has_repository: bool) -> None:
    """Keep what the project was made with; without a repository its first engine makes one, as for a new project."""
    try:
        marker = json.loads(file.read_bytes())
        seeded = {str(path): str(digest) for path, digest in marker.get("seeded", {}).items()}
        layout = marker["layout"]
    except (ValueError, AttributeError, KeyError):
        raise NoBackup("The backup is damaged: project.json makes no sense.") from None
    if layout != LAYOUT:
        raise StoreError("The project in the backup is arranged by another version of Gatewright.", "Upgrade it.")
    kept = {"layout": LAYOUT, "state": "ready" if has_repository else "creating", "seed": False, "seeded": seeded}
    with disk.open_folder(file.parent) as folder:
        disk.replace_file(folder, file.name, json.dumps(kept, indent=1).encode(), 0o600)


def _count_shared_settings(private: Path) -> None:
    """Let the settings count that counted: whoever could write the project's own must not gain a role by a restore."""
    own = private / "settings.toml"
    if own.exists():
        os.rename(own, private / "settings-unused.toml")
    os.rename(private / SHARED_SETTINGS.partition("/")[2], own)


def _bring_repository(root: Path, bundle: Path, manifest: BackupManifest) -> None:
    """Make the repository; where git cannot, leave its bundle beside the records and say so."""
    try:
        _make_repository(root, bundle, manifest.branch)
    except StoreError as error:
        shutil.rmtree(root / ".git", ignore_errors=True)
        manifest.problems.append(
            f"The repository was not restored: {error.sentence} "
            f"What it holds is in {PRIVATE}/{BUNDLE}: git clone reads it."
        )
        return
    bundle.unlink()


def _make_repository(root: Path, bundle: Path, branch: str | None) -> None:
    """Make a repository of a bundle (git-bundle(1)): its objects and branches, with HEAD where it was."""
    git = GitCommand(root)
    first = branch or "main"
    demand(git.run(["init", "--quiet", "--template=", f"--initial-branch={first}"], discover=False))
    heads = demand(git.run(["bundle", "unbundle", str(bundle)], timeout=GIT_TIMEOUT))
    updates = bytearray()
    detached = None
    for line in heads.splitlines():
        sha, _, ref = line.partition(b" ")
        if ref.startswith(b"refs/"):
            updates += b"create " + ref + b"\0" + sha + b"\0"
        elif ref == b"HEAD" and branch is None:
            detached = sha.decode("ascii", "replace")
    demand(git.run(["update-ref", "--stdin", "-z"], given=bytes(updates)))
    if detached is not None:
        demand(git.run(["update-ref", "--no-deref", "HEAD", detached]))
    if git.run(["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]).code == 0:
        demand(git.run(["read-tree", "HEAD"], timeout=60))
