"""The environment that scripts run in: a virtual environment of the project's own, nothing of the engine's in it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import venv
from dataclasses import replace
from pathlib import Path

from engine.pool.job import Environment
from engine.sandbox.interpreters import UnusableInterpreter, answer_of, distrust, interpreter_of

BARE = ".bare"
"""Beside an environment whose interpreter is gone: one without packages."""


SEEDS = {"matplotlib": "matplotlib.font_manager"}
"""Packages that make files for themselves while one of their modules is imported, and that module."""


class EnvironmentProblem(Exception):
    """The environment can neither be used nor made. The message is the sentence for the user."""


async def ensure_environment(folder: Path) -> Environment:
    """Return the environment in ``folder``, made or made again if its interpreter does not run.

    Args:
        folder: ``.gatewright/envs/default`` of a project.

    Raises:
        EnvironmentProblem: It cannot be made.
    """
    return await asyncio.to_thread(_ensure, folder)


def environment_at(folder: Path) -> Environment | None:
    """Return the virtual environment in ``folder``; None if there is none that runs, or not safely. Blocks."""
    prefix = Path(os.path.realpath(folder))
    if _elsewhere(folder, prefix) and distrust(prefix) is not None:
        return None
    try:
        interpreter = interpreter_of(prefix)
    except UnusableInterpreter:
        return None
    version = interpreter_version(interpreter)
    if version is None:
        return None
    packages = prefix / "lib" / f"python{'.'.join(version.split('.')[:2])}" / "site-packages"
    return Environment(interpreter, prefix, packages, version, folder.name) if packages.is_dir() else None


def _elsewhere(folder: Path, prefix: Path) -> bool:
    """Return whether a link leads out of the folder that all environments are in, which is the account's alone."""
    return not prefix.is_relative_to(os.path.realpath(folder.parent))


def seed_place(folder: Path | None, environment: Environment) -> Path | None:
    """Return where an environment's files belong, by what its packages are now; None if none of them makes any."""
    if folder is None:
        return None
    told = [str(environment.prefix), environment.version]
    for package in SEEDS:
        try:
            info = (environment.packages / package).stat()
        except OSError:
            continue
        told += [package, str(info.st_ino), str(info.st_mtime_ns)]
    if len(told) == 2:
        return None
    return folder / hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def interpreter_version(interpreter: Path) -> str | None:
    """Return the version of an interpreter, such as ``3.12.3``; None if it does not run. Blocks."""
    answer = _ask(interpreter, "import platform; print(platform.python_version())")
    return answer if re.fullmatch(r"\d+\.\d+\.\d+\S{0,20}", answer) else None


async def python_build(interpreter: Path) -> str:
    """Return the whole ``sys.version`` of an interpreter, on one line.

    Raises:
        EnvironmentProblem: It does not tell.
    """
    answer = await asyncio.to_thread(_ask, interpreter, "import sys; print(' '.join(sys.version.split()))")
    if not answer:
        raise EnvironmentProblem(f"The scripts' interpreter {interpreter} does not tell its version.")
    return answer


def _ensure(folder: Path) -> Environment:
    if (environment := environment_at(folder)) is not None:
        return environment
    name = folder.name
    # A build is never changed, nor what was installed by hand where only the interpreter is not to be trusted: a bare
    # environment does for scripts without packages.
    if folder.is_symlink() or _distrusted(folder):
        folder = folder.with_name(BARE)
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _builder().create(folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentProblem(f"The scripts' environment {folder} cannot be made: {error}.") from None
    if (environment := environment_at(folder)) is None:
        raise EnvironmentProblem(f"The scripts' interpreter {folder}/bin/python does not run.")
    return replace(environment, name=name)


def _distrusted(folder: Path) -> bool:
    """Return whether there is an interpreter, but one that another account could have changed."""
    linked = Path(os.path.realpath(folder / "bin" / "python"))
    return linked.exists() and distrust(linked) is not None


def _builder() -> venv.EnvBuilder:
    # Without pip: it takes seconds, and packages are installed from outside.
    return venv.EnvBuilder(clear=True, symlinks=True, with_pip=False)


def _ask(interpreter: Path, code: str) -> str:
    """Return what an interpreter prints; nothing if it does not run."""
    try:
        return answer_of([str(interpreter), "-I", "-S", "-c", code]).decode("utf-8", "replace").strip()
    except ChildProcessError:
        return ""
