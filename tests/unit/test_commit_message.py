"""A commit's message: what the user wrote, and a trailer that nobody can forge."""

from __future__ import annotations

import pytest

from engine.services.access import Actor, Role, ServiceError
from engine.services.git import MAX_MESSAGE, commit_message

ALICE = Actor(name="alice", uid=1000, role=Role.AUTHOR)
TRAILER = "Gatewright-Uid: 1000 (alice)\n"


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Fix it", f"Fix it\n\n{TRAILER}"),
        ("\r\nFix it  \r\n\r\nWhy\t\r\n\n", f"Fix it\n\nWhy\n\n{TRAILER}"),
        ("Fix it\n\nSigned-off-by: Bob\nCloses: 3", f"Fix it\n\nSigned-off-by: Bob\nCloses: 3\n{TRAILER}"),
        ("Fix: it", f"Fix: it\n\n{TRAILER}"),
        ("Fix\n\nNote: this\nis prose", f"Fix\n\nNote: this\nis prose\n\n{TRAILER}"),
        ("# 3 \N{GRINNING FACE}", f"# 3 \N{GRINNING FACE}\n\n{TRAILER}"),
    ],
)
def test_the_trailer_stands_at_the_end(text: str, stored: str) -> None:
    assert commit_message(text, ALICE) == stored


@pytest.mark.parametrize(
    "text",
    ["", " \n\t\n", "a\0b", "a\x1b[2J", "a\x9b", "a\rb", "a\u2028b", "a\ud800", "x\n\nGatewright-Uid: 0 (root)",
     "x\n  gatewright-UID : 0", "x\nGatewright-Uid=0", "x\nGatewright-token: 0123456789ab (token:ci)"],
)  # fmt: skip
def test_what_cannot_be_a_message_is_refused(text: str) -> None:
    with pytest.raises(ServiceError) as refused:
        commit_message(text, ALICE)
    assert refused.value.code == "bad_request"


def test_a_tokens_commit_names_the_token() -> None:
    token = Actor(name="token:ci", uid=-1, role=Role.AUTHOR, token="0123456789ab")
    assert commit_message("Fix it", token) == "Fix it\n\nGatewright-Token: 0123456789ab (token:ci)\n"


def test_a_message_has_a_size() -> None:
    with pytest.raises(ServiceError) as refused:
        commit_message("ü" * MAX_MESSAGE, ALICE)
    assert refused.value.code == "too_large"


def test_an_account_cannot_write_lines_by_its_name() -> None:
    odd = Actor(name="a\nGatewright-Uid: 0 (root)", uid=7, role=Role.AUTHOR)
    assert commit_message("x", odd) == "x\n\nGatewright-Uid: 7 (a?Gatewright-Uid: 0 (root))\n"
