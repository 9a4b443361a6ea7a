"""A project's folder: where everything is, who may use it, how a new one is made.

    ROOT/scripts/      the scripts, files under git
    ROOT/documents/    documents with their images, and what scripts read: templates, samples
    ROOT/.gatewright/  0700, not in git: settings, databases, logs, history, environments, socket

The project belongs to the account that owns ``.gatewright``. Making a project can be interrupted anywhere and is
completed the next time: ``.gatewright/project.json`` says how far it came.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from store import disk
from store.errors import ProjectError, StoreError, from_os_error
from store.git.repository import GitRepo
from store.settings_template import SETTINGS_TEMPLATE

SCRIPTS = "scripts"
DOCUMENTS = "documents"
PRIVATE = ".gatewright"
MARKER = "project.json"
LAYOUT = 1
"""Raised when a later version arranges the folder differently."""

_PRIVATE_FOLDERS = ("logs", "envs", "history", "document_history")
_IGNORE = b"/.gatewright/\n__pycache__/\n"
_IGNORE_ALL = b"# Nothing in here belongs under version control.\n*\n"


class Project:
    """An existing project. Make it with ``open`` or ``create``."""

    def __init__(self, root: Path, problems: list[str]) -> None:
        self.root = root
        self.problems = problems
        """What the user should know, one sentence each; the project works all the same."""

    @classmethod
    def open(cls, root: Path | str) -> Project:
        """The project at ``root``, which must be complete. Writes nothing.

        Raises:
            ProjectError: There is no project, or this account must not use it.
        """
        folder = _resolve(Path(root))
        _check_folder(folder)
        _check_private(folder)
        if _read_marker(folder / PRIVATE / MARKER).get("state") != "ready":
            raise ProjectError(
                f"There is no Gatewright project in {folder}.", f"Run: gatewright init {shlex.quote(str(folder))}"
            )
        return cls(folder, _warnings(folder))

    @classmethod
    def create(cls, root: Path | str, bundle: Mapping[str, bytes]) -> Project:
        """The project at ``root``, made or completed first if need be.

        Args:
            root: The project's folder. It is made if only its last component is missing.
            bundle: Files of a new project: path relative to ``root``, below ``scripts/`` or ``documents/``, to content.
                A project that exists, or a folder that has scripts or commits already, gets none of them.

        Raises:
            ProjectError: The folder cannot be a project of this account; nothing was written.
            StoreError: The disk did not let us; the next call goes on from there.
        """
        folder = _resolve(Path(root))
        try:
            _make_root(folder)
            _check_folder(folder)
            with _private_folder(folder) as private, disk.locked(private):
                problems = _complete(folder, private, bundle)
        except OSError as error:
            raise from_os_error(error, f"make a project in {folder}") from error
        return cls(folder, problems + _warnings(folder))

    @property
    def scripts(self) -> Path:
        return self.root / SCRIPTS

    @property
    def private(self) -> Path:
        return self.root / PRIVATE

    @property
    def settings_file(self) -> Path:
        return self.private / "settings.toml"

    @property
    def state_db(self) -> Path:
        return self.private / "state.db"

    @property
    def index_db(self) -> Path:
        return self.private / "index.db"

    @property
    def socket(self) -> Path:
        return self.private / "engine.sock"

    @property
    def lock_file(self) -> Path:
        return self.private / "engine.lock"

    @property
    def logs(self) -> Path:
        return self.private / "logs"

    @property
    def log_file(self) -> Path:
        return self.logs / "engine.log"

    @property
    def environments(self) -> Path:
        return self.private / "envs"

    @property
    def history(self) -> Path:
        """Replaced versions of scripts, each named by the SHA-256 of its content."""
        return self.private / "history"

    @property
    def documents(self) -> Path:
        return self.root / DOCUMENTS

    @property
    def document_history(self) -> Path:
        """Replaced versions of documents, each named by the SHA-256 of its content."""
        return self.history.with_name("document_history")

    @property
    def seeded(self) -> dict[str, str]:
        """The bundled files this project was made with: path relative to the root, SHA-256 as it was written."""
        return dict(_read_marker(self.private / MARKER).get("seeded", {}))

    def add(self, files: Mapping[str, bytes]) -> list[str]:
        """Write bundled files where nothing has their names; returns the paths of those that were written.

        Raises:
            StoreError: The disk did not let us; what was written before stays.
        """
        try:
            return _seed(self.root, files)
        except OSError as error:
            raise from_os_error(error, f"write bundled files into {self.root}") from error


def _resolve(root: Path) -> Path:
    try:
        return root.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise _no_project_folder(root, error) from error


def _no_project_folder(folder: Path, error: Exception) -> ProjectError:
    return ProjectError(f"{str(folder)!r} cannot be a project's folder: {error}.")


def _make_root(folder: Path) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:
        return
    except (FileNotFoundError, NotADirectoryError):
        raise ProjectError(f"There is no folder {folder.parent} to make {folder.name} in.", "Make it first.") from None
    except PermissionError:
        raise ProjectError(f"The folder {folder} cannot be made: permission denied.") from None


def _check_folder(folder: Path) -> None:
    """Refuse what is not a folder of this account, before anything is written."""
    try:
        found = os.stat(folder)
        private = _lstat(folder / PRIVATE)
    except FileNotFoundError:
        raise ProjectError(f"There is no folder {folder}.") from None
    except NotADirectoryError:
        raise ProjectError(f"{folder} is a file, not a folder.", "Give the folder of a project.") from None
    except PermissionError:
        raise ProjectError(f"This account may not look into {folder}.") from None
    except OSError as error:  # a loop of symlinks, which Path.resolve lets pass from Python 3.13 on
        raise _no_project_folder(folder, error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise ProjectError(f"{folder} is a file, not a folder.", "Give the folder of a project.")
    owner = found.st_uid if private is None else private.st_uid
    if owner != os.geteuid():
        what = "folder" if private is None else "project"
        name = _account(owner)
        raise ProjectError(
            f"This {what} belongs to {name}: {folder}",
            f"Ask {name}, or make a project of your own: gatewright init FOLDER",
        )
    if private is not None:
        _check_private(folder)


def _check_private(folder: Path) -> None:
    path = folder / PRIVATE
    found = _lstat(path)
    if found is None:
        raise ProjectError(
            f"There is no Gatewright project in {folder}.", f"Run: gatewright init {shlex.quote(str(folder))}"
        )
    if not stat.S_ISDIR(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a folder"
        raise ProjectError(f"{path} is {what}.", "Move it away, then start again.")
    if found.st_mode & 0o077:
        raise ProjectError(f"Other accounts may look into {path}.", f"Run: chmod 700 '{path}'")


def _warnings(folder: Path) -> list[str]:
    if os.stat(folder).st_mode & stat.S_IWOTH:
        return [f"Every account on this host may write to {folder}: run chmod o-w on it."]
    return []


@contextmanager
def _private_folder(folder: Path) -> Iterator[int]:
    with disk.open_folder(folder) as root:
        disk.make_folder(PRIVATE, root, 0o700)
        _check_private(folder)
        with disk.open_folder(PRIVATE, root) as private:
            yield private


def _complete(folder: Path, private: int, bundle: Mapping[str, bytes]) -> list[str]:
    """Bring a project from wherever it is to complete; returns problems that do not matter enough to stop."""
    repository = GitRepo(folder)
    problems: list[str] = []
    marker = _read_marker(folder / PRIVATE / MARKER)
    if not marker:
        # Decided once, before anything is seeded: a project half seeded does not look new any more.
        seed = _is_new(folder, repository)
        marker = {"layout": LAYOUT, "state": "creating", "seed": seed, "seeded": {}}
        _write_marker(private, marker)
    _make_layout(folder, private)
    if marker["state"] != "ready":
        if marker["seed"]:
            _seed(folder, bundle)
            marker["seeded"] = {path: hashlib.sha256(data).hexdigest() for path, data in bundle.items()}
        problems += _make_repository(repository)
        _write_marker(private, {**marker, "state": "ready"})
    return problems


def _is_new(folder: Path, repository: GitRepo) -> bool:
    """No scripts and no history: an emptied folder of a repository is not proof of a new project."""
    scripts = folder / SCRIPTS
    if os.path.lexists(scripts) and any(not name.startswith(".") for name in os.listdir(scripts)):
        return False
    try:
        return not repository.has_past()
    except StoreError:  # no git, or not ours to use: _make_repository or the git tab says so
        return True


def _make_layout(folder: Path, private: int) -> None:
    disk.remove_temps(private)
    with disk.open_folder(folder) as root:
        disk.remove_temps(root)
        for name in (SCRIPTS, DOCUMENTS):
            disk.make_folder(name, root)
            _check_inside(folder / name)
        disk.create_file(root, ".gitignore", _IGNORE, None)
    for name in _PRIVATE_FOLDERS:
        disk.make_folder(name, private, 0o700)
    # Holds also where the root has a .gitignore of the user's that does not name .gatewright.
    disk.create_file(private, ".gitignore", _IGNORE_ALL, 0o600)
    disk.create_file(private, "settings.toml", SETTINGS_TEMPLATE.encode(), 0o600)


def _check_inside(path: Path) -> None:
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise ProjectError(f"{path} is not a folder of this project.", "Move it away, then start again.")


def _seed(folder: Path, bundle: Mapping[str, bytes]) -> list[str]:
    """Write the bundled files that are not there yet; returns their paths."""
    written: list[str] = []
    for path, data in bundle.items():
        *parts, name = path.split("/")
        if not parts or parts[0] not in (SCRIPTS, DOCUMENTS) or any(part in ("", ".", "..") for part in (*parts, name)):
            raise ProjectError(f"A bundled file has no place in a project: {path}")
        with disk.open_folder(folder) as root, disk.walk_to(root, parts, create=True) as target:
            disk.remove_temps(target)
            if disk.create_file(target, name, data, None):
                written.append(path)
    return written


def _make_repository(repository: GitRepo) -> list[str]:
    try:
        repository.init()
    except StoreError as error:
        return [f"{error.sentence} {error.hint or ''}".strip()]
    return []


def _read_marker(path: Path) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            marker = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise from_os_error(error, f"read {path}") from error
    except ValueError as error:
        raise ProjectError(f"{path} is damaged: {error}.", "Remove it, then start again.") from error
    if not isinstance(marker, dict) or marker.get("layout") != LAYOUT:
        raise ProjectError(f"{path} was written by another version of Gatewright.", "Upgrade Gatewright.")
    return marker


def _write_marker(private: int, marker: dict[str, Any]) -> None:
    disk.replace_file(private, MARKER, json.dumps(marker, indent=1).encode(), 0o600)


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
