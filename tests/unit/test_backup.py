"""Backups without an engine: what is taken, and what a file that was not made by us can do, which is nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from store import migrations
from store.backup import making, restoring
from store.backup.making import BackupSource, Stopped, make
from store.backup.manifest import BackupManifest, NoBackup, has_place
from store.backup.restoring import look_over, restore
from store.errors import Damaged, LowDisk, ProjectError, StoreError
from store.project import Project
from store.state.audit import AuditEvent
from store.state.database import StateDB
from store.state.tokens import TokenRow

SECRET_HASH = "5ec7e7" * 10 + "ffff"
BUNDLED = {"scripts/defaults/tour.py": b"print('tour')\n"}


@pytest.fixture
async def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a record, a token, an old version, a commit and things that are no files."""
    monkeypatch.setattr(making, "WHOLE", 4096)
    project = Project.create(tmp_path / "plant", BUNDLED)
    state = await StateDB.open(project.state_db)
    await state.audit.append([AuditEvent(1.0, "anna", 1, "cli", "save", "a.py")])
    for at in range(3):
        token = TokenRow(f"id{at}", f"dash{at}", SECRET_HASH, "viewer", "RESTRICTED", (), 1.0, "anna", revoked_at=None)
        await state.tokens.add(token)
    await state.close()
    with closing(sqlite3.connect(project.state_db)) as database:
        for statement in ("INSERT INTO meta VALUES ('long', zeroblob(500000))", "DELETE FROM meta WHERE key = 'long'"):
            database.execute(statement)
            database.commit()
    write(project.root / "scripts" / "line 1" / "ä.py", "print(1)\n")
    write(project.root / "documents" / "big.bin", "x" * (making.WHOLE + 5))
    write(project.root / "README", "ours\n")
    (project.root / "scripts" / "run.py").write_text("1")
    (project.root / "scripts" / "run.py").chmod(0o755)
    (project.root / "documents" / "empty").mkdir()
    (project.root / "scripts" / "link.py").symlink_to("/etc/passwd")
    os.mkfifo(project.root / "scripts" / "pipe.py")
    write(project.root / "scripts" / "__pycache__" / "a.pyc", "no")
    os.close(os.open(os.fsencode(project.root / "scripts") + b"/\xff.py", os.O_CREAT, 0o600))
    write(project.history / ("0" * 64), "old text")
    write(project.private / "secrets.json", "geheim")
    git(project.root, "add", "scripts/run.py")
    git(project.root, "commit", "-qm", "first")
    git(project.root, "tag", "v1")
    return project


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def git(folder: Path, *command: str) -> str:
    names = ["-c", "user.name=Anna", "-c", "user.email=anna@plant"]
    return subprocess.run(["git", *names, *command], cwd=folder, capture_output=True, text=True, check=True).stdout


def made(project: Project, work: Path) -> tuple[Path, BackupManifest]:
    work.mkdir()
    file = work.with_suffix(".gwbackup")
    source = BackupSource(project.root, project.private, project.state_db, "1.2", "anna", left_out=("Secrets.",))
    with open(file, "xb") as into:
        manifest = make(source, into, work, threading.Event())
    assert os.listdir(work) == []
    return file, manifest


def test_everything_comes_back_and_what_does_not_is_said(project: Project, tmp_path: Path) -> None:
    file, manifest = made(project, tmp_path / "work")
    assert look_over(file) == manifest
    restored = tmp_path / "elsewhere"
    restored.mkdir()  # empty: that is no project either
    assert restore(file, restored, "berta") == manifest
    for path in ("scripts/line 1/ä.py", "documents/big.bin", "README", "scripts/defaults/tour.py", "scripts/run.py"):
        was, now = project.root / path, restored / path
        assert now.read_bytes() == was.read_bytes()
        assert (now.stat().st_mode, now.stat().st_mtime_ns) == (was.stat().st_mode, was.stat().st_mtime_ns)
    assert (restored / "documents" / "empty").is_dir()
    assert (restored / ".gatewright" / "history" / ("0" * 64)).read_text() == "old text"
    assert git(restored, "log", "--format=%s", "v1") == "first\n"
    assert git(restored, "status", "--short", "scripts/run.py") == ""
    assert git(restored, "branch", "--show-current") == "main\n"
    missing = {"scripts/link.py", "scripts/pipe.py", "scripts/__pycache__", ".gatewright/secrets.json"}
    assert not [path for path in missing if os.path.lexists(restored / path)]
    assert manifest.left_out == [
        "Secrets.",
        "Of the repository: hooks and configuration, and what was staged and not committed.",
        "Symbolic links: scripts/link.py.",
        "Names, and kinds of files, that a backup cannot hold: scripts/pipe.py, scripts/\\udcff.py.",
    ]
    assert manifest.problems == []
    assert Project.open(restored).seeded.keys() == BUNDLED.keys()
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "plant", "work", "work.gwbackup"]


def test_packages_are_named_so_that_they_can_be_installed_again(project: Project, tmp_path: Path) -> None:
    builds = project.environments / "builds"
    for name, wanted in (("default", ["pandas>=2", "-r evil"]), ("reports", [])):
        record = {"format": 1, "name": name, "version": "3.9.18", "requirements": wanted, "lock": "as it was"}
        write(builds / f"of-{name}" / "gatewright.json", json.dumps(record))
        (project.environments / name).symlink_to(f"builds/of-{name}")
    (project.environments / "astray").symlink_to("/etc")
    write(project.environments / "older" / "lib/python3.11/site-packages/tiny-1.0.dist-info/METADATA", "")
    file, manifest = made(project, tmp_path / "work")
    lists = [f"environments/{name}" for name in ("default.json", "older.txt", "reports.json")]
    assert sorted(name for name in manifest.files if name.startswith("environments/")) == lists
    command = [sys.executable, "-m", "engine", "restore", file, tmp_path / "new"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    here = ["--project", str(tmp_path / "new")]
    create = ["packages", "environments", "create", *here]
    assert json.loads(answer)["environments"] == [
        ["packages", "install", *here, "--", "pandas>=2", "-r evil"],
        [*create, "--", "older", "tiny==1.0"],
        [*create, "--python", "3.9", "--", "reports"],
    ]
    kept = tmp_path / "new" / ".gatewright" / "restored-environments" / "default.json"
    assert json.loads(kept.read_bytes())["lock"] == "as it was"


async def test_a_restored_record_goes_on_and_lets_no_token_in(project: Project, tmp_path: Path) -> None:
    file, _ = made(project, tmp_path / "work")
    with zipfile.ZipFile(file) as archive:
        data = archive.read("gatewright/state.db")
    assert SECRET_HASH.encode() not in data
    assert int.from_bytes(data[36:40], "big") == 0, "no free page has what was removed (sqlite.org/fileformat.html)"
    restore(file, tmp_path / "new", "berta")
    state = await StateDB.open(tmp_path / "new" / ".gatewright" / "state.db")
    try:
        assert [(row.actor, row.action) for row in await state.audit.newest(5)] == [
            ("berta", "restore_backup"),
            ("anna", "save"),
        ]
        assert await state.audit.verify() is None
        assert await state.tokens.rows() == []
        gone = await state.tokens.revoked(5)
        assert {(token.name, token.sha256) for token in gone} == {("dash0", ""), ("dash1", ""), ("dash2", "")}
    finally:
        await state.close()


async def test_a_copy_is_of_one_moment_while_others_write(project: Project, tmp_path: Path) -> None:
    state = await StateDB.open(project.state_db)
    stop = threading.Event()

    def busy() -> None:
        with closing(sqlite3.connect(project.state_db, isolation_level=None, timeout=20)) as other:
            while not stop.is_set():
                other.execute("INSERT INTO meta VALUES (hex(randomblob(8)), hex(randomblob(4000)))")

    writing = threading.Thread(target=busy)
    writing.start()
    try:
        for at in range(3):
            target = tmp_path / f"copy{at}.db"
            assert making.copy_records(project.state_db, target, threading.Event()) == len(migrations.scripts())
            assert not Path(f"{target}-wal").exists()
    finally:
        stop.set()
        writing.join()
        await state.close()


async def test_damaged_records_are_no_backup(project: Project, tmp_path: Path) -> None:
    with closing(sqlite3.connect(project.state_db)) as database:  # an index that has not what it should have
        database.execute("PRAGMA writable_schema=ON")
        database.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX script_version_bytes ON script_version (at)' "
            "WHERE name = 'script_version_bytes'"
        )
        database.execute(
            "INSERT INTO script_version (script, path, sha256, size, reason, uid, name, at) "
            "VALUES ('a.py', 'a.py', 'x', 1, 'saved', 1, 'anna', 1.0)"
        )
        database.commit()
    with pytest.raises(Damaged, match="records of runs are damaged"):
        made(project, tmp_path / "work")


def test_earlier_versions_that_come_and_go_meanwhile_are_there(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = making.copy_records

    def copied(*arguments: Any) -> int:
        (project.history / ("0" * 64)).unlink()  # as retention does
        write(project.history / ("1" * 64), "new text")  # as a save does
        return copy(*arguments)

    monkeypatch.setattr(making, "copy_records", copied)
    _, manifest = made(project, tmp_path / "work")
    assert {f"gatewright/history/{digit * 64}" for digit in "01"} <= manifest.files.keys()


def test_it_can_be_stopped(project: Project, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    (tmp_path / "work").mkdir()
    source = BackupSource(project.root, project.private, project.state_db, "1.2", "anna")
    with pytest.raises(Stopped):
        make(source, io.BytesIO(), tmp_path / "work", stop)


def test_a_disk_that_is_full_in_the_middle_is_said(project: Project, tmp_path: Path) -> None:
    class Full(io.BytesIO):
        room = 0

        def write(self, data: object) -> int:
            if self.tell() > self.room:
                raise OSError(errno.ENOSPC, "full")
            return super().write(data)  # type: ignore[arg-type]

    source = BackupSource(project.root, project.private, project.state_db, "1.2", "anna")
    whole = io.BytesIO()
    (tmp_path / "work").mkdir()
    make(source, whole, tmp_path / "work", threading.Event())
    for room in range(0, len(whole.getvalue()) - 200, len(whole.getvalue()) // 7):  # at whatever is being written then
        full = Full()
        full.room = room
        shutil.rmtree(tmp_path / "work")
        (tmp_path / "work").mkdir()
        with pytest.raises(LowDisk, match="the disk is full"):
            make(source, full, tmp_path / "work", threading.Event())


def test_a_file_that_never_stands_still_is_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_same", lambda one, other: False)
    _, manifest = made(project, tmp_path / "work")
    assert "scripts/run.py was being written to all the while: what was taken may be mixed." in manifest.problems


def test_a_repository_that_git_refuses_is_a_problem_and_the_rest_is_there(project: Project, tmp_path: Path) -> None:
    write(project.root / ".git" / "HEAD", "no such thing")
    _, manifest = made(project, tmp_path / "work")
    assert [problem.partition(":")[0] for problem in manifest.problems] == ["The repository could not be taken"]
    assert "git.bundle" not in manifest.files
    assert "project/scripts/run.py" in manifest.files


def test_the_login_at_a_package_index_does_not_travel(project: Project, tmp_path: Path) -> None:
    text = '[packages]\nindex = "https://plant:s3%2Fcr@et@packages.example/simple/"\nextra_indexes = []\n'
    project.settings_file.write_text(text)
    file, manifest = made(project, tmp_path / "work")
    restore(file, tmp_path / "elsewhere", "berta")
    restored = (tmp_path / "elsewhere" / ".gatewright" / "settings.toml").read_text()
    assert restored == text.replace("plant:s3%2Fcr@et@", "")
    assert "Names and passwords in addresses of package indexes: set packages.index again." in manifest.left_out
    assert project.settings_file.read_text() == text


def test_a_project_that_was_shared_has_the_settings_that_counted(project: Project, tmp_path: Path) -> None:
    write(tmp_path / "etc" / "plant.toml", "# root's\n")
    (tmp_path / "work").mkdir()
    source = BackupSource(
        project.root, project.private, project.state_db, "1.2", "anna", tmp_path / "etc" / "plant.toml"
    )
    with open(tmp_path / "file", "xb") as into:
        make(source, into, tmp_path / "work", threading.Event())
    restore(tmp_path / "file", tmp_path / "new", "berta")
    private = tmp_path / "new" / ".gatewright"
    assert (private / "settings.toml").read_text() == "# root's\n"
    assert (private / "settings-unused.toml").read_bytes() == project.settings_file.read_bytes()
    assert not (private / "shared-settings.toml").exists()


def test_without_git_the_rest_is_restored_and_the_bundle_kept(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = made(project, tmp_path / "work")
    with monkeypatch.context() as patch:
        patch.setattr(restoring.GitCommand, "run", Mock(side_effect=StoreError("There is no git.")))
        [problem] = restore(file, tmp_path / "new", "berta").problems
    assert problem.startswith("The repository was not restored: There is no git.")
    assert (tmp_path / "new" / "scripts" / "run.py").exists()
    assert not (tmp_path / "new" / ".git").exists()
    git(tmp_path, "clone", "-q", str(tmp_path / "new" / ".gatewright" / "git.bundle"), "cloned")
    assert (tmp_path / "cloned" / "scripts" / "run.py").exists()


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = made(project, tmp_path / "work")
    write(tmp_path / "taken" / "mine", "mine")
    write(tmp_path / "file", "mine")
    before = sorted(os.listdir(tmp_path))
    for place in ("taken", "file"):
        with pytest.raises(ProjectError, match="nothing is overwritten"):
            restore(file, tmp_path / place, "berta")
    with pytest.raises(ProjectError, match="There is no folder"):
        restore(file, tmp_path / "no" / "such", "berta")
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "has_room", lambda *_: False)
        with pytest.raises(LowDisk):
            restore(file, tmp_path / "new", "berta")
    # It is stopped, or the disk is full in the middle.
    for failure, raised in ((KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, "full"), LowDisk)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "sync", Mock(side_effect=failure))
            with pytest.raises(raised):
                restore(file, tmp_path / "new", "berta")
    # Somebody takes the name while the project is made.
    with monkeypatch.context() as patch:
        patch.setattr(os, "sync", lambda: write(tmp_path / "late" / "mine", "mine"))
        with pytest.raises(ProjectError, match="nothing is overwritten"):
            restore(file, tmp_path / "late", "berta")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "late"])
    assert (tmp_path / "late" / "mine").read_text() == "mine"


Change = Callable[[dict[str, bytes], dict[str, Any]], None]


def _lie(entries: dict[str, bytes], _: dict[str, Any]) -> None:
    entries["project/scripts/run.py"] = b"2"


def _longer(entries: dict[str, bytes], _: dict[str, Any]) -> None:
    entries["project/scripts/run.py"] = b"1" * 100_000


def _not_listed(entries: dict[str, bytes], _: dict[str, Any]) -> None:
    entries["project/scripts/more.py"] = b""


def _missing(entries: dict[str, bytes], _: dict[str, Any]) -> None:
    del entries["project/scripts/run.py"]


def _outside(entries: dict[str, bytes], manifest: dict[str, Any]) -> None:
    entries["project/../../evil"] = entries.pop("project/scripts/run.py")
    manifest["files"]["project/../../evil"] = manifest["files"].pop("project/scripts/run.py")


def _hook(entries: dict[str, bytes], manifest: dict[str, Any]) -> None:
    entries["project/.Git/hooks/post-commit"] = entries.pop("project/scripts/run.py")
    manifest["files"]["project/.Git/hooks/post-commit"] = manifest["files"].pop("project/scripts/run.py")


def _other_schema(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["schema"] -= 1


def _newer_schema(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["schema"] += 1


def _newer_format(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["format"] += 1
    manifest["files"] = "said in another way"


def _no_records(entries: dict[str, bytes], manifest: dict[str, Any]) -> None:
    del entries["gatewright/state.db"], manifest["files"]["gatewright/state.db"]


HOSTILE: dict[Change, str] = {
    _lie: "is not what its list says",
    _longer: "is not what its list says",
    _not_listed: "has not the files that its list names",
    _missing: "has not the files that its list names",
    _outside: "belongs to no project",
    _hook: "belongs to no project",
    _other_schema: "have schema",
    _newer_schema: r"made by a newer Gatewright \(1\.2: schema",
    _newer_format: r"made by a newer Gatewright \(1\.2: backup format 2",
    _no_records: "lacks the records",
}


def test_no_hostile_backup_is_taken_for_a_good_one(project: Project, tmp_path: Path) -> None:
    file, _ = made(project, tmp_path / "work")
    forged = tmp_path / "forged.gwbackup"
    for change, sentence in HOSTILE.items():
        with zipfile.ZipFile(file) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(entries.pop("manifest.json"))
        change(entries, manifest)
        with zipfile.ZipFile(forged, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
            archive.writestr("manifest.json", json.dumps(manifest))
        for attempt in (lambda: look_over(forged), lambda: restore(forged, tmp_path / "new", "berta")):
            with pytest.raises(StoreError, match=sentence):
                attempt()
        assert sorted(os.listdir(tmp_path)) == ["forged.gwbackup", "plant", "work", "work.gwbackup"], change.__name__


def test_no_torn_file_is_taken_for_a_backup(project: Project, tmp_path: Path) -> None:
    file, _ = made(project, tmp_path / "work")
    data = file.read_bytes()
    torn = tmp_path / "torn"
    for size in (0, 10, len(data) // 2, len(data) - 1):
        torn.write_bytes(data[:size])
        with pytest.raises(NoBackup):
            look_over(torn)
    # What is not the list itself: one byte of each part changed in turn.
    for at in range(30, len(data), len(data) // 20):
        torn.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            look_over(torn)
        except (NoBackup, Damaged):
            continue
        assert zipfile.ZipFile(torn).testzip() is None, "a byte that nothing depends on: a time, a comment"
    with pytest.raises(StoreError, match="Cannot read"):
        look_over(tmp_path / "nothing")


@pytest.mark.parametrize(
    "name",
    [
        "project", "project/", "project/a/../b", "project//a", "/etc/passwd", "project/.git/config", "project/a/.GIT/x",
        "project/.gatewright/hmac.key", "gatewright/hmac.key", "gatewright/secrets.json", "gatewright/history/x",
        "gatewright/envs/default/bin/python", "environments/../x.json", "environments/.x.json", "git.bundle/x", "x",
        "project/a\0b", "gatewright/tokens",
    ],
)  # fmt: skip
def test_names_without_a_place_in_a_project(name: str) -> None:
    assert not has_place(name)
