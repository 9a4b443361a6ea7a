"""The recipes of the help pages, run as they are printed against a real engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project
from jython_support import CLIENT, needs_jython, run_jython

import tui
from engine.api.compat.endpoint import REAL_STATUSES
from engine.registry.operation import COMPAT_BASE
from tui.cli import COMMANDS
from tui.commands.help import TOPICS

PAGES = Path(tui.__file__).parent / "help"
PATIENCE = 60
FENCED = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
MARK = "----"


@dataclass(frozen=True)
class Recipe:
    """A recipe, and what the page says that it prints."""

    language: str
    kind: str
    code: str
    prints: str


def recipes(topic: str) -> list[Recipe]:
    return [Recipe(*(part or "" for part in found)) for found in FENCED.findall((PAGES / f"{topic}.md").read_text())]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CliProject, dict[str, str]]]:
    """An engine that listens, and the environment that the page tells to set."""
    folder = tmp_path_factory.mktemp("recipes")
    with cli_project(folder / "plant", '[listen]\naddress = "127.0.0.1:0"\n') as project:
        (setup,) = [recipe.code for recipe in recipes("api") if recipe.kind == "setup"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-ec", setup], cwd=project.root, env={**os.environ, "PATH": path}, check=True, timeout=PATIENCE
        )
        file = str(folder / "author.token")
        made = project.call("token", "create", "--role", "author", "--name", "author", "--output", file)
        assert made.returncode == 0, made.stderr
        (url,) = project.json("engine", "status")["engine"]["listening"]
        yield project, {**os.environ, "GATEWRIGHT_URL": url, "GATEWRIGHT_TOKEN_FILE": file}


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here: apt-get install curl")
def test_curl(plant: tuple[CliProject, dict[str, str]]) -> None:
    project, environment = plant
    blocks = [recipe.code for recipe in recipes("api") if recipe.language == "sh" and not recipe.kind]
    script = "set -eu\n" + "".join(f"{block}echo; echo {MARK}\n" for block in blocks)
    done = subprocess.run(
        ["bash", "-c", script], cwd=project.root, env=environment, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    on_socket, engine, run, call, stream, figures, repeats, rest = done.stdout.split(f"\n{MARK}\n")
    assert json.loads(on_socket)["role"] == "admin"
    assert json.loads(engine)["project"] == str(project.root)
    assert (json.loads(run)["state"], json.loads(run)["value"]) == ("finished", 42)
    assert (json.loads(call)["success"], json.loads(call)["result"]) == (True, "42")
    assert re.findall(r"^event: (\w+)", stream, re.MULTILINE)[-1] == "finished"
    assert '"text":"1\\n2\\n"' in stream or '"text":"2\\n"' in stream
    assert figures.strip().startswith('gatewright_runs_total{outcome="ok"} ')
    first, second = (json.loads(line) for line in re.sub(r"\}\{", "}\n{", repeats).splitlines())
    assert first["id"] == second["id"]
    assert not rest


@pytest.mark.parametrize("number", [0, 1], ids=["requests", "asyncio"])
def test_python(plant: tuple[CliProject, dict[str, str]], number: int) -> None:
    recipe = [recipe for recipe in recipes("api") if recipe.language == "python"][number]
    done = subprocess.run(
        [sys.executable, "-c", recipe.code], env=plant[1], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, recipe.prints), done.stderr


def test_the_statuses_of_the_modules_routes_are_those_that_the_page_names(
    plant: tuple[CliProject, dict[str, str]],
) -> None:
    text = (PAGES / "api.md").read_text()
    *first, last = map(str, sorted(REAL_STATUSES))
    assert f"all but {', '.join(first)} and {last} have the status 200" in text

    def status(method: str, path: str) -> int:
        token = Path(plant[1]["GATEWRIGHT_TOKEN_FILE"]).read_text().strip()
        url = f"{plant[1]['GATEWRIGHT_URL']}{COMPAT_BASE}/api/v1{path}"
        asked = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    found = [status("GET", "/nothing"), status("DELETE", "/exec"), status("GET", "/scripts/load/none")]
    assert found == [404, 405, 200]


@needs_jython
@pytest.mark.slow
def test_jython(plant: tuple[CliProject, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWRIGHT_URL", "GATEWRIGHT_TOKEN_FILE"):
        monkeypatch.setenv(name, plant[1][name])
    (tmp_path / "python3.py").write_text(CLIENT.read_text())
    found = [recipe for recipe in recipes("jython") if recipe.kind == "jython"]
    (tmp_path / "recipes.py").write_text("".join(recipe.code for recipe in found))
    assert len(found) == 5
    assert run_jython(str(tmp_path / "recipes.py"), folder=tmp_path) == "".join(recipe.prints for recipe in found)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_is_printed_without_an_engine_or_a_project(topic: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tui.cli", "help", topic]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.startswith("# ")
    assert "```" not in done.stdout
    for recipe in recipes(topic):
        assert recipe.code in done.stdout
    named = set(re.findall(r"gatewright (?:--\S+ \S+ )*([a-z]+)\b", done.stdout)) - {"itself", "import"}
    assert named <= {*COMMANDS}
    assert all(len(line) <= 120 for line in done.stdout.splitlines())


def test_topics_and_near_names() -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tui.cli", "help", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert (
        {*re.findall(r"^  ([\w-]+)", call().stdout, re.MULTILINE)}
        == {*TOPICS}
        == {path.stem for path in PAGES.iterdir()}
    )
    wrong = call("acess")
    assert wrong.returncode == 2
    assert "Did you mean access" in wrong.stderr
    assert "gatewright token --help" in call("token").stderr
