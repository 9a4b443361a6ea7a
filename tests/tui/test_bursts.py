"""What one read of the terminal brings is typed text, a paste, or keys that mean more than a character."""

from __future__ import annotations

from textual import events
from textual._xterm_parser import XTermParser

from tui.terminal.bursts import PACE, Bursts, KeyBurst


class Terminal:
    """Reads what a terminal sends; ``told`` is what the console hears of it."""

    def __init__(self) -> None:
        self._parser = XTermParser()
        self._bursts = Bursts()
        self._now = 100.0

    def reads(self, text: str, after: float = 1.0) -> list[str]:
        """Give what ``text`` means that arrives at once, some seconds after the text before it."""
        self._now += after
        return [told(message) for message in self._bursts.take(self._parser.feed(text), self._now)]

    def is_silent(self) -> list[str]:
        return [told(message) for message in self._bursts.release()]


def told(message) -> str:
    if isinstance(message, events.Paste):
        return f"paste {message.text!r}"
    if isinstance(message, KeyBurst):
        return f"burst {''.join(key.character for key in message.keys)!r}"
    return message.key if isinstance(message, events.Key) else type(message).__name__


def test_single_keys_are_typed_and_wait_for_nothing():
    terminal = Terminal()
    assert [terminal.reads(key) for key in "ax\t\r\n "] == [["a"], ["x"], ["tab"], ["enter"], ["ctrl+j"], ["space"]]
    assert terminal.reads("\x1bOP") == ["f1"]
    assert terminal.is_silent() == []


def test_text_with_a_line_end_is_a_paste_whatever_the_line_end_is():
    for end in ("\n", "\r", "\r\n"):
        terminal = Terminal()
        assert terminal.reads(f"if x:{end}\ty = 1{end}") == []
        assert terminal.is_silent() == [f"paste {f'if x:{end}{chr(9)}y = 1{end}'!r}"]


def test_a_paste_in_pieces_is_one_paste():
    terminal = Terminal()
    assert terminal.reads("a\nb") == []
    assert terminal.reads("c", 0.04) == []
    assert terminal.reads("\n", 0.04) == []
    assert terminal.is_silent() == ["paste 'a\\nbc\\n'"]
    assert terminal.reads("\r", 0.1) == ["enter"]


def test_letters_without_a_line_end_are_a_burst():
    assert Terminal().reads("kill") == ["burst 'kill'"]
    assert Terminal().reads("a\tb") == ["burst 'a\\tb'"]


def test_a_long_line_at_once_is_a_paste():
    terminal = Terminal()
    assert terminal.reads("x" * 65) == []
    assert terminal.is_silent() == [f"paste '{'x' * 65}'"]
    assert Terminal().reads("x" * 64 + "\t") == [f"burst '{'x' * 64}\\t'"]


def test_keys_that_mean_more_than_a_character_keep_their_place():
    terminal = Terminal()
    assert terminal.reads("ab\x1b[Hx\x1b[D\x13q\x1b[15~") == [*("burst 'ab'", "home", "x", "left", "ctrl+s", "q", "f5")]
    assert terminal.reads("one\ntwo\x13three\nfour") == ["paste 'one\\ntwo'", "ctrl+s"]
    assert terminal.reads("\x1b[15~") == ["paste 'three\\nfour'", "f5"]


def test_an_enter_between_other_keys_is_an_enter():
    assert Terminal().reads("\x1b[B\x1b[B\r\x1b[A") == ["down", "down", "enter", "up"]


def test_a_paste_that_a_slow_line_lets_through_key_by_key_is_a_paste_from_its_first_line_end():
    terminal = Terminal()
    heard = [terminal.reads(key, PACE / 2) for key in "if x:\n    y"]
    assert heard == [["i"], ["f"], ["burst ' '"], ["burst 'x'"], ["burst ':'"], *[[]] * 6]
    assert terminal.is_silent() == ["paste '\\n    y'"]


def test_a_person_who_types_fast_is_a_person():
    terminal = Terminal()
    heard = [terminal.reads(key, PACE * 4) for key in "if x:\r"]
    assert heard == [["i"], ["f"], ["space"], ["x"], ["colon"], ["enter"]]


def test_a_bracketed_paste_is_what_the_terminal_says():
    assert Terminal().reads("a\x1b[200~x\ny\x1b[201~b") == ["a", "paste 'x\\ny'", "b"]


def test_moving_the_mouse_does_not_break_a_paste():
    terminal = Terminal()
    assert terminal.reads("a\n\x1b[<35;10;5Mb") == ["MouseMove"]
    assert terminal.is_silent() == ["paste 'a\\nb'"]
