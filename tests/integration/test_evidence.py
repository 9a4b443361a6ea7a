"""Evidence of real runs: what is in the file, what never is, and that it is verified on a host without the project."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio
from cli_support import PROGRAM, CliProject, cli_project
from package_index import Release, package_index

import tui
from engine import Engine
from engine.client.client import EngineClient
from engine.config import PackagesSection, Settings
from engine.evidence_check import CheckedEvidence, check, digest, sealed
from engine.models.access import TokenRequest
from engine.models.engine import PruneRequest
from engine.models.permissions import ApproveRequest, Grant
from engine.models.runs import RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.models.secrets import SecretValue
from engine.registry.engine import AuditParams
from engine.registry.evidence import EvidenceParams
from engine.services.access import ServiceError
from store.errors import LowDisk
from tui.commands.evidence import _unknown

SECRET = "geheim-4711"

HELP = (Path(tui.__file__).parent / "help" / "evidence.md").read_text()

SHARED = "FACTOR = 3\n"
SCRIPT = """\
# /// script
# [tool.gatewright]
# title = "Watch"
# entrypoint = "main"
# [tool.gatewright.limits]
# timeout = 20
# [tool.gatewright.params]
# n = {{ type = "int" }}
# key = {{ type = "str", secret = true, default = "" }}
# [tool.gatewright.permissions]
# read = ["{folder}"]
# ///
import sys
from lib.factor import FACTOR

def main(n, key):
    print("öut")
    print("err", file=sys.stderr)
    return [n * FACTOR, len(key)]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "data").mkdir()
    async with Engine.open(folder / "plant", pool_size=1) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watch(engine: Engine) -> int:
    """A run of a script with shared code, an approval and a secret."""
    owner, folder = engine.owner, engine.project.root.parent / "data"
    await engine.scripts.save("lib/factor.py", SaveRequest(text=SHARED), owner)
    await engine.scripts.save("own/watch.py", SaveRequest(text=SCRIPT.format(folder=folder)), owner)
    review = await engine.permissions.review("own/watch.py", owner)
    asked = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
    await engine.permissions.approve(
        "own/watch.py", ApproveRequest(sha256=review.sha256, grants=asked, shared=[*review.shared]), owner
    )
    run = await engine.call_script("own/watch.py", params={"n": 4, "key": SECRET})
    assert run.value == [12, len(SECRET)], (run.error, run.traceback)
    return run.id


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def made(engine: Engine, run_id: int, **wanted: bool) -> bytes:
    params = EvidenceParams(run_id=run_id, **wanted)  # type: ignore[arg-type]
    return await engine.evidence.evidence(params, engine.owner, "cli")


async def evidence(engine: Engine, run_id: int, **wanted: bool) -> CheckedEvidence:
    checked = check(await made(engine, run_id, **wanted))
    assert checked.problems == []
    return checked


def records(found: CheckedEvidence) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = found.evidence["audit"]["records"]
    return kept


async def test_it_has_what_ran_and_by_whose_leave_and_hashes_of_the_rest(engine: Engine, watch: int) -> None:
    found = (await evidence(engine, watch)).evidence
    info = await engine.runs.get(watch, engine.owner)
    saved = await engine.scripts.load("own/watch.py")
    assert found["code"] == {"text": saved.text, "sha256": info.code_sha256, "size": len(saved.text.encode())}
    assert [(one["path"], one["text"]) for one in found["shared"]] == [("lib/factor.py", SHARED)]
    assert (found["header"]["entrypoint"], found["header"]["timeout"]) == ("main", 20)
    assert found["run"]["outcome"] == "ok"
    assert found["run"]["actor"] == engine.owner.name
    [grant] = found["run"]["grants"]
    assert found["approval"]["grants"] == [grant]
    assert (found["approval"]["by"], found["approval"]["superseded_at"]) == (engine.owner.name, None)
    assert found["isolation"]["proven"] == info.isolation
    assert found["isolation"]["host_now"]["level"] == engine.modes.restricted.level
    assert found["limits"]["timeout"] == 20.0
    assert found["interpreter"]["python"] == engine.pool.environment.version
    assert found["inputs"]["sha256"] == info.inputs_sha256
    assert found["inputs"]["secrets"] == [{"place": "params", "name": "key"}]
    assert found["output"]["stdout"] == {"sha256": digest("öut\n".encode()), "size": 5}
    assert found["output"]["complete"]
    assert found["result"]["value"] == {"sha256": digest(b"[12,11]"), "size": 7}


async def test_texts_of_what_went_in_and_out_come_only_when_they_are_asked_for_and_a_secret_never(
    engine: Engine, watch: int
) -> None:
    short, long = await made(engine, watch), await made(engine, watch, inputs=True, output=True)
    assert b"12,11" not in short
    found = check(long).evidence
    assert (found["output"]["stdout"]["text"], found["output"]["stderr"]["text"]) == ("öut\n", "err\n")
    assert found["result"]["value"]["text"] == "[12,11]"
    assert json.loads(found["inputs"]["text"])["params"] == {"n": 4}
    for file in (short, long):
        assert SECRET.encode() not in file


async def test_no_value_of_a_secret_is_in_it_wherever_that_stands(engine: Engine) -> None:
    """In the text itself, its output and result, and in words of its error, which are told in any case."""
    secret = "wasser-0815"
    run = await engine.execute(f"print('{secret}')\nresult = [b'\\xff{secret}'.hex()]\nraise ValueError('{secret}!')")
    kept = await made(engine, run.id, inputs=True, output=True)
    assert secret.encode() in kept, "nobody knows yet that it is one"
    await engine.secrets.set("plc", SecretValue(value=secret), engine.owner, "cli")
    file = await made(engine, run.id, inputs=True, output=True)
    assert secret.encode() not in file
    found = check(file)
    assert found.problems == []
    assert found.evidence["code"] == {
        name: value for name, value in check(kept).evidence["code"].items() if name != "text"
    }
    assert found.evidence["run"]["error"]["message"] == "***!"
    notes = [note for note in found.evidence["notes"] if "only its hash is here" in note]
    assert any(found.evidence["code"]["sha256"] in note for note in notes)
    await engine.secrets.delete("plc", engine.owner, "cli")


@pytest.mark.slow
async def test_a_secret_that_is_a_word_of_the_engines_own_spoils_nothing(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        first = await engine.execute("1/0")
        for number, word in enumerate((first.isolation[:5], first.outcome or "", engine.owner.name, "exec")):
            await engine.secrets.set(f"w{number}", SecretValue(value=word), engine.owner, "cli")
        for run in (first, await engine.execute("1/0")):  # the audit hides these words from here on
            assert (await evidence(engine, run.id)).evidence["run"]["isolation"] == run.isolation


async def test_every_record_of_the_audit_is_as_the_engine_has_it_and_the_file_itself_is_on_record(
    engine: Engine, watch: int
) -> None:
    file = await made(engine, watch)
    rows = {row.seq: row for row in await engine.state.audit.page(0, 500)}
    kept = records(check(file))
    assert all(asdict(rows[record["seq"]]) == record for record in kept)
    subjects = {(record["action"], record["subject"]) for record in kept}
    assert {("save", "own/watch.py"), ("save", "lib/factor.py"), ("approved", "own/watch.py")} <= subjects
    own = next(record for record in kept if record["action"] == "run")
    assert json.loads(own["detail"])["isolation"] == check(file).evidence["run"]["isolation"]
    newest = rows[max(rows)]
    assert (newest.action, newest.details["file"]) == ("evidence", digest(file))
    numbers = {record["seq"] for record in kept}
    for number in check(file).evidence["audit"]["about"]:
        assert {number - 1, number} - {0} <= numbers, "each has the one before it"


async def test_a_run_of_a_token_has_its_own_record_among_them(engine: Engine, watch: int) -> None:
    token = await engine.tokens.create(TokenRequest(name="dash", role="operator"), engine.owner, "cli")
    run = await engine.run(
        RunRequest(kind=RunKind.SCRIPT, script="own/watch.py", params={"n": 1}),
        engine.callers.by_token(token.token, ""),
    )
    found = await evidence(engine, run.id)
    about = [one for one in records(found) if one["subject"] == f"#{run.id} own/watch.py" and one["action"] == "run"]
    assert [one["actor"] for one in about] == ["token:dash"]
    assert not any("no record of the run itself" in note for note in found.evidence["notes"])


async def test_what_retention_has_removed_is_said(engine: Engine) -> None:
    run = await engine.execute("print('long ago')\nresult = 2")
    assert (await evidence(engine, run.id)).evidence["output"]["complete"]
    await engine.retention.prune(PruneRequest(output_days=0), engine.owner)
    found = (await evidence(engine, run.id, output=True)).evidence
    assert (found["output"]["kept"], found["output"]["recorded"], found["output"]["complete"]) == (0, 9, False)
    assert any("retention has removed it" in note for note in found["notes"])
    assert found["result"]["value"]["text"] == "2"


async def test_packages_that_were_changed_since_are_not_taken_for_those_of_then(engine: Engine) -> None:
    run = await engine.execute("result = 1")
    assert (await evidence(engine, run.id)).evidence["interpreter"]["changed_since"] == []
    engine.audit.tell(engine.owner, "cli", "packages_install", "default", lock="0" * 64, changed=["x 1"])
    found = (await evidence(engine, run.id)).evidence
    [number] = found["interpreter"]["changed_since"]
    assert any(f"has changed since the run (audit records {number})" in note for note in found["notes"])
    assert number in found["audit"]["about"]


@pytest.mark.parametrize("installed", [(), ("six==1.16",)])
async def test_only_packages_that_are_there_were_installed_by_hand(engine: Engine, installed: tuple[str, ...]) -> None:
    run = await engine.execute("result = 1")
    folder = engine.project.root / ".gatewright" / "envs"
    build = folder / "builds" / "20260101-000000-0a0a0a0a"
    (build / "bin").mkdir(parents=True)
    (build / "bin" / "python").symlink_to(sys.executable)
    kept = {"format": 1, "name": "default", "python": sys.executable, "version": "3.11.7", "managed": False}
    (build / "gatewright.json").write_text(json.dumps(kept | {"requirements": installed}))
    (folder / "default").rename(folder / "aside")
    (folder / "default").symlink_to(build.relative_to(folder))
    try:
        notes = (await evidence(engine, run.id)).evidence["notes"]
    finally:
        (folder / "default").unlink()
        (folder / "aside").rename(folder / "default")
        shutil.rmtree(build)
    assert any("was installed into by hand" in note for note in notes) is bool(installed)


async def test_a_run_that_goes_on_or_is_none_is_refused_in_a_sentence(engine: Engine) -> None:
    with pytest.raises(ServiceError, match="There is no run 4711"):
        await made(engine, 4711)
    active = await engine.runs.launch(
        RunRequest(kind=RunKind.EXEC, code="import time\ntime.sleep(600)"), engine.owner, "cli"
    )
    with pytest.raises(ServiceError, match="goes on, and evidence is of what has happened") as refused:
        await made(engine, active.info.id)
    assert refused.value.status == 409
    await engine.runs.cancel(active.info.id, engine.owner)
    assert (await evidence(engine, active.info.id)).evidence["run"]["outcome"] == "cancelled"


async def test_no_file_is_handed_out_whose_hash_is_not_on_record(
    engine: Engine, watch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: object) -> None:
        raise LowDisk("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(engine.state.audit, "append", full)
        with pytest.raises(ServiceError, match="while its hash cannot be put on record") as refused:
            await made(engine, watch)
        assert refused.value.status == 409
    kept = records(await evidence(engine, watch))
    assert [record["action"] for record in kept].count("evidence") >= 1, "what waited is on record by now"


async def test_a_batch_says_what_of_it_is_kept_by_nobody(engine: Engine) -> None:
    await engine.render_many("def render(params, context):\n    return 'x'\n", [{"a": 1}])
    run = (await engine.runs.list(engine.owner, limit=1)).runs[0]
    found = (await evidence(engine, run.id)).evidence
    assert (found["run"]["kind"], found["run"]["outcome"], "text" in found["code"]) == ("render", "ok", False)
    assert [note for note in found["notes"] if "batch" in note] == found["notes"]


async def test_a_failed_run_and_a_hostile_name_are_evidence_too(engine: Engine) -> None:
    request = RunRequest(kind=RunKind.EXEC, code='1 / 0  # \x1b[31m "quoted"', name="#1 own/watch.py %_")
    run = await engine.run(request)
    found = (await evidence(engine, run.id, output=True)).evidence
    assert found["run"]["error"]["type"] == "ZeroDivisionError"
    assert "ZeroDivisionError" in found["result"]["traceback"]["text"]
    assert found["code"]["text"] == request.code


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli-evidence") / "plant") as project:
        assert project.call("exec", "print(2)\nresult = [1.5, 'ü']").returncode == 0
        yield project


def verified(file: Path, elsewhere: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Call the command as on a host that has nothing but the file."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(elsewhere), "LANG": "C.UTF-8"}
    command = [PROGRAM, "evidence", "--verify", str(file), *options]
    return subprocess.run(
        command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_command_writes_a_file_that_is_verified_elsewhere_and_no_more_after_one_byte(
    plant: CliProject, tmp_path: Path
) -> None:
    def work() -> None:
        done = plant.call("evidence", "1", "-o", str(tmp_path), "--output")
        assert done.returncode == 0, done.stderr
        file = tmp_path / "evidence-1.json"
        assert file.stat().st_mode & 0o777 == 0o600
        again = plant.call("evidence", "1", "-o", str(tmp_path))
        assert (again.returncode, "nothing is overwritten" in again.stderr) == (5, True)
        (elsewhere := tmp_path / "elsewhere").mkdir()
        good = verified(file, elsewhere)
        assert good.returncode == 0, good.stderr
        assert "with --ask it is told" in good.stderr
        asked = plant.call("evidence", "--verify", str(file), "--ask")
        assert (asked.returncode, "fits together; the audit of the gateway has its sha256" in asked.stderr) == (0, True)
        assert digest(file.read_bytes()) in good.stdout
        assert digest(file.read_bytes())[:12] in plant.call("audit", "--what", "evidence").stdout
        assert not list(elsewhere.iterdir())
        recipe = textwrap.dedent(HELP.split("line feed:\n\n")[1].split("\n\n")[0]).replace("evidence-41", "evidence-1")
        subprocess.run([sys.executable, "-c", recipe], cwd=tmp_path, check=True, timeout=60)
        data = file.read_bytes()
        whole = {key: value for key, value in json.loads(data).items() if key not in ("format", "version", "sha256")}
        whole["made"]["by"] = "another account"
        file.write_bytes(sealed(whole))
        assert verified(file, elsewhere).returncode == 0, "every hash was computed again"
        forged = plant.call("evidence", "--verify", str(file), "--ask")
        assert (forged.returncode, "has no record that it made this file" in forged.stderr) == (1, True)
        file.write_bytes(data.replace(b'"text":"2\\n"', b'"text":"3\\n"'))
        bad = verified(file, elsewhere)
        assert bad.returncode == 1
        assert "What the run wrote to stdout was changed" in bad.stderr
        told = json.loads(verified(file, elsewhere, "--json").stdout)
        assert len(told["problems"]) == 2
        assert told["run"]["id"] == 1
        file.write_bytes(b"\x00" * 100)
        assert verified(file, elsewhere).returncode == 1
        assert verified(tmp_path / "nothing", elsewhere).returncode == 2

    await asyncio.to_thread(work)


class Asked:
    """An engine's answers without the way to it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def call(self, _: object, params: AuditParams) -> Any:
        return await self._engine.audit.list(self._engine.owner, **msgspec.structs.asdict(params))


async def test_a_forged_file_whose_hash_is_the_name_of_a_script_is_still_unknown(engine: Engine, watch: int) -> None:
    """The audit has that hash then, in a record about evidence: that of another run."""
    body = {key: value for key, value in check(await made(engine, watch)).evidence.items() if key != "sha256"}
    forged = sealed({**body, "made": {**body["made"], "by": "another"}})
    name = f"{digest(forged)}.py"
    await engine.scripts.save(name, SaveRequest(text="result = 1\n"), engine.owner)
    run = await engine.call_script(name)
    true = check(await made(engine, run.id))
    assert check(forged).problems == []
    asked = cast(EngineClient, Asked(engine))
    assert await _unknown(asked, true) == []
    assert await _unknown(asked, check(forged)) == ["The audit of the engine has no record that it made this file."]


@pytest.mark.slow
async def test_the_command_says_what_is_wrong_with_its_arguments(plant: CliProject) -> None:
    def work() -> None:
        for arguments in ((), ("1", "--verify", "x"), ("1", "--ask"), ("x",), ("--verify",)):
            done = plant.call("evidence", *arguments)
            assert (done.returncode, done.stdout) == (2, ""), arguments
        missing = plant.call("evidence", "4711", "-o", "/nowhere/at/all.json")
        assert missing.returncode != 0
        assert "Traceback" not in missing.stderr

    await asyncio.to_thread(work)


@pytest.mark.slow
async def test_packages_of_a_script_are_those_that_were_approved_when_it_ran(tmp_path: Path) -> None:
    text = "# /// script\n# dependencies = [{}]\n# ///\nresult = 1\n"
    with package_index(Release("gwlines", "1.0"), Release("gwother", "1.0")) as index:
        settings = Settings(packages=PackagesSection(index=index.url))
        async with Engine.open(tmp_path / "plant", pool_size=1, settings=settings) as engine:
            owner = engine.owner
            await engine.scripts.save("a.py", SaveRequest(text=text.format('"gwlines"')), owner)
            review = await engine.permissions.review("a.py", owner)
            assert review.environment is not None
            request = ApproveRequest(sha256=review.sha256, grants=[], environment=review.environment.lock)
            await engine.permissions.approve("a.py", request, owner)
            async with asyncio.timeout(60):
                run = await engine.call_script("a.py")
            found = await evidence(engine, run.id)
            told = found.evidence["interpreter"]
            assert (told["known_from"], told["environment"]) == ("approval", "")
            assert [(one["name"], one["version"]) for one in told["packages"]] == [("gwlines", "1.0")]
            assert told["lock"]["sha256"] == review.environment.lock
            assert (told["approved_by"], told["approved_for"]) == (owner.name, "a.py")
            assert "packages_approved" in {record["action"] for record in records(found)}
            await engine.permissions.refuse("a.py", owner)
            again = (await evidence(engine, run.id)).evidence["interpreter"]
            assert again == told, "what is decided later changes nothing about it"
            changed = check(sealed(found.evidence | {"interpreter": told | {"lock": told["lock"] | {"text": "x"}}}))
            assert any("lock of the packages was changed" in problem for problem in changed.problems)
