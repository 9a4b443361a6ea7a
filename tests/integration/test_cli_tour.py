"""The README's examples, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from cli_support import PATIENCE, PROGRAM, cli_project

README = (Path(__file__).parents[2] / "README.md").read_text()


def fenced(language: str, containing: str) -> str:
    """The code block of that language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    found: list[str] = [block for block in blocks if containing in block]
    assert len(found) == 1
    return found[0]


def examples() -> list[tuple[str, str]]:
    """Commands of the tour, each with what the README says that it prints; empty where it says nothing."""
    steps = re.split(r"^\$ ", fenced("console", "gatewright exec"), flags=re.MULTILINE)[1:]
    return [(command, printed) for command, _, printed in (step.partition("\n") for step in steps)]


def test_the_tour_does_what_it_says(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        environ = {**os.environ, "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}"}
        assert len(examples()) > 5
        for command, printed in examples():
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", f"{{ {command}; }} 2>&1"],
                cwd=project.root,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stdout}"
            if printed:
                assert done.stdout == printed, command


def test_the_library_example_works(tmp_path: Path) -> None:
    code = fenced("python", "Engine.open").replace("/srv/plant-a", str(tmp_path / "plant"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok 2 hello\n")
