"""What looks at texts of scripts and requests in the engine's process takes time by their length, not by its square."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from engine.config import Range, _number
from engine.services.git import _FORGED
from engine.services.runs.inputs import _secret_arguments
from store.frontmatter.exposed_secrets import looks_secret

_SIZES = Range("sizes", 0, 1e12, size=True)
SIZE = 600_000
LONGEST = 15.0
"""Seconds. Each takes well under one; with the square of the length, minutes."""


@pytest.mark.parametrize(
    ("look", "part", "end"),
    [
        *((lambda text: _secret_arguments([text[:200_000]]), part, "") for part in ("a", "a://b:", "//", "u=", "a@")),
        *((looks_secret, part, "") for part in ("a.", "eyJ", "a", "eyJaaaaaaaa.")),
        (_FORGED.search, "\n", "x"),
        (lambda text: _number(f"1{text}", _SIZES), " ", "!"),
    ],
)
def test_a_long_text_takes_no_long_time(look: Callable[[str], object], part: str, end: str) -> None:
    text = part * SIZE + end
    begun = time.process_time()
    look(text)
    assert time.process_time() - begun < LONGEST


def test_what_they_look_for_is_still_found() -> None:
    assert _secret_arguments(["copy from=https://u:pw@host/x"]) == {"argv1_url": ""}
    assert looks_secret("see +mqtt://me:pw@broker")
    assert looks_secret(f"token=eyJ{'a' * 9}.eyJ{'b' * 9}.c")
    assert _FORGED.search("x\n \t gatewright-uid : 0")
    assert _FORGED.search("x\n\n\nGatewright-Uid: 0")
    assert _number(" 1.5 MiB ", _SIZES) == 1.5 * (1 << 20)
