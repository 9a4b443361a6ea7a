"""The module for Jython as a text: where it is, what it is made of, and how ``gatewright client jython`` prints it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from importlib import metadata, resources
from pathlib import Path

import pytest

from tui.cli import cli
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation

PROJECT = Path(__file__).parents[2]
TEXT = resources.files("engine").joinpath("foreign", "python3.py").read_bytes()

FUNCTIONS = {
    "exec": ("code", "variables", "securityMode", "pythonVersion"),
    "eval": ("expression", "variables", "securityMode", "pythonVersion"),
    "callModule": ("moduleName", "functionName", "args", "kwargs", "securityMode"),
    "callScript": ("scriptPath", "args", "kwargs"),
    "isAvailable": (),
    "getVersion": (),
    "getPoolStats": (),
    "getExecutionStats": (),
    "getAvailableScripts": (),
    "getDistributionInfo": (),
    "getAvailableVersions": (),
    "getDefaultVersion": (),
    "checkSyntax": ("code",),
    "getCompletions": ("code", "line", "column"),
    "resizePool": ("n",),
    "example": (),
    "callMany": ("scriptPath", "listOfKwargs"),
    "start": ("scriptPath", "kwargs", "key"),
    "status": ("id",),
    "result": ("id", "wait"),
    "cancel": ("id",),
}
"""What scripts call, with the arguments that may be positional; the first part as ``system.python3`` has them."""


def builds_wheels() -> bool:
    """Tell whether this interpreter can build one without fetching something."""
    try:
        return int(metadata.version("setuptools").split(".")[0]) >= 77
    except metadata.PackageNotFoundError:
        return False


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What ``gatewright client jython`` prints with these options."""

    def call(*arguments: str) -> str:
        cli.main(["client", "jython", *arguments], obj=Invocation(), standalone_mode=False)
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_takes_its_arguments_by_place_and_a_timeout(name: str) -> None:
    found = {node.name: node.args for node in ast.parse(TEXT).body if isinstance(node, ast.FunctionDef)}
    taken = [argument.arg for argument in found["_exec" if name == "exec" else name].args]
    assert tuple(taken[: len(FUNCTIONS[name])]) == FUNCTIONS[name]
    assert "timeout" in taken


def test_it_is_ascii_without_a_coding_line() -> None:
    """Jython refuses a coding line in a text that it compiles from the memory, as Ignition has its libraries."""
    assert TEXT.isascii()
    assert not re.search(rb"coding[:=]", b"\n".join(TEXT.splitlines()[:2]))
    assert max(map(len, TEXT.splitlines())) <= 120


def test_it_needs_only_what_java_and_jython_bring_along() -> None:
    names = set()
    for node in ast.walk(ast.parse(TEXT)):
        if isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
    known = {"array", "base64", "collections", "datetime", "json", "math", "threading", "time", "urllib", "jarray"}
    assert names <= known | {"java", "javax", "system"}


def test_it_is_printed_as_it_is(printed: Callable[..., str]) -> None:
    assert printed().encode() == TEXT
    assert json.loads(printed("--json"))["text"].encode() == TEXT


def test_defaults_are_filled_in(printed: Callable[..., str]) -> None:
    text = printed("--url", "https://plant:9089/", "--token-file", '/etc/Grüße "x"/token', "--ca-file", "/etc/ca.pem")
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and "DEFAULT" in node.targets[0].id
    }
    assert values == {
        "DEFAULT_URL": "https://plant:9089",
        "DEFAULT_TOKEN_FILE": '/etc/Grüße "x"/token',
        "DEFAULT_CA_FILE": "/etc/ca.pem",
    }
    assert text.isascii()


def test_a_token_in_the_file_is_never_printed(printed: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("gw_secret")
    assert "gw_secret" not in printed("--token-file", str(file))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--url", "plant:9089"),
        ("--url", "https://me:secret@plant:9089"),
        ("--url", "https://plant/data"),
        ("--token-file", "token"),
    ],
)
def test_what_the_gateway_could_not_use_is_refused(printed: Callable[..., str], arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError):
        printed(*arguments)


def test_ruff_leaves_it_alone() -> None:
    """The check and the format look at the same files."""
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", "."],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert str(PROJECT / "engine/compose.py") in shown
    assert not [name for name in shown if "/foreign/" in name or "/integration/jython/" in name]


def test_mypy_leaves_it_alone() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert "engine" in settings["packages"]
    assert any(re.search(pattern, "engine/foreign/python3.py") for pattern in settings["exclude"])


@pytest.mark.slow
@pytest.mark.skipif(not builds_wheels(), reason="no setuptools 77 here: pip install -e '.[test]'")
def test_a_wheel_carries_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True).stdout
    for name in filter(None, files.decode().split("\0")):
        if name.startswith(("engine/", "tui/", "store/", "default_scripts/")) or "/" not in name:
            copy = tree / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((PROJECT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, tree],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("engine/foreign/python3.py") == TEXT
