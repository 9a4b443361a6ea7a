"""Fifteen minutes for an administrator's own edits: through the engine, with its audit, and what takes them back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine import Engine
from engine.models.engine import AuditRecord
from engine.models.permissions import ApprovalState, ApproveRequest, Grant, OwnEdits
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest
from engine.models.scripts import RenameRequest, SaveRequest, SetKeysRequest
from engine.services.access import Actor, Role, ServiceError

PATH = "own/watch.py"
PATIENCE = 20.0
BOB = Actor("bob", 4321, Role.ADMIN)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        yield opened


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text("entry\n")
    return folder


def text(logs: Path, body: str = "result = 1", *, more: str = "") -> str:
    return f'# /// script\n# [tool.gatewright.permissions]\n# read = ["{logs}"{more}]\n# ///\n{body}\n'


def reading(logs: Path) -> str:
    return text(logs, f"result = open('{logs}/a.log').read()")


def sha(written: str) -> str:
    return hashlib.sha256(written.encode()).hexdigest()


async def save(engine: Engine, new: str, base: str | None, token: str = "", actor: Actor | None = None) -> None:
    request = SaveRequest(text=new, base_sha256=None if base is None else sha(base), own_edits=token)
    await engine.scripts.save(PATH, request, actor or engine.owner)


async def begin(engine: Engine, written: str, actor: Actor | None = None) -> OwnEdits:
    """Save a script and begin own edits of it, as the console does after its review."""
    await save(engine, written, None)
    review = await engine.permissions.review(PATH, engine.owner)
    grants = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
    request = ApproveRequest(sha256=review.sha256, grants=grants)
    return await engine.permissions.begin_edits(PATH, request, actor or engine.owner)


async def run(engine: Engine, token: str = "", code: str = "", actor: Actor | None = None) -> RunInfo:
    request = RunRequest(kind=RunKind.SCRIPT, script=PATH, code=code, own_edits=token)
    started = await engine.runs.start(request, actor or engine.owner, "library")
    return await engine.runs.wait(started.id, engine.owner)


async def refused(engine: Engine, token: str = "", code: str = "") -> str:
    with pytest.raises(ServiceError) as caught:
        await run(engine, token, code)
    return caught.value.code


async def refusal(engine: Engine, token: str = "", code: str = "", actor: Actor | None = None) -> str:
    """What the user reads."""
    with pytest.raises(ServiceError, match="approved") as caught:
        await run(engine, token, code, actor)
    return caught.value.message


async def ended(engine: Engine, edits: OwnEdits) -> str:
    """Why they are over, once they are."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await engine.permissions.renew_edits(edits.token, engine.owner)
            except ServiceError as error:
                return f"{error.code}: {error.message}"
            await asyncio.sleep(0.02)


async def audit(engine: Engine) -> list[AuditRecord]:
    found = await engine.audit.list(engine.owner)
    return [record for record in reversed(found.records) if record.action.startswith("own_edits")]


async def test_own_saves_run_with_the_permissions_and_nobody_elses_run_does(engine: Engine, logs: Path) -> None:
    first = text(logs)
    edits = await begin(engine, first)
    assert 890 < edits.remaining <= 900
    assert (edits.script, edits.sha256) == (PATH, sha(first))
    second = reading(logs)
    await save(engine, second, first, edits.token)
    done = await run(engine, edits.token)
    assert (done.outcome, done.value) == (Outcome.OK, "entry\n")
    assert [grant.path for grant in done.grants] == [str(logs)]
    assert await refused(engine) == "needs_approval", "another client of the same administrator"
    assert "console that asked for them only" in await refusal(engine), "and it is told why"
    assert "console that asked" not in await refusal(engine, edits.token, code=second + "# not saved\n")
    assert "console that asked" not in await refusal(engine, actor=BOB), "whose edits those are is not for everybody"
    assert await refused(engine, "guessed") == "needs_approval"
    assert await refused(engine, edits.token, code=second + "# not saved\n") == "needs_approval"
    review = await engine.permissions.review(PATH, engine.owner)
    assert review.state is ApprovalState.NEEDED, "nothing is approved for anybody else"
    await engine.frontmatter.set_keys(
        PATH, SetKeysRequest(changes={"title": "Watch"}, own_edits=edits.token), engine.owner
    )
    assert (await run(engine, edits.token)).outcome is Outcome.OK
    third = (await engine.scripts.load(PATH)).info.sha256
    assert (await engine.permissions.renew_edits(edits.token, engine.owner)).sha256 == third
    over = await engine.permissions.end_edits(edits.token, engine.owner)
    assert over.remaining == 0
    assert await refused(engine, edits.token) == "needs_approval"
    told = await audit(engine)
    assert [(record.action, record.subject, record.detail["sha256"]) for record in told] == [
        ("own_edits_begin", PATH, sha(first)),
        ("own_edits_save", PATH, sha(second)),
        ("own_edits_use", PATH, sha(second)),
        ("own_edits_save", PATH, third),
        ("own_edits_use", PATH, third),
        ("own_edits_end", PATH, third),
    ]
    assert str(logs) in str(told[0].detail["grants"])
    assert told[-1].detail["reason"] == "you ended it"
    assert not any(edits.token in str(record) for record in told)


async def test_a_file_written_outside_ends_it_at_once_and_putting_it_back_does_not_help(
    engine: Engine, logs: Path
) -> None:
    edits = await begin(engine, text(logs))
    file = engine.project.scripts / PATH
    file.write_text(reading(logs))
    assert "changed by other than your own saves" in await ended(engine, edits)
    file.write_text(text(logs))
    assert await refused(engine, edits.token) == "needs_approval"


async def test_a_text_written_outside_never_runs_even_before_anybody_has_noticed(engine: Engine, logs: Path) -> None:
    edits = await begin(engine, text(logs))
    (engine.project.scripts / PATH).write_text(reading(logs))
    assert await refused(engine, edits.token) == "needs_approval"


async def _other_save(engine: Engine, written: str) -> None:
    await save(engine, written + "# bob\n", written, actor=BOB)


async def _other_console(engine: Engine, written: str) -> None:
    await save(engine, written + "# elsewhere\n", written)


async def _set(engine: Engine, written: str) -> None:
    await engine.frontmatter.set_keys(PATH, SetKeysRequest(changes={"title": "x"}), engine.owner)


async def _rename(engine: Engine, written: str) -> None:
    await engine.changes.rename(PATH, RenameRequest(new_path="own/other.py"), engine.owner)


async def _refuse(engine: Engine, written: str) -> None:
    await engine.permissions.refuse(PATH, BOB)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (_other_save, "changed by other"),
        (_other_console, "changed by other"),
        (_set, "changed by other"),
        (_rename, "the script is gone"),
        (_refuse, "bob refused what the script asks for"),
    ],
)
async def test_whatever_else_happens_to_the_script_ends_it(
    engine: Engine, logs: Path, other: Callable[[Engine, str], object], why: str
) -> None:
    edits = await begin(engine, text(logs))
    await other(engine, text(logs))  # type: ignore[misc]
    assert why in await ended(engine, edits)
    assert (await audit(engine))[-1].action == "own_edits_end"


async def test_asking_for_more_ends_it_and_less_does_not(engine: Engine, logs: Path, tmp_path: Path) -> None:
    for name in ("more", "third"):
        (tmp_path / name).mkdir()
    wide = text(logs, more=f', "{tmp_path / "more"}"')
    edits = await begin(engine, wide)
    narrow = text(logs)
    await save(engine, narrow, wide, edits.token)
    assert [grant.path for grant in (await run(engine, edits.token)).grants] == [str(logs)]
    broken = "# /// script\n# [\n# ///\n"
    await save(engine, broken, narrow, edits.token)
    assert await refused(engine, edits.token) == "bad_script"
    await save(engine, wide, broken, edits.token)
    assert (await run(engine, edits.token)).outcome is Outcome.OK
    wider = text(logs, more=f', "{tmp_path / "third"}"')
    await save(engine, wider, wide, edits.token)
    assert await refused(engine, edits.token) == "needs_approval"
    assert "asks for more than was approved" in await ended(engine, edits)


async def test_a_path_that_leads_elsewhere_by_now_is_refused(engine: Engine, logs: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(logs)
    (tmp_path / "other").mkdir()
    edits = await begin(engine, text(link))
    assert (await run(engine, edits.token)).outcome is Outcome.OK
    link.unlink()
    link.symlink_to(tmp_path / "other")
    assert await refused(engine, edits.token) == "needs_approval"


async def test_it_begins_with_what_was_seen_only_and_for_administrators_only(engine: Engine, logs: Path) -> None:
    await save(engine, text(logs), None)
    seen = ApproveRequest(sha256=sha(text(logs)), grants=[])
    with pytest.raises(ServiceError) as caught:
        await engine.permissions.begin_edits(PATH, seen, engine.owner)
    assert caught.value.code == "changed"
    with pytest.raises(ServiceError) as caught:
        await engine.permissions.begin_edits(PATH, seen, Actor("ann", 1000, Role.AUTHOR))
    assert caught.value.code == "forbidden"
    assert await audit(engine) == []


async def test_the_token_of_another_account_is_worth_nothing(engine: Engine, logs: Path) -> None:
    edits = await begin(engine, text(logs), BOB)
    assert await refused(engine, edits.token) == "needs_approval"
    with pytest.raises(ServiceError) as caught:
        await engine.permissions.renew_edits(edits.token, engine.owner)
    assert caught.value.code == "edits_over"


async def test_the_end_of_the_engine_is_its_end(tmp_path: Path, logs: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        edits = await begin(engine, text(logs))
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        assert await refused(engine, edits.token) == "needs_approval"
        assert "not known to this engine" in await ended(engine, edits)
        told = await audit(engine)
        assert [record.action for record in told] == ["own_edits_begin", "own_edits_end"]
        assert told[-1].detail["reason"] == "the engine stopped"


async def test_a_console_that_falls_silent_loses_it_and_that_is_on_record(
    engine: Engine, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.services.scripts.own_edits.HEARD_FOR", 0.3)
    edits = await begin(engine, text(logs))
    async with asyncio.timeout(PATIENCE):
        with engine.events.subscribe() as changes:  # nobody asks, and it ends all the same
            while not any("own_edits_end" in str(event.data) for event in await anext(changes)):
                pass
    assert (await audit(engine))[-1].detail["reason"] == "the console that they are made in fell silent"
    assert await refused(engine, edits.token) == "needs_approval"
