"""The repository: read rightly, and nothing that its configuration names is ever run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_support import wait_for

from store.errors import BadName, StoreError
from store.git.changes import Author, GitChanges
from store.git.repository import ChangedFile, GitRepo, Status

UID = 54_321
SECONDS = str(1_000_000 + os.getpid())
"""For a sleep that is nobody else's."""


def git(folder: Path, *command: str, text: str | None = None, check: bool = True) -> str:
    """Plain git, as a user types it, with an identity."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_DATE": "1700000000 +0000",
        "GIT_COMMITTER_DATE": "1700000000 +0000",
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in NAMES.items()},
    }
    done = subprocess.run(
        ["git", *command], cwd=folder, env=environment, input=text, capture_output=True, text=True, check=check
    )
    return done.stdout


ADA = Author("Ada Lovelace", "ada@plant.example")
NAMES = {"NAME": "Ada Lovelace", "EMAIL": "ada@plant.example"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "plant"
    root.mkdir()
    GitRepo(root).init()
    return root


def commit(root: Path, message: str, **files: str) -> str:
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD").strip()


def test_a_new_repository_has_a_branch_and_no_commits(root: Path) -> None:
    (root / "scripts").mkdir()
    (root / "scripts/x.py").write_text("1")
    repo = GitRepo(root)
    status = repo.status()
    assert (status.problem, status.branch) == (None, "main")
    assert status.files == (ChangedFile("scripts/x.py", "?", "?"),)
    assert repo.log() == []
    assert not repo.has_commits()
    assert not (root / ".git/hooks").exists(), "no templates of the host"
    repo.init()


def test_changed_files_are_told_with_both_letters(root: Path) -> None:
    commit(root, "one", a="1", b="1", c="1", d="1")
    (root / "a.py").write_text("2")
    git(root, "rm", "-q", "b.py")
    (root / "c.py").write_text("2")
    git(root, "add", "c.py")
    (root / "c.py").write_text("3")
    git(root, "mv", "d.py", "e.py")
    (root / "new file.py").write_text("1")
    assert set(GitRepo(root).status().files) == {
        ChangedFile("a.py", " ", "M"),
        ChangedFile("b.py", "D", " "),
        ChangedFile("c.py", "M", "M"),
        ChangedFile("d.py", "D", " "),
        ChangedFile("e.py", "A", " "),
        ChangedFile("new file.py", "?", "?"),
    }


def test_the_log_is_newest_first_in_pages_and_by_path(root: Path) -> None:
    shas = [commit(root, f"change {number}\n\nbody", **{"ab"[number % 2]: str(number)}) for number in range(6)][::-1]
    repo = GitRepo(root)
    found = repo.log()
    assert [entry.sha for entry in found] == shas
    assert found[0].author == "Ada Lovelace"
    assert found[0].at == 1_700_000_000.0
    assert found[0].subject == "change 5"
    assert [entry.sha for entry in repo.log(limit=2, skip=1)] == shas[1:3]
    assert [entry.sha for entry in repo.log("b.py")] == shas[::2]
    assert repo.log("no such file.py") == []
    assert repo.log("--output=/tmp/x") == []
    assert repo.log("*.py") == [], "a path is a path, not a pattern"


def test_a_detached_head_has_no_branch(root: Path) -> None:
    sha = commit(root, "one", a="1")
    git(root, "checkout", "-q", sha)
    assert GitRepo(root).status().branch is None
    assert GitRepo(root).status().problem is None


def test_names_and_messages_that_are_not_utf_8_are_shown_escaped(root: Path) -> None:
    with open(os.fsencode(root) + b"/caf\xe9\n.py", "wb") as file:
        file.write(b"1")
    assert GitRepo(root).status().files == (ChangedFile("caf\\xe9\n.py", "?", "?"),)
    tree = git(root, "mktree", text="")
    (root / "commit").write_bytes(
        b"tree " + tree.strip().encode() + b"\nauthor J\xf6rg\x1b[31m <j> 1 +0000\ncommitter x <x> 1 +0000\n\nm\xfcde\n"
    )
    sha = git(root, "hash-object", "-t", "commit", "-w", "commit").strip()
    git(root, "reset", "-q", "--hard", sha)
    entry = GitRepo(root).log()[0]
    for text in (entry.author, entry.subject):
        text.encode("utf-8")
    assert (entry.author, entry.subject, entry.at) == ("J\\xf6rg\x1b[31m", "m\\xfcde", 1.0)


def test_a_commit_without_a_date_is_still_listed(root: Path) -> None:
    tree = git(root, "mktree", text="").strip()
    raw = f"tree {tree}\nauthor x <x>\ncommitter x <x>\n\nno date\n"
    sha = git(root, "hash-object", "--literally", "-t", "commit", "-w", "--stdin", text=raw).strip()
    git(root, "update-ref", "HEAD", sha)
    assert [(entry.subject, entry.at) for entry in GitRepo(root).log()] == [("no date", 0.0)]


def test_no_repository_a_bare_one_and_a_broken_one_are_sentences(tmp_path: Path, root: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "bare").mkdir()
    git(tmp_path / "bare", "init", "-q", "--bare")
    commit(root, "one", a="1")
    (root / ".git/config").write_text("[core\n")
    for folder, words in (
        (tmp_path / "none", "This project has no git repository."),
        (tmp_path / "bare", "This folder is a bare repository, which has no files to work on."),
        (root, "git failed: bad config line 1 in file .git/config."),
    ):
        assert GitRepo(folder).status().problem == words
        with pytest.raises(StoreError) as refusal:
            GitRepo(folder).log()
        assert refusal.value.sentence == words
    (root / ".git/config").unlink()
    (root / ".git/HEAD").write_text("garbage")
    assert "not a git repository" in (GitRepo(root).status().problem or "")


def test_a_project_in_a_larger_repository_is_its_part_of_it(root: Path) -> None:
    inner = root / "inner"
    (inner / "scripts").mkdir(parents=True)
    for place in (root / "outside.txt", inner / "scripts/a.py"):
        place.write_text("one\n")
    repo = GitRepo(inner)
    repo.init()
    assert not (inner / ".git").exists()
    assert repo.status().repository == str(root)
    assert [file.path for file in repo.status().files] == ["scripts/a.py"]
    assert "+++ b/scripts/a.py" in repo.diff("scripts/a.py").text
    changes = GitChanges(repo)
    changes.stage(["scripts"])
    assert git(root, "diff", "--cached", "--name-only").split() == ["inner/scripts/a.py"]
    changes.unstage(["scripts/a.py"])
    assert [file.index for file in repo.status().files] == ["?"]
    changes.stage(["scripts/a.py"])
    git(root, "add", "outside.txt")
    with pytest.raises(StoreError, match=r"Files outside this project are staged in .*: outside\.txt\."):
        changes.commit("one\n", ADA)
    git(root, "rm", "--cached", "--quiet", "outside.txt")
    made = changes.commit("one\n", ADA)
    assert git(root, "show", "--name-only", "--format=", "HEAD").split() == ["inner/scripts/a.py"]
    other = commit(root, "elsewhere", b="2")
    assert [one.sha for one in repo.log()] == [made.sha]
    assert repo.text_at("HEAD", "scripts/a.py") == b"one\n"
    assert repo.commit_diff(other).text == ""
    (inner / "scripts/a.py").write_text("two\n")
    assert "--- a/scripts/a.py" in repo.diff("scripts/a.py").text
    with pytest.raises(BadName):
        changes.stage(["../outside.txt"])


def test_a_repository_around_that_ignores_the_project_is_none_of_it(root: Path) -> None:
    (root / ".gitignore").write_text("inner/\n")
    (root / "inner").mkdir()
    GitRepo(root / "inner").init()
    assert GitRepo(root / "inner").status().repository == str(root / "inner")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a repository of somebody else")
def test_a_repository_around_that_is_somebody_elses_is_not_used_and_said(root: Path) -> None:
    os.chown(root / ".git", UID, UID)
    (root / "inner").mkdir()
    sentence = f"The repository around this project, {root}, belongs to uid {UID}, so git is not used on it."
    with pytest.raises(StoreError) as caught:
        GitRepo(root / "inner").init()
    assert caught.value.sentence == sentence == GitRepo(root / "inner").status().problem
    assert "git init" not in (caught.value.hint or "")


def test_git_missing_is_a_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert GitRepo(root).status().problem == "git is not installed."
    with pytest.raises(StoreError, match="git is not installed"):
        GitRepo(root).log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a repository of somebody else")
def test_a_repository_of_somebody_else_is_refused(root: Path) -> None:
    os.chown(root / ".git", UID, UID)
    assert GitRepo(root).status().problem == f"The repository belongs to uid {UID}, so git is not used on it."


def test_the_callers_environment_does_not_reach_git(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GitPython asks git for its version when it is imported, in the environment of the process: an engine's is one
    # without GIT_* (engine/client/starter.py). Here the import must come before them, whichever test comes first.
    assert GitRepo(root).status().branch == "main"
    sha = commit(root, "one", a="1")
    other = tmp_path / "other"
    other.mkdir()
    GitRepo(other).init()
    for name, value in {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_EXEC_PATH": "/nonexistent",
        "GIT_CONFIG_PARAMETERS": "'core.bare=true'",
    }.items():
        monkeypatch.setenv(name, value)
    assert GitRepo(root).status() == Status(branch="main", head=sha)
    assert [entry.sha for entry in GitRepo(root).log()] == [sha]
    assert not (tmp_path / "trace").exists()


def test_git_that_hangs_is_stopped_and_leaves_nobody_behind(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(
        "#!/bin/sh\n[ $1 = version ] && echo git version 2.39 && exit\n"
        f"trap 'echo cleaned > {tmp_path}/cleaned; exit 1' TERM\nsleep {SECONDS} &\nwait\n"
    )
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    repo = GitRepo(root)
    begun = time.monotonic()
    with pytest.raises(StoreError, match=r"git rev-parse took longer than 0\.3 s and was stopped"):
        repo.git.run(["rev-parse"], timeout=0.3)
    assert time.monotonic() - begun < 20
    assert (tmp_path / "cleaned").exists(), "SIGTERM first, so that git can remove its locks"
    wait_for(lambda: not any(SECONDS.encode() in command for command in _commands()))


def _commands() -> Iterator[bytes]:
    """The command line of every process there is."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # gone meanwhile
            yield entry.read_bytes()


def test_git_is_imported_only_when_it_is_used() -> None:
    code = "import sys, store.git; assert 'git' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


# Below: a repository that wants to run something.


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A program that leaves a trace beside itself when it runs, and passes its input on."""
    program = tmp_path / "canary"
    program.write_text(f"#!/bin/sh\necho ran >> '{tmp_path}/sang'\ncat\nexit 0\n")
    program.chmod(0o755)
    return program


def sang(canary: Path) -> bool:
    """Whether it ran since it was last asked."""
    trace = canary.parent / "sang"
    found = trace.exists()
    trace.unlink(missing_ok=True)
    return found


def touch(root: Path) -> None:
    """Make git doubt its index, so that it looks at the content again."""
    os.utime(root / "a.py", (time.time() + 10, time.time() + 10))


Vector = Callable[[Path, Path], list[str]]
"""Arms a repository with a canary; returns the plain git command that runs it."""


def _fsmonitor(root: Path, canary: Path) -> list[str]:
    git(root, "config", "core.fsmonitor", str(canary))
    return ["status"]


def _clean_filter(root: Path, canary: Path) -> list[str]:
    git(root, "config", "filter.Odd.name.clean", str(canary))
    (root / ".gitattributes").write_text("*.py filter=Odd.name\n")
    return ["status"]


def _process_filter(root: Path, canary: Path) -> list[str]:
    git(root, "config", "filter.p.process", str(canary))
    git(root, "config", "filter.p.required", "true")
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/attributes").write_text("*.py filter=p\n")
    return ["status"]


def _included_filter(root: Path, canary: Path) -> list[str]:
    (root / "evil.config").write_text(f'[filter "i"]\n\tclean = {canary}\n')
    git(root, "config", "include.path", "../evil.config")
    (root / ".gitattributes").write_text("*.py filter=i\n")
    return ["status"]


def _hook(root: Path, canary: Path) -> list[str]:
    hooks = root / "hooks"
    hooks.mkdir()
    (hooks / "post-index-change").symlink_to(canary)
    git(root, "config", "core.hooksPath", str(hooks))
    return ["status"]


def _textconv(root: Path, canary: Path) -> list[str]:
    git(root, "config", "diff.t.textconv", str(canary))
    (root / ".gitattributes").write_text("*.py diff=t\n")
    return ["log", "-p"]


def _external_diff(root: Path, canary: Path) -> list[str]:
    git(root, "config", "diff.external", str(canary))
    return ["log", "-p", "--ext-diff"]


def _gpg(root: Path, canary: Path) -> list[str]:
    tree = git(root, "rev-parse", "HEAD^{tree}").strip()
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    raw = f"tree {tree}\nauthor x <x> 1 +0000\ncommitter x <x> 1 +0000\n{signature}\n\nsigned\n"
    sha = git(root, "hash-object", "-t", "commit", "-w", "--stdin", text=raw).strip()
    git(root, "update-ref", "HEAD", sha)
    git(root, "config", "gpg.program", str(canary))
    git(root, "config", "log.showSignature", "true")
    return ["log"]


def _lazy_fetch(root: Path, canary: Path) -> list[str]:
    """A partial clone: an object is missing, and the promising remote is reached by a program of its choice."""
    tree = git(root, "rev-parse", "HEAD^{tree}").strip()
    (root / f".git/objects/{tree[:2]}/{tree[2:]}").unlink()
    git(root, "config", "core.repositoryFormatVersion", "1")
    git(root, "config", "extensions.partialClone", "origin")
    git(root, "config", "remote.origin.promisor", "true")
    git(root, "config", "remote.origin.url", f"ssh://nowhere{root}")
    git(root, "config", "core.sshCommand", f"{canary} </dev/null")
    return ["log", "--", "a.py"]


def _submodule(root: Path, canary: Path) -> list[str]:
    inner = root / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    commit(inner, "inner", a="1")
    git(root, "add", "inner")
    git(inner, "config", "core.fsmonitor", str(canary))
    return ["status"]


@pytest.mark.parametrize(
    "arm",
    [
        *(_fsmonitor, _clean_filter, _process_filter, _included_filter, _hook),
        *(_textconv, _external_diff, _gpg, _lazy_fetch, _submodule),
    ],
)
def test_nothing_a_repository_names_is_run(root: Path, canary: Path, arm: Vector) -> None:
    commit(root, "one", a="1")
    plain = arm(root, canary)
    touch(root)
    git(root, *plain, check=False)
    assert sang(canary), "plain git does not run it either: this test proves nothing"
    touch(root)
    repo = GitRepo(root)
    repo.status()
    repo.log()
    with contextlib.suppress(StoreError):  # in the partial clone something is missing, and stays missing
        repo.log("a.py")
    assert not sang(canary)


def test_an_armed_repository_is_still_read(root: Path, canary: Path) -> None:
    commit(root, "one", a="1")
    for arm in (_fsmonitor, _clean_filter, _process_filter, _hook, _gpg):
        arm(root, canary)
    (root / "a.py").write_text("2")
    status = GitRepo(root).status()
    assert status.problem is None
    assert ChangedFile("a.py", " ", "M") in status.files
    assert [entry.subject for entry in GitRepo(root).log()] == ["signed"]
    assert not sang(canary)


def test_a_repository_cannot_point_elsewhere(root: Path, tmp_path: Path) -> None:
    commit(root, "one", a="1")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/token.py").write_text("x")
    git(root, "config", "core.worktree", str(tmp_path / "secrets"))
    assert "token.py" in git(root, "status", "--porcelain")
    status = GitRepo(root).status()
    assert (status.problem, status.files) == (None, ())


def test_too_many_filters_are_refused(root: Path) -> None:
    commit(root, "one", a="1")
    with open(root / ".git/config", "a") as config:
        config.writelines(f'[filter "f{number}"]\n\tclean = cat\n' for number in range(100))
    assert GitRepo(root).status().problem == "The repository defines 100 filters; git is not used on it."
