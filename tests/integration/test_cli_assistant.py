"""The assistant on the command line: shown, asked, and its proposals applied by the user alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from assistant_server import AssistantServer, says, served_assistant
from cli_support import CliProject, cli_project

pytestmark = pytest.mark.slow

TEXT = "x = 1\nprint(x / 0)\n"


@pytest.fixture(scope="module")
def server() -> Iterator[AssistantServer]:
    with served_assistant() as made:
        made.key = ""
        yield made


@pytest.fixture(scope="module")
def project(server: AssistantServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    settings = f'[assistant]\nurl = "{server.url}"\nmodel = "{server.model}"\n'
    with cli_project(tmp_path_factory.mktemp("cli") / "project", settings) as made:
        made.script("half.py", TEXT)
        yield made


def test_it_is_asked_and_its_answer_drives_no_terminal(project: CliProject, server: AssistantServer) -> None:
    server.will(says("Because \x1b[31mof\tthe disk.\n\n"))
    done = project.call("assistant", "ask", "Why?", stdin="a log\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Because <U+001B>[31mof\tthe disk.\n"
    assert server.asked[0].prompt == "Why?\n\na log\n"
    assert project.call("assistant", "ask").returncode == 2
    assert project.call("assistant", "ask", stdin="x" * 300_000).returncode == 2
    assert len(server.asked) == 1
    shown = project.call("assistant").stdout
    assert f"127.0.0.1:{server.port}" in shown
    assert "1 of 1,000 requests" in shown


def test_a_failed_run_is_explained(project: CliProject, server: AssistantServer) -> None:
    assert project.call("run", "half").returncode == 1
    server.will(says("Line 2 divides by zero."))
    done = project.call("assistant", "explain", str(project.newest_run()["id"]))
    assert (done.returncode, done.stdout) == (0, "Line 2 divides by zero.\n")
    assert "ZeroDivisionError" in server.asked[0].prompt


def test_a_proposal_is_shown_and_saved_only_when_that_is_said(project: CliProject, server: AssistantServer) -> None:
    file = project.root / "scripts" / "half.py"
    server.will(says("```python\nx = 1\nprint(x / 2)\n```"))
    done = project.call("assistant", "propose", "half", "Mend it")
    assert done.returncode == 0
    assert "-print(x / 0)\n+print(x / 2)\n" in done.stdout
    refused = project.call("assistant", "propose", "half", "Mend it", "--apply")
    assert refused.returncode == 2
    assert "nothing was saved: there is no terminal to ask at" in refused.stderr
    assert file.read_text() == TEXT
    done = project.call("assistant", "propose", "half", "Mend it", "--apply", "--yes")
    assert (done.returncode, file.read_text()) == (0, "x = 1\nprint(x / 2)\n")
    assert "saved half.py" in done.stderr
    assert project.json("history", "half")["versions"][0]["reason"] == "saved"
    server.will(says("I would rather not."))
    done = project.call("assistant", "propose", "half", "Mend it")
    assert done.returncode != 0
    assert "there is not one script in it" in done.stderr


def test_without_a_server_it_says_how_to_get_one(tmp_path: Path) -> None:
    with cli_project(tmp_path / "project") as project:
        for arguments in (("assistant",), ("assistant", "ask", "x")):
            assert "url and model under [assistant]" in project.call(*arguments).stderr
        assert project.json("assistant")["on"] is False
