"""The levels that the help page promises in a container, with what its flags leave of the system calls, emulated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import container
import pytest
from account_support import PATIENCE, REPOSITORY, _where_all_reach_python, environment, ordinary_account
from mounts import needs_mounts

import tui

pytestmark = [needs_mounts, pytest.mark.slow]

PAGE = (Path(tui.__file__).parent / "help/service.md").read_text()
CONTAINER = str(Path(container.__file__))
FILTER = str(REPOSITORY / "tests/security/emulated_host.py")
UNCONFINED = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"
ROWS = {
    "none: the engine's own filter refuses namespaces and mounts": ([], "container", "core"),
    UNCONFINED: ([], "", "full"),
    "the same, rootless (Podman, rootless Docker)": (["rootless"], "", "full"),
    "the same, where the host allows no user namespaces": (["rootless", "no-userns"], "", "core"),
}
"""By what the page says: how the container is made, what its filter takes, and the level."""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with ordinary_account() as account:
        yield account.home


def call(how: list[str], lack: str, *command: str) -> subprocess.CompletedProcess[str]:
    inside = [sys.executable, FILTER, lack, "--", *command] if lack else list(command)
    around = [*_where_all_reach_python(), sys.executable, CONTAINER, *how, "--"]
    return subprocess.run(
        [*around, *inside], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        cwd="/", env=environment(),
    )  # fmt: skip


@pytest.mark.parametrize("flags", ROWS)
def test_a_container_reaches_the_level_that_the_page_says(flags: str, home: Path) -> None:
    how, lack, level = ROWS[flags]
    assert re.search(rf"^\| {re.escape(flags)} \| {level} \|$", PAGE, re.MULTILINE)
    project = home / str(len(list(home.iterdir())))
    project.mkdir(mode=0o700)
    owner = container.UID + (container.OUTSIDE if "rootless" in how else 0)
    os.chown(project, owner, owner)
    # As the Dockerfile's entry point and a call of docker exec: a folder that is none yet, an engine in the foreground.
    script = (
        f'"$0" -m tui.cli engine serve --make --project {project} & engine=$!;'
        f"until test -S {project}/.gatewright/engine.sock; do kill -0 $engine || exit 9; sleep 0.05; done;"
        f'"$0" -m tui.cli --json --project {project} exec "result = 40 + 2"; code=$?;'
        f"kill -TERM $engine; wait $engine || exit 8; exit $code"
    )
    done = call(how, lack, "sh", "-c", script, sys.executable)
    assert done.returncode == 0, done
    run = json.loads(done.stdout)
    assert run["value"] == 42
    assert run["isolation"].startswith(level), run["isolation"]


def test_the_emulated_container_is_one() -> None:
    code = (
        "import json, os; status = dict(line.rstrip().partition(':\\t')[::2] for line in open('/proc/self/status'));"
        "print(json.dumps([os.getuid(), status['CapEff'], int(status['NSpid'].split()[-1]) < 100,"
        " os.access('/proc/sys/kernel/hostname', os.W_OK)]))"
    )
    for how in ([], ["rootless"]):
        done = call(how, "", sys.executable, "-c", code)
        assert json.loads(done.stdout) == [container.UID, "0" * 16, True, False], done
