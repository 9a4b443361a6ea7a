"""What Tab offers: by the protocol in every case, and in the shells that are here as somebody types."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pty_session import PtySession

from store.frontmatter.keys import KEYS
from tui.cli import cli
from tui.commands.candidates import HEADER_KEYS, PARAM_KEYS
from tui.commands.completion import answer

PROGRAM = Path(sys.executable).parent / "gatewright"

REPORT = """'''Nightly.'''
import re

# /// script
# [tool.gatewright]
# title = "Report"
# [tool.gatewright.params.log]
# type = "file"
# [tool.gatewright.params.level]
# type = "str"
# choices = ["warn", "error"]
# [tool.gatewright.params.loud]
# type = "bool"
# ///
"""


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without an engine, as the current folder."""
    root = tmp_path / "plant"
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    for name, text in {
        "night/report.py": REPORT,
        "night/hello.py": "",
        "day/hello.py": "",
        "torn.py": "# /// script\n# [[[\n# ///\n",
        "\x1b[2J.py": "",
        ".hidden.py": "",
        "notes.txt": "",
    }.items():
        (root / "scripts" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "scripts" / name).write_text(text)
    os.mkfifo(root / "scripts/pipe.py")
    monkeypatch.chdir(root)
    return root


def offered(line: str, *, word: str | None = None) -> list[str]:
    """The values that bash gets for a command line up to the cursor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMP_LINE", f"gatewright {line}")
        if word is not None:
            patch.setenv("COMP_WORD", word)
        return [row.split("\t")[1] for row in answer(cli, "bash_complete").splitlines()]


def kinds(line: str) -> set[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMP_LINE", f"gatewright {line}")
        return {row.split("\t")[0] for row in answer(cli, "zsh_complete").splitlines()}


def test_commands_options_and_folders(plant: Path) -> None:
    assert {"run", "exec", "runs", "completion"} <= set(offered(""))
    assert offered("scripts du") == ["duplicate"]
    assert offered("run --ti") == ["--timeout"]
    assert offered("run --mode a") == ["admin"]
    assert "dir" in kinds("")
    assert kinds("--project ") == {"dir"}
    assert kinds("run x --out ") == {"dir"}
    assert kinds("scripts import ") == {"file"}


def test_hosts_that_the_doctor_knows(plant: Path) -> None:
    assert offered("doctor --explain ub") == ["ubuntu-22.04", "ubuntu-24.04"]


def test_scripts_by_path_and_by_file_name(plant: Path) -> None:
    assert offered("run ") == ["day/hello", "night/hello", "night/report", "pipe", "torn"]
    assert offered("run ni") == ["night/hello", "night/report"]
    assert offered("run night/report.p") == ["night/report.py"]
    assert offered("run rep") == ["report"]
    assert offered("run hel") == [], "there are two of that name"
    for line in ("history ni", "scripts show ni", "scripts rename ni", "--open ni", "git log ni"):
        assert offered(line) == ["night/hello", "night/report"], line
    assert offered("runs list --name ni") == ["night/hello.py", "night/report.py"]
    assert offered("git stage scripts/ni") == ["scripts/night/hello.py", "scripts/night/report.py"]


def test_documents_by_path(plant: Path) -> None:
    for name in ("reports/night.md", "reports/pump.png", "data.csv", ".hidden.md", "\x1b[2J.md"):
        (plant / "documents" / name).parent.mkdir(parents=True, exist_ok=True)
        (plant / "documents" / name).write_text("")
    for line in ("documents show ", "documents delete re", "documents rename reports/n"):
        assert offered(line) == ["reports/night.md"], line


def test_parameters_and_what_they_may_be(plant: Path) -> None:
    assert offered("run night/report -p ") == ["level=", "loud="]
    assert offered("run report -p le") == ["level="]
    assert offered("run night/report -p level=warn -p ") == ["loud="]
    assert offered("run night/report -p level=e") == ["level=error"]
    assert offered("run night/report -p level=e", word="e") == ["error"], "for bash a word begins at the equals sign"
    assert offered("run night/report --param=lo") == ["--param=loud="]
    assert offered("run night/report -p loud=") == ["loud=true", "loud=false"]
    assert offered("run night/report --file ") == ["log="]
    assert kinds("run night/report --file log=/va") == {"file"}
    assert kinds("run night/report -p ") == {"open"}
    for line in ("run torn -p ", "run pipe -p ", "run nosuch -p ", "exec 1 -p "):
        assert offered(line) == [], line


def test_keys_of_a_script_s_header(plant: Path) -> None:
    assert offered("scripts set night/report limits.t") == ["limits.timeout="]
    assert offered("scripts set night/report kind=") == ["kind=utility", "kind=macro"]
    assert offered("scripts set night/report params.level.d") == ["params.level.default="]
    assert offered("scripts set night/report --unset desc") == ["description"]


def test_the_keys_that_are_offered_are_all_that_can_be_set() -> None:
    own = {*HEADER_KEYS, *(f"params.NAME.{part}" for part in PARAM_KEYS)}
    assert own == {*KEYS}


def test_nothing_is_made_started_or_said(plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(plant.rglob("*"))
    for line in (
        "runs show ",
        "runs cancel ",
        "nosuch ",
        "run 'un",
        "--project /nonexistent run ",
        "exec --\x1b ",
        "run ",
    ):
        offered(line)
    assert offered("runs show ") == []
    assert sorted(plant.rglob("*")) == before
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert offered("run ") == []
    assert list(empty.iterdir()) == []
    environment = {**os.environ, "_GATEWRIGHT_COMPLETE": "bash_complete", "COMP_LINE": "gatewright nosuch --x "}
    environment.pop("COMP_WORD", None)
    for variables in (environment, {**environment, "_GATEWRIGHT_COMPLETE": "tcsh"}):
        done = subprocess.run([PROGRAM], env=variables, cwd=empty, capture_output=True, timeout=30, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")


def test_runs_of_an_engine_that_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    done = subprocess.run([PROGRAM, "--json", "exec", "result = 1"], capture_output=True, timeout=30, check=True)
    number = done.stdout.decode().partition('"id":')[2].partition(",")[0]
    assert number in offered("runs show ")
    assert number in offered(f"runs compare {number} ")
    assert number not in offered("runs cancel "), "it has ended"


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(gatewright completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit && compinit -D -u; source <(gatewright completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "gatewright completion fish | source"),
}


@pytest.fixture(params=["bash", *(pytest.param(name, marks=pytest.mark.slow) for name in ("zsh", "fish"))])
def shell(request: pytest.FixtureRequest, plant: Path, tmp_path: Path) -> Iterator[PtySession]:
    """A shell in the project that knows how to complete; nothing of the account's own is read."""
    command, begin = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    environment = {
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "PS1": "$ ",
    }
    with PtySession(command, rows=30, columns=100, env=environment, cwd=plant) as session:
        session.send(f"{begin}; echo rea''dy\r".encode())
        assert session.wait_for("ready", 30), session.text
        session.send(b"echo be''gin\r")
        assert session.wait_until(lambda: any(line.startswith("begin") for line in session.screen.display), 30)
        yield session


def test_a_shell_completes_as_somebody_types(shell: PtySession) -> None:
    shell.send(b"gatewright run night/rep\t")
    assert shell.wait_for("run night/report ", 30), shell.text
    shell.send(b"-p lev\t")
    assert shell.wait_for("-p level=", 30), shell.text
    shell.send(b"er\t")
    assert shell.wait_for("-p level=error ", 30), shell.text
    shell.send(b"--time\t")
    assert shell.wait_for("--timeout ", 30), shell.text
    shell.send(b"\x15gatewright scripts search x --pro\t")
    assert shell.wait_for("search x --project ", 30), shell.text
    shell.send(b"scri\t")
    assert shell.wait_for("--project scripts/", 30), shell.text
    shell.send(b"\x15gatewright run night/report --file lo\t")
    assert shell.wait_for("--file log=", 30), shell.text
    shell.send(b"scripts/no\t")
    assert shell.wait_for("log=scripts/notes.txt", 30), shell.text
    assert "rror:" not in shell.text
