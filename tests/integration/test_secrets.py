"""Secrets: set by administrators, given to the runs of scripts that are approved to use them, found nowhere else."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from access_kit import AccessHost

from engine import Engine
from engine.config import PolicySection, Settings
from engine.library import Run, _run
from engine.models.access import TokenRequest
from engine.models.permissions import Access, ApprovalState, ApproveRequest, Grant, PermissionReview
from engine.models.runs import Mode, Outcome, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.models.secrets import SecretValue
from engine.services.access import ServiceError
from store.errors import StoreError
from store.secrets import MAX_FILE, Secret, SecretsFile

pytestmark = pytest.mark.asyncio(loop_scope="module")

VALUE = "heliotrope-7f'\"4e"
HEADER = "# /// script\n# [tool.gatewright.permissions]\n# {asks}\n# ///\nimport gatewright\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    settings = replace(Settings(), policy=PolicySection(admin_as_root=True))
    async with Engine.open(tmp_path_factory.mktemp("secrets") / "plant", pool_size=1, settings=settings) as engine:
        await keep(engine, "plc", VALUE)
        await keep(engine, "other", "nasturtium-99")
        yield engine


async def keep(engine: Engine, name: str, value: str) -> None:
    await engine.secrets.set(name, SecretValue(value=value), engine.owner, "cli")


async def approve(engine: Engine, path: str) -> PermissionReview:
    review = await engine.permissions.review(path, engine.owner)
    grants = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
    return await engine.permissions.approve(path, ApproveRequest(sha256=review.sha256, grants=grants), engine.owner)


async def save(engine: Engine, path: str, body: str, asks: str = 'secrets = ["plc"]') -> None:
    """Save over whatever is there."""
    try:
        base: str | None = (await engine.scripts.load(path)).info.sha256
    except ServiceError:
        base = None
    await engine.scripts.save(path, SaveRequest(text=HEADER.format(asks=asks) + body, base_sha256=base), engine.owner)


async def approved(engine: Engine, path: str, body: str, asks: str = 'secrets = ["plc"]') -> Run:
    """Run a script that is approved."""
    await save(engine, path, body, asks)
    await approve(engine, path)
    return await engine.call_script(path)


GET = """
try:
    result = len(gatewright.secrets.get({name!r}))
except gatewright.Error as error:
    result = [error.code, str(error)]
"""


async def test_a_script_gets_the_secret_that_its_text_is_approved_for_and_no_other(engine: Engine) -> None:
    path = "own/secret.py"
    await save(engine, path, GET.format(name="plc"))
    with pytest.raises(ServiceError, match=r"asks for secrets, and no administrator has approved that yet") as refused:
        await engine.call_script(path)
    assert refused.value.code == "needs_approval"
    assert (await engine.scripts.load(path)).info.needs_approval
    review = await approve(engine, path)
    assert [(one.access, one.path, one.note) for one in review.asked] == [(Access.SECRET, "plc", None)]
    run = await engine.call_script(path)
    assert run.value == len(VALUE), run.error
    assert run.grants == [Grant(access=Access.SECRET, path="plc")]
    assert {one.name: one.scripts for one in (await engine.secrets.list(engine.owner)).secrets} == {
        "other": [],
        "plc": [path],
    }
    run = await approved(engine, path, GET.format(name="other"))
    assert run.value[0] == "not_granted"
    assert "does not ask for the secret 'other' in its header" in run.value[1]


async def test_one_byte_more_ends_it_and_so_does_another_name_and_a_refusal(engine: Engine) -> None:
    path, body = "own/edited.py", GET.format(name="plc")
    assert (await approved(engine, path, body)).value == len(VALUE)
    for text, asks in ((body + "\n", 'secrets = ["plc"]'), (body, 'secrets = ["plc", "other"]')):
        await save(engine, path, text, asks)
        with pytest.raises(ServiceError, match="is not the text whose permissions were approved"):
            await engine.call_script(path)
        assert (await engine.permissions.review(path, engine.owner)).state is ApprovalState.CHANGED
    assert (await approved(engine, path, body)).value == len(VALUE)
    await engine.permissions.refuse(path, engine.owner)
    with pytest.raises(ServiceError, match="was refused the permissions"):
        await engine.call_script(path)


async def test_code_that_is_no_script_and_unsaved_texts_get_none(engine: Engine) -> None:
    run = await engine.execute("import gatewright\n" + GET.format(name="plc"))
    assert run.value[0] == "not_granted"
    assert "Only a saved script can use secrets" in run.value[1]
    path, body = "own/unsaved.py", GET.format(name="plc")
    assert (await approved(engine, path, body)).value == len(VALUE)
    other = HEADER.format(asks='secrets = ["plc"]') + body + "# x"
    with pytest.raises(ServiceError, match="is not the text whose permissions were approved"):
        await engine.run(RunRequest(kind=RunKind.SCRIPT, script=path, code=other))


async def test_own_edits_have_secrets_for_their_console_alone_and_as_long_as_they_last(engine: Engine) -> None:
    path = "own/leased.py"
    await save(engine, path, GET.format(name="plc"))
    review = await engine.permissions.review(path, engine.owner)
    grants = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
    edits = await engine.permissions.begin_edits(
        path, ApproveRequest(sha256=review.sha256, grants=grants), engine.owner
    )
    mine = RunRequest(kind=RunKind.SCRIPT, script=path, own_edits=edits.token)
    assert (await engine.run(mine)).value == len(VALUE)
    with pytest.raises(ServiceError, match="no administrator has approved that yet"):
        await engine.call_script(path)
    await engine.permissions.end_edits(edits.token, engine.owner)
    with pytest.raises(ServiceError, match="no administrator has approved that yet"):
        await engine.run(mine)


async def test_an_admin_run_gets_what_the_header_asks_for_without_an_approval_and_hides_it(engine: Engine) -> None:
    path = "own/unapproved.py"
    await save(engine, path, "print(gatewright.secrets.get('plc'))" + GET.format(name="other"))
    if engine.modes.admin.refusal is not None:
        pytest.skip(engine.modes.admin.refusal)
    run = await engine.run(RunRequest(kind=RunKind.SCRIPT, script=path, mode=Mode.ADMIN))
    assert run.stdout == "***\n", run.error
    assert run.value[0] == "not_granted"


async def test_a_macro_gets_none_whatever_is_approved(engine: Engine) -> None:
    text = GET.format(name="plc")
    await save(engine, "own/macro.py", text, 'secrets = ["plc"]\n# [tool.gatewright]\n# kind = "macro"')
    await approve(engine, "own/macro.py")
    run = await engine.call_script("own/macro.py")
    assert run.value[0] == "not_for_kind", run.value


async def test_a_secret_that_is_not_set_is_told_before_approval_and_by_the_run(engine: Engine) -> None:
    path = "own/missing.py"
    await save(engine, path, GET.format(name="later"), 'secrets = ["later"]')
    review = await engine.permissions.review(path, engine.owner)
    assert [one.note for one in review.asked] == ["There is no such secret yet: gatewright secrets set later"]
    run = await approved(engine, path, GET.format(name="later"), 'secrets = ["later"]')
    assert run.value[0] == "no_secret"
    assert "gatewright secrets set later" in run.value[1]
    await keep(engine, "later", "now-it-is")
    assert (await engine.call_script(path)).value == len("now-it-is")
    await engine.secrets.delete("later", engine.owner, "cli")
    assert (await engine.call_script(path)).value[0] == "no_secret"


LEAKS = """
import base64, pathlib, sys
secret = gatewright.secrets.get("plc")
print("plain", secret)
gatewright._call("runs.progress", {"done": 0.5, "text": "at " + secret})
sys.stdout.write(secret[:5]); sys.stdout.flush()
sys.stderr.write("between\\n"); sys.stderr.flush()
print(secret[5:], flush=True)
for character in secret:
    sys.stderr.write(character); sys.stderr.flush()
print(repr(secret), base64.b64encode(b"user:" + secret.encode()))
pathlib.Path("note.txt").write_text("x" + secret)
sys.stdout.write(secret[:-1]); sys.stdout.flush()
"""
ENDS = {
    "value": "result = {'k': [secret, {secret: secret}], 'f': {'__file__': 'note.txt'}}",
    "text": "class Odd:\n    def __repr__(self):\n        return f'<{secret}>'\nresult = Odd()",
    "error": "raise ValueError(f'no {secret!r} here')",
    "exit": "raise SystemExit(f'left with {secret}')",
    "stopped": "sys.stderr.write('ready'); sys.stderr.flush()\nwhile True: pass",
}


async def stopped(engine: Engine, path: str, body: str) -> Run:
    """Run an approved script until it says that it is ready, and stop it then."""
    await save(engine, path, body)
    await approve(engine, path)
    active = await engine.runs.launch(RunRequest(kind=RunKind.SCRIPT, script=path), engine.owner, "library")
    seen = ""
    async for item in active.follow(0):
        seen += "".join(chunk.text for chunk in item) if isinstance(item, list) else ""
        if "ready" in seen:
            engine.pool.cancel(active.info.id)
    return _run(await active.ended(), active, {})


def sees_secret(data: bytes) -> bool:
    """Whether any text of the value stands in some bytes."""
    spellings = (VALUE.encode(), repr(VALUE)[1:-1].encode(), VALUE.replace('"', '\\"').encode())
    return any(each in data for each in spellings) or base64.b64encode(b"user:" + VALUE.encode())[:-4] in data


@pytest.mark.parametrize("how", ENDS)
async def test_nothing_that_a_run_writes_leaves_or_fails_with_tells_a_secret(engine: Engine, how: str) -> None:
    events: list[object] = []
    with engine.events.subscribe() as changes:
        run = await (stopped if how == "stopped" else approved)(engine, "own/leaks.py", LEAKS + ENDS[how])
        while not any(getattr(event.data, "outcome", None) for event in events):  # type: ignore[attr-defined]
            events += await asyncio.wait_for(anext(changes), 20)
    assert run.stdout.startswith("plain ***\n***\n"), run
    assert run.stdout.endswith(VALUE[:-1]), "what was only a beginning of it"
    assert run.stderr.startswith("between\n***")
    info = await engine.runs.get(run.id, engine.owner)
    await engine.runs.recorder.flush()
    row, output = await engine.state.run(run.id), await engine.state.output(run.id)
    audit = await engine.audit.list(engine.owner, limit=50)
    for seen in (run, info, row, output, audit, events):
        assert not sees_secret(repr(seen).encode()), seen
    if how == "value":
        assert run.value["k"] == ["***", {"***": "***"}]
    if how == "error":
        assert run.outcome is Outcome.SCRIPT_ERROR
        assert run.error is not None
        assert "***" in run.error.message
        assert "***" in (run.traceback or "")
    used = [record for record in audit.records if record.action == "secret_use"]
    assert used[0].subject == "plc"


async def test_what_a_run_asks_of_the_engine_tells_no_secret_either(engine: Engine) -> None:
    body = """
secret = gatewright.secrets.get("plc")
def refused(value):
    try:
        gatewright.state.set("kept", value)
    except gatewright.Error as error:
        return error.code
    return gatewright.state.get("kept")
result = [refused(secret), refused({"a": ["x" + secret]}), refused({secret: 1}), refused(secret[1:])]
"""
    run = await approved(engine, "own/hands.py", body)
    assert run.value == ["tells_secret"] * 3 + [VALUE[1:]], run.error


async def test_a_secret_lies_in_one_file_of_its_owner_alone(engine: Engine) -> None:
    run = await approved(engine, "own/leaks.py", LEAKS + ENDS["value"])
    assert run.outcome is Outcome.OK, run.error
    await engine.audit.flush()
    root = engine.project.root
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and "envs" not in path.parts and sees_secret(path.read_bytes())
    }
    assert found == {".gatewright/secrets.json"}
    assert (root / ".gatewright/secrets.json").stat().st_mode & 0o777 == 0o600
    listed = await engine.git.status()
    assert "secrets.json" not in repr(listed)


async def test_a_restricted_run_does_not_reach_the_file(engine: Engine) -> None:
    path = str(engine.project.private / "secrets.json")
    code = f"try:\n    result = open({path!r}).read()\nexcept OSError as error:\n    result = type(error).__name__\n"
    assert (await engine.execute(code)).value in ("FileNotFoundError", "PermissionError")


async def test_only_administrators_set_list_and_delete_and_no_answer_has_a_value(engine: Engine) -> None:
    host = AccessHost(engine)
    for role, allowed in (("operator", False), ("author", False), ("admin", True)):
        token = (await engine.tokens.create(TokenRequest(name=f"s-{role}", role=role), engine.owner, "cli")).token
        asked = (
            ("PUT", "/secrets/api", {"value": "gloxinia-1"}),
            ("GET", "/secrets", None),
            ("DELETE", "/secrets/api", None),
        )
        for method, target, body in asked:
            answer = await host.ask(method, f"/api/v1{target}", token=token, body=body)
            assert answer.status == (200 if allowed else 403), answer
            assert b"gloxinia" not in answer.body
            assert not sees_secret(answer.body)
    for method, target in (("GET", "/secrets/plc"), ("POST", "/secrets/plc")):
        assert (await host.ask(method, f"/api/v1{target}", token=token)).status in (404, 405)
    records = (await engine.audit.list(engine.owner, limit=10)).records
    assert [(record.action, record.subject) for record in records if record.action.startswith("secret_")][:2] == [
        ("secret_delete", "api"),
        ("secret_set", "api"),
    ]
    assert "gloxinia" not in repr(records)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("a b", "long enough", "has at most 64 letters"),
        ("a\n", "long enough", "has at most 64 letters"),
        ("../a", "long enough", "has at most 64 letters"),
        ("a", "abc", "at least 4 characters"),
        ("a", "   a  \n", "at least 4 characters"),
        ("a", "x" * (16 * 1024 + 1), "at most 16 KiB"),
        ("a", "abcd\0", "NUL"),
        ("a", "abcd\ud800", "lone surrogate"),
    ],
)
async def test_what_cannot_be_a_secret_is_refused_without_repeating_it(
    engine: Engine, name: str, value: str, said: str
) -> None:
    with pytest.raises(ServiceError, match=said) as refused:
        await keep(engine, name, value)
    assert refused.value.code == "bad_secret"
    assert len(refused.value.message) < 200
    assert "a" not in {one.name for one in (await engine.secrets.list(engine.owner)).secrets}


async def test_a_file_that_others_may_read_or_that_is_damaged_is_not_used_and_says_why(tmp_path: Path) -> None:
    file = SecretsFile(tmp_path)
    assert file.read() == {}
    file.path.write_text('{"a": {"value": "marigold", "set_at": 1, "set_by": "x"}}')
    file.path.chmod(0o640)
    with pytest.raises(Exception, match="Other accounts may read"):
        file.read()
    file.path.chmod(0o600)
    assert file.read()["a"].value == "marigold"
    assert "marigold" not in repr(file.read())
    large = Secret("ä" * (MAX_FILE // 6), 1.0, "x")
    with pytest.raises(StoreError, match="would have more than 8 MiB"):
        file.change(lambda found: {**found, "large": large})
    assert list(file.read()) == ["a"]
    for text in ('{"a": "marigold"}', '{"a": {"value": 1}}', '["marigold"]', '{"marigold', "[" * 100_000):
        file.path.write_text(text)
        with pytest.raises(Exception, match="is damaged") as damaged:
            file.read()
        assert "marigold" not in repr(damaged.value)
        with pytest.raises(Exception, match="is damaged"):
            file.change(lambda found: found)
        assert file.path.read_text() == text
    file.path.unlink()
    file.path.symlink_to("/etc/passwd")
    with pytest.raises(Exception, match=r"secrets\.json"):
        file.read()


async def test_a_value_that_fails_half_way_leaves_the_old_one(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr("store.disk.write_all", full)
        with pytest.raises(ServiceError, match="The secret plc was not set: ") as refused:
            await keep(engine, "plc", "another value")
    assert refused.value.code == "not_recorded"
    assert await engine.secrets.value("plc") == VALUE
    assert not [name for name in os.listdir(engine.project.private) if name.startswith(".secrets")]


async def test_many_who_set_at_once_all_do(engine: Engine) -> None:
    await asyncio.gather(*(keep(engine, f"many{number}", f"value-{number}") for number in range(20)))
    names = {one.name for one in (await engine.secrets.list(engine.owner)).secrets}
    assert {f"many{number}" for number in range(20)} <= names
