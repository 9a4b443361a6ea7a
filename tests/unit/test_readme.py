"""The documents promise commands: they are there, CI runs the same ones, and nothing of one machine is in the tree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tui.cli import COMMANDS, cli
from tui.commands.invocation import Invocation

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci" / "run").read_text()

MARK = re.compile(r"<!-- command: (\w+) -->\n```sh\n(.+)\n```\n")


def tracked() -> list[Path]:
    """The files that a clone has."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_two_commands_are_there_and_each_is_one_line() -> None:
    commands = dict(MARK.findall(README))
    assert set(commands) == {"open", "test"}
    assert all("\n" not in command for command in commands.values())
    assert commands["open"].endswith(".venv/bin/gatewright ~/gatewright-demo")
    assert "pytest" in commands["test"]


def test_ci_takes_them_from_the_readme() -> None:
    assert "readme_command open" in CI
    assert "readme_command test" in CI
    assert "pip install" not in CI, "CI must run README's commands, not its own"


@pytest.mark.parametrize("check", ["ruff check", "ruff format --check", "bin/mypy", "lint-imports", "tests/bench"])
def test_ci_runs_the_checks(check: str) -> None:
    assert check in CI


def test_ci_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


def test_every_command_in_the_tour_exists() -> None:
    used = set(re.findall(r"gatewright (?:--\S+ )*([a-z]+)\b", README)) - {"needs"}
    named = {name for name in used if re.search(rf"(^|[`&|(] ?)gatewright {name}", README, re.MULTILINE)}
    assert named, "the tour shows no command"
    assert named <= set(COMMANDS)


@pytest.mark.parametrize(
    "arguments", [line.split() for line in sorted(set(re.findall(r"`gatewright ([a-z ]+)`", README)))], ids=" ".join
)
def test_every_command_that_the_text_names_has_help(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, [*arguments, "--help"], obj=Invocation())
    assert result.exit_code == 0, result.output


def test_the_readme_tells_every_exit_code() -> None:
    table = README.partition("## Exit codes")[2].partition("\n## ")[0]
    assert re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) == [*"012345", "124", "130", "129, 143"]


def test_links_lead_to_files() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text()
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", text):
            assert (ROOT / target).exists(), f"{name} links to {target}"


def test_no_machine_and_no_package_index_in_the_tree() -> None:
    hosts = ["pypi" + ".org", "python" + "hosted"]
    for path in tracked():
        assert path.name != "uv.lock"
        text = path.read_bytes().decode("utf-8", "replace")
        assert str(ROOT) not in text or len(str(ROOT)) < 6, f"{path} names this machine's path"
        assert not any(host in text for host in hosts), f"{path} names a package index"
        if path.suffix != ".py":  # which has it as an option of others' programs, and as a name that is refused
            assert "index" + "-url" not in text, f"{path} names a package index"


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text
