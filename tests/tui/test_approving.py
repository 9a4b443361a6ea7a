"""From a refused run, or F9, to a decision about what a script asks for."""

from __future__ import annotations

import asyncio
import zipfile

import pytest
from console_support import console, engine_project, write_script

from engine.client import launch
from engine.client.answers import EngineError
from engine.models.permissions import Access, ApprovalState, AskedPermission, Grant, PermissionReview
from engine.registry.engine import AUDIT_LIST, AuditParams
from engine.registry.scripts import PERMISSIONS_APPROVE, PERMISSIONS_REVIEW

EVIL = "/srv/\x1b]0;evil\x07\u202elogs"


def asking(*paths, text="print('watched')\n"):
    return f"# /// script\n# [tool.gatewright.permissions]\n# read = {list(map(str, paths))!r}\n# ///\n{text}"


def marked(c, name, mark):
    return any(f" {name} " in line[:18] and line[:20].rstrip(" │").endswith(mark) for line in c.text.splitlines())


@pytest.fixture
def logs(short_folder):
    folder = short_folder / "logs"
    folder.mkdir()
    (folder / "wrapper.log").write_text("ERROR pump\n")
    return folder


async def test_a_refused_run_leads_to_the_review_and_an_approval_takes_the_mark_away(project, tmp_path, logs):
    write_script(project, "watch.py", asking(logs))
    async with console(project, tmp_path) as c:
        await c.shows("watch", "pool [...]")
        await c.until(lambda: marked(c, "watch", "^"), "the list marks it")
        await c.open("watch.py")
        await c.press("f5")
        await c.shows("has approved that yet", "look at what it asks for", "not now")
        await c.press("p")
        await c.shows("never approved", str(logs), "+ new", "the folder and all in it", "no approval so far")
        await c.press("d")
        await c.shows("+print('watched')")
        await c.press("d")
        await c.shows("the folder and all in it")
        await c.press("a")
        await c.shows("approved watch.py as it is now")
        await c.until(lambda: not marked(c, "watch", "^"), "the mark is gone")
        await c.press("f9")
        await c.shows("approved as it is", "unchanged", "this text")
        await c.press("a")
        await c.shows("It is approved already.")
        await c.press("n")
        await c.shows("refused what watch.py asks for")
        await c.until(lambda: marked(c, "watch", "^"), "the mark is back")


async def test_an_edit_withdraws_it_and_the_review_shows_what_changed(project, tmp_path, logs):
    write_script(project, "edited.py", asking(logs))
    (logs / "more").mkdir()
    async with console(project, tmp_path) as c:
        await c.shows("edited", "pool [...]")
        await c.open("edited.py")
        await c.press("f9")
        await c.shows("never approved")
        await c.press("a")
        await c.shows("approved edited.py")
        await c.press("ctrl+end")
        await c.type("x = 1")
        await c.press("f9")
        await c.shows("Save the script first")
        await c.press("ctrl+s")
        await c.shows("saved edited.py")
        await c.until(lambda: marked(c, "edited", "^"), "the list marks it")
        await c.press("f9")
        await c.shows("changed since the approval", "unchanged", "last approved by", ", text ")
        await c.press("d")
        await c.shows("+x = 1")
        write_script(project, "edited.py", asking(logs / "more"))
        await c.press("a")
        await c.shows("has changed since you looked at it", f"{logs}/more", "- not asked any more")
        await c.press("escape")
        await c.hides("not asked any more")


async def test_what_cannot_be_granted_says_why_and_is_not_sent(project, tmp_path, logs, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(logs)
    write_script(project, "wrong.py", asking(link, "/etc", logs / "wrapper.log"))
    async with console(project, tmp_path) as c:
        await c.shows("wrong", "pool [...]")
        await c.open("wrong.py")
        await c.press("f9")
        await c.shows(f"leads to {logs}", '! "/etc"', "this file", "log is rotated")
        c.answer(monkeypatch, PERMISSIONS_APPROVE, None)
        await c.press("a")
        await c.shows('It cannot be approved: "/etc"')


async def test_who_may_not_is_told_by_the_engine(project, tmp_path, logs, monkeypatch):
    write_script(project, "other.py", asking(logs))

    async def refuse(params, body):
        raise EngineError("forbidden", "bob may not approve permissions: that needs the role admin.", None, 403)

    async with console(project, tmp_path) as c:
        await c.shows("other", "pool [...]")
        await c.open("other.py")
        await c.press("f9")
        await c.shows("never approved")
        c.answer(monkeypatch, PERMISSIONS_APPROVE, refuse)
        await c.press("a")
        await c.shows("bob may not approve permissions: that needs the role admin.", "never approved")


async def test_the_list_decides_which_script_is_meant(project, tmp_path, logs):
    write_script(project, "aaa_first.py", asking(logs))
    async with console(project, tmp_path) as c:
        await c.shows("aaa_first", "defaults/tour.py", "pool [...]")
        await c.press("f9")
        await c.shows("defaults/tour.py asks for no permissions")
        await c.press("f2", "home", "f9")
        await c.shows("aaa_first.py asks for permissions: never approved")


async def test_hostile_paths_notes_and_texts_are_shown_and_do_nothing(project, tmp_path, monkeypatch):
    asked = AskedPermission(access=Access.READ, path=EVIL, canonical="/x\x9b2J", note="note\x1b[2J", problem="no\rway")
    review = PermissionReview(
        script="evil.py\x1b[2J",
        sha256="0" * 64,
        state=ApprovalState.CHANGED,
        asked=[asked],
        removed=[Grant(access=Access.WRITE, path="/old\x07")],
        approved_by="bob\x1b[31m",
        approved_at=1.0,
        approved_sha256="1" * 64,
        diff="--- approved\n+++ evil.py\n@@ -1 +1 @@\n-a\n+\x1b[2Jb\t" + "c" * 100 + "HIDDEN?\u202e\n",
    )

    async def judged(params):
        return review

    async with console(project, tmp_path) as c:
        await c.shows("defaults/tour.py", "pool [...]")
        c.answer(monkeypatch, PERMISSIONS_REVIEW, judged)
        await c.press("f9")
        await c.shows("evil.py\\x1b[2J asks", "/srv/\\x1b]0;evil\\x07\\u202elogs", "leads to /x\\x9b2J")
        await c.shows("note\\x1b[2J", "! no\\rway", "/old\\x07", "bob\\x1b[31m")
        await c.press("d")
        await c.shows("+<U+001B>[2Jb", "HIDDEN?<U+202E>")


def reading(logs, word):
    return asking(logs, text=f"print('{word}', open('{logs}/wrapper.log').read())\n")


def has_permissions(c):
    return " own edits " in c.text.splitlines()[-2]


async def begin_edits(c, name):
    await c.open(name)
    await c.press("f5")
    await c.shows("look at what it asks for", "(F9)")
    await c.press("f9")  # the key that the dialog names
    await c.shows("never approved", "w my own edits only, 15 minutes")
    await c.press("w")
    await c.shows("own edits 1", "own edits run in this console only, for 15 minutes")
    await c.until(lambda: has_permissions(c), "the sign")


@pytest.mark.slow
async def test_own_edits_run_for_a_while_without_another_approval(project, tmp_path, logs):
    write_script(project, "mine.py", reading(logs, "first"))
    async with console(project, tmp_path) as c:
        await c.shows("mine", "pool [...]")
        await begin_edits(c, "mine.py")
        await c.press("f5")
        await c.shows("first ERROR pump")
        await c.press("ctrl+end")
        await c.type("print('second')")
        await c.press("ctrl+s")
        await c.shows("saved mine.py")
        assert has_permissions(c), "no remark hides the sign"
        await c.press("f5")
        await c.shows("second")
        await c.press("ctrl+p")
        await c.type("own edits of")
        await c.press("enter")
        await c.shows("your own edits need an approval again")
        await c.until(lambda: not has_permissions(c), "the sign is gone")
        await c.press("f5")
        await c.shows("has approved that yet")
        await c.press("escape")


@pytest.mark.slow
async def test_the_review_tells_that_own_edits_are_on_and_ends_them(project, tmp_path, logs):
    write_script(project, "told.py", reading(logs, "mine"))
    async with console(project, tmp_path) as c:
        await c.shows("told", "pool [...]")
        await begin_edits(c, "told.py")
        await c.press("f9")
        await c.shows("never approved", "own edits: 14:", " left, w ends it", "a approve this text")
        await c.hides("my own edits only")
        await c.press("w")
        await c.shows("your own edits need an approval again")
        await c.until(lambda: not has_permissions(c), "the sign is gone")
        await c.press("f9")
        await c.shows("never approved", "w my own edits only, 15 minutes")
        await c.hides("w ends it")


async def test_the_review_sees_the_end_of_own_edits(project, tmp_path, logs):
    write_script(project, "over.py", reading(logs, "mine"))
    async with console(project, tmp_path) as c:
        await c.shows("over", "pool [...]")
        await begin_edits(c, "over.py")
        await c.press("f9")
        await c.shows(" left, w ends it")
        await c.app._console.parts.own_edits.end()
        await c.shows("w my own edits only, 15 minutes")
        await c.hides("w ends it")


async def test_a_refused_run_of_an_unsaved_text_is_not_said_to_go_on(project, tmp_path, logs):
    write_script(project, "unsaved.py", reading(logs, "mine"))
    async with console(project, tmp_path) as c:
        await c.shows("unsaved", "pool [...]")
        await c.open("unsaved.py")
        await c.press("ctrl+end")
        await c.type("x = 1")
        await c.press("f5")
        await c.told("Save it first: an approval is for a saved text.")
        await c.settled()
        assert "running the unsaved text" not in c.text


async def test_somebody_elses_change_ends_own_edits_and_is_said(project, tmp_path, logs, monkeypatch):
    monkeypatch.setattr("tui.editing.own_edits.RENEW_EVERY", 600.0)  # what happens to scripts is reason enough to ask
    write_script(project, "theirs.py", reading(logs, "mine"))
    async with console(project, tmp_path) as c:
        await c.shows("theirs", "pool [...]")
        await begin_edits(c, "theirs.py")
        write_script(project, "theirs.py", reading(logs, "theirs"))
        await c.shows("no longer have permissions")
        await c.until(lambda: not has_permissions(c), "the sign is gone")
        await c.press("f5")
        await c.shows("has approved that yet")
        await c.press("escape")


async def test_leaving_the_console_ends_own_edits(project, tmp_path, logs):
    write_script(project, "left.py", reading(logs, "mine"))
    async with console(project, tmp_path) as c:
        await c.shows("left", "pool [...]")
        await begin_edits(c, "left.py")
        await c.press("ctrl+q")
        await c.until(lambda: not c.app.is_running or c.app._exit, "the console is left")
    client = await launch.connect(project, client="cli")
    try:
        newest = (await client.call(AUDIT_LIST, AuditParams(limit=50))).records
    finally:
        await client.close()
    told = [(record.action, record.detail.get("reason")) for record in newest if record.subject == "left.py"]
    assert told[0] == ("own_edits_end", "you ended it")


@pytest.fixture
def own_project(tmp_path):
    with engine_project(tmp_path / "plant-b") as root:
        yield root


@pytest.mark.slow
async def test_an_engine_that_goes_away_takes_own_edits_along(own_project, tmp_path, logs):
    write_script(own_project, "gone.py", reading(logs, "mine"))
    async with console(own_project, tmp_path) as c:
        await c.shows("gone", "pool [...]")
        await begin_edits(c, "gone.py")
        stopping = asyncio.create_task(launch.stop(own_project, client="cli", force=True))
        # "is away", or "stopped" if a renewal was answered before the end
        await c.told("gone.py: Your own edits no longer have permissions: the engine ")
        await stopping
        assert c.app._console.parts.own_edits.token("gone.py") == ""
        await c.shows("^R tries now")  # own edits may have heard of it before the connection did
        await c.press("ctrl+r")
        await c.shows("pool [...]")
        await c.press("f5")
        await c.shows("has approved that yet")
        await c.press("escape")


async def test_what_can_never_be_granted_is_not_offered_for_approval(project, tmp_path):
    write_script(project, "never.py", asking("/etc/shadow"))
    async with console(project, tmp_path) as c:
        await c.shows("never", "pool [...]")
        await c.open("never.py")
        await c.press("f5")
        await c.shows("cannot read what it asks for")
        await c.hides("look at what it asks for")
        await c.press("f9")
        await c.shows("n refuse", "d text")
        await c.hides("approve this text")
        await c.press("w")
        await c.shows('It cannot be approved: "/etc/shadow"')
        await c.press("escape")


def wheel(folder, name, requires=""):
    """Write a package of one module (PEP 427)."""
    info = f"{name}-2.1.dist-info"
    files = {
        f"{name}.py": "VERSION = '2.1'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-2.1-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture(scope="module")
def offline_project(tmp_path_factory):
    house = tmp_path_factory.mktemp("house")
    wheel(house, "gwtable", "Requires-Dist: gwcell\n")
    wheel(house, "gwcell")
    settings = f'[packages]\nindex = "none"\nwheelhouse = "{house}"\n'
    with engine_project(tmp_path_factory.mktemp("offline") / "plant", settings=settings) as made:
        yield made


@pytest.mark.slow
async def test_packages_that_a_script_names_are_shown_and_approved_with_a_key(offline_project, tmp_path):
    text = '# /// script\n# dependencies = ["gwtable"]\n# ///\nimport gwtable\nprint("table", gwtable.VERSION)\n'
    write_script(offline_project, "table.py", text)
    async with console(offline_project, tmp_path) as c:
        await c.shows("table", "pool [...]")
        await c.until(lambda: marked(c, "table", "^"), "the list marks it")
        await c.open("table.py")
        await c.press("f5")
        await c.shows("asks for packages that are not all installed here", "look at what it asks for")
        await c.press("p")
        await c.shows("asks for packages: never approved", "gwtable 2.1", "gwcell 2.1", "+ new", "it names gwtable")
        assert "my own edits only" not in c.text
        await c.press("a")
        await c.shows("approved the packages of table.py")
        await c.until(lambda: not marked(c, "table", "^"), "the mark is gone")
        await c.press("f5")
        await c.shows("table 2.1", "ok")
