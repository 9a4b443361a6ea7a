"""What is believed about logout, with systemd's tools played by small programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import logind


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(logind, "BOOTED", str(tmp_path))
    monkeypatch.setattr(logind, "in_login_session", lambda: True)
    return tmp_path


def program(folder: Path, name: str, line: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "kills"),
    [
        ("echo b true", True),
        ("echo b false", False),
        ("echo nonsense", None),
        ("exit 1", None),
        ("exec sleep 60", None),
    ],
)
def test_what_logind_says(tools: Path, monkeypatch: pytest.MonkeyPatch, says: str, kills: bool | None) -> None:
    monkeypatch.setattr(logind, "ANSWER_TIMEOUT", 0.5)
    program(tools, "busctl", says)
    assert logind.kills_user_processes() is kills


def test_without_systemd_nothing_is_asked(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tools, "busctl", "echo b true")
    monkeypatch.setattr(logind, "BOOTED", str(tools / "none"))
    assert logind.kills_user_processes() is None


def test_a_scope_only_where_logout_kills(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = program(tools, "systemd-run", 'shift 5; exec "$@"')
    program(tools, "busctl", "echo b false")
    assert logind.scope_command() == []
    program(tools, "busctl", "echo b true")
    assert logind.scope_command() == [
        str(runner),
        "--user",
        "--scope",
        "--quiet",
        "--collect",
        "--property=Delegate=yes",
        "--",
    ]
    monkeypatch.setattr(logind, "in_login_session", lambda: False)
    assert logind.scope_command() == []
