"""The recovery journal: unsaved text outlives the console, whatever becomes of terminal, engine or network (DESIGN 5).

One folder per engine under ``$XDG_STATE_HOME/gatewright/recovery`` (XDG Base Directory Specification), one file per
script and console. A file names the console that wrote it by pid and start time, so that the text of a console that
still lives is never offered to another one, and two consoles on the same script never overwrite each other's text.

Everything here is ordinary blocking file work, safe to call from a thread and from the end of a dying process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from engine.user_folders import state_home
from tui.text.script_names import script_path

SESSION_FILE = "session.json"


class RecoveryError(Exception):
    """The journal could not be written; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class UnsavedText:
    """The text of an editor that nobody saved.

    Attributes:
        path: Of the script; empty for a text that has no name yet.
        base_sha256: Hash of the saved text that it grew from, None for a new script.
        at: When it was journaled.
        file: Where the journal holds it; None for a text on its way into it.
    """

    path: str
    text: str
    base_sha256: str | None = None
    row: int = 0
    column: int = 0
    at: float = field(default_factory=time.time)
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """Where the user was, so that the next console starts there."""

    path: str = ""
    row: int = 0
    column: int = 0
    run_id: int | None = None


class RecoveryJournal:
    """The unsaved texts and the last session of one engine's scripts.

    Args:
        engine: What names the engine: its project's real path, or its URL.
        root: Folder of all journals; the user's state folder if not given.
        editor: Which of this process's editors of the engine's scripts: two never overwrite each other's text either.
    """

    def __init__(self, engine: str, root: Path | None = None, editor: int = 0) -> None:
        self._engine = _digest(engine)
        self._root = root
        owner = f"{os.getpid()}-{_started(os.getpid())}"
        self._name = f"{owner}.{editor}" if editor else owner
        self._lock = threading.Lock()

    def of(self, engine: str, editor: int = 0) -> RecoveryJournal:
        """Return the journal of another engine's scripts, beside this one."""
        return RecoveryJournal(engine, self._root, editor)

    @property
    def folder(self) -> Path:
        """Looked up each time: on connecting root becomes the owner and has the owner's home."""
        return (self._root or state_home() / "gatewright" / "recovery") / self._engine

    def keep(self, unsaved: UnsavedText) -> None:
        """Put this console's text of a script on disk, in place of its previous one.

        Raises:
            RecoveryError: The disk did not take it.
        """
        self._write(f"{_script_digest(unsaved.path)}.{self._name}.json", _plain(unsaved))

    def set_aside(self, unsaved: UnsavedText) -> None:
        """Put a text on disk that no console edits any more; it is offered when its script is opened next.

        Raises:
            RecoveryError: The disk did not take it.
        """
        self._write(f"{_script_digest(unsaved.path)}.aside-{time.time_ns()}.json", _plain(unsaved))

    def forget(self, path: str) -> None:
        """Remove this console's text of a script: it was saved, or given up.

        Raises:
            RecoveryError: It is still there.
        """
        with self._lock:
            _remove(self.folder / f"{_script_digest(path)}.{self._name}.json")

    def discard(self, unsaved: UnsavedText) -> None:
        """Remove a text that was offered.

        Raises:
            RecoveryError: It is still there.
        """
        if unsaved.file is not None:
            _remove(unsaved.file)

    def left_behind(self) -> list[UnsavedText]:
        """Texts that no living console holds, newest first. Files that cannot be read are passed over, not removed."""
        found = [self._read(file) for file in self._abandoned()]
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.at, reverse=True)

    def remember(self, session: Session) -> None:
        """Put the session on disk.

        Raises:
            RecoveryError: The disk did not take it.
        """
        self._write(SESSION_FILE, asdict(session))

    def last_session(self) -> Session:
        """The session that was remembered last; an empty one if there is none."""
        values = _load(self.folder / SESSION_FILE)
        try:
            run_id = values.get("run_id")
            return Session(
                path=str(values.get("path", "")),
                row=int(values.get("row", 0)),
                column=int(values.get("column", 0)),
                run_id=None if run_id is None else int(run_id),
            )
        except (TypeError, ValueError):
            return Session()

    def _abandoned(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            for file in sorted(self.folder.glob("*.*.json")):
                owner = file.name.split(".")[1]
                if owner.startswith("aside-") or not _alive(owner):
                    yield file

    def _read(self, file: Path) -> UnsavedText | None:
        values = _load(file)
        known = {item.name for item in fields(UnsavedText)} - {"file"}
        try:
            entry = UnsavedText(**{key: value for key, value in values.items() if key in known}, file=file)
        except TypeError:
            return None
        if not (isinstance(entry.text, str) and isinstance(entry.path, str)):
            return None
        return replace(entry, path=script_path(entry.path))

    def _write(self, name: str, values: dict[str, Any]) -> None:
        # ASCII with escapes: a lone surrogate in the text is kept as it is, where UTF-8 would refuse it.
        data = json.dumps(values).encode("ascii")
        with self._lock:
            try:
                self._make_folder()
                _write_durably(self.folder, name, data)
            except OSError as error:
                problem = f"The recovery journal cannot be written: {error.strerror} ({self.folder})."
                raise RecoveryError(problem) from error

    def _make_folder(self) -> None:
        for folder in (self.folder.parent.parent, self.folder.parent, self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_mode & 0o077:
            self.folder.chmod(0o700)


def _plain(unsaved: UnsavedText) -> dict[str, Any]:
    values = asdict(unsaved)
    del values["file"]
    return values


def _load(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _remove(file: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            file.unlink()
    except OSError as error:
        raise RecoveryError(f"The recovery journal cannot be cleaned up: {error.strerror} ({file}).") from error


def _write_durably(folder: Path, name: str, data: bytes) -> None:
    """Replace a file so that after a power cut either the old or the new content is there, whole."""
    temporary = folder / f".{name}.{os.getpid()}-{threading.get_ident()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _script_digest(path: str) -> str:
    """One for a script, however its name was spelled."""
    return _digest(script_path(path))


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot: field 22 of ``/proc/PID/stat`` (proc(5)). None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    # The second field is the command in parentheses and may itself contain spaces and parentheses.
    values = stat.rpartition(")")[2].split()
    return None if values[0] in "ZX" else values[19]


def _alive(owner: str) -> bool:
    pid, _, started = owner.partition("-")
    return pid.isdigit() and started != "None" and _started(int(pid)) == started
