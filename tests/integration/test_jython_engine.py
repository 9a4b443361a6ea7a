"""The module for Jython, under Jython, against an engine, over TCP with tokens and over its socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import cli_project
from jython_support import names_in, needs_jython, run_checks

from engine.client import launch
from engine.models.access import TokenRequest
from engine.paths import EnginePaths
from engine.registry.access import TOKENS_CREATE, TOKENS_REVOKE, TokenParams
from engine.registry.engine import ENGINE_INFO

FILE = "engine_checks.py"

# One process does it all in the first test's setup; hosts that are busy take their time.
pytestmark = [needs_jython, pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPTS = {
    "Plant/kpi.py": "result = {'args': args, 'kwargs': kwargs}\n",
    "Plant/wait.py": "import time\ntime.sleep(kwargs['seconds'])\nresult = 'waited'\n",
    "Plant/fails.py": "print('before')\nresult = 1 / 0\n",
    "Plant/prints.py": "print('only printed')\n",
    "Plant/greetings.py": (
        '# /// script\n# [tool.gatewright]\n# title = "Grüße + mehr"\n# entrypoint = "main"\n'
        '# [tool.gatewright.params.line]\n# type = "int"\n# ///\ndef main(line):\n    return line * 2\n'
    ),
}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str | None]]:
    """What went wrong in each check."""
    folder = tmp_path_factory.mktemp("jython")
    with cli_project(folder / "plant", '[listen]\naddress = "127.0.0.1:0"\n') as project:
        for path, text in SCRIPTS.items():
            project.script(path, text)
        url, tokens = asyncio.run(url_and_tokens(project.root))
        places = {"url": url, "socket": str(EnginePaths(project.root).socket)}
        for name, text in tokens.items():
            places[name] = str(folder / name)
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(f"{text}\n")
        yield run_checks(FILE, places, folder)


async def url_and_tokens(root: Path) -> tuple[str, dict[str, str]]:
    """Return where the engine listens, and a token for each role beside two that do not count."""
    client = await launch.connect(root, client="cli", start=False)
    try:
        (url,) = (await client.call(ENGINE_INFO)).listening
        tokens = {"wrong": "gw_not-a-token"}
        for name in ("operator", "author", "admin", "revoked"):
            role = "operator" if name == "revoked" else name
            tokens[name] = (await client.call(TOKENS_CREATE, body=TokenRequest(name=name, role=role))).token
        await client.call(TOKENS_REVOKE, TokenParams(token="revoked"))
        return url, tokens
    finally:
        await client.close()


@pytest.mark.parametrize("name", names_in(FILE))
def test_check(wrong: dict[str, str | None], name: str) -> None:
    assert wrong[name] is None, wrong[name]
