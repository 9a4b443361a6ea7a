"""Over TCP a request must name this host, must not come from another site's page, and gains nothing by its headers."""

from __future__ import annotations

import pytest
import pytest_asyncio
from tcp_support import TcpHost, serving_tcp

ENGINE = "GET /api/v1/engine HTTP/1.1\r\n"
RUN = "POST /api/v1/runs HTTP/1.1\r\nHost: localhost"
CODE = b'{"kind":"exec","code":"result = 1"}'


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    async with serving_tcp(folder, listed=("plant.example", "proxy.example:8443")) as host:
        yield host


@pytest.fixture
def host(one_host: TcpHost) -> TcpHost:
    one_host.engine.runs.requests.clear()
    return one_host


@pytest.mark.parametrize(
    "lines",
    [
        "Host: 127.0.0.1", "Host: localhost", "Host: LOCALHOST.", "Host: localhost:1", "Host: [::1]:8080",
        "Host: 127.0.0.2", "Host: plant.example", "Host: plant.example:81", "Host: proxy.example:8443",
        "Host: proxy.example", "HOST:localhost ", "Host: [::ffff:127.0.0.1]",
    ],
)  # fmt: skip
async def test_a_request_for_this_host_is_served(host: TcpHost, lines: str) -> None:
    assert (await host.ask(ENGINE + lines))[0] == 200


@pytest.mark.parametrize(
    "lines",
    [
        "X-No: host", "Host: evil.example", "Host: localhost.evil.example", "Host: 192.0.2.1", "Host: 0.0.0.0",
        "Host: [::]", "Host:", "Host: localhost\r\nHost: localhost", "Host: localhost\r\nHost: evil.example",
        "Host: localhost, evil.example", "Host: user@localhost", "Host: localhost:", "Host: localhost:99999999",
        "Host: localhost/evil", "Host: l\xf6calhost", "Host: proxy.example:81", "Host: 127.1", "Host: 2130706433",
        "Host: evil.example\r\nX-Forwarded-Host: localhost", "Host: [::ffff:192.0.2.1]",
    ],
)  # fmt: skip
async def test_a_request_for_another_host_is_refused(host: TcpHost, lines: str) -> None:
    """Before the token is looked at: a page must not even find out whether one is right."""
    for token in ("alpha", None):
        status, answer = await host.ask(ENGINE + lines, token=token)
        assert (status, answer["code"], answer["success"]) == (403, "bad_host", False)


async def test_a_request_that_only_its_target_sends_elsewhere_is_refused(host: TcpHost) -> None:
    status, _ = await host.ask("GET http://evil.example/api/v1/engine HTTP/1.1\r\nHost: localhost")
    assert status == 400


@pytest.mark.parametrize(
    ("host_line", "origin"),
    [
        ("localhost:{port}", "http://localhost:{port}"),
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}"),
        ("localhost", "http://localhost:80"),
        ("plant.example", "https://plant.example"),  # the proxy speaks TLS, the engine does not
        ("proxy.example:8443", "https://proxy.example:8443"),
    ],
)
async def test_a_page_of_this_engine_may_ask(host: TcpHost, host_line: str, origin: str) -> None:
    lines = f"Host: {host_line}\r\nOrigin: {origin}".format(port=host.port)
    assert (await host.ask(ENGINE + lines))[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "", "http://localhost", "https://localhost:{port}", "http://127.0.0.1:{port}",
        "http://localhost:{port}.evil.example", "file://", "http://localhost:{port}, http://evil.example",
        "http://localhost:{port}\r\nOrigin: http://evil.example", "ftp://localhost:{port}", "https://plant.example:81",
        "chrome-extension://abcdef",
    ],
)  # fmt: skip
async def test_a_page_of_another_site_is_refused(host: TcpHost, origin: str) -> None:
    lines = f"\r\nHost: localhost:{host.port}\r\nOrigin: {origin.format(port=host.port)}"
    status, answer = await host.ask(RUN.partition("\r\n")[0] + lines, CODE)
    assert (status, answer["code"]) == (403, "bad_origin")
    assert "proxy" in answer["hint"], "there is no setting that lets such a page in"
    assert host.engine.runs.requests == []


async def test_a_preflight_gets_no_leave(host: TcpHost) -> None:
    lines = f"Host: localhost:{host.port}\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: POST"
    status, answer = await host.ask(f"OPTIONS /api/v1/runs HTTP/1.1\r\n{lines}", token=None)
    assert (status, answer["code"]) == (403, "bad_origin")


@pytest.mark.parametrize(
    "lines",
    [
        "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1", "X-Source: Python3-IDE",
        "X-Gatewright-Client: console", "X-Remote-User: root", "X-Gatewright-Actor: root", "Cookie: token=alpha",
        "Authorization: Basic cm9vdDpyb290", "Authorization: alpha",
    ],
)  # fmt: skip
async def test_no_header_lets_anybody_in(host: TcpHost, lines: str) -> None:
    status, answer = await host.ask(f"{RUN}\r\n{lines}", CODE, token=None)
    assert (status, answer["code"]) == (401, "unauthorized")
    assert host.engine.runs.requests == []


async def test_nobody_is_served_first_for_saying_that_a_person_waits(host: TcpHost) -> None:
    for client in ("console", "cli", "owner", "batch"):
        await host.ask(f"{RUN}\r\nX-Gatewright-Client: {client}\r\nX-Source: Python3-IDE", CODE)
    assert [source for _, source in host.engine.runs.requests] == ["rest"] * 4
