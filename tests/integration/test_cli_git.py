"""``gatewright git`` as people and programs use it."""

from __future__ import annotations

import json
import os
import pwd
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_support import ordinary_account
from cli_support import CliProject, cli_project, ended, in_terminal, wait_until
from git_kit import git

from engine.services.access import user_name

USER = pwd.getpwuid(os.geteuid()).pw_name
SECONDS = str(1_000_000 + os.getpid())
"""For a sleep that is nobody else's."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("git") / "project") as made:
        yield made


def test_a_change_goes_from_the_file_to_the_log_and_back(project: CliProject) -> None:
    status = project.json("git", "status")
    assert (status["available"], status["branch"]) == (True, "main")
    assert "head" not in status
    assert project.call("git", "log").stderr == "gatewright: there are no commits\n"
    refused = project.call("git", "commit", "-m", "early")
    assert (refused.returncode, "who their commits are by" in refused.stderr) == (2, True)
    assert "gatewright git author --name" in refused.stderr
    assert json.loads(project.call("--json", "git", "commit", "-m", "early").stdout)["code"] == "no_author"
    assert "who your commits are by" in project.call("git", "author").stderr
    for bad in (["--name", "<>", "--email", "a@b"], ["--name", "Ada"], ["--name", "Ada", "--email", "a b@c"]):
        assert project.call("git", "author", *bad).returncode == 2
    assert project.call("git", "author", "--name", "Ada", "--email", "ada@plant.example").stdout == (
        "Ada <ada@plant.example>\n"
    )
    assert project.json("git", "author") == {"name": "Ada", "email": "ada@plant.example"}

    assert project.call("git", "log", "nosuch").stderr == "gatewright: there are no commits of nosuch\n"
    assert project.call("git", "stage", ".").returncode == 0
    assert {(file["index"], file["worktree"]) for file in project.json("git", "status")["files"]} == {("A", " ")}
    first = project.json("git", "commit", "-m", "Begin")
    project.script("story.py", "one = 1\n")
    assert project.call("git", "diff", "scripts/story.py").stdout.endswith("@@ -0,0 +1 @@\n+one = 1\n")
    staged = project.call("git", "stage", "scripts/story.py")
    assert staged.stdout == "on main\nA  scripts/story.py\n"
    assert project.call("git", "unstage", "scripts/story.py").stdout == "on main\n?? scripts/story.py\n"
    project.call("git", "stage", "scripts/")
    one = project.json("git", "commit", "-m", "Add the story", "-m", "In two paragraphs.")
    assert one["author"] == "Ada"
    assert git(project.root, "log", "-1", "--format=%B").strip() == (
        f"Add the story\n\nIn two paragraphs.\n\nGatewright-Uid: {os.geteuid()} ({USER})"
    )
    project.script("story.py", "two = 2\n")
    assert "-one = 1\n+two = 2\n" in project.call("git", "diff").stdout
    assert project.call("git", "diff", "--staged").stdout == ""
    project.call("git", "stage", "scripts/story.py")
    assert "-one = 1\n+two = 2\n" in project.call("git", "diff", "--staged").stdout
    done = project.call("git", "commit", "-F", "-", stdin="Second\n\nSigned-off-by: Ada\n")
    assert done.stderr.startswith("gatewright: committed ")
    assert (
        git(project.root, "log", "-1", "--format=%B")
        .strip()
        .endswith(f"Signed-off-by: Ada\nGatewright-Uid: {os.geteuid()} ({USER})")
    )

    log = project.json("git", "log", "story")
    assert [entry["subject"] for entry in log["commits"]] == ["Second", "Add the story"]
    paged = project.call("git", "log", "-n", "1", "--skip", "1")
    assert "Add the story" in paged.stdout
    assert "older ones: --skip 2" in paged.stderr
    assert project.call("git", "show", one["sha"], "story").stdout == "one = 1\n"
    assert project.json("git", "show", one["sha"][:8], "story.py")["text"] == "one = 1\n"
    assert "+one = 1" in project.call("git", "show", one["sha"]).stdout
    assert "+one = 1" in project.call("git", "diff", "--commit", one["sha"]).stdout
    git(project.root, "branch", "before/second", one["sha"])
    assert project.call("git", "show", "before/second", "story").stdout == "one = 1\n"
    assert "+two = 2" in project.call("git", "show", "HEAD").stdout
    assert "+one = 1" in project.call("git", "diff", "--commit", "HEAD~1").stdout
    for named in (("before/second",), ("story", "--commit", "before/second")):
        assert project.json("git", "log", *named)["commits"][0]["sha"] == one["sha"]
    unknown = project.call("git", "show", "nobody")
    assert unknown.stderr == "gatewright: There is no commit, branch or tag nobody.\n"
    wrong = project.call("git", "show", "x" * 201, "story")
    assert "commit" in wrong.stderr
    assert "api/" not in wrong.stderr + unknown.stderr
    for missing in ((first["sha"], "story"), ("0" * 40,), ("nobody",)):
        assert project.call("git", "show", *missing).returncode == 2
    nothing = project.call("git", "commit", "-m", "again")
    assert (nothing.returncode, nothing.stderr.splitlines()[0]) == (
        2,
        "gatewright: Nothing is staged, so there is nothing to commit.",
    )


@pytest.mark.parametrize(
    "arguments",
    [["commit"], ["commit", "-m", ""], ["commit", "-m", "x\n\nGatewright-Uid: 0 (root)"], ["stage"], ["stage", "../x"],
     ["stage", "no such"], ["diff", "--staged", "--commit", "1234567"], ["log", "-n", "0"],
     ["commit", "-m", "a\x1b[2J"]],
)  # fmt: skip
def test_what_cannot_be_is_usage(project: CliProject, arguments: list[str]) -> None:
    done = project.call("git", *arguments)
    assert done.returncode == 2
    assert done.stderr


def test_hostile_names_and_texts_stay_text_at_a_terminal(project: CliProject) -> None:
    name = "scripts/\x1b]0;owned\x07\x9b2J\u202e.py"
    (project.root / name).write_text("x = '\x1b[2J\x1b]52;c;aGk=\x07'\r-fake = 1\n")
    for arguments in (["status"], ["diff", name], ["stage", name], ["diff", "--staged"], ["unstage", name]):
        status, shown = in_terminal(project.command("git", *arguments))
        assert status == 0, shown
        for control in ("\x1b", "\x07", "\x9b", "\u202e"):
            assert control not in shown
    assert "\r-fake" not in shown
    (project.root / name).unlink()


def test_a_lock_left_behind_is_a_conflict(project: CliProject) -> None:
    project.script("locked.py", "pass\n")
    lock = project.root / ".git/index.lock"
    lock.touch()
    try:
        done = project.call("git", "stage", "scripts/locked.py")
    finally:
        lock.unlink()
    assert done.returncode == 5
    assert f"it holds {lock}" in done.stderr


def test_trust_is_asked_for_and_ends_with_a_change(project: CliProject, tmp_path: Path) -> None:
    assert "needs no trust" in project.call("git", "trust").stderr
    marks = tmp_path / "marks"
    hook = project.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho ran >> {marks}\n")
    hook.chmod(0o755)
    project.script("trusted.py", "pass\n")
    refused = project.call("git", "stage", "scripts/trusted.py")
    assert refused.returncode == 4
    assert "gatewright git trust" in refused.stderr
    assert json.loads(project.call("--json", "git", "stage", "scripts/trusted.py").stdout)["code"] == "untrusted"
    seen = project.call("git", "trust")
    assert (seen.returncode, "pre-commit" in seen.stdout) == (2, True)
    assert "there is no terminal to ask at" in seen.stderr
    wrong = project.call("git", "trust", "--yes", "--fingerprint", "0" * 64)
    assert wrong.returncode == 5
    looked = project.json("git", "trust", "--yes")
    assert (looked["needed"], looked["trusted"]) == (True, True)
    assert "trusted already" in project.call("git", "trust").stderr
    assert project.call("git", "stage", "scripts/trusted.py").returncode == 0
    assert not marks.exists()
    assert project.call("git", "commit", "-m", "with a hook").returncode == 0
    assert marks.read_text() == "ran\n"
    hook.write_text("#!/bin/sh\nexit 0\n")
    assert project.call("git", "commit", "-m", "changed").returncode == 4
    project.json("git", "trust", "--yes")
    assert project.call("git", "trust", "--revoke").stderr == "gatewright: not trusted\n"
    assert project.call("git", "commit", "-m", "revoked").returncode == 4
    hook.unlink()


def test_a_commit_that_is_interrupted_leaves_nobody_behind(project: CliProject) -> None:
    hook = project.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nsleep {SECONDS}\n")
    hook.chmod(0o755)
    project.json("git", "trust", "--yes")
    project.script("slow.py", f"at = {time.time()}\n")
    assert project.call("git", "stage", "scripts/slow.py").returncode == 0
    head = git(project.root, "rev-parse", "HEAD")

    def sleeps() -> bool:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found.append(entry.read_bytes())
            except OSError:  # gone meanwhile
                continue
        return f"sleep\0{SECONDS}\0".encode() in found

    try:
        waiting = project.popen("git", "commit", "-m", "never")
        wait_until(sleeps, "the hook runs")
        waiting.send_signal(signal.SIGINT)
        assert ended(waiting)[0] == 130
        wait_until(lambda: not sleeps(), "the hook is gone")
    finally:
        hook.unlink()
    assert git(project.root, "rev-parse", "HEAD") == head
    assert not (project.root / ".git/index.lock").exists()
    assert project.call("git", "commit", "-m", "now").returncode == 0


def test_no_repository_is_a_sentence(tmp_path: Path) -> None:
    with cli_project(tmp_path / "none") as project:
        os.rename(project.root / ".git", tmp_path / "moved")
        for arguments in (["status"], ["diff"], ["log"], ["stage", "scripts"], ["trust"]):
            done = project.call("git", *arguments)
            assert done.returncode == 2
            assert "gatewright: This project has no git repository." in done.stderr


def test_an_ordinary_account_commits_under_its_own_name(tmp_path: Path) -> None:
    with ordinary_account() as account:
        root = account.folder("plant")
        call = lambda *arguments: account.call("--project", str(root), *arguments)  # noqa: E731
        assert call("engine", "start").returncode == 0
        try:
            assert call("git", "stage", "scripts").returncode == 0
            call("git", "author", "--name", "Alice", "--email", "alice@plant.example")
            assert call("git", "commit", "-m", "Begin").returncode == 0
        finally:
            call("engine", "stop", "--force")
        log = git(root, "-c", f"safe.directory={root}", "log", "-1", "--format=%an %B")
        uid = root.stat().st_uid
        assert log.split("\n")[:3] == ["Alice Begin", "", f"Gatewright-Uid: {uid} ({user_name(uid)})"]
