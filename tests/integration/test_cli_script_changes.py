"""Scripts renamed, copied, deleted, brought back, imported and exported by the command line, and their history."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project, in_terminal


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("changes") / "project") as made:
        yield made


def listed(project: CliProject, part: str) -> list[str]:
    return [info["path"] for info in project.json("scripts", "list", part)["scripts"]]


def test_a_script_is_renamed_copied_deleted_and_brought_back(project: CliProject) -> None:
    project.call("scripts", "new", "one/x", "--from", "-", stdin="print(1)\n")
    done = project.call("scripts", "rename", "one/x", "two/random")
    assert done.returncode == 0
    assert "it is now two/random.py" in done.stderr
    assert "module random" in done.stderr
    assert project.json("scripts", "duplicate", "two/random")["path"] == "two/random_copy.py"
    assert project.json("scripts", "duplicate", "two/random", "two/z")["path"] == "two/z.py"
    deleted = project.json("scripts", "delete", "two/random", "--yes")
    assert (deleted["path"], deleted["reason"]) == ("two/random.py", "deleted")
    assert listed(project, "two/") == ["two/random_copy.py", "two/z.py"]
    table = project.call("history", "two/random")
    assert "renamed from one/x.py to two/random.py" in table.stdout
    assert "scripts restore two/random" in table.stderr
    back = project.call("scripts", "restore", "two/random")
    assert back.returncode == 0
    assert project.call("run", "two/random").stdout == "1\n"


def test_deleted_scripts_are_listed(project: CliProject) -> None:
    project.call("scripts", "new", "gone/soon", "--from", "-", stdin="print(1)\n")
    project.call("scripts", "delete", "gone/soon", "--yes")
    table = project.call("history", "--deleted")
    assert table.returncode == 0
    assert "gone/soon.py" in table.stdout
    assert "scripts restore" in table.stderr
    assert "gone/soon.py" in [one["path"] for one in project.json("history", "--deleted")["versions"]]
    project.call("scripts", "restore", "gone/soon")
    assert "gone/soon.py" not in project.call("history", "--deleted").stdout
    for wrong in (["history"], ["history", "gone/soon", "--deleted"], ["history", "--deleted", "--diff", "1"]):
        assert "Name a script, or say --deleted." in project.call(*wrong).stderr


def test_the_history_shows_differences_and_gives_back_versions(project: CliProject) -> None:
    for text in ("a\nb\n", "a\nc\n"):
        project.script("diff.py", "")
        (project.root / "scripts/diff.py").unlink()
        project.call("scripts", "new", "diff", "--from", "-", stdin=text)
        project.call("scripts", "delete", "diff", "--yes")
    first = project.json("history", "diff")["versions"][1]["sha256"]
    gone = project.call("history", "diff", "--diff", "1")
    assert gone.stdout.splitlines()[-2:] == ["-a", "-c"]
    project.call("scripts", "restore", "diff", "--version", first[:8])
    now = project.call("history", "diff", "--diff", "1", "--now")
    assert now.stdout.splitlines()[-3:] == [" a", "-c", "+b"]
    assert project.json("history", "diff", "--diff", "1", "--now")["diff"].endswith("-c\n+b")
    for wrong in (("history", "diff", "--diff", "99"), ("scripts", "restore", "diff", "--version", "zzzz")):
        done = project.call(*wrong)
        assert done.returncode == 2
        assert "version" in done.stderr


def test_deleting_asks_at_a_terminal_and_takes_yes_elsewhere(project: CliProject) -> None:
    project.script("asked.py", "1\n")
    done = project.call("scripts", "delete", "asked")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert listed(project, "asked") == ["asked.py"]
    command = project.command("scripts", "delete", "asked")
    code, shown = in_terminal(command, "n\n")
    assert code == 130, shown
    assert "Delete asked.py?" in shown
    assert listed(project, "asked") == ["asked.py"]
    code, shown = in_terminal(command, "y\n")
    assert code == 0, shown
    assert "scripts restore asked.py" in shown
    again = project.call("scripts", "delete", "asked", "--yes")
    assert again.returncode == 2
    assert "deleted already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("scripts", "rename", "taken/a", "taken/b"), 5, "exists already"),
        (("scripts", "rename", "taken/a", "taken/B"), 2, "only in case"),
        (("scripts", "rename", "taken/a", "../a"), 2, "must not contain '..'"),
        (("scripts", "rename", "taken/a", "nul"), 2, "device on Windows"),
        (("scripts", "rename", "taken/a", "taken/a"), 2, "has that name already"),
        (("scripts", "rename", "a_file_alone", "x"), 2, "no script"),
        (("scripts", "delete", "a_file_alone", "--yes"), 2, "taken/a_file_alone"),
        (("scripts", "restore", "no/such"), 2, "no script"),
        (("history", "no/such"), 2, "no script"),
        (("history", "taken/a", "--now"), 2, "--diff"),
    ],
)
def test_refusals_are_sentences(project: CliProject, arguments: tuple[str, ...], code: int, said: str) -> None:
    for name in ("a", "b", "a_file_alone"):
        project.script(f"taken/{name}.py", "1\n")
    done = project.call(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_files_and_folders_are_imported_and_never_over_a_script(project: CliProject, tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "deep/.git").mkdir(parents=True)
    (source / "deep/.git/x.py").write_text("no\n")
    (source / "deep/a.py").write_bytes(b"\xef\xbb\xbfprint(1)\r\n")
    (source / "bad.py").write_bytes(b"caf\xe9")
    (source / "notes.txt").write_text("no script\n")
    (source / "link.py").symlink_to("/etc/passwd")
    (source / "loop").symlink_to(source)
    (source / "new\nline.py").write_text("1\n")
    os.mkfifo(source / "pipe.py")
    (tmp_path / "single.py").write_text("2\n")
    done = project.call("--json", "scripts", "import", str(source), str(tmp_path / "single.py"), "--to", "in")
    assert done.returncode == 1
    report = {Path(one["file"]).name: (one["script"], one["state"]) for one in json.loads(done.stdout)["files"]}
    assert report == {
        "a.py": ("in/deep/a.py", "done"),
        "bad.py": ("", "failed"),
        "link.py": ("", "failed"),
        "new\nline.py": ("in/new\nline.py", "failed"),
        "pipe.py": ("", "failed"),
        "single.py": ("in/single.py", "done"),
    }
    assert (project.root / "scripts/in/deep/a.py").read_bytes() == b"\xef\xbb\xbfprint(1)\r\n"
    (tmp_path / "single.py").write_text("3\n")
    again = project.call("scripts", "import", str(tmp_path / "single.py"), str(source / "deep"), "--to", "in")
    assert again.returncode == 5
    assert "exists: " in again.stdout
    assert (project.root / "scripts/in/single.py").read_text() == "2\n"
    missing = project.call("scripts", "import", str(tmp_path / "none\x1b[2J"))
    assert missing.returncode == 1
    assert "no such file" in missing.stdout
    assert "\x1b" not in missing.stdout + missing.stderr


def test_headers_of_older_tools_become_blocks(project: CliProject, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("# ---\n# title: Night\n# kind: macro\n# ---\nprint(1)\n")
    (tmp_path / "odd.py").write_text("# ---\n# title: Night\n# enabled: perhaps\n# ---\nprint(1)\n")
    done = project.call("scripts", "import", str(tmp_path), "--to", "older")
    assert done.returncode == 0
    assert "its older header stays as it is: enabled in the older header must be true or false" in done.stdout
    about = {info["path"]: info for info in project.json("scripts", "list", "older/")["scripts"]}
    assert (about["older/old.py"]["title"], about["older/old.py"]["kind"]) == ("Night", "macro")
    assert (project.root / "scripts/older/odd.py").read_text() == (tmp_path / "odd.py").read_text()
    again = project.json("scripts", "import", str(tmp_path), "--to", "older")["files"]
    assert [one["state"] for one in again] == ["unchanged", "unchanged"]


def test_scripts_are_exported_and_never_over_a_file(project: CliProject, tmp_path: Path) -> None:
    project.script("out/a.py", "1\r\n")
    project.script("out/b.py", "2\n")
    project.script("out/c.py", "3\n")
    target = tmp_path / "target"
    (target / "out").mkdir(parents=True)
    (target / "out/b.py").write_text("mine\n")
    (target / "out/c.py").symlink_to(tmp_path / "elsewhere")
    done = project.call("scripts", "export", "out/a", "out/b", "--out", str(target))
    assert done.returncode == 5
    assert (target / "out/a.py").read_bytes() == b"1\r\n"
    assert (target / "out/b.py").read_text() == "mine\n"
    assert project.call("scripts", "export", "out/a", "--out", str(target)).returncode == 0
    assert project.call("scripts", "export", "out/c", "--out", str(target)).returncode == 1
    assert not (tmp_path / "elsewhere").exists()
    everything = project.json("scripts", "export", "--out", str(tmp_path / "all"))["files"]
    assert {one["script"] for one in everything} >= {"out/a.py", "defaults/tour.py"}
    assert (tmp_path / "all/defaults/tour.py").read_bytes() == (project.root / "scripts/defaults/tour.py").read_bytes()
