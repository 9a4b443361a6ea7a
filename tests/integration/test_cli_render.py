"""``gatewright render`` as people call it: files, warnings, exit codes; engines that are killed, disks that fill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project, ended
from daemon_support import ProjectUnderTest, wait_for

from engine.client.render_tree import MANIFEST, TEMP

BOX = """# /// script
# [tool.gatewright]
# kind = "macro"
# ///
import time
def render(params, context):
    time.sleep(params.get("wait", 0))
    if "fail" in params:
        raise ValueError("\\x1b[31mred")
    return f"<b>{params['n']}</b>"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("render") / "plant") as made:
        made.script("macros/box.py", BOX)
        yield made


def documents(folder: Path, count: int, tag: str = "[[box n={}]]") -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.md").write_text(tag.format(number))
    return folder


def test_documents_are_rendered_once_and_problems_are_told_by_document_and_line(
    project: CliProject, tmp_path: Path
) -> None:
    source, out = documents(tmp_path / "docs", 3), tmp_path / "out"
    done = project.call("render", str(source), "--out", str(out))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "3 documents rendered, 0 unchanged, 0 other files copied" in done.stderr
    assert (out / "002.md").read_text() == "<b>2</b>"
    (source / "001.md").write_text("\n[[box n=1 fail=1]]\nsee [[boxes]]")
    done = project.call("render", str(source), "--out", str(out))
    assert done.returncode == 0, "a tag that fails is no error unless that is asked for"
    assert "001.md:2:1: error: [[box]] ValueError: " in done.stdout
    assert '    File "macros/box.py", line 9, in render' in done.stdout.replace("      File", "    File")
    assert "001.md:3:5: unknown: [[boxes]] There is no macro boxes. Did you mean box?" in done.stdout
    assert "1 document rendered, 2 unchanged" in done.stderr
    assert "\x1b" not in done.stdout
    done = project.call("render", str(source), "--out", str(out), "--strict", "--json")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["documents"], len(summary["warnings"])) == (1, 3, 2)
    assert [one["kind"] for one in summary["warnings"]] == ["error", "unknown"]
    assert (out / "001.md").read_text() == (source / "001.md").read_text()


@pytest.mark.slow
def test_folders_that_lie_in_each_other_are_refused(project: CliProject, tmp_path: Path) -> None:
    source = documents(tmp_path / "docs", 1)
    done = project.call("render", str(source), "--out", str(source / "out"))
    assert done.returncode == 2
    assert "lies in" in done.stderr
    assert project.call("render", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")).returncode == 2
    assert not (tmp_path / "out").exists()


def count(out: Path) -> int:
    return sum(path.suffix == ".md" for path in out.iterdir()) if out.exists() else 0


def rendering(project: CliProject, source: Path, out: Path, at_least: int) -> subprocess.Popen[bytes]:
    """A render that is on its way: so many documents stand there."""
    process = project.popen("render", str(source), "--out", str(out))
    wait_for(lambda: count(out) >= at_least)
    return process


@pytest.mark.slow
def test_an_engine_that_is_killed_in_the_middle_is_replaced(project: CliProject, tmp_path: Path) -> None:
    source, out = documents(tmp_path / "docs", 1500, "[[box n={} wait=0.005]]"), tmp_path / "out"
    process = rendering(project, source, out, 100)
    os.kill(ProjectUnderTest(project.root).engine_pid, signal.SIGKILL)
    code, stdout, stderr = ended(process)
    assert (code, stdout) == (0, ""), stderr
    assert "the engine was lost, going on with another one" in stderr
    assert "1,500 documents rendered" in stderr
    assert [(out / f"{number:03}.md").read_text() for number in range(1500)] == [f"<b>{n}</b>" for n in range(1500)]


@pytest.mark.slow
def test_ctrl_c_notes_what_is_written_and_ends_the_batch(project: CliProject, tmp_path: Path) -> None:
    source, out = documents(tmp_path / "docs", 1500, "[[box n={} wait=0.005]]"), tmp_path / "out"
    process = rendering(project, source, out, 100)
    process.send_signal(signal.SIGINT)
    code, _, stderr = ended(process)
    assert code == 130, stderr
    assert "cancelled; what is written is noted" in stderr
    assert project.newest_run()["outcome"] == "cancelled"
    done = project.json("render", str(source), "--out", str(out))
    assert 0 < done["unchanged"] < 1500
    assert count(out) == 1500


@pytest.mark.slow
def test_a_batch_that_is_cancelled_in_the_engine_ends_the_command(project: CliProject, tmp_path: Path) -> None:
    source, out = documents(tmp_path / "docs", 1500, "[[box n={} wait=0.005]]"), tmp_path / "out"
    process = rendering(project, source, out, 100)
    run = project.newest_run()
    assert run["kind"] == "render"
    assert project.call("runs", "cancel", str(run["id"])).returncode == 0
    code, _, stderr = ended(process)
    assert (code, "The render was cancelled." in stderr) == (130, True)


@pytest.mark.slow
def test_changes_are_rendered_while_it_watches(project: CliProject, tmp_path: Path) -> None:
    source, out = documents(tmp_path / "docs", 2), tmp_path / "out"
    said = tmp_path / "said"
    with said.open("wb") as file:
        command = project.command("render", str(source), "--out", str(out), "--watch")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        wait_for(lambda: count(out) == 2, 60)
        (source / "001.md").write_text("[[box n=7]]")
        wait_for(lambda: (out / "001.md").read_text() == "<b>7</b>", 60)
        (source / "new.md").write_text("[[box n=8]]")
        wait_for(lambda: (out / "new.md").exists(), 60)
        project.script("macros/box.py", BOX.replace("<b>", "<i>"))
        wait_for(lambda: (out / "001.md").read_text() == "<i>7</b>", 60)
        (source / "new.md").unlink()
        wait_for(lambda: not (out / "new.md").exists(), 60)
        source.rename(tmp_path / "away")
        wait_for(lambda: "docs cannot be rendered: no such file or directory; waiting" in said.read_text(), 60)
        (tmp_path / "away").rename(source)
        (source / "001.md").write_text("[[box n=9]]")
        wait_for(lambda: (out / "001.md").read_text() == "<i>9</b>", 60)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        project.script("macros/box.py", BOX)
    assert code == 130, said.read_text()


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Callable[[], None]]:
    """A file system of ``size`` at ``place``; yields what makes it larger. Skips where none can be mounted."""
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this account cannot mount")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True) and None
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_half_way_leaves_whole_files_and_the_next_render_goes_on(
    project: CliProject, tmp_path: Path
) -> None:
    source = documents(tmp_path / "docs", 300, "[[box n={}]]" + "x" * 8000)
    with small_disk(tmp_path / "disk", "1m") as grow:
        out = tmp_path / "disk" / "out"
        done = project.call("render", str(source), "--out", str(out))
        assert done.returncode == 1
        assert "the disk of the result is full" in done.stdout
        assert 0 < count(out) < 300
        for path in out.glob("*.md"):
            assert path.read_text() == f"<b>{int(path.stem)}</b>" + "x" * 8000
        assert not list(out.glob(f"{TEMP}*"))
        grow()
        summary = project.json("render", str(source), "--out", str(out))
        assert summary["complete"]
        assert 0 < summary["rendered"] < 300
        assert count(out) == 300
        assert (out / MANIFEST).exists()
