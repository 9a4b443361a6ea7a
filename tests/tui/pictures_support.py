"""Pictures of the console, kept as text beside the tests."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from console_support import Console

PICTURES = Path(__file__).parent / "pictures"

VARYING = [
    (re.compile(r"\d\d:\d\d:\d\d"), "HH:MM:SS"),
    (re.compile(r"\d+ s( +)"), "N s"),
    (re.compile(r"RESTRICTED (full|core|degraded[^:]*?)  "), "RESTRICTED LEVEL  "),
    (re.compile(r"(full|core|degraded)\b.*"), "ISOLATION"),
    (re.compile(r"  impact (LOW|MEDIUM|HIGH|UNKNOWN)  health \d+"), ""),
    (re.compile(r"ADMIN \d:\d\d"), "ADMIN M:SS"),
    (re.compile(r"approved by \S+,"), "approved by WHO,"),
    (re.compile(r"the engine's account \S+:"), "the engine's account NAME:"),
    (re.compile(r"pid \d+"), "pid N"),
    (re.compile(r"Python 3\.\d+\.\d+"), "Python N"),
    (re.compile(r"HH:MM:SS      \S+ +"), "HH:MM:SS      WHO       "),
]
"""What differs from run to run or from host to host; columns keep their places."""


def masked(picture: str) -> str:
    for pattern, name in VARYING:
        picture = pattern.sub(lambda match, name=name: name.ljust(len(match[0])) if match.lastindex else name, picture)
    return "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"


async def check(c: Console, name: str, picture_of: Callable[[Console], str] = lambda c: c.text) -> None:
    file = PICTURES / f"{name}.txt"
    if os.environ.get("UPDATE_PICTURES"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(masked(picture_of(c)))
    picture = file.read_text()
    with suppress(AssertionError):  # the one below shows how the pictures differ
        await c.until(lambda: masked(picture_of(c)) == picture, f"the picture is that of {name}")
    assert masked(picture_of(c)) == picture
