"""What the doctor says about watching, and by what file system it judges."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine.doctor import project
from engine.doctor.finding import Severity
from engine.paths import EnginePaths
from store.watch import folders, notifier


def test_a_local_folder_can_be_watched(tmp_path: Path) -> None:
    (tmp_path / "scripts" / "area").mkdir(parents=True)
    finding = project._watching(EnginePaths(tmp_path))
    assert (finding.level, finding.found) == (Severity.OK, "inotify works in 3 folders")


def test_there_may_be_nothing_yet(tmp_path: Path) -> None:
    finding = project._watching(EnginePaths(tmp_path / "none"))
    assert (finding.level, finding.found) == (Severity.OK, "there is nothing to watch yet")


def test_a_network_file_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "remote_kind", lambda _: "NFS")
    finding = project._watching(EnginePaths(tmp_path))
    assert finding.level is Severity.WARN
    assert "a network file system (NFS)" in finding.found


def test_missing_watches_are_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> object:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr(notifier, "_notify", refuse)
    finding = project._watching(EnginePaths(tmp_path))
    assert finding.level is Severity.WARN
    assert "no inotify watches left (the limit is " in finding.found
    assert finding.advice == "Raise fs.inotify.max_user_watches with sysctl."


@pytest.mark.parametrize("place", ["/proc", "/sys", "/dev/shm", "/tmp"])
def test_the_kind_of_file_system_is_what_stat_says(place: str) -> None:
    told = subprocess.run(["stat", "-f", "-c", "%t", place], capture_output=True, text=True, check=True).stdout
    assert folders.magic(Path(place)) == int(told, 16)


def test_network_file_systems_are_known_by_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folders.remote_kind(Path("/proc")) is None
    monkeypatch.setattr(folders, "magic", lambda _: 0x6969)
    assert folders.remote_kind(tmp_path) == "NFS"


def test_a_folder_that_is_not_there_has_no_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        folders.remote_kind(tmp_path / "none")
    assert folders.Watched(tmp_path / "none").remote_kind() is None
