"""The doctor on this host, called by root and by an ordinary account, with projects that are well and that are not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from account_support import UID, OrdinaryAccount, environment, ordinary_account
from cli_support import PROGRAM, CliProject

LAYERS = [
    "user namespace", "namespaces", "private view", "scratch", "Landlock", "seccomp", "capabilities", "rlimits",
    "pidfd", "file locks", "RESTRICTED", "ADMIN",
]  # fmt: skip
FIELDS = {"level", "tried", "found", "advice", "layer", "protects"}


@pytest.fixture(scope="module")
def account() -> Iterator[OrdinaryAccount]:
    with ordinary_account() as made:
        yield made


def findings(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    assert all(finding.keys() == FIELDS for finding in found)
    assert not any("itself failed" in finding["found"] for finding in found)
    return found


def of_layers(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {finding["layer"]: finding for finding in found if finding["layer"]}


def test_every_layer_is_tried_and_explained(tmp_path: Path) -> None:
    layers = of_layers(findings(CliProject(tmp_path).call("--json", "doctor")))
    assert list(layers) == LAYERS
    assert all(finding["tried"] and finding["found"] and finding["protects"] for finding in layers.values())
    if all(layers[layer]["level"] == "ok" for layer in LAYERS[:-2]):
        assert layers["RESTRICTED"]["found"].startswith("full: ")
    assert layers["ADMIN"]["found"].startswith("off: the engine runs as root" if os.geteuid() == 0 else "on")
    assert list(tmp_path.iterdir()) == [], "a folder that is no project is left as it is"


def test_an_ordinary_account_has_the_same_sandbox_and_admin(account: OrdinaryAccount) -> None:
    layers = of_layers(findings(account.call("--project", str(account.folder("own")), "--json", "doctor")))
    assert list(layers) == LAYERS
    if all(layers[layer]["level"] == "ok" for layer in LAYERS[:-2]):
        assert layers["RESTRICTED"]["found"].startswith("full: ")
    assert layers["ADMIN"]["found"].startswith("on, for administrators")
    assert "RLIMIT_NPROC" not in layers["rlimits"]["found"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_root_tries_it_as_the_projects_owner(account: OrdinaryAccount) -> None:
    root = account.folder("of-the-account")
    command = account.command_of_root("--project", str(root), "--json", "doctor")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment(), cwd="/")
    assert of_layers(findings(done))["ADMIN"]["found"].startswith("on, for administrators")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_stranger_hears_of_the_host_and_whose_the_project_is(account: OrdinaryAccount) -> None:
    root = account.home / "roots"
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    found = findings(account.call("--project", str(root), "--json", "doctor"))
    assert list(of_layers(found)) == LAYERS
    assert "belongs to root" in found[-1]["found"]


@pytest.mark.parametrize(
    ("settings", "mode", "complaint"),
    [
        ("[policy]\nallow_degraded = 3\n", 0o600, "allow_degraded must be true or false"),
        ("[policy\n", 0o600, "not valid TOML"),
        ("[policy]\nadmin_as_root = true\n", 0o666, "can be written by other accounts"),
        ("[policy]\n", 0o000, "cannot be read"),
    ],
)
def test_bad_settings_hide_nothing(account: OrdinaryAccount, settings: str, mode: int, complaint: str) -> None:
    """They do not count either: what they would allow stays as it is by default."""
    root = account.folder(f"settings-{mode:o}-{len(settings)}")
    private = root / ".gatewright"
    private.mkdir(mode=0o700)
    file = private / "settings.toml"
    file.write_text(settings)
    file.chmod(mode)
    if os.geteuid() == 0:
        for path in (private, file):
            os.chown(path, UID, UID)
    found = findings(account.call("--project", str(root), "--json", "doctor"))
    assert list(of_layers(found)) == LAYERS
    [told] = [finding for finding in found if finding["tried"] == "settings"]
    assert told["level"] == "fail"
    assert complaint in told["found"]


def test_policy_decides_about_admin_as_root(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("for root's own projects")
    private = tmp_path / ".gatewright"
    private.mkdir(mode=0o700)
    file = private / "settings.toml"
    file.write_text("[policy]\nadmin_as_root = true\n")
    file.chmod(0o600)
    layers = of_layers(findings(CliProject(tmp_path).call("--json", "doctor")))
    assert layers["ADMIN"]["found"].startswith("on, for administrators")


def test_the_scripts_own_interpreter_makes_the_trials(tmp_path: Path) -> None:
    folder = tmp_path / ".gatewright/envs/default/bin"
    folder.mkdir(parents=True)
    (tmp_path / ".gatewright").chmod(0o700)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no Python at all >&2\nexit 3\n")
    broken.chmod(0o700)
    (folder / "python").symlink_to(broken)
    layers = of_layers(findings(CliProject(tmp_path).call("--json", "doctor")))
    assert list(layers) == ["interpreter"]
    assert layers["interpreter"]["level"] == "fail"
    assert "no Python at all" in layers["interpreter"]["found"]
    # What lies there itself may be a package's, and is not executed.
    (folder / "python").unlink()
    broken.rename(folder / "python")
    layers = of_layers(findings(CliProject(tmp_path).call("--json", "doctor")))
    assert list(layers) == ["interpreter"]
    assert "is not known" in layers["interpreter"]["found"]


@pytest.mark.slow
def test_the_text_says_the_same(tmp_path: Path) -> None:
    told = CliProject(tmp_path).call("doctor")
    assert told.returncode == 0
    for finding in findings(CliProject(tmp_path).call("--json", "doctor")):
        if finding["layer"]:
            assert f"{finding['tried']}: {finding['found']}" in told.stdout
            assert finding["protects"] in told.stdout
            assert finding["advice"] in told.stdout


def test_right_after_the_installation_it_says_what_comes_next(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([PROGRAM, "--json", "doctor"], cwd=tmp_path, env=environment, capture_output=True, check=True)
    steps = {finding["tried"]: finding["found"] for finding in json.loads(done.stdout)["findings"]}
    assert steps["next"] == "gatewright ~/gatewright-demo opens the console on a new project"
    assert steps["command"].endswith(f"{Path(PROGRAM).parent} is not in PATH")
    assert list(tmp_path.iterdir()) == []
