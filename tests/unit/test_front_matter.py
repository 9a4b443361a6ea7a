"""Front matter: where it stands, what its YAML means, and what a hostile one cannot do."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.document_text import (
    DOCUMENT_SUFFIXES,
    FRONT_MATTER_LINE,
    IMAGE_SUFFIXES,
    MAX_FRONT_MATTER,
    SIDECAR_SUFFIX,
    front_matter_of,
    image_links,
    linked_path,
)
from store.files import documents, front_matter
from store.files.front_matter import MAX_BRACKETS, MAX_SIZE, BadFrontMatter, parse, plain_value, read_front_matter
from store.files.names import DOCUMENT_NAMES

PATIENCE = 20.0
"""Seconds for what takes well under one where nothing is quadratic."""

texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Co", "Cn")), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
)
pieces = st.sampled_from(
    ["---", "\n", ": ", "- ", "[", "]", "{", "}", "&a ", "*a", "!!str ", "!x ", "'", '"', "|", "> ", "#", "? ", "<<",
     ", ", "title", "tags", "date", "2024-05-01", "007", "\t", "\x00", "\x85", "\ufeff", "ü", "%YAML 1.1\n", "..."]
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0", 0),
        ("+7", 7),
        ("007", "007"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("2.50", 2.5),
        ("-.5", -0.5),
        ("1.0e3", 1000.0),
        ("1e3", "1e3"),
        ("1.0e999", "1.0e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("~", None),
        ("null", None),
        ("", None),
        ("2024-05-01", "2024-05-01"),
        ("2024-13-01", "2024-13-01"),
        ("2024-05-01 6:05", "2024-05-01T06:05:00"),
        ("2024-05-01T06:05:09.5Z", "2024-05-01T06:05:09.500000+00:00"),
        ("2024-05-01 06:05:09 +2", "2024-05-01T06:05:09+02:00"),
        ("2024-05-01 06:05:09 -0530", "2024-05-01T06:05:09-05:30"),
        ("2024-05-01 25:00", "2024-05-01 25:00"),
    ],
)
def test_plain_values(text: str, value: Any) -> None:
    found = plain_value(text)
    assert found == value
    assert type(found) is type(value)
    assert parse(f"x: {text}") == {"x": value}
    assert parse(f"x: '{text}'") == {"x": text}, "what is quoted is a text"


def test_the_known_keys_are_read_and_unknown_ones_kept() -> None:
    front = read_front_matter(
        "title: |\n  Two\n  lines\ndate: 2024-05-01\nstatus: draft\ntags: a, b,, a\nlanguage: de\nimages: plan.svg\n"
        "owner: {name: Kari}\ncreated_by: &me Ola\nchecked_by: *me\n"
    )
    assert (front.title, front.date, front.status, front.language) == ("Two lines", "2024-05-01", "draft", "de")
    assert (front.tags, front.images, front.problem) == (("a", "b"), ("plan.svg",), None)
    assert front.values["owner"] == {"name": "Kari"}
    assert front.values["checked_by"] == "Ola"
    assert read_front_matter("title: 2024\ntags: [1, true, null, x]\n").title == "2024"
    assert read_front_matter("tags: [1, true, null, x]\n").tags == ("1", "true", "x")


def test_a_problem_names_the_line_of_the_document() -> None:
    for text in ("a: 1\nb: 'x' y\n", "a: 1\na: 2\n"):
        assert "line 3" in (read_front_matter(text, FRONT_MATTER_LINE).problem or ""), text


def test_what_does_not_fit_is_said_and_the_rest_counts() -> None:
    front = read_front_matter("title: {a: 1}\ndate: soon\ntags: [a, [b]]\nstatus: draft\n")
    assert (front.title, front.date, front.tags, front.status) == ("", None, ("a",), "draft")
    for part in ("title must be a text", "date is no day", "tags must be a list of texts"):
        assert part in (front.problem or "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", "line"),
        ("a: 1\na: 2", "line 2, column 1: the key 'a' is there twice"),
        ("? [a]\n: 1", "a key must be a text"),
        ("a: !!python/object/new:os.system [id]", "uses the tag tag:yaml.org,2002:python"),
        ("a: !env HOME", "uses the tag !env"),
        ("a: *b", "nothing before it is called 'b'"),
        ("a: &b [*b]", "nothing before it is called 'b'"),
        ("a: 1\n---\nb: 2", "several documents"),
        ("a: \x01", "not allowed"),
        ("[" * 50 + "]" * 50, "nested more than 20 deep"),
        ("[1]," * 3000, "more than 2,000 brackets"),
        ("x" * (MAX_SIZE + 1), "longer than 65,536"),
        ("".join(f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else '1'}]\n" for n in range(12)), "10,000 values"),
    ],
)
def test_what_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadFrontMatter) as refused:
        parse(text)
    assert sentence in str(refused.value)
    front = read_front_matter(text)
    assert front.values == {}
    assert "\n" not in (front.problem or "\n")


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_the_parser_in_python_says_the_same(monkeypatch: pytest.MonkeyPatch, loader: str) -> None:
    if not hasattr(yaml, loader):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(front_matter, "_LOADER", getattr(yaml, loader))
    text = "a: 1\nb: 'x'\nc: &c [1, 2.5, ~, 2024-05-01]\nd: *c\ne: !!str 3\nf: !!int '4'\n"
    assert parse(text) == {
        "a": 1, "b": "x", "c": [1, 2.5, None, "2024-05-01"], "d": [1, 2.5, None, "2024-05-01"], "e": "3", "f": 4,
    }  # fmt: skip
    for wrong in (
        "a: [1",
        "a: \x01",
        "\ta: 1",
        'a: "\\ud800"',
        '"\\udfff": 1',
        "[" * MAX_BRACKETS,
        "- " * 30_000,
        "a: " + "9" * 5000 + "\n\t",
    ):
        with pytest.raises(BadFrontMatter):
            parse(wrong)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(texts, values, max_size=5))
def test_what_yaml_writes_is_read_back(written: dict[str, Any]) -> None:
    # Quoted, since plain texts mean something else in YAML 1.1, by which PyYAML writes.
    assert parse(yaml.safe_dump(written, default_style='"', allow_unicode=True)) == written


@settings(deadline=None, max_examples=50)
@given(st.lists(pieces | st.text(max_size=5), max_size=30).map("".join))
def test_no_text_breaks_it(text: str) -> None:
    front = read_front_matter(text)
    json.dumps(front.values, allow_nan=False)
    assert front.problem is None or (front.problem.endswith(".") and "\n" not in front.problem)


@settings(deadline=None, max_examples=40)
@given(
    st.text(st.characters(exclude_characters="\r", exclude_categories=("Cs",)), max_size=60),
    st.text(max_size=40),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["---", "...", "--- "]),
)
def test_front_matter_and_text_are_told_apart_to_the_character(inside: str, body: str, end: str, fence: str) -> None:
    lines = [line for line in inside.split("\n") if line.rstrip(" \t") not in ("---", "...")]
    inside = "".join(line + end for line in lines)
    text = f"---{end}{inside}{fence}{end}{body}"
    place = front_matter_of(text)
    assert place is not None
    assert (place.yaml, text[place.body :]) == (inside, body)


def test_texts_without_front_matter() -> None:
    for text in (
        "",
        "---",
        "---\n",
        "text\n---\na: 1\n---\n",
        " ---\na: 1\n---\n",
        "---\na: 1\n",
        "----\na: 1\n----\n",
    ):
        assert front_matter_of(text) is None, text
    marked = front_matter_of("\ufeff---\na: 1\n---\n")
    assert marked is not None
    assert marked.yaml == "a: 1\n"
    long = front_matter_of("---\n" + "# x\n" * MAX_FRONT_MATTER + "---\n")
    assert long is not None
    assert long.too_long


def test_links_to_images() -> None:
    text = """
![a](one.png) [big](<two words.JPG> "title") ![](img/three.svg?x=1#y) ![](https://host/x.png) ![](//host/y.png)
[ref]: four.webp
<img alt="" src="five.gif"><a href='six.jpeg'>x</a> ![](data:image/png;base64,AAAA.png) [text](notes.md)
.. figure:: seven.png
.. |name| image:: eight.png
image::nine.png[A pump]
![again](one.png)
"""
    assert image_links(text) == [
        "one.png", "two words.JPG", "img/three.svg?x=1#y", "four.webp", "five.gif", "six.jpeg", "seven.png",
        "eight.png", "nine.png",
    ]  # fmt: skip
    assert linked_path("a/b/x.md", "../img/p%20q.png?x#y") == "a/img/p q.png"
    assert linked_path("a/b/x.md", "/img/p.png") == "img/p.png"
    assert linked_path("x.md", "../secret.png") is None
    assert linked_path("a/x.md", "%2e%2e/%2e%2e/etc/p.png") is None


@given(st.text("ab/.%2e", max_size=20), st.text("ab/.%2eE?#", max_size=30))
def test_no_link_leads_out_of_the_root(document: str, link: str) -> None:
    path = linked_path(document.strip("/"), link)
    if path is not None:
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/")[len(document.split("/")) - 1 :])


@pytest.mark.parametrize(
    "piece", ["](", "](<", "[", "[x]:", 'src="', "src=", "image:", ".. image::", ".. ", " ", "![](x.png)", "|a|"]
)
def test_hostile_texts_take_no_time(piece: str) -> None:
    began = time.monotonic()
    image_links(piece * ((1 << 19) // len(piece)))
    front_matter_of("---\n" + piece * ((1 << 19) // len(piece)))
    read_front_matter((piece * MAX_SIZE)[:MAX_SIZE])
    assert time.monotonic() - began < PATIENCE


def test_client_and_store_mean_the_same_files() -> None:
    assert DOCUMENT_NAMES.suffixes == DOCUMENT_SUFFIXES
    assert (documents.IMAGE_SUFFIXES, documents.SIDECAR_SUFFIX) == (IMAGE_SUFFIXES, SIDECAR_SUFFIX)
