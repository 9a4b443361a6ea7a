"""The bundled scripts on their sample data, each in a process of its own as in a run."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from default_scripts import bundle
from engine.worker.imports import ALWAYS_ALLOWED, CLASSIC_MODULES, RESTRICTED, ImportRule
from store.files.names import path_problem
from store.files.save import MAX_SIZE
from store.frontmatter.read import parse

ROOT = Path(__file__).parents[2]
FILES = bundle()
SCRIPTS = sorted(path for path in FILES if path.startswith("scripts/"))

BINARY = (".gwbk", ".der", ".zip", ".db", ".idb", ".gz")
"""Ends of the names of sample data that is no text."""

IN_ANY_PRESET = ("macros/", "defaults/tour.py", "defaults/csv_summary.py", "defaults/log_digest.py")
"""What runs with the short list of modules, too; what only some files need, log_digest imports when it meets them."""

RUNNER = """
    import json, os, runpy, sys
    from engine.worker.inputs import InputFile

    script, params = sys.argv[1], json.loads(sys.argv[2])
    for name, path in json.loads(sys.argv[3]).items():
        descriptor = os.open(path, os.O_RDONLY)
        params[name] = InputFile(os.path.basename(path), descriptor, os.fstat(descriptor).st_size)
    result = runpy.run_path(script)["main"](**params)
    sys.stderr.write(json.dumps(result, allow_nan=False))
"""


def run(name: str, file: Path | None = None, /, **params: Any) -> tuple[Any, str]:
    """Result and output of a bundled script."""
    done = call(name, file, **params)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr), done.stdout


def refused(name: str, file: Path, /, **params: Any) -> str:
    """The sentence with which a bundled script fails."""
    done = call(name, file, **params)
    assert done.returncode == 1
    return done.stderr.rstrip("\n")


def call(name: str, file: Path | None, /, **params: Any) -> subprocess.CompletedProcess[str]:
    front = parse(FILES[f"scripts/defaults/{name}.py"].decode())
    files = {param.name: str(file) for param in front.params if param.type == "file"}
    command = [sys.executable, "-c", textwrap.dedent(RUNNER), f"default_scripts/defaults/{name}.py"]
    return subprocess.run(
        [*command, json.dumps(params), json.dumps(files)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def sample(tmp_path: Path) -> Any:
    def write(name: str, data: bytes | None = None) -> Path:
        path = tmp_path / name
        path.write_bytes(FILES[f"documents/samples/{name}"] if data is None else data)
        return path

    return write


@pytest.mark.parametrize("path", SCRIPTS)
def test_every_script_is_well_formed_and_imports_only_what_is_safe(path: str) -> None:
    text = FILES[path].decode()
    front = parse(text, path)
    assert front.problem is None
    assert front.title
    assert front.description
    assert (front.kind, front.entrypoint) == (("macro", "render") if "/macros/" in path else ("utility", "main"))
    assert path_problem(path.removeprefix("scripts/")) is None
    tree = ast.parse(text, feature_version=(3, 9))
    rule = ImportRule(RESTRICTED, frozenset(), frozenset())
    denied = [denial for name in imported_by(ast.walk(tree)) if (denial := rule.denial(name))]
    assert not denied, "they run in RESTRICTED as it is by default"
    if path.removeprefix("scripts/").startswith(IN_ANY_PRESET):
        assert imported_by(tree.body) <= {*CLASSIC_MODULES, *ALWAYS_ALLOWED}, "they run whatever the preset is"
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == front.entrypoint)
    takes = ["params", "context"] if front.kind == "macro" else [param.name for param in front.params]
    assert [argument.arg for argument in main.args.args] == takes


def imported_by(nodes: Iterable[ast.AST]) -> set[str]:
    """The modules that statements import."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_bundle_fits_its_places() -> None:
    assert len(SCRIPTS) >= 3
    assert all(path.startswith(("scripts/defaults/", "scripts/macros/", "documents/samples/")) for path in FILES)
    assert all(len(data) < MAX_SIZE for data in FILES.values())
    texts = [data for path, data in FILES.items() if not path.endswith(BINARY)]
    assert all(data.endswith(b"\n") and b"\r" not in data for data in texts)


def test_the_tour_greets_shows_and_returns() -> None:
    result, output = run("tour", name="Ada", pause=0)
    assert output.startswith("Hello Ada!\n")
    assert output.count("minute ") == 8
    assert result == {"readings": 8, "mean": 57.45, "lowest": 52.4, "minutes_low": [5, 6]}


def test_the_log_digest_of_the_sample(sample: Any) -> None:
    result, output = run("log_digest", sample("wrapper.log"))
    assert (result["file"], result["entries"], result["more"]) == ("wrapper.log", 50, 0)
    assert result["levels"] == {"error": 10, "warn": 19, "info": 21}
    assert (result["from"], result["to"]) == ("2026/11/19 22:10:04", "2026/11/20 10:05:37")
    first, second = result["loggers"][:2]
    assert (first["level"], first["logger"], first["count"]) == ("error", "g.D.C.DatasourceManager", 7)
    assert (first["first"], first["last"]) == ("2026/11/20 08:55:56", "2026/11/20 09:11:50")
    assert first["message"] == "Datasource 'historian' is faulted, retry in 30 seconds"
    assert first["exceptions"] == {"java.sql.SQLNonTransientConnectionException": 7, "java.net.ConnectException": 7}
    assert second["logger"] == "c.i.i.s.ScriptManager"
    assert [row["level"] for row in result["loggers"]] == sorted(
        (row["level"] for row in result["loggers"]), key=["error", "warn"].index
    )
    assert "java.net.ConnectException x 7" in output


def test_the_log_digest_looks_back_and_filters(sample: Any) -> None:
    log = sample("wrapper.log")
    recent, _ = run("log_digest", log, hours=1)
    assert recent["from"] >= "2026/11/20 09:05:37"
    assert 0 < recent["entries"] < 50
    everything, _ = run("log_digest", log, hours=0, level="info", top=3)
    assert everything["entries"] == 50
    assert len(everything["loggers"]) == 3
    assert everything["more"] > 0
    errors, output = run("log_digest", log, level="error", hours=0)
    assert {row["level"] for row in errors["loggers"]} == {"error"}
    assert "TagManager" not in output


LOG = """\
INFO   | jvm 1    | 2026/11/20 12:00:00 | E [a.B  ] [12:00:00.001]: first line
second line without columns
\tat a.B.run(B.java:1)
INFO   | jvm 1    | 2026/11/20 12:00:01 | java.lang.IllegalStateException: why
INFO   | jvm 1    | 2026/11/20 12:00:02 | W [a.B] [12:00:02]: | pipes | and [brackets]: inside
ERROR  | wrapper  | 2026/11/20 12:00:03 | JVM exited unexpectedly.
INFO   | jvm 1    | 2026/11/20 11:00:00 | E [a.B] [11:00:00.000]: out of order
"""


def test_the_log_digest_reads_entries_of_every_form(sample: Any) -> None:
    result, _ = run("log_digest", sample("odd.log", LOG.encode() + b"\xff\xfe\x00 junk\n"))
    assert result["entries"] == 4
    found = {(row["level"], row["logger"]): row for row in result["loggers"]}
    assert set(found) == {("error", "a.B"), ("error", "wrapper"), ("warn", "a.B")}
    errors = found["error", "a.B"]
    assert (errors["count"], errors["first"], errors["last"]) == (2, "2026/11/20 11:00:00", "2026/11/20 12:00:00")
    assert errors["message"] == "first line"
    assert errors["exceptions"] == {"java.lang.IllegalStateException": 1}
    assert found["warn", "a.B"]["message"] == "| pipes | and [brackets]: inside"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"no log at all\n" * 5, b"\xff" * 100])
def test_the_log_digest_says_when_there_is_nothing(sample: Any, data: bytes) -> None:
    assert refused("log_digest", sample("empty.log", data)) == "There is no line of a wrapper log in this file."


def test_twenty_megabytes_of_log_take_about_a_second(sample: Any) -> None:
    """Measured 0.6 s on two shared cores; the bound leaves room for a busy machine."""
    data = FILES["documents/samples/wrapper.log"]
    log = sample("big.log", data * (20_000_000 // len(data)))
    begun = time.perf_counter()
    result, _ = run("log_digest", log, hours=0)
    taken = time.perf_counter() - begun
    assert result["entries"] == 50 * (20_000_000 // len(data))
    assert taken < 5, f"{taken:.1f} s"


def test_the_csv_summary_of_the_sample(sample: Any) -> None:
    result, output = run("csv_summary", sample("tag_history.csv"))
    assert (result["rows"], result["uneven_rows"]) == (40, 0)
    columns = {column["column"]: column for column in result["columns"]}
    assert list(columns) == ["t_stamp", "tag", "value", "unit", "quality", "note"]
    value = columns["value"]
    assert (value["type"], value["count"], value["empty"]) == ("number", 38, 2)
    assert (value["min"], value["max"]) == (7.94, 1458.0)
    assert value["mean"] == pytest.approx(400.348, abs=0.001)
    assert columns["tag"]["distinct"] == 4
    assert columns["note"]["max"] == 'valve stuck, operator said "wait"'
    assert columns["note"]["min"] == "two lines:\nchecked by hand"
    assert "40 rows, 6 columns" in output


@pytest.mark.parametrize(
    ("data", "params", "rows", "uneven", "summary"),
    [
        (b"a;b\n1;2\n3;4\n", {}, 2, 0, [("a", "number", 2, 1.0, 3.0), ("b", "number", 2, 2.0, 4.0)]),
        (
            b"\xef\xbb\xbfa\tb\r\nx\t-1.5e3\r\n",
            {},
            1,
            0,
            [("a", "text", 1, "x", "x"), ("b", "number", 1, -1500.0, -1500.0)],
        ),
        (b'"a,1",b\n"x","y\n\nz"\n', {}, 1, 0, [("a,1", "text", 1, "x", "x"), ("b", "text", 1, "y\n\nz", "y\n\nz")]),
        (b"a,b\n1\n1,2,3\n\n", {}, 2, 2, [("a", "number", 2, 1.0, 1.0), ("b", "number", 1, 2.0, 2.0)]),
        (b"a,\nnan,inf\n", {}, 1, 0, [("a", "text", 1, "nan", "nan"), ("column 2", "text", 1, "inf", "inf")]),
        (b"a,b\n1,\n,2\n", {}, 2, 0, [("a", "number", 1, 1.0, 1.0), ("b", "number", 1, 2.0, 2.0)]),
        (
            b"a,b;c\n1,2;3\n",
            {"delimiter": "semicolon"},
            1,
            0,
            [("a,b", "text", 1, "1,2", "1,2"), ("c", "number", 1, 3.0, 3.0)],
        ),
        (
            b'a,b\n1,"never closed\n2,3\n',
            {},
            1,
            0,
            [("a", "number", 1, 1.0, 1.0), ("b", "text", 1, "never closed\n2,3", "never closed\n2,3")],
        ),
        (b"a,b\n", {}, 0, 0, [("a", "text", 0, None, None), ("b", "text", 0, None, None)]),
    ],
)
def test_the_csv_summary_reads_tables_of_every_form(
    sample: Any, data: bytes, params: dict[str, str], rows: int, uneven: int, summary: list[tuple[Any, ...]]
) -> None:
    result, _ = run("csv_summary", sample("t.csv", data), **params)
    assert (result["rows"], result["uneven_rows"]) == (rows, uneven)
    found = [tuple(column[key] for key in ("column", "type", "count", "min", "max")) for column in result["columns"]]
    assert found == summary


def test_a_stray_quote_in_a_large_table_does_not_take_long(sample: Any) -> None:
    data = b"a,b\n" + b'1,"2\n' + b"3,4\n" * 500_000
    begun = time.perf_counter()
    result, _ = run("csv_summary", sample("t.csv", data))
    assert result["rows"] == 1
    assert time.perf_counter() - begun < 10
