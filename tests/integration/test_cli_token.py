"""``gatewright token``: made and shown once, listed without its text, gone when revoked; files for the caller alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cli_support import cli_project

from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.token import _new_private_file


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_tokens_file_is_a_new_one(tmp_path: Path, kind: str) -> None:
    taken, place = tmp_path / "taken", tmp_path / "place"
    if kind == "file":
        place.write_text("kept")
    else:
        place.symlink_to(taken)
    with (
        pytest.raises(CommandError, match="exists already; no token was made") as refused,
        _new_private_file(str(place)),
    ):
        raise AssertionError
    assert refused.value.exit_code == exit_codes.CONFLICT
    assert (kind == "file" and place.read_text() == "kept") or not taken.exists()


def test_a_token_from_its_making_to_its_end(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        done = project.call("token", "create", "--role", "operator", "--name", "dash", "--expires", "90d")
        assert (done.returncode, done.stdout.startswith("gw_"), done.stdout.count("\n")) == (0, True, 1)
        text = done.stdout.strip()
        assert text not in done.stderr
        assert "only time" in done.stderr
        assert "umask 077" in done.stderr

        file = tmp_path / "ci.token"
        mask = os.umask(0)
        try:
            done = project.call("token", "create", "--role", "author", "--name", "ci", "--output", str(file))
        finally:
            os.umask(mask)
        assert (done.returncode, done.stdout) == (0, "")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        kept = file.read_text()
        assert kept.startswith("gw_")
        refused = tmp_path / "refused.token"
        done = project.call("token", "create", "--role", "viewer", "--name", "ci", "--output", str(refused))
        assert "There is a token ci already" in done.stderr
        assert not refused.exists()

        listed = project.call("token", "list").stdout
        assert text not in listed
        assert [line.split()[0] for line in listed.splitlines()] == ["name", "dash", "ci"]
        made = project.json("token", "create", "--role", "viewer", "--name", "line1", "--scripts", "line1/**")
        assert (made["info"]["scripts"], made["token"].startswith("gw_")) == (["line1/**"], True)

        done = project.call("token", "revoke", text)
        assert (done.returncode, "a token's text, not its name" in done.stderr) == (2, True)
        assert project.call("token", "revoke", "dash").returncode == 0
        names = [token["name"] for token in project.json("token", "list")["tokens"]]
        assert names == ["ci", "line1"]
        for file in (tmp_path / "plant" / ".gatewright").rglob("*"):
            if file.is_file():
                assert text.rpartition("_")[2].encode() not in file.read_bytes(), file
