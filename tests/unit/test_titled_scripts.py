"""Scripts by title: what a name means, where a new one goes, what a save replaces, and which history is whose."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine.models.scripts import ScriptInfo
from engine.models.versions import RestoreRequest
from engine.services.access import Actor, Role, ServiceError, owner_actor
from engine.services.events import EventBus
from engine.services.scripts import titled
from engine.services.scripts.changes import ScriptChanges
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.service import ScriptService
from engine.services.scripts.titled import TitledSave, TitledScripts, file_name, free_path, known_folder, seed_id
from engine.services.versioned_writer import VersionedWriter
from store.files.scripts import ScriptFiles
from store.index.reconcile import Reconciler
from store.state.database import StateDB

ME = owner_actor()
ANN = Actor("ann", 4711, Role.AUTHOR)


@dataclass
class Plant:
    root: Path
    titled: TitledScripts
    scripts: ScriptService
    changes: ScriptChanges

    def file(self, path: str) -> Path:
        return self.root / "scripts" / path

    @property
    def paths(self) -> list[str]:
        folder = self.root / "scripts"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))

    async def save(self, name: str, code: str, actor: Actor = ME, **more: str) -> str:
        """Save a text; where it went."""
        saved = await self.titled.save(TitledSave(name, code, **more), actor)  # type: ignore[arg-type]
        assert saved.name == saved.info.title
        return saved.info.path

    async def history(self, path: str) -> list[str]:
        return [version.reason.value for version in (await self.changes.history(path, ME)).versions]

    async def refusal(self, name: str, code: str = "x = 1\n", actor: Actor = ME, **more: str) -> ServiceError:
        before = self.paths
        with pytest.raises(ServiceError) as refused:
            await self.save(name, code, actor, **more)
        assert self.paths == before
        return refused.value


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    for name in ("scripts", "history"):
        (tmp_path / name).mkdir()
    files = ScriptFiles(tmp_path / "scripts", tmp_path / "history")
    state = await StateDB.open(tmp_path / "state.db")
    writer = VersionedWriter(files, state.versions)
    events = EventBus()
    reconciler = await Reconciler.open(files, tmp_path / "index.db")
    scripts = ScriptService(files, reconciler, writer, state.approvals, events, Dependencies([]))
    changes = ScriptChanges(scripts, files, writer, state.versions, events)
    yield Plant(tmp_path, TitledScripts(scripts, changes, files, writer, state.versions), scripts, changes)
    await writer.settled()
    await reconciler.close()
    await state.close()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Daily report", "daily_report"), ("A/B  c", "a_b_c"), ("..", "script"), ("../../etc/passwd", "etc_passwd"),
        ("Größe 5", "grosse_5"), ("日本語", "日本語"), ("\U0001f600", "script"), ("con", "script_con"),
        ("x" * 200, "x" * 60), ("\u65e5" * 200, "\u65e5" * 20), ("-_-", "script"), ("report.py", "report_py"),
        ("__init__", "init"), ("NUL", "script_nul"),
    ],
)  # fmt: skip
def test_a_file_is_called_like_its_title_as_far_as_a_file_can_be(title: str, name: str) -> None:
    assert file_name(title) == name


def test_the_id_of_a_name_is_the_one_that_the_module_makes() -> None:
    assert seed_id("Daily Report (2)!") == "daily_report__2__"


def test_a_new_path_is_free_in_whatever_case_and_in_the_folder_as_it_is_written() -> None:
    infos = [ScriptInfo(path=path, title=path) for path in ("Night/a.py", "Night/A_2.py", "x/Y/z.py")]
    assert free_path("Night", "a", infos) == "Night/a_3.py"
    assert free_path("", "a", infos) == "a.py"
    assert known_folder(" /night//", infos) == "Night"
    assert known_folder("X/y/New", infos) == "x/Y/New"
    assert known_folder("", infos) == ""


async def test_a_save_is_an_upsert_by_title_and_another_folder_a_move(plant: Plant) -> None:
    assert await plant.save("Level", "x = 1\n") == "level.py"
    assert await plant.save("LEVEL", "x = 2\n", folder="Tanks") == "Tanks/level.py"
    assert await plant.save("level", "x = 3\n") == "Tanks/level.py"
    assert await plant.save("Level", "x = 4\n", description="Of tanks") == "level.py"
    assert await plant.save("Level", "x = 4\n", description="Of tanks", folder="") == "level.py"
    assert plant.paths == ["level.py"]
    assert await plant.history("level.py") == ["saved", "renamed", "saved", "saved", "renamed"]


async def test_a_move_takes_a_name_that_is_free_there(plant: Plant) -> None:
    plant.file("Tanks").mkdir()
    plant.file("Tanks/level.py").write_text('# /// script\n# [tool.gatewright]\n# title = "Other"\n# ///\n')
    await plant.save("Level", "x = 1\n")
    assert await plant.save("Level", "x = 1\n", folder="Tanks") == "Tanks/level_2.py"
    assert await plant.save("Level", "x = 2\n") == "Tanks/level_2.py"


async def test_the_text_is_kept_as_it_is_where_nothing_has_to_be_said(plant: Plant) -> None:
    await plant.save("Level", "x = 1\n", author="Unknown", version="1.0", description="")
    assert plant.file("level.py").read_bytes() == b"x = 1\n"
    await plant.save("Level: tank 5", "y = 1\n")
    assert plant.file("level_tank_5.py").read_text().splitlines()[:3] == [
        "# /// script", "# [tool.gatewright]", '# title = "Level: tank 5"',
    ]  # fmt: skip


async def test_a_save_that_lost_a_race_is_made_on_what_won_it(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    await plant.save("Level", "x = 1\n")
    write, others = plant.scripts.write, [b"x = 'editor 1'\n", b"x = 'editor 2'\n"]

    async def late(path: str, *arguments: object) -> ScriptInfo:
        if others:
            plant.file(path).write_bytes(others.pop(0))
        return await write(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(plant.scripts, "write", late)
    assert await plant.save("Level", "x = 3\n") == "level.py"
    assert plant.file("level.py").read_text() == "x = 3\n"
    kept = {path.read_bytes() for path in (plant.root / "history").iterdir()}
    assert b"x = 'editor 2'\n" in kept


async def test_a_save_gives_up_when_it_loses_every_race(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    await plant.save("Level", "x = 1\n")
    lost = []

    async def never(path: str, *_: object) -> ScriptInfo:
        lost.append(path)
        raise ServiceError("conflict", f"{path} changed on disk while you edited it; nothing was written.")

    monkeypatch.setattr(plant.scripts, "write", never)
    assert (await plant.refusal("Level", "x = 3\n")).code == "conflict"
    assert len(lost) == titled.ATTEMPTS


async def test_two_saves_of_one_new_title_at_once_make_one_script(plant: Plant) -> None:
    saves = (plant.save("Level", f"x = {n}\n", folder=f"F{n}") for n in range(6))
    paths = await asyncio.gather(*saves, return_exceptions=True)  # none may still be under way when one has failed
    assert len(plant.paths) == 1
    assert set(plant.paths) <= set(paths)


async def test_what_was_deleted_and_saved_at_once_under_another_name_was_renamed(plant: Plant) -> None:
    for n in range(3):
        await plant.save("Level", f"x = {n}\n", folder="Tanks")
    await plant.titled.delete("Level", ME)
    path = await plant.save("Height", "x = 2\r\n")
    assert await plant.history(path) == ["renamed", "saved", "saved"]
    deleted = await plant.changes.deleted(ME)
    assert deleted.versions == []
    first = (await plant.changes.history(path, ME)).versions[-1].sha256
    await plant.changes.restore(path, RestoreRequest(sha256=first), ME)
    assert plant.file(path).read_text() == "x = 0\n"


@pytest.mark.parametrize("why", ["another text", "another person", "too late", "there again", "its own name"])
async def test_what_is_no_rename_leaves_the_history_where_it_is(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    for n in range(3):
        await plant.save("Level", f"x = {n}\n")
    await plant.titled.delete("Level", ME)
    text, actor, name = "x = 2\n", ME, "Height"
    if why == "another text":
        text = "x = 1\n"
    elif why == "another person":
        actor = ANN
    elif why == "too late":
        monkeypatch.setattr(titled, "REVIVED_WITHIN", -1.0)
    elif why == "there again":
        plant.file("level.py").write_text("x = 9\n")
    else:
        name = "Level"
    path = await plant.save(name, text, actor)
    assert await plant.history("level.py") == ["deleted", "saved", "saved"]
    assert path == "level.py" or await plant.history(path) == []


async def test_an_empty_script_takes_over_no_history(plant: Plant) -> None:
    assert await plant.save("Level", "") == "level.py"
    await plant.save("Level", "x = 1\n")
    await plant.save("Level", "")
    await plant.titled.delete("Level", ME)
    path = await plant.save("New script", "")
    assert plant.file(path).read_bytes() == b""
    assert await plant.history(path) == []


async def test_names_that_mean_two_scripts_are_refused_with_both(plant: Plant) -> None:
    text = '# /// script\n# [tool.gatewright]\n# title = "Twin"\n# ///\n'
    for name in ("a.py", "b.py"):
        plant.file(name).write_text(text)
    refused = await plant.refusal("TWIN")
    assert (refused.code, refused.status) == ("ambiguous", 409)
    assert "a.py and b.py" in refused.message
    assert sorted(script.name for script in await plant.titled.list(ME)) == ["a.py", "b.py"]
    assert (await plant.titled.found("a", ME)).path == "a.py"
    assert (await plant.titled.save(TitledSave("a.py", text + "\nx = 1\n"), ME)).info.title == "Twin"
    assert plant.paths == ["a.py", "b.py"]


def titled_file(plant: Plant, path: str, title: str, code: str = "x = 1\n") -> None:
    """A script that came by another way than a save by title."""
    plant.file(path).parent.mkdir(exist_ok=True)
    plant.file(path).write_text(f'# /// script\n# [tool.gatewright]\n# title = "{title}"\n# ///\n{code}')


async def test_a_path_goes_before_a_title_and_a_title_goes_with_the_ids(plant: Plant) -> None:
    for path, title in (("x.py", "y"), ("y.py", "Z z"), ("z_z.py", "q")):
        titled_file(plant, path, title)
    found = {name: (await plant.titled.found(name, ME)).path for name in ("y", "y.py", "z_z", "z z", "q")}
    assert found == {"y": "y.py", "y.py": "y.py", "z_z": "z_z.py", "z z": "y.py", "q": "z_z.py"}
    assert [script.name for script in await plant.titled.list(ME)] == ["x.py", "Z z", "q"]


async def paths_of(plant: Plant, name: str) -> list[str]:
    """The script that a name means, or those that a refusal to choose tells."""
    try:
        return [(await plant.titled._searched(name, ME)).path]  # not what is remembered
    except ServiceError as error:
        return error.message.rstrip(".").partition(": ")[2].split(" and ")


SECRET = ("line2/secret", "line2/secret.py", "line2/Secret", "LINE2/SECRET", "Secret", "csv_summary", "CSV summary")


async def test_no_file_of_another_takes_over_the_calls_to_a_script(plant: Plant) -> None:
    titled_file(plant, "line2/secret.py", "Secret")
    titled_file(plant, "reports/csv.py", "CSV summary")
    meant = {name: (await plant.titled.found(name, ME)).path for name in SECRET}
    assert set(meant.values()) == {"line2/secret.py", "reports/csv.py"}
    for title in SECRET:
        titled_file(plant, "line1/theirs.py", title)
        for name, path in meant.items():
            found = await paths_of(plant, name)
            assert path in found, (title, name)
            assert found == [path] or "/" not in name, "a path, and a folder with a title, stay what they are"


async def test_no_title_answers_a_call_by_a_path_that_is_not_there(plant: Plant) -> None:
    for number, title in enumerate(("line2/secret", "secret.py", "line2/SECRET.PY")):
        titled_file(plant, f"theirs_{number}.py", title)
    for name in ("line2/secret", "line2/secret.py", "secret.py", "line2/SECRET.PY"):
        with pytest.raises(ServiceError, match="Script not found"):
            await plant.titled.found(name, ME)
    assert [script.name for script in await plant.titled.list(ME)] == [f"theirs_{number}.py" for number in range(3)]
    assert (await plant.titled.save(TitledSave("theirs_0.py", "x = 2\n"), ME)).info.title == "line2/secret"


@pytest.mark.parametrize("name", ["line2/Secret", "a/b", "report.py", "Report.PY"])
async def test_a_new_title_is_no_path(plant: Plant, name: str) -> None:
    refused = await plant.refusal(name)
    assert (refused.code, refused.message) == (
        "bad_name", f"{name} cannot be the name of a new script: it reads like a path."
    )  # fmt: skip


async def test_a_save_makes_no_name_mean_another_script(plant: Plant) -> None:
    titled_file(plant, "reports/csv.py", "csv_summary")
    refused = await plant.refusal("CSV summary")
    assert (refused.code, refused.message) == (
        "bad_name", "CSV summary was not saved: the name csv_summary already means reports/csv.py."
    )  # fmt: skip
    titled_file(plant, "tanks/x.py", "Level")
    titled_file(plant, "pumps/level.py", "Flow")
    assert await plant.save("Level?", "x = 1\n") == "level_2.py", "level.py would be what the name level means"
    assert await plant.save("Flow", "x = 1\n", folder="") == "level_3.py"
    assert (await plant.titled.found("level", ME)).path == "tanks/x.py"


async def test_titles_whose_ids_have_nothing_to_say_are_saved_beside_each_other(plant: Plant) -> None:
    for title in ("\u6e29\u5ea61", "\u5727\u529b1", "Gr\u00f6\u00dfe", "Gr\u00fc\u00dfe", "\u00e9", "#", "?"):
        await plant.save(title, "x = 1\n")
    assert len(plant.paths) == 7


async def test_what_cannot_be_saved_is_refused_before_anything_is_written(plant: Plant) -> None:
    await plant.save("Level", "x = 1\n")
    for name, code, more in (
        ("", "", {}), ("a\x00b", "", {}), ("x" * 201, "", {}), ("a", "\ud800", {}), ("a", "", {"folder": "../b"}),
        ("a", "", {"description": "d" * 2_001}), ("Level", "", {"folder": ".hidden"}),
        ("Level", "x", {"base_sha256": "0" * 64}), ("New", "x", {"base_sha256": "0" * 64}),
    ):  # fmt: skip
        refused = await plant.refusal(name, code, **more)
        assert refused.message.isprintable(), refused.message
    assert plant.file("level.py").read_text() == "x = 1\n"


async def test_a_role_that_may_not_save_saves_nothing(plant: Plant) -> None:
    operator = replace(ANN, role=Role.OPERATOR)
    await plant.save("Level", "x = 1\n")
    assert (await plant.refusal("Level", "x = 2\n", operator)).code == "forbidden"
    with pytest.raises(ServiceError, match="ann may not delete scripts"):
        await plant.titled.delete("Level", operator)
    assert plant.file("level.py").read_text() == "x = 1\n"


async def test_author_and_version_live_in_the_header_and_are_shown_with_their_dates(plant: Plant) -> None:
    await plant.save("Level", "x = 1\n", author="Ann", version="2.1", description="Two\nlines")
    os.utime(plant.file("level.py"), (1_000_000.0, 1_000_000.0))
    [script] = await plant.titled.list(ME)
    assert script.stated == titled.Stated("Two lines", "Ann", "2.1")
    assert script.created == script.info.modified == 1_000_000.0
    await plant.save("Level", "x = 2\n", author="Bo", version="1.0")
    os.utime(plant.file("level.py"), (4_000_000_000.0, 4_000_000_000.0))
    [script] = await plant.titled.list(ME)
    assert script.stated == titled.Stated("Two lines", "Bo", "1.0")
    assert "version" not in plant.file("level.py").read_text()
    assert (script.created, script.info.modified) == (1_000_000.0, 4_000_000_000.0)


async def test_the_date_of_creation_stays_through_saves_renames_and_forgotten_versions(plant: Plant) -> None:
    await plant.save("Level", "x = 0\n", folder="a")
    os.utime(plant.file("a/level.py"), (1_000_000.0, 1_000_000.0))
    plant.changes._versions.kept = 2
    for number in range(1, 5):
        await plant.save("Level", f"x = {number}\n")
        assert [script.created for script in await plant.titled.list(ME)] == [1_000_000.0]
    await plant.save("Level", "x = 5\n", folder="b")
    await plant.titled.delete("Level", ME)
    await plant.save("Height", "x = 5\n", folder="b")
    [script] = await plant.titled.list(ME)
    assert (script.name, script.created) == ("Height", 1_000_000.0)
    assert script.info.modified > 1_000_000_000.0


async def test_a_name_that_is_near_is_told_to_those_who_may_see_it(plant: Plant) -> None:
    await plant.save("double", "x = 1\n", folder="own")
    await plant.save("Night shift", "x = 1\n")
    for wrong, hint in (
        ("own/doubel", "Did you mean own/double.py?"), ("Nigth Shift", "Did you mean night_shift.py?"),
        ("Level", None),
    ):  # fmt: skip
        with pytest.raises(ServiceError) as refused:
            await plant.titled.found(wrong, ME)
        sentence = f"Script not found: {wrong}{'.' if hint else ''}"
        assert (refused.value.code, refused.value.message, refused.value.hint) == ("no_script", sentence, hint)
    with pytest.raises(ServiceError) as refused:
        await plant.titled.found("own/doubel", replace(ME, scripts=("night*",)))
    assert refused.value.hint is None


async def test_a_name_that_is_remembered_is_read_again_and_looked_for_again(plant: Plant) -> None:
    await plant.save("Level", "x = 1\n")
    await plant.save("Pump", "x = 1\n")
    first = await plant.titled.found("Level", ME)
    again = await plant.titled.found("Level", ME)
    assert (again.path, again.sha256) == (first.path, first.sha256)
    text = '# /// script\n# [tool.gatewright]\n# title = "{}"\n# ///\n'
    plant.file("level.py").write_text(text.format("Height"))  # outside, and nothing has looked at it since
    plant.file("pump.py").write_text(text.format("Level"))
    assert (await plant.titled.found("Level", ME)).path == "pump.py"
    plant.file("pump.py").unlink()
    with pytest.raises(ServiceError, match="Script not found: Level"):
        await plant.titled.found("Level", ME)


async def test_a_token_for_some_scripts_finds_and_saves_no_other(plant: Plant) -> None:
    token = replace(ANN, name="token:line", token="abc", scripts=("Line/*",))
    await plant.save("Level", "x = 1\n", folder="Tanks")
    await plant.save("Speed", "x = 1\n", folder="Line")
    await plant.titled.found("Level", ME)
    assert [script.name for script in await plant.titled.list(token)] == ["Speed"]
    for work in (plant.titled.found("Level", token), plant.titled.load("Tanks/Level", token)):
        with pytest.raises(ServiceError, match="Script not found"):
            await work
    with pytest.raises(ServiceError, match="Script not found"):
        await plant.titled.delete("Level", token)
    assert await plant.save("Speed", "x = 2\n", token) == "Line/speed.py"
    assert await plant.save("Count", "x = 2\n", token, folder="Line") == "Line/count.py"
    for name, folder in (("Level", "Line"), ("New", ""), ("Speed", "Tanks")):
        refused = await plant.refusal(name, "x = 3\n", token, folder=folder)
        assert refused.code == "forbidden"
        assert name != "Level" or "Tanks" not in refused.message
    assert plant.file("Tanks/level.py").read_text() == "x = 1\n"


async def test_a_refusal_tells_a_token_for_some_scripts_nothing_of_the_others(plant: Plant) -> None:
    token = replace(ANN, name="token:line", token="abc", scripts=("line1/**", "Hidden/own*"))
    await plant.save("Mine", "x = 1\n", token, folder="line1")
    told = {}
    for there in (False, True):
        if there:
            for path in ("HiddenPlant/rev2.py", "HiddenPlant/mine.py", "Hidden/rev2.py"):
                titled_file(plant, path, f"Of {path.replace('/', ' ')[:-3]}")
        for name, folder in (
            ("zz1", "hiddenplant"), ("rev2!", "HiddenPlant"), ("rev2!", "Hidden"), ("Mine", "hiddenplant"),
            ("Mine", "HiddenPlant"), ("Of", "Hidden"),
        ):  # fmt: skip
            refused = await plant.refusal(name, "x = 2\n", token, folder=folder)
            assert (refused.code, refused.denied) == ("forbidden", token)
            assert told.setdefault((name, folder), refused.message) == refused.message
    assert "hiddenplant/zz1.py" in told["zz1", "hiddenplant"]
    refused = await plant.refusal("Of HiddenPlant rev2", "x = 2\n", token, folder="hiddenplant")
    assert "hiddenplant/of_hiddenplant_rev2.py" in refused.message, "what it may not save is said before what is taken"
    refused = await plant.refusal("Of_HiddenPlant_rev2", "x = 2\n", token, folder="line1")
    assert refused.message == (
        "token:line may not save Of_HiddenPlant_rev2: a script that it may not reach has this name."
    )
    titled_file(plant, "LINE1/x.py", "Other case")
    assert await plant.save("X", "x = 1\n", token, folder="line1") == "line1/x.py"
    assert [script.note for script in (await plant.scripts.list(token)).scripts] == [None, None]
    notes = [script.note or "" for script in (await plant.scripts.list(ME)).scripts if script.path == "line1/x.py"]
    assert "LINE1/x.py" in notes[0]


@pytest.mark.parametrize("how", ["deleted", "edited"])
async def test_a_save_is_answered_from_what_was_written(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    index_saved, seen = plant.scripts.index_saved, []

    async def meanwhile(path: str) -> None:
        seen.append(plant.file(path).read_text())
        if how == "deleted":
            plant.file(path).unlink()
        else:
            titled_file(plant, path, "Another")
        await index_saved(path)

    for text in ("x = 1\n", "x = 22\n"):
        monkeypatch.setattr(plant.scripts, "index_saved", meanwhile)
        saved = await plant.titled.save(TitledSave("Level", text, version="2.0"), ME)
        assert (saved.name, saved.info.path, saved.stated.version) == ("Level", "level.py", "2.0")
        assert seen[-1].endswith(text)
        assert saved.info.sha256 == titled._sha256(seen[-1].encode())
        monkeypatch.undo()
        titled_file(plant, "level.py", "Level")
    assert len(seen) == 2, "each was written once"


async def test_one_script_is_answered_without_a_look_into_all_others(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        titled_file(plant, f"other_{number}.py", f"Other {number}")
    read: list[str] = []
    monkeypatch.setattr(plant.titled, "_read_stated", lambda path: read.append(path) or titled.Stated())
    await plant.save("Level", "x = 1\n")
    await plant.titled.load("Level", ME)
    assert read == []
