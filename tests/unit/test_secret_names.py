"""Which names say that their value is a secret, and the key that stands in for such values."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from store.frontmatter.read import parse
from store.frontmatter.secret_names import holds_a_secret_name, names_a_secret
from store.state.hmac_key import KEY_FILE, hmac_key


@pytest.mark.parametrize(
    "name",
    [
        "password", "db_password", "dbPassword", "DBPassword", "DB_PASSWORD", "api-key", "apiKey", "APIKey", "APIkey",
        "api.key", "key", "key2", "token2", "Token", "client_secret", "secretValue", "tokens", "api_keys", "max_tokens",
        "passwd", "apikey", "credentials", "\uff4b\uff45\uff59",
    ],
)  # fmt: skip
def test_a_whole_word_says_so(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "monkey", "keyboard", "turkey", "hotkey", "tokenize", "secretary", "keyed", "passwordless", "x", "word",
        "hours", "_", "7", "κλειδί", "",
    ],
)  # fmt: skip
def test_a_part_of_a_word_does_not(name: str) -> None:
    assert not names_a_secret(name)


def test_names_are_found_at_any_depth_of_a_value() -> None:
    assert holds_a_secret_name([{"a": [1, {"apiKey": None}]}])
    assert not holds_a_secret_name({"a": ["password", {"b": "token"}], "monkey": 1})
    deep: object = {"token": 1}
    for _ in range(100_000):
        deep = [deep]
    assert holds_a_secret_name(deep)


def params(*lines: str) -> dict[str, bool]:
    front = parse("\n".join(["# /// script", *(f"# {line}" for line in lines), "# ///", ""]))
    assert front.problem is None or "secret" in front.problem
    return {param.name: param.secret for param in front.params}


def test_the_header_has_the_last_word() -> None:
    table = "[tool.gatewright.params.{}]".format
    assert params(
        table("pin"),
        "secret = true",
        table("sort_key"),
        "secret = false",
        table("token"),
        table("hours"),
        'type = "int"',
    ) == {"pin": True, "sort_key": False, "token": True, "hours": False}
    assert params(table("key"), 'type = "file"') == {"key": False}
    assert params(table("token"), "secret = 1") == {"token": True}, "a wrong value hides no less"


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    made = hmac_key(tmp_path)
    found = (tmp_path / KEY_FILE).stat()
    assert (len(made), stat.S_IMODE(found.st_mode), found.st_uid) == (32, 0o600, os.geteuid())
    assert hmac_key(tmp_path) == hmac_key(tmp_path, writable=False) == made
    assert os.listdir(tmp_path) == [KEY_FILE]


@pytest.mark.parametrize("wrong", ["short", "long", "open", "link", "folder"])
def test_what_is_no_key_is_replaced(tmp_path: Path, wrong: str) -> None:
    place = tmp_path / KEY_FILE
    (tmp_path / "other").write_bytes(b"x" * 32)
    match wrong:
        case "short" | "long":
            place.write_bytes(b"x" * (31 if wrong == "short" else 33))
            place.chmod(0o600)
        case "open":
            place.write_bytes(b"x" * 32)
            place.chmod(0o640)
        case "link":
            place.symlink_to("other")
        case "folder":
            place.mkdir()
    made = hmac_key(tmp_path)
    assert len(made) == 32
    assert made != b"x" * 32
    assert wrong == "folder" or hmac_key(tmp_path) == made
    assert (tmp_path / "other").read_bytes() == b"x" * 32


def test_where_nothing_can_be_kept_there_is_a_key_all_the_same(tmp_path: Path) -> None:
    assert len(hmac_key(tmp_path, writable=False)) == 32
    assert os.listdir(tmp_path) == []
    assert len(hmac_key(tmp_path / "gone")) == 32
