"""``gatewright audit``: what was done is there with who did it, and a change of the record is found."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli_support import cli_project, in_terminal

from tui import cli
from tui.commands.invocation import Invocation


@dataclass
class Here:
    """Calls commands in this process, which saves the start of an interpreter for each."""

    root: Path
    capfd: pytest.CaptureFixture[str]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        code = cli._call(["--project", str(self.root), *arguments], Invocation())
        return subprocess.CompletedProcess(arguments, code, *self.capfd.readouterr())

    def json(self, *arguments: str) -> Any:
        done = self.call("--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def test_what_was_done_is_on_record_and_can_be_verified(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "plant"
    with cli_project(root, "[policy]\nadmin_as_root = true\n") as called:
        project = Here(root, capfd)
        project.call("scripts", "new", "night/hello")
        project.call("scripts", "rename", "night/hello", "night/bye")
        project.call("scripts", "duplicate", "night/bye.py", "night/again")
        project.call("scripts", "delete", "night/bye.py", "--yes")
        assert project.call("exec", "--mode", "admin", "print(1)").returncode == 0
        assert project.call("exec", "print(2)").returncode == 0
        told = [(one["action"], one["subject"]) for one in project.json("audit")["records"]]
        actions = [action for action, _ in reversed(told)]
        assert actions == ["start", "settings", "save", "rename", "copy", "delete", "admin_run", "admin_end", "run"]
        assert ("save", "night/hello.py") in told
        listed = project.call("audit", "-n", "2")
        assert "older ones: the same with --before 8" in listed.stderr
        assert [line.split()[0] for line in listed.stdout.splitlines()] == ["9", "8"]
        assert "admin end #1 <exec> (cli): ok" in listed.stdout
        older = project.call("audit", "-n", "2", "--before", "8")
        assert [line.split()[0] for line in older.stdout.splitlines()] == ["7", "6"]
        saved = project.json("audit", "--what", "save night/hello", "-n", "1")
        assert [one["action"] for one in saved["records"]] == ["save"]
        assert "no record matches" in project.call("audit", "--who", "ghost").stderr
        mistyped = project.call("audit", "--action", "saved")
        assert (mistyped.returncode, mistyped.stdout) == (0, "")
        assert f"these actions: {', '.join(sorted(set(actions)))}." in mistyped.stderr
        _, narrow = in_terminal(called.command("audit"))
        assert max(map(len, narrow.splitlines())) <= 80
        assert "".join(project.call("audit").stdout.split()) == "".join(narrow.split()), "nothing is cut"
        checked = project.json("audit", "--verify")
        assert (checked["records"], "problem" in checked) == (9, False)
        head = checked["head"]
        records = project.json("audit")["records"]
        named = project.call("audit", "--verify", "--head", head.upper())
        assert named.returncode == 0
        assert "That head is record 9's" in named.stdout
        told = (str(root), records[0]), ("/srv/other", records[0] | {"sha256": "0" * 64}), (str(root), records[4])
        lines = [
            f"gatewright-audit[7]: project {json.dumps(where)} record {one['seq']} head {one['sha256']}\n"
            for where, one in told
        ]
        compared = called.call("audit", "--verify", "--heads", "-", stdin="".join(lines))
        assert (compared.returncode, compared.stdout) == (0, "All 2 heads of the log are in the record\n")
        forged = lines[0].replace(records[0]["sha256"], "1" * 64)
        other = called.call("audit", "--verify", "--heads", "-", stdin=forged)
        assert (other.returncode, "Audit record 9 does not have the head" in other.stderr) == (1, True)
        found = project.json(
            "audit", "--subject", "night/hello.py", "--since", "1h", "--text", "SCRIPTS", "--action", "save"
        )
        assert [one["action"] for one in found["records"]] == ["save"]
        exported = tmp_path / "000000001-000000009.jsonl"
        exported.write_text("".join(json.dumps(one) + "\n" for one in reversed(records)))
        exported.write_text(exported.read_text().replace("night/bye", "night/bxe"))
        broken = project.call("audit", "--verify", "--export", str(exported))
        assert broken.returncode == 1
        assert f"{exported.name}: Audit record 4 was changed." in broken.stderr
    connection = sqlite3.connect(root / ".gatewright/state.db")
    connection.executescript("DROP TRIGGER audit_unchanged; UPDATE audit SET actor = 'nobody' WHERE seq = 2;")
    connection.close()
    try:
        done = called.call("audit", "--verify")
        assert done.returncode == 1
        assert "Audit record 2 was changed" in done.stderr
        assert "Audit record 2 was changed" in called.call("engine", "status").stdout
    finally:
        called.call("engine", "stop", "--force")
