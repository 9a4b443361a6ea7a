"""A new bundle meets a project: untouched scripts follow it, edited ones are offered, deleted ones stay deleted."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import pytest

from default_scripts import Bundle
from engine import Engine
from engine.models.defaults import DefaultChoice, DefaultDecision, DefaultsRequest, DefaultState
from engine.services.access import Actor, Role, ServiceError
from engine.services.scripts.defaults import DefaultScriptService, judge
from store.errors import NotAllowed
from store.state.rows import SeededRow
from store.state.seeded import Seeded

A, B, C = "defaults/a.py", "defaults/b.py", "defaults/c.py"
OLD = Bundle(1, {f"scripts/{A}": b"# a 1\n", f"scripts/{B}": b"# b 1\n", "documents/samples/s.csv": b"1\n"})
NEW = Bundle(
    2,
    {
        f"scripts/{A}": b"# a 2\n",
        f"scripts/{B}": b"# b 2\n",
        f"scripts/{C}": b"# c 2\n",
        "documents/samples/s.csv": b"2\n",
        "documents/samples/t.csv": b"2\n",
    },
)
Opener = Callable[[Bundle], AbstractAsyncContextManager[Engine]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "plant"


@pytest.fixture
def opened(root: Path) -> Opener:
    """Start an engine that comes with a bundle."""

    @asynccontextmanager
    async def start(bundle: Bundle) -> AsyncIterator[Engine]:
        async with Engine.open(root, pool_size=1, bundle=bundle) as engine:
            yield engine

    return start


def text(root: Path, path: str) -> str | None:
    file = root / "scripts" / path
    return file.read_text() if file.exists() else None


def write(root: Path, path: str, content: str) -> None:
    (root / "scripts" / path).write_text(content)


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


async def states(engine: Engine) -> dict[str, str]:
    return {script.path: script.state.value for script in (await engine.defaults.list()).scripts}


async def decide(engine: Engine, path: str, choice: str, **seen: str | None) -> None:
    script = next(one for one in (await engine.defaults.list()).scripts if one.path == path)
    decision = DefaultDecision(
        path=path,
        choice=DefaultChoice(choice),
        bundled_sha256=script.bundled_sha256,
        sha256=seen.get("sha256", script.sha256),
    )
    await engine.defaults.decide(DefaultsRequest(decisions=[decision]), engine.owner)


async def test_a_new_project_has_nothing_to_decide(opened: Opener) -> None:
    async with opened(OLD) as engine:
        assert await states(engine) == {A: "current", B: "current"}
        assert engine.problems == []


async def test_an_upgrade_updates_the_untouched_and_offers_the_edited(root: Path, opened: Opener) -> None:
    async with opened(OLD):
        pass
    write(root, A, "# mine\n")
    async with opened(NEW) as engine:
        assert (text(root, A), text(root, B), text(root, C)) == ("# mine\n", "# b 2\n", "# c 2\n")
        assert await states(engine) == {A: "offered", B: "current", C: "current"}
        (problem,) = engine.problems
        assert A in problem
        assert "gatewright scripts defaults" in problem
        diff = await engine.defaults.diff("a")
        assert "-# mine" in diff.diff
        assert "+# a 2" in diff.diff
        (version,) = (await engine.changes.history(B, engine.owner)).versions
        assert (version.sha256, version.name) == (sha256("# b 1\n"), "gatewright")
        assert (await engine.changes.version(B, version.sha256, engine.owner)).text == "# b 1\n"
    assert (root / "documents/samples/s.csv").read_text() == "1\n", "sample data is only added"
    assert (root / "documents/samples/t.csv").read_text() == "2\n"
    async with opened(NEW) as engine:
        assert text(root, A) == "# mine\n"
        assert await states(engine) == {A: "offered", B: "current", C: "current"}


async def test_what_was_deleted_is_not_brought_back_before_somebody_asks(root: Path, opened: Opener) -> None:
    async with opened(OLD):
        pass
    for file in (root / "scripts/defaults").iterdir():
        file.unlink()
    (root / "documents/samples/s.csv").unlink()
    for bundle in (OLD, NEW, NEW):
        async with opened(bundle) as engine:
            assert (text(root, A), text(root, B)) == (None, None)
            assert engine.problems == []
            assert not (root / "documents/samples/s.csv").exists()
    async with opened(NEW) as engine:
        restored = await engine.defaults.restore(engine.owner)
        assert sorted(restored.written) == ["documents/samples/s.csv", f"scripts/{A}", f"scripts/{B}"]
        assert set((await states(engine)).values()) == {"current"}
        assert (await engine.defaults.restore(engine.owner)).written == []
    assert text(root, A) == "# a 2\n"
    assert (root / "documents/samples/s.csv").read_text() == "2\n"


async def test_a_project_that_never_had_them_gets_none_unless_it_asks(root: Path, opened: Opener) -> None:
    (root / "scripts").mkdir(parents=True)
    write(root, "own.py", "# own\n")
    async with opened(OLD) as engine:
        assert sorted(path.name for path in (root / "scripts").iterdir()) == ["own.py"]
        assert await states(engine) == {A: "missing", B: "missing"}
        await engine.defaults.restore(engine.owner)
    async with opened(NEW):
        assert text(root, A) == "# a 2\n"


async def test_taking_puts_the_own_text_into_the_history(root: Path, opened: Opener) -> None:
    async with opened(OLD):
        pass
    write(root, A, "# mine\n")
    async with opened(NEW) as engine:
        await decide(engine, A, "take")
        assert text(root, A) == "# a 2\n"
        assert (await states(engine))[A] == "current"
        assert engine.problems == []
        assert (await engine.changes.history(A, engine.owner)).versions[0].sha256 == sha256("# mine\n")


async def test_keeping_is_for_one_text_of_the_bundle(root: Path, opened: Opener) -> None:
    async with opened(OLD):
        pass
    write(root, A, "# mine\n")
    async with opened(NEW) as engine:
        await decide(engine, A, "keep")
        assert (await states(engine))[A] == "kept"
    async with opened(Bundle(3, dict(NEW.files))) as engine:
        assert (await states(engine))[A] == "kept", "the same text was offered again"
        assert engine.problems == []
    async with opened(Bundle(4, {**NEW.files, f"scripts/{A}": b"# a 4\n"})) as engine:
        assert (await states(engine))[A] == "offered"
        assert text(root, A) == "# mine\n"


async def test_a_text_that_changed_since_it_was_looked_at_is_left_alone(root: Path, opened: Opener) -> None:
    async with opened(OLD):
        pass
    write(root, A, "# mine\n")
    async with opened(NEW) as engine:
        write(root, A, "# mine, too\n")
        for choice in ("take", "keep"):
            with pytest.raises(ServiceError) as refusal:
                await decide(engine, A, choice, sha256=sha256("# mine\n"))
            assert refusal.value.code == "changed"
        assert text(root, A) == "# mine, too\n"
        assert (await states(engine))[A] == "offered"


async def test_several_decisions_are_all_judged_before_the_first_is_done(root: Path, opened: Opener) -> None:
    async with opened(OLD):
        pass
    write(root, A, "# mine\n")
    write(root, B, "# mine\n")
    async with opened(NEW) as engine:
        found = {script.path: script for script in (await engine.defaults.list()).scripts}
        decisions = [
            DefaultDecision(
                path=path,
                choice=DefaultChoice.TAKE,
                sha256=found[path].sha256,
                bundled_sha256=found[path].bundled_sha256,
            )
            for path in (A, B)
        ]
        write(root, B, "# changed meanwhile\n")
        with pytest.raises(ServiceError):
            await engine.defaults.decide(DefaultsRequest(decisions=decisions), engine.owner)
        assert text(root, A) == "# mine\n"


async def test_a_name_that_the_user_has_taken_is_offered_not_overwritten(root: Path, opened: Opener) -> None:
    async with opened(OLD):
        pass
    write(root, C, "# my own c\n")
    async with opened(NEW) as engine:
        assert text(root, C) == "# my own c\n"
        assert (await states(engine))[C] == "offered"
        await decide(engine, C, "keep")
        assert (await states(engine))[C] == "kept"


async def test_an_older_bundle_takes_nothing_back(root: Path, opened: Opener) -> None:
    async with opened(NEW):
        pass
    async with opened(OLD) as engine:
        assert text(root, A) == "# a 2\n"
        assert await states(engine) == {A: "later", B: "later"}
        assert engine.problems == []


class Killed(BaseException):
    """What nothing may catch: the engine's process is gone."""


@pytest.mark.parametrize("before_saving", [True, False])
async def test_killed_around_a_save_it_goes_on_at_the_next_start(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch, before_saving: bool
) -> None:
    async with opened(OLD):
        pass
    write(root, A, "# mine\n")

    async def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if before_saving:
            patch.setattr(DefaultScriptService, "_save", killed)
        else:
            patch.setattr(DefaultScriptService, "_remember", killed)
        with pytest.raises(Killed):
            async with opened(NEW):
                pass
    assert text(root, B) == ("# b 1\n" if before_saving else "# b 2\n")
    async with opened(NEW) as engine:
        assert (text(root, A), text(root, B), text(root, C)) == ("# mine\n", "# b 2\n", "# c 2\n")
        assert await states(engine) == {A: "offered", B: "current", C: "current"}
    write(root, B, "# edited\n")
    async with opened(NEW) as engine:
        assert (await states(engine))[B] == "edited", "the update was not remembered"


async def test_a_project_of_before_is_taken_for_what_its_hashes_say(root: Path, opened: Opener) -> None:
    """Its marker has the hashes that it was made with; rows there were none."""
    async with opened(OLD):
        pass
    with closing(sqlite3.connect(root / ".gatewright/state.db")) as database:
        database.execute("DELETE FROM default_script")
        database.commit()
    write(root, A, "# mine\n")
    async with opened(NEW) as engine:
        assert (text(root, A), text(root, B)) == ("# mine\n", "# b 2\n")
        assert await states(engine) == {A: "offered", B: "current", C: "current"}


async def test_a_folder_that_cannot_be_written_does_not_stop_the_engine(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(OLD):
        pass

    async def refuse(*_: object) -> None:
        raise NotAllowed("Cannot save it: the file system is read-only.")

    with monkeypatch.context() as patch:
        patch.setattr("engine.services.versioned_writer.VersionedWriter.save", refuse)
        async with opened(NEW) as engine:
            assert text(root, A) == "# a 1\n"
            assert any("read-only" in problem for problem in engine.problems)
            assert (await states(engine))[A] == "offered"
    with monkeypatch.context() as patch:
        patch.setattr(Seeded, "remember", refuse)
        async with opened(NEW) as engine:
            assert any("read-only" in problem for problem in engine.problems)
    async with opened(NEW) as engine:
        assert set((await states(engine)).values()) == {"current"}
        assert engine.problems == []


async def test_a_script_that_cannot_be_read_is_said_and_left(root: Path, opened: Opener) -> None:
    async with opened(OLD):
        pass
    (root / "scripts" / A).unlink()
    (root / "scripts" / A).mkdir()
    async with opened(NEW) as engine:
        assert text(root, B) == "# b 2\n"
        script = next(one for one in (await engine.defaults.list()).scripts if one.path == A)
        assert "folder" in (script.problem or "")
        with pytest.raises(ServiceError):
            await decide(engine, A, "take")


async def test_viewers_look_and_authors_decide(root: Path, opened: Opener) -> None:
    async with opened(OLD) as engine:
        viewer = Actor("bob", 12, Role.OPERATOR)
        with pytest.raises(ServiceError, match="author"):
            await engine.defaults.restore(viewer)
        with pytest.raises(ServiceError, match="author"):
            await engine.defaults.decide(DefaultsRequest(decisions=[]), viewer)


def row(version: int, sha: str, kept: str | None = None) -> SeededRow:
    return SeededRow(path="x", version=version, sha256=sha, kept_sha256=kept)


@pytest.mark.parametrize(
    ("remembered", "disk", "state"),
    [
        (None, None, DefaultState.MISSING),
        (row(1, "old"), None, DefaultState.MISSING),
        (None, "new", DefaultState.CURRENT),
        (row(3, "later"), "new", DefaultState.CURRENT),
        (None, "mine", DefaultState.OFFERED),
        (row(1, "old"), "mine", DefaultState.OFFERED),
        (row(1, "old"), "old", DefaultState.OFFERED),
        (row(1, "old", "new"), "mine", DefaultState.KEPT),
        (row(1, "old", "other"), "mine", DefaultState.OFFERED),
        (row(2, "new"), "mine", DefaultState.EDITED),
        (row(3, "later"), "mine", DefaultState.LATER),
    ],
)
def test_how_a_script_stands(remembered: SeededRow | None, disk: str | None, state: DefaultState) -> None:
    assert judge(remembered, disk, "new", 2) is state
