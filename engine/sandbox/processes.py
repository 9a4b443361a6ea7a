"""How a process of the worker package is started: where its code lies and what environment it gets."""

from __future__ import annotations

import os
from pathlib import Path

import engine.worker

WORKER = Path(engine.worker.__file__).parent

ENTRY = WORKER / "__main__.py"
"""What the interpreter is given to run, by its path."""

_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # One thread: a fork would lose the others, and the slots already use every core.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    # Symbols bound at start: bound later, they would be bound again by every child, in pages it has to copy.
    "LD_BIND_NOW": "1",
    # Each arena of glibc reserves 64 MiB of address space per thread, which RLIMIT_AS counts (mallopt(3)).
    "MALLOC_ARENA_MAX": "2",
}


def launcher_command(interpreter: Path, entry: Path, *, inside: bool, environment: Path | None = None) -> list[str]:
    """Return what starts a slot's launcher.

    Args:
        interpreter: Of the scripts.
        entry: What it runs.
        inside: Its program begins in a user namespace (``worker/__main__.py``).
        environment: Shown by ps(1), so that people see whose processes these are; nothing reads it.
    """
    # -S: no ``.pth`` file and no ``sitecustomize`` of a package runs, here or in any process of the slot.
    return [
        str(interpreter),
        "-I",
        "-S",
        "-X",
        "utf8",
        str(entry),
        *["--inside"] * inside,
        *[str(environment)] * (environment is not None),
    ]


def worker_environment() -> dict[str, str]:
    """What scripts find in ``os.environ``, beside their scratch as HOME and TMPDIR.

    Built, never inherited, so that no secret of whoever started the engine is in it.
    """
    zone = {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}
    return _ENVIRONMENT | zone
