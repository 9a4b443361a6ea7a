"""Emptying a folder that a script has filled with the worst it can."""

from __future__ import annotations

import os
from pathlib import Path

from engine.worker.scratch import empty_folder, remove_folder


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
