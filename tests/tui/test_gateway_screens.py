"""Several gateways in one console: the list of them, going from one to another, and what stays where it was."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from console_support import Console, console, engine_project, write_script
from pictures_support import check

from engine.client import launch
from engine.models.base import API_VERSION, VERSION
from engine.models.engine import EngineInfo
from engine.registry.engine import AUDIT_LIST, ENGINE_INFO, AuditParams
from engine.registry.scripts import SCRIPTS_SAVE
from tui.editing.recovery import RecoveryJournal, UnsavedText

sys.path.append(str(Path(__file__).resolve().parent.parent / "unit"))

from tls_front import token_file


@pytest.fixture(scope="module")
def plants() -> Iterator[tuple[Path, Path]]:
    """Two projects, each with its engine and a script that says where it is; their names fit into a column."""
    with tempfile.TemporaryDirectory(prefix="gw", dir="/tmp") as name, plants_in(Path(name)) as both:
        yield both


@contextmanager
def plants_in(folder: Path) -> Iterator[tuple[Path, Path]]:
    with engine_project(folder / "a", admin=True) as a, engine_project(folder / "b", admin=True) as b:
        write_script(a, "where.py", "print('this is plant a')\n")
        write_script(a, "slow.py", "import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
        write_script(b, "where.py", "print('this is plant b')\n")
        write_script(b, "only_b.py", "print('b')\n")
        yield a, b


def name_gateways(monkeypatch: pytest.MonkeyPatch, home: Path, text: str) -> None:
    """Give the user's file these gateways."""
    folder = home / "gatewright"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "gateways.toml").write_text(text)
    (folder / "gateways.toml").chmod(0o600)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))


@pytest.fixture
async def c(plants, tmp_path, monkeypatch) -> AsyncIterator[Console]:
    a, b = plants
    name_gateways(
        monkeypatch, tmp_path / "config", f'[gateways.gw-a]\nproject = "{a}"\n[gateways.gw-b]\nproject = "{b}"\n'
    )
    async with console(a, tmp_path, place="gw-a", size=(100, 24)) as opened:
        await opened.shows("pool [...]")
        yield opened


async def go(c: Console, name: str, row: str = "") -> None:
    """Go to a gateway by its row."""
    row = row or name
    await c.press("alt+g")
    await c.shows("gateways", "you are here", row)
    rows = c.app.screen.query_one("#gateways RowList")
    await c.until(lambda: any(one.key == row for one in rows.rows), f"{row} is listed")
    await c.press("home", *["down"] * [one.key for one in rows.rows].index(row), "enter")
    await c.until(lambda: f" {name} " in c.text.splitlines()[0], f"the header says {name}")
    await c.shows("pool [")


def kept_texts(journal: RecoveryJournal) -> str:
    """All that a journal holds of texts."""
    return "".join(file.read_text() for file in journal.folder.glob("*.json") if file.name != "session.json")


async def test_another_gateway_has_its_own_scripts_and_runs(c):
    await c.open("where.py")
    await c.press("f5")
    await c.shows("this is plant a")
    await go(c, "gw-b")
    await c.hides("this is plant a")
    await c.lists("only_b.py")
    await c.open("where.py")
    await c.press("f5")
    await c.shows("this is plant b")
    await go(c, "gw-a")
    await c.shows("this is plant a")
    await c.hides("only_b")


async def test_unsaved_text_cursor_and_undo_stay_with_their_gateway(c, plants, tmp_path):
    await c.open("where.py")
    await c.press("ctrl+home")
    await c.type("# mine")
    await c.press("enter")
    await c.type("# more")
    await c.shows("where.py *")
    cursor = c.app._console.editor.cursor_location
    await go(c, "gw-b")
    await c.open("where.py")
    assert "# mine" not in c.text
    journal = RecoveryJournal(os.path.realpath(plants[0]), tmp_path / "recovery")
    await c.until(lambda: "# mine" in kept_texts(journal), "the text is in the journal of its gateway")
    await c.press("alt+g")
    await c.shows(" *   gw-a", ">    gw-b")
    await c.press("home")
    await c.shows("Unsaved there: where.py")
    await c.press("escape")
    await go(c, "gw-a")
    await c.shows("# mine", "where.py *")
    assert c.app._console.editor.cursor_location == cursor
    await c.press(*["ctrl+z"] * 14)  # what was typed slowly is undone key by key
    await c.hides("where.py *")
    assert c.app._console.editor.text == (plants[0] / "scripts/where.py").read_text()


@pytest.mark.slow
async def test_a_run_goes_on_and_its_output_is_there_again(c):
    await c.open("slow.py")
    await c.press("f5")
    await c.shows("begun", "running")
    left = c.app._connection
    await go(c, "gw-b")
    await c.until(lambda: not left.connected.is_set(), "the line is closed")
    assert "begun" not in c.text
    await go(c, "gw-a")
    await c.shows("begun", "running")
    await c.press("f6")
    await c.shows("cancelled")


@pytest.mark.slow
async def test_admin_ends_by_going_away(c):
    await c.open("where.py")
    await c.press("f8")
    await c.shows("Runs you start in")
    await c.press("enter")
    await c.shows("ADMIN 4:5")
    await go(c, "gw-b")
    await c.hides("ADMIN")
    await go(c, "gw-a")
    await c.shows("RESTRICTED")
    await c.hides("ADMIN")


@pytest.mark.slow
async def test_what_does_not_answer_is_said_with_what_to_do(plants, short_folder, monkeypatch):
    a, _ = plants
    (short_folder / "open").mkdir()
    opened = token_file(short_folder / "open", mode=0o644)
    async with engine_of_another_version(short_folder / "newer.sock"):
        name_gateways(
            monkeypatch,
            short_folder / "config",
            f"""
[gateways.gone]
socket = "{short_folder}/gone.sock"
groups = ["plant-b"]
[gateways.newer]
socket = "{short_folder}/newer.sock"
[gateways.nobody]
url = "https://127.0.0.1:1"
token_file = "{token_file(short_folder)}"
[gateways.open-token]
url = "https://127.0.0.1:1"
token_file = "{opened}"
[gateways.no-folder]
project = "{short_folder}/nowhere"
""",
        )
        async with console(a, short_folder, place="gw-a", size=(100, 24)) as c:
            await c.shows("pool [...]")
            await c.press("alt+g")
            await c.shows("gone              not reachable", "nobody            not reachable")
            await c.shows("newer             other version", "9.9.9")
            await c.shows("open-token", "no-folder         not set up", "you are here")
            await c.press("home", "down")
            await c.shows("Nothing listens at", "ssh -N", "Groups: @plant-b.")
            await c.press("down")
            await c.shows("is of a newer version (9.9.9) than this client", "Use gatewright 9.9.9 here")
            await c.press("end", "enter")
            await c.told("nowhere")
            await c.press("up", "enter")  # going to one that is away is allowed: it may come back
            await c.shows(" open-token ", "engine away, ^R tries now: Other accounts may use")
            await c.type("typed while it is away")
            await c.shows("unnamed *")
            await go(c, "gw-a", "this project")
            await c.hides("typed while")


@asynccontextmanager
async def engine_of_another_version(path: Path) -> AsyncIterator[None]:
    """What an engine of a later version says to a handshake."""
    info = EngineInfo(version="9.9.9", api_version=API_VERSION + 1, pid=1, project="/", owner="root", started_at=0.0)
    body = msgspec.json.encode(info)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # it only wanted to know who listens
            writer.close()
            return
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()


@pytest.mark.slow
async def test_quitting_asks_for_unsaved_text_of_other_gateways(c, plants, tmp_path):
    await c.open("where.py")
    await c.press("ctrl+home")
    await c.type("# kept")
    await c.shows("where.py *")
    await go(c, "gw-b")
    await c.press("ctrl+q")
    await c.shows("Unsaved text at other gateways: where.py at gw-a", "throw it away and quit")
    await c.press("escape")
    await c.hides("Unsaved text at other")
    await c.press("ctrl+q")
    await c.shows("go to gw-a")
    await c.press("g")
    await c.shows("# kept", "where.py *")
    await go(c, "gw-b")
    await c.press("ctrl+q")
    await c.shows("the text is kept here and offered when you go there")
    await c.press("k")
    await c.until(lambda: c.app.return_code == 0, "the console has ended")
    (left,) = RecoveryJournal(os.path.realpath(plants[0]), tmp_path / "recovery").left_behind()
    assert (left.path, left.text.startswith("# kept")) == ("where.py", True)


@pytest.mark.slow
async def test_text_that_an_earlier_console_left_is_offered_at_its_gateway_only(c, plants, tmp_path):
    journal = RecoveryJournal(os.path.realpath(plants[1]), tmp_path / "recovery")
    journal.set_aside(UnsavedText("where.py", "# of yesterday\n"))
    await c.press("alt+g")
    await c.shows(" *   gw-b")
    await c.press("end", "enter")
    await c.shows("Unsaved text of where.py", "restore it into the editor")
    await c.press("r")
    await c.shows("# of yesterday", "where.py *")
    await go(c, "gw-a")
    assert "yesterday" not in c.text


@pytest.mark.slow
async def test_a_console_that_is_killed_keeps_the_texts_of_all_gateways(c, plants, tmp_path):
    for name, typed in (("gw-a", "# typed at a"), ("gw-b", "# typed at b")):
        if name == "gw-b":
            await go(c, name)
        await c.open("where.py")
        await c.press("ctrl+home")
        await c.type(typed)
        await c.shows("where.py *")
    c.app._visits.hang_up()
    for plant, typed in zip(plants, ("# typed at a", "# typed at b"), strict=True):
        assert typed in kept_texts(RecoveryJournal(os.path.realpath(plant), tmp_path / "recovery"))
    for name in ("gw-b", "gw-a"):
        if name == "gw-a":
            await go(c, name)
        await c.press(*["ctrl+z"] * 14)
        await c.hides("where.py *")


@pytest.mark.slow
async def test_a_save_on_its_way_is_brought_to_an_end_and_its_question_waits(c, plants):
    """Another text is on disk by the time the save arrives: that is asked where it belongs."""
    connection = c.app._connection
    await c.open("where.py")
    await c.press("ctrl+home")
    await c.type("# late")
    client, go_on = connection.client, asyncio.Event()
    real = client.call

    async def slow(operation, *args, **given):
        if operation is SCRIPTS_SAVE:
            await go_on.wait()
        return await real(operation, *args, **given)

    client.call = slow
    original = (plants[0] / "scripts/where.py").read_text()
    try:
        await c.pilot.app.run_action("save", c.app._console)
        write_script(plants[0], "where.py", "print('theirs')\n")
        await c.press("alt+g")
        await c.shows("gw-b              answers")
        await c.press("end", "enter")
        await c.until(lambda: c.app._connection is not connection, "the user has left")
        go_on.set()  # the line is left open for a few seconds only
        await c.shows(" gw-b ", "pool [...]")
        await c.until(lambda: not connection.connected.is_set(), "the line is closed")
        assert "keep mine" not in c.text
        await c.lists("only_b.py")
        await go_back(c, "gw-a")
        await c.shows("keep mine")
        await c.press("escape")
    finally:
        write_script(plants[0], "where.py", original)


async def go_back(c: Console, name: str) -> None:
    await c.press("alt+g")
    await c.shows(f"{name}              answers")
    await c.press("home", "enter")
    await c.until(lambda: f" {name} " in c.text.splitlines()[0], f"the header says {name}")


SIZES = {"80": (80, 24), "120": (120, 40), "50": (50, 14)}
WIDTHS = ["80", *(pytest.param(width, marks=pytest.mark.slow) for width in ("120", "50"))]


@pytest.mark.parametrize("width", WIDTHS)
async def test_picture(plants, short_folder, monkeypatch, width):
    a, b = plants
    monkeypatch.setenv("XDG_CONFIG_HOME", str(short_folder / "none"))

    def shown(c: Console) -> str:
        text = c.text.replace(str(short_folder), "~").replace(str(a), "/srv/plant-a")
        return text.replace(f"{VERSION:<7}", "VERSION")

    async with console(a, short_folder, place="gw-01:/srv/plant-a", size=SIZES[width]) as c:
        await c.shows("pool [...]")
        await c.press("alt+g")
        await c.shows("No other gateways yet")
        await check(c, f"gateways_none_{width}", shown)
        (short_folder / "b").symlink_to(b)
        name_gateways(
            monkeypatch,
            short_folder / "config",
            f"""
[gateways.gw-02]
project = "{short_folder}/b"
groups = ["plant-b", "pumps"]
[gateways.gw-03]
socket = "{short_folder}/gw-03.sock"
groups = ["plant-b"]
[gateways.gw-04]
project = "{short_folder}/gone"
""",
        )
        await c.press("f5")
        await c.shows("answers", "not reachable", "not set up")
        await c.press("down")
        await c.shows("@plant-b, @pumps")
        await check(c, f"gateways_{width}", shown)


@asynccontextmanager
async def fleet(
    plants, tmp_path: Path, monkeypatch, script: str, size=(100, 24), third: Path | None = None
) -> AsyncIterator[Console]:
    """A console at plant a, with gateways for it, for b and for one that is away, and a script open."""
    a, b = plants
    name_gateways(
        monkeypatch,
        tmp_path / "config",
        f"""
[gateways.gw-01]
project = "{a}"
groups = ["plant"]
[gateways.gw-02]
project = "{b}"
groups = ["plant"]
[gateways.gw-03]
socket = "{tmp_path}/gone.sock"
groups = ["plant"]
"""
        + (f'[gateways.gw-04]\nproject = "{third}"\ngroups = ["plant"]\n' if third else ""),
    )
    async with console(a, tmp_path, place="gw-01", size=size) as c:
        await c.shows("pool [...]")
        await c.open(script)
        yield c


async def run_on_the_group(c: Console) -> None:
    await c.press("alt+g")
    await c.shows("gw-03             not reachable")
    await c.press("r")
    await c.shows("names with commas between them")
    await c.press(*["backspace"] * 4)
    await c.type("@plant")
    await c.press("enter")


@pytest.mark.slow
async def test_one_script_on_many_gateways(plants, tmp_path, monkeypatch):
    a, b = plants
    write_script(a, "check.py", "print('checked')\nresult = {'bad': 0}\n")
    write_script(b, "check.py", "print('checked')\nresult = {'bad': 3}\n")
    async with fleet(plants, tmp_path, monkeypatch, "check.py") as c:
        await run_on_the_group(c)
        await c.shows(
            "run check.py on @plant", "3 gateways", "all 2 differ, 1 not reachable", "gw-03", "Nothing listens"
        )
        await c.shows("another text of it ran on gw-02")
        await c.press("down")
        await c.shows('-  "bad": 0', '+  "bad": 3')
        await c.press("o")
        await c.shows("answer of gw-02", "checked", '"bad": 3')
        await c.press("escape")
        assert c.app.screen._group.names == ["gw-02"]
        write_script(b, "check.py", "print('checked')\nresult = {'bad': 0}\n")
        await c.press("space", "r")
        await c.shows("2 same, 1 not reachable", "gw-01 gw-02")
        monkeypatch.chdir(a.parent)  # a short path: the note has three lines
        await c.press("e")
        await c.shows("Write the evidence of run #", "of gw-01")
        await c.press("enter")
        await c.shows("evidence of run")
        assert list(a.parent.glob("evidence-gw-01-*.json"))
        await c.press("end", "r")
        await c.hides("waiting")
        here = c.app.screen
        await c.until(lambda: here._group is not None and here._group.names == ["gw-03"], "the cursor is there still")
        await c.press("e")
        await c.told("No run began on the gateways of this row.")
        await c.press("escape")
        await c.shows("pool [")


def recorded_runs(project: Path) -> list[tuple[int]]:
    """The runs that an engine killed now cannot lose."""
    with closing(sqlite3.connect(f"file:{project / '.gatewright/state.db'}?mode=ro", uri=True)) as database:
        return database.execute("select id from run").fetchall()


@pytest.fixture
def third(tmp_path: Path) -> Iterator[Path]:
    with engine_project(tmp_path / "c") as root:
        yield root


@pytest.mark.slow
async def test_an_engine_that_is_killed_in_the_middle_is_told_beside_the_others(plants, third, tmp_path, monkeypatch):
    for plant in plants:
        write_script(plant, "here.py", "print('through')\n")
    write_script(third, "here.py", "import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    async with fleet(plants, tmp_path, monkeypatch, "here.py", third=third) as c:
        client = await launch.connect(third, client="cli")
        pid = (await client.call(ENGINE_INFO)).pid
        await run_on_the_group(c)
        await c.shows("2 same, 1 not reachable", "waiting (1)", "gw-04")
        await client.close()
        await c.until(lambda: recorded_runs(third), "the engine has the run on disk")
        os.kill(pid, signal.SIGKILL)
        await c.shows("2 same, 1 differs, 1 not reachable", "gw-01 gw-02", "through")
        await c.press("down", "o")
        await c.shows("ended with interrupted")


@pytest.mark.parametrize("width", WIDTHS)
async def test_picture_of_many(plants, short_folder, monkeypatch, width):
    for plant, bad in zip(plants, (0, 3), strict=True):
        write_script(plant, "check.py", f"print('checked')\nresult = {{'tags': 812, 'bad': {bad}}}\n")

    def shown(c: Console) -> str:
        return re.sub(r"\d+ s$", "N s", c.text.replace(str(short_folder), "~"), flags=re.MULTILINE)

    async with fleet(plants, short_folder, monkeypatch, "check.py", size=SIZES[width]) as c:
        await run_on_the_group(c)
        await c.until(lambda: "waiting" not in c.text and "not reachable" in c.text, "all have answered")
        await c.press("down")
        await c.shows("+++ gw-02")
        await check(c, f"fleet_{width}", shown)


@pytest.mark.slow
async def test_a_text_that_is_not_saved_is_no_script_of_the_gateways(plants, tmp_path, monkeypatch):
    async with fleet(plants, tmp_path, monkeypatch, "where.py") as c:
        await c.press("ctrl+home")
        await c.type("# mine")
        await run_on_the_group(c)
        await c.told("Each gateway runs its own where.py, so save this text first: ^S.")
        await c.press(*["ctrl+z"] * 8)
        await c.press("alt+g")
        await c.shows("gw-03             not reachable")
        await c.press("r", "enter")  # @all
        await c.shows("run where.py on @all", "all 2 differ")


@pytest.mark.slow
async def test_what_goes_on_is_stopped_everywhere(plants, tmp_path, monkeypatch):
    for plant in plants:
        write_script(plant, "long.py", "import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    async with fleet(plants, tmp_path, monkeypatch, "long.py") as c:
        await c.press("alt+g")
        await c.shows("gw-03             not reachable")
        await c.press("home", "space", "down", "space")
        await c.shows("> x  gw-01", "  x  gw-02")
        await c.press("r")
        await c.shows("run long.py on 2 marked", "waiting (2)")
        await c.press("escape")
        await c.shows("It goes on at gw-01, gw-02", "leave it")
        await c.press("s")
        await c.shows("cancelled", "2 ")
        await c.hides("waiting")
        await c.press("escape")
        await c.shows("pool [...] 0/3")


@pytest.mark.slow
async def test_a_gateway_that_the_file_no_longer_names_can_still_be_gone_back_to(c, tmp_path, monkeypatch):
    await go(c, "gw-b")
    await c.open("where.py")
    await c.type("x")
    await c.shows("where.py *")
    await go(c, "gw-a")
    name_gateways(monkeypatch, tmp_path / "config", "")
    await go(c, "gw-b")
    await c.shows("where.py *")
    name_gateways(monkeypatch, tmp_path / "config", f'[gateways.gw-b]\nsocket = "{tmp_path}/gone.sock"\n')
    await c.press("alt+g")
    await c.shows(">*   gw-b before", "     gw-b              not reachable")
    await c.press("escape")


@pytest.mark.slow
async def test_own_edits_end_by_going_away(c, plants):
    write_script(
        plants[0],
        "asks.py",
        '# /// script\n# [tool.gatewright.permissions]\n# read = ["/usr/share"]\n# ///\nresult = 1\n',
    )
    await c.open("asks.py")
    await c.press("f9")
    await c.shows("never approved")
    await c.press("w")
    await c.shows("own edits 1")
    await go(c, "gw-b")
    assert "own edits" not in c.text
    await go(c, "gw-a")
    await c.hides("own edits 1")
    client = c.app._connection.client
    found = (await client.call(AUDIT_LIST, AuditParams(limit=50))).records
    assert "own_edits_end" in {record.action for record in found}
