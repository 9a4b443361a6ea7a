"""The README's examples, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from cli_support import PATIENCE, CliProject

README = (Path(__file__).parents[2] / "README.md").read_text()


def fenced(language: str, containing: str) -> str:
    """The code block of that language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    found: list[str] = [block for block in blocks if containing in block]
    assert len(found) == 1
    return found[0]


EXPECTED = {
    "gatewright exec 'result": "2\n",
    "gatewright eval": "45\n",
    "echo": "from a pipe\n",
}
"""What a line that begins so prints, and nothing else."""

SHOWN = {
    "gatewright scripts new": "\nhello\n",
    "gatewright scripts search": "defaults/log_digest.py:",
    "gatewright run defaults/log_digest": '"entries": ',
    "gatewright runs list": "defaults/log_digest.py",
    "gatewright engine status": "3 slots",
    "gatewright git status": "scripts/night/hello.py",
    "gatewright git stage": "scripts/night/hello.py",
    "gatewright git log": "Count the night shift, too",
}
"""What a line that begins so shows among other things."""


def clone_of(folder: Path) -> Path:
    """A folder that looks like the clone in which README's first command was pasted."""
    clone = folder / "clone"
    clone.mkdir()
    (clone / ".venv").symlink_to(sys.prefix)
    return clone


def environment_of(home: Path) -> dict[str, str]:
    """What a new account has: no settings, and no gatewright among its commands."""
    folders = [name for name in os.environ["PATH"].split(":") if not (Path(name) / "gatewright").exists()]
    own = {"HOME": str(home), "PATH": ":".join(folders), "LANG": "C.UTF-8", "TERM": "dumb"}
    return own | {"GATEWRIGHT_YIELD_ENABLED": "false"}  # what it sees is the same on a busy machine


def test_the_shell_lines_work_as_pasted(tmp_path: Path) -> None:
    """All of them in one shell, which reads them as it reads what somebody pastes; nothing else appears in HOME."""
    home = tmp_path / "home"
    home.mkdir()
    project = CliProject(home / "gatewright-demo")
    project.root.mkdir()
    environment = environment_of(home)
    lines = [*fenced("sh", "gatewright exec").splitlines(), *fenced("sh", "gatewright git commit").splitlines()]
    assert len(lines) > 12
    pasted = "exec 2>&1\n" + "".join(f"{line}\nprintf '\\0%s\\0' $?\n" for line in lines)
    assert project.call("engine", "start").returncode == 0
    try:
        done = subprocess.run(
            ["bash", "--norc", "--noprofile"],
            input=pasted,
            cwd=clone_of(tmp_path),
            env=environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
    finally:
        project.call("engine", "stop", "--force")
    pieces = done.stdout.split("\0")
    for line, printed, code in zip(lines, pieces[::2], pieces[1::2], strict=False):
        assert code == "0", f"{line}: {printed}"
        for begins, text in EXPECTED.items():
            assert printed == text or not line.startswith(begins), line
        for begins, text in SHOWN.items():
            assert text in printed or not line.startswith(begins), f"{line}: {printed}"
    assert len(pieces) == 2 * len(lines) + 1
    assert os.listdir(home) == ["gatewright-demo"]
    assert {*os.listdir(project.root)} == {".git", ".gitignore", ".gatewright", "documents", "scripts"}


def test_the_library_example_works(tmp_path: Path) -> None:
    code = fenced("python", "Engine.open").replace("/srv/plant-a", str(tmp_path / "plant"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok 2 hello\n")
