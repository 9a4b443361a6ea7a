"""The engine as a library: every kind of run through store, pool and services, and what the history keeps of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine import Engine
from engine.lock import AlreadyRunning
from engine.models.runs import Outcome, RunKind, RunRequest, RunState, Stream
from engine.models.scripts import SaveRequest
from engine.services.access import Actor, Role, ServiceError
from store.files.listing import ScriptFile
from store.files.scripts import ScriptFiles

GREET = """\
# /// script
# [tool.gatewright]
# title = "Greeting"
# entrypoint = "main"
# [tool.gatewright.params.name]
# type = "str"
# [tool.gatewright.params.times]
# type = "int"
# default = 2
# ///
def main(name, times):
    for _ in range(times):
        print("hello", name)
    return {"name": name, "times": times}
"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        yield opened


async def test_a_run_gives_its_value_output_and_isolation(engine: Engine) -> None:
    code = "import re\nprint('out')\nprint('err', file=re.enum.sys.stderr)\nresult = 1 + 1"
    run = await engine.execute(code, timeout=5.0)
    assert (run.outcome, run.value, run.stdout, run.stderr) == (Outcome.OK, 2, "out\n", "err\n")
    assert run.isolation
    assert 0 < run.duration < 60


async def test_variables_and_params_reach_the_script(engine: Engine) -> None:
    run = await engine.execute("result = [x, params['y']]", variables={"x": {"a": [1]}}, params={"y": 2.5})
    assert run.value == [{"a": [1]}, 2.5]


async def test_an_error_names_the_line_of_the_script(engine: Engine) -> None:
    run = await engine.execute("x = 1\ny = x / 0\n")
    assert run.outcome is Outcome.SCRIPT_ERROR
    assert run.error is not None
    assert (run.error.type, run.error.line) == ("ZeroDivisionError", 2)
    assert run.traceback is not None
    assert "y = x / 0" in run.traceback
    assert "engine" not in run.traceback


async def test_eval_and_call(engine: Engine) -> None:
    evaluated = await engine.run(RunRequest(kind=RunKind.EVAL, code="6 * 7"))
    assert evaluated.value == 42
    called = await engine.run(
        RunRequest(kind=RunKind.CALL, module="json", function="dumps", args=[[1]], kwargs={"indent": 1})
    )
    assert called.value == "[\n 1\n]"


async def test_a_saved_script_runs_with_its_declared_parameters(engine: Engine) -> None:
    await engine.scripts.save("tools/greet.py", SaveRequest(text=GREET), engine.owner)
    run = await engine.call_script("tools/greet", params={"name": "Ada", "times": "3"})
    assert run.value == {"name": "Ada", "times": 3}
    assert run.stdout == "hello Ada\n" * 3
    with pytest.raises(ServiceError, match="'name'"):
        await engine.call_script("greet.py")


async def test_a_script_of_a_whole_path_is_found_without_looking_at_any_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.scripts.save("tools/greet.py", SaveRequest(text=GREET), engine.owner)

    def looked(_self: ScriptFiles) -> list[ScriptFile]:
        raise AssertionError("it listed the whole folder")

    monkeypatch.setattr(ScriptFiles, "list", looked)
    assert (await engine.scripts.source("tools/greet.py")).info.title == "Greeting"
    assert (await engine.scripts.source("tools/greet")).info.title == "Greeting"


async def test_packages_that_are_not_installed_are_asked_for_before_the_script_runs(engine: Engine) -> None:
    (packages,) = (engine.project.environments / "default").glob("lib/python*/site-packages")
    (packages / "here-1.dist-info").mkdir()
    (packages / "here-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: here\nVersion: 1\n")
    text = '# /// script\n# dependencies = ["here"]\n# ///\nresult = 1\n'
    await engine.scripts.save("needs.py", SaveRequest(text=text), engine.owner)
    assert (await engine.call_script("needs")).value == 1
    text = text.replace('"here"', '"here", "no-such-package>=2"')
    await engine.scripts.save("more.py", SaveRequest(text=text), engine.owner)
    with pytest.raises(ServiceError, match=r"that are not all installed here \(here, no-such-package>=2\)"):
        await engine.call_script("more")


async def test_unsaved_text_of_a_script_runs_under_its_name(engine: Engine) -> None:
    text = GREET.replace("hello", "good morning")
    run = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="tools/greet.py", code=text, params={"name": "Bo"}))
    assert run.stdout == "good morning Bo\n" * 2
    assert (await engine.scripts.list()).scripts
    assert "tools/greet.py" not in [script.path for script in (await engine.scripts.list()).scripts]


async def test_an_uploaded_file_is_read_by_the_script(engine: Engine) -> None:
    writer = engine.buffers.create("plant.csv", engine.owner)
    writer.write(b"a,b\n1,2\n")
    info = writer.finish()
    request = RunRequest(
        kind=RunKind.EXEC, code="f = params['data']\nresult = [f.name, f.size, list(f)]", files={"data": info.id}
    )
    run = await engine.run(request)
    assert run.value == ["plant.csv", 8, ["a,b\n", "1,2\n"]] or run.value == ["plant.csv", 8, ["a,b", "1,2"]]


async def test_a_run_is_in_the_history_with_its_output_after_a_restart(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        run = await engine.execute("print('kept')\nresult = {'a': [1, 2.5, None]}")
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        info = await engine.runs.get(run.id, engine.owner)
        page = await engine.runs.output(run.id, engine.owner)
        again = await engine.execute("result = 1")
        listed = await engine.runs.list(engine.owner)
    assert (info.outcome, info.value, info.state) == (Outcome.OK, {"a": [1, 2.5, None]}, RunState.FINISHED)
    assert [(chunk.stream, chunk.text) for chunk in page.chunks] == [(Stream.STDOUT, "kept\n")]
    assert page.finished
    assert again.id > run.id
    assert [row.id for row in listed.runs] == [again.id, run.id]


async def test_a_second_engine_on_one_project_is_refused(engine: Engine) -> None:
    with pytest.raises(AlreadyRunning):
        async with Engine.open(engine.project.root, pool_size=1):
            pytest.fail("two engines on one project")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mode": "restricted"}, "bad_mode"),
        ({"mode": "ADMIN"}, "mode_unavailable"),
        ({"timeout": 0.0}, "bad_timeout"),
        ({"timeout": float("nan")}, "bad_timeout"),
        ({"timeout": 1e9}, "bad_timeout"),
        ({"code": "  \n"}, "bad_request"),
        ({"code": "x = '\ud800'"}, "bad_request"),
        ({"code": "#" * (2 << 20)}, "bad_request"),
        ({"files": {"a": "nonsense"}}, "no_buffer"),
    ],
)
async def test_a_bad_request_leaves_no_run(engine: Engine, changes: dict[str, object], code: str) -> None:
    request = RunRequest(**{"kind": RunKind.EXEC, "code": "result = 1", **changes})  # type: ignore[arg-type]
    with pytest.raises(ServiceError) as refusal:
        await engine.run(request)
    assert refusal.value.code == code
    await engine.runs.recorder.flush()
    assert (await engine.runs.list(engine.owner)).runs == []
    assert (await engine.execute("result = 5")).value == 5


async def test_unknown_and_bad_scripts_are_refused_with_a_sentence(engine: Engine) -> None:
    with pytest.raises(ServiceError, match="no script 'tuor'") as unknown:
        await engine.call_script("tuor")
    assert unknown.value.hint is not None
    assert "tour" in unknown.value.hint
    await engine.scripts.save("bad.py", SaveRequest(text="# /// script\n# [tool\n# ///\n"), engine.owner)
    with pytest.raises(ServiceError, match=r"bad\.py cannot run"):
        await engine.call_script("bad")


async def test_saving_over_a_file_that_changed_is_a_conflict_and_writes_nothing(engine: Engine) -> None:
    info = await engine.scripts.save("mine.py", SaveRequest(text="a = 1\n"), engine.owner)
    (engine.project.scripts / "mine.py").write_text("theirs = 1\n")
    with pytest.raises(ServiceError, match="changed on disk") as refusal:
        await engine.scripts.save("mine.py", SaveRequest(text="a = 2\n", base_sha256=info.sha256), engine.owner)
    assert refusal.value.status == 409
    assert (engine.project.scripts / "mine.py").read_text() == "theirs = 1\n"


async def test_what_a_role_may_not_do_is_refused(engine: Engine) -> None:
    viewer = Actor(name="eve", uid=4242, role=Role.VIEWER)
    operator = Actor(name="otto", uid=4243, role=Role.OPERATOR)
    run = await engine.execute("result = 1")
    with pytest.raises(ServiceError, match="eve may not"):
        await engine.runs.start(RunRequest(kind=RunKind.SCRIPT, script="defaults/tour"), viewer, "rest")
    with pytest.raises(ServiceError, match="otto may not"):
        await engine.runs.start(RunRequest(kind=RunKind.EXEC, code="result = 1"), operator, "rest")
    with pytest.raises(ServiceError, match="eve may not see"):
        await engine.runs.get(run.id, viewer)
    with pytest.raises(ServiceError, match="otto may not"):
        await engine.scripts.save("x.py", SaveRequest(text=""), operator)


async def test_the_scripts_of_a_new_project_are_listed_without_problems(engine: Engine) -> None:
    scripts = (await engine.scripts.list()).scripts
    assert {"defaults/tour.py", "defaults/log_digest.py", "defaults/csv_summary.py"} <= {s.path for s in scripts}
    assert [s.problem for s in scripts if s.problem] == []
