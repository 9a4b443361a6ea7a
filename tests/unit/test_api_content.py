"""A file that a run left, over the API: its bytes as they are, and nothing that a browser would show."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_support import SmallHost, serving

from engine.api import openapi
from engine.api.content import disposition
from engine.client.answers import EngineError
from engine.registry.runs import RUNS_FILE, RunFileParams

NAMES = ["a.csv", "sub folder/ü?#&%2e.bin", "c++/'\"<>.txt", "...", "-rf"]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SmallHost]:
    async with serving(tmp_path) as host:
        yield host


async def test_bytes_arrive_as_they_are_under_any_name(host: SmallHost) -> None:
    host.engine.runs.files = {name: os.urandom(200_000) + name.encode() for name in NAMES} | {"empty": b""}
    client = host.client()
    for name, content in host.engine.runs.files.items():
        assert await client.call(RUNS_FILE, RunFileParams(run_id=1, name=name)) == content
    assert host.server.connection_count == 1
    with pytest.raises(EngineError, match="left no file 'none'") as refusal:
        await client.call(RUNS_FILE, RunFileParams(run_id=1, name="none"))
    assert (refusal.value.status, refusal.value.code) == (404, "no_file")
    await client.close()


async def test_a_browser_can_only_save_it(host: SmallHost) -> None:
    host.engine.runs.files = {"x/<script>.html": b"<script>alert(1)</script>"}
    request = b"GET /api/v1/runs/1/files/x/%3Cscript%3E.html HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head, _, body = (await host.raw(request)).partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].endswith("200 ok")
    assert "content-type: application/octet-stream" in lines
    assert "x-content-type-options: nosniff" in lines
    assert "content-length: 25" in lines
    assert "content-disposition: attachment; filename=\"_script_.html\"; filename*=utf-8''%3cscript%3e.html" in lines
    assert body == b"<script>alert(1)</script>"


@pytest.mark.parametrize("name", ["", " ", "x" * 1025])
async def test_a_name_that_no_file_can_have_is_a_refusal(host: SmallHost, name: str) -> None:
    target = f"/api/v1/runs/1/files/{name.replace(' ', '%20')}"
    answer = await host.raw(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"400", b"404")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a/b/report 1.csv", "report 1.csv"),
        ('x"; filename="evil.exe', "x__ filename=_evil.exe".replace("=", "_")),
        ("ü.txt", "_.txt"),
        (".bashrc", "bashrc"),
        ("...", "file"),
        ("a\r\nSet-Cookie: x", "a__Set-Cookie_ x"),
        ("back\\slash", "back_slash"),
    ],
)
def test_the_name_in_the_header_is_harmless(name: str, plain: str) -> None:
    header = disposition(name)
    assert header.startswith(f"attachment; filename=\"{plain}\"; filename*=UTF-8''")
    assert header.isascii()
    assert header.isprintable()


def test_the_document_says_binary() -> None:
    described = openapi.build()["paths"]["/runs/{run_id}/files/{name}"]["get"]
    assert described["responses"]["200"]["content"] == {"application/octet-stream": {}}
    assert described["responses"]["default"]["content"].keys() == {"application/json"}
    assert {parameter["name"]: parameter["in"] for parameter in described["parameters"]} == {
        "run_id": "path", "name": "path",
    }  # fmt: skip
