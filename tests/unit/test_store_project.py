"""A project's folder: made once, completed after an interruption, refused where it is not ours."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from ordinary_user import UID, own_folder, run_as_ordinary_user

from default_scripts import bundle
from engine.config import Settings, section_name
from store import disk, project
from store.errors import ProjectError, StoreError
from store.project import DOCUMENTS, Project
from store.settings_template import SETTINGS_TEMPLATE

BUNDLE = {"scripts/defaults/a.py": b"a\n", "scripts/defaults/b.py": b"b\n", "documents/samples/c.csv": b"c\n"}


def tree(root: Path) -> dict[str, bytes]:
    """Every file of the project but git's own."""
    files = (path for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_a_new_project_has_its_folders_its_settings_and_the_bundle(tmp_path: Path) -> None:
    made = Project.create(tmp_path / "plant", BUNDLE)
    assert made.problems == []
    assert made.root == tmp_path / "plant"
    found = tree(made.root)
    assert {path: data for path, data in found.items() if path.startswith(("scripts", "documents"))} == BUNDLE
    assert found[".gatewright/settings.toml"].decode() == SETTINGS_TEMPLATE
    assert stat.S_IMODE(made.private.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.settings_file.stat().st_mode) == 0o600
    assert all(folder.is_dir() for folder in (made.logs, made.environments, made.history, made.root / DOCUMENTS))
    assert set(made.seeded) == set(BUNDLE)
    status = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=made.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(line[3:] for line in status.stdout.splitlines()) == sorted([".gitignore", *BUNDLE])


def test_opening_writes_nothing_and_making_again_changes_nothing(tmp_path: Path) -> None:
    made = Project.create(tmp_path, BUNDLE)
    made.settings_file.write_text("[pool]\nsize = 5\n")
    (tmp_path / "scripts/defaults/a.py").write_bytes(b"edited")
    (tmp_path / "scripts/defaults/b.py").unlink()
    before = tree(tmp_path)
    for again in (Project.open(tmp_path), Project.create(tmp_path, BUNDLE)):
        assert tree(tmp_path) == before
        assert again.seeded == made.seeded


def test_an_emptied_folder_is_not_seeded_again(tmp_path: Path) -> None:
    Project.create(tmp_path, BUNDLE)
    shutil.rmtree(tmp_path / "scripts")
    Project.create(tmp_path, BUNDLE)
    assert list((tmp_path / "scripts").iterdir()) == []


def test_a_folder_with_scripts_or_commits_keeps_what_it_has(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "scripts").mkdir(parents=True)
    (mine / "scripts/own.py").write_bytes(b"own")
    (mine / ".gitignore").write_bytes(b"*.bak\n")
    assert Project.create(mine, BUNDLE).seeded == {}
    assert [path.name for path in (mine / "scripts").iterdir()] == ["own.py"]
    assert (mine / ".gitignore").read_bytes() == b"*.bak\n"
    clone = tmp_path / "clone"
    clone.mkdir()
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=clone, env=environment, check=True)
    Project.create(clone, BUNDLE)
    assert list((clone / "scripts").iterdir()) == []


def test_the_private_folder_stays_out_of_git_whatever_the_root_ignores(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"")
    Project.create(tmp_path, {})
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert status.stdout == "?? .gitignore\n"


class Crash(BaseException):
    """What nothing in the store may catch."""


def _stop_at(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let every step from the ``at``-th on that touches the disk fail as in a crash: also those that tidy up."""
    counter = itertools.count(1)

    def stopping(real: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **kwargs: object) -> object:
            if next(counter) >= at:
                raise Crash
            return real(*args, **kwargs)

        return step

    for name in ("make_folder", "write_temp", "remove_quietly", "remove_temps"):
        monkeypatch.setattr(disk, name, stopping(getattr(disk, name)))


def test_a_project_half_made_is_completed_whatever_step_it_stopped_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = tree(Project.create(tmp_path / "whole", BUNDLE).root)
    for at in itertools.count(1):
        root = tmp_path / f"stopped-{at}"
        with monkeypatch.context() as patch:
            _stop_at(patch, at)
            try:
                Project.create(root, BUNDLE)
            except Crash:
                pass
            else:
                break
        made = Project.create(root, BUNDLE)
        assert tree(root) == complete, f"stopped at step {at}"
        assert set(made.seeded) == set(BUNDLE)
        assert (root / ".git/HEAD").exists()
    assert at > 20, "too few steps for a whole project"


def _create(root: Path) -> int:
    return len(Project.create(root, BUNDLE).seeded)


def test_ten_at_once_make_one_project(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(10) as pool:
        assert pool.map_async(_create, [tmp_path / "plant"] * 10).get(60) == [3] * 10
    assert {path for path in tree(tmp_path / "plant") if path.startswith(("scripts", "documents"))} == set(BUNDLE)
    assert not any("gatewright-tmp" in path for path in tree(tmp_path / "plant"))


def refused(root: Path, around: Path) -> ProjectError:
    """Both ways in refuse, and nothing is written in ``around``."""
    before = sorted(around.rglob("*"))
    with pytest.raises(ProjectError):
        Project.open(root)
    with pytest.raises(ProjectError) as refusal:
        Project.create(root, BUNDLE)
    assert sorted(around.rglob("*")) == before
    return refusal.value


def test_what_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert refused(file, tmp_path).sentence == f"{file} is a file, not a folder."
    assert "There is no folder" in refused(tmp_path / "a/b", tmp_path).sentence
    assert "There is no folder" in refused(file / "b", tmp_path).sentence
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "cannot be a project's folder" in refused(loop, tmp_path).sentence
    assert "cannot be a project's folder" in refused(Path("a\x00b"), tmp_path).sentence
    with pytest.raises(ProjectError, match="There is no Gatewright project"):
        Project.open(tmp_path)


def test_a_private_folder_that_is_not_private_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "plant/.gatewright"
    private.mkdir(parents=True, mode=0o700)
    for mode in (0o750, 0o701, 0o707):
        private.chmod(mode)
        refusal = refused(tmp_path / "plant", tmp_path)
        assert refusal.sentence == f"Other accounts may look into {private}."
        assert refusal.hint == f"Run: chmod 700 '{private}'"
    private.rmdir()
    private.write_bytes(b"")
    assert "is not a folder" in refused(tmp_path / "plant", tmp_path).sentence
    private.unlink()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    private.symlink_to(tmp_path / "elsewhere")
    assert "is a symbolic link" in refused(tmp_path / "plant", tmp_path).sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else")
def test_a_folder_or_project_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with own_folder() as theirs:
        refusal = refused(theirs, theirs)
        assert refusal.sentence == f"This folder belongs to uid {UID}: {theirs}"
        run_as_ordinary_user(lambda: _create(theirs))
        refusal = refused(theirs, theirs)
        assert refusal.sentence == f"This project belongs to uid {UID}: {theirs}"
        assert "gatewright init FOLDER" in (refusal.hint or "")
    tmp_path.chmod(0o755)
    Project.create(tmp_path / "ours", {})
    os.chown(tmp_path / "ours", UID, UID)
    Project.create(tmp_path / "ours", {})  # the project is whose .gatewright is


def test_an_ordinary_account_makes_and_opens_its_project() -> None:
    with own_folder() as folder:
        assert run_as_ordinary_user(lambda: _create(folder / "plant")) == 3
        found = run_as_ordinary_user(lambda: (Project.open(folder / "plant").problems, _create(folder / "plant")))
        assert found == ([], 3)
        owners = {path.stat().st_uid for path in (folder / "plant").rglob("*")}
    assert owners == {UID if os.geteuid() == 0 else os.geteuid()}


def _sentence(root: Path) -> str:
    try:
        Project.create(root, BUNDLE)
    except StoreError as error:
        return f"{type(error).__name__}: {error.sentence}"
    return "made"


def test_folders_that_do_not_let_us_write_or_look_are_refused() -> None:
    with own_folder() as folder:
        (folder / "locked").mkdir()
        (folder / "closed").mkdir()
        if os.geteuid() == 0:
            os.chown(folder / "locked", UID, UID)
        (folder / "locked").chmod(0o500)
        (folder / "closed").chmod(0)
        said = run_as_ordinary_user(lambda: [_sentence(folder / name) for name in ("locked", "locked/new", "closed/x")])
        assert list((folder / "locked").iterdir()) == []
    assert said == [
        f"NotAllowed: Cannot make a project in {folder}/locked: permission denied.",
        f"ProjectError: The folder {folder}/locked/new cannot be made: permission denied.",
        f"ProjectError: The folder {folder}/closed/x cannot be made: permission denied.",
    ]


def test_a_full_or_read_only_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code, words in ((28, "disk is full"), (30, "read-only")):
        with monkeypatch.context() as patch:
            patch.setattr(disk, "write_all", lambda *_, code=code: (_ for _ in ()).throw(OSError(code, "no")))
            assert words in _sentence(tmp_path / "plant")
    assert _sentence(tmp_path / "plant") == "made"


def test_scripts_that_are_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plant").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "plant/scripts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProjectError, match="is not a folder of this project"):
        Project.create(tmp_path / "plant", BUNDLE)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_damaged_or_newer_marker_is_refused(tmp_path: Path) -> None:
    made = Project.create(tmp_path, {})
    for content, words in ((b"{", "is damaged"), (b"[]", "another version"), (b'{"layout": 99}', "another version")):
        (made.private / project.MARKER).write_bytes(content)
        with pytest.raises(ProjectError, match=words):
            Project.open(tmp_path)
        with pytest.raises(ProjectError, match=words):
            Project.create(tmp_path, {})


def test_no_git_and_a_repository_around_are_problems_not_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    inside = Project.create(tmp_path / "inside", BUNDLE)
    assert inside.problems == []
    assert not (inside.root / ".git").exists()
    shutil.rmtree(tmp_path / ".git")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert Project.create(tmp_path / "alone", BUNDLE).problems == [
        "git is not installed. Install git to see changes and history."
    ]
    assert Project.open(tmp_path / "alone").problems == []


def test_a_folder_that_everybody_may_write_to_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "plant").mkdir()
    (tmp_path / "plant").chmod(0o777)
    assert "chmod o-w" in Project.create(tmp_path / "plant", {}).problems[0]


@pytest.mark.parametrize("path", ["x.py", "../x", "scripts/../x", "scripts//x", ".gatewright/settings.toml", "/etc/x"])
def test_a_bundle_cannot_write_elsewhere(tmp_path: Path, path: str) -> None:
    with pytest.raises(ProjectError, match="no place in a project"):
        Project.create(tmp_path / "plant", {path: b"x"})


def test_the_settings_explain_every_setting_and_show_its_default(tmp_path: Path) -> None:
    """The template and what the engine reads are one list."""
    shown = "\n".join(line.removeprefix("# ") if " = " in line else line for line in SETTINGS_TEMPLATE.splitlines())
    keys = {f"{section}.{key}" for section, table in tomllib.loads(shown).items() for key in table}
    file = tmp_path / "settings.toml"
    file.write_text(shown)
    file.chmod(0o600)
    assert Settings.load(file, environ={}) == Settings()
    defaults = Settings()
    known = {
        f"{section_name(section)}.{key}"
        for section in defaults.__slots__
        for key in getattr(defaults, section).__slots__
    }
    assert keys == known


def test_the_real_bundle_makes_a_project(tmp_path: Path) -> None:
    files = bundle()
    assert {"scripts/defaults/tour.py", "scripts/defaults/log_digest.py", "documents/samples/wrapper.log"} <= set(files)
    made = Project.create(tmp_path / "plant", files)
    assert {path: (made.root / path).read_bytes() for path in files} == files
