"""An engine behind a reverse proxy that is set up as the help page says: its nginx blocks are what the proxy does."""

from __future__ import annotations

import http.client
import json
import re
import signal
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli_support import PATIENCE, PROGRAM, CliProject, cli_project, ended, read_line
from reverse_proxy import ReverseProxy, locations, reverse_proxy
from tls_front import Authority

import tui

pytestmark = pytest.mark.slow

PAGE = (Path(tui.__file__).parent / "help/service.md").read_text()
MODULE = "/data/python3integration/api/v1"
LISTED, OTHER = "127.0.0.1", "127.0.0.2"
LASTS = "print('begun', flush=True)\nwhile True: pass"


@dataclass
class Behind:
    """An engine and the proxy in front of it."""

    project: CliProject
    proxy: ReverseProxy
    authority: Authority
    tokens: dict[str, Path]

    def ask(
        self, path: str, address: str = LISTED, *, code: str = "", token: str = "", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """GET, or POST of code, from an address of this host; status, and what is answered as JSON."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        connection = http.client.HTTPSConnection(
            "localhost", self.proxy.port, timeout=PATIENCE, context=context, source_address=(address, 0)
        )
        if token:
            headers["Authorization"] = f"Bearer {self.tokens[token].read_text().strip()}"
        body = json.dumps({"code": code}) if code else None
        connection.request("POST" if code else "GET", path, body, {"Content-Type": "application/json", **headers})
        with connection.getresponse() as answer:
            text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if text else {}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("behind")
    settings = '[listen]\naddress = "127.0.0.1:0"\n[access]\nhosts = ["localhost"]\n'
    with cli_project(folder / "plant", settings) as project:
        tokens = {}
        for name, role in (("viewers", "viewer"), ("authors", "author")):
            tokens[name] = folder / f"{name}.token"
            made = project.call("token", "create", "--role", role, "--name", name, "--output", str(tokens[name]))
            assert made.returncode == 0, made.stderr
        (url,) = project.json("engine", "status")["engine"]["listening"]
        blocks = "\n".join(re.findall(r"^ +location \S+ \{.*?^ +\}", PAGE, re.MULTILINE | re.DOTALL))
        blocks = blocks.replace("TOKEN", tokens["viewers"].read_text().strip()).replace("10.0.0.0/24", f"{LISTED}/32")
        authority = Authority(folder / "authority")
        context = authority.context("DNS:localhost,IP:127.0.0.1")
        with reverse_proxy(blocks, int(url.rpartition(":")[2]), context) as proxy:
            yield Behind(project, proxy, authority, tokens)


def test_the_page_has_both_blocks() -> None:
    first, second = locations("\n".join(re.findall(r"^ +location \S+ \{.*?^ +\}", PAGE, re.MULTILINE | re.DOTALL)))
    assert (first.path, first.denies, second.path, second.denies) == ("/data/python3integration/", True, "/", False)
    assert first.headers == {"Host": "$host", "Authorization": "Bearer TOKEN"}
    for server in ("Apache", "Caddy", "nginx"):
        assert PAGE.count(f"In {server}") == 2
    assert PAGE.count("Bearer TOKEN") == 3
    assert "EVERYONE AT A LISTED ADDRESS THE RIGHTS OF THAT\nTOKEN" in PAGE


def test_each_client_comes_in_with_a_token_of_its_own(behind: Behind) -> None:
    named = ["--url", f"https://localhost:{behind.proxy.port}", "--ca-file", str(behind.authority.file), "--token-file"]
    status, answer = behind.ask("/api/v1/engine")
    assert status == 401, answer
    done = subprocess.run(
        [PROGRAM, *named, str(behind.tokens["authors"]), "--json", "exec", "result = 40 + 2"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["value"] == 42, done
    refused = subprocess.run(
        [PROGRAM, *named, str(behind.tokens["viewers"]), "exec", "1"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert refused.returncode == 4, refused
    # Output arrives while the run goes on: nothing waits in the proxy.
    command = [PROGRAM, *named, str(behind.tokens["authors"]), "exec", LASTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            assert read_line(running) == "begun\n"
            running.send_signal(signal.SIGINT)
            assert ended(running)[0] == 130, "it had not ended by itself"
        finally:
            running.kill()


def test_everyone_at_a_listed_address_has_the_tokens_rights_and_no_more(behind: Behind) -> None:
    scripts, run = f"{MODULE}/scripts/list", f"{MODULE}/exec"
    status, answer = behind.ask(scripts)
    assert (status, answer["success"]) == (200, True), answer
    # A token of the client's own does not count: the proxy's takes its place, which may run no code.
    status, answer = behind.ask(run, code="result = 1", token="authors")
    assert "may not run code" in json.dumps(answer), answer
    assert "viewers" in behind.project.call("audit").stdout
    assert behind.ask(scripts, OTHER)[0] == 403
    assert behind.ask(scripts, OTHER, token="authors")[0] == 403
    assert behind.ask(scripts, OTHER, **{"X-Forwarded-For": LISTED})[0] == 403


def test_names_and_pages_of_others_are_refused_behind_it_too(behind: Behind) -> None:
    scripts = f"{MODULE}/scripts/list"
    assert behind.ask(scripts, Host="evil.example")[0] == 403
    assert behind.ask(scripts, Origin="https://evil.example")[0] == 403
    # Browsers name the port in both where it is not the usual one, as it is here.
    assert behind.ask(scripts, Host="localhost", Origin="https://localhost")[0] == 200
