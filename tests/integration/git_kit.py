"""A real repository, plain git as a user types it, and a program that leaves a trace when it is run."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

NAMES = {"NAME": "Ada Lovelace", "EMAIL": "ada@plant.example"}


def git(folder: Path, *command: str, text: str | None = None, check: bool = True) -> str:
    """Plain git, as a user types it, with an identity and without the host's configuration."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in NAMES.items()},
    }
    done = subprocess.run(
        ["git", *command], cwd=folder, env=environment, input=text, capture_output=True, text=True, check=check
    )
    return done.stdout


def commit(root: Path, message: str, **files: str) -> str:
    """Write files (``a="1"`` is ``a.py``), commit everything, and return the commit."""
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD").strip()


class Canary:
    """A program that must never run. It passes its input on, so that what calls it goes on."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "canary"
        self._trace = folder / "sang"
        self.program.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{self._trace}'\ncat 2>/dev/null\nexit 0\n")
        self.program.chmod(0o755)

    def __str__(self) -> str:
        return str(self.program)

    def sang(self) -> bool:
        """Whether it ran since this was last asked."""
        found = self._trace.exists()
        self._trace.unlink(missing_ok=True)
        return found


def touch(file: Path) -> None:
    """Make git doubt its index, so that it looks at the content again."""
    os.utime(file, (time.time() + 10, time.time() + 10))
