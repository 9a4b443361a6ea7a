"""What is on record: each operation that changes something, with who did it; and a thousand of them hold."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from access_kit import AccessHost

from engine import Engine
from engine.api.compat.table import COMPAT_OPERATIONS
from engine.config import AuditSection, PolicySection, Settings
from engine.models.access import TokenRequest
from engine.models.engine import AuditRecord
from engine.models.runs import Mode, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.registry import OPERATIONS
from engine.registry.operation import Operation
from engine.services.access import ServiceError
from engine.services.tasks import Progress
from store.errors import LowDisk
from store.git.repository import GitRepo

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADER = '# /// script\n# [tool.gatewright]\n# permissions.read = ["{place}"]\n# ///\nprint(1)\n'
HEADER_OF_MACRO = '# /// script\n# [tool.gatewright]\n# kind = "macro"\n# ///\n'

ON_RECORD = {
    "engine.stop": "stop_asked", "pool.resize": "resize", "pool.restart": "restart_slot", "retention.prune": "prune",
    "backup": "backup",
    "runs.start": "run", "runs.replay": "run", "runs.cancel": "run_cancel",
    "scripts.save": "save", "scripts.set": "save", "scripts.rename": "rename",
    "scripts.duplicate": "copy",
    "scripts.delete": "delete", "scripts.restore": "restore",
    "documents.save": "save", "documents.rename": "rename", "documents.delete": "delete",
    "documents.restore": "restore",
    "permissions.approve": "approved", "permissions.refuse": "refused", "permissions.begin_edits": "own_edits_begin",
    "permissions.end_edits": "own_edits_end",
    "defaults.decide": "default_kept", "defaults.restore": "save",
    "git.stage": "git_stage", "git.unstage": "git_unstage", "git.commit": "git_commit", "git.author.set": "git_author",
    "git.trust": "git_distrust",
    "sync.rebuild": "rebuild", "sync.apply": "differences_decided", "tasks.cancel": "task_cancel",
    "tokens.create": "token_create", "tokens.revoke": "token_revoke",
    "render.begin": "run", "macros.preview": "preview",
    "state.set": "state_set", "state.clear": "state_clear", "secrets.set": "secret_set",
    "secrets.delete": "secret_delete",
}  # fmt: skip
"""By operation, the action that its record has. Each is carried out below."""

SEEN_ELSEWHERE = {
    "assistant.ask": ("assistant_ask", "test_assistant.py"),
    "packages.install": ("packages_install", "test_package_service.py"),
    "packages.uninstall": ("packages_uninstall", "test_package_service.py"),
    "python.add": ("python_add", "test_python_versions.py"),
    "python.remove": ("python_remove", "test_python_versions.py"),
}
"""Those that need an index, a server or an interpreter: the action, and the test that sees it."""

AS_ANOTHER = {
    "assistant.summarize": "assistant.ask", "assistant.classify": "assistant.ask", "assistant.explain": "assistant.ask",
    "assistant.propose": "assistant.ask",
    "packages.upgrade": "packages.install", "packages.bundle": "packages.install",
    "packages.install_bundle": "packages.install", "python.use": "packages.install",
    "environments.create": "packages.install", "environments.remove": "packages.install",
}  # fmt: skip
"""Those that tell the audit by the same code, or by a line beside it."""

NOT_ON_RECORD = {
    "buffers.create": "a file that no run reads is dropped; the record of the run has its hash",
    "runs.progress": "it is about the run itself, whose record says how it ended",
    "scripts.check": "it reads a text in the sandbox and changes nothing",
    "scripts.judge": "it changes nothing",
    "permissions.renew_edits": "a lease goes on; its begin and end are on record",
    "packages.plan": "it changes nothing",
    "render.documents": "a part of a batch, whose end is on record",
    "render.reads": "a part of a batch, which reads",
    "render.end": "the end of a batch, whose record is that of its begin",
    "sync.diff": "it compares and changes nothing",
}

COMPAT = {
    "compat.session": "", "compat.exec": "runs.start", "compat.eval": "runs.start", "compat.call_module": "runs.start",
    "compat.call_script": "runs.start", "compat.scripts.save": "scripts.save",
    "compat.scripts.delete": "scripts.delete",
    "compat.scripts.delete_by_post": "scripts.delete", "compat.check_syntax": "", "compat.pool_size": "pool.resize",
    "compat.packages.install": "packages.install", "compat.packages.uninstall": "packages.uninstall",
    "compat.packages.verify": "", "compat.distributions.install": "packages.install",
    "compat.distributions.uninstall": "packages.uninstall", "compat.completions": "", "compat.shell_exec": "",
    "compat.shell.create": "", "compat.shell.exec": "", "compat.shell.close": "",
}  # fmt: skip
"""The module's routes, and which operation of ours carries one out; those without change nothing or are refused. A
session is its token by another name."""


@dataclass
class Plant:
    """An engine with an administrator's token, and the socket that stands for the system's log."""

    host: AccessHost
    token: str
    log: socket.socket
    done: dict[str, list[AuditRecord]]

    @property
    def engine(self) -> Engine:
        return self.host.engine

    async def newest(self, since: int = 0) -> list[AuditRecord]:
        found = (await self.engine.audit.list(self.engine.owner, limit=500)).records
        return [record for record in reversed(found) if record.seq > since]

    async def do(self, name: str, body: Any = None, /, **params: Any) -> Any:
        """Carry out an operation as a client with the token; note which records it left."""
        operation: Operation[Any, Any, Any] = next(one for one in OPERATIONS if one.name == name)
        before = (await self.newest())[-1].seq
        target = operation.target(operation.params(**params)) if params else operation.target()
        answer = await self.host.ask(operation.method, target, token=self.token, body=body)
        assert answer.status < 300, (name, answer)
        self.done.setdefault(name, []).extend(await self.newest(before))
        return answer.json if answer.body[:1] in b"{[" else answer.body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plant]:
    folder = tmp_path_factory.mktemp("audit")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(folder / "log"))
        log.setblocking(False)
        settings = Settings(policy=PolicySection(admin_as_root=True), audit=AuditSection(socket=str(folder / "log")))
        async with Engine.open(folder / "plant", pool_size=2, settings=settings) as engine:
            made = await engine.tokens.create(TokenRequest(name="chief", role="admin"), engine.owner, "cli")
            yield Plant(AccessHost(engine), made.token, log, {})


async def test_what_changes_something_is_on_record_or_it_is_said_why_not() -> None:
    changing = {one.name for one in OPERATIONS if one.method != "GET"}
    tables: list[dict[str, Any]] = [ON_RECORD, SEEN_ELSEWHERE, AS_ANOTHER, NOT_ON_RECORD]
    told = [name for table in tables for name in table]
    assert len(told) == len(set(told))
    assert changing <= set(told), "an operation that changes something needs a line here"
    assert set(told) <= {one.name for one in OPERATIONS}
    here = Path(__file__).parent
    for action, test in SEEN_ELSEWHERE.values():
        assert action in (here / test).read_text()
    assert set(AS_ANOTHER.values()) <= {*ON_RECORD, *SEEN_ELSEWHERE}
    assert {one.name for one in COMPAT_OPERATIONS if one.method != "GET"} == COMPAT.keys()
    assert set(COMPAT.values()) - {""} <= {*ON_RECORD, *SEEN_ELSEWHERE}


async def scripts(plant: Plant) -> None:
    await plant.do("scripts.save", {"text": "print(1)\n"}, path="a.py")
    await plant.do("scripts.set", {"changes": {"title": "A"}}, path="a.py")
    await plant.do("scripts.rename", {"new_path": "b.py"}, path="a.py")
    await plant.do("scripts.duplicate", {"new_path": "c.py"}, path="b.py")
    version = (await plant.do("scripts.history", path="b.py"))["versions"][-1]
    await plant.do("scripts.delete", {}, path="c.py")
    await plant.do("scripts.restore", {"sha256": version["sha256"]}, path="b.py")
    await plant.do("state.set", {"values": {"n": 1}}, path="b.py")
    await plant.do("state.clear", path="b.py")
    first = await plant.do("documents.save", {"text": "# A\n"}, path="a.md")
    await plant.do("documents.rename", {"new_path": "b.md"}, path="a.md")
    await plant.do("documents.save", {"text": "# B\n", "base_sha256": first["sha256"]}, path="b.md")
    older = (await plant.do("documents.history", path="b.md"))["versions"][-1]
    await plant.do("documents.restore", {"sha256": older["sha256"]}, path="b.md")
    await plant.do("documents.delete", {}, path="b.md")


async def decisions(plant: Plant, folder: Path) -> None:
    await plant.do("scripts.save", {"text": HEADER.format(place=folder)}, path="reads.py")
    review = await plant.do("permissions.review", path="reads.py")
    asked = {
        "sha256": review["sha256"],
        "grants": [{"access": one["access"], "path": one["canonical"]} for one in review["asked"]],
    }
    await plant.do("permissions.approve", asked, path="reads.py")
    await plant.do("permissions.refuse", path="reads.py")
    lease = await plant.do("permissions.begin_edits", asked, path="reads.py")
    await plant.do("permissions.end_edits", {"token": lease["token"]})
    listed = (await plant.do("defaults.list"))["scripts"]
    kept = {"path": listed[0]["path"], "choice": "keep", "bundled_sha256": listed[0]["bundled_sha256"],
            "sha256": listed[0]["sha256"]}  # fmt: skip
    await plant.do("defaults.decide", {"decisions": [kept]})
    await plant.do("scripts.delete", {}, path=listed[1]["path"])
    await plant.do("defaults.restore")
    (plant.engine.project.scripts / "b.py").unlink()
    difference = next(one for one in (await plant.do("sync.diff"))["items"] if one["path"] == "b.py")
    decided = {"path": "b.py", "state": difference["state"], "seen": difference["seen"], "choice": "write_file"}
    await plant.do("sync.apply", {"decisions": [decided]})
    await plant.do("sync.rebuild")
    await plant.do("secrets.set", {"value": "hunter2000"}, name="db")
    await plant.do("secrets.delete", name="db")
    made = await plant.do("tokens.create", {"name": "short", "role": "viewer"})
    assert made["token"].startswith("gw_")
    await plant.do("tokens.revoke", token="short")


async def commits(plant: Plant) -> None:
    GitRepo(plant.engine.project.root).init()
    await plant.do("git.author.set", {"name": "Ada Lovelace", "email": "ada@plant.example"})
    await plant.do("git.stage", {"paths": ["scripts/b.py"]})
    await plant.do("git.unstage", {"paths": ["scripts/b.py"]})
    await plant.do("git.stage", {"paths": ["scripts/b.py"]})
    await plant.do("git.commit", {"message": "One script"})
    await plant.do("git.trust", {})


async def runs(plant: Plant) -> None:
    first = await plant.do("runs.start", {"kind": "exec", "code": "result = 1"}, wait=20.0)
    await plant.do("runs.replay", {}, run_id=first["id"], wait=20.0)
    going = await plant.engine.runs.start(
        RunRequest(kind=RunKind.EXEC, code="import time; time.sleep(60)"), plant.engine.owner, "cli"
    )
    await plant.do("runs.cancel", run_id=going.id)
    batch = await plant.do("render.begin", {"documents": []})
    before = (await plant.newest())[-1].seq
    await plant.do("render.end", batch_id=batch["id"])
    plant.done["render.begin"] += await plant.newest(before)
    before = (await plant.newest())[-1].seq
    macro = HEADER_OF_MACRO + "def render(params, content):\n    return 'box'\n"
    await plant.engine.scripts.save("macros/box.py", SaveRequest(text=macro), plant.engine.owner)
    await plant.do("macros.preview", {"text": "[[box]]", "path": "a.md"})
    plant.engine.render.previews.close()
    plant.done["macros.preview"] += await plant.newest(before)


async def the_engine(plant: Plant) -> None:
    await plant.do("pool.resize", {"size": 3})
    await plant.do("pool.restart", slot=1)
    await plant.do("retention.prune", {})
    await plant.do("backup", name="one.gwbackup")
    stopped = asyncio.Event()

    async def work(progress: Progress) -> None:
        progress.on_stop = stopped.set
        await stopped.wait()

    number, task = plant.engine.tasks.begin("waiting", plant.engine.owner, work)
    await asyncio.sleep(0)
    await plant.do("tasks.cancel", task_id=number)
    await task
    await plant.do("engine.stop", {})


async def test_each_of_them_leaves_a_record_of_who_did_it(plant: Plant, tmp_path: Path) -> None:
    await scripts(plant)
    await decisions(plant, tmp_path)
    await commits(plant)
    await runs(plant)
    await the_engine(plant)
    for name, action in ON_RECORD.items():
        records = [one for one in plant.done.get(name, []) if one.action == action]
        assert records, (name, action, [one.action for one in plant.done.get(name, [])])
        assert {one.actor for one in records} == {"token:chief"}, name
    every = await plant.newest()
    assert not [one for one in every if "***" in json.dumps(one.detail) + one.subject], "nothing of ours is hidden"
    text = (plant.engine.project.private / "state.db").read_bytes()
    assert b"hunter2000" not in text
    check = await plant.engine.audit.verify(plant.engine.owner)
    assert check.problem is None
    [settings] = [one for one in every if one.action == "settings"]
    assert settings.detail["policy.admin_as_root"] is True


def heads(log: socket.socket) -> list[str]:
    """Return what the system's log has got since the last time."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(log.recv(4096).decode())
    return found


async def test_the_system_has_the_head_with_the_intent_before_an_admin_run_can_change_anything(plant: Plant) -> None:
    heads(plant.log)
    out = plant.engine.project.root / "seen"
    code = f"import pathlib; pathlib.Path({str(out)!r}).write_text('done')"
    run = await plant.engine.run(RunRequest(kind=RunKind.EXEC, code=code, mode=Mode.ADMIN))
    assert out.exists()
    [intent] = [one for one in await plant.newest() if one.subject == f"#{run.id} <exec>" and one.action == "admin_run"]
    [line] = [one for one in heads(plant.log) if "before" in one]
    assert f"record {intent.seq} head {intent.sha256} before " in line
    check = await plant.engine.audit.verify(plant.engine.owner, head=intent.sha256)
    assert (check.problem, check.head_at) == (None, intent.seq)


async def test_the_systems_log_gets_no_secret_that_a_runs_name_has(plant: Plant) -> None:
    heads(plant.log)
    await plant.engine.audit.send_head("#7 deploy_ghp_0123456789abcdefghij.py")
    [line] = heads(plant.log)
    assert "#7 deploy_ghp_***" in line
    assert "0123456789abcdefghij" not in line


async def test_no_admin_run_begins_while_the_audit_cannot_be_written(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = plant.engine.project.root / "never"
    code = f"import pathlib; pathlib.Path({str(out)!r}).write_text('done')"

    def full(*_: object) -> None:
        raise LowDisk("The disk is full.")

    monkeypatch.setattr(plant.engine.state.audit, "add", full)
    with pytest.raises(ServiceError, match="ADMIN runs are refused while they cannot be recorded") as refused:
        await plant.engine.run(RunRequest(kind=RunKind.EXEC, code=code, mode=Mode.ADMIN))
    assert (refused.value.code, out.exists()) == ("not_recorded", False)


async def test_the_record_is_verified_piece_by_piece_over_the_wire(plant: Plant) -> None:
    whole = await plant.do("audit.verify")
    pieces, after = 0, 0
    while True:
        found = await plant.do("audit.verify", after=after, most=7, head=whole["head"])
        pieces += 1
        assert found["checked"] <= after + 7
        if found.get("next_after") is None:
            break
        assert "head_at" not in found, "it is looked for at the end"
        after = found["next_after"]
    assert (found["head_at"], pieces) == (whole["records"], -(-whole["records"] // 7))
    beyond = await plant.do("audit.verify", after=2**63 - 1, most=2**63 - 1)
    assert "problem" not in beyond
    wrong = await plant.do("audit.verify", head="0" * 64)
    assert "No audit record has that head" in wrong["problem"]


@pytest.mark.slow
async def test_a_thousand_mixed_operations_hold_and_one_changed_byte_is_named(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    async with Engine.open(root, pool_size=3) as engine:
        token = await engine.tokens.create(TokenRequest(name="ops", role="admin"), engine.owner, "cli")
        low = await engine.tokens.create(TokenRequest(name="low", role="viewer"), engine.owner, "cli")
        plant = Plant(AccessHost(engine), token.token, socket.socket(), {})
        plant.log.close()
        await plant.do("scripts.save", {"text": "result = 1\n"}, path="a.py")

        async def ask(method: str, target: str, body: Any = None, by: str = token.token) -> None:
            answer = await plant.host.ask(method, f"/api/v1{target}", token=by, body=body)
            assert answer.status in (200, 201, 202, 403), answer

        def kinds(number: int) -> list[Awaitable[None]]:
            return [
                ask("POST", "/runs?wait=60", {"kind": "exec", "code": f"result = {number}"}),
                ask("POST", "/runs?wait=60", {"kind": "script", "script": "a.py"}),
                ask("POST", "/runs?wait=60", {"kind": "exec", "code": "1 / 0"}),
                ask("PUT", f"/scripts/text/n{number}.py", {"text": f"result = {number}\n"}),
                ask("POST", "/scripts/state/a.py", {"values": {"n": number}}),
                ask("PUT", f"/secrets/s{number}", {"value": f"value-{number}"}),
                ask("POST", "/pool/size", {"size": 3}, low.token),
                ask("PUT", f"/documents/text/n{number}.md", {"text": f"# {number}\n"}),
            ]

        for number in range(125):
            await asyncio.gather(*kinds(number))
        check = await engine.audit.verify(engine.owner)
        assert check.problem is None
        assert check.records > 750, "repeated calls and refusals are counted together"
        records = (await engine.audit.list(engine.owner, limit=500)).records
        victim = next(one for one in records if one.action == "save" and one.subject == "n77.py")
    file = root / ".gatewright/state.db"
    data = bytearray(file.read_bytes())
    at = data.index(f'"sha256": "{victim.detail["sha256"]}"'.encode())
    data[at + 20] ^= 1
    file.write_bytes(data)
    async with Engine.open(root, pool_size=1) as engine:
        found = await engine.audit.verify(engine.owner)
        assert found.problem == f"Audit record {victim.seq} was changed."
        assert found.problem in engine.problems
