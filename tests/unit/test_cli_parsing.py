"""What a command line means, before any engine is asked."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from engine.models.runs import RunRequest
from tui.cli import COMMANDS, cli
from tui.commands import exit_codes
from tui.commands.invocation import Invocation
from tui.commands.params import assignments
from tui.commands.run_options import RunOptions


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Invocation]]:
    """Replaces the console; every call of it is noted as its folder argument and the invocation."""
    calls: list[tuple[str, Invocation]] = []

    def note(invocation: Invocation, folder: str | None) -> int:
        calls.append((folder or "", invocation))
        return 0

    monkeypatch.setattr("tui.commands.console.console.callback", click.pass_obj(note))
    return calls


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments), obj=Invocation(), prog_name="gatewright")
    return result.exit_code, result.output


def test_no_argument_opens_the_console(seen: list[tuple[str, Invocation]]) -> None:
    assert call()[0] == 0
    assert [folder for folder, _ in seen] == [""]


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_path_is_the_project(seen: list[tuple[str, Invocation]], position: str) -> None:
    arguments = ["--open", "a/b.py", "./plant"] if position == "before" else ["./plant", "--open", "a/b.py"]
    assert call(*arguments)[0] == 0
    assert [(folder, invocation.open_script) for folder, invocation in seen] == [("./plant", "a/b.py")]


def test_an_existing_folder_without_a_slash_is_the_project(
    seen: list[tuple[str, Invocation]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plant").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("plant")[0] == 0
    assert [folder for folder, _ in seen] == ["plant"]


def test_a_command_goes_before_a_folder_of_its_name(
    seen: list[tuple[str, Invocation]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    code, output = call("runs", "--help")
    assert code == 0
    assert "cancel" in output
    assert call("./runs")[0] == 0
    assert [folder for folder, _ in seen] == ["./runs"]


def test_a_misspelt_command_is_not_made_a_project(seen: list[tuple[str, Invocation]]) -> None:
    code, output = call("rusn", "list")
    assert code == 2
    assert "Did you mean run or runs?" in output
    assert "./rusn" in output
    assert seen == []


def test_open_belongs_to_the_console() -> None:
    code, output = call("--open", "x.py", "runs", "list")
    assert code == 2
    assert "--open" in output


def test_a_project_given_twice_is_refused() -> None:
    code, output = call("--project", "a", "./b")
    assert code == 2
    assert "twice" in output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_takes_the_common_options(name: str) -> None:
    code, output = call(name, "--help")
    assert code == 0
    assert "--project" in output
    assert "--json" in output


@pytest.mark.parametrize("arguments", [("--project", "p", "--json"), ("p",)])
def test_the_common_options_stand_on_either_side(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Invocation] = []
    monkeypatch.setattr("tui.commands.runs.list_runs.callback", click.pass_obj(lambda obj, **_: noted.append(obj)))
    if arguments[0] == "p":
        assert call("runs", "list", "--project", "p", "--json")[0] == 0
    else:
        assert call(*arguments, "runs", "list")[0] == 0
    assert [(invocation.project, invocation.json) for invocation in noted] == [("p", True)]


def test_parameters_keep_everything_behind_the_first_equals_sign() -> None:
    param = click.Option(["-p", "params"])
    values = ("a=1", "b=x=y", "c=", "d= space ")
    assert assignments(click.Context(cli), param, values) == {"a": "1", "b": "x=y", "c": "", "d": " space "}


@pytest.mark.parametrize("bad", [("a",), ("=1",), ("1a=2",), ("a b=2",), ("a=1", "a=2")])
def test_what_is_no_parameter_is_refused(bad: tuple[str, ...]) -> None:
    with pytest.raises(click.BadParameter):
        assignments(click.Context(cli), click.Option(["-p", "params"]), bad)


@pytest.mark.parametrize(
    "arguments",
    [("exec", "1", "--timeout", "soon"), ("exec", "1", "--mode", "root"), ("eval",), ("run",), ("runs", "show", "x")],
)
def test_usage_errors_exit_with_2(arguments: tuple[str, ...]) -> None:
    assert call(*arguments)[0] == 2


def test_without_a_terminal_the_console_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", "."], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert done.stdout == ""


def test_a_terminal_gets_no_control_sequences() -> None:
    """The error names what was typed or expanded from a file name; the terminal must not obey it."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "exec", "--\x1b[2J"], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    assert process.wait(20) == 2
    shown = os.read(controller, 4096)
    os.close(controller)
    assert rb"\x1b[2J" in shown
    assert b"\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("exec", "1", "--timeout", "abc"), "'abc' is no number of seconds, such as 30 or 0.5."),
        (("exec", "1", "--timeout", "nan"), "'nan' is no number of seconds"),
        (("run", "a", "--file", "log"), "'log' has no value. Write log=PATH."),
        (("run", "a", "-p", "1a=2"), "'1a' cannot be the name of a parameter"),
        (("runs", "show", "x"), "'x' is no number of a run. gatewright runs list shows them."),
        (("runs", "list", "-n", "many"), "'many' is no whole number from 1 to 500."),
        (("runs", "list", "-n", "501"), "'501' is no whole number from 1 to 500."),
        (("history", "a", "--diff", "0"), "'0' is no whole number from 1 on."),
    ],
)
def test_a_wrong_value_is_said_in_the_words_of_the_plant(arguments: tuple[str, ...], said: str) -> None:
    code, output = call(*arguments)
    assert (code, said in output) == (2, True), output


@pytest.mark.parametrize("name", ["report.py", "./report.py"])
def test_a_file_is_no_project(name: str, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text("")
    command = [sys.executable, "-m", "tui.cli", name]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{name} is a file, and a project is a folder" in done.stderr
    assert "terminal" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("run", "tour", "name=Bob"),
            "name=Bob: arguments of the script stand behind --; a parameter is given by -p name=Bob",
        ),
        (("run", "tour", "name=Bob Ray", "--", "x"), "is given by -p 'name=Bob Ray'"),
        (("run", "tour", "-p", "--", "word", "--", "x"), "word: arguments of the script stand behind --"),
        (("run", "tour", "api_token=hunter2"), "api_token=…: arguments of the script"),
        (("exec", "1", "two"), "two: arguments of the script stand behind --; a parameter is given by -p NAME=VALUE"),
        (("eval", "1", "\x1b[31m=2"), "[31m=2: arguments"),
    ],
)
def test_a_script_has_its_arguments_behind_two_dashes_only(arguments: tuple[str, ...], said: str) -> None:
    code, output = call(*arguments)
    assert code == 2
    assert said in output
    assert "hunter2" not in output
    assert "\x1b" not in output


@pytest.mark.parametrize(
    "arguments",
    [("tour", "--", "a", "n=1", "--"), ("--", "tour", "a", "n=1", "--"), ("tour", "-p", "x=1", "--", "a", "n=1", "--")],
)
def test_what_stands_behind_them_is_handed_over(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    seen: list[tuple[str, ...]] = []

    def note(_: Invocation, options: RunOptions, __: RunRequest) -> int:
        seen.append(options.argv)
        return 0

    monkeypatch.setattr("tui.commands.run._run", note)
    assert call("run", *arguments) == (0, "")
    assert seen == [("a", "n=1", "--")]


@pytest.mark.parametrize("command", [("doctor",), ("engine", "serve")], ids=" ".join)
def test_the_help_of_a_command_for_this_host_lists_no_way_elsewhere(command: tuple[str, ...]) -> None:
    code, told = call(*command, "--help")
    assert (code, "--project" in told) == (0, True)
    assert not [option for option in ("--url", "--token-file", "--ca-file") if option in told]
    assert "--url" in call("engine", "status", "--help")[1]


@pytest.mark.parametrize("option", ["--buffer", "--save-buffer"])
@pytest.mark.parametrize("value", ["out", "out=", "=x", "="])
def test_a_buffer_has_a_name_and_a_path(option: str, value: str) -> None:
    code, output = call("exec", "1", option, value)
    assert (code, "Write NAME=PATH" in output) == (2, True), output
    assert "given twice" in call("exec", "1", option, "a.b=x", option, "a.b=y")[1]


@pytest.mark.parametrize(
    "more", [(), ("pandas", "--bundle", "x"), ("--upgrade", "--bundle", "x")], ids=lambda more: " ".join(more)
)
def test_an_installation_is_of_packages_or_of_a_bundle(more: tuple[str, ...]) -> None:
    assert call("packages", "install", *more)[0] == exit_codes.USAGE


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--verify", "--head", "12"], "A head has 64 hexadecimal digits"),
        (["--head", "0" * 64], "belong to --verify"),
        (["--export", "x"], "belong to --verify"),
        (["--verify", "--who", "alice"], "--verify looks at every record"),
        (["--verify", "--heads", "-", "--head", "0" * 64], "--heads is not for --head"),
        (["--since", "nonsense"], "nonsense is no time"),
    ],
)
def test_an_audit_that_cannot_be_meant_is_refused_before_an_engine_is_asked(
    arguments: list[str], sentence: str
) -> None:
    result = CliRunner().invoke(cli, ["audit", *arguments], obj=Invocation(), prog_name="gatewright")
    assert result.exit_code != 0
    assert sentence in result.output or sentence in str(result.exception)
