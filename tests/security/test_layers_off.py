"""Each layer of the sandbox holds back something that no other does: without it, attacks of the catalogue get through.

So whoever breaks a layer by mistake hears of it from ``test_attacks.py``. The long tests take away each of them in turn
and print what came of it; the short ones one of the worker's and one of the engine's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from account_support import environment
from outside import FOLDERS, Outside, tag_of
from without import EVERY_LAYER, LAYERS

SCRIPT = str(Path(__file__).with_name("attack_host.py"))
PATIENCE = 300.0
NAMES_SHOWN = 3

pytestmark = pytest.mark.timeout(len(LAYERS) * PATIENCE)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for one trial. What it leaves elsewhere is looked for, and nothing may be there."""
    folder = Path(tempfile.mkdtemp(prefix="gwtrial-", dir="/tmp"))  # short: sockets lie in it
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        left = Outside(tag_of(folder), 0, folder).files()
    assert not left, f"the attacks left {left} on the host"


def attacked(layer: str, *names: str) -> dict[str, Any]:
    """What the attacks that could find out saw of a sandbox without ``layer``."""
    with own_folder() as folder:
        done = subprocess.run(
            [sys.executable, SCRIPT, str(folder), f"--without={layer}", *(names or LAYERS[layer].tried)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd="/",
            env=environment(),
        )  # fmt: skip
    assert done.stdout, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def let_through(report: dict[str, Any]) -> list[str]:
    """The attacks that ``test_attacks.py`` would fail for."""
    return [name for name, seen in report["restricted"].items() if seen["signs"] or seen["after"]]


@pytest.mark.parametrize(
    ("layer", "attack"),
    [("inner filter", "processes-fork"), ("environment", "introspection-walk-environ")],
)
def test_a_layer_that_is_missing_is_found_out(layer: str, attack: str) -> None:
    assert attack in let_through(attacked(layer, attack))


@pytest.mark.slow
def test_every_layer_that_is_missing_is_found_out() -> None:
    rows, unnoticed = [], []
    for layer in (EVERY_LAYER, *(name for name in LAYERS if name != EVERY_LAYER)):
        report = attacked(layer)
        through = let_through(report)
        rows.append(_row(layer, through, report))
        if bool(through) is (layer == EVERY_LAYER):
            unnoticed.append(rows[-1])
    print("\n".join([*_head(), *rows]))  # shown with the report of tests that passed (-rP), also by several workers
    assert not unnoticed


def _head() -> list[str]:
    return [
        "| taken away | get through | tried | refused by the engine's own test | such as |",
        "|---|---|---|---|---|",
    ]


def _row(layer: str, through: list[str], report: dict[str, Any]) -> str:
    noticed = "yes" if report["noticed"] else "no"
    shown = ", ".join(through[:NAMES_SHOWN])
    return f"| {layer} | {len(through)} | {len(report['restricted'])} | {noticed} | {shown} |"


def test_what_attacks_make_elsewhere_would_be_found() -> None:
    """Wherever they try, and in the root folder: it is the parent of root's home."""
    assert {"/tmp", "/var/tmp", "/dev/shm", "/run"} <= set(FOLDERS)
    assert os.geteuid() != 0 or "/" in FOLDERS
