"""Files of checks that run under Debian's Jython: one process for a file, one test for a check."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

import engine

HERE = Path(__file__).parent / "jython"
CLIENT = Path(engine.__file__).parent / "foreign" / "python3.py"
PATIENCE = 280.0

needs_jython = pytest.mark.skipif(shutil.which("jython") is None, reason="no Jython here: apt-get install jython")


def names_in(file: str) -> list[str]:
    """Return the checks of a file, as they stand there."""
    return re.findall(r"^@check\ndef (\w+)", (HERE / file).read_text(), re.MULTILINE)


def run_jython(*arguments: str, folder: Path | None = None) -> str:
    """Return what Jython prints.

    Args:
        arguments: Its command line.
        folder: Where it finds ``python3`` and leaves what it compiles.
    """
    path = [str(HERE)] if folder is None else [str(folder), str(HERE)]
    environment = {
        **os.environ,
        "JYTHONPATH": ":".join(path),
        # Two cores are shared; nothing here lives long enough for the better compiler.
        "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    done = subprocess.run(
        ["jython", "-B", *arguments], env=environment, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def run_checks(file: str, places: Mapping[str, object], folder: Path, text: str | None = None) -> dict[str, str | None]:
    """Run the checks of a file against the client; return what went wrong, by check.

    Args:
        file: Below ``jython/``.
        places: What it is handed over: addresses, files.
        folder: Empty; for the client and what the checks need.
        text: The client, if not the one of the package.
    """
    (folder / "python3.py").write_text(CLIENT.read_text() if text is None else text)
    handed = folder / "places.json"
    handed.write_text(json.dumps(places))
    said = run_jython(str(HERE / file), str(handed), folder=folder)
    return {found["name"]: found["wrong"] for found in map(json.loads, said.splitlines())}
