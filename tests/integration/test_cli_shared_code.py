"""Shared code from a shell: a script is moved to lib, imported, listed, checked, approved; found by python3 too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project

HELPERS = "def parse(text):\n    return text.split('/')\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        yield made


def test_what_the_refusal_of_a_script_advises_helps(project: CliProject) -> None:
    project.script("helpers.py", HELPERS)
    project.script("night/report.py", "from helpers import parse\nresult = parse('a/b')\n")
    refused = project.call("run", "night/report")
    assert "gatewright scripts rename helpers lib/helpers; then write: from lib.helpers import" in refused.stderr
    assert "if it is installed" not in refused.stderr
    assert project.call("scripts", "rename", "helpers", "lib/helpers").returncode == 0
    project.script("night/report.py", "from lib.helpers import parse\nresult = parse('a/b')\n")
    run = json.loads(project.call("run", "night/report", "--json").stdout)
    assert run["value"] == ["a", "b"]
    assert [file["path"] for file in run["shared"]] == ["lib/helpers.py"]
    assert f"lib/helpers.py  {run['shared'][0]['sha256']}" in project.call("runs", "show", str(run["id"])).stdout
    listed = project.call("scripts", "list", "helpers").stdout
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["lib/helpers", "lib"]]
    alone = project.call("run", "lib/helpers")
    assert alone.returncode != 0
    assert "lib/helpers.py holds shared code" in alone.stderr
    assert "import lib.helpers" in alone.stderr


def test_plain_python_finds_it_as_help_and_check_say(project: CliProject) -> None:
    project.script("lib/units.py", "def bar(pascal):\n    return pascal / 1e5\n")
    text = "from lib.units import bar\nresult = bar(2e5)\nprint(result)\n"
    scripts = project.root / "scripts"
    for place, found in (("top.py", {}), ("area/deep.py", {"PYTHONPATH": "scripts"})):
        project.script(place, text)
        plain = subprocess.run(
            [sys.executable, str(scripts / place)],
            cwd=project.root,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **found},
            capture_output=True,
            text=True,
            check=False,
        )
        assert plain.stdout == "2.0\n", plain.stderr
        assert project.call("run", place).stdout.startswith("2.0\n")
    assert "PYTHONPATH=scripts uv run scripts/area/deep.py" in project.call("scripts", "check", "area/deep").stderr
    assert project.call("scripts", "check", "top").stderr == ""
    assert "PYTHONPATH=scripts uv run" in " ".join(project.call("scripts", "--help").stdout.split())


def test_an_approval_names_a_hash_of_all_that_was_seen(project: CliProject, tmp_path: Path) -> None:
    project.script("lib/logs.py", "NAME = 'a.log'\n")
    asks = f'# /// script\n# [tool.gatewright.permissions]\n# read = ["{tmp_path}"]\n# ///\nfrom lib.logs import NAME\n'
    project.script("reads.py", asks)
    seen = json.loads(project.call("scripts", "approve", "reads", "--json").stdout)
    assert seen["whole_sha256"] != seen["sha256"]
    project.script("lib/logs.py", "NAME = 'b.log'\n")
    late = project.call("scripts", "approve", "reads", "--yes", "--sha256", seen["whole_sha256"])
    assert "not the text that you name" in late.stderr
    now = json.loads(project.call("scripts", "approve", "reads", "--json").stdout)
    assert project.call("scripts", "approve", "reads", "--yes", "--sha256", now["whole_sha256"]).returncode == 0
    assert project.call("run", "reads").returncode == 0
    project.script("lib/logs.py", "NAME = 'c.log'\n")
    refused = project.call("run", "reads")
    assert refused.returncode == 4
    assert "lib/logs.py, which reads.py imports, changed" in refused.stderr
    shown = project.call("scripts", "approve", "reads").stdout
    assert "-NAME = 'b.log'" in shown
    assert "+NAME = 'c.log'" in shown
    assert [line.split()[2] for line in shown.splitlines() if line.startswith("lib/logs.py")] == ["changed"]
