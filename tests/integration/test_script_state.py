"""What scripts keep from one run to the next: durable, all or nothing, limited, and their own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from engine import Engine
from engine.models.scripts import DeleteRequest, RenameRequest, SaveRequest
from engine.models.state import StateChanges
from engine.models.versions import RestoreRequest
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.scripts import state as state_service
from store.database import Database
from store.migrations import scripts as migrations
from store.state.script_state import ScriptStates

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("state") / "plant", pool_size=1) as engine:
        yield engine


async def script(engine: Engine, path: str) -> str:
    await engine.scripts.save(path, SaveRequest(text="1\n"), engine.owner)
    return path


async def write(engine: Engine, path: str, /, remove: list[str] | None = None, **values: Any) -> dict[str, int]:
    """Write and return the versions of what was written."""
    changes = StateChanges(values=values, remove=remove or [])
    written = await engine.script_state.set(path, changes, engine.owner, "library")
    return {entry.key: entry.version for entry in written.entries}


async def values(engine: Engine, path: str, key: str | None = None) -> dict[str, Any]:
    state = await engine.script_state.get(path, key, engine.owner)
    return {entry.key: entry.value for entry in state.entries}


async def test_what_is_written_comes_back_from_the_disk_as_it_was(engine: Engine) -> None:
    path = await script(engine, "keeps/all.py")
    given = {"n": 2**70, "t": 'ü "\n\x00', "nothing": None, "deep": [{"a": [1.5, True]}], "": 0}
    with pytest.raises(ServiceError, match="'' is no key"):
        await write(engine, path, **given)
    assert await values(engine, path) == {}, "all or nothing"
    del given[""]
    await write(engine, path, **given)
    assert await values(engine, path) == given
    assert await values(engine, path, "n") == {"n": 2**70}
    assert await values(engine, path, "other") == {}
    # As an engine after a crash finds it: what is in the file, not what this connection has in memory.
    other = await Database.open(engine.project.state_db, migrations())
    try:
        assert [row.key for row in await ScriptStates(other).rows(path)] == sorted(given)
    finally:
        await other.close()
    await write(engine, path, remove=["t", "never there"], n=1)
    assert await values(engine, path) == {"n": 1, "nothing": None, "deep": [{"a": [1.5, True]}]}
    cleared = await engine.script_state.clear(path, engine.owner, "library")
    assert [entry.key for entry in cleared.entries] == ["deep", "n", "nothing"]
    assert cleared.size == 0
    assert await values(engine, path) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, b"x", {1, 2}, "\udc80", {"a": ["\ud800"]}])
async def test_what_json_cannot_carry_is_refused_and_nothing_of_its_change_is_kept(engine: Engine, value: Any) -> None:
    path = await script(engine, "keeps/refused.py")
    with pytest.raises(ServiceError, match=r"^The value of bad cannot be kept: JSON cannot carry it") as refused:
        await write(engine, path, good=1, bad=value)
    assert refused.value.code == "bad_state"
    assert await values(engine, path) == {}


async def test_a_value_nested_without_end_and_keys_that_cannot_be_shown_are_refused(engine: Engine) -> None:
    path = await script(engine, "keeps/refused.py")
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ServiceError, match="nested too deeply"):
        await write(engine, path, bad=deep)
    while deep:  # taken apart by hand: an interpreter's own way is as deep as the list
        deep = deep.pop()
    for key in ("x" * 201, "a\nb", "\x1b[31m", "\udc80"):
        with pytest.raises(ServiceError, match="is no key"):
            await write(engine, path, **{key: 1})
    with pytest.raises(ServiceError, match="cannot be written and removed at once"):
        await write(engine, path, remove=["a"], a=1)


async def test_a_script_keeps_so_much_and_no_more(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await script(engine, "keeps/much.py")
    await write(engine, path, first="x" * 500_000)
    with pytest.raises(ServiceError, match=r"would keep 1\.05 MiB, and may keep 1 MiB\. Nothing was changed") as full:
        await write(engine, path, second="ü" * 300_000)
    assert full.value.code == "state_full"
    assert list(await values(engine, path)) == ["first"]
    await write(engine, path, first="x" * 1_000_000)
    await write(engine, path, remove=["first"], second="y" * 1_000_000)
    monkeypatch.setattr(state_service, "MAX_KEYS", 3)
    await write(engine, path, a=1, b=1)
    with pytest.raises(ServiceError, match="would keep 4 values, and may keep 3"):
        await write(engine, path, c=1)
    monkeypatch.setattr(state_service, "MAX_KEYS", 1)
    await write(engine, path, remove=["second"])
    assert await values(engine, path) == {"a": 1, "b": 1}, "what is too much already can be removed"


async def test_of_two_who_read_the_same_value_only_one_writes_what_follows_from_it(engine: Engine) -> None:
    path = await script(engine, "keeps/counter.py")

    async def count(times: int) -> int:
        conflicts = 0
        while times:
            [entry] = (await engine.script_state.get(path, "n", engine.owner)).entries or [None]
            version, value = (0, 0) if entry is None else (entry.version, entry.value)
            changes = StateChanges(values={"n": value + 1}, expected={"n": version})
            try:
                await engine.script_state.set(path, changes, engine.owner, "script")
                times -= 1
            except ServiceError as error:
                if error.code != "conflict":
                    raise
                conflicts += 1
        return conflicts

    await asyncio.gather(count(10), count(10), count(10))
    assert await values(engine, path) == {"n": 30}
    version = (await write(engine, path, n=30))["n"]
    await write(engine, path, remove=["n"])
    again = (await write(engine, path, n=30))["n"]
    assert again > version, "a version is never given out twice"
    changes = StateChanges(values={"n": 1, "m": 1}, expected={"m": 0, "n": version})
    with pytest.raises(ServiceError, match="is not the value that was read"):
        await engine.script_state.set(path, changes, engine.owner, "script")
    assert await values(engine, path) == {"n": 30}


async def test_state_goes_with_its_script_stays_when_that_is_deleted_and_ends_with_its_history(engine: Engine) -> None:
    owner, old, new = engine.owner, await script(engine, "keeps/old.py"), "keeps/new.py"
    await write(engine, old, n=1)
    await write(engine, await script(engine, new), left="by another script", n=5)
    await engine.changes.delete(new, DeleteRequest(), owner)
    assert await values(engine, new) == {"left": "by another script", "n": 5}
    await engine.changes.rename(old, RenameRequest(new_path=new), owner)
    assert await values(engine, new) == {"n": 1}
    with pytest.raises(ServiceError, match="There is no script 'keeps/old"):
        await values(engine, old)
    with pytest.raises(ServiceError, match="There is no script 'keeps/old"):
        await write(engine, old, n=2)
    await engine.changes.delete(new, DeleteRequest(), owner)
    await engine.changes.restore(new, RestoreRequest(), owner)
    assert await values(engine, new) == {"n": 1}
    await engine.changes.delete(new, DeleteRequest(), owner)
    assert await values(engine, new) == {"n": 1}
    await engine.state.versions.forget(new, 0)
    with pytest.raises(ServiceError, match="There is no script 'keeps/new"):
        await values(engine, new)


async def test_whoever_may_not_run_a_script_does_not_reach_its_state(engine: Engine) -> None:
    path = await script(engine, "keeps/own.py")
    await write(engine, path, n=1)
    viewer = Actor("token:v", NO_ACCOUNT, Role.VIEWER, token="0" * 12)
    scoped = Actor("token:s", NO_ACCOUNT, Role.AUTHOR, token="1" * 12, scripts=("line1/*",))
    operator = Actor("token:o", NO_ACCOUNT, Role.OPERATOR, token="2" * 12)
    for actor, said in ((viewer, "needs the role operator"), (scoped, "it is a token for")):
        for ask in (
            lambda actor: engine.script_state.get(path, None, actor),
            lambda actor: engine.script_state.set(path, StateChanges(values={"n": 2}), actor, "rest"),
            lambda actor: engine.script_state.clear(path, actor, "rest"),
        ):
            with pytest.raises(ServiceError, match=said):
                await ask(actor)
    state = await engine.script_state.set(path, StateChanges(values={"n": 2}), operator, "rest")
    assert [(entry.value, entry.changed_by) for entry in state.entries] == [(2, "token:o")]


async def test_changes_by_people_are_on_record_without_values_and_those_by_runs_are_not(engine: Engine) -> None:
    path = await script(engine, "keeps/audited.py")
    await engine.script_state.set(path, StateChanges(values={"quiet": 1}), engine.owner, "script")
    await engine.script_state.set(path, StateChanges(values={"loud": "heliotrope"}, remove=["x"]), engine.owner, "cli")
    await engine.script_state.clear(path, engine.owner, "cli")
    records = [r for r in (await engine.audit.list(engine.owner, limit=20)).records if r.subject == path]
    told = [(r.action, r.detail["keys"]) for r in records if r.action.startswith("state")]
    assert told == [("state_clear", "loud, quiet"), ("state_set", "loud, x")]
    assert "heliotrope" not in repr(records)


async def test_nothing_is_written_where_there_is_no_room_and_removing_still_works(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await script(engine, "keeps/room.py")
    await write(engine, path, a=1, b=2)
    monkeypatch.setattr(type(engine.space), "short", lambda _: "only 3 MiB are free")
    with pytest.raises(ServiceError, match="stays as it is: only 3 MiB are free") as refused:
        await write(engine, path, a=3)
    assert refused.value.code == "not_recorded"
    await write(engine, path, remove=["b"])
    assert await values(engine, path) == {"a": 1}
