"""``gatewright modules``: the policy of the project's engine, and the same sentences as in a script's own run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project

POLICY = """
[policy]
preset = "practical"
modules = ["plantlib", "socket"]
lifted = ["ctypes"]
admin_as_root = true
"""


BLOCKED_PACKAGES = ("paramiko", "telnetlib") if sys.version_info < (3, 13) else ("paramiko",)
"""Python 3.13 has no telnetlib any more (PEP 594)."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        yield made


def test_both_modes_are_listed_with_what_to_do_instead(project: CliProject) -> None:
    done = project.call("modules")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 100
    restricted, _, rest = done.stdout.partition("They may not import:")
    for name in ("csv", "logging", "zoneinfo", "sqlite3", "os.path", "http"):
        assert f" {name} " in restricted.replace("\n", " ")
    refused, _, admin = rest.partition("ADMIN scripts may import everything that is installed, but not:")
    assert "  os posix\n    Use pathlib, shutil or os.path" in refused
    assert "  threading\n    Use concurrent.futures or asyncio" in refused
    assert [line.strip() for line in admin.splitlines() if line.startswith("  ") and line[2] != " "] == [
        "ctypes",
        " ".join(BLOCKED_PACKAGES),
        "threading",
    ]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("csv", 0, ["standard library", "RESTRICTED  may be imported", "ADMIN       may be imported"]),
        ("os", 4, ["RESTRICTED  The module os may not be imported", "ADMIN       may be imported"]),
        ("urllib.request", 4, ["no network"]),
        ("ctypes", 4, ["policy.lifted and policy.modules", "ADMIN       The module ctypes"]),
        ("plantlib", 4, ["not installed for scripts here", "may be imported, once it is installed"]),
    ],
)
def test_one_module_is_judged_in_both_modes(project: CliProject, name: str, code: int, said: list[str]) -> None:
    done = project.call("modules", name)
    assert done.returncode == code
    assert [part for part in said if part not in done.stdout] == []


def test_shared_code_and_scripts_of_the_project_are_known(project: CliProject) -> None:
    project.script("lib/tags.py", "TAG = 1\n")
    project.script("lib/plant/deep.py", "")
    project.script("helper.py", "")
    for name, where in (("lib", "the folder scripts/lib"), ("lib.tags", "scripts/lib/tags.py"), ("lib.plant", "")):
        done = project.call("modules", name)
        assert done.returncode == 0
        assert f"shared code of this project ({where}" in done.stdout
    missing = project.call("modules", "lib.nope")
    assert (missing.returncode, "There is no scripts/lib/nope.py." in missing.stdout) == (4, True)
    for name, line in (("helper", "import helper"), ("tags", "import tags")):
        refused = json.loads(project.call("--json", "modules", name).stdout)["modules"][0]["restricted_refusal"]
        run = json.loads(project.call("--json", "exec", line).stdout)
        assert refused in json.dumps(run, ensure_ascii=False).replace('\\"', '"'), run
    assert "is a script of this project (helper.py)" in project.call("modules", "helper").stdout.replace("\n", " ")


@pytest.mark.parametrize("name", ["class", "a b", "../x", "import os", ".os", "x" * 300, "os;sys"])
def test_what_is_no_name_of_a_module_is_refused(project: CliProject, name: str) -> None:
    done = project.call("modules", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_the_sentence_is_that_of_a_run(project: CliProject) -> None:
    done = project.call("--json", "modules", "socket")
    assert done.returncode == 4
    (verdict,) = json.loads(done.stdout)["modules"]
    run = project.call("--json", "exec", "import socket")
    assert run.returncode == 1
    assert json.loads(run.stdout)["error"]["message"] == verdict["restricted_refusal"]


def test_the_answer_is_the_policy_of_the_project(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant", POLICY) as project:
        report = project.json("modules")
        assert (report["preset"], report["added"], report["lifted"]) == (
            "practical", ["plantlib", "socket"], ["ctypes"]
        )  # fmt: skip
        taken = {each["name"] for each in report["modules"] if each["restricted"]}
        assert {"os", "threading", "socket", "plantlib", "csv"} <= taken
        assert not {"subprocess", "ctypes", "ssl"} & taken
        assert {each["name"] for each in report["modules"] if not each["admin"]} == set(BLOCKED_PACKAGES)
        listed = project.call("modules").stdout
        assert "those that policy.modules of settings.toml names:\n  plantlib socket" in listed
        assert "Lifted in both modes by policy.lifted of settings.toml:\n  ctypes" in listed
        code = "import os, threading\nresult = [os.getcwd() != '', threading.current_thread().name]"
        assert project.json("exec", code)["value"] == [True, "MainThread"]
        assert project.json("exec", "--mode", "admin", "import threading, ctypes\nresult = 1")["value"] == 1


def test_a_package_that_was_installed_meanwhile_is_found(project: CliProject) -> None:
    project.script("reads.py", "import plantkit\n")
    missing = "reads.py:1:1: warning: The module plantkit is not installed for scripts here"
    assert project.call("scripts", "check", "reads").stdout.startswith(missing)
    assert "is not installed for scripts here" in project.call("modules", "plantkit").stdout
    (packages,) = project.root.glob(".gatewright/envs/default/lib/python*/site-packages")
    (packages / "plantkit.py").write_text("")
    told = project.call("scripts", "check", "reads").stdout
    assert "The module plantkit may not be imported in RESTRICTED mode: run the script in ADMIN mode" in told
    done = project.call("modules", "plantkit")
    assert (done.returncode, "installed for scripts here\n" in done.stdout) == (4, True)
    run = project.call("run", "reads")
    assert "policy.modules" in run.stderr
    assert "not installed" not in run.stderr
