"""Real file systems of a test's own: small ones, and read-only ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def may_mount() -> bool:
    if os.geteuid() != 0:
        return False
    found = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return found.returncode == 0


needs_mounts = pytest.mark.skipif(not may_mount(), reason="file systems of its own need root")


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    """An empty file system of ``size`` bytes at ``place``."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size},mode=0755", "none", str(place))
    try:
        yield place
    finally:
        _unmount(place)


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """``place`` on a read-only file system, for as long as the block lasts."""
    _mount("--bind", str(place), str(place))
    try:
        _mount("-o", "remount,bind,ro", str(place))
        yield
    finally:
        _unmount(place)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _unmount(place: Path) -> None:
    # Lazily: what a failed test left open there must not keep the next ones from running.
    subprocess.run(["umount", "--lazy", str(place)], check=True)
