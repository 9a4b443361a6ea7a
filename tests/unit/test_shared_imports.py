"""What a text imports of the shared code, found without parsing it."""

from __future__ import annotations

import ast
import time

import pytest

from engine.shared_imports import Wanted, wanted


@pytest.mark.parametrize(
    ("text", "package", "found"),
    [
        ("from lib.tags import parse", "", [Wanted("lib.tags", ("parse",))]),
        ("import lib.tags", "", [Wanted("lib.tags")]),
        ("from lib import tags, units as u", "", [Wanted("lib", ("tags", "units"))]),
        ("import os, lib.a.b as c, lib . d", "", [Wanted("lib.a.b"), Wanted("lib.d")]),
        ("if x: import lib.a; import lib.b", "", [Wanted("lib.a"), Wanted("lib.b")]),
        (
            "from lib import (  # some\n    a,  # one\n    b,\n)\nimport lib",
            "",
            [Wanted("lib", ("a", "b")), Wanted("lib")],
        ),
        ("from lib import \\\n    a", "", [Wanted("lib", ("a",))]),
        ("from lib.p import *", "", [Wanted("lib.p", ("*",))]),
        ("import_module('lib.x.y')", "", [Wanted("lib.x.y")]),
        ('__import__("lib")', "", [Wanted("lib")]),
        ("exec('from lib.z import q')", "", [Wanted("lib.z", ("q",))]),
        ("from . import a", "lib", [Wanted("lib", ("a",))]),
        ("from .x.y import z", "lib.p", [Wanted("lib.p.x.y", ("z",))]),
        ("from .. import k", "lib.p", [Wanted("lib", ("k",))]),
        ("from ... import k", "lib.p", []),
        ("from . import a", "", []),
        ("import library, libs.tags, calib\nfrom mylib import lib", "", []),
        ("import numpy.lib.format", "", []),
        ("glib = 'liberty'; from_lib = 1", "", []),
    ],
)
def test_imports_of_lib_are_found_and_no_others(text: str, package: str, found: list[Wanted]) -> None:
    assert wanted(text, package) == found


def test_every_form_that_the_parser_knows_is_found() -> None:
    text = (
        "from __future__ import annotations\n"
        "try:\n    from lib.a import (x as y,\n        z)\nexcept ImportError: from lib . b import w\n"
        "def f():\n\timport json, lib.c  \\\n , lib.d as d\n\treturn lambda: 0\n"
        "class C: from lib.e import *\n"
        "async def g(): from lib import f as ff, g\n"
    )
    asked = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            asked |= {alias.name for alias in node.names if alias.name.startswith("lib")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lib"):
            asked.add(node.module)
    assert asked == {one.module for one in wanted(text)} == {"lib.a", "lib.b", "lib.c", "lib.d", "lib.e", "lib"}


@pytest.mark.parametrize(
    "piece",
    [
        "from ",
        "from.",
        "from .",
        "import (import ",
        "from a import (#",
        "import a,",
        "from lib import x\n",
        "'lib.",
        ". ",
        "from" + " " * 199,
        "from \\\n",
        "import a.import b.",
    ],
)
def test_crafted_texts_take_a_time_linear_in_their_length(piece: str) -> None:
    """A quadratic search of a MiB would take minutes."""
    text = "from " + piece * ((1 << 20) // len(piece)) + "lib"
    begun = time.process_time()
    wanted(text, "lib")
    assert time.process_time() - begun < 20
