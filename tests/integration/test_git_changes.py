"""Staging, unstaging, committing, differences and old texts, in real repositories of every state."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_support import wait_for
from git_kit import commit, git

from store.errors import BadName, NotFound, StoreError
from store.git.changes import Author, GitChanges, NothingStaged
from store.git.command import GitLocked
from store.git.process import GitStopped
from store.git.repository import MAX_DIFF, ChangedFile, GitRepo

ADA = Author("Ada Lovelace", "ada@plant.example")
SECONDS = str(1_000_000 + os.getpid())
"""For a sleep that is nobody else's."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "plant"
    root.mkdir()
    GitRepo(root).init()
    return root


def changes(root: Path) -> GitChanges:
    return GitChanges(GitRepo(root))


def letters(root: Path) -> dict[str, str]:
    return {file.path: file.index + file.worktree for file in GitRepo(root).changed()}


def test_staging_and_unstaging_before_the_first_commit(root: Path) -> None:
    (root / "scripts").mkdir()
    (root / "scripts/a.py").write_text("1")
    (root / "b.py").write_text("1")
    changes(root).stage(["scripts/a.py", "b.py"])
    assert letters(root) == {"scripts/a.py": "A ", "b.py": "A "}
    changes(root).unstage(["b.py"])
    assert letters(root) == {"scripts/a.py": "A ", "b.py": "??"}
    made = changes(root).commit("first\n\nbody\n", ADA)
    assert (made.subject, made.author) == ("first", "Ada Lovelace")
    assert GitRepo(root).status().head == made.sha
    assert git(root, "log", "-1", "--format=%an <%ae> %cn <%ce>|%B").strip() == (
        "Ada Lovelace <ada@plant.example> Ada Lovelace <ada@plant.example>|first\n\nbody"
    )
    assert letters(root) == {"b.py": "??"}


def test_every_kind_of_change_is_staged_and_unstaged(root: Path) -> None:
    commit(root, "one", edited="1", gone="1", renamed="1", was_file="1")
    (root / "edited.py").write_text("2")
    (root / "gone.py").unlink()
    (root / "renamed.py").rename(root / "new name.py")
    (root / "was_file.py").unlink()
    (root / "was_file.py").mkdir()
    (root / "was_file.py/inside.py").write_text("1")
    (root / "link.py").symlink_to("edited.py")
    changed = letters(root)
    changes(root).stage(list(changed))
    assert letters(root) == {
        "edited.py": "M ",
        "gone.py": "D ",
        "renamed.py": "D ",
        "new name.py": "A ",
        "was_file.py": "D ",
        "was_file.py/inside.py": "A ",
        "link.py": "A ",
    }
    changes(root).unstage(list(changed))
    assert letters(root) == changed
    assert (root / "edited.py").read_text() == "2", "unstaging touches no file"


def test_a_folder_stands_for_what_changed_in_it(root: Path) -> None:
    for name in ("scripts/a.py", "scripts/deep/b.py", "scripts2/c.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    changes(root).stage(["scripts/"])
    assert letters(root) == {"scripts/a.py": "A ", "scripts/deep/b.py": "A ", "scripts2/c.py": "??"}
    changes(root).unstage(["scripts/deep"])
    assert letters(root)["scripts/deep/b.py"] == "??"


def test_half_of_a_change_is_committed_and_the_rest_stays(root: Path) -> None:
    commit(root, "one", a="1")
    (root / "a.py").write_text("2")
    changes(root).stage(["a.py"])
    (root / "a.py").write_text("3")
    assert letters(root) == {"a.py": "MM"}
    changes(root).commit("two", ADA)
    assert git(root, "show", "HEAD:a.py") == "2"
    assert letters(root) == {"a.py": " M"}


@pytest.mark.parametrize(
    "name",
    [b"line\nbreak.py", b"caf\xe9.py", b"\x1b[2J\x1b]0;x\x07.py", b"--output=x.py", b":(glob)*.py", b"*.py", b" a .py",
     b"back\\slash.py", b"\xe2\x80\xae.py", b'quote"d.py'],
)  # fmt: skip
def test_odd_names_are_staged_shown_committed_and_read(root: Path, name: bytes) -> None:
    commit(root, "one", other="1")
    (root / "other.py").write_text("2")
    with open(os.path.join(os.fsencode(root), name), "wb") as file:
        file.write(b"odd\n")
    shown = next(file.path for file in GitRepo(root).changed() if file.index == "?")
    assert "+odd" in GitRepo(root).diff(shown).text
    changes(root).stage([shown])
    assert letters(root) == {shown: "A ", "other.py": " M"}
    assert "+odd" in GitRepo(root).diff(shown, staged=True).text
    changes(root).unstage([shown])
    assert letters(root)[shown] == "??"
    changes(root).stage([shown])
    made = changes(root).commit("odd", ADA)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout.split(b"\0")
    assert name in listed
    assert letters(root) == {"other.py": " M"}
    assert "odd" in GitRepo(root).commit_diff(made.sha).text


def test_a_shown_name_that_could_be_two_files_is_refused(root: Path) -> None:
    for name in (b"caf\xe9.py", b"caf\\xe9.py"):
        with open(os.path.join(os.fsencode(root), name), "wb"):
            pass
    with pytest.raises(BadName, match="More than one file is shown as"):
        changes(root).stage(["caf\\xe9.py"])
    assert set(letters(root).values()) == {"??"}


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "", ".", "a//b", ".git/config", "a/.GIT/x", "a\0b"]
)
def test_paths_outside_the_repository_are_refused(root: Path, path: str) -> None:
    for use in (changes(root).stage, changes(root).unstage):
        with pytest.raises(BadName):
            use([path])
    with pytest.raises(BadName):
        GitRepo(root).diff(path)
    sha = commit(root, "one", a="1")
    with pytest.raises(BadName):
        GitRepo(root).text_at(sha, path)
    assert letters(root) == {}


def test_nothing_beyond_a_link_is_staged_or_shown(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for name in ("token.py", "null"):
        (tmp_path / "secrets" / name).write_text("secret")
    (root / "way").symlink_to(tmp_path / "secrets")
    with pytest.raises(StoreError):
        changes(root).stage(["way/token.py"])
    assert GitRepo(root).diff("way").text.endswith(f"+{tmp_path}/secrets\n\\ No newline at end of file\n")
    for path in ("way", "way/token.py", "way/null"):
        assert "secret\n" not in GitRepo(root).diff(path).text


def test_a_new_file_of_any_content_is_shown(root: Path) -> None:
    for name, data, expected in (
        ("empty", b"", "new file\n"),
        ("open", b"a\nb", "@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n"),
        ("binary", b"\x7fELF\0\1", "Binary file b/binary\n"),
        ("latin", b"caf\xe9\n", "+caf\\xe9\n"),
    ):
        (root / name).write_bytes(data)
        assert GitRepo(root).diff(name).text.endswith(expected)
    (root / "big").write_bytes(b"a line of text\n" * (MAX_DIFF // 8))
    found = GitRepo(root).diff("big")
    assert found.cut
    assert found.text.endswith("\n+a line of text\n")


def test_what_did_not_change_is_no_change(root: Path) -> None:
    commit(root, "one", a="1")
    with pytest.raises(NotFound, match=r"Nothing changed at a\.py"):
        changes(root).stage(["a.py"])
    with pytest.raises(NotFound, match=r"Nothing is staged at a\.py"):
        changes(root).unstage(["a.py"])
    with pytest.raises(NothingStaged):
        changes(root).commit("nothing", ADA)
    (root / "a.py").write_text("2")
    with pytest.raises(NothingStaged):
        changes(root).commit("nothing is staged", ADA)


@pytest.mark.parametrize("author", [Author("", "a@b"), Author("a\nb", "a@b"), Author("a", "<a@b>"), Author("a", "")])
def test_an_author_cannot_write_into_the_commit(root: Path, author: Author) -> None:
    (root / "a.py").write_text("1")
    changes(root).stage(["a.py"])
    with pytest.raises(BadName):
        changes(root).commit("x", author)


def test_a_message_is_stored_as_it_is(root: Path) -> None:
    (root / "a.py").write_text("1")
    changes(root).stage(["a.py"])
    changes(root).commit("# not a comment\n\n--amend\nUmlaut ü\n", ADA)
    assert git(root, "log", "-1", "--format=%B").strip() == "# not a comment\n\n--amend\nUmlaut ü"


def test_differences_of_files(root: Path) -> None:
    commit(root, "one", a="1\n", gone="1\n")
    (root / "a.py").write_text("2\n")
    changes(root).stage(["a.py"])
    (root / "a.py").write_text("3\n")
    (root / "gone.py").unlink()
    (root / "new.py").write_text("n\n")
    repo = GitRepo(root)
    assert "-2\n+3\n" in repo.diff("a.py").text
    assert "-1\n+2\n" in repo.diff("a.py", staged=True).text
    assert "deleted file" in repo.diff("gone.py").text
    assert repo.diff("new.py").text == (
        "diff --git a/new.py b/new.py\nnew file\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+n\n"
    )
    assert repo.diff("nothing.py").text == ""


def test_the_repositorys_taste_does_not_change_a_difference(root: Path) -> None:
    commit(root, "one", a="1\n")
    (root / "a.py").write_text("2\n")
    plain = GitRepo(root).diff("a.py").text
    settings = {
        "color.ui": "always",
        "color.diff": "always",
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.wordRegex": ".",
        "diff.context": "0",
        "diff.relative": "true",
        "diff.colorMoved": "zebra",
    }
    for key, value in settings.items():
        git(root, "config", key, value)
    assert GitRepo(root).diff("a.py").text == plain
    sha = git(root, "rev-parse", "HEAD").strip()
    assert "\x1b" not in GitRepo(root).commit_diff(sha).text


def test_a_huge_difference_is_cut_at_a_line(root: Path) -> None:
    commit(root, "one", a="1\n")
    (root / "a.py").write_text("a line of text\n" * (MAX_DIFF // 8))
    found = GitRepo(root).diff("a.py")
    assert found.cut
    assert MAX_DIFF - 100 < len(found.text) <= MAX_DIFF
    assert found.text.endswith("+a line of text\n")


def test_differences_of_commits(root: Path) -> None:
    first = commit(root, "one", a="1\n", b="1\n")
    second = commit(root, "two", a="2\n", b="2\n")
    repo = GitRepo(root)
    assert "new file" in repo.commit_diff(first).text
    assert "b.py" in repo.commit_diff(second).text
    assert "b.py" not in repo.commit_diff(second, "a.py").text
    assert repo.commit_diff(second[:10]).text == repo.commit_diff(second).text
    git(root, "tag", "v1.0", first)
    git(root, "branch", "feature/one", first)
    for name in ("v1.0", "feature/one", "HEAD~1", second + "^", "main^"):
        assert repo.commit_diff(name).text == repo.commit_diff(first).text
        assert [one.sha for one in repo.log(start=name)] == [first]
    for bad in ("--output=x", f"{first}..{second}", "", "HEAD:a.py", ":/two", "HEAD@{1}", "HEAD^{tree}", "main\n"):
        with pytest.raises(BadName, match="names no commit"):
            repo.commit_diff(bad)
    with pytest.raises(NotFound, match="There is no commit, branch or tag abc"):
        repo.commit_diff("abc")
    with pytest.raises(NotFound, match="There is no commit 0000000000"):
        repo.commit_diff("0" * 40)
    blob = git(root, "rev-parse", "HEAD:a.py").strip()
    with pytest.raises(NotFound):
        repo.commit_diff(blob)


def test_old_texts(root: Path) -> None:
    (root / "scripts").mkdir()
    (root / "scripts/a.py").write_text("one\r\n")
    (root / "scripts/link.py").symlink_to("/etc/passwd")
    first = commit(root, "one")
    (root / "scripts/a.py").write_text("two\n")
    (root / "scripts/big.py").write_bytes(b"x" * (2 << 20))
    (root / "scripts/lfs.py").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    second = commit(root, "two")
    repo = GitRepo(root)
    assert repo.text_at(first, "scripts/a.py") == b"one\r\n"
    assert repo.text_at(second[:7], "scripts/a.py") == b"two\n"
    for sha, path, words in (
        (first, "scripts/none.py", "has no file"),
        (first, "scripts/link.py", "not an ordinary file"),
        (first, "scripts", "not an ordinary file"),
        (second, "scripts/big.py", "larger than 1 MiB"),
        (second, "scripts/lfs.py", "git LFS"),
    ):
        with pytest.raises(StoreError, match=words):
            repo.text_at(sha, path)


def merge_with_conflict(root: Path) -> None:
    commit(root, "one", a="1\n")
    git(root, "checkout", "-q", "-b", "other")
    commit(root, "theirs", a="2\n", b="2\n")
    git(root, "checkout", "-q", "main")
    commit(root, "ours", a="3\n")
    git(root, "merge", "other", check=False)


def test_a_merge_is_ended_after_its_conflicts_are_solved(root: Path) -> None:
    merge_with_conflict(root)
    status = GitRepo(root).status()
    assert status.under_way == "merge"
    assert ChangedFile("a.py", "U", "U") in status.files
    with pytest.raises(StoreError, match=r"There are conflicts in a\.py"):
        changes(root).commit("merge", ADA)
    with pytest.raises(StoreError, match=r"a\.py still has the marks of its conflict"):
        changes(root).stage(["a.py"])
    (root / "a.py").write_text("2 and 3\n")
    changes(root).stage(["a.py"])
    made = changes(root).commit("merge", ADA)
    assert len(git(root, "log", "-1", "--format=%P").split()) == 2
    assert GitRepo(root).status().under_way is None
    shown = GitRepo(root).commit_diff(made.sha).text
    assert "b.py" in shown
    assert shown.count("diff --git") == 2, "against the first parent only"


def test_a_conflict_is_solved_by_removing_the_file(root: Path) -> None:
    merge_with_conflict(root)
    (root / "a.py").unlink()
    changes(root).stage(["a.py"])
    assert letters(root)["a.py"] == "D "


@pytest.mark.parametrize("what", ["cherry-pick", "rebase", "revert"])
def test_what_else_is_under_way_is_not_ended_by_a_commit(root: Path, what: str) -> None:
    merge_with_conflict(root)
    git(root, "merge", "--abort")
    if what == "revert":
        git(root, "revert", "--no-edit", "HEAD~1", check=False)
    else:
        git(root, what, "other", check=False)
    assert GitRepo(root).status().under_way == what
    (root / "a.py").write_text("x\n")
    changes(root).stage(["a.py"])
    with pytest.raises(StoreError, match=f"A {what} is under way"):
        changes(root).commit("x", ADA)


def test_a_detached_head_takes_commits(root: Path) -> None:
    sha = commit(root, "one", a="1")
    git(root, "checkout", "-q", sha)
    (root / "a.py").write_text("2")
    changes(root).stage(["a.py"])
    made = changes(root).commit("two", ADA)
    status = GitRepo(root).status()
    assert (status.branch, status.head) == (None, made.sha)
    assert git(root, "rev-parse", "main").strip() == sha


def test_a_worktree_and_a_submodule_write_elsewhere_and_need_trust(root: Path, tmp_path: Path) -> None:
    commit(root, "one", a="1")
    tree = tmp_path / "tree"
    git(root, "worktree", "add", "-q", str(tree))
    (tree / "a.py").write_text("2")
    assert GitRepo(tree).status().branch == "tree"
    assert letters(tree) == {"a.py": " M"}
    with pytest.raises(StoreError, match=r"place \.git\)"):
        changes(tree).stage(["a.py"])
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(root), "inner")
    (outer / "inner/a.py").write_text("2")
    with pytest.raises(StoreError, match=r"place \.git\)"):
        changes(outer / "inner").stage(["a.py"])
    (outer / "x.py").write_text("1")
    changes(outer).stage(["x.py"])
    assert letters(outer) == {".gitmodules": "A ", "inner": "A ", "x.py": "A "}


def test_a_repository_inside_is_not_staged(root: Path) -> None:
    (root / "inner").mkdir()
    git(root / "inner", "init", "-q")
    commit(root / "inner", "one", a="1")
    (name,) = letters(root)
    with pytest.raises(StoreError, match="is a folder"):
        GitRepo(root).diff(name)
    with pytest.raises(StoreError, match="a repository of its own"):
        changes(root).stage(["inner"])


def test_a_bare_repository_is_not_written_to(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare")
    with pytest.raises(StoreError, match="bare repository"):
        changes(tmp_path / "bare").stage(["a.py"])


def test_a_lock_left_behind_is_a_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.git.command.LOCK_PATIENCE", 0.2)
    commit(root, "one", a="1")
    (root / "a.py").write_text("2")
    lock = root / ".git/index.lock"
    lock.touch()
    with pytest.raises(GitLocked) as refused:
        changes(root).stage(["a.py"])
    assert refused.value.sentence == f"Another git is at work in the repository: it holds {lock}."
    assert refused.value.hint == "Wait until it is done, then try again."
    old = time.time() - 3600
    os.utime(lock, (old, old))
    with pytest.raises(GitLocked) as refused:
        changes(root).unstage(["a.py"]) if letters(root)["a.py"] == "M " else changes(root).stage(["a.py"])
    assert refused.value.sentence == f"The repository is locked by {lock}, which is 60 minutes old."
    assert refused.value.hint == f"If no git is at work there any more, remove it: rm '{lock}'"
    assert letters(root) == {"a.py": " M"}, "reading goes on"
    assert lock.exists(), "nobody but a person removes it"


def test_a_lock_that_goes_away_in_time_is_waited_for(root: Path) -> None:
    commit(root, "one", a="1")
    (root / "a.py").write_text("2")
    lock = root / ".git/index.lock"
    lock.touch()
    threading.Timer(0.5, lock.unlink).start()
    changes(root).stage(["a.py"])
    assert letters(root) == {"a.py": "M "}


OUTSIDER = """
import subprocess, sys
for number in range(12):
    done = subprocess.run(["git", "-c", "user.name=o", "-c", "user.email=o@x", "commit", "-q", "--allow-empty",
                           "-m", f"outside {number}"], capture_output=True)
    print(done.returncode)
"""


def test_commits_from_outside_at_the_same_time_lose_nothing(root: Path) -> None:
    commit(root, "one", a="0")
    outsider = subprocess.Popen([sys.executable, "-c", OUTSIDER], cwd=root, stdout=subprocess.PIPE, text=True)
    ours, refusals = [], []
    for number in range(1, 6):
        (root / "a.py").write_text(str(number))
        try:
            changes(root).stage(["a.py"])
            made = changes(root).commit(f"ours {number}", ADA)
        except StoreError as refused:
            refusals.append(refused.sentence)
        else:
            assert made.subject == f"ours {number}"
            ours.append(made.sha)
    out, _ = outsider.communicate(timeout=60)
    theirs = out.split().count("0")
    for sentence in refusals:  # the others' commit took along what was staged, or moved HEAD just then
        assert any(words in sentence for words in ("Nothing is staged", "at work", "cannot lock ref"))
    log = GitRepo(root).log(limit=200)
    assert [entry.sha for entry in log if entry.subject.startswith("ours")] == ours[::-1]
    assert sum(entry.subject.startswith("outside") for entry in log) == theirs
    git(root, "fsck", "--strict")


def test_a_command_is_stopped_from_another_thread(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(
        f"#!/bin/sh\n[ $1 = version ] && echo git version 2.39 && exit\nsleep {SECONDS} &\nwait\n"
    )
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(GitStopped):
        GitRepo(root, stop=stop).git.run(["status"])
    assert time.monotonic() - begun < 20
    wait_for(lambda: not any(SECONDS.encode() in command for command in command_lines()))


def command_lines() -> Iterator[bytes]:
    """Yield the arguments of every process; one that has just ended has none."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield entry.read_bytes()


def test_an_old_git_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text("#!/bin/sh\necho git version 2.25.1\n")
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    assert GitRepo(root).status().problem == "git 2.25 is too old to be used safely."
