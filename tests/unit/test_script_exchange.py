"""Scripts between engines of which one goes away in the middle: the others' are copied, and no text is lost."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.common_texts import CommonTexts
from engine.client.fleet import FailureKind
from engine.client.script_exchange import CopyState, ScriptStanding, ScriptStore, compare, copy
from engine.models.defaults import DefaultScript, DefaultScripts, DefaultState
from engine.models.scripts import ScriptInfo, ScriptList, ScriptText
from engine.models.versions import ScriptHistory, ScriptVersion, VersionReason, VersionText
from engine.registry.defaults import DEFAULTS_LIST
from engine.registry.scripts import SCRIPTS_HISTORY, SCRIPTS_LIST, SCRIPTS_LOAD, SCRIPTS_SAVE, SCRIPTS_VERSION
from tui.commands.script_exchange import GatewaySide, How, Sides, Theirs, _pull, _push

PUSH, PULL = How((), False, "there"), How((), False, "here")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Scripts:
    """Stands for a connected engine that is gone after so many calls that load or save."""

    def __init__(self, texts: dict[str, str], gone_after: int = 1_000) -> None:
        self.texts = texts
        self.left = gone_after
        self.past: dict[str, str | None] = {}
        """Texts that it says to have had, by their hashes."""

    async def call(self, row: Any, params: Any = None, body: Any = None) -> Any:
        if row is SCRIPTS_LIST:
            return ScriptList(scripts=[self.info(path) for path in self.texts])
        if row is DEFAULTS_LIST:
            came = DefaultScript(path="defaults/tour.py", state=DefaultState.CURRENT, bundled_sha256="")
            edited = DefaultScript(path="s1.py", state=DefaultState.EDITED, bundled_sha256="")
            return DefaultScripts(version=1, scripts=[came, edited])
        if row in (SCRIPTS_LOAD, SCRIPTS_SAVE):
            self.left -= 1
        if self.left < 0:
            raise EngineUnreachable("The engine has gone.")
        if row is SCRIPTS_HISTORY:
            return ScriptHistory(
                path=params.path,
                versions=[
                    ScriptVersion(
                        path=params.path, sha256=one, size=1, reason=VersionReason.SAVED, at=1.0, uid=1, name="a"
                    )
                    for one in self.past
                ],
            )
        if row is SCRIPTS_VERSION:
            if self.past.get(params.sha256) is None:
                raise EngineError("no_version", "There is no such version.", None, 404)
            return VersionText(path=params.path, sha256=params.sha256, text=self.past[params.sha256])
        if row is SCRIPTS_SAVE:
            now = self.texts.get(params.path)
            if body.base_sha256 != (None if now is None else digest(now)):
                raise EngineError("conflict", "It was changed.", None, 409)
            self.texts[params.path] = body.text
        return ScriptText(info=self.info(params.path), text=self.texts[params.path]) if row is SCRIPTS_LOAD else (
            self.info(params.path)
        )  # fmt: skip

    def info(self, path: str) -> ScriptInfo:
        return ScriptInfo(path=path, title=path, sha256=digest(self.texts[path]))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


async def sides(here: Scripts, **there: Scripts) -> Sides:
    async def side(name: str, engine: Scripts) -> GatewaySide:
        return GatewaySide(name, Theirs(await ScriptStore.of(engine, elsewhere=True), CommonTexts("here", name)))  # type: ignore[arg-type]

    return Sides(await ScriptStore.of(here), [await side(name, one) for name, one in there.items()])  # type: ignore[arg-type]


PATHS = [f"s{number}.py" for number in range(6)]


async def test_a_gateway_that_goes_away_in_the_middle_of_a_push_stops_no_other() -> None:
    here = Scripts(dict.fromkeys(PATHS, "1"))
    one, two = Scripts({}, gone_after=2), Scripts({})
    both = await sides(here, one=one, two=two)
    await _push(both, PATHS, PUSH)
    first, second = both.there
    assert first.failure is not None
    assert (first.failure.kind, first.exit_code) == (FailureKind.AWAY, 3)
    assert [copied.path for copied in first.copied] == PATHS[:2], "what is there is told"
    assert (second.failure, two.texts) == (None, here.texts)


async def test_a_push_whose_own_project_goes_away_is_no_fault_of_a_gateway() -> None:
    two = Scripts({})
    both = await sides(Scripts(dict.fromkeys(PATHS, "1"), gone_after=3), two=two)
    with pytest.raises(EngineUnreachable):
        await _push(both, PATHS, PUSH)
    assert two.texts == {}, "it is read before anything is written"


async def test_a_pull_goes_on_with_the_gateway_that_still_answers() -> None:
    texts = dict.fromkeys(PATHS, "1")
    here = Scripts({})
    bundled = {"defaults/tour.py": "another version's"}
    both = await sides(here, one=Scripts(texts | bundled, gone_after=2), two=Scripts(texts | bundled))
    done = await _pull(both, None, PULL)
    assert here.texts == texts, "default scripts that are as they came belong to no project"
    assert [name for name, _ in done] == ["one", "one", "two", "two", "two", "two"]
    assert both.there[0].failure is not None


async def test_a_text_that_comes_between_looking_and_saving_is_a_conflict_and_stays() -> None:
    here, there = Scripts({"a.py": "2"}), Scripts({"a.py": "1"})
    origin, target = await ScriptStore.of(here), await ScriptStore.of(there)  # type: ignore[arg-type]
    common = CommonTexts("here", "there")
    common.note("a.py", digest("1"))
    there.texts["a.py"] = "another was quicker"
    done = await copy("a.py", origin, target, common)
    assert (done.state, there.texts["a.py"]) == (CopyState.CONFLICT, "another was quicker")
    assert common.of("a.py") == digest("1")


async def test_notes_are_of_a_pair_in_either_order_and_of_no_other_and_junk_is_none(tmp_path: Path) -> None:
    common = CommonTexts("a", "b")
    common.note("x.py", "1")
    common.note("gone.py", "2")
    common.keep({"x.py"})
    assert (CommonTexts("b", "a").of("x.py"), CommonTexts("b", "a").of("gone.py")) == ("1", None)
    assert CommonTexts("a", "c").of("x.py") is None
    [file] = (tmp_path / "gatewright" / "common").iterdir()
    for junk in (b"", b"[]", b"{}", b'{"scripts": 3}', b'{"scripts": {"x.py": 3}}', b"[" * 100_000, b"\xff"):
        file.write_bytes(junk)
        assert CommonTexts("a", "b").of("x.py") is None
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text('{"scripts": {"x.py": "1"}}')
    assert CommonTexts("a", "b").of("x.py") is None


def test_scripts_that_cannot_be_read_are_never_the_same() -> None:
    unread = {"a.py": ScriptInfo(path="a.py", title="A")}
    assert [one.standing for one in compare(unread, unread)] == [ScriptStanding.UNREADABLE]


@pytest.mark.parametrize(("told", "state"), [("mine", "replaced"), ("other", "conflict"), (None, "conflict")])
async def test_a_text_here_is_replaced_only_by_a_gateway_that_really_had_it(told: str | None, state: str) -> None:
    """One that knows only its hash, from wherever, does not take it away."""
    here, one = Scripts({"a.py": "mine"}), Scripts({"a.py": "theirs"})
    one.past = {digest("mine"): told}
    both = await sides(here, one=one)
    [(_, copied)] = await _pull(both, None, PULL)
    assert (copied.state, here.texts["a.py"]) == (state, "theirs" if state == "replaced" else "mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other accounts")
def test_root_writes_nothing_into_the_state_folder_of_another_account(tmp_path: Path) -> None:
    """With its HOME, a link of that account's would lead what root writes anywhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chown(tmp_path, 12345, 12345)
    common = CommonTexts("a", "b")
    common.note("x.py", "1")
    with pytest.raises(PermissionError, match="belongs to another account"):
        common.keep(["x.py"])
    (tmp_path / "gatewright").symlink_to(elsewhere)
    (elsewhere / "common").mkdir()
    os.chown(elsewhere / "common", 12345, 12345)
    with pytest.raises(PermissionError, match="belongs to another account"):
        common.keep(["x.py"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
