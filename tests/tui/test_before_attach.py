"""The first picture, before the console has the parts that need an engine: keys do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.client.launch import LocalTarget
from tui.actions import Scope, in_scope
from tui.app import GatewrightApp
from tui.editing.recovery import RecoveryJournal


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatewrightApp:
    """A console that never gets further than its first picture."""

    async def nothing(self: GatewrightApp) -> None: ...

    monkeypatch.setattr(GatewrightApp, "_begin", nothing)
    return GatewrightApp(
        LocalTarget(tmp_path), journal=RecoveryJournal(str(tmp_path), tmp_path / "recovery"), place="gw:/p"
    )


@pytest.mark.parametrize("scope", [Scope.CONSOLE, Scope.LIST, Scope.PANEL, Scope.OUTPUT, Scope.GIT])
async def test_every_key_is_harmless(app: GatewrightApp, scope: Scope) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for action in in_scope(scope):
            for key in action.keys:
                if scope is not Scope.CONSOLE:
                    await pilot.press("f2")
                await pilot.press(key)
                while app.screen is not app._console:  # quick open and help can be left
                    await pilot.press("escape")


async def test_a_refused_key_does_not_reach_the_editor(app: GatewrightApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a", "b")
        refused = [item for item in in_scope(Scope.CONSOLE) if not app._console.check_action(item.name, ())]
        assert {"run", "stop", "save", "merge"} <= {item.name for item in refused}
        for action in refused:
            await pilot.press(*action.keys)
            assert app._console.editor.text == "ab"
            assert app._console.editor.selected_text == ""


async def test_actions_by_name_are_harmless(app: GatewrightApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for scope in (Scope.CONSOLE, Scope.LIST, Scope.PANEL, Scope.OUTPUT, Scope.GIT, Scope.MAINTENANCE):
            for action in in_scope(scope):
                await app.do(action.name)
                await pilot.pause()
                while app.screen is not app._console:
                    await pilot.press("escape")


async def test_it_can_be_left(app: GatewrightApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+q")
        await pilot.pause()
    assert app.return_code == 0
