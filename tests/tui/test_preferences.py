"""The two switches for terminals that do not agree with the console's own ways."""

from pathlib import Path

import pytest

from engine.client.launch import LocalTarget
from tui.app import GatewrightApp, Preferences
from tui.console.screen import ConsoleScreen
from tui.terminal.diff_driver import DiffDriver


@pytest.mark.parametrize(
    ("environ", "want"),
    [
        ({}, Preferences()),
        ({"GATEWRIGHT_CONSOLE_DIFF": "off"}, Preferences(diff=False)),
        ({"GATEWRIGHT_CONSOLE_FAST_EDITOR": "0"}, Preferences(fast_editor=False)),
        ({"GATEWRIGHT_CONSOLE_DIFF": "on", "GATEWRIGHT_CONSOLE_FAST_EDITOR": ""}, Preferences()),
    ],
)
def test_read_from_the_environment(environ: dict[str, str], want: Preferences) -> None:
    assert Preferences.of(environ) == want


@pytest.mark.parametrize("on", [True, False])
async def test_they_decide_on_driver_and_editor(tmp_path: Path, on: bool) -> None:
    app = GatewrightApp(LocalTarget(tmp_path), preferences=Preferences(diff=on, fast_editor=on))
    assert (app.driver_class is DiffDriver) is on
    assert ConsoleScreen("gw-01", fast_editor=on).editor.fast is on
