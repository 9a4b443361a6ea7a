"""``gatewright retention``: what is kept, by the limits of the settings, and what went when the engine started."""

from __future__ import annotations

from pathlib import Path

from cli_support import cli_project
from daemon_support import wait_for


def test_limits_amounts_and_the_last_look_are_told(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant", "[retention]\noutput_days = 3\nversions = 7\n") as project:
        project.call("exec", "print('hello')")
        project.script("old.py", "print(1)\n")
        project.call("scripts", "set", "old", "title=Old")
        wait_for(lambda: "last" in project.json("retention"))
        wait_for(lambda: project.json("retention")["runs"] == 1)
        told = project.json("retention")
        assert (told["limits"]["output_days"], told["limits"]["versions"], told["limits"]["run_days"]) == (3, 7, 90)
        assert told["versions"] == 1
        assert told["history_bytes"] == len("print(1)\n")
        assert told["output_bytes"] == len("hello\n")
        shown = project.call("retention").stdout
        assert "kept for 3 days up to" in shown
        assert "removed nothing" in shown
