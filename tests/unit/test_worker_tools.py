"""What the parser says of a text: problems with their places, functions, imports; small, whatever the text is."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.services.scripts.examiner import LIMITS, Examined
from engine.worker import tools
from engine.worker.tools import examine

PIECES = st.sampled_from(
    [
        "def f(a, /, b=1, *c, d: int, **e):", "async def g(): pass", "class A:", "import os.path, json",
        "from . import x", "from a.b import *", "é = 'ß'", "(", ")", "[", "f'{x}'", "'''", '"', "\\", "#",
        "# coding: latin-1", "\ufeff",
        "\n", "\r", "\r\n", "\t", "    ", "  ", "\x0c", "\0", "\ud800", "1 is 1", "return", "break", "x = 1", "=",
        "lambda", "nonlocal é", "yield", "await x", "0777", "1_", "@d", ":", "\U0001d518", "if x:", "'\\d'", "global x",
    ]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=20).map("".join)


def lines_of(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def places(text: str) -> list[tuple[int, int]]:
    """Line and column of each problem."""
    return [(problem["line"], problem["column"]) for problem in examine(text)["problems"]]


def sentences(text: str) -> list[str]:
    return [problem["message"] for problem in examine(text)["problems"]]


@given(TEXTS, st.sampled_from(["", "f", "g", "é"]))
def test_any_text_gives_a_valid_report_with_places_inside_it(text: str, entrypoint: str) -> None:
    report = examine(text, entrypoint)
    findings = msgspec.convert(json.loads(json.dumps(report)), Examined)
    lines = lines_of(text)
    for problem in findings.problems:
        assert 1 <= problem.line <= len(lines)
        assert 0 <= problem.column <= len(lines[problem.line - 1])
        if problem.end_line is not None:
            assert problem.end_column is not None
            assert (problem.line, problem.column) < (problem.end_line, problem.end_column)
            assert problem.end_column <= len(lines[problem.end_line - 1])
    assert findings.listed != any(problem.severity == "error" for problem in findings.problems)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("x = (1,\n", (1, 4), "never closed"),
        ("a = 1\nb = = 2\n", (2, 4), "invalid syntax"),
        ("é = 'ß'; return é\n", (1, 9), "outside function"),  # the compiler counts bytes, the parser characters
        ("'é' + f() = 3\n", (1, 0), "assign"),
        ("é = ß = = 1\n", (1, 8), "invalid syntax"),
        ("def f():\n    nonlocal é\n", (2, 4), "nonlocal"),
        ("for ü in 1: ü; yield 3", (1, 15), "outside function"),
        ("if a:\n\tb\n        c\n", (3, 0), "tabs and spaces"),
        ("def f():\n  x\n y\n", (3, 2), "unindent"),
        ("a = 1\rb = = 2\r", (2, 4), "invalid syntax"),
        ("a = 1\r\nb = = 2\r\n", (2, 4), "invalid syntax"),
        ("\ufeffx = = 1", (1, 5), "invalid syntax"),
        ("# coding: latin-1\né = = 1", (2, 4), "invalid syntax"),
        ("# coding: no-such-thing\nx = = 1", (2, 4), "invalid syntax"),
        ("a = 1\nb = 'c\0d'", (2, 6), "NUL"),
        ("a\n  \ud800", (2, 2), "surrogate"),
        ("-" * 100_000 + "1", (1, 0), "nested too deeply"),
        ("1" + "+1" * 100_000, (1, 0), "nested too deeply"),
    ],
)
def test_an_error_has_its_place_in_characters(text: str, place: tuple[int, int], said: str) -> None:
    errors = [problem for problem in examine(text)["problems"] if problem["severity"] == "error"]
    assert len(errors) == 1
    assert said in errors[0]["message"]
    assert (errors[0]["line"], errors[0]["column"]) == place


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = " + "1" * 5000, "4300 digits"),
        ("f'{a b}'", "invalid syntax"),
        ("(" * (1 << 20), "nested"),
        ("[" * 199, "never closed"),
    ],
)
def test_an_error_whose_column_differs_between_pythons_has_its_line(text: str, said: str) -> None:
    (problem,) = examine(text)["problems"]
    assert said in problem["message"]
    assert problem["line"] == 1


def test_the_end_of_an_error_is_told_where_it_is_known() -> None:
    (problem,) = examine("é = 1; return é, 1\n")["problems"]
    assert (problem["end_line"], problem["end_column"]) == (1, 18)


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "# coding: utf-8\né = 1", "\ufeff# coding: utf-8\n", "\x0c"])
def test_what_is_right_has_no_problems(text: str) -> None:
    assert examine(text)["problems"] == []


def test_a_syntax_warning_is_a_warning_told_once() -> None:
    text = "def f():\n    try:\n        pass\n    finally:\n        1 is 1\n"
    (problem,) = examine(text)["problems"]
    assert (problem["severity"], problem["line"], problem["column"]) == ("warning", 5, 8)


def test_a_flood_of_warnings_hides_no_error() -> None:
    problems = examine("1 is 1\n" * 1000 + "def f(): 'x' is x\nwhile 1:\n    def g(): continue\n")["problems"]
    assert len(problems) <= tools.MAX_PROBLEMS
    assert problems[0]["severity"] == "error"


SIGNATURE = '''\
def plain(): pass
def every(a, /, b: int, c: "str" = "two  blanks", *rest, d, e: list[int] = [1,
    2], **more):
    """
    What it does.

    More of it.
    """
    def inner(x): pass
class A:
    def method(self): pass
async def later(é=ü): "Waits."
'''


def test_functions_with_their_parameters_as_they_are_written() -> None:
    plain, every, later = examine(SIGNATURE)["functions"]
    assert plain == {"name": "plain", "line": 1, "params": [], "summary": ""}
    assert (every["line"], every["summary"]) == (2, "What it does.")
    assert [tuple(param.values()) for param in every["params"]] == [
        ("a", "positional_only", True, "", ""),
        ("b", "positional_or_keyword", True, "int", ""),
        ("c", "positional_or_keyword", False, '"str"', '"two blanks"'),
        ("rest", "var_positional", False, "", ""),
        ("d", "keyword_only", True, "", ""),
        ("e", "keyword_only", False, "list[int]", "[1, …"),
        ("more", "var_keyword", False, "", ""),
    ]
    assert (later["summary"], later["params"][0]["name"], later["params"][0]["default"]) == ("Waits.", "é", "ü")


def test_of_two_functions_of_a_name_the_last_counts() -> None:
    (found,) = examine("def f(a): pass\ndef f(b): pass\n")["functions"]
    assert (found["line"], found["params"][0]["name"]) == (2, "b")


@pytest.mark.parametrize(
    ("text", "standing"),
    [
        ("def main(): pass", "function"),
        ("async def main(): pass", "async"),
        ("@wrap\ndef main(): pass", "other"),
        ("main = print", "other"),
        ("from x import main", "other"),
        ("from x import *", "other"),
        ("if a:\n    def main(): pass", "other"),
        ("class main: pass", "other"),
        ("globals()['ma' + 'in'] = print", "other"),
        ("def f():\n    main = 1", "missing"),
        ("", "missing"),
        ("def main(", ""),
    ],
)
def test_what_a_call_of_the_entrypoint_would_find(text: str, standing: str) -> None:
    assert examine(text, "main")["entrypoint"] == standing
    assert examine(text)["entrypoint"] == ""


def test_imports_are_found_wherever_they_stand() -> None:
    text = "import json as j, os.path\ndef f():\n  from a.b import c\n  import json\nfrom . import d\nfrom .e import f"
    found = [(each["name"], each["parts"], each["line"]) for each in examine(text)["imports"]]
    assert found == [("json", (), 1), ("os.path", (), 1), ("a.b", ("c",), 3)]


def test_imports_say_where_this_interpreter_has_them_from() -> None:
    imports = examine("import json.decoder, winreg, pytest, no_such_package.part")["imports"]
    assert {each["name"]: each["origin"] for each in imports} == {
        "json.decoder": "standard",
        "winreg": "standard",
        "pytest": "installed",
        "no_such_package.part": "missing",
    }


def test_every_list_and_string_has_its_cap_and_the_entrypoint_is_listed_all_the_same() -> None:
    wide = ", ".join(f"p{number}" for number in range(300))
    many = "".join(f"def f{number}(a='{'x' * 200}'): '{'y' * 400}'\n" for number in range(2000))
    parts = ", ".join(f"p{number}" for number in range(100))
    imports = "".join(f"from m{number} import {parts}\n" for number in range(1000))
    text = f"def wide({wide}): pass\ndef {'n' * 5000}(): pass\n{many}{imports}def main(x): pass\n"
    report = examine(text, "main")
    assert len(report["functions"]) == tools.MAX_FUNCTIONS
    assert len(report["functions"][0]["params"]) == tools.MAX_PARAMS
    assert report["functions"][-1]["name"] == "main"
    assert len(report["imports"]) == tools.MAX_IMPORTS
    assert len(report["imports"][0]["parts"]) == tools.MAX_PARTS
    assert sum(len(each["parts"]) for each in report["imports"]) <= tools.MAX_ALL_PARTS
    assert max(len(function["name"]) for function in report["functions"]) == tools.MAX_NAME
    assert max(len(function["summary"]) for function in report["functions"]) == tools.MAX_SUMMARY
    assert max(len(p["default"]) for function in report["functions"] for p in function["params"]) == tools.MAX_SOURCE


def test_the_largest_report_fits_the_limit_of_the_result() -> None:
    wide = repr("\N{OK HAND SIGN}" * 300)
    signature = ", ".join(f"{'ñ' * 90}{n}: {wide} = {wide}" for n in range(100))
    text = "".join(f"def f{n}({signature}): {wide}\n" for n in range(10))
    report = examine(text + "".join(f"def g{n}(): {wide}\n" for n in range(490)))
    assert report["listed"], report["problems"]
    size = len(json.dumps(report, ensure_ascii=False).encode())
    assert 1_000_000 < size < LIMITS.result


def test_text_of_others_comes_back_as_single_printable_lines() -> None:
    report: dict[str, Any] = examine("def f(a='\x1b[2J\u202e'): 'sum\x1b]0;title\x07mary'\n")
    function = report["functions"][0]
    assert function["summary"].isprintable()
    assert function["params"][0]["default"].isprintable()


def test_nothing_is_run() -> None:
    assert examine("raise SystemExit\nprint('run')\n")["problems"] == []
