"""A project that cannot be written to is still read: by the account that owns it, on a real read-only file system."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from account_support import UID, ordinary_account
from cli_support import CliProject, cli_project
from mounts import needs_mounts, read_only

from engine.paths import EnginePaths

ADMIN = "[policy]\nadmin_as_root = true\n"


@contextmanager
def private_folder_gone(root: Path, owner: int) -> Iterator[None]:
    """Afterwards there is nothing under /tmp of the engine that could not write to its project."""
    try:
        yield
    finally:
        shutil.rmtree(EnginePaths(root).fallback_socket(owner).parent, ignore_errors=True)


@pytest.mark.slow
@needs_mounts
def test_everything_that_reads_works_and_the_rest_is_refused_with_a_sentence(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    with cli_project(root, ADMIN) as project:
        project.script("night/hello.py", "print('hello')\n")
        assert project.call("run", "night/hello").returncode == 0
        project.call("scripts", "set", "night/hello", "title=Greeting")
    with private_folder_gone(root, os.geteuid()), read_only(root):
        _reads(CliProject(root))
    with_again = CliProject(root)
    try:
        assert with_again.call("scripts", "set", "night/hello", "title=Again").returncode == 0
    finally:
        with_again.call("engine", "stop", "--force")


@pytest.mark.slow
def test_a_private_folder_without_the_right_to_write_is_read_by_an_ordinary_account() -> None:
    with ordinary_account() as account, ExitStack() as stack:
        root = account.folder("plant")
        here = ("--project", str(root))
        stack.enter_context(private_folder_gone(root, UID if os.geteuid() == 0 else os.geteuid()))
        try:
            assert account.call(*here, "init").returncode == 0
            assert account.call(*here, "exec", "print('first')").returncode == 0
            account.call(*here, "engine", "stop", "--force")
            (root / ".gatewright").chmod(0o500)
            assert "defaults/tour" in account.call(*here, "scripts", "list").stdout
            assert account.call(*here, "runs", "output", "1").stdout == "first\n"
            refused = account.call(*here, "scripts", "new", "mine")
            assert "was not saved: the project cannot be written to" in refused.stderr
            for change in (("delete", "defaults/tour.py", "--yes"), ("rename", "defaults/tour.py", "other")):
                refused = account.call(*here, "scripts", *change)
                assert "defaults/tour.py stays as it is: the project cannot be written to" in refused.stderr
            account.call(*here, "engine", "stop", "--force")
            account.call(*here, "scripts", "list")
            assert "open for reading only" in account.call(*here, "engine", "status").stdout
            assert "Audit record" not in account.call(*here, "engine", "status").stdout
        finally:
            account.call(*here, "engine", "stop", "--force")
            (root / ".gatewright").chmod(0o700)


def _reads(project: CliProject) -> None:
    before = sorted(path for path in project.root.rglob("*"))
    try:
        assert "night/hello " in project.call("scripts", "list").stdout
        assert "Greeting" in project.call("scripts", "show", "night/hello").stdout
        assert "night/hello" in project.call("scripts", "search", "greeting").stdout
        assert "hello" in project.call("runs", "output", "1").stdout
        assert project.call("history", "night/hello").returncode == 0
        assert project.call("git", "status").returncode == 0
        assert "open for reading only" in project.call("engine", "status").stdout

        ran = project.call("run", "night/hello")
        assert (ran.returncode, ran.stdout) == (0, "hello\n")
        assert "Output is not recorded: the project cannot be written to." in ran.stderr
        saved = project.call("scripts", "set", "night/hello", "title=Other")
        assert saved.returncode != 0
        assert "was not saved: the project cannot be written to" in saved.stderr
        admin = project.call("exec", "--mode", "admin", "print(1)")
        assert admin.returncode == 4
        assert "they cannot be recorded" in admin.stderr
        assert project.call("scripts", "delete", "night/hello.py", "--yes").returncode != 0
    finally:
        project.call("engine", "stop", "--force")
    assert sorted(path for path in project.root.rglob("*")) == before
