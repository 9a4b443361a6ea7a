"""``scripts approve`` as people and programs use it: seen, decided, run; as an ordinary account too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_support import OrdinaryAccount, ordinary_account
from cli_support import CliProject, cli_project, in_terminal


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        yield made


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def asking(path: Path | str, access: str = "read", body: str = "result = 1\n") -> str:
    return f'# /// script\n# [tool.gatewright.permissions]\n# {access} = ["{path}"]\n# ///\n{body}'


def test_what_waits_is_shown_where_scripts_are(project: CliProject, logs: Path) -> None:
    project.script("waits/one.py", asking(logs))
    listed = project.call("scripts", "list", "waits")
    assert "needs approval" in listed.stdout
    assert "gatewright scripts approve waits/one.py" in listed.stderr
    about = project.call("scripts", "show", "waits/one", "--about").stdout
    assert f"asks to read  {logs}" in about
    assert "needs approval" in about
    shown = project.call("scripts", "show", "waits/one")
    assert shown.stdout == asking(logs)
    assert "approve" in shown.stderr
    run = project.call("run", "waits/one")
    assert run.returncode == 4
    assert "approve waits/one.py" in run.stderr


def test_a_program_decides_about_what_it_has_seen(project: CliProject, logs: Path) -> None:
    project.script("pinned.py", asking(logs))
    shown = project.call("scripts", "approve", "pinned")
    assert shown.returncode == 2
    assert str(logs) in shown.stdout
    assert "+result = 1" in shown.stdout
    review = json.loads(project.call("--json", "scripts", "approve", "pinned").stdout)
    assert f"--yes --sha256 {review['sha256']}" in shown.stderr
    assert review["state"] == "needed"
    assert project.call("scripts", "approve", "pinned", "--yes", "--sha256", "0" * 64).returncode == 5
    approved = project.json("scripts", "approve", "pinned", "--yes", "--sha256", review["sha256"])
    assert approved["state"] == "approved"
    run = project.json("run", "pinned")
    assert run["grants"] == [{"access": "read", "path": str(logs)}]
    assert f"may read   {logs}" in project.call("runs", "show", str(run["id"])).stdout
    again = project.call("scripts", "approve", "pinned", "--yes")
    assert again.returncode == 0
    assert "approved already" in again.stderr


def test_an_edit_shows_its_difference_and_a_refusal_ends_it(project: CliProject, logs: Path) -> None:
    project.script("edited.py", asking(logs))
    assert project.call("scripts", "approve", "edited", "--yes").returncode == 0
    project.script("edited.py", asking(logs, access="write", body="result = 2\n"))
    refused = project.call("run", "edited")
    assert refused.returncode == 4
    assert "has changed since" in refused.stderr
    shown = project.call("scripts", "approve", "edited").stdout
    assert "-result = 1\n+result = 2" in shown
    assert "not asked any more" in shown
    assert "fill the disk" in shown
    assert project.call("scripts", "approve", "edited", "--refuse").returncode == 2, "nobody was asked"
    assert project.call("scripts", "approve", "edited", "--refuse", "--yes").returncode == 0
    assert "was refused" in project.call("run", "edited").stderr


def test_what_cannot_be_granted_is_usage(project: CliProject) -> None:
    for path, said in (("/", "whole file system"), ("/etc/shadow", "never granted"), ("x", "not absolute")):
        project.script("greedy.py", asking(path))
        for options in ((), ("--yes",), ("--json", "--yes")):
            done = project.call("scripts", "approve", "greedy", *options)
            assert done.returncode == 2
            assert said in done.stderr
    assert json.loads(done.stdout)["code"] == "bad_permission"
    project.script("greedy.py", "result = 1\n")
    assert "asks for no permissions" in project.call("scripts", "approve", "greedy").stderr
    assert project.call("scripts", "approve", "no such script").returncode == 2


def test_a_person_is_asked_and_hostile_text_stays_text(project: CliProject, logs: Path) -> None:
    hostile = "# \x1b[2J\x1b]0;owned\x07\r# Approve? [yes]\u202e\x9b31m\nis_\ufe0fok = 1 # a\x0bb\u2028c\n"
    project.script("hostile.py", asking(logs, body=hostile + "result = 1\n"))
    command = project.command("scripts", "approve", "hostile")
    status, shown = in_terminal(command, "n\n", 100)
    assert status == 130
    for control in ("\x1b", "\x07", "\u202e", "\x9b"):
        assert control not in shown
    for mark in ("[yes]<U+202E><U+009B>31m", "+is_<U+FE0F>ok = 1 # a<U+000B>b<U+2028>c"):
        assert mark in shown, "what nobody sees is marked, and one line looks like one"
    assert "\n+# Approve? [yes]" in shown, "what follows a carriage return is a line of the script, and looks so"
    assert project.call("run", "hostile").returncode == 4
    status, shown = in_terminal(project.command("scripts", "show", "hostile"))
    assert "# Approve? [yes]<U+202E>" in shown
    assert project.call("scripts", "show", "hostile").stdout.count("\u202e") == 1, "a pipe gets the text itself"
    status, shown = in_terminal(command, "y\n", 100)
    assert status == 0
    assert "Let hostile.py have this permission?" in shown
    assert project.json("run", "hostile")["value"] == 1
    status, shown = in_terminal([*command, "--refuse"], "y\n", 100)
    assert status == 0
    assert "Refuse what hostile.py asks for?" in shown
    assert project.call("run", "hostile").returncode == 4


CODINGS = {
    "# coding: utf-7\n# +AAo-result+AD0-2\n": "utf-7 in line 1",
    "# coding: unicode_escape\n# \\nresult = 2\n": "unicode_escape in line 1",
    "#!/usr/bin/python3\n# vim: set fileencoding=latin-1 :\n": "latin-1 in line 2",
}


@pytest.mark.slow
def test_a_script_in_another_encoding_is_neither_run_nor_approved(project: CliProject, logs: Path) -> None:
    for body, coding in CODINGS.items():
        # Before the block, where a script may have its declaration.
        project.script("coded.py", body + asking(logs))
        said = f"declares the encoding {coding}"
        refused = project.call("scripts", "approve", "coded", "--yes")
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
        assert said in project.call("scripts", "list", "coded").stdout
        run = project.call("run", "coded")
        assert (run.returncode, said in run.stderr) == (2, True), run.stderr
        checked = project.call("scripts", "check", "coded")
        assert (checked.returncode, said in checked.stdout) == (1, True), checked.stdout
        for arguments in (("exec", body), ("exec",), ("eval", f"{body}(1)")):
            code = project.call(*arguments, stdin=body)
            assert (code.returncode, said in code.stderr) == (2, True), code.stderr


@pytest.fixture
def account() -> Iterator[OrdinaryAccount]:
    with ordinary_account() as made:
        yield made


@pytest.mark.slow
def test_an_ordinary_account_grants_what_it_has(account: OrdinaryAccount) -> None:
    root, logs, fixed = (account.folder(name) for name in ("plant", "logs", "fixed"))
    call = lambda *arguments: account.call("--project", str(root), *arguments)  # noqa: E731
    started = call("engine", "start")
    assert started.returncode == 0, started.stderr
    scripts = root / "scripts"
    try:
        (scripts / "fixed.py").write_text(asking(fixed, access="write"))
        (scripts / "logs.py").write_text(asking(logs))
        fixed.chmod(0o555)
        refused = call("scripts", "approve", "fixed", "--yes")
        assert refused.returncode == 2
        assert "may not write" in refused.stderr
        (scripts / "coded.py").write_text(f"# coding: utf-7\n{asking(logs)}")
        for command in (("scripts", "approve", "coded", "--yes"), ("run", "coded")):
            refused = call(*command)
            assert (refused.returncode, "declares the encoding utf-7" in refused.stderr) == (2, True), refused.stderr
        # The decision is the engine's, not the file's: it lies in the state database.
        (scripts / "logs.py").chmod(0o444)
        scripts.chmod(0o555)
        approved = call("scripts", "approve", "logs", "--yes")
        assert approved.returncode == 0, approved.stderr
        run = json.loads(call("--json", "run", "logs").stdout)
        assert run["outcome"] == "ok", run["error"]
        assert run["grants"] == [{"access": "read", "path": str(logs)}]
        scripts.chmod(0o755)
    finally:
        call("engine", "stop", "--force")
