"""The module for Jython, under Jython, against an engine, over TCP with tokens and over its socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cli_support import CliProject, cli_project
from jython_support import java_version, names_in, needs_jython, run_checks

from engine.paths import EnginePaths

FILE = "engine_checks.py"

pytestmark = needs_jython

SCRIPTS = {
    "Plant/kpi.py": "result = {'args': args, 'kwargs': kwargs}\n",
    "Plant/wait.py": "import time\ntime.sleep(kwargs['seconds'])\nresult = 'waited'\n",
    "Plant/fails.py": "print('before')\nresult = 1 / 0\n",
    "Plant/prints.py": "print('only printed')\n",
    "Plant/greetings.py": (
        '# /// script\n# [tool.gatewright]\n# title = "Grüße + mehr"\n# entrypoint = "main"\n'
        '# [tool.gatewright.params.line]\n# type = "int"\n# ///\ndef main(line):\n    return line * 2\n'
    ),
}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str | None]]:
    """What went wrong in each check."""
    folder = tmp_path_factory.mktemp("jython")
    with cli_project(folder / "plant", '[listen]\naddress = "127.0.0.1:0"\n') as project:
        for path, text in SCRIPTS.items():
            project.script(path, text)
        (url,) = project.json("engine", "status")["listening"]
        tokens = {role: token(project, role) for role in ("operator", "author", "admin")}
        revoked = token(project, "operator", "revoked")
        assert project.call("token", "revoke", "revoked").returncode == 0
        (folder / "wrong").write_text("gw_not-a-token")
        (folder / "wrong").chmod(0o600)
        places = {
            **tokens,
            "revoked": revoked,
            "wrong": str(folder / "wrong"),
            "url": url,
            "socket": str(EnginePaths(project.root).socket),
            "java": java_version(),
        }
        yield run_checks(FILE, places, folder)


def token(project: CliProject, role: str, name: str = "") -> str:
    """Return the file with a new token."""
    file = str(project.root.parent / (name or role))
    done = project.call("token", "create", "--role", role, "--name", name or role, "--output", file)
    assert done.returncode == 0, done.stderr
    return file


@pytest.mark.parametrize("name", names_in(FILE))
def test_check(wrong: dict[str, str | None], name: str) -> None:
    assert wrong[name] is None, wrong[name]
