"""Emptying a folder that a script has filled with the worst it can."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.worker import kernel, namespaces
from engine.worker.scratch import FolderRefused, HeldFolder, empty_folder, remove_folder
from engine.worker.trials import failure_of


def test_depth_does_not_matter(tmp_path: Path) -> None:
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    empty_folder(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_a_bushy_tree_with_names_that_collide(tmp_path: Path) -> None:
    for name in ("a", ".1", ".2"):
        for inner in ("a", ".1", ".2", ".3"):
            for leaf in ("a", ".1"):
                folder = tmp_path / name / inner / leaf
                folder.mkdir(parents=True)
                (folder / "file").write_text("x")
    (tmp_path / ".4").write_text("a file where a folder would be moved")
    empty_folder(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    scratch = tmp_path / "scratch"
    (scratch / "deep").mkdir(parents=True)
    (scratch / "link").symlink_to(outside)
    (scratch / "deep" / "link").symlink_to(outside)
    (scratch / "dangling").symlink_to("nowhere")
    remove_folder(str(scratch))
    assert not scratch.exists()
    assert (outside / "kept").read_text() == "kept"
    assert outside.stat().st_mode & 0o777 != 0


def test_closed_folders_pipes_and_odd_names(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner" / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n name")).write_text("x")
    (closed / "inner").chmod(0)
    closed.chmod(0)
    tmp_path.chmod(0o500)
    empty_folder(str(tmp_path))
    assert os.listdir(tmp_path) == []


# -- where a path leads is not asked twice ----------------------------------------------------------------------------


def test_another_folder_at_its_path_is_left_alone(tmp_path: Path) -> None:
    scratch, precious = tmp_path / "scratch", tmp_path / "precious"
    scratch.mkdir()
    precious.mkdir()
    (precious / "kept").write_text("kept")
    held = HeldFolder(str(scratch))
    (scratch / "left").write_text("of the run")
    scratch.rename(tmp_path / "away")
    precious.rename(scratch)
    scratch.chmod(0o555)
    held.empty()
    assert os.listdir(tmp_path / "away") == []
    with pytest.raises(FolderRefused, match="is not the folder that was made there"):
        held.expect_in_place()
    with pytest.raises(FolderRefused, match="is not the folder that was made there"):
        held.remove()
    assert (scratch / "kept").read_text() == "kept"
    assert scratch.stat().st_mode & 0o777 == 0o555


def test_a_link_at_its_path_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "kept").write_text("kept")
    (tmp_path / "scratch").symlink_to(precious)
    for remove in (empty_folder, remove_folder):
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            remove(str(tmp_path / "scratch"))
    assert (precious / "kept").read_text() == "kept"


def test_a_descriptor_that_was_given_out_again_is_noticed(tmp_path: Path) -> None:
    """As when a process is wrong about what it has open."""
    scratch, precious = tmp_path / "scratch", tmp_path / "precious"
    scratch.mkdir()
    precious.mkdir()
    (precious / "kept").write_text("kept")
    held = HeldFolder(str(scratch))
    fd = os.open(precious, os.O_PATH | os.O_DIRECTORY)
    os.dup2(fd, held._fd)
    os.close(fd)
    with pytest.raises(FolderRefused, match="no longer held"):
        held.empty()
    held.close()
    assert (precious / "kept").read_text() == "kept"


def in_a_world_of_its_own(folder: Path, work: Callable[[], None]) -> None:
    """Do ``work`` in a process with mounts of its own, where nothing that goes wrong reaches the host."""

    def all_of_it() -> None:
        namespaces.enter_user_namespace()
        namespaces.enter(namespaces.OWN_TREE)
        os.chdir(folder)
        work()

    if failure_of(namespaces.enter_user_namespace) is not None:
        pytest.skip("this host has no user namespaces")
    assert failure_of(all_of_it) is None


def expect_refused(remove: Callable[[str], None], name: str, words: str) -> None:
    """Outside of pytest's own process: what is raised there becomes one line."""
    try:
        remove(name)
    except FolderRefused as error:
        if words not in str(error):
            raise
    else:
        raise AssertionError(f"{name} was not refused")


def mount(kind: str, source: Path, place: Path) -> None:
    """A bind mount is of the same device as what is around it."""
    if kind == "bind":
        kernel.mount(str(source), str(place), None, kernel.MS_BIND)
    else:
        kernel.mount("tmpfs", str(place), "tmpfs", 0, "size=1m")
        (place / "kept").write_text("kept")


@pytest.mark.parametrize("name", ["/", "//", "/..", "/precious/..", ".", "precious/.."])
@pytest.mark.parametrize("remove", [empty_folder, remove_folder])
def test_the_root_folder_is_refused(tmp_path: Path, remove: Callable[[str], None], name: str) -> None:
    """In a world whose root is a folder of the test's, so that no mistake reaches the host's."""

    def work() -> None:
        kernel.mount("tmpfs", str(tmp_path), "tmpfs", 0, "size=1m")
        (tmp_path / "precious").mkdir()
        os.chroot(tmp_path)
        os.chdir("/")
        expect_refused(remove, name, "root folder")
        if os.listdir("/") != ["precious"]:
            raise AssertionError("it was emptied")

    in_a_world_of_its_own(tmp_path, work)


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
@pytest.mark.parametrize("remove", [empty_folder, remove_folder])
def test_a_mount_point_is_refused(tmp_path: Path, remove: Callable[[str], None], kind: str) -> None:
    place, precious = tmp_path / "place", tmp_path / "precious"
    place.mkdir()
    precious.mkdir()
    (precious / "kept").write_text("kept")

    def work() -> None:
        mount(kind, precious, place)
        expect_refused(remove, str(place), "is a mount point")
        if not (place / "kept").exists():
            raise AssertionError("it was emptied")

    in_a_world_of_its_own(tmp_path, work)
    assert (precious / "kept").read_text() == "kept"


@pytest.mark.parametrize("deep", ["", "deep", "deep/deeper"])
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_what_is_mounted_inside_is_left_alone(tmp_path: Path, kind: str, deep: str) -> None:
    scratch, precious = tmp_path / "scratch", tmp_path / "precious"
    place = scratch / deep / "mounted"
    place.mkdir(parents=True)
    precious.mkdir()
    (precious / "kept").write_text("kept")
    precious.chmod(0o555)

    def work() -> None:
        held = HeldFolder(str(scratch))
        mount(kind, precious, place)
        for method in (held.empty, held.remove):
            expect_refused(lambda _, method=method: method(), str(scratch), "something is mounted at")  # type: ignore[misc]

    in_a_world_of_its_own(tmp_path, work)
    assert (precious / "kept").read_text() == "kept"
    assert precious.stat().st_mode & 0o777 == 0o555
