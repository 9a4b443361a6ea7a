"""Bad requests of clients with tokens, over TCP, to both base paths: one sentence each, and the engine goes on.

Heads, slow and half-closed bodies, hosts and origins are in test_tcp_limits.py and test_tcp_gate.py; bad logins by the
thousand in test_access.py.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from wire_client import WireClient
from wire_kit import Wired, wired

EXEC = "/data/python3integration/api/v1/exec"
RUNS = "/api/v1/runs"
CODE: dict[str, Any] = {"code": "result = 1 + 1"}
RUN: dict[str, Any] = {"kind": "exec", **CODE}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    with wired(tmp_path_factory.mktemp("bad") / "plant") as found:
        yield found


def ask(client: WireClient, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Ask; the answer is JSON, and none of ours failed."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    status, _, text = client.raw(method, path, data, client.headers | headers)
    answer = json.loads(text)
    assert status < 500, answer
    assert "Traceback" not in str(answer.get("error"))
    return status, answer


def test_a_token_that_is_over_is_refused_on_connections_that_it_opened(plant: Wired) -> None:
    made = plant.own("POST", "/tokens", {"name": "leaving", "role": "author"})
    client = plant.by["stranger"].with_token(made["token"])
    with closing(client.connection()) as kept:
        assert _exec(kept, client.headers) == 200
        plant.own("DELETE", "/tokens/leaving")
        assert _exec(kept, client.headers) == 401
    assert ask(client, "POST", RUNS, RUN)[0] == 401


@pytest.mark.parametrize(("path", "body"), [(EXEC, CODE), (RUNS + "?wait=20", RUN)])
def test_unknown_fields_count_for_nothing_and_unknown_modes_are_errors(
    plant: Wired, path: str, body: dict[str, Any]
) -> None:
    author = plant.by["author"]
    claims = {"actor": "root", "user": "root", "uid": 0, "role": "admin", "isAdmin": True, "source": "console"}
    status, answer = ask(author, "POST", path, body | claims)
    assert (status, answer["value"]) == (200, 2)
    assert plant.own("GET", "/runs?limit=1")["runs"][0]["actor"] == "token:author"
    for mode in ("root", "SUDO", "ADMIN ", "\u0000"):
        status, answer = ask(author, "POST", path, body | {"mode": mode})
        assert status in (200, 400, 403)
        assert answer["success"] is False
        assert "mode" in answer["error"].lower()
    status, answer = ask(author, "POST", path, body | {"mode": "ADMIN"})
    assert (status, answer["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "wrong",
    [{"code": 5}, {"code": ["a"]}, {"code": {"a": 1}}, {"timeout": "soon"}, {"timeout": -1}, {"timeout": 1e400}],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize(("path", "body"), [(EXEC, CODE), (RUNS, RUN)])
def test_a_field_of_another_type_is_named(plant: Wired, path: str, body: dict[str, Any], wrong: dict[str, Any]) -> None:
    _, answer = ask(plant.by["author"], "POST", path, body | wrong)
    assert answer["success"] is False, answer


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{}" * 2, b"[" * 100_000, b'{"kind": "exec", "code": "\\ud800"}'],
    ids=["nothing", "open", "list", "null", "text", "no UTF-8", "two", "deep", "half a pair"],
)
def test_what_is_no_such_json_is_refused(plant: Wired, body: bytes) -> None:
    for path in (EXEC, RUNS):
        _, answer = ask(plant.by["author"], "POST", path, body)
        assert answer["success"] is False, answer


def test_twenty_megabytes_are_too_large_for_every_route(plant: Wired) -> None:
    big = json.dumps({**RUN, "code": "#" * (20 << 20)}).encode()
    for path in (EXEC, RUNS):
        status, answer = ask(plant.by["author"], "POST", path, big)
        assert (status, answer["code"]) == (413, "too_large")
    assert ask(plant.by["author"], "POST", EXEC, CODE)[1]["value"] == 2


TRAVERSALS = (
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "..%252f..%252fetc%252fpasswd",
    "%5c..%5c..%5cetc", "%00", "a%00.py", "%ff%fe", "%c0%ae%c0%ae/", "/etc/passwd", "//etc/passwd", "a/%2e/b", "%2f",
    "%0d%0aX-Role:%20admin", "x" * 4000,
)  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS, ids=lambda name: name[:24])
def test_a_path_in_whatever_code_stays_among_the_scripts(plant: Wired, name: str) -> None:
    (plant.root / "outside.py").write_text("SECRET = 1")
    for path in (f"/api/v1/scripts/file/{name}", f"/api/v1/scripts/history/{name}", f"{EXEC[:-5]}/scripts/load/{name}"):
        status, answer = ask(plant.by["author"], "GET", path)
        assert status >= 400 or answer.get("success") is False or not answer.get("versions"), answer
        assert "root:" not in json.dumps(answer)
        assert "SECRET" not in json.dumps(answer)


MALFORMED = (
    "",
    "Bearer",
    "Bearer ",
    "Basic Z3c6Z3c=",
    "Bearer gw_",
    "Bearer gw_x.y",
    "Bearer " + "g" * 7000,
    "Token {}",
)


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:16] or "empty")
def test_a_malformed_token_lets_nobody_in(plant: Wired, text: str) -> None:
    token = plant.by["admin"].headers["Authorization"].removeprefix("Bearer ")
    for path in (EXEC, RUNS):
        status, answer = ask(plant.by["stranger"], "POST", path, CODE, Authorization=text.format(token))
        assert status in (401, 429), answer  # after so many, the address has to wait
        assert token not in json.dumps(answer)


def _exec(connection: http.client.HTTPConnection, headers: dict[str, str]) -> int:
    connection.request("POST", EXEC, json.dumps(CODE), headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


LIES = {
    "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1;by=127.0.0.1", "X-Real-IP": "127.0.0.1",
    "X-Source": "console", "X-Gatewright-Client": "console", "X-Remote-User": "root", "X-Role": "admin",
    "X-HTTP-Method-Override": "DELETE", "Remote-User": "root",
}  # fmt: skip


def test_headers_of_ones_own_making_give_nothing(plant: Wired) -> None:
    assert ask(plant.by["stranger"], "POST", EXEC, CODE, **LIES)[0] in (401, 429)
    assert ask(plant.by["operator"], "POST", EXEC, CODE, **LIES)[0] == 403
    assert ask(plant.by["author"], "POST", EXEC, CODE, **LIES)[1]["value"] == 2
    newest = plant.own("GET", "/runs?limit=1")["runs"][0]
    assert newest["actor"] == "token:author"
    deadline = time.monotonic() + 20
    while not {"token:operator"} <= {record["actor"] for record in denied(plant)}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not {record["actor"] for record in denied(plant)} & {"root", "127.0.0.1"}


def denied(plant: Wired) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = plant.own("GET", "/audit?limit=200")["records"]
    return [record for record in records if record["action"] == "denied"]
