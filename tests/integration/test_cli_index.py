"""Search and rebuild from the command line, and the engine that finds its index gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from cli_support import CliProject, cli_project, ended, in_terminal, wait_until

from engine.client.launch import connect
from engine.registry.sync import TASKS_LIST


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        made.script("reports/kettle.py", "def main():\n    return 'lukewarm'\n")
        made.script("own/unreadable name.py", "# /// script\n# broken\n# ///\n")
        made.json("scripts", "list")  # a search trusts the last look for a second
        yield made


def test_a_search_tells_the_place(project: CliProject) -> None:
    done = project.call("scripts", "search", "LUKE")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "reports/kettle.py:2: return 'lukewarm'\n"
    assert project.json("scripts", "search", "return", "lukewarm")["scripts"] == [
        {"path": "reports/kettle.py", "title": "Kettle", "line": 2, "text": "return 'lukewarm'"}
    ]


def test_a_search_without_a_match_fails_with_a_sentence(project: CliProject) -> None:
    done = project.call("scripts", "search", "nobodywrotethis")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no script has all of these words" in done.stderr


def test_a_new_file_is_found_after_a_list(project: CliProject) -> None:
    project.script("reports/late.py", "# zanzibar\n")
    assert "reports/late.py" in [one["path"] for one in project.json("scripts", "list")["scripts"]]
    assert [one["path"] for one in project.json("scripts", "search", "zanzibar")["scripts"]] == ["reports/late.py"]


def test_a_rebuild_reports_what_went_away_outside(project: CliProject) -> None:
    project.script("moved/before.py", "# the same\n")
    project.script("moved/goes.py", "# goes\n")
    project.json("scripts", "list")
    folder = project.root / "scripts" / "moved"
    (folder / "before.py").rename(folder / "after.py")
    (folder / "goes.py").unlink()
    (folder / "comes.py").write_text("# comes\n")
    project.json("scripts", "list")  # what came is taken in by any look, and the engine watches; what went is kept
    report = project.json("rebuild")
    assert report["renamed"] == [{"old": "moved/before.py", "new": "moved/after.py"}]
    assert report["removed"] == ["moved/goes.py"]
    assert "created" not in report
    assert [one["path"] for one in report["problems"]] == ["own/unreadable name.py"]
    assert report["scripts"] == len(project.json("scripts", "list")["scripts"])
    plain = project.call("rebuild")
    assert plain.returncode == 0
    assert "problem: own/unreadable name.py:" in plain.stdout
    assert "0 created, 0 updated, 0 renamed, 0 removed, 1 problem" in plain.stderr


@pytest.mark.parametrize(
    "damage",
    ["garbage", *(pytest.param(one, marks=pytest.mark.slow) for one in ("deleted", "zeroed", "truncated", "folder"))],
)
def test_a_lost_index_costs_only_time(project: CliProject, damage: str) -> None:
    before = project.json("scripts", "list")
    assert project.call("engine", "stop", "--force").returncode == 0
    index = project.root / ".gatewright" / "index.db"
    wait_until(index.exists, "there is an index")
    size = index.stat().st_size
    match damage:
        case "deleted":
            index.unlink()
        case "zeroed":
            index.write_bytes(bytes(size))
        case "truncated":
            os.truncate(index, size // 2)
        case "garbage":
            index.write_bytes(os.urandom(size))
        case "folder":
            index.unlink()
            index.mkdir()
    assert project.json("scripts", "list") == before
    assert [one["path"] for one in project.json("scripts", "search", "lukewarm")["scripts"]] == ["reports/kettle.py"]
    problems = project.json("engine", "status")["engine"].get("problems", [])
    assert any("kept in memory" in problem for problem in problems) == (damage == "folder")
    if damage == "folder":
        index.rmdir()
        assert project.json("rebuild")["scripts"] == len(before["scripts"])
        assert index.is_file()


@pytest.mark.slow
def test_a_rebuild_is_watched_and_cancelled(project: CliProject) -> None:
    folder = project.root / "scripts" / "many"
    folder.mkdir()
    for number in range(4_000):
        (folder / f"made_{number}.py").write_text(f"# /// script\n# [tool.gatewright]\n# title = '{number}'\n# ///\n")
    before = project.json("scripts", "list")
    process = project.popen("rebuild")

    def begun() -> bool:
        tasks = _tasks(project)
        return bool(tasks) and tasks[0]["state"] == "running"

    wait_until(begun, "the rebuild goes on")
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out) == (130, ""), err
    assert "cancelled; nothing was changed" in err
    assert _tasks(project)[0]["state"] == "cancelled"
    assert project.json("scripts", "list") == before
    code, shown = in_terminal(project.command("rebuild"))
    assert code == 0
    assert "\rreading " in shown
    assert "scripts in " in shown.rpartition("\r\x1b[K")[2]
    for file in folder.iterdir():
        file.unlink()


def _tasks(project: CliProject) -> list[dict[str, object]]:
    async def look() -> list[dict[str, object]]:
        client = await connect(project.root, client="cli", start=False)
        try:
            return [{"state": str(task.state)} for task in (await client.call(TASKS_LIST)).tasks]
        finally:
            await client.close()

    return asyncio.run(look())
