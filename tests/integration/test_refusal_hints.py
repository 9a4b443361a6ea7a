"""What RESTRICTED refuses ends in the plain exception and a sentence that says how to ask, only where that is why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from daemon_support import write_settings

from engine import Engine
from engine.models.permissions import ApproveRequest, Grant
from engine.models.runs import Mode, RunInfo, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.worker import hints

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODULES = [
    "asyncio", "os", "pathlib", "shutil", "socket", "sqlite3", "ssl", "subprocess", "sys", "urllib", "multiprocessing",
    "threading", "concurrent",
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    root: Path = tmp_path_factory.mktemp("hints") / "plant"
    root.mkdir()
    lifted = '["asyncio", "multiprocessing", "threading", "concurrent"]'
    write_settings(root, f"[policy]\nmodules = {MODULES}\nlifted = {lifted}\nadmin_as_root = true\n")
    async with Engine.open(root, pool_size=1) as opened:
        yield opened


async def run(engine: Engine, code: str, **fields: Any) -> RunInfo:
    request = RunRequest(**({"kind": RunKind.EXEC, "code": code} | fields))
    return await (await engine.runs.launch(request, engine.owner, "library")).ended()


def told(done: RunInfo) -> tuple[str, str]:
    assert done.error is not None, done
    if done.error.hint:
        assert done.error.hint in (done.traceback or "")
    return done.error.type, done.error.hint or ""


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        ("open('/etc/hosts')", "FileNotFoundError", hints.FILES),
        ("open('/no/such/file')", "FileNotFoundError", hints.FILES),
        ("open('/var/log/x', 'a')", "FileNotFoundError", hints.FILES),
        ("open('/tmp/x', 'w')", "OSError", hints.FILES),
        ("open('../../etc/hosts')", "FileNotFoundError", hints.FILES),
        ("open(b'/etc/hosts')", "FileNotFoundError", hints.FILES),
        ("import os; os.listdir('/')", "PermissionError", hints.FILES),
        ("import os; os.stat('/proc/cpuinfo')", "FileNotFoundError", hints.FILES),
        ("import pathlib; pathlib.Path('/srv/data.csv').read_text()", "FileNotFoundError", hints.FILES),
        ("import shutil; shutil.copy('/etc/hosts', 'x')", "FileNotFoundError", hints.FILES),
        ("import sqlite3; sqlite3.connect('/srv/historian.db')", "sqlite3.OperationalError", hints.FILES),
        ("import ssl; ssl.create_default_context(cafile='/etc/ca.pem')", "FileNotFoundError", hints.FILES),
        ("open('site.json')", "FileNotFoundError", hints.EMPTY_RESTRICTED),
        ("open('data/site.json')", "FileNotFoundError", hints.EMPTY_RESTRICTED),
        ("import socket; socket.create_connection(('127.0.0.1', 1))", "PermissionError", hints.NETWORK),
        ("import socket; socket.getaddrinfo('gw.example', 80)", "socket.gaierror", hints.NETWORK),
        ("import urllib.request as r; r.urlopen('http://127.0.0.1:1')", "urllib.error.URLError", hints.NETWORK),
        ("import asyncio; asyncio.run(asyncio.open_connection('127.0.0.1', 1))", "PermissionError", hints.NETWORK),
        ("import subprocess; subprocess.run(['ls'])", "PermissionError", hints.PROCESSES),
        ("import os; os.popen('ls')", "PermissionError", hints.PROCESSES),
        ("import os; os.fork()", "PermissionError", hints.DENIED),
        ("import os; os.execv('/bin/ls', ['ls'])", "PermissionError", hints.DENIED),
        ("try:\n  open('/a')\nexcept OSError as e:\n  raise ValueError('bad') from e", "ValueError", hints.FILES),
        ("try:\n  open('/a')\nexcept OSError:\n  raise ValueError('bad')", "ValueError", hints.FILES),
        ("try:\n  open('/a')\nexcept OSError:\n  raise ValueError('bad') from None", "ValueError", hints.FILES),
        ("try:\n  open('/a')\nexcept OSError as e:\n  raise ExceptionGroup('g', [e]) from None", "ExceptionGroup",
         hints.FILES),
        ("raise RuntimeError('could not create socket: Permission denied')", "RuntimeError", hints.NETWORK),
    ],
)  # fmt: skip
async def test_a_refusal_says_how_to_ask(engine: Engine, code: str, kind: str, hint: str) -> None:
    assert told(await run(engine, code)) == (kind, hint)


@pytest.mark.parametrize(
    "code",
    [
        "1/0",
        "{}['x']",
        "open('made', 'w').close(); open('made/below')",
        "import os; os.mkdir('d'); open('d')",
        "import os, json; open(json.__file__ + '.none')",
        "raise FileNotFoundError('the tag file')",
        "raise PermissionError(13, 'only the shift leader')",
        "class E(OSError):\n  @property\n  def filename(self): raise SystemExit(3)\nraise E(2, 'x', '/a')",
        "class E(Exception):\n  def __str__(self): raise KeyError\nraise E",
    ],
)
async def test_other_failures_say_nothing_more(engine: Engine, code: str) -> None:
    assert told(await run(engine, code))[1] == ""


async def test_admin_is_told_of_the_empty_folder_only(engine: Engine) -> None:
    admin = {"mode": Mode.ADMIN}
    assert told(await run(engine, "open('site.json')", **admin))[1] == hints.EMPTY_ADMIN
    assert told(await run(engine, "open('/no/such/file')", **admin))[1] == ""
    assert told(await run(engine, "raise PermissionError(1, 'x')", **admin))[1] == ""


async def test_approved_paths_are_no_refusal(engine: Engine, tmp_path: Path) -> None:
    granted = tmp_path / "data"
    granted.mkdir()
    header = f'# /// script\n# [tool.gatewright]\n# permissions.read = ["{granted}"]\n# ///\n'
    for name, line in (("missing", f"open('{granted}/none')"), ("writes", f"open('{granted}/new', 'w')")):
        await engine.scripts.save(f"{name}.py", SaveRequest(text=f"{header}{line}\n"), engine.owner)
        review = await engine.permissions.review(f"{name}.py", engine.owner)
        grants = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
        await engine.permissions.approve(
            f"{name}.py", ApproveRequest(sha256=review.sha256, grants=grants), engine.owner
        )
    script = {"kind": RunKind.SCRIPT}
    assert told(await run(engine, "", **script, script="missing.py")) == ("FileNotFoundError", "")
    assert told(await run(engine, "", **script, script="writes.py"))[1] == hints.APPROVED_TO_READ


async def test_it_is_in_the_scripts_own_terms(engine: Engine) -> None:
    """No sentence says whether something exists on the host, and none is longer than a person reads."""
    there, missing = await run(engine, "open('/etc/hosts')"), await run(engine, "open('/etc/no_such')")
    assert told(there)[1] == told(missing)[1]
    assert "whether they exist or not" in hints.FILES
    sentences = [value for name, value in vars(hints).items() if name.isupper() and isinstance(value, str)]
    assert all(len(sentence) < 260 for sentence in sentences)
