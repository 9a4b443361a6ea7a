"""``--out`` and ``runs files``: files of a run, written by the caller's own process and never over anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_support import CliProject, cli_project

from engine.client.answers import EngineUnreachable
from engine.models.runs import RunFile
from engine.registry.runs import RunFileParams
from tui.commands import returned
from tui.commands.errors import CommandError
from tui.commands.streams import Streams
from tui.runs import returned_files

WRITE = """
import os
os.makedirs("sub/deep")
open("a.csv", "wb").write(b"1,2\\r\\n\\0\\xff")
open("sub/deep/b c.txt", "w").write("deep")
print("said")
result = {"files": ["a.csv", "sub/deep/b c.txt"]}
"""
A, B = b"1,2\r\n\0\xff", b"deep"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    settings = '[policy]\nmodules = ["os"]\n'  # to make folders with
    with cli_project(tmp_path_factory.mktemp("files") / "plant", settings) as project:
        project.script("write.py", WRITE)
        yield project


@pytest.fixture
def left(cli: CliProject) -> str:
    """The id of a run that left both files."""
    assert cli.call("run", "write").returncode == 0
    return str(cli.newest_run()["id"])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_tells_that_it_left_files(cli: CliProject) -> None:
    done = cli.call("run", "write")
    run_id = cli.newest_run()["id"]
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "said")
    assert f"it left 2 files: gatewright runs files {run_id} --out DIR" in done.stderr
    assert "it left a file:" in cli.call("exec", "open('f', 'w'); result = {'files': ['f']}").stderr
    assert "left" not in cli.call("exec", "result = 1").stderr


def test_they_are_listed_and_shown(cli: CliProject, left: str) -> None:
    listed = cli.call("runs", "files", left).stdout.splitlines()
    assert listed[0].split() == ["file", "size", "sha256"]
    assert listed[1].startswith("a.csv")
    assert listed[2].startswith("sub/deep/b c.txt")
    found = cli.json("runs", "files", left)
    assert found["run_id"] == int(left)
    assert [(file["name"], file["size"]) for file in found["files"]] == [("a.csv", 7), ("sub/deep/b c.txt", 4)]
    assert "files      a.csv (7 B), sub/deep/b c.txt (4 B)" in cli.call("runs", "show", left).stdout
    assert cli.json("runs", "show", left)["files"] == found["files"]
    assert cli.call("runs", "files", "999").returncode == 2


def test_they_are_written_below_a_folder_that_is_made(cli: CliProject, left: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    done = cli.call("runs", "files", left, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert tree(out) == {"a.csv": A, "sub/deep/b c.txt": B}
    assert done.stdout == ""
    assert f"written to {out}: a.csv, sub/deep/b c.txt" in done.stderr
    again = cli.call("runs", "files", left, "--out", str(out))
    assert again.returncode == 5
    assert f"a.csv of run {left} was not written: it exists already" in again.stderr
    assert "No file was written." in again.stderr


def test_a_run_writes_them_after_its_result(cli: CliProject, tmp_path: Path) -> None:
    done = cli.call("run", "write", "--out", str(tmp_path / "out"))
    assert done.returncode == 0
    assert tree(tmp_path / "out") == {"a.csv": A, "sub/deep/b c.txt": B}
    assert done.stdout.startswith("said\n")
    as_json = cli.json("exec", WRITE, "--out", str(tmp_path / "other"))
    assert [file["name"] for file in as_json["files"]] == ["a.csv", "sub/deep/b c.txt"]
    assert tree(tmp_path / "other") == {"a.csv": A, "sub/deep/b c.txt": B}
    failed = cli.call("exec", "1/0", "--out", str(tmp_path / "none"))
    assert failed.returncode == 1
    assert not (tmp_path / "none").exists()


def test_what_is_there_is_never_replaced_and_what_was_written_is_told(
    cli: CliProject, left: str, tmp_path: Path
) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "b c.txt").write_text("mine")
    done = cli.call("runs", "files", left, "--out", str(tmp_path))
    assert done.returncode == 5
    assert f"written to {tmp_path}: a.csv" in done.stderr
    assert tree(tmp_path) == {"a.csv": A, "sub/deep/b c.txt": b"mine"}
    error = json.loads(cli.call("--json", "run", "write", "--out", str(tmp_path)).stdout)
    assert (error["success"], error["code"]) == (False, "exists")


@pytest.mark.parametrize("where", ["a.csv", "sub", "sub/deep", "sub/deep/b c.txt"])
@pytest.mark.parametrize("dangling", [True, False])
def test_no_link_is_followed(cli: CliProject, left: str, tmp_path: Path, where: str, dangling: bool) -> None:
    target = tmp_path / "target"
    out = tmp_path / "out"
    (out / where).parent.mkdir(parents=True, exist_ok=True)
    if not dangling and where in ("sub", "sub/deep"):
        target.mkdir()
    elif not dangling:
        target.write_text("theirs")
    (out / where).symlink_to(target)
    done = cli.call("runs", "files", left, "--out", str(out))
    assert done.returncode == 5, done.stderr
    if target.is_dir():
        assert list(target.iterdir()) == []
    elif not dangling:
        assert target.read_text() == "theirs"
    else:
        assert not target.exists()


def test_a_folder_that_cannot_be_used_is_said(cli: CliProject, left: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert cli.call("runs", "files", left, "--out", str(tmp_path / "file")).returncode == 2
    below = cli.call("runs", "files", left, "--out", str(tmp_path / "file" / "below"))
    assert (below.returncode, "cannot be used" in below.stderr) == (5, True)


def test_names_of_a_hostile_engine_lead_nowhere(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in ("../x", "/x", "a//x", ".", "..", "a/..", "", "a\0b"):
            with pytest.raises(OSError, match="out of the folder"):
                returned_files.write_file(folder, name, b"x")
    finally:
        os.close(folder)
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "x").exists()


async def test_an_engine_that_leaves_half_way_is_told_with_what_was_written(tmp_path: Path) -> None:
    class Leaving:
        async def call(self, operation: object, params: RunFileParams) -> bytes:
            if params.name == "b":
                raise EngineUnreachable("The engine cannot be reached.")
            return b"x"

    left = SimpleNamespace(id=3, files=[RunFile(name=name, size=1, sha256="") for name in "ab"])
    with pytest.raises(CommandError) as failure:
        await returned.write_files(Leaving(), left, str(tmp_path), Streams())
    assert (failure.value.exit_code, failure.value.hint) == (3, f"written to {tmp_path}: a")


def test_a_file_that_cannot_be_written_whole_is_removed(tmp_path: Path) -> None:
    import resource
    import signal

    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            returned_files.write_file(folder, "big", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
        os.close(folder)
    assert list(tmp_path.iterdir()) == []


SMOOTH = """
import gatewright
data = gatewright.buffers["data"]
gatewright.buffers.create("out", len(data))[:] = bytes(data).upper()
"""


def test_a_buffer_is_read_and_another_one_written_by_the_caller(cli: CliProject, tmp_path: Path) -> None:
    given, out = tmp_path / "trend.bin", tmp_path / "smooth.bin"
    given.write_bytes(b"abc" * 100_000)
    handed = ("exec", SMOOTH, "--buffer", f"data={given}")
    done = cli.call(*handed, "--save-buffer", f"out={out}")
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == b"ABC" * 100_000
    assert done.stderr == f"gatewright: written: {out} (293.0 KiB)\n"
    taken = cli.call(*handed, "--save-buffer", f"out={out}")
    assert taken.returncode == 5, taken.stderr
    assert f"was not written to {out}: it exists already" in taken.stderr
    run_id = str(cli.newest_run()["id"])
    shown = cli.call("runs", "show", run_id).stdout
    assert "buffer data  trend.bin (293.0 KiB), sha256" in shown
    assert "buffers      out (293.0 KiB)" in shown


def test_what_a_run_left_is_written_later(cli: CliProject, tmp_path: Path) -> None:
    done = cli.call("exec", "import gatewright\nfor name in 'ab':\n    gatewright.buffers.create(name, 17 << 20)")
    run_id = str(cli.newest_run()["id"])
    told = (
        f"it left a (17.0 MiB), b (17.0 MiB), held for ten minutes: gatewright runs buffers {run_id} --save NAME=PATH"
    )
    assert told in done.stderr, done.stderr
    assert cli.call("runs", "buffers", run_id).stdout.split() == [
        "buffer",
        "size",
        "a",
        "17.0",
        "MiB",
        "b",
        "17.0",
        "MiB",
    ]
    out = tmp_path / "a.bin"
    saved = cli.call("runs", "buffers", run_id, "--save", f"a={out}", "--save", f"c={tmp_path / 'c'}")
    assert saved.returncode != 0
    assert f"Run {run_id} left no buffer 'c'" in saved.stderr
    assert out.stat().st_size == 17 << 20
    assert not (tmp_path / "c").exists()


def test_a_buffer_that_cannot_be_written_leaves_nothing(cli: CliProject, tmp_path: Path) -> None:
    code = "import gatewright\ngatewright.buffers.create('out', 3)"
    path = tmp_path / "none" / "out"
    failed = cli.call("exec", code, "--save-buffer", f"out={path}")
    assert failed.returncode != 0
    assert f"was not written to {path}: No such file or directory" in failed.stderr
    assert cli.call("exec", "1 / 0", "--save-buffer", f"out={tmp_path / 'out'}").returncode == 1
    assert not (tmp_path / "out").exists()
