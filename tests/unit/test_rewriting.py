"""Lines that are written again from their start: what a terminal shows in the end is kept, and little else."""

from __future__ import annotations

import random
import re

import pytest

from engine.pool.rewriting import LONGEST, RewritableLine, squeezed


def kept(*texts: str) -> str:
    """What is kept of the texts of one stream, as their reader keeps it."""
    line, parts = RewritableLine(), [""]
    for text in texts:
        piece, stands_for_line = line.take(text)
        if stands_for_line:
            whole = "".join(parts)
            parts = [whole[: whole.rfind("\n") + 1]]
        parts.append(piece)
    return "".join(parts)


def shown(text: str) -> list[str]:
    """The lines as a terminal shows them."""
    lines = []
    for line in re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            at = 0
            for piece in re.split(r"(\x1b\[K)", part):
                if piece == "\x1b[K":
                    del cells[at:]
                else:
                    cells[at : at + len(piece)] = piece
                    at += len(piece)
        lines.append("".join(cells))
    return lines


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["plain\n", "text"], "plain\ntext"),
        (["one\r\n", "two\r", "\nthree\r\n"], "one\r\ntwo\r\nthree\r\n"),
        (["1%\r2%\r3%\n"], "3%\n"),
        (["a\n\r1%\r2%\nb\r\n"], "a\n2%\nb\r\n"),
        (["a\n1%", "\r2%", "\r3%", "\nb\n"], "a\n\r3%\nb\n"),
        (["1%\r", "2%\r", "3%\r", "\n"], "\r3%\r\n"),
        (["eta 10 s", "\reta 9 s", "\reta 8 s"], "\reta 10 s\reta 8 s"),
        (["eta 10 s", "\r\x1b[Keta 9 s"], "\r\x1b[Keta 9 s"),
        (["\x1b[31m1%", "\r2%"], "\r\x1b[31m2%"),
        (["\x1b[31m1%\x1b[0m", "\r2%"], "\r2%"),
        (["\r10%", "\r20%"], "\r20%"),
        (["x" * (LONGEST + 1), "\ry"], "x" * (LONGEST + 1) + "\ry"),
    ],
)
def test_what_is_kept(texts: list[str], expected: str) -> None:
    assert kept(*texts) == expected


def test_ten_thousand_rewrites_are_one_line() -> None:
    texts = [f"\r\x1b[32m{percent / 100:6.2f}%\x1b[0m" for percent in range(10_001)]
    assert kept(*texts, "\ndone\n") == "\r\x1b[32m100.00%\x1b[0m\ndone\n"
    assert kept("".join(texts), "\ndone\n") == "\x1b[32m100.00%\x1b[0m\ndone\n"


def test_colours_that_stay_on_do_not_pile_up() -> None:
    assert len(kept(*(f"\r\x1b[3{number % 8}m{number:5}" for number in range(1_000)))) < 200


@pytest.mark.parametrize("seed", range(200))
def test_a_terminal_shows_the_same_in_the_end_however_it_comes_in_pieces(seed: int) -> None:
    dice = random.Random(seed)
    alphabet = ["a", "bc", "déf", "\r", "\r", "\n", "\r\n", "\x1b[31m", "\x1b[0m", "\x1b[K"]
    texts = ["".join(dice.choices(alphabet, k=dice.randint(1, 8))) for _ in range(dice.randint(1, 12))]
    assert shown(kept(*texts)) == shown("".join(texts)), texts


def test_a_line_without_returns_is_the_same_object() -> None:
    line = "nothing to do here"
    assert squeezed(line) is line
