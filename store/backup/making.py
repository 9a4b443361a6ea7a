"""Make a backup of a project that is in use.

Nothing is locked, so nobody who saves or runs waits. Files are read as they are at that moment: every save of ours is
one rename, and what changes under the reading is read again. The versions of scripts are read before the records and
once more after them, so that what the records name is there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sqlite3
import stat
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from store import disk
from store.backup.manifest import (
    BUNDLE,
    DATABASE,
    DIGEST,
    ENVIRONMENT,
    ENVIRONMENTS,
    FORMAT,
    HISTORIES,
    MANIFEST,
    MARKER,
    OWN,
    PROJECT,
    SETTINGS,
    SHARED_SETTINGS,
    BackupEntry,
    BackupManifest,
    whole_folders,
)
from store.database import APPLICATION_ID
from store.errors import Damaged, LowDisk, StoreError, from_os_error
from store.git.command import demand, repository_folder
from store.git.repository import GitRepo

PIECE = 1 << 20
WHOLE = 16 << 20
"""Bytes of a file that is read whole before it is written, so that it can be read again when it changes meanwhile."""

TRIES = 3
LEVEL = 3
"""Of compression: twice as fast as the usual one for a twentieth more."""

PAGES = 2_048
"""Of the database that are copied before it is asked whether to go on."""

KNOWN = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
"""Names what git has or would take; what it is told to ignore is left out."""

GIT_TIMEOUT = 1_800.0
MOST_TOLD = 20
"""Files of a kind that are named one by one."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BUILD = re.compile(r"builds/[A-Za-z0-9._-]+")
_DISTRIBUTION = re.compile(r"([A-Za-z0-9][A-Za-z0-9._]*)-([A-Za-z0-9][A-Za-z0-9.!+_]*)\.dist-info")


_CREDENTIALS = re.compile(rb"""(?<=://)[^\s/"']*@""")


class Stopped(StoreError):
    """The caller no longer wants the backup."""


@dataclass(frozen=True, slots=True)
class BackupSource:
    """Where a project's parts are, and what its engine says of the backup.

    Attributes:
        root: The project's folder.
        home: Its private folder.
        database: Its records, which are in another place where the project cannot be written to.
        shared_settings: The settings of a shared project, which lie outside of it; None of any other.
        version: Of Gatewright.
        made_by: Who asked.
        left_out: What the engine leaves out on purpose, a sentence each.
        problems: What the engine cannot hand over, a sentence each.
    """

    root: Path
    home: Path
    database: Path
    version: str
    made_by: str
    shared_settings: Path | None = None
    left_out: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def make(source: BackupSource, into: BinaryIO, work: Path, stop: threading.Event) -> BackupManifest:
    """Write a backup of ``source``. Blocks: call it in a thread.

    Args:
        source: The project.
        into: Gets the archive.
        work: An empty folder of the engine's account, for copies.
        stop: Set from another thread, it ends the work.

    Raises:
        Stopped: ``stop`` was set.
        StoreError: The records cannot be copied or are damaged, or there is no room for the backup.
    """
    try:
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
            return _Making(source, archive, work, stop).whole()
    except OSError as error:
        raise from_os_error(error, "write the backup") from error


@dataclass(slots=True)
class _Making:
    source: BackupSource
    archive: zipfile.ZipFile
    work: Path
    stop: threading.Event
    files: dict[str, BackupEntry] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def whole(self) -> BackupManifest:
        source = self.source
        self.left_out += source.left_out
        self.problems += source.problems
        self._histories()
        schema = self._database()
        self._histories()
        with disk.open_folder(source.root) as root:
            for name in whole_folders():
                self._tree(name, root)
            branch = self._repository(root)
        with disk.open_folder(source.home) as home:
            self._settings(home, "settings.toml", SETTINGS)
            self._own(home, "project.json", MARKER)
            self._environments(home)
        if source.shared_settings is not None:
            with disk.open_folder(source.shared_settings.parent) as folder:
                self._settings(folder, source.shared_settings.name, SHARED_SETTINGS)
            self.left_out.append("That it is shared: the restored project has the settings, until it is shared again.")
        self._tell("Symbolic links", self.links)
        self._tell("Names, and kinds of files, that a backup cannot hold", self.others)
        manifest = BackupManifest(
            format=FORMAT,
            version=source.version,
            schema=schema,
            project=_printable(str(source.root)),
            host=os.uname().nodename,
            made_at=time.time(),
            made_by=source.made_by,
            branch=branch,
            files=self.files,
            folders=self.folders,
            left_out=self.left_out,
            problems=self.problems,
        )
        self.archive.writestr(zipfile.ZipInfo(MANIFEST), msgspec.json.encode(manifest), zipfile.ZIP_DEFLATED)
        return manifest

    def _histories(self) -> None:
        with disk.open_folder(self.source.home) as home:
            for name in HISTORIES:
                with suppress_missing(), disk.open_folder(name, home) as folder:
                    for digest in sorted(os.listdir(folder)):
                        entry = f"{OWN}/{name}/{digest}"
                        if DIGEST.fullmatch(digest) and entry not in self.files:
                            self._take(folder, digest, entry, f".gatewright/{name}/{digest}")

    def _database(self) -> int:
        """Copy the records without what opens doors; return their schema's number."""
        copy = self.work / "state.db"
        schema = copy_records(self.source.database, copy, self.stop)
        with disk.open_folder(self.work) as folder:
            self._take(folder, copy.name, DATABASE, "state.db")
        copy.unlink()
        return schema

    def _tree(self, name: str, root: int) -> None:
        """Take a folder with all files in it; links are named, not followed."""
        for where, folders, names, folder in os.fwalk(name, dir_fd=root, follow_symlinks=False, onerror=self._unread):
            kept = []
            for each in sorted(folders):
                if _is_link(each, folder):
                    self.links.append(f"{where}/{each}")
                elif each.casefold() in (".git", ".gatewright"):
                    self.others.append(f"{where}/{each}")
                elif each != "__pycache__":
                    kept.append(each)
            folders[:] = kept
            if not folders and not names and where != name and self._may_be_named(where):
                self.folders.append(f"{PROJECT}/{where}")
            for each in sorted(names):
                if not disk.TEMP_NAME.fullmatch(each):
                    self._take(folder, each, f"{PROJECT}/{where}/{each}", f"{where}/{each}")

    def _repository(self, root: int) -> str | None:
        """Take the project's own repository, and the files beside the usual folders that it knows."""
        found = repository_folder(self.source.root)
        if found is None:
            beside = sorted({*os.listdir(root)} - {*whole_folders(), ".gatewright", ".gitignore"})
            self._tell("What is beside scripts and documents, since no repository knows it", beside)
            return None
        if found != self.source.root:
            self.left_out.append(f"The repository at {found}, which the project is a part of: clone it.")
            return None
        try:
            repo = GitRepo(self.source.root, stop=self.stop)
            repo.git.check()
            if not demand(repo.git.run(["for-each-ref", "--count=1"])):
                return repo.status().branch
            if os.path.lexists(self.source.root / ".git" / "shallow"):
                self.problems.append("The repository is a shallow clone, which git cannot put into a bundle.")
                return None
            bundle = self.work / "git.bundle"
            heads = ["--all", *(["HEAD"] if repo.has_commits() else [])]
            demand(repo.git.run(["bundle", "create", "--quiet", str(bundle), *heads], timeout=GIT_TIMEOUT))
            with disk.open_folder(self.work) as folder:
                self._take(folder, bundle.name, BUNDLE, "git.bundle")
            bundle.unlink()
            self._known_files(root, demand(repo.git.run(KNOWN, timeout=GIT_TIMEOUT)))
            self.left_out.append("Of the repository: hooks and configuration, and what was staged and not committed.")
            return repo.status().branch
        except Stopped:
            raise
        except StoreError as error:
            if self.stop.is_set():
                raise Stopped("The backup was stopped.") from None
            self.problems.append(f"The repository could not be taken: {error.sentence}")
            return None

    def _known_files(self, root: int, listed: bytes) -> None:
        for raw in listed.split(b"\0"):
            name = os.fsdecode(raw)
            *parts, last = name.split("/")
            if not last and parts:
                self.others.append(name)  # a repository in this one
            if not last or (parts and parts[0] in whole_folders()) or f"{PROJECT}/{name}" in self.files:
                continue
            with ExitStack() as stack:
                try:
                    folder = stack.enter_context(disk.walk_to(root, parts))
                except OSError:  # deleted, or a link has taken a folder's place: git says so, too
                    continue
                self._take(folder, last, f"{PROJECT}/{name}", name)

    def _environments(self, home: int) -> None:
        """Take the list of packages of each environment."""
        with suppress_missing(), disk.open_folder("envs", home) as folder:
            for name in sorted(os.listdir(folder)):
                entry = f"{ENVIRONMENTS}/{name}.json"
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if not ENVIRONMENT.fullmatch(f"{name}.json") or name == "builds":
                    continue
                if stat.S_ISLNK(found.st_mode) and _BUILD.fullmatch(build := os.readlink(name, dir_fd=folder)):
                    with suppress_missing(), disk.walk_to(folder, build.split("/")) as made:
                        self._take(made, "gatewright.json", entry, f"the list of the environment {name}")
                elif stat.S_ISDIR(found.st_mode) and (lines := _distributions(self.source.home / "envs" / name)):
                    self._put(f"{ENVIRONMENTS}/{name}.txt", "".join(f"{line}\n" for line in lines).encode())
        if any(name.startswith(f"{ENVIRONMENTS}/") for name in self.files):
            self.left_out.append("The packages of environments: their lists are there, to install them again.")

    def _settings(self, folder: int, name: str, entry: str) -> None:
        """Take settings, without the names and passwords in addresses of package indexes."""
        try:
            with open(os.open(name, _READ, dir_fd=folder), "rb") as file:
                found = os.fstat(file.fileno())
                data = file.read() if stat.S_ISREG(found.st_mode) else b""
        except OSError:
            data = b""  # taking it says why
        without = _CREDENTIALS.sub(b"", data)
        if without == data:
            self._own(folder, name, entry)
        else:
            self._put(entry, without)
            self.left_out.append("Names and passwords in addresses of package indexes: set packages.index again.")

    def _own(self, folder: int, name: str, entry: str) -> None:
        if disk.exists(folder, name):
            self._take(folder, name, entry, f".gatewright/{name}")

    def _put(self, entry: str, data: bytes) -> None:
        self.archive.writestr(_info(entry, time.time_ns()), data)
        self.files[entry] = BackupEntry(len(data), hashlib.sha256(data).hexdigest(), 0o600, time.time_ns())

    def _take(self, folder: int, name: str, entry: str, shown: str) -> None:
        """Take one file; what is none, or cannot be read, is said."""
        if self.stop.is_set():
            raise Stopped("The backup was stopped.")
        if not self._may_be_named(entry):
            self.others.append(shown)
            return
        try:
            descriptor = os.open(name, _READ, dir_fd=folder)
        except FileNotFoundError:  # it went meanwhile
            return
        except OSError as error:
            if error.errno == errno.ELOOP:
                self.links.append(shown)
            else:
                self.problems.append(f"{_printable(shown)} could not be read: {os.strerror(error.errno or 0)}.")
            return
        with open(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                self.others.append(shown)
                return
            try:
                self._write(file, found, entry, shown)
            except _ReadFailed as failed:
                self.problems.append(f"{_printable(shown)} could not be read: {failed}.")

    def _write(self, file: BinaryIO, found: os.stat_result, entry: str, shown: str) -> None:
        digest, size = hashlib.sha256(), 0
        if found.st_size <= WHOLE:
            for _ in range(TRIES):
                data, found, steady = _read_whole(file)
                if steady:
                    break
            digest.update(data)
            size = len(data)
            self.archive.writestr(_info(entry, found.st_mtime_ns), data)
        else:
            with self.archive.open(_info(entry, found.st_mtime_ns), "w", force_zip64=True) as target:
                while piece := file.read(PIECE):
                    if self.stop.is_set():
                        raise Stopped("The backup was stopped.")
                    target.write(piece)
                    digest.update(piece)
                    size += len(piece)
            steady = _same(found, os.fstat(file.fileno()))
        if not steady:
            self.problems.append(
                f"{_printable(shown)} was being written to all the while: what was taken may be mixed."
            )
        mode = stat.S_IMODE(found.st_mode) & 0o777
        self.files[entry] = BackupEntry(size, digest.hexdigest(), mode, found.st_mtime_ns)

    def _unread(self, error: OSError) -> None:
        self.problems.append(f"{_printable(str(error.filename))} could not be read: {os.strerror(error.errno or 0)}.")

    def _may_be_named(self, name: str) -> bool:
        """Whether the archive can hold the name, which must be UTF-8."""
        return _printable(name) == name

    def _tell(self, kind: str, names: list[str]) -> None:
        if names:
            some = ", ".join(map(_printable, names[:MOST_TOLD]))
            more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
            self.left_out.append(f"{kind}: {some}{more}.")


def copy_records(source: Path, target: Path, stop: threading.Event) -> int:
    """Copy ``state.db`` as it is at this moment (sqlite.org/backup.html), without what lets tokens in, and check it.

    Returns the number of its schema. The engine goes on writing.

    Raises:
        Damaged: The records are.
        StoreError: They cannot be copied.
    """

    def go_on(_: int, __: int, ___: int) -> None:
        if stop.is_set():
            raise Stopped("The backup was stopped.")

    try:
        # Read-only: it never does a checkpoint, which is the engine's writer's alone (store/database.py).
        with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, isolation_level=None)) as live:
            live.execute("BEGIN")
            live.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it sees this moment
            with closing(sqlite3.connect(target, isolation_level=None)) as copy:
                os.chmod(target, 0o600)
                live.backup(copy, pages=PAGES, progress=go_on)
                return _without_secrets(copy)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise LowDisk("Cannot copy the records of runs: the disk is full.", "Free some space.") from None
        raise StoreError(f"The records of runs cannot be copied: {error}.", "See gatewright doctor.") from error


def _without_secrets(copy: sqlite3.Connection) -> int:
    copy.execute("PRAGMA journal_mode=DELETE").fetchone()
    check_records(copy)
    if copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'token'").fetchone():
        copy.execute("UPDATE token SET sha256 = '', revoked_at = coalesce(revoked_at, ?)", (time.time(),))
    copy.execute("VACUUM")  # or the hashes would still lie in free pages
    return int(copy.execute("PRAGMA user_version").fetchone()[0])


def check_records(connection: sqlite3.Connection) -> None:
    """Look at every page, row and index.

    Raises:
        Damaged: Something is not in order, or it is no database of ours.
    """
    try:
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise Damaged("The records of runs are a database of another program.")
        finding = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        finding = str(error)
    if finding != "ok":
        raise Damaged(f"The records of runs are damaged: {finding[:200]}.", "See gatewright doctor.")


class _ReadFailed(Exception):
    """A file cannot be read; told from a failure to write, which ends the backup."""


def _read_whole(file: BinaryIO) -> tuple[bytes, os.stat_result, bool]:
    """A file's bytes, what it was before, and whether it was the same afterwards."""
    before = os.fstat(file.fileno())
    try:
        file.seek(0)
        data = b"".join(iter(lambda: file.read(PIECE), b""))
    except OSError as error:
        raise _ReadFailed(os.strerror(error.errno or 0)) from None
    return data, before, _same(before, os.fstat(file.fileno()))


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _info(entry: str, mtime_ns: int) -> zipfile.ZipInfo:
    at = time.gmtime(mtime_ns // 1_000_000_000)[:6]
    info = zipfile.ZipInfo(entry, at if 1980 <= at[0] < 2108 else (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return info


def _distributions(environment: Path) -> list[str]:
    """What a virtual environment has installed, by the names of the folders that say so; nothing of it is read."""
    found = []
    for place in sorted(environment.glob("lib/python3*/site-packages")):
        matches = map(_DISTRIBUTION.fullmatch, sorted(os.listdir(place)))
        found += [f"{match[1]}=={match[2]}" for match in matches if match and match[1] not in ("pip", "setuptools")]
    return found


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def suppress_missing() -> Iterator[None]:
    """Go on where a folder or a file is missing, or is not what it should be."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        return
