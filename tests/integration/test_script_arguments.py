"""Scripts from elsewhere: ``sys.argv``, ``__file__``, the status that they end with, and the record of it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from daemon_support import write_settings

from engine import Engine
from engine.models.runs import Mode, Outcome, ReplayRequest, RunInfo, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.services.access import ServiceError

pytestmark = pytest.mark.asyncio(loop_scope="module")

TELLS = "from dataclasses import sys\nresult = [sys.argv, globals().get('__file__')]\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    root: Path = tmp_path_factory.mktemp("arguments") / "plant"
    root.mkdir()
    write_settings(root, '[policy]\nmodules = ["os", "sys", "argparse", "zlib"]\nadmin_as_root = true\n')
    async with Engine.open(root, pool_size=1) as opened:
        for path, text in (("sub/tells.py", TELLS), ("fails.py", f"{TELLS}1/0\n")):
            await opened.scripts.save(path, SaveRequest(text=text), opened.owner)
        yield opened


async def run(engine: Engine, **fields: Any) -> RunInfo:
    fields.setdefault("kind", RunKind.EXEC)
    return await (await engine.runs.launch(RunRequest(**fields), engine.owner, "library")).ended()


async def replay(engine: Engine, run_id: int, **fields: Any) -> RunInfo:
    active = await engine.run_history.launch(run_id, ReplayRequest(**fields), engine.owner, "library")
    return await active.ended()


@pytest.mark.parametrize("mode", Mode)
async def test_a_script_knows_its_file_and_its_arguments(engine: Engine, mode: Mode) -> None:
    file = str(engine.project.scripts / "sub/tells.py")
    argv = ["--hours", "5", "", "ä b", "--", "-x"]
    done = await run(engine, kind=RunKind.SCRIPT, script="sub/tells.py", argv=argv, mode=mode)
    assert done.value == [[file, *argv], file]
    unsaved = await run(engine, kind=RunKind.SCRIPT, script="sub/tells.py", code=TELLS + "\n", mode=mode)
    assert unsaved.value == [[file], file]
    assert (await run(engine, code=TELLS, argv=["a"], mode=mode)).value == [["-c", "a"], None]
    assert (await run(engine, code=TELLS, mode=mode)).value == [["-c"], None]


async def test_the_library_hands_them_over(engine: Engine) -> None:
    assert (await engine.execute(TELLS, argv=["a", "b"])).value[0] == ["-c", "a", "b"]
    assert (await engine.call_script("sub/tells", argv=["a"])).value[0][1:] == ["a"]


async def test_tracebacks_go_on_showing_the_name_that_people_know(engine: Engine) -> None:
    done = await run(engine, kind=RunKind.SCRIPT, script="fails", argv=["x"])
    assert 'File "fails.py", line 3' in (done.traceback or "")
    assert str(engine.project.root) not in (done.traceback or "")


async def test_what_lies_beside_a_script_is_there_in_admin_and_explained_in_restricted(engine: Engine) -> None:
    (engine.project.scripts / "sub" / "site.json").write_text("{}")
    code = "beside = __file__.rpartition('/')[0] + '/site.json'\nresult = open(beside).read()\n"
    request = {"kind": RunKind.SCRIPT, "script": "sub/tells.py", "code": code}
    assert (await run(engine, **request, mode=Mode.ADMIN)).value == "{}"
    refused = await run(engine, **request)
    assert refused.error is not None
    assert (refused.error.type, refused.value) == ("FileNotFoundError", None)
    assert "none of the host's files" in (refused.error.hint or "")


async def test_arguments_that_no_program_can_be_given_are_refused(engine: Engine) -> None:
    with pytest.raises(ServiceError, match="NUL"):
        await run(engine, code=TELLS, argv=["a\0b"])


@pytest.mark.parametrize(
    ("code", "outcome", "status"),
    [
        ("result = 1", Outcome.OK, 0),
        ("import sys; sys.exit()", Outcome.OK, 0),
        ("import sys; sys.exit(0)", Outcome.OK, 0),
        ("import sys; sys.exit(2)", Outcome.SCRIPT_ERROR, 2),
        ("import sys; sys.exit(True)", Outcome.SCRIPT_ERROR, 1),
        ("import sys; sys.exit('no tag')", Outcome.SCRIPT_ERROR, 1),
        ("import sys; sys.exit(-1)", Outcome.SCRIPT_ERROR, 255),
        ("import sys; sys.exit(259)", Outcome.SCRIPT_ERROR, 3),
        ("import sys; sys.exit(10**5000)", Outcome.SCRIPT_ERROR, 255),
        ("raise SystemExit(7)", Outcome.SCRIPT_ERROR, 7),
        ("import argparse; argparse.ArgumentParser().parse_args(['--nothing'])", Outcome.SCRIPT_ERROR, 2),
        ("1/0", Outcome.SCRIPT_ERROR, 1),
        ("import subprocess", Outcome.IMPORT_DENIED, 1),
        ("import os; os._exit(4)", Outcome.EXITED, 4),
        ("import os; os.abort()", Outcome.CRASHED, None),
    ],
)
async def test_an_end_keeps_its_status(engine: Engine, code: str, outcome: Outcome, status: int | None) -> None:
    done = await run(engine, code=code)
    assert (done.outcome, done.exit_status) == (outcome, status)
    if status not in (0, 1, None):
        assert str(status) in str(done.error)
    await engine.runs.recorder.flush()
    recorded = await engine.state.run(done.id)
    assert recorded is not None
    assert recorded.exit_status == status


async def test_a_run_that_the_engine_ends_has_no_status(engine: Engine) -> None:
    done = await run(engine, code="while True: pass", timeout=0.2)
    assert (done.outcome, done.exit_status) == (Outcome.TIMEOUT, None)


async def test_arguments_are_on_record_and_repeated(engine: Engine) -> None:
    first = await run(engine, kind=RunKind.SCRIPT, script="sub/tells.py", argv=["--hours", "5"])
    kept = await engine.run_history.inputs(first.id, engine.owner)
    assert (kept.argv, kept.secrets, kept.problem) == (["--hours", "5"], [], None)
    again = await replay(engine, first.id)
    assert (again.value, again.inputs_sha256, again.replay_of) == (first.value, first.inputs_sha256, first.id)
    other = await run(engine, kind=RunKind.SCRIPT, script="sub/tells.py", argv=["--hours", "6"])
    assert other.inputs_sha256 != first.inputs_sha256
    assert '+  "6"' in (await engine.run_history.compare(first.id, other.id, engine.owner)).inputs


async def test_secret_arguments_are_not_kept_and_a_replay_asks_for_them(engine: Engine) -> None:
    argv = ["--user", "anna", "--db-password", "hunter2", "--token=abc9x", "https://u:pw77@host/x", "rest"]
    sums_up = "from dataclasses import sys\nimport zlib\nresult = zlib.crc32(repr(sys.argv[1:]).encode())\n"
    first = await run(engine, code=sums_up, argv=argv)
    assert first.value == zlib.crc32(repr(argv).encode())
    kept = await engine.run_history.inputs(first.id, engine.owner)
    assert kept.argv == ["--user", "anna", "--db-password", "***", "--token=***", "***", "rest"]
    names = [one.name for one in kept.secrets]
    assert sorted(names) == ["argv4_db_password", "argv5_token", "argv6_url"]
    state = engine.project.state_db
    await engine.runs.recorder.flush()
    raw = b"".join(file.read_bytes() for file in state.parent.glob(f"{state.name}*"))
    assert [secret for secret in (b"hunter2", b"abc9x", b"pw77") if secret in raw] == []
    with pytest.raises(ServiceError, match="argv4_db_password"):
        await replay(engine, first.id)
    values = {"argv4_db_password": "hunter2", "argv5_token": "abc9x", "argv6_url": "https://u:pw77@host/x"}
    again = await replay(engine, first.id, secrets=values)
    assert (again.value, again.inputs_sha256) == (first.value, first.inputs_sha256)
    with pytest.raises(ServiceError, match="is text"):
        await replay(engine, first.id, secrets=values | {"argv5_token": 7})


async def test_an_entrypoint_that_takes_something_else_gets_a_sentence(engine: Engine) -> None:
    code = "def main():\n    return 1\n"
    done = await run(engine, code=code, entrypoint="main", params={"x": 1})
    assert done.error is not None
    assert (done.error.type, "'x'" in done.error.message) == ("TypeError", True)
    assert "one name for the run" in (done.error.hint or "")
    inside = await run(engine, code="def main(x):\n    return x + ''\n", entrypoint="main", params={"x": 1})
    assert inside.error is not None
    assert (inside.error.type, inside.error.hint) == ("TypeError", None)
