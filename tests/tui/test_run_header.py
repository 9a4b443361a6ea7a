"""What a run had and left, above its output; and its files on the user's own disk."""

from __future__ import annotations

import os

import pytest
from console_support import console, write_script
from msgspec.structs import replace
from rich.style import Style

from engine.models.engine import EngineInfo, PoolInfo, SlotInfo
from engine.models.permissions import Access, Grant
from engine.models.runs import Mode, Outcome, RunBuffer, RunFile, RunInfo, RunKind, RunProgress, RunState
from tui.messages import EngineConnected, PoolChanged
from tui.runs.save_files import FileSaver
from tui.screens.runs import _COLUMNS as RUN_COLUMNS
from tui.text.isolation import host_note, host_sentence, level_word, slot_isolation
from tui.widgets.output_pane import run_detail, run_line
from tui.widgets.task_pane import _COLUMNS as TASK_COLUMNS
from tui.widgets.task_pane import state_text, time_text

LEAVES = """print("said")
open("a.csv", "w").write("1,2")
open("b.csv", "w").write("3")
open("c.csv", "w").write("4")
result = {"files": ["a.csv", "b.csv", "c.csv"]}
"""
RUN = RunInfo(
    id=41,
    kind=RunKind.SCRIPT,
    name="log\x1b[2J.py",
    state=RunState.RUNNING,
    mode=Mode.RESTRICTED,
    actor="alice",
    source="console",
    queued_at=0.0,
    timeout=30.0,
    code_sha256="",
    isolation="full: userns+pidns+landlock7+seccomp+rlimits",
)
STATES = {"state", "outcome"}
DEGRADED = "degraded: rlimits, no landlock, no seccomp"


@pytest.fixture
async def left(project, tmp_path, monkeypatch):
    """A console that shows a run which left three files; its own folder is an empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_script(project, "leaves.py", LEAVES)
    async with console(project, tmp_path) as c:
        await c.shows("leaves", "pool [...]")
        await c.open("leaves.py")
        await c.press("f5")
        await c.shows("end of output", "files: a.csv 3 B, b.csv 1 B, 1 more, s saves", "RESTRICTED full")
        await c.press("f3")
        yield c


async def test_files_are_saved_into_a_folder_of_the_users(left, tmp_path):
    await left.press("s")
    await left.shows("Save 3 files of run #", str(tmp_path)[:40])
    await left.press("enter")
    await left.shows("saved 3 files into")
    (folder,) = (tmp_path / "here").iterdir()
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"a.csv": "1,2", "b.csv": "3", "c.csv": "4"}
    assert {file.stat().st_uid for file in folder.iterdir()} == {os.geteuid()}


async def test_nothing_is_replaced_and_another_folder_can_be_named(left, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "b.csv").write_text("mine")
    await left.press("s")
    await left.shows("Save 3 files of run #")
    await left.press("home", "ctrl+k")
    await left.type(str(taken))
    await left.press("enter")
    await left.shows("b.csv of run", "already.", "replaced;", "a.csv.")
    assert (taken / "b.csv").read_text() == "mine"
    await left.press("end")
    await left.type("/deeper")
    await left.press("enter")
    await left.shows("saved 3 files into")
    assert len(list((taken / "deeper").iterdir())) == 3


async def test_a_folder_that_cannot_be_is_asked_again(left, tmp_path):
    (tmp_path / "file").write_text("")
    await left.press("s")
    await left.press("home", "ctrl+k")
    await left.type(str(tmp_path / "file/below"))
    await left.press("enter")
    await left.shows("cannot be used", "Save 3 files of run #")
    await left.press("escape")
    await left.hides("Save 3 files")


async def test_a_run_without_files_has_none_to_save(project, tmp_path):
    write_script(project, "quick.py", "print(1)\n")
    async with console(project, tmp_path) as c:
        await c.shows("quick", "pool [...]")
        await c.open("quick.py")
        await c.press("f5")
        await c.shows("end of output")
        await c.press("f3", "s")
        await c.shows("the run in the output left no files")


async def test_names_of_a_hostile_engine_lead_nowhere(tmp_path):
    told = []

    class Host:
        async def push_screen_wait(self, screen):
            told.append(screen._problem)
            return str(tmp_path / "out") if len(told) == 1 else None

        notify = notify_error = told.append

    class Connection:
        class client:  # noqa: N801 - stands for the property
            @staticmethod
            async def call(operation, params):
                return b"x"

    run = replace(RUN, files=[RunFile(name="../\x1b[2Jx", size=1, sha256="")])
    await FileSaver(Host(), Connection()).save(run)
    assert "would lead out of the folder" in told[-1]
    assert "\x1b" not in told[-1]
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(
    ("progress", "state", "line"),
    [
        (RunProgress(done=0.304), "running 30 %", "  30 %  "),
        (RunProgress(done=3, total=10, text="rows\x1b[2J"), "running 30 %", "  3 of 10, 30 %  rows\\x1b[2J  "),
        (RunProgress(text="reading"), "running", "  reading  "),
        (RunProgress(done=20, total=10), "running 100 %", "  20 of 10, 100 %  "),
    ],
)
def test_a_run_shows_how_far_it_is(progress: RunProgress, state: str, line: str) -> None:
    run = replace(RUN, progress=progress)
    assert state_text(run) == state
    assert len(state) <= 13, "as wide as its column"
    assert line in run_line(run, "red").plain


def test_the_line_tells_mode_and_level():
    assert run_line(RUN, "red").plain.startswith(" #41 log\\x1b[2J.py  running  ")
    assert "  RESTRICTED full  alice  " in run_line(RUN, "red").plain
    assert "  RESTRICTED degraded, no landlock, no seccomp  " in run_line(replace(RUN, isolation=DEGRADED), "red").plain
    admin = run_line(replace(RUN, mode=Mode.ADMIN, isolation="admin: pidns, no sandbox"), "red")
    assert "  ADMIN  alice" in admin.plain
    assert [span.style for span in admin.spans if "ADMIN" in admin.plain[span.start : span.end]] == ["bold red"]
    assert Style.parse("bold red").color is not None


def test_the_line_below_tells_files_and_grants():
    assert run_detail(RUN) == ""
    granted = replace(
        RUN,
        grants=[Grant(access=Access.READ, path="/var/log/x"), Grant(access=Access.WRITE, path="/srv/\x1b]0;y\x07")],
        files=[RunFile(name="report\x9b.csv", size=12000, sha256="")],
    )
    assert run_detail(granted) == (
        "files: report\\x9b.csv 11.7 KiB, s saves   read /var/log/x, write /srv/\\x1b]0;y\\x07"
    )
    held = [RunBuffer(name="small", size=9), RunBuffer(name="big\x9b", size=20 << 20)]
    left = replace(RUN, files=[RunFile(name="small", size=9, sha256="")], buffers=held)
    assert run_detail(left) == (
        f"files: small 9 B, s saves   buffers: big\\x9b 20.0 MiB, for ten minutes: gatewright runs buffers {RUN.id}"
    )


@pytest.mark.parametrize(
    ("isolation", "word"),
    [
        ("full: userns+view+landlock7+seccomp+rlimits", "full"),
        ("core: landlock7+seccomp+rlimits, no userns, no scratch", "core"),
        (DEGRADED, "degraded, no landlock, no seccomp"),
        ("admin: pidns+tmpfs, no sandbox", "admin"),
        ("process+rlimits, no landlock", "process+rlimits, no landlock"),
        ("", ""),
    ],
)
def test_a_level_is_a_word(isolation, word):
    assert level_word(isolation) == word


def test_a_slot_of_admin_runs_says_so():
    assert slot_isolation(SlotInfo(slot=1, state="starting", since=0.0, mode=Mode.ADMIN)) == "ADMIN"


@pytest.mark.parametrize(("level", "named"), [("full", False), ("core", False), ("", False), ("degraded", True)])
def test_only_a_host_without_a_whole_sandbox_is_named(level, named):
    info = EngineInfo(version="", api_version=1, pid=1, project="", owner="", started_at=0.0, level=level)
    assert bool(host_note(info)) is bool(host_sentence(info)) is named
    assert host_note(None) == host_sentence(None) == ""


async def test_a_host_that_refuses_is_named_with_its_reason(project, tmp_path, monkeypatch):
    reason = "RESTRICTED runs need a sandbox that this host does not give: no seccomp (\x1b[2Jnot built in)."
    refused = [SlotInfo(slot=n, state="failed", since=0.0, problem=reason) for n in (1, 2, 3)]
    async with console(project, tmp_path) as c:
        await c.shows("defaults/tour.py", "pool [...]")
        c.app._console._parts.follower.run = None
        connection = c.app._connection
        monkeypatch.setattr(connection, "_handle", lambda event: None)  # this host would say what it has
        connection.info = replace(connection.info, level="refused")
        c.app._console._parts.output.begin()
        c.app.publish(EngineConnected(connection.info))
        c.app.publish(PoolChanged(PoolInfo(size=3, slots=[])))
        await c.shows("no sandbox: gatewright doctor  pool", "RESTRICTED runs are refused. gatewright doctor says why.")
        await c.press("f4")
        await c.shows("queue: empty")
        c.app.publish(PoolChanged(PoolInfo(size=3, slots=refused)))
        await c.shows("no seccomp", "(\\x1b[2Jnot built in). See gatewright doctor.", "no sandbox: gatewright doctor")


@pytest.mark.parametrize(
    ("outcome", "status", "number", "wanted"),
    [
        (Outcome.EXITED, 255, None, "exited (255)"),
        (Outcome.EXITED, 0, None, "exited"),
        (Outcome.SCRIPT_ERROR, 255, None, "error (255)"),
        (Outcome.SCRIPT_ERROR, 1, None, "script error"),
        (Outcome.CRASHED, None, 11, "crashed (11)"),
    ],
)
def test_an_outcome_fits_its_column(outcome, status, number, wanted):
    ended = replace(RUN, state=RunState.FINISHED, outcome=outcome, exit_status=status, signal=number)
    assert state_text(ended) == wanted
    assert len(wanted) <= min(column.width for column in (*TASK_COLUMNS, *RUN_COLUMNS) if column.title in STATES)


def test_a_run_that_was_lost_with_its_engine_does_not_seem_to_go_on():
    lost = replace(RUN, state=RunState.FINISHED, outcome=Outcome.INTERRUPTED, started_at=1.0, duration=None)
    assert time_text(lost) == ""


async def test_what_the_engine_says_of_a_run_is_wrapped(project, tmp_path):
    write_script(project, "reaching.py", "print('x' * 200)\nopen('/etc/nowhere.conf')\n")
    async with console(project, tmp_path) as c:
        await c.shows("reaching", "pool [...]")
        await c.open("reaching.py")
        await c.press("f5")
        await c.shows("! RESTRICTED scripts reach none of the host's files, whether they exist or not,")
        await c.shows("!   and write in their working folder only:", "end of output")
        await c.press("f3", "home")
        await c.shows("  " + "x" * 77)
        await c.pilot.resize_terminal(60, 24)
        await c.until(lambda: max(map(len, c.text.splitlines())) <= 60, "everything is laid out anew")
        await c.pilot.pause()
        await c.press("end")
        await c.shows("!   whether they exist or not, and write in their working\n", "!   the script in ADMIN mode.\n")


async def test_a_long_list_of_files_is_wrapped_and_marked_where_it_is_cut(project, tmp_path):
    names = [f"{letter * 50}.csv" for letter in "ab"]
    write_script(project, "many.py", f"for n in {names}: open(n, 'w').write('1')\nresult = {{'files': {names}}}\n")
    async with console(project, tmp_path) as c:
        await c.shows("many", "pool [...]")
        await c.open("many.py")
        await c.press("f5")
        await c.shows(f" files: {names[0]} 1 B,\n   {names[1]} 1 B, s saves\n")
        await c.pilot.resize_terminal(40, 24)
        await c.shows("bbb…\n")
