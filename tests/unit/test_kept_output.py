"""Output over its limit: the first half and the last are kept, and one line says what is missing between them."""

from __future__ import annotations

import random
import re

import pytest

from engine.models.runs import OutputChunk, Stream
from engine.services.runs import kept_output
from engine.services.runs.kept_output import KeptOutput
from store.sizes import describe_size

OUT, ERR = Stream.STDOUT, Stream.STDERR


class Record:
    """The record, as the changes make it."""

    def __init__(self) -> None:
        self.chunks: dict[int, OutputChunk] = {}

    def take(self, kept: KeptOutput) -> None:
        removed, added = kept.take_changes()
        for number in removed:
            self.chunks.pop(number, None)
        for chunk in added:
            assert chunk.seq not in self.chunks, "a row that is there already would stay as it is"
            self.chunks[chunk.seq] = chunk

    @property
    def in_order(self) -> list[OutputChunk]:
        return [self.chunks[number] for number in sorted(self.chunks)]


def text_of(chunks: list[OutputChunk], stream: Stream | None = None) -> str:
    return "".join(chunk.text for chunk in chunks if stream in (None, chunk.stream))


def missing(text: str) -> tuple[str, str, str]:
    """What comes before the line that says what is missing, that line, and what comes after it."""
    found = re.split(r"^(\[.* missing here: .*\]\n)", text, flags=re.MULTILINE)
    assert len(found) == 3, "there is exactly one such line"
    return found[0], found[1], found[2]


def test_up_to_the_limit_everything_is_kept() -> None:
    kept = KeptOutput(1000)
    for number in range(100):
        kept.add(OUT if number % 3 else ERR, f"line {number:3}\n", 1.0)
    kept.finish()
    assert text_of(kept.since(0)) == "".join(f"line {number:3}\n" for number in range(100))
    assert (kept.size, kept.sentence()) == (900, None)


def test_a_line_that_the_first_half_has_no_room_for_costs_nothing_of_the_limit() -> None:
    kept = KeptOutput(64 << 10)
    text = "short\n" + "x" * 32_000 + "\n" + "y" * 33_000
    kept.add(OUT, text, 1.0)
    kept.finish()
    assert text_of(kept.since(0)) == text


def test_more_is_cut_in_the_middle_between_lines() -> None:
    kept = KeptOutput(10_000)
    lines = [f"E [Tags] line {number:6}\n" for number in range(60_000)]
    for line in lines:
        kept.add(OUT, line, 1.0)
    kept.finish()
    before, line, after = missing(text_of(kept.since(0)))
    assert "".join(lines).startswith(before)
    assert "".join(lines).endswith(after)
    assert {len(part) % len(lines[0]) for part in (before, after)} == {0}, "no line is cut"
    assert 5_000 - 2 * len(lines[0]) < len(before) <= 5_000
    assert 5_000 - 2 * len(lines[0]) < len(after) <= 5_200
    gone = len("".join(lines)) - len(before) - len(after)
    assert line == (
        f"[{describe_size(gone)} ({gone // len(lines[0]):,} lines) of output are missing here: "
        f"it was longer than its limit, 9.77 KiB (limits.output)]\n"
    )
    assert kept.size <= 10_000
    sentence = kept.sentence()
    assert sentence is not None
    assert f"({gone // len(lines[0]):,} lines) from the middle of the output are not kept" in sentence


@pytest.mark.parametrize("text", ["ä" * 5_000, "x" * 5_000, "😀" * 3_000])
def test_one_endless_line_is_cut_between_characters(text: str) -> None:
    kept = KeptOutput(1001)
    for start in range(0, len(text), 97):
        kept.add(ERR, text[start : start + 97], 1.0)
    kept.finish()
    before, line, after = missing(text_of(kept.since(0)))
    assert before.endswith("\n"), "the line that says so begins a line"
    assert text.startswith(before[:-1])
    assert text.endswith(after)
    assert 990 <= len((before[:-1] + after).encode()) <= 1001
    assert "lines" not in line


def test_who_keeps_up_gets_everything_and_who_does_not_gets_the_line_once() -> None:
    kept = KeptOutput(2_000)
    texts = [f"{number:5}\n" for number in range(5_000)]
    quick, after = "", 0
    slow, slow_after = "", 0
    for number, text in enumerate(texts):
        kept.add(OUT, text, 1.0)
        for chunk in kept.since(after):
            quick, after = quick + chunk.text, chunk.seq + 1
        if number == 300:  # in the ring
            for chunk in kept.since(slow_after):
                slow, slow_after = slow + chunk.text, chunk.seq + 1
    kept.finish()
    assert quick == "".join(texts)
    assert kept.since(after) == []
    slow += text_of(kept.since(slow_after))
    before, _, rest = missing(slow)
    assert before == "".join(texts[:301])
    assert "".join(texts).endswith(rest)
    assert text_of(kept.since(0)).endswith(rest), "as who comes at the end"


def test_a_chunk_that_loses_its_beginning_is_told_to_those_who_have_not_had_it() -> None:
    kept = KeptOutput(1_000)
    first, second = "a" * 79 + "\n", "b" * 79 + "\n"
    kept.add(OUT, first * 10, 1.0)
    after = kept.since(0)[-1].seq + 1
    kept.add(OUT, second * 30, 1.0)
    before, at_end = text_of(kept.since(after)), kept.since(0)[-1].seq + 1
    kept.finish()
    assert before == second * 30
    assert kept.since(at_end) == []
    _, line, rest = missing(text_of(kept.since(after)))
    assert second * 30 == second * (30 - rest.count("\n")) + rest
    assert rest.count("\n") < 30
    assert "missing" in line


def test_numbers_rise_and_a_page_can_begin_at_any() -> None:
    kept = KeptOutput(2_000)
    for number in range(5_000):
        kept.add(OUT, f"{number:5}\n", 1.0)
    kept.finish()
    whole = kept.since(0)
    numbers = [chunk.seq for chunk in whole]
    assert numbers == sorted(set(numbers))
    for after in (0, numbers[3], numbers[-3], numbers[-1] + 1, numbers[len(numbers) // 2]):
        assert kept.since(after) == [chunk for chunk in whole if chunk.seq >= after]


def test_a_rewritten_line_counts_once_and_reads_right_for_who_saw_it_grow() -> None:
    kept = KeptOutput(2_000)
    kept.add(OUT, "begin\n", 1.0)
    seen, after = "", 0
    for number in range(10_000):
        kept.add(ERR, f"\r{number / 100:6.2f} %", 1.0)
        for chunk in kept.since(after):
            seen, after = seen + chunk.text, chunk.seq + 1
    kept.add(ERR, "\n", 1.0)
    kept.add(OUT, "end\n", 1.0)
    kept.finish()
    assert kept.sentence() is None
    assert [(chunk.stream, chunk.text) for chunk in kept.since(0)] == [
        (OUT, "begin\n"), (ERR, "\r 99.99 %"), (ERR, "\n"), (OUT, "end\n"),
    ]  # fmt: skip
    assert seen == "begin\n" + "".join(f"\r{number / 100:6.2f} %" for number in range(10_000))


def test_streams_in_turns_take_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_output, "MOST_CHUNKS", 100)
    kept = KeptOutput(1 << 20)
    for number in range(5_000):
        kept.add(OUT, f"{number}\n", 1.0)
        kept.add(ERR, "!\n", 1.0)
    kept.finish()
    assert len(kept.since(0)) == 201
    _, line, after = missing(text_of(kept.since(0)))
    assert "it went from one stream to the other more than 200 times" in line
    assert after.endswith("4999\n!\n")


def test_a_line_in_ever_more_pieces_takes_no_more_room_and_is_overwritten_in_one_look() -> None:
    """A script decides how many pieces there are, and how often they are overwritten."""
    kept = KeptOutput(1 << 20)
    for _ in range(5_000):
        kept.add(OUT, "x", 1.0)
        kept.add(ERR, "y", 1.0)
    assert all(len(places) <= kept_output.MOST_PLACES for places in kept._places.values())
    before = len(kept.since(0))
    kept.add(OUT, "\r\x1b[2Knew\n", 1.0)
    assert before - len(kept.since(0)) <= kept_output.MOST_PLACES
    assert text_of(kept.since(0), OUT).endswith("\r\x1b[2Knew\n")


def test_what_is_far_behind_stays_when_it_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_output, "LOOKED_BACK", 10)
    for others, gone in ((5, True), (20, False)):
        kept = KeptOutput(1 << 20)
        kept.add(OUT, "old", 1.0)
        for _ in range(others):
            kept.add(ERR, "!\n", 1.0)
        kept.add(OUT, "\rnew", 1.0)
        assert text_of(kept.since(0), OUT) == ("\rnew" if gone else "old\rnew")


@pytest.mark.parametrize("seed", range(40))
def test_the_record_is_what_is_kept_however_often_it_is_taken(seed: int) -> None:
    dice = random.Random(seed)
    kept, record = KeptOutput(dice.choice([7, 100, 3_000, 1 << 20])), Record()
    parts = ["a", "bc\n", "\r", "\n", "dé", "x" * 50, "\r\n", "yy\n" * 20, "z" * 200_000]
    for _ in range(dice.randint(1, 400)):
        kept.add(dice.choice([OUT, OUT, ERR]), "".join(dice.choices(parts[: dice.choice([8, 8, 8, 9])], k=3)), 1.0)
        if dice.random() < 0.2:
            record.take(kept)
            assert record.in_order == kept.since(0)
    kept.finish()
    record.take(kept)
    assert record.in_order == kept.since(0)
    left = sum(len(chunk.text.encode()) for chunk in kept.since(0) if "missing here" not in chunk.text)
    assert left == kept.size
