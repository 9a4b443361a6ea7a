"""Requests made of both OpenAPI documents, right ones and wrong ones, sent to a real engine by schemathesis.

No answer is of the kind 5xx, and each has the type and the shape that the document promises. Left out are the end of
the engine and streams that have no end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project

OURS = "/api/v1"
MODULES = "/data/python3integration"
DOCUMENTS = {OURS: f"{OURS}/openapi.json", MODULES: f"{MODULES}/api/v1/openapi.json"}
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance"
LEFT_OUT = ("engine.stop", "events", "runs.events")
SETTINGS = """
[[operations]]
include-name-regex = "POST /assistant/"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""
"""A project without an assistant says so with 503, as it should."""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CliProject, str, str]]:
    """An engine that listens, its address, and an administrator's token."""
    folder = tmp_path_factory.mktemp("fuzz")
    with cli_project(folder / "plant", '[listen]\naddress = "127.0.0.1:0"\n[packages]\nindex = "none"\n') as project:
        token = project.json("token", "create", "--role", "admin", "--name", "fuzz")["token"]
        (url,) = project.json("engine", "status")["engine"]["listening"]
        yield project, url, token


def fuzz(plant: tuple[CliProject, str, str], base: str, folder: Path, *options: str) -> None:
    """Run schemathesis over the document of ``base``; what it found is what the failure shows."""
    project, url, token = plant
    (folder / "schemathesis.toml").write_text(SETTINGS)
    # The token of an engine that is gone in a moment may stand among arguments.
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", url + DOCUMENTS[base], "--url", url + base,
        "--header", f"Authorization: Bearer {token}", "--checks", CHECKS, "--request-timeout", "30",
        "--warnings", "off", "--suppress-health-check", "all", "--continue-on-failure",
        *(word for name in LEFT_OUT if base == OURS for word in ("--exclude-operation-id", name)), *options,
    ]  # fmt: skip
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout, done.stdout[-2000:]
    assert project.json("eval", "6 * 7")["value"] == 42
    log = (project.root / ".gatewright" / "logs" / "engine.log").read_text()
    assert "Traceback" not in log, log[-4000:]


def test_a_few_requests_to_each_of_the_modules_operations(plant: tuple[CliProject, str, str], tmp_path: Path) -> None:
    fuzz(plant, MODULES, tmp_path, "--phases", "fuzzing", "--max-examples", "1", "--seed", "12")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("base", DOCUMENTS)
def test_many_requests_to_each_operation(plant: tuple[CliProject, str, str], base: str, tmp_path: Path) -> None:
    fuzz(plant, base, tmp_path, "--phases", "coverage,fuzzing", "--max-examples", "12")
