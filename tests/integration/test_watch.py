"""Outside changes of real files are heard, told once, and told as what they are."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from daemon_support import PATIENCE, line_of, wait_for
from git_kit import git

from engine import Engine
from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, SaveRequest
from engine.models.versions import RestoreRequest
from engine.services.events import MAX_PATHS
from engine.services.sync import watch
from store.watch import folders
from store.watch.notifier import CannotWatch, ChangeNotifier, _explained
from tests.integration.watch_kit import BrokenNotifier, MutedNotifier, Scene, scene


async def test_every_way_to_change_a_script_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        script = at.scripts / "one.py"
        script.write_text("1\n")
        change = await at.change()
        assert (change.change, change.created, change.paths, change.problem) == ("outside", 1, ["one.py"], None)

        (at.scripts / ".one.py.swp").write_text("vim")
        (at.scripts / "4913").write_text("")
        (at.scripts / "4913").unlink()
        script.rename(at.scripts / "one.py~")
        script.write_text("2\n")  # vim, which keeps a backup
        change = await at.change()
        assert (change.updated, change.paths) == (1, ["one.py"])

        (at.scripts / "new").write_text("3\n")
        (at.scripts / "new").rename(script)  # what writes a new file and renames it
        assert (await at.change()).updated == 1

        os.truncate(script, 1)
        assert (await at.change()).updated == 1

        script.rename(at.scripts / "two.py")
        change = await at.change()
        assert (change.renamed, change.paths) == (1, ["two.py"])

        (at.scripts / "two.py").unlink()
        change = await at.change()
        assert (change.removed, change.paths) == (1, ["two.py"])


async def test_a_change_is_told_within_a_second(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        took = []
        for number in range(5):
            begun = time.monotonic()
            (at.scripts / f"script_{number}.py").write_text("pass\n")
            await at.change()
            took.append(time.monotonic() - begun)
        assert min(took) < 1.0


async def test_folders_are_watched_as_they_come_and_go(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        deep = at.scripts / "area" / "line"
        deep.mkdir(parents=True)
        (deep / "one.py").write_text("1\n")
        assert (await at.change()).paths == ["area/line/one.py"]
        (deep / "two.py").write_text("2\n")
        assert (await at.change()).paths == ["area/line/two.py"]
        (at.scripts / "area").rename(at.scripts / "zone")
        assert (await at.change()).renamed == 2
        (at.scripts / "zone" / "line" / "three.py").write_text("3\n")
        assert (await at.change()).paths == ["zone/line/three.py"]


async def test_hostile_names_and_links_are_survived(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    async with scene(tmp_path / "plant") as at:
        (at.scripts / "loop").symlink_to(at.scripts)
        (at.scripts / "away").symlink_to(outside)
        assert (await at.change()).created == 2
        assert sorted(folders.Watched(at.root).folders()) == [str(at.root), str(at.scripts)]

        for number, name in enumerate((b"\xff.py", b"new\nline\x1b[31m.py", b"bad\xfe")):
            path = os.fsencode(at.scripts) + b"/" + name
            os.mkdir(path) if number == 2 else os.mknod(path)
            assert (await at.change()).created == 1
        # A name that is no Unicode breaks the bell; another one hangs in its place.
        (at.scripts / "good.py").write_text("pass\n")
        assert (await at.change()).paths == ["good.py"]
        assert at.watch.problems == []


def test_what_is_no_script_rings_for_nobody(tmp_path: Path) -> None:
    place = folders.Watched(tmp_path)
    (tmp_path / "scripts" / "folder").mkdir(parents=True)
    (tmp_path / "scripts" / "data.csv").touch()

    def concerns(path: str) -> bool:
        return place.concerns(str(tmp_path / path))

    assert not concerns("scripts/.x.py.0123456789ab.gatewright-tmp")
    assert not any(map(concerns, ("scripts/.x.py.swp", "scripts/data.csv", "scripts/.hidden")))
    assert not any(map(concerns, (".gatewright", "notes.py", "scripts/__pycache__")))
    assert all(map(concerns, ("scripts", "scripts/x.py", "scripts/folder", "scripts/gone", ".git", ".git/index")))
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "data.csv").touch()
    (tmp_path / "documents" / "x.py").touch()
    assert not any(map(concerns, ("documents/data.csv", "documents/x.py", "documents/.x.md.swp")))
    assert all(
        map(concerns, ("documents", "documents/x.md", "documents/Y.JPG", "documents/y.jpg.meta", "documents/new"))
    )


async def test_a_checkout_of_many_files_is_one_change(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        git(at.root, "init", "-q", "-b", "main")
        (at.scripts / "kept.py").write_text("pass\n")
        git(at.root, "add", "scripts")
        git(at.root, "commit", "-qm", "one")
        git(at.root, "checkout", "-qb", "many")
        for number in range(200):
            folder = at.scripts / f"area_{number % 10}"
            folder.mkdir(exist_ok=True)
            (folder / f"script_{number}.py").write_text(f"result = {number}\n")
        git(at.root, "add", "scripts")
        git(at.root, "commit", "-qm", "two")
        git(at.root, "checkout", "-q", "main")
        await drained(at)

        git(at.root, "checkout", "-q", "many")
        change = await at.change()
        assert (change.created, len(change.paths)) == (200, MAX_PATHS)
        assert (await at.next("git")).data == {"change": "repository"}
        await at.nothing_more()


async def drained(at: Scene) -> None:
    """Hear of everything that was done so far."""
    (at.scripts / "kept.py").write_text("result = 'drained'\n")
    while "kept.py" not in (await at.change()).paths:
        pass
    at.heard.clear()


async def test_a_change_while_git_holds_its_lock_waits_for_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        git(at.root, "init", "-q")
        lock = at.root / ".git" / "index.lock"
        lock.touch()
        (at.scripts / "one.py").write_text("1\n")
        asyncio.get_running_loop().call_later(1.5, lock.unlink)
        asyncio.get_running_loop().call_later(1.2, (at.scripts / "two.py").touch)
        change = await at.change()
        assert change.created == 2
        assert not lock.exists()


async def test_git_is_told_of_when_something_happened_there(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        git(at.root, "init", "-q")
        await at.next("git")
        (at.scripts / "one.py").write_text("1\n")
        await at.change()
        for command in (["add", "scripts"], ["commit", "-qm", "one"], ["checkout", "-qb", "other"]):
            git(at.root, *command)
            await at.next("git")
        # What a command did in two steps may be told twice: a change that is heard later comes behind that.
        (at.scripts / "two.py").write_text("2\n")
        await at.change()
        at.heard.clear()
        # Without its lock status only reads: else it writes the index again where that is as old as a file.
        git(at.root, "--no-optional-locks", "status")
        git(at.root, "log")
        await at.nothing_more()
        assert at.heard == []


async def test_emptied_and_vanished_scripts_lose_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        for number in range(30):
            (at.scripts / f"script_{number}.py").write_text(f"result = {number}\n")
        assert (await at.change()).created == 30
        before = await at.reconciler.scripts()

        at.scripts.rename(at.root / "away")
        change = await at.change()
        assert change.problem is not None
        assert change.problem.startswith("The scripts cannot be looked at, and nothing is forgotten meanwhile:")
        assert change.removed == 0
        assert at.watch.problems == [change.problem]
        (at.root / "away").rename(at.scripts)
        await at.until(lambda: at.watch.problems == [])
        assert await at.reconciler.scripts() == before

        # Another folder in its place, as after an unmount; then the first one again.
        at.scripts.rename(at.root / "away")
        at.scripts.mkdir()
        change = await at.change()
        assert change.problem is not None
        assert change.problem.startswith("30 of 30 scripts vanished at once")
        assert change.removed == 0
        assert len(await at.paths()) == 30
        at.scripts.rmdir()
        (at.root / "away").rename(at.scripts)
        await at.change()
        assert [row.sha256 for row in await at.reconciler.scripts()] == [row.sha256 for row in before]
        (at.scripts / "script_0.py").write_text("watched again\n")
        assert (await at.change()).paths == ["script_0.py"]


async def test_without_inotify_looks_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL", 0.05)
    async with scene(tmp_path, BrokenNotifier) as at:
        (at.scripts / "one.py").write_text("1\n")
        assert (await at.change()).paths == ["one.py"]
        (problem,) = at.watch.problems
        assert problem.startswith("Outside changes of scripts are found by looking every few seconds: this account has")
        assert problem.endswith("left. Raise fs.inotify.max_user_watches with sysctl.")


async def test_on_a_network_file_system_looks_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL", 0.05)
    monkeypatch.setattr(folders, "remote_kind", lambda _: "NFS")
    async with scene(tmp_path, MutedNotifier) as at:
        (at.scripts / "one.py").write_text("1\n")
        assert (await at.change()).paths == ["one.py"]
        assert "a network file system (NFS)" in at.watch.problems[0]


async def test_a_bell_that_tells_nothing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SLOW", 0.1)
    monkeypatch.setattr(watch, "HEARD_WITHIN", 0.05)
    async with scene(tmp_path, MutedNotifier) as at:
        assert at.watch.problems == []
        (at.scripts / "one.py").write_text("1\n")
        await at.change()
        await at.until(lambda: at.watch.problems)
        assert "did not tell of one" in at.watch.problems[0]
        at.notifiers[0].ring(["one.py"])
        assert at.watch.problems == []


async def test_a_watch_that_fails_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "AFTER_FAILURE", 0.05)
    async with scene(tmp_path) as at:
        real = folders.Watched.folders
        monkeypatch.setattr(folders.Watched, "folders", lambda _: 1 / 0)
        (at.scripts / "area").mkdir()
        (at.scripts / "area" / "one.py").write_text("1\n")
        await at.until(lambda: at.watch.problems == [watch.FAILED])
        monkeypatch.setattr(folders.Watched, "folders", real)
        assert (await at.change()).paths == ["area/one.py"]
        await at.until(lambda: at.watch.problems == [])


async def test_nobody_listening_costs_no_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, real = [0], folders.Watched.folders

    def counted(place: folders.Watched) -> folders.Folders:
        rounds[0] += 1
        return real(place)

    monkeypatch.setattr(watch, "POLL", 0.01)
    monkeypatch.setattr(folders.Watched, "folders", counted)
    async with scene(tmp_path, BrokenNotifier) as at:
        at.listening().__exit__()
        begun = rounds[0]
        await at.until(lambda: rounds[0] > begun + 2)  # a look that had begun is over
        looked = at.reconciler._looked_at
        await at.until(lambda: rounds[0] > begun + 6)
        assert at.reconciler._looked_at == looked
        at.listening().__enter__()
        await at.until(lambda: at.reconciler._looked_at > looked)


async def test_what_a_list_finds_is_told_to_all(tmp_path: Path) -> None:
    async with scene(tmp_path, MutedNotifier) as at:
        (at.scripts / "one.py").write_text("1\n")
        assert await at.paths() == ["one.py"]
        assert (await at.change()).paths == ["one.py"]


async def test_a_watch_that_is_ringing_ends_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.wait(0.001):
                number += 1
                (at.scripts / f"script_{number % 50}.py").write_text(f"{number}\n")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            await at.change()
            begun = time.monotonic()
        except BaseException:
            stop.set()
            raise
    ended = time.monotonic()
    assert writer.is_alive()
    stop.set()
    writer.join(PATIENCE)
    assert ended - begun < 5.0
    assert not any(thread.name == "change notifier" for thread in threading.enumerate())


async def test_a_folder_that_is_deleted_under_the_watch_ends_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path / "plant") as at:
        (tmp_path / "plant").rename(tmp_path / "moved")
        await at.change()
        assert "cannot be looked at" in at.watch.problems[0]
        (tmp_path / "moved").rename(tmp_path / "plant")
        (at.scripts / "back.py").write_text("1\n")
        while "back.py" not in (await at.change()).paths:
            pass


async def test_changes_of_the_engine_itself_are_not_taken_for_others(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        await engine.scripts.list()
        seq = engine.events.last_seq
        info = await engine.scripts.save("own.py", SaveRequest(text="1\n"), engine.owner)
        for number in range(5):
            request = SaveRequest(text=f"{number} = own\n", base_sha256=info.sha256)
            info = await engine.scripts.save("own.py", request, engine.owner)
            if number % 2:
                await engine.scripts.list()
        await engine.changes.duplicate("own.py", DuplicateRequest(new_path="copy.py"), engine.owner)
        await engine.changes.rename("own.py", RenameRequest(new_path="moved.py"), engine.owner)
        await engine.changes.delete("copy.py", DeleteRequest(), engine.owner)
        await engine.changes.restore("copy.py", RestoreRequest(), engine.owner)
        (engine.project.scripts / "theirs.py").write_text("1\n")
        with engine.events.subscribe(seq) as events:
            told: list[object] = []
            async with asyncio.timeout(20):
                while not any(getattr(data, "change", "") == "outside" for data in told):
                    told += [event.data for event in await anext(events) if event.type == "script"]
        assert told[-1].paths == ["theirs.py"]  # type: ignore[attr-defined]
        assert len(told) == 1 + 5 + 4 + 1


STOPPED = """
import asyncio, os, pathlib, signal, sys
from tests.integration.watch_kit import scene

async def main():
    async with scene(pathlib.Path(sys.argv[1])) as at:
        print("ready", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        found = 0
        while found < int(sys.argv[2]):
            found += (await at.change()).created
        print(found, len(await at.paths()), flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
def test_what_the_kernel_could_not_tell_is_found_all_the_same(tmp_path: Path) -> None:
    """The reader stands still while more events happen than the kernel's queue holds."""
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
        queue = int(file.read())
    scripts, count = tmp_path / "scripts", 3_000
    reader = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path), str(count)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert line_of(reader) == b"ready\n"
        wait_for(lambda: Path(f"/proc/{reader.pid}/stat").read_text().rpartition(") ")[2][0] == "T")
        # Turns about, since the kernel makes one of two equal events in a row; three and more for each turn.
        for turn in range(queue // (3 * count) + 2):
            for number in range(count):
                (scripts / f"script_{number}.py").write_text(f"turn = {turn}\n")
        reader.send_signal(signal.SIGCONT)
        assert reader.communicate(timeout=60)[0] == f"{count} {count}\n"
    finally:
        reader.kill()
        reader.wait(PATIENCE)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("OS file watch limit reached. about [...]", "max_user_watches"),
        ("Error creating recommended watcher: Too many open files (os error 24)", "max_user_instances"),
        ("Error creating recommended watcher: Function not implemented", ""),
    ],
)
def test_why_there_is_no_watch_is_said(said: str, advice: str) -> None:
    failure = _explained(OSError(said))
    assert advice in failure.advice
    assert (advice != "") == ("the limit is " in failure.reason)


async def test_a_bell_over_nothing_says_so(tmp_path: Path) -> None:
    notifier = ChangeNotifier([str(tmp_path / "none")], lambda _: True, lambda _: None)
    with pytest.raises(FileNotFoundError):
        await notifier.armed()
    assert not notifier.works
    await notifier.gone()
    with pytest.raises(CannotWatch):
        await ChangeNotifier([str(tmp_path / "\udcff")], lambda _: True, lambda _: None).armed()
