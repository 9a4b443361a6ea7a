"""The output pane: everything is there, little of it is in memory, and it never takes the user away from where they
read."""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quiet import QuietPilot
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.geometry import Offset
from textual.selection import Selection

from tui.text.wrapping import line_starts
from tui.widgets.output_spool import LONGEST_LINE, Mark, Spool
from tui.widgets.output_view import COPY_LIMIT, OutputView

LINES = 1_000_000


class OutputApp(App[None]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.view = OutputView(folder, id="view")
        self.copied: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.view

    def copy_to_clipboard(self, text: str) -> None:
        self.copied.append(text)


@asynccontextmanager
async def viewing(folder: Path) -> AsyncIterator[tuple[OutputView, QuietPilot]]:
    app = OutputApp(folder)
    async with app.run_test(size=(60, 12)):
        pilot = QuietPilot(app)
        app.view.focus()
        await pilot.pause()
        yield app.view, pilot


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the state was not reached"
        await asyncio.sleep(0.01)


def shown(view: OutputView) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


async def test_a_run_from_its_title_to_its_end(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, _pilot):
        view.begin("#41 log_digest")
        view.feed("one\ntwo")
        view.feed("oops\n", "stderr")
        view.feed("\x1b[32mgreen\x1b[0m \x1b]52;c;AA\x07\n")
        view.finish("- ok 0.8 ms -")
        await until(lambda: "  - ok 0.8 ms -" in shown(view))
        assert shown(view)[:3] == ["  #41 log_digest", "  one", "  two"]
        assert shown(view)[3:6] == ["! oops", "  green ␛]52;c;AA␇", "  - ok 0.8 ms -"]
        assert view.line_count == 6
        assert view._spool.text(4, 6) == "\x1b[32mgreen\x1b[0m \x1b]52;c;AA\x07\n- ok 0.8 ms -"


async def test_a_line_without_its_end_is_shown_and_grows(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, _pilot):
        view.feed("work")
        await until(lambda: shown(view)[0] == "  work")
        view.feed("ing")
        await until(lambda: shown(view)[0] == "  working")
        assert view.line_count == 1


async def test_it_follows_the_end_only_if_the_user_is_there(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, pilot):
        view.feed("".join(f"{number}\n" for number in range(100)))
        await until(lambda: shown(view)[-1] == "  99")
        assert view._follows
        await pilot.press("home")
        await until(lambda: view.scroll_offset.y == 0)
        assert not view._follows
        view.feed("more\n")
        await until(lambda: view.virtual_size.height == 101)
        assert shown(view)[0] == "  0"
        await pilot.press("end")
        await until(lambda: view._follows)
        view.feed("last\n")
        await until(lambda: shown(view)[-1] == "  last")


@pytest.mark.parametrize(
    "leave", [OutputView.action_scroll_home, OutputView.action_scroll_up, OutputView.action_page_up]
)
async def test_output_that_comes_just_then_does_not_keep_the_user_at_the_end(tmp_path: Path, leave) -> None:
    async with viewing(tmp_path) as (view, _pilot):
        view.feed("".join(f"{number}\n" for number in range(100)))
        await until(lambda: shown(view)[-1] == "  99" and view.allow_vertical_scroll)
        leave(view)
        view.feed("more\n")
        view._drain()
        await until(lambda: view.scroll_offset.y < view.max_scroll_y - 1)
        assert not view._follows


async def test_it_still_follows_after_a_resize(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, pilot):
        view.feed("".join(f"{number}\n" for number in range(100)))
        await until(lambda: shown(view)[-1] == "  99")
        await pilot.resize_terminal(60, 8)
        await until(lambda: view.size.height == 8 and shown(view)[-1] == "  99")


async def test_nothing_happens_while_nothing_comes(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, pilot):
        view.feed("x\n")
        await until(lambda: view._idle)
        drawn = view.render_line(0)
        await pilot.pause(0.2)
        assert view._idle
        assert view.render_line(0).text == drawn.text
        view.feed("y\n")
        assert not view._idle
        await until(lambda: shown(view)[1] == "  y")


async def test_clearing(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, _pilot):
        view.feed("a\nb")
        view.clear()
        view.feed("c\n")
        await until(lambda: shown(view)[:2] == ["  c", ""])
        assert view.line_count == 1


async def test_finding_goes_round(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, _pilot):
        view.feed("".join(f"line {number}\n" for number in range(500)))
        await until(lambda: view.virtual_size.height == 500)
        assert view.find("Line 4") is False
        assert view.find("line 42")
        assert view.scroll_offset.y == 42
        assert view.find("line 42")
        assert view.scroll_offset.y == 420
        assert view.find("line 42", forward=False)
        assert view.scroll_offset.y == 42
        assert view.find("line 42", forward=False)
        assert view.scroll_offset.y == 429
        assert not view._follows


async def test_copying(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, pilot):
        view.feed("first\n\x1b[31msecond\x1b[0m\tx\nthird")
        await until(lambda: view.line_count == 3)
        assert view.copy_selection() is None
        assert view.copy_all().complete
        pilot.app.screen.selections = {view: Selection(Offset(2, 0), Offset(4, 1))}
        copied = view.copy_selection()
        assert copied is not None
        assert copied.lines == 2
        assert pilot.app.copied[-1] == "rst\nseco"  # type: ignore[attr-defined]


async def test_a_clipboard_gets_the_end_of_what_is_too_long(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, pilot):
        view.feed("".join(f"{number:09}\n" for number in range(COPY_LIMIT // 5)))
        copied = view.copy_all()
        text = pilot.app.copied[-1]  # type: ignore[attr-defined]
        assert not copied.complete
        assert len(text) <= COPY_LIMIT
        assert text.endswith(f"{COPY_LIMIT // 5 - 1:09}")
        assert text.count("\n") + 1 == copied.lines


SENTENCE = "note: " + " ".join(f"word{number:02}" for number in range(20)) + "."


async def test_sentences_are_wrapped_and_output_is_not(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, pilot):
        view.feed("long " * 30 + "\n")
        view.tell_error("OSError: " + "x" * 60)
        view.finish(SENTENCE)
        view.show_result("result: " + "y" * 80)
        await until(lambda: any("yyy" in line for line in shown(view)))
        assert shown(view)[:8] == [
            "  " + ("long " * 30)[:58].rstrip(),
            "! OSError:",
            "!   " + "x" * 55,
            "!   " + "x" * 5,
            "  note: word00 word01 word02 word03 word04 word05 word06",
            "    word07 word08 word09 word10 word11 word12 word13 word14",
            "    word15 word16 word17 word18 word19.",
            "  result: " + "y" * 50,
        ]
        assert view.line_count == 4
        view.scroll_to(x=10, animate=False, immediate=True, force=True)
        assert shown(view)[0].startswith("  long")
        assert shown(view)[5].startswith("    word07"), "a sentence needs no scrolling"
        await pilot.resize_terminal(40, 12)
        await until(lambda: "    word04 word05 word06 word07 word08" in shown(view))
        assert all(len(line) <= 39 for line in shown(view) if "word" in line)
        await pilot.resize_terminal(160, 12)
        await until(lambda: f"  {SENTENCE}" in shown(view))


async def test_a_wrapped_sentence_is_one_line_to_search_and_clipboard(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, pilot):
        view.feed("".join(f"{number}\n" for number in range(20)))
        view.finish(SENTENCE)
        view.feed("".join(f"{number}\n" for number in range(20, 40)))
        await until(lambda: shown(view)[-1] == "  39")
        assert view.virtual_size.height == 43
        assert view.find("word14.*") is False
        assert view.find("word14")
        assert shown(view)[0].startswith("  note: word00")
        assert view.find("25")
        assert shown(view)[0] == "  25"
        assert view.find("word07 word08")
        await until(lambda: shown(view)[1].startswith("    word07"))
        strip = view.render_line(1)
        offsets = [
            segment.style.meta["offset"] for segment in strip if segment.style and "offset" in segment.style.meta
        ]
        assert offsets[0] == offsets[1] == (SENTENCE.index("word07"), 20), "the indent stands for the first word"
        assert offsets[2] == (SENTENCE.index("word07"), 20)
        pilot.app.screen.selections = {view: Selection(Offset(SENTENCE.index("word05"), 20), Offset(1, 21))}
        assert view.copy_selection() is not None
        assert pilot.app.copied[-1] == SENTENCE[SENTENCE.index("word05") :] + "\n2"  # type: ignore[attr-defined]
        assert view.copy_all().lines == 41
        assert f"\n19\n{SENTENCE}\n20\n" in pilot.app.copied[-1]  # type: ignore[attr-defined]


async def test_sentences_that_are_no_longer_kept_leave_no_gap(tmp_path: Path) -> None:
    async with viewing(tmp_path) as (view, _pilot):
        view._spool = Spool(tmp_path, kept_bytes=20_000, segment_bytes=10_000)
        for number in range(200):
            view.finish(f"{number:03} {SENTENCE}")
            view.feed(f"{number}\n")
        await until(lambda: shown(view)[-1] == "  199")
        assert view._spool.dropped > 100
        rows = [view._spool[row].text for row in range(view.line_count)]
        assert view.virtual_size.height == len(rows) + 2 * sum("note" in row for row in rows)
        view.scroll_home(animate=False, immediate=True, force=True)
        lines = [line.strip() for line in shown(view)]
        assert " ".join(lines).startswith(" ".join(rows[:4]))
        assert rows[0] == lines[0] or rows[1] == lines[3]


@given(st.text(alphabet="ab 漢\u0301", max_size=60), st.integers(1, 30))
@settings(deadline=None, max_examples=200)
def test_a_wrapped_text_is_whole_and_no_line_is_too_wide(text: str, width: int) -> None:
    starts = line_starts(text, width)
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    lines = [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    assert "".join(lines) == text
    for number, line in enumerate(lines):
        assert cell_len(line.rstrip()) + (2 if number else 0) <= max(width, 10)


async def test_a_full_disk_is_said_and_ends_with_clearing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with viewing(tmp_path) as (view, _pilot):
        view.feed("before\n")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            view.feed("lost\n")
        view.feed("lost too\n")
        await until(lambda: "  - output is no longer kept: No space left on device -" in shown(view))
        view.clear()
        view.feed("again\n")
        await until(lambda: shown(view)[:2] == ["  again", ""])


async def test_the_file_has_no_name(tmp_path: Path) -> None:
    async with viewing(tmp_path / "state") as (view, _pilot):
        view.feed("secret\n")
        assert list((tmp_path / "state").iterdir()) == []


async def test_many_lines_cost_time_in_proportion_and_no_memory(tmp_path: Path) -> None:
    """Ten times the lines may take ten times as long, with much room for noise, and next to no memory."""
    async with viewing(tmp_path) as (view, _pilot):
        few = await _seconds_to_show(view, LINES // 10)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        many = await _seconds_to_show(view, LINES)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert many < 10 * few * 4 + 1
        assert grown_kib * 1024 < LINES * 60 / 2  # half of what was fed would be a copy of it
        began = time.process_time()
        assert view.find(f"{LINES - 1:07} ")
        assert time.process_time() - began < many + 0.5


async def _seconds_to_show(view: OutputView, count: int) -> float:
    """Feed lines as they come from a run and wait for the last one."""
    view.clear()
    began = time.process_time()
    for first in range(0, count, 50):
        numbers = range(first, first + 50)
        view.feed("".join(f"{number:07} the quick brown fox jumps over the lazy dog\n" for number in numbers))
        if first % 1000 == 0:
            await asyncio.sleep(0)
    await until(lambda: f"{count - 1:07}" in shown(view)[-1])
    return time.process_time() - began


# The spool.


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with closing(Spool(tmp_path, kept_bytes=1 << 30, segment_bytes=100_000)) as opened:
        yield opened


texts = st.text(alphabet="ab\n\r漢\x01\x1b", max_size=12)
pieces = st.lists(st.tuples(texts, st.sampled_from(list(Mark))), max_size=30)


@given(pieces)
@settings(deadline=None, max_examples=100)
def test_lines_come_back_in_order_each_with_its_origin(written: list[tuple[str, Mark]]) -> None:
    spool = Spool(Path(tempfile.gettempdir()))
    expected: list[tuple[Mark, str]] = []
    open_mark: Mark | None = None
    for text, mark in written:
        spool.write(text, mark)
        open_mark = _model(expected, open_mark, text, mark)
    assert [(line.mark, line.text) for line in spool.lines(0, spool.line_count)] == expected
    spool.close()


def _model(lines: list[tuple[Mark, str]], open_mark: Mark | None, text: str, mark: Mark) -> Mark | None:
    """What a list of lines would hold; returns the origin of the line that is still open."""
    for index, part in enumerate(text.split("\n")):
        last = index == text.count("\n")
        if last and not part:
            return None if index else open_mark
        if open_mark == mark:
            lines[-1] = (mark, lines[-1][1] + part)
        else:
            lines.append((mark, part))
        open_mark = mark if last else None
    return open_mark


def test_the_oldest_lines_go_when_there_are_too_many(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, kept_bytes=40_000, segment_bytes=10_000)) as spool:
        for number in range(10_000):
            spool.write(f"line {number}\n")
        assert spool.dropped + spool.line_count == 10_000
        assert spool[0].text == f"line {spool.dropped}"
        assert spool[spool.line_count - 1].text == "line 9999"
        assert 2_000 < spool.line_count < 6_000


def test_an_endless_line_is_broken_and_copied_whole(spool: Spool) -> None:
    for _ in range(10):
        spool.write("x" * 3000)
    spool.write("y" * 100_000 + "\nend\n")
    assert max(len(line.text) for line in spool.lines(0, spool.line_count)) <= LONGEST_LINE
    assert spool.text(0, spool.line_count) == "x" * 30_000 + "y" * 100_000 + "\nend"


def test_a_line_is_found_across_blocks_both_ways(spool: Spool) -> None:
    spool.write("".join(f"line {number}\n" for number in range(30_000)))
    assert spool.find("line 29999", 0) == 29_999
    assert spool.find("LINE 5", 0) is None
    assert spool.find("line 5", 29_999, forward=False) == 5_999
    assert spool.find("line 17", 17, forward=False) == 17
    assert spool.find("line 17", 18) == 170
    with pytest.raises(IndexError):
        spool[30_000]


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with closing(Spool(tmp_path / "file" / "folder")) as spool:
        spool.write("kept\n")
        assert spool[0].text == "kept"
