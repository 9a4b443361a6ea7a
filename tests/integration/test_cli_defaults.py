"""``scripts defaults`` on an engine that comes with newer default scripts than the project was made with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import CliProject

from default_scripts import Bundle
from engine import Engine

TOUR = "defaults/tour.py"


async def make_with_an_older_bundle(root: Path) -> None:
    own = Bundle()
    older = {path: b"# of before\n" if path.endswith(".py") else data for path, data in own.files.items()}
    async with Engine.open(root, pool_size=1, bundle=Bundle(0, older)):
        pass


@pytest.fixture
def project(tmp_path: Path) -> Iterator[CliProject]:
    """A project of an older version, with one script edited and one deleted; its engine comes with today's bundle."""
    root = tmp_path / "plant"
    asyncio.run(make_with_an_older_bundle(root))
    (root / "scripts" / TOUR).write_text("# mine\x1b[2J\n")
    (root / "scripts/defaults/csv_summary.py").unlink()
    project = CliProject(root)
    yield project
    project.call("engine", "stop", "--force")


def states(project: CliProject) -> dict[str, str]:
    return {script["path"]: script["state"] for script in project.json("scripts", "defaults")["scripts"]}


@pytest.mark.slow
def test_a_newer_text_is_shown_taken_kept_and_a_missing_script_restored(project: CliProject) -> None:
    table = project.call("scripts", "defaults")
    assert table.returncode == 0, table.stderr
    assert "yours, and there is a newer text" in table.stdout
    assert "--diff defaults/tour" in table.stderr
    assert "--restore" in table.stderr
    assert (project.root / "scripts" / TOUR).read_text() == "# mine\x1b[2J\n"
    assert "A tour of Gatewright" not in project.call("scripts", "show", TOUR).stdout
    assert TOUR in project.call("engine", "status").stdout + project.call("engine", "status").stderr

    diff = project.call("scripts", "defaults", "--diff", "tour")
    assert '+# title = "A tour of Gatewright"' in diff.stdout
    assert "\x1b" not in diff.stdout

    kept = project.call("scripts", "defaults", "--keep", "tour")
    assert "kept instead" in kept.stderr
    assert states(project)[TOUR] == "kept"

    taken = project.call("scripts", "defaults", "--take", "defaults/tour")
    assert "wrote scripts/defaults/tour.py" in taken.stderr
    assert states(project)[TOUR] == "current"
    assert len(project.json("history", TOUR)["versions"]) == 1

    assert states(project)["defaults/csv_summary.py"] == "missing"
    restored = project.call("scripts", "defaults", "--restore")
    assert "wrote scripts/defaults/csv_summary.py" in restored.stderr
    assert set(states(project).values()) == {"current"}
    again = project.call("scripts", "defaults", "--restore")
    assert "nothing is missing" in again.stderr


def test_what_makes_no_sense_is_refused(project: CliProject) -> None:
    for arguments, code, said in (
        (["--take", "nothing"], 2, "no default script"),
        (["--diff", "nothing"], 2, "no default script"),
        (["--take", "tour", "--keep", "tour"], 2, "twice"),
        (["--take", "tour", "--restore"], 2, "say one"),
        (["--keep", "csv_summary"], 5, "to keep"),
    ):
        done = project.call("scripts", "defaults", *arguments)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
        assert (project.root / "scripts" / TOUR).read_text() == "# mine\x1b[2J\n"
