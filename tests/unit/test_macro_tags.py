"""Tags of macros: the grammar, what is left alone, typing, and time by length for any text."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from engine.models.scripts import ParamInfo, ParamType
from engine.services.macros.parameters import declared, normalised, unquoted
from engine.services.macros.tokenizer import Tag, fenced, find_tags


def names(text: str) -> list[str]:
    return [tag.name for tag in find_tags(text)]


def one(text: str) -> Tag:
    (tag,) = find_tags(text)
    assert tag.raw == text[tag.start : tag.end]
    return tag


def test_the_tag_of_the_definition() -> None:
    text = """before [[Photo-Archive key=value other="quoted ]] text" third='x']] after"""
    tag = one(text)
    assert (tag.name, tag.problem, tag.line) == ("photo_archive", None, 1)
    assert tag.params == {"key": "value", "other": "quoted ]] text", "third": "x"}
    assert text[: tag.start] == "before "
    assert text[tag.end :] == " after"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("0", 0),
        ("-0", 0),
        ("2.5", 2.5),
        ("-0.5", -0.5),
        ("007.5", 7.5),
        ("98765432109876543210", 98765432109876543210),
        ("'5'", "5"),
        ('"2.5"', "2.5"),
        ("007", "007"),
        ("1e3", "1e3"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("true", "true"),
        ("2024-05-01", "2024-05-01"),
        ("1.", "1."),
        (".5", ".5"),
        ("+1", "+1"),
        ("1_000", "1_000"),
        ("٣", "٣"),
        ("it's", "it's"),
        ("a=b", "a=b"),
        ("a]b", "a]b"),
        ("C:\\x", "C:\\x"),
        ('""', ""),
        (r'"say \"so\""', 'say "so"'),
        (r"'it\'s'", "it's"),
        (r'"C:\temp\\"', "C:\\temp\\"),
        ('"it\'s"', "it's"),
        ('"two\nlines"', "two\nlines"),
        ("9" * 5000, "9" * 5000),
        ("9" * 400 + ".0", "9" * 400 + ".0"),
    ],
)
def test_values(written: str, value: object) -> None:
    tag = one(f"[[m x={written}]]")
    assert tag.problem is None
    assert tag.params == {"x": value}
    assert type(tag.params["x"]) is type(value)
    assert one(f"[[m\n\tx={written}\n y=1 ]]").params == {"x": value, "y": 1}


@pytest.mark.parametrize(
    "text",
    [
        "[[1, 2]]",
        "[[ -f x ]]",
        "[[a, b], [c]]",
        "[[a](b)]",
        "[[a|b]]",
        "[a]",
        "[ [a]]",
        "[[",
        "]]",
        "[[]]",
        r"\[[a]]",
        r"\\\[[a]]",
        r"\[[[a]]",
        "`[[a]]`",
        "`` ` [[a]] ``",
        "```[[a]]```",
        "```\n[[a]]\n```",
        "   ~~~ python title=`x`\n[[a]]\n\n[[b]]\n   ~~~~",
        "```\n[[a]]\n~~~\n[[b]]",
        "````\n```\n[[a]]\n````",
        "> ```\n> [[a]]\n> ```",
        "```\n> ```\n[[a]]\n```",
        "> ```\n> > ```\n> [[a]]",
        "- item\n\n  ```\n  [[a]]\n\n  [[b]]\n  ```\n",
        "10. item\n\n    ```\n    [[a]]\n\n    [[b]]\n    ```\n",
        "* - ~~~\n    [[a]]\n\n    [[b]]\n",
        "---\ntitle: x\ntags: [[a]]\n---\n",
        "---\r\ntags: [[a]]\r\n---",
        "---\ntags: [[a]]\n...\n",
        "---\n" + "# [[a]]\n" * 20_000 + "---\n",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    assert find_tags(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\\[[a]]", ["a"]),
        (r"\`[[a]]`", ["a"]),
        ("[[[a]]]", ["a"]),
        ("`[[a]] [[b]]", ["a", "b"]),
        ("``[[a]]`", ["a"]),
        ("`x\n\n[[a]] `", ["a"]),
        ("- `x\n- [[a]] `", ["a"]),
        ("`x`[[a]]`y`", ["a"]),
        ("[[a x='`']] [[b x='`']]", ["a", "b"]),
        ("```\n[[a]]\n```\n[[b]]\n```\n[[c]]", ["b"]),
        ("``` a`b\n[[a]]\n", ["a"]),
        ("> ```\n> [[a]]\n[[b]]", ["b"]),
        ("- ```\n  [[a]]\n[[b]]", ["b"]),
        ("text\n---\n[[a]]\n---\n", ["a"]),
        ("---\ntitle: x\n...\n[[a]]\n---\n[[b]]\n", ["a", "b"]),
        ("[[a\n]]", ["a"]),
    ],
)
def test_what_is_found_beside_it(text: str, expected: list[str]) -> None:
    assert names(text) == expected
    assert names(text.replace("\n", "\r\n")) == expected


@pytest.mark.parametrize(
    ("text", "raw", "said"),
    [
        ("[[a", "[[a", "]] is missing"),
        ("[[a x=1 ", "[[a", "]] is missing"),
        ("[[a x=1 [[b]]", "[[a", "]] is missing"),
        ("[[a x=1\n```\n]]\n```", "[[a", "]] is missing"),
        ('[[a x="no end ]] more', '[[a x="no end ]]', "not closed"),
        ('[[a x="no end [[b]]', "[[a", "not closed"),
        ('[[a x="one]] and [[b y="two"]]', '[[a x="one]]', "White space is missing after the parameter 'x'"),
        ('[[a x="1"y=2]]', '[[a x="1"y=2]]', "White space is missing after the parameter 'x'"),
        ("[[a word]]", "[[a word]]", "'word' is not a parameter"),
        ("[[a x = 1]]", "[[a x = 1]]", "'x' is not a parameter"),
        ("[[a x=]]", "[[a x=]]", "no value"),
        ("[[a x= y=1]]", "[[a x= y=1]]", "no value"),
        ("[[a x=1 X=2]]", "[[a x=1 X=2]]", "'X' is given twice"),
        ("[[a 7=2]]", "[[a 7=2]]", "'7=2' is not a parameter"),
    ],
)
def test_a_tag_that_cannot_be_read_has_a_problem_and_hides_no_other(text: str, raw: str, said: str) -> None:
    first, *others = find_tags(text)
    assert first.raw == raw
    assert first.problem is not None
    assert said in first.problem
    assert first.params == {}
    assert [tag.name for tag in others] == (["b"] if "[[b" in text else [])
    assert [tag.problem for tag in others] == [None] * len(others)


TEXT = st.text(alphabet=st.sampled_from("ab1 =\"'\\[]`~->\n.é"), max_size=60)
PIECES = st.lists(
    st.sampled_from(
        [
            "[[a",
            "[[b x=",
            "]]",
            '"',
            "'",
            "\\",
            " ",
            " y=1",
            "`",
            "``",
            "\n",
            "\n\n",
            "```\n",
            "~~~\n",
            "> ",
            "- ",
            "[",
            "]",
            "z",
        ]
    ),
    max_size=40,
).map("".join)


@given(TEXT | PIECES)
def test_any_text_has_tags_that_stand_where_they_say(text: str) -> None:
    tags = find_tags(text)
    end = 0
    regions = fenced(text)
    for tag in tags:
        assert end <= tag.start < tag.end <= len(text)
        end = tag.end
        assert tag.raw == text[tag.start : tag.end]
        assert tag.raw.startswith("[[")
        assert tag.line == text.count("\n", 0, tag.start) + 1
        assert not any(start < tag.end and tag.start < stop for start, stop in regions)
        if tag.problem is None:
            assert tag.raw.endswith("]]")
            assert find_tags(tag.raw) == [
                Tag(0, len(tag.raw), 1, tag.name, tag.raw, tag.params, None, tag.texts)
            ]  # what a tag is does not depend on what is around it


PLAIN = st.text(
    alphabet=st.characters(exclude_characters="[]`~\\-#>*+0123456789.)", exclude_categories=["Cs"]), max_size=20
)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
KEYS = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True).map(str.lower), st.none(), max_size=4
)
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """A tag as it is written, its name and what its parameters are."""
    name = draw(NAMES)
    text, params = f"[[{name}", {}
    for key in draw(KEYS):
        text += draw(st.sampled_from([" ", "\n", "\t  ", "\r\n"])) + key + "="
        value = draw(st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=3) | ANY_TEXT)
        if isinstance(value, str):
            quote = draw(st.sampled_from("\"'"))
            text += quote + value.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote
        else:
            text += format(value, "f") if not isinstance(value, int) else str(value)
            value = value if isinstance(value, int) else float(value)
        params[key] = value
    return text + draw(st.sampled_from(["", " ", "\n"])) + "]]", normalised(name), params


@settings(max_examples=40)
@given(st.lists(st.tuples(PLAIN, written())), PLAIN)
def test_what_was_written_is_found_and_the_rest_is_kept(
    parts: list[tuple[str, tuple[str, str, Any]]], last: str
) -> None:
    text = "".join(plain + tag for plain, (tag, _, _) in parts) + last
    if "```" in text or "~~~" in text:
        return  # inside a quoted value; they may begin a block
    found = find_tags(text)
    assert [(tag.raw, tag.name, tag.params, tag.problem) for tag in found] == [(*tag, None) for _, tag in parts]
    for tag, (_, (_, _, params)) in zip(found, parts, strict=True):
        assert [type(value) for value in tag.params.values()] == [type(value) for value in params.values()]
    edges = [0, *(edge for tag in found for edge in (tag.start, tag.end)), len(text)]
    assert [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)] == [plain for plain, _ in parts] + [last]


def is_number(text: str) -> type:
    """Say by hand, without the patterns, of which type an unquoted text is."""
    digits = text.removeprefix("-")
    if not set(digits) <= set("0123456789.") or len(text) > 4300:
        return str
    whole, dot, fraction = digits.partition(".")
    if not dot:
        return int if whole and (whole == "0" or whole[0] != "0") else str
    return float if whole and fraction and "." not in fraction and not math.isinf(float(digits)) else str


@given(st.text(alphabet="0123456789.-+e_ na", max_size=8) | st.text(max_size=8))
def test_typing(text: str) -> None:
    value = unquoted(text)
    assert type(value) is is_number(text)
    assert value == text if isinstance(value, str) else value == float(text) or isinstance(value, int)


MARKDOWN = st.lists(
    st.sampled_from(
        [
            "T",
            "T",
            "`",
            "``",
            "```",
            "\\`",
            "\\\\",
            "a ",
            "\n",
            "\n\n",
            "\n```\n",
            "\n~~~ x\n",
            "\n   ```\n",
            "\n````\n",
            "\n\n> ",
            "\n- a ",
            "\n  ",
            "\n1. a ",
        ]
    ),
    max_size=25,
).map(lambda parts: "".join(f"[[t{n}]]" if part == "T" else part for n, part in enumerate(parts)))


def code(tokens: list[Token]) -> str:
    """All that a Markdown parser takes for code in spans and fenced blocks."""
    inner = "".join(code(token.children) for token in tokens if token.children)
    return inner + "".join(
        f"{token.info}\n{token.content}" for token in tokens if token.type in ("code_inline", "fence")
    )


@settings(derandomize=True)
@given(MARKDOWN)
def test_a_markdown_parser_sees_code_where_tags_are_left_alone(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(text)
    every = {f"t{n}" for n in range(25) if f"[[t{n}]]" in text}
    in_code = {name for name in every if f"[[{name}]]" in code(tokens)}
    assert set(names(text)) == every - in_code


HOSTILE = {
    "never closed": ("[[a x=1 ", 30_000, ""),
    "quotes never closed": ('[[a x="', 30_000, ""),
    "quotes that close one another": ('[[a x=" y="', 24_000, ""),
    "escaped quotes": ('[[b y="\\" x=\'', 20_000, ""),
    "readings that come together": ('[[b z=1" y="', 12_000, ""),
    "no parameters": ("[[a b ", 30_000, ""),
    "brackets": ("[", 200_000, ""),
    "half closed": ("[[a]", 50_000, ""),
    "backslashes": ("\\", 200_000, "[[a]]"),
    "backticks": ("`a ", 60_000, "[[a]]"),
    "fences": ("```\n", 50_000, "[[a]]"),
    "lists in lists": ("- ", 80_000, "```\n[[a]]"),
    "quotations": ("> ", 80_000, "```\n[[a]]"),
    "white space": ("\n", 200_000, "[[a"),
    "dashes": ("---\n", 50_000, "[[a]]"),
}


@pytest.mark.parametrize(("part", "times", "end"), HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_long(part: str, times: int, end: str) -> None:
    text = part * times + end
    begun = time.process_time()
    find_tags(text)
    assert (
        time.process_time() - begun < 15.0
    )  # each takes a fraction of one; with the square of the length, many minutes


def test_runs_of_every_length() -> None:
    text = "".join("`" * length + " " for length in range(1, 1400))
    begun = time.process_time()
    assert names(text + "[[a]]") == ["a"]
    assert time.process_time() - begun < 15.0


def test_a_tag_of_a_megabyte_and_a_hundred_thousand_tags() -> None:
    assert len(one(f"[[a x='{'y]] ' * 250_000}']]").params["x"]) == 1_000_000  # type: ignore[arg-type]
    tags = find_tags("[[a x=1]]\n" * 100_000)
    assert (len(tags), tags[-1].line) == (100_000, 100_000)


def param(name: str, kind: ParamType, default: Any = ..., choices: list[str] | None = None) -> ParamInfo:
    required = default is ...
    return ParamInfo(name, kind, None if required else default, required, choices=choices or [])


def test_declared_types_are_converted_from_what_is_written() -> None:
    header = [
        param("version", ParamType.STR),
        param("columns", ParamType.INT, 3),
        param("scale", ParamType.FLOAT, 1.0),
        param("wide_rows", ParamType.BOOL, False),
        param("items", ParamType.LIST, []),
        param("size", ParamType.CHOICE, "1", ["1", "2"]),
    ]
    tag = one("[[m version=1.10 Columns=007 scale=1e3 wide-rows=1 items=5 size=2]]")
    values, problems = declared(tag.params, header, tag.texts)
    assert problems == []
    assert values == {"version": "1.10", "columns": 7, "scale": 1000.0, "wide_rows": True, "items": ["5"], "size": "2"}
    assert declared({"version": 5}, header) == (
        {"version": "5", "columns": 3, "scale": 1.0, "wide_rows": False, "items": [], "size": "1"},
        [],
    )


def test_what_does_not_fit_is_said_in_a_sentence() -> None:
    header = [param("id", ParamType.STR), param("columns", ParamType.INT, 3), param("log", ParamType.FILE, None)]
    values, problems = declared({"columns": "many", "log": "x", "colour": "red", "Columns": 4}, header)
    assert values == {"columns": 3, "log": None}
    assert problems == [
        "The parameter 'Columns' is given twice.",
        "The parameter 'id' (str) is missing.",
        "The parameter 'columns' takes a whole number, not 'many'.",
        "The parameter 'log' is a file, which a tag cannot hand over.",
        "There is no parameter 'colour'; it takes id (str), columns (int), log (file).",
    ]


def test_a_macro_without_declarations_takes_everything() -> None:
    assert declared({"any": 1.5}, []) == ({"any": 1.5}, [])
