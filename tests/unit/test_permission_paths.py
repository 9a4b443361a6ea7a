"""Declared permissions: read from the frontmatter, judged, and opened without following a link."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ordinary_user import own_folder, run_as_ordinary_user

from engine.models.permissions import Access, Grant
from engine.sandbox.grants import OpenedGrant
from engine.sandbox.permissions import MAX_ASKED, BadPermissions, PathChanged, asked, judge, never_granted, open_grant
from engine.sandbox.places import ProtectedPath, host_places
from engine.sandbox.protected import ProtectedPaths

NOTHING = ProtectedPaths([])


def read(path: object) -> Grant:
    return Grant(access=Access.READ, path=str(path))


def write(path: object) -> Grant:
    return Grant(access=Access.WRITE, path=str(path))


def test_what_is_asked_keeps_its_order_and_comes_once() -> None:
    table = {"write": ["/c", "/c"], "read": ["/b", "/a", "/b"]}
    assert asked(table) == [read("/b"), read("/a"), write("/c")]
    assert asked({}) == []
    assert asked({"read": [f"/{number}" for number in range(MAX_ASKED)]})


def test_secrets_and_the_assistant_are_asked_for_like_paths_and_lead_nowhere() -> None:
    table = {"assistant": True, "secrets": ["b", "a", "b"], "read": ["/a"]}
    wanted = [
        read("/a"),
        *(Grant(access=Access.SECRET, path=name) for name in "ba"),
        Grant(access=Access.ASK, path="assistant"),
    ]
    assert asked(table) == wanted
    assert asked({"assistant": False, "secrets": []}) == []
    assert [judge(grant, ProtectedPaths([])).grant for grant in wanted[1:]] == wanted[1:]
    for name in ("", "1a", "a b", "a/b", "../x", "a\n", "ü", "x" * 65, "/etc/passwd"):
        grant = Grant(access=Access.SECRET, path=name)
        judged = judge(grant, ProtectedPaths([]))
        assert judged.canonical is None
        assert "is no name of a secret" in (judged.problem or "")
        assert never_granted(grant, ProtectedPaths([])) == judged.problem


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"connect": ["host:1"]}, '"connect"; there are read, write, secrets, assistant'),
        ({"secret": ["a"]}, '"secret"; there are'),
        ({"secrets": "a"}, "permissions.secrets must be a list of names"),
        ({"secrets": ["a", 1]}, "permissions.secrets must be a list of names"),
        ({"assistant": "yes"}, "permissions.assistant must be true or false"),
        ({"assistant": ["x"]}, "permissions.assistant must be true or false"),
        ({"secrets": [f"s{n}" for n in range(16)], "assistant": True}, "17 permissions; 16"),
        ({"Read": ["/a"]}, '"Read"'),
        ({"re\x1bad": ["/a"]}, "\\x1b"),
        ({"read": "/a"}, "permissions.read must be a list"),
        ({"read": ["/a", 1]}, "permissions.read must be a list"),
        ({"write": [["/a"]]}, "permissions.write must be a list"),
        ({"write": True}, "permissions.write must be a list"),
        ({"read": {"path": "/a"}}, "permissions.read must be a list"),
        ({"read": [f"/{n}" for n in range(9)], "write": [f"/{n}" for n in range(9)]}, "18 permissions; 16"),
    ],
)
def test_a_table_that_cannot_be_understood(table: dict[str, Any], said: str) -> None:
    with pytest.raises(BadPermissions) as caught:
        asked(table)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder and a file, and everything that is neither."""
    (tmp_path / "logs" / "inner").mkdir(parents=True)
    (tmp_path / "logs" / "a.log").write_text("a")
    (tmp_path / "logs" / "*.log").write_text("a star")
    os.mkfifo(tmp_path / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "sock"))
    listening.close()
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "to pipe").symlink_to(tmp_path / "pipe")
    (tmp_path / "twice").write_text("x")
    os.link(tmp_path / "twice", tmp_path / "again")
    (tmp_path / "bad\nname").mkdir()
    (tmp_path / "to bad").symlink_to(tmp_path / "bad\nname")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "empty"),
        ("{}/none", "does not exist; make it"),
        ("{}/dangling", "does not exist"),
        ("{}/logs/b*.log", "wildcards are taken as they stand"),
        ("{}/round", "circles"),
        ("{}/logs/a.log/x", "goes on after a file"),
        ("{}/sock", "is a socket"),
        ("{}/pipe", "is a pipe"),
        ("{}/to pipe", "is a pipe"),
        ("/dev/null", "is a device"),
        ("{}/twice", "2 names"),
        ("{}/logs/../logs", '".."'),
        ("/..", '".."'),
        ("{}/bad\nname", "U+000A"),
        ("{}/to bad", "U+000A"),
        ("{}/lo\0gs", "U+0000"),
        ("{}/lo\x1b[2Jgs", "U+001B"),
        ("{}/lo\u202egs", "U+202E"),
        ("logs", "not absolute"),
        ("./logs", "not absolute"),
        ("~/logs", "not absolute"),
        (" {}/logs", "not absolute"),
        ("{}/logs ", "does not exist"),
        ("/" + "x/" * 3000, "longer than"),
        ("/" + "x" * 300, "cannot be examined: File name too long"),
    ],
)
def test_a_path_that_cannot_be_granted_gets_one_harmless_sentence(tree: Path, path: str, said: str) -> None:
    for grant in (read(path.replace("{}", str(tree))), write(path.replace("{}", str(tree)))):
        judged = judge(grant, NOTHING)
        assert judged.canonical is None
        assert judged.problem is not None
        assert said in judged.problem
        assert judged.problem.isprintable()
        assert len(judged.problem) < 400


def test_what_can_be_granted(tree: Path) -> None:
    folder, file = judge(read(tree / "logs"), NOTHING), judge(write(tree / "logs" / "a.log"), NOTHING)
    assert (folder.canonical, folder.folder, folder.problem, folder.note) == (str(tree / "logs"), True, None, None)
    assert (file.canonical, file.folder, file.problem) == (str(tree / "logs" / "a.log"), False, None)
    assert file.note is not None
    assert "rotated" in file.note
    assert "fill the disk" in file.note
    assert "fill the disk" in (judge(write(tree / "logs"), NOTHING).note or "")
    assert judge(read(tree / "logs" / "*.log"), NOTHING).canonical == str(tree / "logs" / "*.log")
    for written in (f"{tree}/link", f"{tree}//./logs/", f"//{str(tree)[1:]}/logs"):
        assert judge(read(written), NOTHING).canonical == str(tree / "logs"), written


def test_protection_is_judged_where_the_path_leads(tree: Path) -> None:
    protected = ProtectedPaths([ProtectedPath(str(tree / "logs"), "a secret")])
    for path in ("link", "link/inner", "logs/a.log", "logs", "."):
        judged = judge(read(tree / path), protected)
        assert judged.problem is not None, path
        assert "never granted" in judged.problem
    assert f'leads to "{tree}/logs", which is' in (judge(read(tree / "link"), protected).problem or "")


@pytest.mark.parametrize("path", ["/", "//", "/.", "/proc/self/root", "/etc", "/proc/self/fd", "/dev", "/run", "/var"])
def test_the_host_itself_is_never_granted(tmp_path: Path, path: str) -> None:
    protected = ProtectedPaths(host_places(tmp_path / "plant", Path(sys.executable)))
    for grant in (read(path), write(path)):
        assert "never granted" in (judge(grant, protected).problem or ""), grant


@given(st.text(max_size=60))
def test_no_text_makes_judging_fail(text: str) -> None:
    for path in (text, "/" + text):
        judged = judge(read(path), NOTHING)
        assert (judged.canonical is None) == (judged.problem is not None)
        assert judged.problem is None or judged.problem.isprintable()


def open_(path: Path, *, folder: bool = True, protected: ProtectedPaths = NOTHING) -> OpenedGrant:
    return open_grant(read(path), protected, folder=folder)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_opening_tells_what_is_there_and_leaves_nothing_open(tree: Path) -> None:
    before = open_descriptors()
    for path, folder in ((tree / "logs", True), (tree / "logs" / "a.log", False)):
        found = path.stat()
        assert open_(path, folder=folder) == OpenedGrant(Access.READ, str(path), found.st_dev, found.st_ino, folder)
    assert open_descriptors() == before


def swap_last(tree: Path) -> None:
    (tree / "logs" / "inner").rmdir()
    (tree / "logs" / "inner").symlink_to("/etc")


def swap_component(tree: Path) -> None:
    (tree / "logs").rename(tree / "moved")
    (tree / "logs").symlink_to(tree / "moved")


def swap_for_file(tree: Path) -> None:
    (tree / "logs" / "inner").rmdir()
    (tree / "logs" / "inner").write_text("x")


def swap_for_pipe(tree: Path) -> None:
    (tree / "logs" / "inner").rmdir()
    os.mkfifo(tree / "logs" / "inner")


def swap_component_for_file(tree: Path) -> None:
    (tree / "logs").rename(tree / "moved")
    (tree / "logs").write_text("x")


def remove(tree: Path) -> None:
    (tree / "logs" / "inner").rmdir()


@pytest.mark.parametrize(
    ("swap", "said"),
    [
        (swap_last, "is a symbolic link now"),
        (swap_component, "is a link or a file now"),
        (swap_for_file, "was a folder and is an ordinary file now"),
        (swap_for_pipe, "was a folder and is a pipe now"),
        (swap_component_for_file, "is a link or a file now"),
        (remove, "does not exist"),
    ],
)
def test_what_was_swapped_is_noticed_at_opening(tree: Path, swap: Callable[[Path], None], said: str) -> None:
    open_(tree / "logs" / "inner")
    swap(tree)
    before = open_descriptors()
    with pytest.raises(PathChanged, match=said):
        open_(tree / "logs" / "inner")
    assert open_descriptors() == before


def test_what_is_protected_is_not_told_to_be_missing(tree: Path) -> None:
    protected = ProtectedPaths([ProtectedPath(str(tree / "none"), "a secret")])
    for path in ("none", "none/such", "dangling"):
        assert "never granted" in (judge(read(tree / path), protected).problem or ""), path


def test_a_file_replaced_by_a_link_or_a_folder_is_noticed(tree: Path) -> None:
    file = tree / "logs" / "a.log"
    file.unlink()
    file.symlink_to("/etc/shadow")
    with pytest.raises(PathChanged, match="was a file and is a symbolic link now"):
        open_(file, folder=False)
    file.unlink()
    file.mkdir()
    with pytest.raises(PathChanged, match="was a file and is a folder now"):
        open_(file, folder=False)


def test_a_rotated_file_is_the_new_file(tree: Path) -> None:
    file = tree / "logs" / "a.log"
    before = open_(file, folder=False)
    file.rename(tree / "logs" / "a.log.1")
    file.write_text("b")
    assert open_(file, folder=False).inode != before.inode


def test_protection_is_judged_again_at_opening(tree: Path) -> None:
    protected = ProtectedPaths([ProtectedPath(str(tree / "logs" / "inner"), "a secret")])
    with pytest.raises(PathChanged, match="a secret"):
        open_(tree / "logs", protected=protected)


def test_an_account_grants_only_what_it_may_do_itself() -> None:
    with own_folder() as folder:
        closed, shut, fixed, file = (folder / name for name in ("closed", "shut", "fixed", "file"))
        for each in (closed, shut, fixed):
            each.mkdir()
        (shut / "inner").mkdir()
        file.write_text("x")
        closed.chmod(0o311)
        shut.chmod(0)
        fixed.chmod(0o555)
        file.chmod(0o444)
        grants = [read(closed), read(shut / "inner"), read(fixed), write(fixed), read(file), write(file)]
        if os.geteuid() == 0:
            for each in (closed, shut, fixed, file):
                os.chown(each, 54_321, 54_321)
        problems = run_as_ordinary_user(lambda: [judge(grant, NOTHING).problem for grant in grants])
        shut.chmod(0o700)
    assert "may not read" in (problems[0] or "")
    assert "out of reach" in (problems[1] or "")
    assert problems[2] is problems[4] is None
    assert "may not write" in (problems[3] or "")
    assert "may not write" in (problems[5] or "")


READ_ONLY = """
import sys
from engine.models.permissions import Access, Grant
from engine.sandbox.permissions import judge
from engine.sandbox.protected import ProtectedPaths
for access in (Access.READ, Access.WRITE):
    print(judge(Grant(access=access, path=sys.argv[1]), ProtectedPaths([])).problem)
"""


def test_nothing_is_granted_for_writing_on_a_read_only_file_system(tmp_path: Path) -> None:
    as_root = ["--user", "--map-root-user"] if os.geteuid() else []
    mount = 'mount -t tmpfs -o ro none . && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", *as_root, "sh", "-ec", mount, "sh"]
    if subprocess.run([*command, "true"], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [*command, sys.executable, "-c", READ_ONLY, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    reading, writing = done.stdout.splitlines()
    assert reading == "None"
    assert "mounted read-only" in writing


@pytest.mark.skipif(os.geteuid() != 0, reason="root's rights are told apart from its mode bits as root only")
def test_root_is_told_when_a_script_will_get_less_than_root(tree: Path) -> None:
    os.chown(tree / "logs", 54_321, 54_321)
    (tree / "logs").chmod(0o700)
    judged = judge(read(tree / "logs"), NOTHING)
    assert judged.canonical is not None
    assert "without root's special rights" in (judged.note or "")
