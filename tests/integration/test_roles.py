"""What each role may, and that each denial is on record: by tokens over TCP, and by uid and group over a shared socket.

Everything goes through ``gatewright``: with ``--url`` as on another host, with ``--project @ID`` as a group's members.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import PATIENCE, PROGRAM, CliProject, cli_project, wait_until
from mounts import needs_mounts
from test_shared_project import MEMBER, NAMES, OTHER, OWNER, SETTINGS, SHARE, STRANGER, Host, host

__all__ = ["host"]

pytestmark = pytest.mark.slow

ROLES = ("viewer", "operator", "author", "admin")
REFUSED = 4
EXEC = ("exec", "result = 1 + 1")
EDIT = ("scripts", "set", "two", "title=Two")
ADMIN = ("exec", "--mode", "admin", "result = 1 + 1")
ACTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "list": (("scripts", "list"), "viewer", "scripts.list"),
    "run": (("run", "own/two"), "operator", "runs.start"),
    "exec": (("exec", "result = 1 + 1"), "author", "runs.start"),
    "edit": (("scripts", "set", "own/two", "title=Two"), "author", "scripts.set"),
    "admin": (("exec", "--mode", "admin", "result = 1 + 1"), "admin", "runs.start"),
    "tokens": (("token", "list"), "admin", "tokens.list"),
}
"""What is asked for, the least role that may, and what the record of a denial names."""


class Elsewhere:
    """Calls of ``gatewright`` with a token, in a folder that is no project."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def call(self, role: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [PROGRAM, "--url", self._url, "--token-file", str(self._folder / role), "--json", *words]
        return subprocess.run(
            command, cwd=self._folder, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
        )


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CliProject, Elsewhere]]:
    folder = tmp_path_factory.mktemp("roles")
    settings = '[listen]\naddress = "127.0.0.1:0"\n[policy]\nadmin_as_root = true\n'
    with cli_project(folder / "plant", settings) as project:
        project.script("own/two.py", "result = 1 + 1\n")
        for role in ROLES:
            made = project.call("token", "create", "--role", role, "--name", role, "--output", str(folder / role))
            assert made.returncode == 0, made.stderr
        (url,) = project.json("engine", "status")["engine"]["listening"]
        yield project, Elsewhere(url, folder)


@pytest.mark.parametrize("act", ACTS)
def test_each_role_may_what_it_may_and_each_denial_is_on_record(plant: tuple[CliProject, Elsewhere], act: str) -> None:
    project, elsewhere = plant
    words, least, subject = ACTS[act]
    for role in ROLES:
        allowed = ROLES.index(role) >= ROLES.index(least)
        done = elsewhere.call(role, *words)
        assert done.returncode == (0 if allowed else REFUSED), (role, done.stdout, done.stderr)
        if not allowed:
            assert json.loads(done.stdout)["code"] == "forbidden"
            wait_until(
                lambda role=role: f"token:{role}" in denied(project, subject), f"the denial of {role} is on record"
            )


def denied(project: CliProject, subject: str) -> set[str]:
    """The tokens to which ``subject`` was denied."""
    records = project.json("audit", "-n", "500")["records"]
    return {record["actor"] for record in records if record["action"] == "denied" and record["subject"] == subject}


@needs_mounts
def test_two_accounts_of_a_group_and_a_stranger_on_one_shared_project(host: Host) -> None:
    host.settings(SETTINGS)
    with host.serving(0, *SHARE):
        (host.project / "scripts").mkdir(exist_ok=True)
        (host.project / "scripts" / "two.py").write_text("result = 1 + 1\n")

        def call(uid: int, *words: str) -> int:
            done = host.gatewright(uid, "--project", "@plant", *words)
            assert "Traceback" not in done.stderr
            return done.returncode

        operator = [call(MEMBER, *words) for words in (("run", "two"), EXEC, EDIT, ADMIN)]
        assert operator == [0, REFUSED, REFUSED, REFUSED]
        author = [call(OTHER, *words) for words in (("run", "two"), EXEC, EDIT, ADMIN, ("audit",))]
        assert author == [0, 0, 0, REFUSED, REFUSED]
        assert call(STRANGER, "scripts", "list") != 0

        def denials() -> set[tuple[str, str]]:
            told = host.gatewright(OWNER, "--project", str(host.project), "--json", "audit", "-n", "100")
            assert told.returncode == 0, told.stderr
            found = (record for record in json.loads(told.stdout)["records"] if record["action"] == "denied")
            return {(record["actor"], record["subject"]) for record in found}

        wanted = {(NAMES[MEMBER], "runs.start"), (NAMES[MEMBER], "scripts.set"), (NAMES[OTHER], "runs.start")}
        wait_until(lambda: wanted <= denials(), "each denial is on record")
