"""What a script says about itself, read from files of every kind."""

from __future__ import annotations

import json
import re
import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.frontmatter.locate import MAX_BLOCK, FrontmatterError, find_block
from store.frontmatter.read import DeclaredLimits, Frontmatter, Param, parse, title_from_path
from store.sizes import parse_size

REFERENCE = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""From PEP 723, "Reference Implementation"."""

FULL = """\
# /// script
# requires-python = ">=3.11"
# dependencies = ["pandas>=2"]
# [tool.gatewright]
# title = "Wrapper log digest"
# description = "Errors by logger"
# kind = "utility"
# entrypoint = "main"
# enabled = false
# tags = ["logs", "ignition"]
# preload = ["numpy"]
# colour = "blue"
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# help = "look back"
# [tool.gatewright.params.log]
# type = "file"
# [tool.gatewright.params.level]
# type = "choice"
# choices = ["warn", "error"]
# default = "warn"
# [tool.gatewright.limits]
# timeout = 60
# memory = "1 GiB"
# output = "2 MiB"
# result = 4096
# scratch = "128 MiB"
# open_files = 128
# parallel = 2
# later = "a key of a newer version"
# [tool.gatewright.permissions]
# read = ["/usr/local/bin/ignition/logs"]
# [tool.ruff]
# line-length = 99
# ///
import re
"""


def block(*lines: str) -> str:
    return "# /// script\n" + "".join(f"# {line}\n" for line in lines) + "# ///\n"


def own(*lines: str) -> Frontmatter:
    return parse(block("[tool.gatewright]", *lines), "reports/daily_summary.py")


def test_every_key_is_read() -> None:
    front = parse(FULL, "logs.py")
    assert front == Frontmatter(
        title="Wrapper log digest",
        description="Errors by logger",
        kind="utility",
        entrypoint="main",
        enabled=False,
        tags=("logs", "ignition"),
        preload=("numpy",),
        params=(
            Param("hours", "int", 24, required=False, help="look back"),
            Param("log", "file"),
            Param("level", "choice", "warn", required=False, choices=("warn", "error")),
        ),
        limits=DeclaredLimits(
            timeout=60.0, memory=1 << 30, output=2 << 20, result=4096, scratch=128 << 20, open_files=128, parallel=2
        ),
        permissions={"read": ["/usr/local/bin/ignition/logs"]},
        requires_python=">=3.11",
        dependencies=("pandas>=2",),
        problem=None,
    )


def test_keys_that_are_on_or_off() -> None:
    front = own("leave_processes = true", "limits.output_stop = true")
    assert (front.leave_processes, front.limits.output_stop, front.problem) == (True, True, None)
    assert (own().leave_processes, own().limits.output_stop) == (False, None)


@pytest.mark.parametrize(
    "start", ["\ufeff", "#!/usr/bin/env python3\n", "# -*- coding: utf-8 -*-\n", "\n\n# Copyright\n#\n"]
)
@pytest.mark.parametrize("end_of_line", ["\n", "\r\n"])
def test_what_may_stand_before_the_block_and_line_ends_change_nothing(start: str, end_of_line: str) -> None:
    text = (start + FULL).replace("\n", end_of_line)
    assert parse(text, "x.py") == parse(FULL, "x.py")


def test_only_a_script_block_counts() -> None:
    assert find_block(FULL.replace("/// script", "/// other")) is None
    assert find_block("# /// other\n# a = 1\n# ///\n\n" + FULL) is not None
    assert parse("print(1)\n", "reports/daily_summary.py") == Frontmatter(title="Daily summary")
    assert parse("", "").title == ""


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        block("a = 1"),
        block("a = 1") + "# a comment right below\nx = 1\n",
        block("a = 1", "#", "b = 2"),
        "# /// script\n#\n# a = 1\n#\n# ///\n",
        block("a = 1", "///", "b = 2"),
        '"""Digest."""\n' + FULL,
        "import re\n\n\n" + FULL,
        "def main():\n    pass\n" + block("a = 1")[:-1],
        "x = 1\n# /// other\n# b = 2\n# ///\n" + "y = 2\n" + FULL,
        block("a = 1", 'b = """', "/// script", '"""'),
        "#no comment of a block\n" + block("a = 1") + "#nor this\n",
        "# /// script\nx = 1\n" + block("a = 1"),
        'TEMPLATE = """\n' + block("a = 1") + '"""\n',
    ],
)
def test_the_block_is_the_one_of_the_reference_implementation(text: str) -> None:
    (content,) = reference_blocks(text)
    read = find_block(text)
    assert read is not None
    assert read.text == content
    assert text.split("\n")[read.first - 1] == "# /// script"


def reference_blocks(text: str) -> list[str]:
    """The TOML of all ``script`` blocks by the PEP's own expression."""
    found = [match["content"] for match in REFERENCE.finditer(text) if match["type"] == "script"]
    return ["\n".join(line[2:] for line in content.split("\n")[:-1]) for content in found]


@given(
    st.lists(
        st.sampled_from(
            ["# /// script", "# /// other", "# ///", "# a = 1", "#", "#x", "", "x = 1", "# /// script x", '"""']
        ),
        max_size=14,
    ),
    st.booleans(),
)
def test_any_lines_have_the_block_of_the_reference_implementation_or_are_refused(lines: list[str], end: bool) -> None:
    text = "\n".join(lines) + ("\n" if end else "")
    blocks = reference_blocks(text)
    read = line = None
    try:
        read = find_block(text)
    except FrontmatterError as error:
        line = error.line or 0
    if line is not None:
        assert lines[line - 1] == "# /// script"
    elif blocks:
        assert [read and read.text] == blocks
    elif read is not None:
        assert read.text == ""  # an empty block, which keys can be set in


TWO = block("a = 1") + "\nx = 1\n" + block("b = 2")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (TWO, 6, "two headers (# /// script), in lines 1 and 6"),
        (TWO.replace("\n", "\r\n"), 6, "two headers (# /// script), in lines 1 and 6"),
        ("\ufeff" + TWO, 6, "two headers (# /// script), in lines 1 and 6"),
        (block("a = 1") + block("b = 2"), 4, "two headers (# /// script), in lines 1 and 4"),
        ("x = 1\n" + block("a = 1") + "y = 2\n" * 500 + block("b = 2"), 505, "in lines 2 and 505"),
        (block("a = 1") + 'TEXT = """\n' + block("b = 2") + '"""\n', 5, "two headers"),
        ("x = 1\n# /// script\n# a = 1\nx = 2\n", 2, "no closing line"),
        ("# /// other\n# a = 1\n# ///\n" + block("b = 2"), 4, "stands inside the block that line 1 opens"),
        ('"""Log."""\n' + block("a = 1", "b ="), 4, "Invalid value (line 4)"),
        (block("a = 1", "[tool", "b = 2"), 3, "(line 3, column"),
        (block("a = [1,"), 2, "(line 2)"),
        (
            block("a = 1") + "# /// nonstandard\n# hello\n# ///\nprint(1)\n",
            3,
            "an empty line must follow its own (line 3,",
        ),
        (block("a = 1", f"b = {'9' * 5000}"), 1, "too large"),
    ],
)
def test_a_header_that_cannot_be_read_names_the_line_of_the_file(text: str, line: int, reason: str) -> None:
    front = parse(text, "x.py")
    assert front.problem is not None
    assert reason in front.problem
    assert front.problem_line == line


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (("[tool.gatewright]", "entrypoint = 3"), ("tool", "gatewright", "entrypoint")),
        (("[tool.gatewright]", "limits = {timeout = 'x'}"), ("tool", "gatewright", "limits", "timeout")),
        (
            ("[tool.gatewright.params.a]", "type = 'int'", "default = 'x'"),
            ("tool", "gatewright", "params", "a", "default"),
        ),
        (("requires-python = 'new'",), ("requires-python",)),
        (("requires-python = '>=3.11'", "dependencies = ['not one']"), ("dependencies",)),
        (("tool = 3",), ("tool",)),
    ],
)
def test_a_wrong_value_names_its_key(lines: tuple[str, ...], key: tuple[str, ...]) -> None:
    front = parse(block(*lines), "x.py")
    assert front.problem is not None
    assert front.problem_key == key


def test_a_block_that_is_not_closed_is_left_alone_beside_one_that_is() -> None:
    assert parse(block("a = 1") + 'HELP = """\n# /// script\n"""\n').problem is None


@pytest.mark.parametrize(
    "lines", [["# /// script", "x"], ["# /// script", "# a"], ["# /// other", "# /// script", "# ///"]]
)
def test_no_text_is_searched_for_long(lines: list[str]) -> None:
    """Ten seconds are a thousand times what a MiB needs; looking at its parts again and again would take minutes."""
    text = "x\n" + "\n".join(lines * 30_000)
    begun = time.thread_time()
    parse(text, "x.py")
    assert time.thread_time() - begun < 10


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("title = 3", "title must be text, not a number"),
        ("title = 1979-05-27", "title must be text, not a date or time"),
        ("enabled = 1", "enabled must be true or false"),
        ('enabled = "no"', "enabled must be true or false"),
        ("tags = 'logs'", "tags must be a list"),
        ("tags = ['a', 1]", "tags must be a list"),
        ("entrypoint = 'a.b'", "entrypoint must be the name of a function"),
        ("entrypoint = 'class'", "entrypoint must be the name of a function"),
        ("params = 3", "[tool.gatewright.params] must be a table"),
        ("params.hours = 3", "[params.hours] must be a table"),
        ("params.'no name'.type = 'int'", "cannot be the name of a param"),
        ("params.for.type = 'int'", "cannot be the name of a param"),
        ("params.hours.type = 'integer'", "params.hours.type must be one of"),
        ("params.hours.type = 3", "type must be text"),
        ("params.hours = {type = 'int', default = 'x'}", "params.hours.default does not fit"),
        ("params.hours = {type = 'int', default = true}", "params.hours.default does not fit"),
        ("params.hours = {type = 'int', default = 99999999999999999999}", "params.hours.default does not fit"),
        ("params.hours = {type = 'float', default = nan}", "params.hours.default does not fit"),
        ("params.hours = {type = 'list', default = [1979-05-27]}", "params.hours.default does not fit"),
        ("params.log = {type = 'file', default = 'x'}", "params.log.default does not fit"),
        ("params.level = {type = 'choice'}", "params.level.choices must list"),
        ("params.level = {type = 'choice', choices = ['a'], default = 'b'}", "params.level.default does not fit"),
        ("params.x.required = 'yes'", "required must be true or false"),
        ("limits = []", "[limits] must be a table"),
        ("limits.timeout = 0", "limits.timeout must be"),
        ("limits.timeout = -1", "limits.timeout must be"),
        ("limits.timeout = inf", "limits.timeout must be"),
        ("limits.timeout = nan", "limits.timeout must be"),
        ("limits.timeout = true", "timeout must be a number"),
        ("limits.timeout = 9999999999999999999999", "limits.timeout must be"),
        ("limits.memory = 'much'", "limits.memory must be a size"),
        ("limits.memory = '0 MB'", "limits.memory must be a size"),
        ("limits.memory = 99999999999999999999999", "limits.memory must be a size"),
        ("limits.memory = 1.5", "memory must be a size"),
        ("limits.output = 'all'", "limits.output must be a size"),
        ("limits.result = 0", "limits.result must be a size"),
        ("limits.result = true", "result must be a size"),
        ("limits.scratch = '-1 MiB'", "limits.scratch must be a size"),
        ("limits.scratch = []", "scratch must be a size"),
        ("limits.open_files = 15", "limits.open_files must be a whole number, at least 16"),
        ("limits.open_files = '64'", "open_files must be a whole number"),
        ("limits.open_files = 9999999999999999999999", "limits.open_files must be"),
        ("limits.parallel = 0", "limits.parallel must be a whole number, at least 1"),
        ("limits.parallel = 1.5", "parallel must be a whole number"),
        ("limits.output_stop = 1", "output_stop must be true or false"),
        ("leave_processes = 'no'", "leave_processes must be true or false"),
        ("environment = '../other'", "environment must be a name of lower case letters"),
        ("environment = ['plant']", "environment must be text"),
        ("permissions = 'all'", "[permissions] must be a table"),
        ("a = 1\n# a = 2", "not valid TOML"),
        ("a =", "not valid TOML"),
        ('a = "\x00"', "not valid TOML"),
        (f"a = {'9' * 5000}", "number in the header is too large"),
        (f"a = {'[' * 30_000}", "nested too deeply"),
        (f"{'a.' * 30_000}b = 1", "nested too deeply"),
        (f"x = {{{'a.' * 30_000}b = 1}}", "nested too deeply"),
    ],
)
def test_the_first_wrong_thing_is_one_sentence_and_the_rest_counts(line: str, reason: str) -> None:
    front = own("description = 'kept'", line)
    assert front.problem is not None
    assert reason in front.problem
    assert front.problem.isprintable()
    assert len(front.problem) < 400
    assert front.title == "Daily summary"
    if "TOML" not in reason and "too" not in reason:
        assert front.description == "kept"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# /// script\n# a = 1\nimport x\n", "no closing line"),
        ("# /// script\n# " + "x" * (1 << 20), "larger than 64 KiB"),
        (block(*["a = 1"] * (MAX_BLOCK // 5)), "larger than 64 KiB"),
        (block("tool = 3"), "[tool] must be a table"),
        (block("[tool]", "gatewright = 3"), "[tool.gatewright] must be a table"),
        (block("dependencies = 3"), "dependencies must be a list"),
    ],
)
def test_a_broken_block_is_one_sentence(text: str, reason: str) -> None:
    assert reason in (parse(text, "x.py").problem or "")


@pytest.mark.parametrize(
    "line",
    [
        "a." * 30_000 + "b = 1",
        '"\\""."a".' * 6_000 + "b = 1",
        '"\\' * 32_000,
        "'" * 64_000,
        'x = """\n# ..""", {' + "a." * 30_000 + 'b = "x"}',
        "x = '''a''''' # don't\n# " + "a." * 30_000 + "b = 1",
        "x = [" + "1.5, " * 12_000 + "]",
        'x = "' + "." * 60_000 + '"',
        "x = 0x" + "f" * 60_000,
        "\n".join(f"# [a{number}.b.c.d.e.f.g.h]" for number in range(2_000))[2:],
        "\n".join("# " + ".".join([f"a{number}", *"b" * 48]) + " = 1" for number in range(600))[2:],
    ],
)
def test_no_block_takes_long(line: str) -> None:
    """Ten seconds of processor are hundreds of times an honest block's; bad ones took fifteen."""
    begun = time.thread_time()
    parse(block(line), "x.py")
    assert time.thread_time() - begun < 10


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512 MiB", 512 << 20),
        ("1 GiB", 1 << 30),
        ("512 MB", 512_000_000),
        ("1.5 kB", 1500),
        ("800 B", 800),
        ("2GiB", 2 << 30),
        ("x", None),
        ("", None),
        ("1e9 B", None),
        ("-1 MB", None),
        ("9" * 400 + " MB", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("path", "title"),
    [("a/log_digest.py", "Log digest"), ("tour.py", "Tour"), ("a-b__c.py", "A b c"), ("", ""), ("Über.py", "Über")],
)
def test_a_title_comes_from_the_file_name(path: str, title: str) -> None:
    assert title_from_path(path) == title


def _sane(front: Frontmatter) -> None:
    """What every answer must be, whatever was read: something that can be sent and shown."""
    json.dumps([front.title, front.description, front.kind, front.tags, front.problem]).encode()
    for param in front.params:
        json.dumps(param.default, allow_nan=False).encode("utf-8")
    assert front.title.isprintable()
    assert front.limits.timeout is None or front.limits.timeout > 0
    for name in ("memory", "output", "result", "scratch", "open_files", "parallel"):
        limit = getattr(front.limits, name)
        assert limit is None or 0 < limit < 1 << 63


TOML_VALUES = st.recursive(
    st.sampled_from(
        [
            "1",
            "true",
            '"a"',
            "'b'",
            "1979-05-27",
            "07:32:00",
            "nan",
            "-inf",
            "9" * 30,
            '"\\u0000"',
            '"512 MiB"',
            "'main'",
            "60",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"k{n} = {v}" for n, v in enumerate(items)) + "}"
        )
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [
        *("title", "description", "kind", "entrypoint", "enabled", "tags", "preload", "other"),
        *("params", "params.x", "params.x.type", "params.x.default", "params.x.choices", "params.x.required"),
        *("params.x.help", "limits", "limits.timeout", "limits.memory", "permissions", "permissions.read"),
        *("limits.output", "limits.result", "limits.scratch", "limits.open_files", "limits.parallel", "limits.later"),
    ]
)


@given(st.text() | st.text(alphabet="# /scriptab=[]{}.'\"\n\r", max_size=200).map(lambda text: "# /// script\n" + text))
def test_any_text_is_read(text: str) -> None:
    _sane(parse(text, text[:20]))


@given(st.dictionaries(KEYS, TOML_VALUES, max_size=6))
def test_any_value_of_any_key_is_read(table: dict[str, str]) -> None:
    front = own(*(f"{key} = {value}" for key, value in table.items()))
    _sane(front)
    try:
        tomllib.loads("\n".join(f"{key} = {value}" for key, value in table.items()))
    except tomllib.TOMLDecodeError:
        assert "TOML" in (front.problem or "")
