"""The metadata diff: what waits for a decision, and that a decision does what it says and loses nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from diff_support import INVALID, VALID, Plant, of_state, plant

from engine.models.scripts import DeleteRequest, SaveRequest
from engine.models.sync import DiffChoice, DiffDecision, DiffRequest, DiffState, TaskState
from engine.services.access import Actor, Role, ServiceError
from store.files.save import sha256
from store.index.missing import HELD

VIEWER = Actor(name="eve", uid=1, role=Role.VIEWER)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant(tmp_path) as made:
        yield made


async def test_new_and_changed_files_are_taken_in_and_nothing_waits(here: Plant) -> None:
    here.write("a.py", VALID.format(title="a"))
    report = await here.scan()
    assert (report.created, report.updated, report.items, report.scripts) == (["a.py"], [], [], 1)
    here.write("a.py", VALID.format(title="another"))
    report = await here.scan()
    assert (report.created, report.updated, report.items) == ([], ["a.py"], [])


async def test_a_missing_file_waits_with_both_choices_and_is_written_back(here: Plant) -> None:
    here.write("a.py", "one = 1\n")
    await here.scan()
    (here.scripts / "a.py").unlink()
    item = (await here.items())["a.py"]
    assert (item.state, item.choices) == (DiffState.MISSING_FILE, [DiffChoice.WRITE_FILE, DiffChoice.DROP_ROW])
    assert (item.file_choice, item.database_choice) == (DiffChoice.DROP_ROW, DiffChoice.WRITE_FILE)
    shown = await here.decide([(item, DiffChoice.WRITE_FILE)], preview=True)
    assert "+one = 1" in shown[0].diff
    assert not (here.scripts / "a.py").exists()
    assert [outcome.done for outcome in await here.decide([(item, DiffChoice.WRITE_FILE)])] == [True]
    assert here.text("a.py") == "one = 1\n"
    assert await here.states() == {}


async def test_a_dropped_row_is_in_the_history_and_can_be_restored(here: Plant) -> None:
    here.write("a.py", "one = 1\n")
    await here.scan()
    (here.scripts / "a.py").unlink()
    item = (await here.items())["a.py"]
    outcomes = [(await here.decide([(item, DiffChoice.DROP_ROW)]))[0] for _ in range(2)]
    assert [outcome.done for outcome in outcomes] == [True, True]
    assert "nothing is to be decided" in outcomes[1].sentence
    assert await here.reasons("a.py") == ["deleted"]
    assert here.files.kept(sha256(b"one = 1\n")) == b"one = 1\n"
    assert await here.states() == {}


@pytest.mark.parametrize(
    "data",
    ["é".encode("latin-1"), b"x = '" + b"a" * 300_000 + b"'\n", "\ufeffx = 1\r\n".encode(), b"a\x00b\n", b""],
    ids=["not utf-8", "large", "bom and crlf", "nul", "empty"],
)
async def test_every_byte_comes_back(here: Plant, data: bytes) -> None:
    here.write("odd.py", data)
    await here.scan()
    (here.scripts / "odd.py").unlink()
    item = (await here.items())["odd.py"]
    await here.decide([(item, DiffChoice.WRITE_FILE)])
    assert (here.scripts / "odd.py").read_bytes() == data


async def test_a_renamed_file_is_followed_with_its_history(here: Plant) -> None:
    made = await here.service.save("old.py", SaveRequest(text="first\n"), here.owner)
    await here.service.save("old.py", SaveRequest(text="second\n", base_sha256=made.sha256), here.owner)
    await here.scan()
    (here.scripts / "in").mkdir()
    (here.scripts / "old.py").rename(here.scripts / "in/new.py")
    item = (await here.items())["old.py"]
    assert (item.state, item.others, item.file_choice) == (DiffState.RENAMED, ["in/new.py"], DiffChoice.FOLLOW)
    assert (await here.decide([(item, DiffChoice.FOLLOW)]))[0].done
    assert await here.reasons("in/new.py") == ["renamed", "saved"]
    assert await here.states() == {}
    assert not (here.scripts / "old.py").exists()


async def test_a_renamed_file_can_be_two(here: Plant) -> None:
    here.write("old.py", "content\n")
    await here.scan()
    (here.scripts / "old.py").rename(here.scripts / "new.py")
    await here.decide([((await here.items())["old.py"], DiffChoice.WRITE_FILE)])
    assert here.text("old.py") == here.text("new.py") == "content\n"
    assert set((await here.states()).values()) == {"duplicate"}


async def test_a_rename_is_seen_across_looks_and_edits(here: Plant) -> None:
    here.write("old.py", "content\n")
    await here.scan()
    (here.scripts / "old.py").unlink()
    assert await here.states() == {"old.py": "missing_file"}
    here.write("new.py", "content\n")
    assert await here.states() == {"old.py": "renamed"}
    here.write("new.py", "edited\n")
    item = (await here.items())["old.py"]
    assert item.state is DiffState.RENAMED
    assert "had the same content" in item.sentence


async def test_an_invalid_file_keeps_its_values_by_key_and_is_restored(here: Plant) -> None:
    here.write("a.py", VALID.format(title="good"))
    await here.scan()
    here.write("a.py", INVALID.format(title="new"))
    item = (await here.items())["a.py"]
    assert item.state is DiffState.INVALID_FILE
    assert [(key.key, key.file, key.database, key.restorable) for key in item.keys] == [
        ("enabled", "3", "true", True),
        ("title", '"new"', '"good"', True),
    ]
    assert (await here.decide([(item, DiffChoice.RESTORE)]))[0].done
    assert here.text("a.py") == VALID.format(title="good")
    assert await here.reasons("a.py") == ["restored"]
    assert here.files.kept(sha256(INVALID.format(title="new").encode()))
    assert await here.states() == {}


async def test_one_key_is_restored_and_nothing_else(here: Plant) -> None:
    here.write("a.py", VALID.format(title="good"))
    await here.scan()
    here.write("a.py", INVALID.format(title="new"))
    item = (await here.items())["a.py"]
    assert (await here.decide([(item, DiffChoice.RESTORE)], keys=["enabled"]))[0].done
    assert here.text("a.py") == INVALID.format(title="new").replace("enabled = 3", "enabled = true")
    assert await here.states() == {}
    assert not (await here.decide([(item, DiffChoice.RESTORE)], keys=["nonsense"], preview=True))[0].done


async def test_a_block_that_cannot_be_read_is_restored_as_a_whole(here: Plant) -> None:
    here.write("a.py", VALID.format(title="good"))
    await here.scan()
    here.write("a.py", "# /// script\n# [[[\n# ///\n")
    item = (await here.items())["a.py"]
    assert (item.keys, item.database_choice) == ([], DiffChoice.RESTORE)
    refused = (await here.decide([(item, DiffChoice.RESTORE)], keys=["title"]))[0]
    assert not refused.done
    assert (await here.decide([(item, DiffChoice.RESTORE)]))[0].done
    assert here.text("a.py") == VALID.format(title="good")


async def test_an_invalid_file_that_is_kept_stays_listed_and_its_valid_text_is_in_the_history(here: Plant) -> None:
    here.write("a.py", VALID.format(title="good"))
    await here.scan()
    here.write("a.py", INVALID.format(title="new"))
    assert (await here.decide([((await here.items())["a.py"], DiffChoice.KEEP_FILE)]))[0].done
    report = await here.scan()
    assert [(item.path, item.choices) for item in report.items] == [("a.py", [])]
    assert report.waiting == []
    assert here.files.kept(sha256(VALID.format(title="good").encode()))
    assert await here.reasons("a.py") == ["saved"]


async def test_what_was_valid_is_kept_over_several_invalid_edits(here: Plant) -> None:
    here.write("a.py", VALID.format(title="good"))
    await here.scan()
    for title in ("first", "second"):
        here.write("a.py", INVALID.format(title=title))
        await here.scan()
    await here.decide([((await here.items())["a.py"], DiffChoice.RESTORE)])
    assert here.text("a.py") == VALID.format(title="good")


@pytest.mark.parametrize("change", ["the file", "the file again", "another edit"])
async def test_what_is_not_as_it_was_shown_is_left_alone(here: Plant, change: str) -> None:
    here.write("a.py", VALID.format(title="good"))
    await here.scan()
    if change == "another edit":
        here.write("a.py", INVALID.format(title="new"))
        item, choice = (await here.items())["a.py"], DiffChoice.RESTORE
        here.write("a.py", INVALID.format(title="newer"))
    else:
        (here.scripts / "a.py").unlink()
        item = (await here.items())["a.py"]
        choice = DiffChoice.WRITE_FILE if change == "the file" else DiffChoice.DROP_ROW
        here.write("a.py", "somebody made it\n")
    before = here.text("a.py")
    outcome = (await here.decide([(item, choice)]))[0]
    assert here.text("a.py") == before
    assert outcome.done is (choice is DiffChoice.DROP_ROW)
    assert "scan again" in outcome.sentence or "nothing is to be decided" in outcome.sentence
    assert await here.reasons("a.py") == []


async def test_a_missing_file_that_was_found_under_another_name_meanwhile_loses_nothing(here: Plant) -> None:
    here.write("a.py", "mine\n")
    await here.scan()
    (here.scripts / "a.py").unlink()
    item = (await here.items())["a.py"]
    here.write("b.py", "mine\n")
    outcome = (await here.decide([(item, DiffChoice.DROP_ROW)]))[0]
    assert (outcome.done, outcome.stale) == (False, True)
    assert outcome.sentence == "nothing is to be decided about it any more"
    assert (await here.items())["a.py"].choices == [DiffChoice.FOLLOW, DiffChoice.WRITE_FILE, DiffChoice.DROP_ROW]


async def test_a_file_that_appears_between_check_and_act_is_not_replaced(
    here: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.write("a.py", "mine\n")
    await here.scan()
    (here.scripts / "a.py").unlink()
    item = (await here.items())["a.py"]
    put = here.writer.put

    async def late(path: str, data: bytes, base: str | None, actor: Actor) -> None:
        here.write("a.py", "theirs\n")
        await put(path, data, base, actor)

    monkeypatch.setattr(here.writer, "put", late)
    outcome = (await here.decide([(item, DiffChoice.WRITE_FILE)]))[0]
    assert (outcome.done, here.text("a.py")) == (False, "theirs\n")


async def test_duplicates_are_told_kept_and_deleted(here: Plant) -> None:
    here.write("a.py", "same\n")
    here.write("b.py", "same\n")
    items = await here.items()
    assert {path: item.others for path, item in items.items()} == {"a.py": ["b.py"], "b.py": ["a.py"]}
    both = [(items[path], DiffChoice.DELETE) for path in ("a.py", "b.py")]
    assert [outcome.done for outcome in await here.decide(both)] == [True, False]
    assert here.text("b.py") == "same\n"
    assert await here.reasons("a.py") == ["deleted"]
    here.write("c.py", "same\n")
    await here.decide([((await here.items())["b.py"], DiffChoice.KEEP_BOTH)])
    assert await here.states() == {}
    here.write("d.py", "same\n")
    assert await here.states() == dict.fromkeys(["b.py", "c.py", "d.py"], "duplicate")


async def test_titles_and_paths_that_clash_are_duplicates(here: Plant) -> None:
    here.write("a/report.py", "1\n")
    here.write("b/report.py", "2\n")
    assert await here.states() == {}
    here.write("c.py", VALID.format(title="Report"))
    here.write("Ü.py", "4\n")
    here.write("ü.py", "5\n")
    items = await here.items()
    assert "same title" in items["a/report.py"].sentence
    assert "only in case or accents" in items["Ü.py"].sentence


async def test_many_that_vanish_at_once_are_held_until_it_is_accepted(here: Plant) -> None:
    for number in range(40):
        here.write(f"s{number}.py", f"{number}\n")
    await here.scan()
    away = here.scripts.with_name("away")
    here.scripts.rename(away)
    here.scripts.mkdir()
    here.write("s0.py", "0\n")
    report = await here.scan()
    assert [item.state for item in report.items] == [DiffState.VANISHED]
    assert report.scripts == 40
    assert [row.front.problem for row in await here.reconciler.scripts()].count(HELD) == 39
    assert "39 of 40 scripts vanished at once" in here.reconciler.problems[-1]
    # They come back, as from a disk that is mounted again: nothing has changed.
    (here.scripts / "s0.py").unlink()
    here.scripts.rmdir()
    away.rename(here.scripts)
    report = await here.scan()
    assert (report.items, report.created, here.reconciler.problems) == ([], [], [])
    # This time it is meant.
    for number in range(1, 40):
        (here.scripts / f"s{number}.py").unlink()
    item = (await here.scan()).items[0]
    assert (await here.decide([(item, DiffChoice.ACCEPT)]))[0].done
    missing = of_state(await here.scan(), DiffState.MISSING_FILE)
    assert len(missing) == 39
    outcomes = await here.decide([(one, DiffChoice.DROP_ROW) for one in missing])
    assert all(outcome.done for outcome in outcomes)
    assert await here.states() == {}
    assert len(os.listdir(here.history)) >= 39


async def test_what_is_deleted_here_is_never_missing(here: Plant) -> None:
    for number in range(40):
        here.write(f"s{number}.py", f"{number}\n")
    await here.scan()
    async with here.reconciler._turn:  # as while a rebuild puts ten thousand scripts in place
        for number in range(30):
            await here.changes.delete(f"s{number}.py", DeleteRequest(), here.owner)
    report = await here.scan()
    assert (report.items, report.scripts) == ([], 10)


async def test_a_rebuild_lets_what_is_missing_wait(here: Plant) -> None:
    here.write("a.py", "one = 1\n")
    await here.scan()
    (here.scripts / "a.py").unlink()
    report = await here.reconciler.rebuild(lambda _, __: None)
    assert report.removed == ["a.py"]
    assert await here.states() == {"a.py": "missing_file"}


async def test_a_text_that_is_lost_is_said_to_be(here: Plant) -> None:
    here.write("a.py", "one = 1\n")
    await here.scan()
    (here.scripts / "a.py").unlink()
    await here.scan()
    await here.reconciler._index._database.write(lambda c: c.execute("UPDATE script_last SET body = 'other'"))
    item = (await here.items())["a.py"]
    assert (item.choices, item.database_choice) == ([DiffChoice.DROP_ROW], None)
    assert "cannot be written back" in item.sentence
    assert (await here.decide([(item, DiffChoice.DROP_ROW)]))[0].done
    assert await here.states() == {}


async def test_viewers_look_and_authors_decide(here: Plant) -> None:
    await here.scan(VIEWER)
    request = DiffRequest(decisions=[])
    with pytest.raises(ServiceError, match="role author"):
        await here.diff.apply(request, VIEWER)


async def test_a_choice_that_an_item_does_not_have_is_refused(here: Plant) -> None:
    here.write("a.py", "one = 1\n")
    await here.scan()
    (here.scripts / "a.py").unlink()
    item = (await here.items())["a.py"]
    outcome = (await here.decide([(item, DiffChoice.FOLLOW)]))[0]
    assert (outcome.done, outcome.sentence) == (False, "follow is not possible here; possible: write_file, drop_row")
    wrong = DiffDecision(path="a.py", state=item.state, choice=DiffChoice.DROP_ROW, seen="0")
    answer = await here.diff.apply(DiffRequest(decisions=[wrong]), here.owner)
    assert not answer.outcomes[0].done


async def test_decisions_are_cancelled_between_two_and_the_rest_is_left(here: Plant) -> None:
    for name in ("a", "b", "c"):
        here.write(f"{name}.py", f"{name}\n")
    await here.scan()
    for name in ("a", "b", "c"):
        (here.scripts / f"{name}.py").unlink()
    items = list((await here.items()).values())
    put = here.writer.gone

    async def stop_after(path: str, data: bytes, actor: Actor, new_path: str | None = None) -> None:
        await put(path, data, actor, new_path)
        for progress, _ in here.tasks._work.values():
            progress.stop()

    here.writer.gone = stop_after  # type: ignore[method-assign]
    outcomes = await here.decide([(item, DiffChoice.DROP_ROW) for item in items])
    assert [outcome.done for outcome in outcomes] == [True, False, False]
    assert await here.states() == {"b.py": "missing_file", "c.py": "missing_file"}


async def test_what_waits_outlives_the_engine(tmp_path: Path) -> None:
    async with plant(tmp_path) as first:
        first.write("a.py", VALID.format(title="good"))
        first.write("b.py", "b\n")
        await first.scan()
        first.write("a.py", INVALID.format(title="new"))
        (first.scripts / "b.py").unlink()
        before = await first.scan()
    async with plant(tmp_path) as again:
        assert (await again.scan()).items == before.items


async def test_a_scan_is_cancelled_and_changes_nothing(here: Plant) -> None:
    here.write("a.py", "one = 1\n")
    scan = asyncio.create_task(here.scan())
    while not here.tasks.running:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0)
    task = await here.tasks.cancel(1, here.owner)
    assert task.state is TaskState.CANCELLED
    with pytest.raises(ServiceError, match="cancelled; nothing was changed"):
        await scan
    assert here.reconciler._index.rows == {}


async def test_a_rebuild_reports_a_rename_that_a_list_had_seen(here: Plant) -> None:
    here.write("old.py", "content\n")
    await here.reconciler.scripts()
    (here.scripts / "old.py").rename(here.scripts / "new.py")
    await here.reconciler.scripts()
    report = await here.reconciler.rebuild(lambda _, __: None)
    assert (report.renamed, report.removed, report.created) == ([("old.py", "new.py")], [], [])
    assert (await here.reconciler.rebuild(lambda _, __: None)).renamed == []
