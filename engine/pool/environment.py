"""The interpreter that scripts run in: a virtual environment of the project's own, nothing of the engine's in it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import venv
from pathlib import Path

CHECK_TIMEOUT = 10.0


class EnvironmentProblem(Exception):
    """The environment can neither be used nor made. The message is the sentence for the user."""


async def ensure_environment(folder: Path) -> Path:
    """Return the interpreter of the environment in ``folder``, made or made anew if it does not run.

    Args:
        folder: ``.gatewright/envs/default`` of a project.

    Raises:
        EnvironmentProblem: It cannot be made.
    """
    return await asyncio.to_thread(_ensure, folder)


async def python_version(interpreter: Path) -> str:
    """Return the version of an interpreter that runs, such as ``3.12.3``.

    Raises:
        EnvironmentProblem: It does not tell.
    """
    answer = await asyncio.to_thread(_ask, interpreter, "import platform; print(platform.python_version())")
    if re.fullmatch(r"\d+\.\d+\.\d+\S{0,20}", answer) is None:
        raise EnvironmentProblem(f"The scripts' interpreter {interpreter} does not tell its version.")
    return answer


async def python_build(interpreter: Path) -> str:
    """Return the whole ``sys.version`` of an interpreter, on one line.

    Raises:
        EnvironmentProblem: It does not tell.
    """
    answer = await asyncio.to_thread(_ask, interpreter, "import sys; print(' '.join(sys.version.split()))")
    if not answer:
        raise EnvironmentProblem(f"The scripts' interpreter {interpreter} does not tell its version.")
    return answer


def _ensure(folder: Path) -> Path:
    interpreter = folder / "bin" / "python"
    if _runs(interpreter):
        return interpreter
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _builder().create(folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentProblem(f"The scripts' environment {folder} cannot be made: {error}.") from None
    if not _runs(interpreter):
        raise EnvironmentProblem(f"The scripts' interpreter {interpreter} does not run.")
    return interpreter


def _builder() -> venv.EnvBuilder:
    # Without pip: it takes seconds, and packages are installed from outside.
    return venv.EnvBuilder(clear=True, symlinks=True, with_pip=False)


def _runs(interpreter: Path) -> bool:
    """Whether it starts and is the interpreter of this very environment."""
    if not os.access(interpreter, os.X_OK):
        return False
    return _ask(interpreter, "import sys; print(sys.version_info[:2] >= (3, 11))") == "True"


def _ask(interpreter: Path, code: str) -> str:
    """Return what an interpreter prints; nothing if it does not run."""
    command = [str(interpreter), "-I", "-S", "-c", code]
    try:
        answer = subprocess.run(
            command, capture_output=True, timeout=CHECK_TIMEOUT, check=False, env={}, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace").strip()
