"""What a secret parameter is given reaches the script, and nothing else: no record, no log, no event, no sentence."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from daemon_support import write_settings

from engine import Engine
from engine.models.runs import Mode, Outcome, ReplayRequest, RunInfo, RunInputs, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.services.access import ServiceError
from store.state.hmac_key import KEY_FILE

SECRET = "hunter2-9c41e7"

SCRIPT = """# /// script
# [tool.gatewright]
# entrypoint = "main"
# [tool.gatewright.params.host]
# [tool.gatewright.params.db_password]
# [tool.gatewright.params.pin]
# type = "int"
# default = 0
# secret = true
# [tool.gatewright.params.sort_key]
# default = "name"
# secret = false
# ///
def main(host, db_password, pin, sort_key):
    return [host, len(db_password), pin, sort_key]
"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    root = tmp_path / "plant"
    root.mkdir()
    write_settings(root, "[policy]\nadmin_as_root = true\n")
    async with Engine.open(root, pool_size=1) as opened:
        await opened.scripts.save("secrets.py", SaveRequest(text=SCRIPT), opened.owner)
        yield opened


async def run(engine: Engine, **fields: Any) -> RunInfo:
    return await (await engine.runs.launch(RunRequest(**fields), engine.owner, "library")).ended()


async def inputs(engine: Engine, run_id: int) -> RunInputs:
    return await engine.run_history.inputs(run_id, engine.owner)


async def replay(engine: Engine, run_id: int, **fields: Any) -> RunInfo:
    request = ReplayRequest(**fields)
    return await (await engine.run_history.launch(run_id, request, engine.owner, "library")).ended()


def found_below(folder: Path, secret: str) -> list[str]:
    """Files that hold it; a database with its log included."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "state.db" for path in files)
    return [str(path) for path in files if "envs" not in path.parts and secret.encode() in path.read_bytes()]


async def test_a_run_keeps_an_hmac_and_a_replay_is_given_the_value_again(engine: Engine) -> None:
    given = {"host": "plc-7", "db_password": SECRET, "pin": "4711", "sort_key": "at"}
    first = await run(engine, kind=RunKind.SCRIPT, script="secrets", params=given)
    assert first.value == ["plc-7", len(SECRET), 4711, "at"], first.error
    kept = await inputs(engine, first.id)
    assert kept.params == {"host": "plc-7", "sort_key": "at"}
    assert [(one.place, one.name) for one in kept.secrets] == [("params", "db_password"), ("params", "pin")]
    assert all(one.hmac.startswith("hmac-sha256:") and len(one.hmac) == 76 for one in kept.secrets)

    with pytest.raises(ServiceError) as caught:
        await replay(engine, first.id, secrets={"pin": "4711"})
    assert (caught.value.code, caught.value.status) == ("needs_secrets", 409)
    assert "'db_password'" in caught.value.message
    with pytest.raises(ServiceError) as caught:
        await replay(engine, first.id, secrets={"host": "other"})
    assert caught.value.code == "bad_params"

    again = await replay(engine, first.id, secrets={"pin": "4711", "db_password": SECRET})
    assert (again.value, again.inputs_sha256) == (first.value, first.inputs_sha256), "the same secrets look the same"
    other = await replay(engine, first.id, secrets={"pin": "4711", "db_password": "rotated"})
    assert other.value == ["plc-7", 7, 4711, "at"]
    compared = await engine.run_history.compare(first.id, other.id, engine.owner)
    assert '-  "params.db_password": "hmac-sha256:' in compared.inputs
    assert "params.pin" not in "".join(line for line in compared.inputs.split("\n") if line[:1] in "+-")
    assert "rotated" not in compared.inputs


async def test_nothing_that_the_engine_writes_has_it(engine: Engine) -> None:
    seen = engine.events.last_seq
    script: dict[str, Any] = {"kind": RunKind.SCRIPT, "script": "secrets"}
    nested = {"dbPassword": SECRET, "config": {"a": [{"apiKey": SECRET}]}}
    runs = [
        await run(engine, **script, params={"host": "a", "db_password": SECRET}),
        await run(engine, **script, params={"host": "a", "db_password": SECRET}, code=f"{SCRIPT}#"),
        await run(engine, kind=RunKind.EXEC, code="result = len(token)", variables={"token": SECRET}, mode=Mode.ADMIN),
        await run(engine, kind=RunKind.EXEC, code="x = params", params=nested),
        await run(engine, kind=RunKind.CALL, module="math", function="dist", kwargs={"secret": SECRET}),
        await run(engine, kind=RunKind.EXEC, code="x = args", args=["a", {"password": SECRET}]),
    ]
    assert [one.outcome for one in runs[:4]] == [Outcome.OK] * 4, [one.error for one in runs]
    for refused in (
        {"script": "secrets", "params": {"host": "a", "db_password": SECRET, "pin": SECRET}},
        {"script": "secrets", "params": {"host": "a", "db_password": {"a": SECRET}}},
        {"script": "secrets", "params": {"host": "a", "db_password": SECRET, "unknown": SECRET}},
    ):
        with pytest.raises(ServiceError) as caught:
            await run(engine, kind=RunKind.SCRIPT, **refused)
        assert SECRET not in f"{caught.value.message} {caught.value.hint}"
    assert [one.name for one in (await inputs(engine, runs[3].id)).secrets] == ["config", "dbPassword"]
    assert (await inputs(engine, runs[3].id)).params == {}
    last = await inputs(engine, runs[5].id)
    assert (last.args, [one.place for one in last.secrets]) == ([], ["args"])
    assert "held a secret" in (last.problem or "")
    with pytest.raises(ServiceError) as caught:
        await replay(engine, runs[5].id)
    assert caught.value.code == "not_replayable"
    await engine.runs.recorder.flush()
    events, _ = engine.events.since(seen)
    assert events
    assert SECRET not in repr(events)
    assert found_below(engine.project.root, SECRET) == []


async def test_what_is_no_secret_is_found_where_runs_are_kept(engine: Engine) -> None:
    """Else the search for the secret would prove nothing."""
    await run(engine, kind=RunKind.EXEC, code="x = params", params={"monkey": SECRET})
    await engine.runs.recorder.flush()
    assert found_below(engine.project.root, SECRET)


async def test_the_key_is_for_the_engine_only(engine: Engine) -> None:
    place = engine.project.private / KEY_FILE
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    key = place.read_bytes()
    text = f'# /// script\n# [tool.gatewright.permissions]\n# read = ["{place}"]\n# ///\n'
    await engine.scripts.save("greedy.py", SaveRequest(text=text), engine.owner)
    review = await engine.permissions.review("greedy.py", engine.owner)
    assert "never granted" in (review.asked[0].problem or "")
    reading = await run(
        engine, kind=RunKind.EXEC, code=f"try:\n    open({os.fspath(place)!r})\nexcept OSError:\n    result = 'held'"
    )
    assert reading.value == "held"
    assert found_below(engine.project.root, key.hex()) == []
