"""A backup looked over or made a project again, where no engine can be asked: there is no project yet.

It succeeds with one JSON object on stdout: what the backup holds, or why it was refused.
"""

from __future__ import annotations

import os
import pwd
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from engine.models.engine import BackupInfo
from engine.models.packages import DEFAULT
from engine.project_folder import OWN_FOLDER, why_no_project
from store.backup.manifest import BackupManifest
from store.backup.restoring import RESTORED_LISTS, look_over, restore
from store.errors import ProjectError, StoreError
from store.project import PRIVATE


def restored(file: Path, folder: Path | None) -> int:
    """Restore ``file`` into ``folder``; without one, look it over. Prints what came of it and returns the exit code."""
    signal.signal(signal.SIGTERM, _leave)  # with what was begun removed
    os.umask(0o022)
    try:
        if folder is None:
            answer: Any = _info(look_over(file), file)
        else:
            answer = _info(*_restored(file, folder))
    except StoreError as error:
        answer = {"error": error.sentence, "hint": error.hint}
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


def _restored(file: Path, folder: Path) -> tuple[BackupManifest, Path]:
    place = folder.parent.resolve() / folder.name
    if (reason := why_no_project(place)) is not None:
        raise ProjectError(reason, OWN_FOLDER)
    if place.is_symlink():
        raise ProjectError(f"{place} is a symbolic link.", "Name a folder that does not exist yet.")
    return restore(file, place, _account()), place


def _info(manifest: BackupManifest, place: Path) -> BackupInfo:
    lists = place / PRIVATE / RESTORED_LISTS
    return BackupInfo(
        place=str(place),
        project=manifest.project,
        host=manifest.host,
        version=manifest.version,
        made_at=manifest.made_at,
        made_by=manifest.made_by,
        files=len(manifest.files),
        size=sum(entry.size for entry in manifest.files.values()),
        left_out=manifest.left_out,
        problems=manifest.problems,
        environments=[line for file in sorted(lists.glob("*")) if (line := _installing(file, place))],
    )


def _installing(file: Path, place: Path) -> list[str]:
    """Return the command that installs again what a list names; nothing where it names nothing that can be read."""
    name = file.stem
    try:
        if file.suffix == ".txt":
            wanted, version = file.read_text().split(), ""
        else:
            found = msgspec.json.decode(file.read_bytes(), type=_EnvironmentList)
            wanted, version = list(found.requirements), ".".join(found.version.split(".")[:2])
    except (OSError, ValueError):
        return []
    if name == DEFAULT:
        command = ["packages", "install", "--project", str(place), "--"] if wanted else []
    else:
        command = ["packages", "environments", "create", "--project", str(place)]
        command += [*(["--python", version] if version else []), "--", name]
    return [*command, *wanted]


class _EnvironmentList(msgspec.Struct):
    """What is read of a build's record (``services/packages/builds.py``)."""

    version: str = ""
    requirements: tuple[str, ...] = ()


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _leave(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
