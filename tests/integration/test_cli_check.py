"""``gatewright scripts check``: places that editors understand, exit codes, and nothing that drives a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from account_support import ordinary_account
from cli_support import CliProject, cli_project, in_terminal
from hostile_texts import SLOW

BROKEN = "import json\né = 1\nß = = 2\n"
WARNED = "import os\nresult = os.getcwd()\n"
PARAM = {"name": "a", "kind": "positional_or_keyword", "required": False, "default": "1"}
HOSTILE_NAMES = '# /// script\n# [tool.gatewright]\n# kind = "\\u001b[2J"\n# entrypoint = "a\\u001b[31mb"\n# ///\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        made.script("own/broken.py", BROKEN)
        made.script("own/warned.py", WARNED)
        made.script("own/right.py", "def main(a=1): pass\n")
        yield made


def test_a_syntax_error_is_told_with_its_place(project: CliProject) -> None:
    done = project.call("scripts", "check", "broken")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "own/broken.py:3:5: error: invalid syntax\n"


def test_a_right_script_says_nothing(project: CliProject) -> None:
    done = project.call("scripts", "check", "own/right.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_warnings_are_told_and_are_no_failure(project: CliProject) -> None:
    done = project.call("scripts", "check", "warned")
    assert done.returncode == 0
    assert done.stdout.startswith("own/warned.py:1:1: warning: The module os may not be imported in RESTRICTED mode")


def test_the_standard_input_is_checked(project: CliProject) -> None:
    done = project.call("scripts", "check", "-", stdin="x = (1,\n")
    assert done.returncode == 1
    assert done.stdout.startswith("<stdin>:1:5: error: ")


def test_json_is_the_whole_report(project: CliProject) -> None:
    report = project.json("scripts", "check", "own/right")
    assert report["functions"] == [{"name": "main", "line": 1, "params": [PARAM]}]
    done = project.call("--json", "scripts", "check", "broken")
    assert done.returncode == 1
    assert '"column":4' in done.stdout


@pytest.mark.parametrize(
    ("stdin", "said"),
    [(b"\xff\xfe", "not UTF-8"), (b"#" * ((1 << 20) + 1), "at most 1 MiB"), (b"#" * (17 << 20), "larger than 16 MiB")],
    ids=["not UTF-8", "over 1 MiB", "over what is read"],
)
def test_what_is_no_script_is_usage(project: CliProject, stdin: bytes, said: str) -> None:
    done = project.call("scripts", "check", "-", stdin=stdin)
    assert done.returncode == 2
    assert said in done.stderr


def test_an_unknown_script_is_usage(project: CliProject) -> None:
    assert project.call("scripts", "check", "own/nothing").returncode == 2


def test_a_text_that_takes_too_long_is_not_taken_for_a_good_one(project: CliProject) -> None:
    done = project.call("scripts", "check", "-", stdin=SLOW)
    assert done.returncode == 1
    assert done.stdout == "<stdin>:1:1: error: Checking this text takes longer than 1.5 s; it was not checked.\n"


def test_hostile_text_does_not_drive_the_terminal(project: CliProject) -> None:
    project.script("own/hostile.py", HOSTILE_NAMES + "x = '\x1b]0;title\x07' '\x1b[2J\n")
    status, shown = in_terminal(project.command("scripts", "check", "hostile"))
    assert status == 1
    assert "error" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_an_ordinary_account_s_texts_are_checked_too() -> None:
    with ordinary_account() as account:
        folder = str(account.folder("project"))
        try:
            assert account.call("--project", folder, "init").returncode == 0
            right = account.call("--project", folder, "--json", "scripts", "check", "defaults/tour")
            assert right.returncode == 0, right.stderr
            assert '"functions"' in right.stdout
        finally:
            account.call("--project", folder, "engine", "stop", "--force")
