"""The console on an engine that has no folder here: what it says of it, what a role may not do, and coming back."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from console_support import console, engine_project, write_script

from engine.client import launch
from engine.client.remote import RemoteTarget, remote_target
from engine.client.shared import SharedTarget
from engine.models.access import TokenRequest
from engine.registry.access import TOKENS_CREATE, TOKENS_REVOKE, TokenParams
from engine.registry.engine import AUDIT_LIST, ENGINE_INFO, AuditParams
from tui import connection
from tui.connection import EngineConnection
from tui.editing.recovery import RecoveryJournal, UnsavedText

sys.path.append(str(Path(__file__).resolve().parent.parent / "unit"))

from tls_front import front, token_file

SETTINGS = '[listen]\naddress = "127.0.0.1:0"\n'


@dataclass(frozen=True)
class Plant:
    root: Path
    port: int
    tokens: dict[str, str]

    def target(self, folder: Path, role: str, port: int | None = None) -> RemoteTarget:
        return remote_target(f"http://127.0.0.1:{port or self.port}", token_file(folder, self.tokens[role]))


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    async def tokens(root: Path) -> tuple[int, dict[str, str]]:
        client = await launch.connect(root, client="cli")
        made = {}
        for name, role, scripts in (
            ("viewer", "viewer", []),
            ("author", "author", []),
            ("line1", "author", ["line1/**"]),
        ):
            request = TokenRequest(name=name, role=role, scripts=scripts)
            made[name] = (await client.call(TOKENS_CREATE, body=request)).token
        (url,) = (await client.call(ENGINE_INFO)).listening
        await client.close()
        return int(url.rpartition(":")[2]), made

    with engine_project(tmp_path_factory.mktemp("far") / "plant-a", settings=SETTINGS) as root:
        write_script(root, "hello.py", "print('hello from there')\n")
        write_script(root, "line1/count.py", "print('one two')\n")
        yield Plant(root, *asyncio.run(tokens(root)))


async def denied(root: Path, actor: str) -> list[str]:
    """What the audit says that this caller was refused."""
    client = await launch.connect(root, client="cli")
    found = (await client.call(AUDIT_LIST, AuditParams(limit=500))).records
    await client.close()
    return [record.subject for record in found if (record.actor, record.action) == (actor, "denied")]


async def made(root: Path, name: str, role: str) -> str:
    """The text of a new token."""
    client = await launch.connect(root, client="cli")
    text = (await client.call(TOKENS_CREATE, body=TokenRequest(name=name, role=role))).token
    await client.close()
    return text


async def revoked(root: Path, name: str) -> None:
    client = await launch.connect(root, client="cli")
    await client.call(TOKENS_REVOKE, TokenParams(token=name))
    await client.close()


async def test_the_header_says_which_gateway_and_the_role(plant: Plant, tmp_path: Path) -> None:
    target = plant.target(tmp_path, "author")
    async with console(target, tmp_path, place=target.name, size=(100, 24)) as c:
        await c.shows(f"127.0.0.1:{plant.port} as author", "pool [...]")
        await c.open("hello.py")
        await c.press("f5")
        await c.shows("hello from there")
        await c.press("end")
        await c.type(" # far")
        await c.press("ctrl+s")
        await c.shows("saved hello.py")
    assert "# far" in (plant.root / "scripts/hello.py").read_text()


async def test_what_the_role_may_not_do_is_said_by_the_engine(plant: Plant, tmp_path: Path) -> None:
    target = plant.target(tmp_path, "viewer")
    async with console(target, tmp_path, place=target.name, size=(100, 24)) as c:
        await c.shows("as viewer", "pool [...]")
        await c.open("hello.py")
        await c.press("f5")
        await c.told("may not")
        await c.type("x")
        await c.press("ctrl+s")
        await c.told("token:viewer may not")
        await c.shows("hello.py *")
        await c.press("ctrl+s")


async def test_a_token_for_some_scripts_sees_those(plant: Plant, tmp_path: Path) -> None:
    target = plant.target(tmp_path, "line1")
    async with console(target, tmp_path, place=target.name, size=(100, 24)) as c:
        await c.lists("line1/count.py")
        await c.settled()
        assert "hello" not in c.text
        await c.open("line1/count.py")
        await c.press("f5")
        await c.shows("one two")
        assert not [one.message for one in c.app._notifications]
        c.app._console.panel.show("git")
        await c.settled()
        assert await denied(plant.root, "token:line1") == []
        await c.press("f4")
        await c.shows("token:line1 may not", "some scripts only")
        assert "away" not in c.text


async def test_unsaved_text_that_the_role_may_not_save_can_be_kept_on_quitting(plant: Plant, tmp_path: Path) -> None:
    target = plant.target(tmp_path, "viewer")
    async with console(target, tmp_path, place=target.name, size=(100, 24)) as c:
        await c.open("line1/count.py")
        await c.type("kept")
        await c.press("ctrl+q")
        await c.shows("has unsaved text", "save it and go on")
        await c.press("s")
        await c.shows("the text is kept here and offered next time")
        await c.press("k")
        await c.until(lambda: c.app.return_code == 0, "the console has ended")
    (left,) = RecoveryJournal(target.key, tmp_path / "recovery").left_behind()
    assert (left.path, left.text.startswith("kept")) == ("line1/count.py", True)


async def test_a_token_that_counts_no_more_is_told_once_and_tried_again_only_when_it_is_another(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, attempts = [], []
    monkeypatch.setattr(connection, "TOKEN_LOOK", 0.02)
    look, connect = EngineConnection._token_state, RemoteTarget.connect
    monkeypatch.setattr(EngineConnection, "_token_state", lambda self: looks.append(1) or look(self))
    monkeypatch.setattr(RemoteTarget, "connect", lambda *args, **given: attempts.append(1) or connect(*args, **given))
    text, other = await made(plant.root, "short", "author"), await made(plant.root, "shorter", "viewer")
    file = token_file(tmp_path, text)
    target = remote_target(f"http://127.0.0.1:{plant.port}", file)
    async with console(target, tmp_path, place=target.name, size=(100, 24)) as c:
        await c.shows("as author", "pool [...]")
        await c.open("hello.py")
        await revoked(plant.root, "short")
        await c.press("f5")
        await c.shows(
            "the engine does not let this client in", "The token short was revoked", "The token is the one in"
        )
        seen, tried = len(looks), len(attempts)
        await c.until(lambda: len(looks) > seen + 20, "the token's file is looked at")
        assert len(attempts) == tried
        assert "Authorization" not in c.text
        told = [one.message for one in c.app._notifications]
        assert sum("let this client in" in message for message in told) == 1
        assert not any("Authorization" in message for message in told)
        token_file(tmp_path, other)
        await c.shows("as viewer", "pool [...]")
        await c.hides("the engine does not let")


async def test_the_header_follows_the_role(plant: Plant, tmp_path: Path) -> None:
    text, other = await made(plant.root, "once", "author"), await made(plant.root, "then", "viewer")
    target = remote_target(f"http://127.0.0.1:{plant.port}", token_file(tmp_path, text))
    async with console(target, tmp_path, place=target.name, size=(100, 24)) as c:
        await c.shows("as author", "pool [...]")
        await c.open("hello.py")
        token_file(tmp_path, other)
        await revoked(plant.root, "once")
        await c.press("f5")
        await c.shows("as viewer", "pool [...]")
        assert not any("let this client in" in one.message for one in c.app._notifications)


async def test_a_dropped_line_is_told_and_comes_back(plant: Plant, tmp_path: Path) -> None:
    async def to_engine() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if away:
            raise ConnectionRefusedError
        return await asyncio.open_connection("127.0.0.1", plant.port)

    away: list[bool] = []
    async with front(to_engine) as line:
        target = plant.target(tmp_path, "author", line.port)
        async with console(target, tmp_path, place=target.name, size=(100, 24)) as c:
            await c.shows("as author", "pool [...]")
            await c.open("hello.py")
            away.append(True)
            line.cut()
            await c.shows("engine away", "tries now")
            assert "engine start" not in c.text
            await c.type("typed meanwhile ")
            await c.shows("typed meanwhile", "hello.py *")
            away.clear()
            await c.press("ctrl+r")
            await c.shows("pool [...]")
            await c.shows("typed meanwhile")
            await c.press("ctrl+z")


@pytest.mark.skipif(os.geteuid() != 0, reason="the folder of shared projects must be root's")
async def test_a_shared_project_by_its_id(plant: Plant, tmp_path: Path) -> None:
    (tmp_path / "run/plant-a").mkdir(parents=True, mode=0o755)
    (tmp_path / "run").chmod(0o755)
    os.link(plant.root / ".gatewright/engine.sock", tmp_path / "run/plant-a/engine.sock")
    target = SharedTarget("plant-a", tmp_path / "run")
    async with console(target, tmp_path, place=target.name, size=(100, 24)) as c:
        await c.shows("@plant-a as admin", "pool [...]")


def test_unsaved_text_belongs_to_its_engine(tmp_path: Path) -> None:
    token = token_file(tmp_path)
    keys = [
        launch.LocalTarget(tmp_path).key,
        SharedTarget("plant-a").key,
        SharedTarget("plant-b").key,
        remote_target("https://gw-01:9089", token).key,
        remote_target("https://GW-02:9089/", token).key,
    ]
    assert remote_target("https://gw-02:9089", token).key == keys[-1]
    assert len(set(keys)) == 5
    RecoveryJournal(keys[3], tmp_path / "recovery").set_aside(UnsavedText("a.py", "of gw-01"))
    left = [RecoveryJournal(key, tmp_path / "recovery").left_behind() for key in keys]
    assert [len(texts) for texts in left] == [0, 0, 0, 1, 0]
