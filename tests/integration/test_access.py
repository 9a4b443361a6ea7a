"""Who may do what: every operation by every role, and a token for some scripts that gets nothing of the others."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from access_kit import AccessHost, Answer
from daemon_support import eventually

from engine import Engine
from engine.api import openapi
from engine.api.compat import unavailable
from engine.api.compat.table import COMPAT_OPERATIONS, compat_services
from engine.api.host import HostOperations
from engine.api.server import EngineServer
from engine.models.access import TokenRequest
from engine.models.runs import RunInfo, RunKind, RunRequest
from engine.models.scripts import DeleteRequest, SaveRequest
from engine.registry import OPERATIONS
from engine.registry.operation import BASE, COMPAT_BASE
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.denials import Denials
from engine.services.operations import BoundOperation, Request, bind, may
from engine.services.roles import AccountRoles
from engine.sockets import Peer

INSIDE, OUTSIDE = "line1/open.py", "line2/canary.py"
SECRET = "chrysanthemum"
"""What the script outside holds, prints and is called: nothing of it may be told."""

HEADER = '# /// script\n# [tool.gatewright]\n# title = "{title}"\n# ///\n'
OPEN_TEXT = HEADER.format(title="Open") + "print('open')\n"
SECRET_TEXT = HEADER.format(title=SECRET) + f"print({SECRET!r})\n"


@dataclass(frozen=True)
class Plant:
    """A project with a script on either side of a pattern, and a run and a deleted script of each."""

    host: AccessHost
    tokens: dict[str, str]
    run_inside: int
    run_outside: int
    sha_outside: str

    @property
    def engine(self) -> Engine:
        return self.host.engine


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other accounts can reach."""
    made = Path(tempfile.mkdtemp(prefix="gatewright-access-", dir="/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


async def made(engine: Engine) -> Plant:
    owner, host = engine.owner, AccessHost(engine)
    for path, text in ((INSIDE, OPEN_TEXT), (OUTSIDE, SECRET_TEXT), ("line1/old.py", "1"), (f"line2/{SECRET}.py", "2")):
        saved = await engine.scripts.save(path, SaveRequest(text=text), owner)
        if path in ("line1/old.py", f"line2/{SECRET}.py"):
            await engine.changes.delete(path, DeleteRequest(), owner)
        elif path == OUTSIDE:
            sha = saved.sha256
    tokens = {}
    for role in Role:
        name = role.name.lower()
        tokens[name] = (await engine.tokens.create(TokenRequest(name=name, role=name), owner, "cli")).token
    scoped = TokenRequest(name="scoped", role="author", scripts=["line1/**"])
    tokens["scoped"] = (await engine.tokens.create(scoped, owner, "cli")).token
    other = await engine.run(RunRequest(kind=RunKind.SCRIPT, script=OUTSIDE))
    actor = engine.callers.by_token(tokens["scoped"], "")
    own = await engine.run(RunRequest(kind=RunKind.SCRIPT, script=INSIDE), actor)
    return Plant(host, tokens, own.id, other.id, sha)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant(folder: Path) -> AsyncIterator[Plant]:
    async with Engine.open(folder / "plant", pool_size=1) as engine:
        yield await made(engine)


pytestmark = pytest.mark.asyncio(loop_scope="module")


class Anything:
    """Stands for params and bodies of every kind: a refused call reads none of it."""

    def __getattr__(self, name: str) -> Anything:
        return self


def actor(role: Role, **fields: Any) -> Actor:
    return Actor(name=f"token:{role.name.lower()}", uid=NO_ACCOUNT, role=role, token="0" * 12, **fields)


async def called(operation: BoundOperation, request: Request) -> None:
    answer = operation(request)
    if asyncio.iscoroutine(answer):
        await answer


async def test_every_operation_is_refused_to_every_role_below_its_own(plant: Plant) -> None:
    services = (*vars(plant.engine).values(), HostOperations(plant.host), openapi.Document(OPERATIONS))
    bound = bind(services) | bind(compat_services(plant.host))
    before = (await plant.engine.audit.list(plant.engine.owner)).records[0].seq
    for operation in (*OPERATIONS, *COMPAT_OPERATIONS):
        needed = Role[operation.role.upper()]
        for role in Role:
            if role >= needed:
                may(actor(role), operation)
                continue
            request = Request(actor=actor(role), source="rest", params=Anything(), body=Anything(), chunks=None)
            with pytest.raises(ServiceError, match=f"needs the role {operation.role}") as refused:
                await called(bound[operation], request)
            assert (refused.value.status, refused.value.code) == (403, "forbidden"), operation.name
            assert refused.value.denied == actor(role)
    assert (await plant.engine.audit.list(plant.engine.owner)).records[0].seq == before, "nothing was done"


EXEC = {"kind": "exec", "code": "result = 1"}
EVAL = {"kind": "eval", "code": "1"}
CALL = {"kind": "call", "module": "math", "function": "sqrt", "args": [4]}
UNSAVED = {"kind": "script", "script": INSIDE, "code": "result = 1"}
SAVED = {"kind": "script", "script": INSIDE}
ADMIN_RUN = {"kind": "script", "script": INSIDE, "mode": "ADMIN"}

WHO_MAY_RUN = {
    "viewer": (),
    "operator": ("saved",),
    "author": ("saved", "exec", "eval", "call", "unsaved"),
    "admin": ("saved", "exec", "eval", "call", "unsaved", "admin"),
    "scoped": ("saved",),
}
RUNS = {"saved": SAVED, "exec": EXEC, "eval": EVAL, "call": CALL, "unsaved": UNSAVED, "admin": ADMIN_RUN}


@pytest.mark.parametrize("name", WHO_MAY_RUN)
async def test_a_token_runs_what_its_role_may_and_each_denial_is_on_record(plant: Plant, name: str) -> None:
    for kind, body in RUNS.items():
        answer = await plant.host.ask("POST", "/api/v1/runs", token=plant.tokens[name], body=body)
        allowed = kind in WHO_MAY_RUN[name]
        if kind == "admin" and allowed:
            assert answer.status == 202 or answer.json["code"] == "mode_unavailable", answer
        else:
            assert answer.status == (202 if allowed else 403), (kind, answer)
        if not allowed:
            assert answer.json["code"] == "forbidden"
            assert answer.json["error"].startswith(f"token:{name} may not")
            if name == "viewer":  # asks once for what it needs, and not for operator first
                needed = {"saved": "operator for saved scripts", "admin": "admin for ADMIN runs"}
                assert needed.get(kind, "author for other code and module functions") in answer.json["error"]
    records = (await plant.engine.audit.list(plant.engine.owner, limit=100)).records
    denied = {record.subject for record in records if (record.actor, record.action) == (f"token:{name}", "denied")}
    assert denied == (set() if name == "admin" else {"runs.start"})


async def test_the_runs_of_a_token_are_found_by_its_name_alone_by_those_who_see_them(plant: Plant) -> None:
    async def found(name: str, who: str) -> set[str]:
        answer = await plant.host.ask("GET", f"/api/v1/runs?actor={who}", token=plant.tokens[name])
        return {run["actor"] for run in answer.json["runs"]}

    async with asyncio.timeout(20):
        while not await found("admin", "scoped"):  # noqa: ASYNC110 - its record is written soon
            await asyncio.sleep(0.05)
    assert await found("admin", "scoped") == await found("admin", "token:scoped") == {"token:scoped"}
    assert await found("scoped", "scoped") == {"token:scoped"}
    assert await found("operator", "scoped") == set()
    owner = plant.engine.owner.name
    assert await found("admin", owner) == {owner}


async def test_the_record_of_a_denial_says_what_was_asked_for_and_what_it_needs(plant: Plant) -> None:
    async def refused(body: Any, *, token: str = "", peer: Peer | None = None) -> dict[str, Any]:
        answer = await plant.host.ask("POST", "/api/v1/runs", token=token, peer=peer, body=body)
        assert answer.status == 403, answer
        plant.engine.callers._denials = Denials(plant.engine.audit)  # with a window of its own
        records = (await plant.engine.audit.list(plant.engine.owner, limit=100)).records
        return next(record.detail for record in records if record.action == "denied")  # runs of others may end now

    plant.engine.callers._denials = Denials(plant.engine.audit)
    operator = plant.tokens["operator"]
    assert await refused(EXEC, token=operator) == {
        "what": "run code of their own", "needs": "author", "role": "operator",
    }  # fmt: skip
    assert await refused(ADMIN_RUN, token=operator) == {
        "what": "run in ADMIN mode", "needs": "admin", "role": "operator",
    }  # fmt: skip
    outside = await refused({"kind": "script", "script": OUTSIDE}, token=plant.tokens["scoped"])
    assert (outside["what"], outside["script"], outside["scripts"]) == ("start runs", OUTSIDE, "line1/**")
    stranger = await refused(EXEC, peer=Peer(1, 54_499, 54_499))
    assert (stranger["what"], stranger["role"]) == ("start runs", "none"), "it has none, so no viewer's either"


@dataclass(frozen=True)
class Probe:
    """A request of a token for ``line1/**`` that aims at what lies outside, and what it does inside."""

    method: str
    outside: str
    inside: str = ""
    body: Any = None
    inside_body: Any = None
    status: int = 200
    """Of the answer inside."""
    says: str = ""
    """What of the request the answer may repeat."""
    narrowed: bool = False
    """Outside it answers, too, with what lies inside only."""


def probes(plant: Plant) -> dict[str, list[Probe]]:
    out, own, other = OUTSIDE, plant.run_inside, plant.run_outside
    sha = plant.sha_outside
    missing, hidden = "line2/nothing.py", f"line2/{SECRET}.py"
    by_path = {
        "scripts.load": ("GET", "/scripts/text/{}", None),
        "scripts.keys": ("GET", "/scripts/meta/{}", None),
        "scripts.judge": ("POST", "/scripts/judge/{}", {"changes": {"title": "x"}}),
        "scripts.set": ("POST", "/scripts/meta/{}", {"changes": {"title": "Opened"}}),
        "scripts.history": ("GET", "/scripts/history/{}", None),
    }
    table = {
        name: [
            Probe(method, path.format(aim), path.format(INSIDE), body, body) for aim in (out, missing, hidden, "canary")
        ]
        for name, (method, path, body) in by_path.items()
    }
    table |= {
        "scripts.list": [Probe("GET", "/scripts", "/scripts", narrowed=True)],
        "scripts.deleted": [Probe("GET", "/scripts/deleted", "/scripts/deleted", narrowed=True)],
        "scripts.search": [
            Probe("GET", f"/scripts/search?q={SECRET[:6]}", "/scripts/search?q=open", narrowed=True),
            Probe("GET", "/scripts/search?q=print", "/scripts/search?q=print", narrowed=True),
        ],
        "scripts.check": [
            Probe(
                "POST", "/scripts/check", "/scripts/check", {"text": "x = 1", "path": out}, {"text": "x"}, narrowed=True
            )
        ],
        "scripts.save": [
            Probe("PUT", f"/scripts/text/{out}", body={"text": "x", "base_sha256": sha}),
            Probe("PUT", f"/scripts/text/{out}", body={"text": "x"}),
            Probe("PUT", "/scripts/text/line2/new.py", body={"text": "x"}),
            Probe("PUT", "/scripts/text/line1/../line2/new.py", body={"text": "x"}),
            Probe("PUT", "/scripts/text/new", "/scripts/text/line1/new", {"text": "x"}, {"text": "x"}),
        ],
        "scripts.duplicate": [
            Probe("POST", f"/scripts/duplicate/{out}", body={"new_path": "line1/stolen.py"}),
            Probe("POST", f"/scripts/duplicate/{out}", body={}),
            Probe(
                "POST",
                f"/scripts/duplicate/{INSIDE}",
                f"/scripts/duplicate/{INSIDE}",
                {"new_path": "line2/put.py"},
                {"new_path": "line1/copy.py"},
                201,
            ),
        ],
        "scripts.rename": [
            Probe("POST", f"/scripts/rename/{out}", body={"new_path": "line1/stolen.py"}),
            Probe(
                "POST",
                f"/scripts/rename/{INSIDE}",
                "/scripts/rename/line1/copy",
                {"new_path": out},
                {"new_path": "line1/moved"},
            ),
            Probe("POST", f"/scripts/rename/{INSIDE}", body={"new_path": "moved.py"}),
        ],
        "scripts.delete": [
            Probe("POST", f"/scripts/delete/{out}", "/scripts/delete/line1/moved", {}, {}),
            Probe("POST", "/scripts/delete/canary", body={}),
        ],
        "scripts.restore": [
            Probe("POST", f"/scripts/restore/{hidden}", "/scripts/restore/line1/moved", {}, {}),
            Probe("POST", f"/scripts/restore/{INSIDE}", body={"sha256": sha}, narrowed=True),
        ],
        "scripts.version": [
            Probe("GET", f"/scripts/version/{out}?sha256={sha}"),
            Probe("GET", f"/scripts/version/{INSIDE}?sha256={sha}", narrowed=True),
        ],
        "state.get": [
            Probe("GET", f"/scripts/state/{aim}", f"/scripts/state/{INSIDE}") for aim in (out, missing, hidden)
        ],
        "state.set": [
            Probe("POST", f"/scripts/state/{aim}", f"/scripts/state/{INSIDE}", {"values": {"a": 1}}, {"values": {}})
            for aim in (out, missing, hidden)
        ],
        "state.clear": [
            Probe("DELETE", f"/scripts/state/{aim}", f"/scripts/state/{INSIDE}") for aim in (out, missing, hidden)
        ],
        "runs.start": [
            Probe("POST", "/runs", "/runs", {"kind": "script", "script": out}, SAVED, 202),
            Probe("POST", "/runs", body={"kind": "script", "script": "canary"}),
            Probe("POST", "/runs", body={"kind": "script", "script": "canar"}),
        ],
        "runs.list": [
            Probe("GET", "/runs", "/runs", narrowed=True),
            Probe("GET", f"/runs?name={out}", f"/runs?name={INSIDE}", narrowed=True),
            Probe("GET", f"/runs?actor={plant.engine.owner.name}", narrowed=True),
        ],
        "runs.get": [Probe("GET", f"/runs/{other}", f"/runs/{own}")],
        "runs.output": [Probe("GET", f"/runs/{other}/output", f"/runs/{own}/output")],
        "runs.events": [Probe("GET", f"/runs/{other}/events", f"/runs/{own}/events")],
        "runs.cancel": [Probe("POST", f"/runs/{other}/cancel", f"/runs/{own}/cancel")],
        "runs.progress": [Probe("PUT", f"/runs/{each}/progress", body={"done": 0.5}) for each in (own, other)],
        "runs.file": [Probe("GET", f"/runs/{other}/files/x")],
        "runs.buffer": [Probe("GET", f"/runs/{other}/buffers/x")],
        "runs.inputs": [Probe("GET", f"/runs/{other}/inputs", f"/runs/{own}/inputs")],
        "runs.replay": [Probe("POST", f"/runs/{other}/replay", f"/runs/{own}/replay", {}, {}, 202)],
        "runs.compare": [Probe("GET", f"/runs/{own}/compare/{other}", f"/runs/{own}/compare/{own}")],
        "buffers.create": [Probe("POST", "/buffers?name=x", "/buffers?name=x", status=201, narrowed=True)],
        "metrics.info": [Probe("GET", "/metrics", "/metrics", narrowed=True)],
        "metrics.history": [Probe("GET", "/metrics/history", "/metrics/history", narrowed=True)],
        "engine.info": [Probe("GET", "/engine", "/engine", narrowed=True)],
        "openapi": [Probe("GET", "/openapi.json", "/openapi.json", narrowed=True)],
        "access.self": [Probe("GET", "/access/self", "/access/self", narrowed=True)],
        "events": [],  # below: it never ends
    }
    return table


def compat_probes() -> dict[str, list[Probe]]:
    """The same over the routes of the module's clients, which know scripts by their titles."""
    text = {"code": "x = 1", "name": "Fresh"}
    titles = [(SECRET, SECRET), ("line2/canary.py", "canary"), (f"line2/{SECRET}", SECRET), ("canary", "canary")]
    load, delete, call = "/api/v1/scripts/load", "/api/v1/scripts/delete", "/api/v1/call-script"
    table = {
        "scripts.load": [Probe("GET", f"{load}/{title}", f"{load}/Open", says=says) for title, says in titles],
        "call_script": [
            Probe("POST", call, call, {"scriptPath": title}, {"scriptPath": "Open"}, says=says)
            for title, says in titles
        ],
        "scripts.save": [
            Probe("POST", "/api/v1/scripts/save", body={**text, "folderPath": "line2"}),
            Probe("POST", "/api/v1/scripts/save", body=text),
            Probe("POST", "/api/v1/scripts/save", body={**text, "name": SECRET}, says=SECRET),
            Probe("POST", "/api/v1/scripts/save", body={**text, "name": "Open", "folderPath": "line2"}),
            Probe(
                "POST",
                "/api/v1/scripts/save",
                "/api/v1/scripts/save",
                {**text, "name": "Open", "description": "to the root"},
                {**text, "folderPath": "line1"},
            ),
        ],
        "scripts.delete": [Probe("DELETE", f"{delete}/{title}", says=says) for title, says in titles],
        "scripts.delete_by_post": [
            Probe("POST", f"{delete}/{SECRET}", f"{delete}/Fresh", says=SECRET),
            Probe("POST", f"{delete}/line2/canary.py", says="canary"),
        ],
    }
    answers_of_its_own = "session scripts.list scripts.available check_syntax version versions distributions example "
    answers_of_its_own += "pool_stats health diagnostics gateway_impact metrics monitoring.metrics openapi "
    answers_of_its_own += "metrics.scripts metrics.historical metrics.alerts monitoring.alerts "
    answers_of_its_own += "monitoring.circuit_breaker monitoring.prometheus"
    for operation in COMPAT_OPERATIONS:
        name = operation.name.removeprefix("compat.")
        if name in answers_of_its_own.split():
            body = {"code": "x = 1"} if name == "check_syntax" else None
            table[name] = [Probe(operation.method, operation.path, operation.path, body, body, narrowed=True)]
        elif operation.answer in vars(unavailable).values():  # no answer but one sentence
            path = operation.path.replace("{name:path}", "x")
            table[name] = [Probe(operation.method, path, narrowed=True)]
    return {f"compat.{name}": tried for name, tried in table.items()}


async def as_scoped(plant: Plant, method: str, target: str, body: Any = None, *, base: str = BASE) -> Answer:
    return await plant.host.ask(method, f"{base}{target}", token=plant.tokens["scoped"], body=body)


async def known_to_others(plant: Plant, name: str) -> None:
    """What a title means may be remembered for those who may know."""
    if name.startswith("compat."):
        for title in (SECRET, f"line2/{SECRET}", OUTSIDE):
            await plant.engine.titled_scripts.found(title, plant.engine.owner)


async def test_a_token_for_some_scripts_gets_nothing_of_the_others_by_any_operation(plant: Plant) -> None:
    table = compat_probes() | probes(plant)
    open_to_it = {operation.name for operation in (*OPERATIONS, *COMPAT_OPERATIONS) if operation.scoped}
    assert open_to_it == table.keys(), "an operation that such tokens may ask needs a probe here"
    owner = plant.engine.owner
    for name, tried in sorted(table.items(), key=lambda item: item[0] == "scripts.set"):  # last: it changes the text
        base = COMPAT_BASE if name.startswith("compat.") else BASE
        for probe in tried:
            await known_to_others(plant, name)
            answer = await as_scoped(plant, probe.method, probe.outside, probe.body, base=base)
            told = answer.body.decode("utf-8", "replace")
            for said in filter(
                None, (probe.outside, f"line2/{SECRET}.py" if SECRET in probe.outside else "", probe.says)
            ):
                told = told.replace(said, "")
            assert SECRET not in told, (name, probe.outside, answer)
            assert "canary" not in told or "canary" in f"{probe.outside}{probe.body}", (name, probe.outside, answer)
            assert plant.sha_outside not in told or plant.sha_outside in probe.outside, (name, probe, answer)
            if not probe.narrowed:
                refused = answer.json["code"] in (
                    "forbidden",
                    *(["no_script"] if base == COMPAT_BASE else ["bad_name"]),
                )
                assert refused, (name, probe.outside, answer)
            if probe.inside:
                answer = await as_scoped(plant, probe.method, probe.inside, probe.inside_body, base=base)
                assert answer.status == probe.status, (name, probe.inside, answer)
                assert b'"success":false' not in answer.body, (name, probe.inside, answer)
    assert (await plant.engine.scripts.load(OUTSIDE)).text == SECRET_TEXT
    paths = {info.path for info in (await plant.engine.scripts.list()).scripts}
    assert {path for path in paths if not path.startswith(("defaults/", "samples/", "line1/"))} >= {OUTSIDE}
    assert not {"line2/new.py", "line2/put.py", "new.py", "moved.py", "line1/stolen.py"} & paths
    listed = (await as_scoped(plant, "GET", "/runs?limit=500")).json["runs"]
    assert {(run["actor"], run["name"]) for run in listed} == {("token:scoped", INSIDE)}
    names = {run.name for run in (await plant.engine.runs.list(owner, limit=500)).runs if run.actor == "token:scoped"}
    assert names == {INSIDE}


async def test_whether_a_script_outside_is_there_cannot_be_told(plant: Plant) -> None:
    for method, target, body in (
        ("GET", "/scripts/text/{}", None),
        ("GET", "/scripts/history/{}", None),
        ("POST", "/scripts/delete/{}", {}),
        ("PUT", "/scripts/text/{}", {"text": "x"}),
    ):
        there = await as_scoped(plant, method, target.format("line2/canary.py"), body)
        not_there = await as_scoped(plant, method, target.format("line2/notone.py"), body)
        assert there.body.replace(b"canary", b"notone") == not_there.body
        assert there.status == not_there.status == 403


async def test_everything_else_is_refused_to_a_token_for_some_scripts(plant: Plant) -> None:
    scoped = actor(Role.ADMIN, scripts=("line1/**",))
    for operation in (*OPERATIONS, *COMPAT_OPERATIONS):
        if not operation.scoped:
            with pytest.raises(ServiceError, match="token for some scripts only"):
                may(scoped, operation)
    for method, target in (("GET", "/git/status"), ("GET", "/pool"), ("GET", "/tasks"), ("POST", "/sync/diff")):
        answer = await as_scoped(plant, method, target)
        assert (answer.status, answer.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("name", "sees"),
    [
        ("scoped", {"own", INSIDE}),
        ("operator", {"own", INSIDE, OUTSIDE}),
        ("author", {"own", "others", INSIDE, OUTSIDE}),
    ],
)
async def test_events_tell_of_what_the_caller_may_see_and_end_with_its_token(
    plant: Plant, name: str, sees: set[str]
) -> None:
    engine, owner = plant.engine, plant.engine.owner
    request = TokenRequest(name=f"listens-{name}", role="operator" if name == "operator" else "author")
    if name == "scoped":
        request = TokenRequest(name=f"listens-{name}", role="author", scripts=["line1/**"])
    token = (await engine.tokens.create(request, owner, "cli")).token
    base = await engine.runs.get(plant.run_outside, owner)
    after = engine.events.last_seq
    published: list[tuple[str, RunInfo | dict[str, str]]] = [
        ("run", _run(base, "others", OUTSIDE, owner.name)),
        ("run", _run(base, "own", INSIDE, f"token:listens-{name}")),
        ("script", {"path": INSIDE, "change": "saved"}),
        ("script", {"path": OUTSIDE, "change": "saved"}),
    ]
    for kind, data in published:
        engine.events.publish(kind, data)
    sent: list[Any] = []
    asking = asyncio.create_task(plant.host.ask("GET", f"/api/v1/events?after={after}", token=token, sent=sent))
    await eventually(lambda: any(message.get("body") for message in sent))
    await engine.tokens.revoke(f"listens-{name}", owner, "cli")
    engine.events.publish("script", {"path": INSIDE, "change": "after the end"})
    answer = await asking
    text = answer.body.decode()
    found = {mark for mark in ("own", "others") if f'"note":"{mark}"' in text}
    found |= {path for path in (INSIDE, OUTSIDE) if f'{{"path":"{path}"' in text}
    assert (answer.status, found) == (200, sees)
    assert "after the end" not in text


def _run(base: RunInfo, note: str, name: str, caller: str) -> RunInfo:
    import msgspec

    return msgspec.structs.replace(base, note=note, name=name, actor=caller)


async def test_a_run_that_names_no_mode_has_its_callers_default(plant: Plant) -> None:
    modes = plant.engine.modes
    assert modes.choose("", actor(Role.AUTHOR)).value == "RESTRICTED"
    admin = actor(Role.ADMIN, default_mode="ADMIN")
    assert modes.choose("RESTRICTED", admin).value == "RESTRICTED"
    if modes.admin.refusal is None:
        assert modes.choose("", admin).value == "ADMIN"
    else:
        with pytest.raises(ServiceError, match=modes.admin.refusal[:20]):
            modes.choose("", admin)
    with pytest.raises(ServiceError, match="may not run in ADMIN mode"):
        modes.choose("", actor(Role.AUTHOR, default_mode="ADMIN"))


CLIENT = """
import json, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
for number, (method, path, body) in enumerate(json.loads(sys.argv[2])):
    data = json.dumps(body).encode() if body else b""
    head = f"{method} /api/v1{path} HTTP/1.1\\r\\nhost: x\\r\\ncontent-type: application/json\\r\\n"
    sock.sendall(f"{head}content-length: {len(data)}\\r\\n\\r\\n".encode() + data)
    answer = b""
    while b"\\r\\n\\r\\n" not in answer:
        answer += sock.recv(65536)
    head, _, rest = answer.partition(b"\\r\\n\\r\\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(rest) < length:
        rest += sock.recv(65536)
    print(head.split()[1].decode(), json.loads(rest).get("name") or json.loads(rest).get("error"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other accounts")
async def test_two_accounts_on_one_socket_have_the_roles_of_their_uid_and_group(plant: Plant, folder: Path) -> None:
    server = EngineServer(plant.host.app)
    with socket.socket(socket.AF_UNIX) as sock:
        path = folder / "shared.sock"
        sock.setblocking(False)
        sock.bind(str(path))
        path.chmod(0o666)
        sock.listen()
        await server.listen(sock)
        before = plant.engine.owner
        roles = AccountRoles(
            accounts={54_401: Role.VIEWER, 54_404: Role.ADMIN}, groups={54_410: Role.OPERATOR, 54_411: Role.AUTHOR}
        )
        plant.engine.callers.use_roles(roles)
        asked = [["GET", "/access/self", None], ["POST", "/runs", SAVED], ["POST", "/runs", EXEC]]
        asked += [["POST", "/runs", {**EXEC, "mode": "ADMIN"}], ["GET", "/audit", None]]
        told = {}
        for uid, gid, groups in (
            (54_401, 54_401, ""),
            (54_402, 54_410, ""),
            (54_403, 54_403, "54410,54411"),
            (54_404, 54_404, ""),
            (54_405, 54_405, "54499"),
        ):
            drop = ["setpriv", f"--reuid={uid}", f"--regid={gid}", f"--groups={groups}" if groups else "--clear-groups"]
            told[uid] = await asyncio.to_thread(_client, [*drop, "--"], path, asked)
        assert [line.split()[0] for line in told[54_401]] == ["200", "403", "403", "403", "403"]
        assert [line.split()[0] for line in told[54_402]] == ["200", "202", "403", "403", "403"]
        assert [line.split()[0] for line in told[54_403]] == ["200", "202", "202", "403", "403"]
        assert [line.split()[0] for line in told[54_404]][:3] == ["200", "202", "202"]
        assert told[54_404][4].startswith("200")
        assert "may not run in ADMIN mode" in told[54_403][3]
        assert "may not" not in told[54_404][3], "an admin is told of the host, not of its role"
        assert all(line.startswith("403 uid 54405 has no role in this project") for line in told[54_405])
        records = (await plant.engine.audit.list(before, limit=200)).records
        denied = {
            (record.uid, record.subject) for record in records if record.action == "denied" and record.uid > 54_000
        }
        assert denied >= {
            (54_401, "runs.start"),
            (54_402, "runs.start"),
            (54_402, "audit.list"),
            (54_405, "access.self"),
        }
        plant.engine.callers.use_roles(AccountRoles())
        await server.shutdown()


def _client(drop: list[str], path: Path, asked: list[Any]) -> list[str]:
    import json

    python = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
    command = [*drop, python, "-I", "-c", CLIENT, str(path), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def test_headers_that_name_somebody_else_give_nothing(plant: Plant) -> None:
    nobody = await plant.host.ask("GET", "/api/v1/access/self")
    assert (nobody.status, nobody.json["code"]) == (401, "unauthorized")
    stranger = await plant.host.ask("GET", "/api/v1/access/self", peer=Peer(1, 54_499, 54_499))
    assert (stranger.status, stranger.json["code"]) == (403, "forbidden")
    owner = Peer(1, plant.engine.owner.uid, 0)
    wrong = await plant.host.ask("GET", "/api/v1/access/self", peer=owner, token="gw_0_0")
    assert wrong.status == 401, "a token that is sent counts, also where the account would do"


async def test_a_thousand_bad_logins_are_throttled_and_keep_no_token_out(plant: Plant) -> None:
    before = len((await plant.engine.audit.list(plant.engine.owner, limit=500)).records)
    statuses = []
    for number in range(1000):
        answer = await plant.host.ask("GET", "/api/v1/access/self", token=f"gw_0123456789ab_{number}")
        statuses.append(answer.status)
        if number % 100 == 0:
            assert (await plant.host.ask("GET", "/api/v1/access/self", token=plant.tokens["viewer"])).status == 200
    let_try = statuses.count(401)
    assert 8 <= let_try <= 10, "other tests have tried from there, too"
    assert statuses == [401] * let_try + [429] * (1000 - let_try)
    assert answer.json["code"] == "throttled"
    assert 0 < int(answer.headers[b"retry-after"]) <= 60
    records = (await plant.engine.audit.list(plant.engine.owner, limit=500)).records
    assert len(records) - before <= 2
    assert ("denied", "login from 192.0.2.7") in {(record.action, record.subject) for record in records}
    assert "0123456789ab" not in str(records)


async def test_the_settings_of_a_living_engine_give_and_take_roles_and_say_what_is_wrong(plant: Plant) -> None:
    engine, file, account = (
        plant.engine,
        plant.engine.project.settings_file,
        Peer(1, pwd.getpwnam("daemon").pw_uid, grp.getgrnam("daemon").gr_gid),
    )
    before = file.read_text()

    async def holds(status: int, problem: str) -> bool:
        answer = await plant.host.ask("GET", "/api/v1/access/self", peer=account)
        return answer.status == status and problem in " ".join(engine.problems)

    async def told(text: str, status: int, problem: str = "", *, by_itself: bool = False) -> None:
        file.write_text(text)
        file.chmod(0o600)
        if not by_itself:  # its watch would do so within a second
            await engine.policy.look()
        async with asyncio.timeout(20):
            while not await holds(status, problem):  # noqa: ASYNC110 - its own watch looks at the file
                await asyncio.sleep(0.05)

    await told('[access]\noperators = ["@daemon"]\n', 200, by_itself=True)
    answer = await plant.host.ask("GET", "/api/v1/access/self", peer=account)
    assert (answer.json["role"], answer.json["name"]) == ("operator", "daemon")
    await told("[access]\noperator = []\n", 200, "unknown key access.operator; the roles of accounts stay as they were")
    await told(before, 403)
    assert not any("access" in problem for problem in engine.problems)
