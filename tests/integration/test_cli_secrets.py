"""Secrets on the command line: asked for without showing them, or read from a file, and kept in no record."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import PATIENCE, CliProject, cli_project

SECRET = "hunter2-55d0ba"
SCRIPT = """# /// script
# [tool.gatewright]
# entrypoint = "main"
# [tool.gatewright.params.host]
# default = "plc-7"
# [tool.gatewright.params.api_token]
# ///
def main(host, api_token):
    return [host, len(api_token)]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        made.script("push.py", SCRIPT)
        yield made


def asked(command: list[str], prompt: str, answer: str, again: str = "") -> tuple[int, str]:
    """Run ``command`` on a controlling terminal and answer its question; exit code and what the terminal showed.

    With ``again`` it asks once more for the same, with that prompt.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    shown, deadline = b"", time.monotonic() + PATIENCE
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # EIO: the program has left
            break
        shown += piece
        if answer and prompt.encode() in shown:
            os.write(terminal, f"{answer}\n".encode())
            prompt, again, answer = again, "", answer if again else ""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def kept_nowhere(project: CliProject) -> bool:
    files = [path for path in (project.root / ".gatewright").rglob("*") if path.is_file() and "envs" not in path.parts]
    return not any(SECRET.encode() in path.read_bytes() for path in files)


def test_a_name_alone_asks_and_shows_nothing(project: CliProject) -> None:
    status, shown = asked(project.command("run", "push", "-p", "api_token"), "api_token (not shown): ", SECRET)
    assert (status, SECRET in shown) == (0, False), shown
    assert str(len(SECRET)) in shown
    run = str(project.newest_run()["id"])
    told = project.call("runs", "show", run)
    assert "secret, hmac-sha256:" in told.stdout
    assert project.json("runs", "show", run)["inputs"]["secrets"][0]["name"] == "api_token"
    status, shown = asked(project.command("runs", "replay", run), "api_token (not shown): ", SECRET)
    assert (status, SECRET in shown) == (0, False), shown
    first, second = (project.json("runs", "show", str(number))["inputs"] for number in (run, int(run) + 1))
    assert first["secrets"] == second["secrets"]
    assert kept_nowhere(project)


def test_without_a_terminal_it_is_read_from_a_file_or_the_standard_input(project: CliProject, tmp_path: Path) -> None:
    held = tmp_path / "token"
    held.write_text(f"{SECRET}\n")
    value = f'["plc-7",{len(SECRET)}]'
    for source, stdin in ((str(held), ""), ("-", f"{SECRET}\r\n"), ("-", SECRET)):
        done = project.call("--json", "run", "push", "--param-file", f"api_token={source}", stdin=stdin)
        assert (done.returncode, f'"value":{value}' in done.stdout) == (0, True), done.stderr
    run = str(project.newest_run()["id"])
    lacking = project.call("runs", "replay", run)
    assert (lacking.returncode, "'api_token'" in lacking.stderr) == (5, True), lacking.stderr
    assert "--param-file api_token=PATH" in lacking.stderr
    again = project.call("runs", "replay", run, "--param-file", "api_token=-", stdin=SECRET)
    assert again.returncode == 0, again.stderr
    assert (
        project.call("exec", "result = params['x'] + params['y']", "-p", "x=1", "--param-file", "y=-", stdin="2").stdout
        == "12\n"
    )
    assert kept_nowhere(project)


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("-p", "api_token"), "", "no terminal to ask for api_token at"),
        ((), "", "-p api_token asks for it"),
        (("--param-file", "api_token=/nowhere"), "", "No such file"),
        (("--param-file", "api_token=-"), b"\xff", "not UTF-8"),
        (("--param-file", "api_token=-"), "x" * (1 << 20) + "x", "too large"),
        (("-p", "api_token=1", "--param-file", "api_token=-"), "2", "given twice"),
        (("--param-file", "api_token=-", "--param-file", "host=-"), "2", "only one of them"),
        (("-p", f"api-token={SECRET}"), "", "'api-token' cannot be the name of a parameter"),
    ],
    ids=["no terminal", "missing", "no file", "bytes", "large", "twice", "shared", "no name"],
)
def test_what_cannot_be_had_is_usage(project: CliProject, arguments: tuple[str, ...], stdin: str, said: str) -> None:
    done = project.call("run", "push", *arguments, stdin=stdin)
    assert (done.returncode, said in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert SECRET not in done.stderr


def test_a_secret_is_set_from_standard_input_a_private_file_or_a_terminal_and_never_shown(
    project: CliProject, tmp_path: Path
) -> None:
    done = project.call("secrets", "set", "historian", stdin=f"{SECRET}\n")
    assert (done.returncode, done.stdout) == (0, ""), done
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o640)
    refused = project.call("secrets", "set", "plc.key", "--from", str(file))
    assert refused.returncode == 2
    assert f"other accounts may use {file}; nothing was set" in refused.stderr
    file.chmod(0o600)
    assert project.call("secrets", "set", "plc.key", "--from", str(file)).returncode == 0
    code, shown = asked(project.command("secrets", "set", "typed"), "Value of typed", SECRET, "Once more")
    assert code == 0, shown
    for arguments in (("--from", str(tmp_path / "none")), ("--from", "/dev/null"), ()):
        refused = project.call("secrets", "set", "empty", *arguments)
        assert refused.returncode == 2, refused
        assert "nothing was set" in refused.stderr
    listed = project.call("secrets", "list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["name", "historian", "plc.key", "typed"]
    assert [one["name"] for one in project.json("secrets", "list")["secrets"]] == ["historian", "plc.key", "typed"]
    assert project.call("secrets", "delete", "typed").returncode == 0
    assert "There is no secret 'typed'" in project.call("secrets", "delete", "typed").stderr
    assert SECRET not in shown + "".join(each.stdout + each.stderr for each in (done, refused, listed))
    assert SECRET not in project.call("audit").stdout
