"""What a run can do and give back, through a real pool: kinds, inputs, output, results, errors."""

from __future__ import annotations

import os
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pool_kit import ADMIN, Done, expect_innocent, limits, pool_of, run

from engine.models.runs import Mode, Outcome, RunKind, Stream
from engine.pool.job import FileInput, JobRejected
from engine.pool.pool import Pool
from engine.sandbox.plan import Level, Plan, PlannedLayers


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1) as started:
        yield started


def code(text: str) -> str:
    return textwrap.dedent(text).strip("\n") + "\n"


# -- kinds and inputs ------------------------------------------------------------------------------------------------


async def test_kinds(pool: Pool) -> None:
    assert (await run(pool, "result = 1 + 1")).value == 2
    assert (await run(pool, "  [n * n for n in range(4)]\n", kind=RunKind.EVAL)).value == [0, 1, 4, 9]
    call = {"kind": RunKind.CALL, "module": "os.path", "function": "join", "args": ["a", "b"]}
    assert (await run(pool, "", **call)).value == "a/b"
    dotted = {"kind": RunKind.CALL, "module": "datetime", "function": "datetime.fromisoformat"}
    done = await run(pool, "", **dotted, args=["2024-02-29"])
    assert done.value == "2024-02-29T00:00:00"
    keywords = {"kind": RunKind.CALL, "module": "json", "function": "dumps", "args": [{"b": 1, "a": 2}]}
    assert (await run(pool, "", **keywords, kwargs={"sort_keys": True})).value == '{"a": 2, "b": 1}'


async def test_inputs_are_globals(pool: Pool) -> None:
    inputs = {"params": {"a": 1}, "args": ["b"], "kwargs": {"c": None}, "variables": {"x": "ä"}}
    done = await run(pool, "result = [params, args, kwargs, x]", **inputs)
    assert done.value == [{"a": 1}, ["b"], {"c": None}, "ä"]
    assert (await run(pool, "result = [params, args, kwargs]")).value == [{}, [], {}]


async def test_an_entrypoint_gets_the_params_and_gives_the_result(pool: Pool) -> None:
    script = "result = 'not this'\ndef main(name, times=1):\n    return [name] * times\n"
    done = await run(pool, script, kind=RunKind.SCRIPT, entrypoint="main", params={"name": "a", "times": 2})
    assert done.value == ["a", "a"]
    done = await run(pool, script, kind=RunKind.SCRIPT, entrypoint="start")
    assert done.outcome is Outcome.SCRIPT_ERROR
    assert "no function 'start'" in str(done.ending.error)
    done = await run(pool, script, kind=RunKind.SCRIPT, entrypoint="main", params={"nam": "a"})
    assert done.ending.error is not None
    assert (done.ending.error.type, "nam" in done.ending.error.message) == ("TypeError", True)


async def test_files_are_read_only_memory(pool: Pool) -> None:
    content = "first\r\nzweite Zeile ä\nlast".encode() + b"\xff"
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(fd, content)
    empty = os.memfd_create("test", os.MFD_CLOEXEC)
    files = {"log": FileInput("wrapper.log", fd, len(content)), "none": FileInput("none.txt", empty, 0)}
    done = await run(
        pool,
        code(
            """
            log, none = params["log"], params["none"]
            try:
                log.buffer[0] = 1
            except TypeError as error:
                refused = str(error)
            result = [log.name, log.size, log.read() == bytes(log.buffer), log.text(), list(log), log.splitlines(),
                      bool(refused), none.read(), list(none), none.name, params["n"]] + [repr(log)]
            result[7] = result[7].decode()
            """
        ),
        files=files,
        params={"n": 5},
    )
    lines = ["first\r\n", "zweite Zeile ä\n", "last\ufffd"]
    assert done.value == [
        "wrapper.log", len(content), True, "".join(lines), lines, [line.rstrip("\r\n") for line in lines], True, "", [],
        "none.txt", 5, f"InputFile(name='wrapper.log', size={len(content)})",
    ]  # fmt: skip
    big = os.memfd_create("test", os.MFD_CLOEXEC)
    os.truncate(big, 700 << 20)
    done = await run(pool, "result = params['big'].size >> 20", files={"big": FileInput("big", big, 700 << 20)})
    assert done.value == 700, "a file larger than the memory limit is mapped, not counted"
    for open_fd in (fd, empty, big):
        os.close(open_fd)
    await expect_innocent(pool)


async def test_main_is_a_real_module(pool: Pool) -> None:
    done = await run(
        pool,
        code(
            """
            import dataclasses, pickle, sys
            @dataclasses.dataclass
            class Point:
                x: int
                y: int = 0
            copy = pickle.loads(pickle.dumps(Point(3)))
            result = [__name__, copy == Point(3), sys.modules["__main__"].Point is Point, sys.argv]
            """
        ),
    )
    assert done.value == ["__main__", True, True, ["-c"]]


async def test_refused_before_they_start(pool: Pool) -> None:
    for job, sentence in (
        ({"variables": {"not a name": 1}}, "name of a variable"),
        ({"variables": {"__builtins__": 1}}, "name of a variable"),
        ({"kind": RunKind.CALL, "module": "json"}, "module and a function"),
        ({"limits": limits(wall=float("nan"))}, "wall limit"),
        ({"limits": limits(wall=0.0)}, "wall limit"),
        ({"params": {"x": object()}}, "JSON"),
    ):
        with pytest.raises(JobRejected, match=sentence):
            await run(pool, "result = 1", **job)
    with pytest.raises(JobRejected, match="2 MiB; the limit is 1 MiB"):
        await run(pool, b"#" * (2 << 20))
    await expect_innocent(pool)


# -- output ----------------------------------------------------------------------------------------------------------


async def test_both_streams_keep_their_order(pool: Pool) -> None:
    done = await run(
        pool,
        code(
            """
            import sys
            print("one")
            print("two", file=sys.stderr)
            print("thr", end="")
            print("four", file=sys.stderr)
            print("ee")
            sys.stdout.write("five")
            """
        ),
    )
    out, err = Stream.STDOUT, Stream.STDERR
    assert done.sink.chunks == [(out, "one\n"), (err, "two\n"), (out, "thr"), (err, "four\n"), (out, "ee\nfive")] or (
        done.sink.stdout,
        done.sink.stderr,
        [stream for stream, _ in done.sink.chunks][:5],
    ) == ("one\nthree\nfive", "two\nfour\n", [out, err, out, err, out])


async def test_text_that_is_no_utf8(pool: Pool) -> None:
    done = await run(
        pool,
        code(
            r"""
            import sys
            print("a\ud800b ä")
            sys.stdout.buffer.write(b"c\xff d \xc3")
            sys.stdout.flush()
            sys.stdout.buffer.write(b"\xa4!")
            """
        ),
    )
    assert done.sink.stdout == "a\\ud800b ä\nc\ufffd d ä!"


async def test_output_character_by_character_is_whole_and_in_order(pool: Pool) -> None:
    """It is read at a pace, which is no reason to end a run."""
    source = """
import sys
for number in range(6_000):
    print("o" if number % 2 else "x", end="", flush=True)
for number in range(1_500):
    print(number, end=";", flush=True, file=sys.stderr if number % 2 else sys.stdout)
"""
    done = await run(pool, source)
    assert done.outcome is Outcome.OK
    text = "".join(text for _, text in done.sink.chunks)
    assert text == "xo" * 3_000 + "".join(f"{number};" for number in range(1_500))
    assert done.sink.stderr == "".join(f"{number};" for number in range(1, 1_500, 2))


async def test_descriptors_one_and_two_are_output_too(pool: Pool) -> None:
    done = await run(
        pool,
        code(
            """
            import os, subprocess, sys
            os.write(1, b"raw out\\n")
            os.write(2, b"raw err\\n")
            subprocess.run(["sh", "-c", "echo from a shell; echo and its error >&2"])
            os.write(sys.stdout.fileno(), b"x" * 200_000)
            """
        ),
        profile=ADMIN,
    )
    assert done.sink.stdout == "raw out\nfrom a shell\n" + "x" * 200_000
    assert done.sink.stderr == "raw err\nand its error\n"


async def test_printing_from_threads(pool: Pool) -> None:
    done = await run(
        pool,
        code(
            """
            import threading
            def work(n):
                for i in range(200):
                    print(f"{n}:{i}:" + "x" * 50)
            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            """
        ),
    )
    lines = done.sink.stdout.splitlines()
    assert sorted(lines) == sorted(f"{n}:{i}:" + "x" * 50 for n in range(4) for i in range(200))


async def test_a_script_may_replace_or_close_its_streams(pool: Pool) -> None:
    done = await run(pool, "import io, sys\nsys.stdout = io.StringIO()\nprint('kept')\nresult = sys.stdout.getvalue()")
    assert (done.value, done.sink.chunks) == ("kept\n", [])
    done = await run(pool, "import sys\nsys.stdout.close()\nprint('x')")
    assert done.ending.error is not None
    assert done.ending.error.type == "ValueError"
    await expect_innocent(pool)


# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value", "text"),
    [
        ("{'a': [1, 2.5, None, True, 'ä']}", {"a": [1, 2.5, None, True, "ä"]}, '{"a": [1, 2.5, null, true, "ä"]}'),
        ("'just text'", "just text", "just text"),
        ("(1, 2)", [1, 2], "[1, 2]"),
        ("{1: 'x'}", {"1": "x"}, '{"1": "x"}'),
        ("10**400", 10**400, str(10**400)),
        ("''", "", ""),
        ("0", 0, "0"),
        ("[[]] * 300", [[]] * 300, None),
    ],
)
async def test_values(pool: Pool, expression: str, value: object, text: str | None) -> None:
    ending = (await run(pool, f"result = {expression}")).ending
    assert (ending.outcome, ending.has_value, ending.value, ending.note) == (Outcome.OK, True, value, None)
    if text is not None:
        assert ending.text == text


@pytest.mark.parametrize(
    ("source", "value", "note"),
    [
        ("result = float('nan')", None, "NaN to null"),
        ("result = [float('inf')]", [None], "infinity to null"),
        ("result = {3}", [3], "set to list"),
        (
            "class Thing: pass\nThing.__repr__ = lambda self: 'a thing'\nresult = [Thing()]",
            ["a thing"],
            "Thing to text",
        ),
        ("result = []\nresult.append(result)", ["<list that holds itself>"], "holds itself"),
        ("result = '\\ud800'", "\\ud800", "surrogate"),
        ("result = 10**5000", hex(10**5000), "hexadecimal"),
        ("import sys; sys.set_int_max_str_digits(0); result = 10**5000", hex(10**5000), "hexadecimal"),
        ("import sys; sys.set_int_max_str_digits(0); result = [10**5000, {1}]", [hex(10**5000), [1]], "hexadecimal"),
        (
            "import sys; sys.set_int_max_str_digits(0); result = [10**4299, -10**4300, {1}]",
            [10**4299, hex(-(10**4300)), [1]],
            "hexadecimal",
        ),
        ("import sys; sys.set_int_max_str_digits(640); result = [10**1000, {1}]", [10**1000, [1]], "set to list"),
        (
            (
                "import sys, threading, time\nsys.set_int_max_str_digits(0)\nresult = 10**5000\n"
                "threading.Thread(target=time.sleep, args=(0.3,)).start()"
            ),
            hex(10**5000),
            "hexadecimal",
        ),
        ("class Bad(dict):\n    def items(self): raise KeyboardInterrupt\nresult = Bad(a=1)", {"a": 1}, ""),
        (
            "class Bad:\n    def __repr__(self): raise SystemExit(3)\nresult = [Bad(), 1]",
            ["<Bad object whose repr() raised SystemExit>", 1],
            "Bad to text",
        ),
    ],
)
async def test_results_that_are_no_json_are_converted(pool: Pool, source: str, value: object, note: str) -> None:
    ending = (await run(pool, source)).ending
    assert (ending.outcome, ending.has_value, ending.value) == (Outcome.OK, True, value), ending
    assert note in (ending.note or "")


@pytest.mark.parametrize("levels", [250, 10_000])
async def test_a_deep_result_is_cut_at_its_limit(pool: Pool, levels: int) -> None:
    ending = (await run(pool, f"result = []\nfor _ in range({levels}): result = [result]")).ending
    assert (ending.outcome, ending.has_value) == (Outcome.OK, True), ending
    assert "levels deep" in (ending.note or "")


async def test_a_result_that_only_repr_knows_is_text(pool: Pool) -> None:
    ending = (await run(pool, "class Bad:\n    def __repr__(self): raise SystemExit(3)\nresult = Bad()")).ending
    assert (ending.outcome, ending.has_value, ending.value) == (Outcome.OK, False, None), ending
    assert ending.text == "<Bad object whose repr() raised SystemExit>"
    assert "type Bad" in (ending.note or "")


async def test_no_result_is_no_result(pool: Pool) -> None:
    for source in ("pass", "result = None"):
        ending = (await run(pool, source)).ending
        assert (ending.outcome, ending.has_value, ending.text, ending.note) == (Outcome.OK, False, None, None)


async def test_a_result_over_the_limit_says_both_sizes(pool: Pool) -> None:
    done = await run(pool, "result = 'x' * 5000", limits=limits(result=4096))
    assert done.outcome is Outcome.SCRIPT_ERROR
    assert done.ending.error is not None
    assert "5,002 bytes" in done.ending.error.message
    assert "4,096 bytes" in done.ending.error.message
    done = await run(pool, "result = 'x' * 3_000_000", limits=limits(result=4 << 20))
    assert done.value == "x" * 3_000_000
    done = await run(pool, "result = 'x' * 3_000_000")
    assert done.outcome is Outcome.SCRIPT_ERROR


# -- errors ----------------------------------------------------------------------------------------------------------


def told(done: Done) -> tuple[str, str, str | None, int | None]:
    error = done.ending.error
    assert error is not None
    return error.type, error.message, error.filename, error.line


async def test_a_traceback_shows_the_scripts_own_lines(pool: Pool) -> None:
    script = code(
        """
        import json
        def inner():
            return json.loads("{")
        def outer():
            try:
                inner()
            except ValueError as error:
                raise RuntimeError("no data") from error
        outer()
        """
    )
    done = await run(pool, script, filename="defaults/load.py")
    assert done.outcome is Outcome.SCRIPT_ERROR
    assert told(done) == ("RuntimeError", "no data", "defaults/load.py", 8)
    trace = done.ending.traceback or ""
    assert 'File "defaults/load.py", line 3, in inner\n    return json.loads("{")' in trace
    assert "direct cause" in trace
    assert "JSONDecodeError" in trace
    assert trace.rstrip().endswith("RuntimeError: no data")
    assert "worker" not in trace


async def test_a_script_that_asks_is_told_why_nobody_answers(pool: Pool) -> None:
    done = await run(pool, "name = input('your name? ')")
    assert done.sink.stdout == "your name? "
    assert (done.ending.traceback or "").endswith(
        "io.UnsupportedOperation: A run has no standard input. Hand it over with --stdin, or as a file with "
        "--file NAME=-; take what input() would ask for as a parameter of the script.\n"
    )


async def test_carets_stand_under_what_failed(pool: Pool) -> None:
    """On terminals: a wide character takes two cells there, and nobody knows where the next tab stop is."""
    for text in (
        "1/0",
        "1/0\n",
        "if True:\n    1/0",
        "if True:\n\tx =\t1/0",
        "\ufeff1/0",
        "'漢字', 1/0",
        "if True:\r\n  1/0",
        "1/0  # ä  ",
        "f = 1/0 # ä  \nprint()",
        "# end\r1/0",
    ):
        done = await run(pool, text)
        _carets_are_under(done, "1/0")
    for text in ("1/0", "  1/0 ", "\n\n 1/0\n"):
        done = await run(pool, text, kind=RunKind.EVAL)
        _carets_are_under(done, "1/0")
        assert "line 1" in (done.ending.traceback or "")
    _carets_are_under(await run(pool, "x\t= = 2"), "=", marks="^")


def _carets_are_under(done: Done, failed: str, *, marks: str = "~^~") -> None:
    trace = (done.ending.traceback or "").split("\n")
    carets = next(row for row, line in enumerate(trace) if line.strip() == marks)
    source = "".join(char * (2 if "一" <= char <= "龥" else 1) for char in trace[carets - 1])
    assert "\t" not in source
    assert source[trace[carets].index(marks[0]) :].startswith(failed), trace


@pytest.mark.parametrize("end", ["\f", "\v", "\x1c", "\x85", "\u2028"])
async def test_what_ends_no_line_in_python_moves_no_line_of_a_traceback(pool: Pool, end: str) -> None:
    done = await run(pool, f"text = 'a{end}b'  # {end}\r\nhere = text[99]\n")
    assert "line 2, in <module>\n    here = text[99]" in (done.ending.traceback or "")


@pytest.mark.parametrize(
    ("source", "kind", "message", "line"),
    [
        ("x = 1\nif x\n    y", "SyntaxError", "expected ':'", 2),
        ("def f():\n\treturn 1\n        return 2", "TabError", "inconsistent", 3),
        ("x = 1\ny = 'a\0b'\n", "SyntaxError", "NUL character in line 2", 2),
        ("1/0", "ZeroDivisionError", "division by zero", 1),
        ("\nraise KeyboardInterrupt('enough')", "KeyboardInterrupt", "enough", 2),
        ("raise BaseException", "BaseException", "", 1),
        ("class E(Exception):\n  def __str__(self): raise ValueError\nraise E", "E", "could not be read", 3),
        ("def f(): f()\nf()", "RecursionError", "recursion", 1),
        ("import nothing_of_that_name", "ModuleNotFoundError", "nothing_of_that_name", 1),
        ("raise ValueError('x' * 1_000_000)", "ValueError", "1,000,000 characters", 1),
        ("raise ExceptionGroup('both', [ValueError(1), TypeError(2)])", "ExceptionGroup", "both", 1),
        (
            "e = None\nfor i in range(3000):\n  n = ValueError(i); n.__context__ = e; e = n\nraise e",
            "ValueError",
            "2999",
            4,
        ),
        ("raise ValueError('lone \\ud800')", "ValueError", "\\ud800", 1),
    ],
)
async def test_errors_name_type_message_and_line(pool: Pool, source: str, kind: str, message: str, line: int) -> None:
    done = await run(pool, source)
    assert done.outcome is Outcome.SCRIPT_ERROR
    got_kind, got_message, filename, got_line = told(done)
    assert (got_kind, filename, got_line) == (kind, "<exec>", line)
    assert message in got_message
    assert len(done.ending.traceback or "") < 70_000
    await expect_innocent(pool)


async def test_errors_of_a_call_and_an_eval(pool: Pool) -> None:
    missing = await run(pool, "", kind=RunKind.CALL, module="nowhere.at.all", function="f")
    assert told(missing)[0] == "ModuleNotFoundError"
    unnamed = await run(pool, "", kind=RunKind.CALL, module="json", function="nothing")
    assert told(unnamed)[0] == "AttributeError"
    own = await run(pool, "", kind=RunKind.CALL, module="__main__", function="f")
    assert told(own)[0] == "AttributeError"
    wrong = await run(pool, "x = 1", kind=RunKind.EVAL)
    assert told(wrong)[0] == "SyntaxError"
    for done in (missing, unnamed, own):
        assert "engine" not in (done.ending.traceback or "")


async def test_a_declared_encoding_is_not_obeyed(pool: Pool) -> None:
    """What runs is the text as UTF-8, which is what people read, even if nobody had refused the declaration."""
    for comment in ("# coding: utf-7\n# +AAo-result=1", "# coding: unicode_escape\n# \\nresult = 1"):
        done = await run(pool, f"{comment}\n".encode())
        assert (done.ending.outcome, done.ending.has_value) == (Outcome.OK, False)
    done = await run(pool, b"# coding: latin-1\nresult = '\xe4'")
    assert told(done)[:2] == ("SyntaxError", "The code is not UTF-8 in line 2.")
    done = await run(pool, "\ufeffresult = 'ä'".encode())
    assert done.value == "ä"
    done = await run(pool, b" \n 1 + 1\n", kind=RunKind.EVAL)
    assert done.value == 2


@pytest.mark.parametrize(
    ("source", "outcome", "message", "stderr"),
    [
        ("import sys\nresult = 5\nsys.exit()", Outcome.OK, None, ""),
        ("import sys\nresult = 5\nsys.exit(0)", Outcome.OK, None, ""),
        ("raise SystemExit", Outcome.OK, None, ""),
        ("import sys\nsys.exit(3)", Outcome.SCRIPT_ERROR, "exit status 3", ""),
        ("import sys\nsys.exit('no such plant')", Outcome.SCRIPT_ERROR, "exit status 1", "no such plant\n"),
        ("import sys\nsys.exit(True)", Outcome.SCRIPT_ERROR, "exit status 1", ""),
        ("import sys\ntry:\n  sys.exit(4)\nfinally:\n  print('bye')", Outcome.SCRIPT_ERROR, "exit status 4", ""),
    ],
)
async def test_sys_exit(pool: Pool, source: str, outcome: Outcome, message: str | None, stderr: str) -> None:
    done = await run(pool, source)
    assert done.outcome is outcome
    assert (done.ending.error.message if done.ending.error else None) == message
    assert done.sink.stderr == stderr
    assert done.value == (5 if "result" in source else None)
    await expect_innocent(pool)


async def test_what_a_script_leaves_open_is_written(pool: Pool, tmp_path: Path) -> None:
    target = f"{tmp_path}/left-open.txt"
    done = await run(
        pool,
        code(
            f"""
            import atexit
            class Late:
                def __del__(self): print("deleted")
            atexit.register(print, "at exit")
            late = Late()
            file = open({target!r}, "w")
            file.write("all of it")
            result = "done"
            """
        ),
        profile=ADMIN,
    )
    assert (done.value, done.sink.stdout) == ("done", "at exit\ndeleted\n")
    assert Path(target).read_text() == "all of it"


async def test_the_environment_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWRIGHT_TEST_SECRET", "hunter2")
    async with pool_of(1) as pool:
        await _see_the_environment(pool)


async def _see_the_environment(pool: Pool) -> None:
    done = await run(pool, "import os\nresult = dict(os.environ) | {'cwd': os.getcwd(), 'umask': os.umask(0)}")
    assert set(done.value) <= {
        "PATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR", "TZ", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS",
        "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS",
        "MALLOC_ARENA_MAX", "cwd", "umask",
    }  # fmt: skip
    assert done.value["cwd"] == done.value["HOME"] == done.value["TMPDIR"]
    assert done.value["umask"] == 0o077


async def test_random_numbers_differ_from_run_to_run(pool: Pool) -> None:
    source = "import random, uuid\nresult = [random.random(), str(uuid.uuid4())]"
    values = [(await run(pool, source)).value for _ in range(3)]
    assert len({tuple(value) for value in values}) == 3


@pytest.mark.parametrize(
    "layers", [PlannedLayers(seccomp=True), PlannedLayers(landlock=3), PlannedLayers(landlock=3, seccomp=True)]
)
async def test_without_namespaces_no_run_finds_what_another_wrote(layers: PlannedLayers) -> None:
    """There is no scratch then; also where only one half of the core is there, and policy lets scripts run."""
    async with pool_of(1, restricted=Plan(Mode.RESTRICTED, Level.DEGRADED, layers)) as pool:
        done = await run(pool, "import os\ntry: os.chmod('.', 0o700)\nexcept OSError: pass\nopen('left', 'w').close()")
        assert done.ending.error is not None
        assert done.ending.error.type == "PermissionError"
        assert (await run(pool, "import os\nresult = os.path.exists('left')")).value is False
