"""How ``gatewright scripts set`` understands what is typed after the equals sign."""

from __future__ import annotations

import pytest

from tui.text.typed_values import toml_or_text


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("24", 24),
        ("-1.5", -1.5),
        ("true", True),
        ("True", "True"),
        ('"24"', "24"),
        ("'a # b'", "a # b"),
        ('["a", "b"]', ["a", "b"]),
        ("[]", []),
        ("", ""),
        ("plain words", "plain words"),
        ("5 # a comment", "5 # a comment"),
        ("1, 2", "1, 2"),
        ("1], x = [2", "1], x = [2"),
        ("1]\nx = [2", "1]\nx = [2"),
        ("1979-05-27", "1979-05-27"),
        ("[1979-05-27]", "[1979-05-27]"),
        ("nan", "nan"),
        ("[inf]", "[inf]"),
        ("{a = 1}", "{a = 1}"),
        ("[" * 10_000, "[" * 10_000),
        ("9" * 5_000, "9" * 5_000),
        ("\x00", "\x00"),
    ],
)
def test_what_is_toml_and_what_is_text(written: str, value: object) -> None:
    assert toml_or_text(written) == value
    assert type(toml_or_text(written)) is type(value)
