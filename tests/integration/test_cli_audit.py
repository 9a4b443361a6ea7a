"""``gatewright audit``: what was done is there with who did it, and a change of the record is found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cli_support import cli_project


def test_what_was_done_is_on_record_and_can_be_verified(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    with cli_project(root, "[policy]\nadmin_as_root = true\n") as project:
        project.call("scripts", "new", "night/hello")
        project.call("scripts", "rename", "night/hello", "night/bye")
        project.call("scripts", "duplicate", "night/bye.py", "night/again")
        project.call("scripts", "delete", "night/bye.py", "--yes")
        assert project.call("exec", "--mode", "admin", "print(1)").returncode == 0
        assert project.call("exec", "print(2)").returncode == 0
        told = [(one["action"], one["subject"]) for one in project.json("audit")["records"]]
        actions = [action for action, _ in reversed(told)]
        assert actions == ["start", "save", "rename", "copy", "delete", "admin_run", "admin_end"]
        assert ("save", "night/hello.py") in told
        checked = project.json("audit", "--verify")
        assert (checked["records"], "problem" in checked) == (7, False)
    connection = sqlite3.connect(root / ".gatewright/state.db")
    connection.executescript("DROP TRIGGER audit_unchanged; UPDATE audit SET actor = 'nobody' WHERE seq = 2;")
    connection.close()
    try:
        done = project.call("audit", "--verify")
        assert done.returncode == 1
        assert "Audit record 2 was changed" in done.stderr
        assert "Audit record 2 was changed" in project.call("engine", "status").stdout
    finally:
        project.call("engine", "stop", "--force")
