"""The module's routes, asked by a client that was written from its tables alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_support import wait_for
from wire_client import API, PREFIX, HttpStatus, WireClient
from wire_kit import ROLES, Wired, wired

RUN = "result = 1 + 1"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    with wired(tmp_path_factory.mktemp("wire") / "plant") as found:
        yield found


@pytest.fixture(params=["unix", "admin"])
def wire(plant: Wired, request: pytest.FixtureRequest) -> WireClient:
    """By the socket as the project's owner, and over TCP with a token."""
    return plant.by[request.param]


def test_exec_answers_with_a_text_and_the_value(wire: WireClient) -> None:
    answer = wire.exec(RUN)
    assert (answer["success"], answer["result"], answer["value"]) == (True, "2", 2)
    assert type(answer["value"]) is int
    assert abs(answer["timestamp"] - time.time() * 1000) < 60_000
    assert answer["isolation"]
    assert "traceback" not in answer


@pytest.mark.parametrize(
    ("code", "text", "value"),
    [
        ("result = 2.5", "2.5", 2.5),
        ("result = 'text'", "text", "text"),
        ("result = True", "true", True),
        ("result = 0", "0", 0),
        ("result = ''", "", ""),
        ("result = [1, {'a': None}]", '[1, {"a": null}]', [1, {"a": None}]),
        ("result = 2 ** 100", str(2**100), 2**100),
        ("result = dict(n=x['a'][1]['b'], none=y is None)", '{"n": 7, "none": true}', {"n": 7, "none": True}),
    ],
)
def test_values_are_texts_and_typed(wire: WireClient, code: str, text: str, value: Any) -> None:
    answer = wire.exec(code, {"x": {"a": [0, {"b": 7}]}, "y": None})
    assert (answer["result"], answer["value"]) == (text, value)
    assert type(answer["value"]) is type(value)


@pytest.mark.parametrize("code", ["result = float('nan')", "print('x'); result = float('-inf')"])
def test_a_value_that_json_does_not_have_is_left_out_and_told_of(wire: WireClient, code: str) -> None:
    answer = wire.exec(code)
    assert answer["success"] is True
    assert not {"result", "value"} & answer.keys()
    assert "to null" in answer["note"]


def test_what_is_printed_is_the_result_of_a_script_that_leaves_none(wire: WireClient) -> None:
    answer = wire.exec("import sys; print('out'); print('err', file=sys.stderr)")
    assert (answer["result"], answer["output"], answer["stderr"]) == ("out\n", "out\n", "err\n")
    assert "value" not in answer
    answer = wire.exec("print('out'); result = 1")
    assert (answer["result"], answer["output"]) == ("1", "out\n")
    assert "result" not in wire.exec("x = 1")


def test_a_failure_is_200_with_its_traceback_in_the_error(wire: WireClient) -> None:
    answer = wire.exec("print('before')\nresult = 1 / 0")
    assert answer["success"] is False
    assert answer["error"].startswith("Python error: ZeroDivisionError: division by zero\nTraceback")
    assert answer["output"] == "before\n"
    assert answer["code"] == "script_error"
    assert "traceback" not in answer
    asked = wire.run("/exec", {"code": "1 / 0"}, **{"X-Gatewright-Traceback": "1"})
    assert asked["traceback"].startswith("Traceback")
    assert asked["traceback"] in asked["error"]


def test_eval(wire: WireClient) -> None:
    answer = wire.run("/eval", {"expression": "n * 2", "variables": {"n": 21}})
    assert (answer["result"], answer["value"]) == ("42", 42)
    assert "result" not in wire.run("/eval", {"expression": "None", "variables": {}})
    assert wire.run("/eval", {"expression": "1 +", "variables": {}})["success"] is False


def test_call_module_takes_args_and_kwargs(wire: WireClient) -> None:
    answer = wire.run("/call-module", {"module": "math", "function": "gcd", "args": [12, 18]})
    assert answer["result"] == "6"
    answer = wire.run(
        "/call-module",
        {"module": "json", "function": "dumps", "args": [{"b": 1, "a": 2}], "kwargs": {"sort_keys": True}},
    )
    assert answer["result"] == '{"a": 2, "b": 1}'


def test_call_script_by_folder_and_name_path_and_id(wire: WireClient) -> None:
    code = "result = [args, kwargs]"
    assert wire.save("Daily report", code, folderPath="Reports/Night")["success"] is True
    for name in (
        "Reports/Night/Daily report", "reports/night/DAILY REPORT", "Daily report", "daily_report",
        "Reports/Night/daily_report", "Reports/Night/daily_report.py",
    ):  # fmt: skip
        answer = wire.run("/call-script", {"scriptPath": name, "args": [1, "x"], "kwargs": {"k": [2]}})
        assert answer["value"] == [[1, "x"], {"k": [2]}], answer
    missing = wire.run("/call-script", {"scriptPath": "Reports/None", "args": [], "kwargs": {}})
    assert missing["error"] == "Script not found: Reports/None"
    assert "runId" not in missing


def test_kwargs_become_declared_params_and_reach_an_entrypoint(wire: WireClient) -> None:
    header = (
        '# /// script\n# [tool.gatewright]\n# entrypoint = "main"\n# [tool.gatewright.params.hours]\n'
        '# type = "int"\n# default = 24\n# ///\n\n'
    )
    wire.save("Hours", header + "def main(hours):\n    return [hours, kwargs]\n")
    call = {"scriptPath": "Hours", "args": []}
    assert wire.run("/call-script", call | {"kwargs": {"hours": 3, "other": 1}})["value"] == [
        3, {"hours": 3, "other": 1},
    ]  # fmt: skip
    assert wire.run("/call-script", call | {"params": {"hours": 5}, "kwargs": {"hours": 3}})["value"][0] == 5
    assert wire.run("/call-script", call)["value"] == [24, {}]
    wire.save("Free", '# /// script\n# [tool.gatewright]\n# entrypoint = "main"\n# ///\n\ndef main(a): return a\n')
    assert wire.run("/call-script", {"scriptPath": "Free", "kwargs": {"a": "b"}})["value"] == "b"


@pytest.mark.parametrize("name", ["mode", "securityMode", "security_mode"])
def test_a_mode_is_never_lowered_silently(plant: Wired, wire: WireClient, name: str) -> None:
    assert wire.exec(RUN, **{name: "bogus"})["code"] == "bad_mode"
    assert plant.by["author"].exec(RUN, **{name: "restricted"})["success"] is True
    with pytest.raises(HttpStatus) as refused:
        plant.by["author"].exec(RUN, **{name: "ADMIN"})
    assert refused.value.status == 403


def test_two_names_of_the_mode_must_say_the_same(wire: WireClient) -> None:
    assert wire.exec(RUN, mode="RESTRICTED", securityMode="restricted")["success"] is True
    answer = wire.exec(RUN, mode="RESTRICTED", securityMode="ADMIN")
    assert (answer["success"], answer["code"]) == (False, "bad_mode")
    assert "securityMode" in answer["error"]


def test_a_number_that_is_none_is_refused_and_an_unknown_name_is_none_of_ours(wire: WireClient) -> None:
    wrong = wire.get("/logs?lines=abc")
    assert (wrong["success"], wrong["code"]) == (False, "bad_request")
    assert "lines" in wrong["error"]
    assert wire.get("/logs?limit=abc&lines=1&filter=Python3")["count"] == 1


def test_a_wrong_argument_is_told_in_the_words_of_programs(plant: Wired) -> None:
    (plant.root / "scripts/own").mkdir(exist_ok=True)
    (plant.root / "scripts/own/double.py").write_text(
        "# /// script\n# [tool.gatewright]\n# entrypoint = 'main'\n# [tool.gatewright.params.number]\n"
        "# type = 'int'\n# ///\ndef main(number):\n    return number * 2\n"
    )
    wait_for(lambda: plant.by["operator"].run("/call-script", {"scriptPath": "own/double"})["code"] == "bad_params")
    wrong = plant.by["operator"].run("/call-script", {"scriptPath": "own/double", "kwargs": {"nr": 5}})
    assert wrong["error"] == (
        "The parameter 'number' (int) is missing. 'nr' is none of its parameters. "
        'Give it by its name, such as {"number": 5}. It takes number (int).'
    )
    wrong = plant.by["operator"].run("/call-script", {"scriptPath": "own/double", "args": [5]})
    assert "Positional arguments are not parameters" in wrong["error"]


def test_mode_version_and_timeout(wire: WireClient) -> None:
    assert wire.exec(RUN, mode="RESTRICTED")["success"] is True
    wrong = wire.exec(RUN, mode="ROOT")
    assert (wrong["success"], wrong["code"]) == (False, "bad_mode")
    version = wire.get("/versions")["default"]
    for accepted in ("", version, wire.get("/version")["pythonVersion"], None):
        assert wire.exec(RUN, version=accepted)["success"] is True
    refused = wire.exec(RUN, version="2.7")
    assert refused["success"] is False
    assert version in refused["error"]
    late = wire.exec("while True: pass", timeout=0.3)
    assert late["success"] is False
    assert late["code"] == "timeout"
    assert late["executionTimeMs"] >= 300


def test_null_is_left_out_and_unknown_fields_count_for_nothing(wire: WireClient) -> None:
    body = {"code": RUN, "variables": None, "version": None, "mode": None, "timeout": None, "params": None, "x": [1]}
    assert wire.run("/exec", body)["result"] == "2"
    assert "code" in wire.run("/exec", {"code": None})["error"]


def test_bodies_and_their_types(wire: WireClient) -> None:
    utf8 = {**wire.headers, "Content-Type": "application/json;charset=UTF-8"}
    status, _, text = wire.raw("POST", f"{API}/exec", json.dumps({"code": RUN}).encode(), utf8)
    assert (status, json.loads(text)["result"]) == (200, "2")
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"):
        status, _, text = wire.raw("POST", f"{API}/exec", b"code=1", {**wire.headers, "Content-Type": kind})
        assert (status, json.loads(text)["success"]) == (415, False)
    bare = {name: value for name, value in wire.headers.items() if name in ("Accept", "Authorization")}
    for body in (None, b"", b"{}", b" \r\n"):
        status, _, text = wire.raw("POST", f"{API}/packages/verify", body, bare)
        assert (status, json.loads(text)) == (200, {"success": True, "verification": {}})
        status, _, text = wire.raw("POST", f"{API}/check-syntax", body, bare)
        assert (status, json.loads(text)) == (200, {"success": True, "errors": []})
    for body in (b"{", b"[1]", b'"x"', b'{"code": 1}', b'{"code": "1", "variables": []}', b'{"code": "\xff"}', b"nan"):
        status, _, text = wire.raw("POST", f"{API}/exec", body)
        answer = json.loads(text)
        assert (status, answer["success"], answer["code"]) == (200, False, "bad_request"), body
        assert "\n" not in answer["error"]
        assert "Traceback" not in answer["error"]


def test_a_number_that_json_does_not_have_is_named(wire: WireClient) -> None:
    for literal in ("NaN", "Infinity", "-Infinity"):
        body = f'{{"code": "x = \\"NaN\\"", "variables": {{"v": {literal}}}}}'.encode()
        status, _, text = wire.raw("POST", f"{API}/exec", body)
        assert status == 200
        assert literal.removeprefix("-") in json.loads(text)["error"]


def test_shells_are_gone_and_say_why(wire: WireClient) -> None:
    for path in ("/shell-exec", "/shell-interactive/create", "/shell-interactive/exec", "/shell-interactive/close"):
        with pytest.raises(HttpStatus) as refused:
            wire.post(path, {"command": "id", "sessionId": "x"})
        assert refused.value.status == 410
        assert "sandbox" in refused.value.json["error"]


def test_session(wire: WireClient) -> None:
    answer = wire.session()
    assert answer["success"] is True
    assert 28_700 < answer["expires_in"] <= 28_800
    assert len(answer["token"]) == 36
    assert answer["security_mode"] == "RESTRICTED"
    bearer = {**wire.headers, "Authorization": f"Bearer {answer['api_token']}"}
    assert json.loads(wire.raw("POST", f"{API}/exec", json.dumps({"code": RUN}).encode(), bearer)[2])["result"] == "2"
    authorization = {name: value for name, value in wire.headers.items() if name == "Authorization"}
    assert wire.raw("POST", f"{PREFIX}/auth/session", None, authorization)[0] == 200


def test_without_a_token_that_counts_it_is_401_with_the_way_to_log_in(plant: Wired) -> None:
    wrong = {**plant.by["stranger"].headers, "Authorization": "Bearer nothing"}
    for target in (f"{PREFIX}/auth/session", f"{API}/exec", f"{API}/scripts/list"):
        for wire, headers in ((plant.by["stranger"], None), (plant.by["unix"], wrong)):
            status, received, text = wire.raw("POST", target, b"{}", headers)
            if target.endswith("list"):
                status, received, text = wire.raw("GET", target, None, headers)
            assert status == 401
            assert received["www-authenticate"].startswith("Bearer")
            assert json.loads(text)["success"] is False


def test_each_role_may_do_what_it_may_and_no_more(plant: Wired) -> None:
    plant.by["author"].save("Role test", "result = 1\n")

    def may(role: str, work: Callable[[WireClient], dict[str, Any]]) -> bool:
        try:
            said = work(plant.by[role])
        except HttpStatus as refused:
            said = refused.json | {"status": refused.status}
        if said.get("code") != "forbidden":  # an engine of root's has no ADMIN runs at all, which is another refusal
            return True
        assert (said["status"], said["success"], said["error"].startswith(f"token:{role} may not ")) == (
            403,
            False,
            True,
        )
        return False

    def allowed(work: Callable[[WireClient], dict[str, Any]]) -> list[str]:
        return [role for role in ROLES if may(role, work)]

    call = {"scriptPath": "Role test"}
    assert allowed(lambda wire: wire.get("/scripts/list")) == [*ROLES]
    assert allowed(lambda wire: wire.load("Role test")) == [*ROLES]
    assert allowed(lambda wire: wire.session()) == [*ROLES]
    assert allowed(lambda wire: wire.run("/call-script", call)) == ["operator", "author", "admin"]
    assert allowed(lambda wire: wire.run("/call-script", call | {"mode": "ADMIN"})) == ["admin"]
    assert allowed(lambda wire: wire.exec(RUN)) == ["author", "admin"]
    assert allowed(lambda wire: wire.run("/eval", {"expression": "1"})) == ["author", "admin"]
    assert allowed(lambda wire: wire.run("/call-module", {"module": "math", "function": "pow", "args": [1, 1]})) == [
        "author",
        "admin",
    ]
    assert allowed(lambda wire: wire.exec(RUN, mode="ADMIN")) == ["admin"]
    assert allowed(lambda wire: wire.save("Role test", "result = 2\n")) == ["author", "admin"]
    assert allowed(lambda wire: wire.delete("Nothing of this name")) == ["author", "admin"]
    assert allowed(lambda wire: wire.post("/packages/install/numpy", {})) == ["admin"]
    wait_for(
        lambda: (
            {"compat.exec", "compat.scripts.save", "compat.call_script"}
            <= {
                each["subject"]
                for each in plant.own("GET", "/audit?limit=200")["records"]
                if each["action"] == "denied"
            }
        )
    )


def test_a_call_whose_client_left_is_ended(plant: Wired) -> None:
    connection = plant.by["unix"].connection()
    body = json.dumps({"code": "print('on', flush=True)\nwhile True: pass", "timeout": 60}).encode()
    connection.request("POST", f"{API}/exec", body, plant.by["unix"].headers)

    def newest() -> dict[str, Any]:
        run: dict[str, Any] = plant.own("GET", "/runs?limit=1")["runs"][0]
        return run

    wait_for(lambda: newest()["state"] == "running" and newest()["timeout"] == 60)
    connection.close()
    wait_for(lambda: newest()["state"] == "finished")
    assert newest()["outcome"] == "cancelled"


def test_a_long_output_comes_with_its_value(plant: Wired) -> None:
    answer = plant.by["admin"].exec("for n in range(20_000): print(n)\nresult = n")
    assert answer["result"] == "19999"
    assert answer["output"].splitlines()[:2] == ["0", "1"]
    assert answer["output"].endswith("19999\n")


def test_the_document_describes_each_route(plant: Wired) -> None:
    document = plant.by["viewer"].get("/openapi.json")
    assert document["servers"] == [{"url": PREFIX}]
    assert {"/auth/session", "/api/v1/exec", "/api/v1/scripts/delete/{name}"} <= document["paths"].keys()
    assert set(document["paths"]["/api/v1/scripts/delete/{name}"]) == {"delete", "post"}
    assert document["paths"]["/api/v1/packages/verify"]["post"]["requestBody"]["required"] is False
    assert document["paths"]["/api/v1/exec"]["post"]["requestBody"]["required"] is True
    refusal = document["components"]["schemas"]["RunRefusal"]
    assert {"success", "error", "code", "message", "output", "executionTimeMs"} <= set(refusal["required"])


def test_what_is_not_there_has_the_shapes_that_clients_read(wire: WireClient) -> None:
    shapes: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/distributions/uninstall", {}),
        ("POST", "/completions", {"completions": [], "count": 0}),
    ]
    for method, path, empty in shapes:
        answer = wire.ask(method, API + path, {} if method == "POST" else None)
        assert (answer["success"], answer["code"]) == (False, "not_available")
        assert answer["message"] == answer["error"]
        assert {name: answer[name] for name in empty} == empty


def test_the_version_is_that_of_the_scripts_interpreter(wire: WireClient) -> None:
    said = wire.get("/version")
    assert said["version"] == wire.exec("import sys; result = ' '.join(sys.version.split())")["result"]
    assert said["version"].startswith(said["pythonVersion"])
    assert said["available"] is True
    versions = wire.get("/versions")
    assert versions["versions"][0] == versions["default"]
    assert versions["count"] == len(versions["versions"]) == len(versions["details"])
    details = versions["details"][versions["default"]]
    assert details["isDefault"] is True
    assert details["poolSize"] >= details["healthy"] > 0
    found = wire.get("/distributions")["distributions"]
    assert [one["version"] for one in found] == versions["versions"]
    assert [one["version"] for one in found if one["poolActive"]] == [versions["default"]]
    assert all(Path(one["pythonPath"]).exists() for one in found)
    assert wire.exec(wire.get("/example")["result"])["success"] is True


def test_syntax_errors_have_their_place(wire: WireClient) -> None:
    report = wire.post("/check-syntax", {"code": "x = 1\ny = (\n"})
    assert report["success"] is True
    [error] = report["errors"]
    assert (error["severity"], type(error["line"]), type(error["column"])) == ("error", int, int)
    assert error["message"]
    assert wire.post("/check-syntax", {"code": ""}) == {"success": True, "errors": []}


ROUTES: list[tuple[str, str, Any, tuple[str, ...]]] = [
    ("POST", "/exec", {"code": RUN, "variables": {}}, ("success", "result")),
    ("POST", "/eval", {"expression": "1", "variables": {}}, ("success", "result")),
    ("POST", "/call-module", {"module": "math", "function": "sqrt", "args": [4]}, ("success", "result")),
    ("POST", "/call-script", {"scriptPath": "None", "args": [], "kwargs": {}}, ("success", "error")),
    ("POST", "/check-syntax", {"code": "x = 1"}, ("success", "errors")),
    ("POST", "/completions", {"code": "x", "line": 1, "column": 0}, ("success", "completions", "count", "message")),
    ("GET", "/example", None, ("success", "result")),
    ("GET", "/version", None, ("version", "available", "pythonVersion", "moduleVersion")),
    ("GET", "/pool-stats", None, ("totalSize", "poolSize", "available", "inUse", "healthy", "healthCheckStatus")),
    ("POST", "/pool-size", {"size": 3}, ("success", "poolSize", "message")),
    ("GET", "/health", None, ("healthy", "available", "timestamp", "status")),
    (
        "GET",
        "/diagnostics",
        None,
        (
            "available", "poolStats", "versionInfo", "distributionInfo", "timestamp", "totalExecutions",
            "successfulExecutions", "failedExecutions", "averageExecutionTime",
        ),
    ),
    (
        "GET",
        "/metrics",
        None,
        (
            "total_executions", "successful_executions", "failed_executions", "success_rate", "health_score",
            "totalExecutions", "averageLatencyMs", "maxLatencyMs", "errorRate", "uptime_ms",
        ),
    ),
    ("GET", "/gateway-impact", None, ("impact_level", "impactLevel", "health_score", "healthScore", "cpuUsagePercent")),
    ("GET", "/metrics/script-metrics", None, ("success", "script_metrics", "count")),
    ("GET", "/metrics/historical", None, ("success", "historical_metrics", "count")),
    ("GET", "/metrics/alerts", None, ("success", "alerts", "count")),
    ("GET", "/monitoring/metrics", None, ("totalExecutions", "failedExecutions", "errorRatePercent")),
    ("GET", "/monitoring/circuit-breaker", None, ("state", "failureCount", "timeSinceStateChangeMs")),
    ("GET", "/monitoring/alerts", None, ("totalAlerts", "suppressedAlerts", "alertSummary")),
    ("GET", "/logs?lines=5&filter=Python3", None, ("success", "entries", "count", "total", "hasMore")),
    ("GET", "/versions", None, ("versions", "default", "count", "details", "success", "timestamp")),
    ("GET", "/distributions", None, ("distributions", "os", "installedCount", "success", "timestamp")),
    ("POST", "/distributions/install", {"version": "3.13"}, ("success", "message")),
    ("POST", "/distributions/uninstall", {"version": "3.13"}, ("success", "message")),
    ("POST", "/scripts/save", {"name": "Of the table", "code": "", "folderPath": ""}, ("success", "script")),
    ("GET", "/scripts/load/Of+the%20table", None, ("success", "script")),
    ("GET", "/scripts/list", None, ("success", "scripts")),
    ("GET", "/scripts/available", None, ("success", "scripts", "count")),
    ("POST", "/scripts/delete/Of+the+table", {}, ("success", "message")),
    ("DELETE", "/scripts/delete/Of+the+table", None, ("success", "message")),
    ("GET", "/packages/catalog", None, ("success", "packages", "count")),
    ("GET", "/packages/status", None, ("success", "status", "installed", "available")),
    ("POST", "/packages/install/numpy", {}, ("success", "message")),
    ("POST", "/packages/uninstall/numpy", None, ("success", "message")),
    ("POST", "/packages/verify", None, ("success", "verification")),
    ("GET", "/packages/search-pypi?q=x", None, ("success", "query", "count", "results")),
    ("GET", "/packages/pypi-info/numpy", None, ("success", "message")),
]  # fmt: skip


def test_every_route_of_the_table_answers_with_its_fields(wire: WireClient) -> None:
    for method, path, body, fields in ROUTES:
        answer = wire.ask(method, API + path, body)
        missing = [name for name in fields if name not in answer]
        assert not missing, (path, missing, answer)
    assert wire.session()["success"] is True


def test_what_is_no_route_names_the_document_of_these(wire: WireClient) -> None:
    status, _, text = wire.raw("GET", f"{API}/nothing")
    answer = json.loads(text)
    assert (status, answer["success"]) == (404, False)
    assert f"{API}/openapi.json" in answer["hint"]
    assert wire.raw("PUT", f"{API}/exec", b"{}")[0] == 405
