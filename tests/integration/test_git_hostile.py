"""A hostile repository: whatever it names, nothing of it runs before its owner trusts it. Plain git runs all of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from git_kit import Canary, commit, git, touch

from store.errors import StoreError
from store.git.changes import Author, GitChanges, Untrusted
from store.git.repository import GitRepo
from store.git.trust import TRUST_FILE, TrustFile, programs

ADA = Author("Ada Lovelace", "ada@plant.example")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "plant"
    root.mkdir()
    GitRepo(root).init()
    commit(root, "one", a="1\n")
    return root


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path)


@pytest.fixture
def trust(tmp_path: Path) -> TrustFile:
    (tmp_path / "private").mkdir(mode=0o700)
    return TrustFile(tmp_path / "private")


Control = list[list[str]]
Arm = Callable[[Path, Canary], Control]
"""Arms a repository; returns the plain git commands of which at least one runs the canary."""


def _fsmonitor(root: Path, canary: Canary) -> Control:
    git(root, "config", "core.fsmonitor", str(canary))
    return [["status"]]


def _clean(root: Path, canary: Canary) -> Control:
    git(root, "config", "filter.Odd.name.clean", f"{canary} %f")
    (root / ".gitattributes").write_text("*.py filter=Odd.name\n")
    return [["add", "a.py"]]


def _smudge(root: Path, canary: Canary) -> Control:
    git(root, "config", "filter.s.smudge", str(canary))
    (root / ".gitattributes").write_text("*.py filter=s\n")
    return [["stash"]]


def _process(root: Path, canary: Canary) -> Control:
    git(root, "config", "filter.p.process", str(canary))
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/attributes").write_text("*.py filter=p\n")
    return [["add", "a.py"]]


def _include(root: Path, canary: Canary) -> Control:
    (root / "evil.config").write_text(f'[filter "i"]\n\tclean = {canary}\n')
    git(root, "config", "includeIf.onbranch:main.path", "../evil.config")
    (root / ".gitattributes").write_text("*.py filter=i\n")
    return [["add", "a.py"]]


def _worktree_config(root: Path, canary: Canary) -> Control:
    git(root, "config", "extensions.worktreeConfig", "true")
    (root / ".git/config.worktree").write_text(f"[core]\n\tfsmonitor = {canary}\n")
    return [["status"]]


def _textconv(root: Path, canary: Canary) -> Control:
    git(root, "config", "diff.t.textconv", str(canary))
    (root / ".gitattributes").write_text("*.py diff=t\n")
    return [["diff"], ["show"]]


def _external_diff(root: Path, canary: Canary) -> Control:
    git(root, "config", "diff.external", str(canary))
    return [["diff"]]


def _driver_command(root: Path, canary: Canary) -> Control:
    git(root, "config", "diff.d.command", str(canary))
    (root / ".gitattributes").write_text("*.py diff=d\n")
    return [["diff"]]


def _gpg_sign(root: Path, canary: Canary) -> Control:
    git(root, "config", "gpg.program", str(canary))
    git(root, "config", "commit.gpgSign", "true")
    return [["commit", "--allow-empty", "-m", "signed"]]


def _gpg_show(root: Path, canary: Canary) -> Control:
    tree = git(root, "rev-parse", "HEAD^{tree}").strip()
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    raw = f"tree {tree}\nauthor x <x> 1 +0000\ncommitter x <x> 1 +0000\n{signature}\n\nsigned\n"
    sha = git(root, "hash-object", "-t", "commit", "-w", "--stdin", text=raw).strip()
    git(root, "update-ref", "HEAD", sha)
    git(root, "config", "gpg.program", str(canary))
    git(root, "config", "log.showSignature", "true")
    return [["log"], ["show"]]


def _hooks(root: Path, canary: Canary) -> Control:
    (root / ".git/hooks").mkdir(exist_ok=True)
    for name in (
        *("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-index-change"),
        *("reference-transaction", "pre-auto-gc", "post-rewrite", "post-checkout"),
    ):
        (root / ".git/hooks" / name).symlink_to(canary.program)
    return [["commit", "--allow-empty", "-m", "x"]]


def _hooks_path(root: Path, canary: Canary) -> Control:
    (root / "hooks").mkdir()
    (root / "hooks/post-index-change").symlink_to(canary.program)
    git(root, "config", "core.hooksPath", "hooks")
    return [["add", "a.py"]]


def _trailer(root: Path, canary: Canary) -> Control:
    git(root, "config", "trailer.gatewright-uid.command", str(canary))
    git(root, "config", "trailer.gatewright-uid.ifexists", "addIfDifferent")
    return [["commit", "--allow-empty", "-m", "x", "--trailer", "Gatewright-Uid: 1"]]


def _editor(root: Path, canary: Canary) -> Control:
    git(root, "config", "core.editor", str(canary))
    return [["commit", "--allow-empty"]]


def _pager(root: Path, canary: Canary) -> Control:
    git(root, "config", "core.pager", str(canary))
    git(root, "config", "pager.diff", str(canary))
    return [["--paginate", "log"]]  # without a terminal this one only proves that it is set


def _alias(root: Path, canary: Canary) -> Control:
    for name in ("hello", "status", "diff", "commit"):
        git(root, "config", f"alias.{name}", f"!{canary} </dev/null")
    return [["hello"]]


def _credential(root: Path, canary: Canary) -> Control:
    git(root, "config", "credential.helper", f"!{canary} </dev/null")
    git(root, "config", "core.askPass", str(canary))
    git(root, "config", "remote.origin.url", "https://127.0.0.1:1/x.git")
    return [["credential", "fill"]]


def _ssh(root: Path, canary: Canary) -> Control:
    git(root, "config", "core.sshCommand", f"{canary} </dev/null")
    git(root, "config", "remote.origin.url", "ssh://nowhere/x.git")
    git(root, "config", "branch.main.remote", "origin")
    return [["fetch"]]


def _lazy_fetch(root: Path, canary: Canary) -> Control:
    """A partial clone: an object is missing, and the promising remote is reached by a program of its choice."""
    blob = git(root, "rev-parse", "HEAD:a.py").strip()
    (root / f".git/objects/{blob[:2]}/{blob[2:]}").unlink()
    git(root, "config", "core.repositoryFormatVersion", "1")
    git(root, "config", "extensions.partialClone", "origin")
    git(root, "config", "remote.origin.promisor", "true")
    git(root, "config", "remote.origin.url", f"ssh://nowhere{root}")
    git(root, "config", "core.sshCommand", f"{canary} </dev/null")
    return [["diff"], ["show"]]


def _submodule(root: Path, canary: Canary) -> Control:
    inner = root / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    commit(inner, "inner", a="1")
    git(root, "add", "inner")
    git(inner, "config", "core.fsmonitor", str(canary))
    (inner / "a.py").write_text("2")
    return [["status"]]


SILENT = (_pager,)
"""What even plain git runs on a terminal only."""

HARMLESS_HERE = (_submodule,)
"""It is the inner repository's configuration, which no command reads: writing is not refused."""

ARMS: tuple[Arm, ...] = (
    *(_fsmonitor, _clean, _smudge, _process, _include, _worktree_config, _textconv, _external_diff, _driver_command),
    *(_gpg_sign, _gpg_show, _hooks, _hooks_path, _trailer, _editor, _pager, _alias, _credential, _ssh, _lazy_fetch),
    _submodule,
)


def use_everything(root: Path, trust: TrustFile) -> list[StoreError]:
    """Every operation there is, on every kind of file; what was refused."""
    repo = GitRepo(root, trust)
    (root / "a.py").write_text("2\n")
    (root / "new.py").write_text("n\n")
    touch(root / "a.py")
    refused: list[StoreError] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except StoreError as error:
            refused.append(error)

    repo.status()
    attempt(lambda: repo.log())
    attempt(lambda: repo.log("a.py"))
    attempt(lambda: repo.diff("a.py"))
    attempt(lambda: repo.diff("new.py"))
    sha = repo.status().head
    assert sha is not None
    attempt(lambda: repo.commit_diff(sha))
    attempt(lambda: repo.commit_diff(sha, "a.py"))
    attempt(lambda: repo.text_at(sha, "a.py"))
    attempt(lambda: GitChanges(repo).stage(["a.py", "new.py"]))
    attempt(lambda: repo.diff("a.py", staged=True))
    attempt(lambda: GitChanges(repo).unstage(["new.py"]))
    attempt(lambda: GitChanges(repo).commit("hello\n\nGatewright-Uid: 0 (root)\n", ADA))
    repo.programs()
    return refused


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.__name__.strip("_"))
def test_nothing_that_a_repository_names_is_run(root: Path, canary: Canary, trust: TrustFile, arm: Arm) -> None:
    control = arm(root, canary)
    canary.sang()
    refused = use_everything(root, trust)
    assert not canary.sang()
    untrusted = [error for error in refused if isinstance(error, Untrusted)]
    assert len(untrusted) == (0 if arm in HARMLESS_HERE else 3), "stage, unstage and commit are refused"
    (root / "a.py").write_text("3\n")
    touch(root / "a.py")
    for command in control:
        git(root, *command, text="protocol=https\nhost=x\n", check=False)
    assert canary.sang() or arm in SILENT, "plain git does not run it either: this test proves nothing"


def test_everything_at_once(root: Path, canary: Canary, trust: TrustFile) -> None:
    for arm in (_fsmonitor, _clean, _hooks, _textconv, _driver_command, _gpg_sign, _trailer, _alias, _credential, _ssh):
        arm(root, canary)
    git(root, "config", "diff.external", str(canary))
    canary.sang()
    for error in use_everything(root, trust):
        if isinstance(error, Untrusted):
            assert error.hint == "Look at what it names, then trust it: gatewright git trust"
    assert not canary.sang()
    status = GitRepo(root).status()
    assert status.problem is None, "it is still read"
    assert "a.py" in [file.path for file in status.files]


def test_an_ordinary_repository_needs_no_trust(root: Path, trust: TrustFile) -> None:
    for key, value in {
        "user.name": "x",
        "user.email": "x@y",
        "remote.origin.url": "git@host:x.git",
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
        "branch.main.remote": "origin",
        "branch.main.merge": "refs/heads/main",
        "core.autocrlf": "input",
        "pull.rebase": "true",
    }.items():
        git(root, "config", key, value)
    (root / ".git/hooks").mkdir(exist_ok=True)
    (root / ".git/hooks/pre-commit.sample").write_text("#!/bin/sh\nexit 1\n")
    (root / ".git/hooks/not-executable").write_text("x")
    assert GitRepo(root, trust).programs().found == ()
    assert use_everything(root, trust) == []


def trusted(root: Path, trust: TrustFile) -> None:
    found = GitRepo(root, trust).programs()
    trust.trust(found.git_folder, found.fingerprint, os.geteuid())


def test_after_trust_filters_and_hooks_run_and_nothing_else(root: Path, canary: Canary, trust: TrustFile) -> None:
    for arm in (_fsmonitor, _textconv, _external_diff, _gpg_sign, _ssh, _credential, _alias, _editor, _trailer):
        arm(root, canary)
    trusted(root, trust)
    canary.sang()
    assert use_everything(root, trust) == []
    assert not canary.sang()
    marks = root.parent / "marks"
    git(root, "config", "filter.up.clean", f"tee -a {marks} | tr a-z A-Z")
    (root / ".gitattributes").write_text("*.txt filter=up\n")
    (root / ".git/hooks").mkdir(exist_ok=True)
    hook = root / ".git/hooks/pre-commit"
    hook.write_text(f"#!/bin/sh\necho hook >> {marks}\n")
    hook.chmod(0o755)
    (root / "x.txt").write_text("upper")
    repo = GitRepo(root, trust)
    with pytest.raises(Untrusted, match="nobody has trusted it yet"):
        GitChanges(repo).stage(["x.txt"])
    assert not marks.exists()
    trusted(root, trust)
    GitChanges(repo).stage(["x.txt"])
    GitChanges(repo).commit("filtered", ADA)
    assert git(root, "show", "--no-ext-diff", "HEAD:x.txt") == "UPPER"
    assert "hook" in marks.read_text()
    touch(root / "x.txt")
    assert "x.txt" not in [file.path for file in repo.changed()], "with its filter the file is not changed"


def test_a_hook_that_refuses_is_heard(root: Path, trust: TrustFile) -> None:
    (root / ".git/hooks").mkdir()
    hook = root / ".git/hooks/commit-msg"
    hook.write_text("#!/bin/sh\necho 'say which ticket' >&2\nexit 1\n")
    hook.chmod(0o755)
    trusted(root, trust)
    head = GitRepo(root).status().head
    (root / "a.py").write_text("2")
    changes = GitChanges(GitRepo(root, trust))
    changes.stage(["a.py"])
    with pytest.raises(StoreError, match="say which ticket"):
        changes.commit("x", ADA)
    assert GitRepo(root).status().head == head


def _another_value(root: Path) -> None:
    git(root, "config", "filter.f.clean", "cat -A")


def _another_hook(root: Path) -> None:
    (root / ".git/hooks/pre-commit").write_text("#!/bin/sh\nexit 1\n")


def _hook_may_run(root: Path) -> None:
    (root / ".git/hooks/idle").chmod(0o755)


def _info_attributes(root: Path) -> None:
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/attributes").write_text("* filter=f\n")


def _copied(root: Path) -> None:
    os.rename(root / ".git", root / ".git-old")
    git(root, "init", "-q", "--template=")
    for name in ("config", "hooks"):
        os.rename(root / ".git-old" / name, root / ".git" / name) if name == "hooks" else (
            root / ".git/config"
        ).write_bytes((root / ".git-old/config").read_bytes())


@pytest.mark.parametrize("change", [_another_value, _another_hook, _hook_may_run, _info_attributes, _copied])
def test_trust_ends_with_any_change_of_what_was_seen(
    root: Path, trust: TrustFile, change: Callable[[Path], None]
) -> None:
    git(root, "config", "filter.f.clean", "cat")
    (root / ".git/hooks").mkdir(exist_ok=True)
    for name, mode in (("pre-commit", 0o755), ("idle", 0o644)):
        (root / ".git/hooks" / name).write_text("#!/bin/sh\n")
        (root / ".git/hooks" / name).chmod(mode)
    trusted(root, trust)
    repo = GitRepo(root, trust)
    (root / "a.py").write_text("2")
    GitChanges(repo).stage(["a.py"])
    git(root, "config", "user.name", "somebody")
    assert repo.is_trusted(repo.programs()), "a harmless setting changes nothing"
    change(root)
    assert not repo.is_trusted(repo.programs())
    with pytest.raises(Untrusted):
        GitChanges(repo).unstage(["a.py"])


def test_trust_is_taken_back_and_garbage_is_no_trust(root: Path, trust: TrustFile, tmp_path: Path) -> None:
    git(root, "config", "filter.f.clean", "cat")
    trusted(root, trust)
    file = tmp_path / "private" / TRUST_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    repo = GitRepo(root, trust)
    found = repo.programs()
    assert repo.is_trusted(found)
    good = file.read_bytes()
    for garbage in (b"", b"\xff\0", b"[]", b"[" * 100_000, b'{"%s": 3}' % found.git_folder.encode()):
        file.write_bytes(garbage)
        assert not repo.is_trusted(found)
    file.write_bytes(good)
    trust.forget(found.git_folder)
    assert not repo.is_trusted(found)
    assert json.loads(file.read_bytes()) == {}


def test_what_it_names_is_told_without_running_it(root: Path, canary: Canary) -> None:
    for arm in (_clean, _hooks, _alias):
        arm(root, canary)
    found = {(one.kind, one.name) for one in programs(GitRepo(root).git).found}
    assert {("setting", "filter.Odd.name.clean"), ("hook", "pre-commit"), ("setting", "alias.hello")} <= found
    assert not canary.sang()


def test_hooks_without_measure_are_refused(root: Path) -> None:
    hooks = root / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    os.mkfifo(hooks / "pre-commit")
    assert GitRepo(root).programs().found == (), "a pipe is no hook, and nobody waits at it"
    (hooks / "big").write_bytes(b"x" * (5 << 20))
    with pytest.raises(StoreError, match="larger than 4 MiB"):
        GitRepo(root).programs()
    (hooks / "big").unlink()
    for number in range(100):
        (hooks / f"h{number}").touch()
    with pytest.raises(StoreError, match="hooks; git is not used to write"):
        GitRepo(root).programs()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *((os.symlink, name) for name in ("COMMIT_EDITMSG", "logs/HEAD", "index")),
        *((os.link, name) for name in ("COMMIT_EDITMSG", "logs/HEAD")),
    ],
)
def test_nothing_is_written_through_a_link_in_the_git_folder(
    root: Path, tmp_path: Path, trust: TrustFile, name: str, make: Callable[[Path, Path], None]
) -> None:
    link = root / ".git" / name
    victim = tmp_path / "victim"
    victim.write_bytes(link.read_bytes() if link.exists() else b"precious")
    before = victim.read_bytes()
    link.unlink(missing_ok=True)
    make(victim, link)
    repo = GitRepo(root, trust)
    assert [(one.kind, one.name) for one in repo.programs().found] == [("place", name)]
    refused = use_everything(root, trust)
    assert sum(isinstance(error, Untrusted) for error in refused) == 3
    assert victim.read_bytes() == before


def test_plain_git_writes_through_such_a_link(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (root / ".git/COMMIT_EDITMSG").unlink()
    (root / ".git/COMMIT_EDITMSG").symlink_to(victim)
    git(root, "commit", "-q", "--allow-empty", "-m", "overwritten")
    assert "overwritten" in victim.read_text()


def test_a_git_folder_whose_content_is_elsewhere_needs_trust(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (root / ".git/commondir").write_text(str(other / ".git"))
    found = GitRepo(root).programs().found
    assert [(one.kind, one.name) for one in found] == [("place", ".git")]
    os.unlink(root / ".git/commondir")
    os.rename(root / ".git", tmp_path / "moved")
    (root / ".git").symlink_to(tmp_path / "moved")
    assert [(one.kind, one.name) for one in GitRepo(root).programs().found] == [("place", ".git")]


def test_a_repository_cannot_point_elsewhere(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/token.py").write_text("x")
    git(root, "config", "core.worktree", str(tmp_path / "secrets"))
    with contextlib.suppress(StoreError):
        GitChanges(GitRepo(root)).stage(["token.py"])
    assert git(root, "ls-files").split() == ["a.py"]


def test_gitpython_runs_no_git_of_whoever_started_us(root: Path, canary: Canary, tmp_path: Path) -> None:
    """Its first import asks the git that the environment names for its version, in that environment."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(canary.program)
    program = (
        "import os, sys; from pathlib import Path; from store.git.repository import _open_repository;"
        "before = dict(os.environ); repository = _open_repository(Path(sys.argv[1]));"
        "print(repository.active_branch.name, dict(os.environ) == before)"
    )
    for named in ({}, {"GIT_PYTHON_GIT_EXECUTABLE": str(canary), "GIT_PYTHON_REFRESH": "raise"}):
        environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **named}
        command = [sys.executable, "-c", program, str(root)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.split() == [git(root, "branch", "--show-current").strip(), "True"]
        assert not canary.sang()
