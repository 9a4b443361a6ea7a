"""Where a user's settings and state are, by the variables of the XDG Base Directory Specification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.user_folders import settings_home, state_home


@pytest.mark.parametrize(
    ("home", "variable", "usual"),
    [(settings_home, "XDG_CONFIG_HOME", ".config"), (state_home, "XDG_STATE_HOME", ".local/state")],
)
def test_a_relative_path_is_ignored(
    home: Callable[[], Path], variable: str, usual: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("relative", ""):
        monkeypatch.setenv(variable, value)
        assert home() == tmp_path / usual
    monkeypatch.delenv(variable)
    assert home() == tmp_path / usual
    monkeypatch.setenv(variable, str(tmp_path / "other"))
    assert home() == tmp_path / "other"
