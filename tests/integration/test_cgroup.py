"""A cgroup for the runs beside their engine's, made where one was handed over. In a real tree if there is one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_support import wait_for

from engine.sandbox import cgroup
from engine.sandbox.host_memory import cgroups

SCRIPT = str(Path(__file__).with_name("divided_engine.py"))


@pytest.fixture
def own() -> Iterator[Path]:
    """A cgroup v2 for one engine of a test."""
    around = next(cgroups(), None)
    if around is None:
        pytest.skip("this host has no cgroup v2")
    folder = around / f"gatewright-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as refusal:
        pytest.skip(f"no cgroup can be made here: {refusal.strerror}")
    given = (around / "cgroup.subtree_control").read_text().split()
    enabled = []
    for name in (around / "cgroup.controllers").read_text().split():
        if name not in given:
            with contextlib.suppress(OSError):
                (around / "cgroup.subtree_control").write_text(f"+{name}")
                enabled.append(name)
    try:
        yield folder
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        folder.rmdir()
        for name in enabled:
            with contextlib.suppress(OSError):
                (around / "cgroup.subtree_control").write_text(f"-{name}")


def controller(own: Path) -> str:
    """One that this host has left for cgroup v2, to divide something by; which one makes no difference here."""
    offered = (own / "cgroup.controllers").read_text().split()
    if not offered:
        pytest.skip("cgroup v2 has no controllers on this host")
    return next((name for name in cgroup.CONTROLLERS if name in offered), offered[0])


def hand_over(own: Path) -> None:
    """Mark it as systemd does."""
    try:
        os.setxattr(own, "trusted.delegate", b"1")
    except OSError as refusal:
        pytest.skip(f"cgroups take no marks here: {refusal.strerror}")


def divided(own: Path, *controllers: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, SCRIPT, str(own), *controllers], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_an_engine_that_was_handed_a_cgroup_keeps_its_runs_apart(own: Path) -> None:
    hand_over(own)
    answer = divided(own, controller(own))
    assert answer["engine"].endswith(f"/{own.name}/{cgroup.ENGINE}")
    [group] = set(answer["tree"])
    assert f"/{own.name}/{cgroup.RUNS}/zygote-" in group
    assert (answer["groups"], answer["left"]) == (2, []), "what a script has left has none for longer than it lives"
    assert answer["stayed"].startswith("zygote-")
    assert "A stop of this run ends all that it started." in answer["note"]


def test_everything_in_a_cgroup_is_killed_at_once(own: Path) -> None:
    with subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"]) as process:
        group = cgroup.place(own, process.pid)
        assert group is not None
        cgroup.kill(group)
        assert process.wait(20) == -signal.SIGKILL
    wait_for(lambda: not (group / "cgroup.procs").read_text())
    cgroup.remove(group)
    assert not group.exists()


def test_a_cgroup_that_nobody_handed_over_is_left_alone(own: Path) -> None:
    answer = divided(own, "cpu", "memory")
    assert answer == {"why": f"its cgroup {own} is not delegated to it", "engine": answer["engine"], "left": []}
    assert answer["engine"].endswith(own.name)


def test_what_cannot_be_divided_is_as_it_was(own: Path) -> None:
    """Nobody else's processes are moved about, and without a controller there is nothing to gain."""
    hand_over(own)
    answer = divided(own, "none-such")
    assert "it has no controller to use" in answer["why"]
    assert answer["left"] == []
    with subprocess.Popen(["sleep", "60"]) as other:
        (own / "cgroup.procs").write_text(str(other.pid))
        answer = divided(own, controller(own))
        other.kill()
    assert "other processes are in it" in answer["why"]
    assert (answer["left"], answer["engine"].endswith(own.name)) == ([], True)


def test_what_only_an_end_frees_is_counted(tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text("anon 5\nfile 700\nkernel 9\nshmem 30\n")
    assert cgroup.held(tmp_path) == 35
    assert cgroup.held(tmp_path / "none") is None
