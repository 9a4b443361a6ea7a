"""A shared project by its ID: whose socket is taken, and what is said when there is none to use."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest
from api_support import SmallHost, serving
from ordinary_user import Forked

from engine.client import shared
from engine.client.shared import SharedTarget, check_root, shared_ids
from engine.client.starter import LaunchError
from engine.registry.engine import POOL_INFO
from tui.commands.arguments import projects

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders of other accounts")
OTHER = 54_321


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SmallHost]:
    async with serving(tmp_path / "project") as host:
        yield host


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """As /run/gatewright is, with two IDs."""
    root = tmp_path / "run"
    for folder in (root, root / "plant-a", root / "plant-b"):
        folder.mkdir()
        folder.chmod(0o755)
    return root


def target(run: Path, name: str = "plant-a") -> SharedTarget:
    return SharedTarget(name, run, os.geteuid())


async def refusal(target: SharedTarget) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        await target.connect("cli")
    return caught.value


async def test_a_project_is_reached_by_its_id(host: SmallHost, run: Path) -> None:
    os.link(host.paths.socket, run / "plant-a/engine.sock")
    client = await target(run).connect("cli")
    assert (await client.call(POOL_INFO)).size == 3
    (run / "plant-a/engine.sock").unlink()
    for connection in list(host.server.server_state.connections):
        connection.transport.abort()
    await client.close()
    assert (await refusal(target(run))).message == "The engine of @plant-a does not run."


@pytest.mark.parametrize("name", ["", "Plant", "a/b", "..", "a" * 33, "plänt", "a b", "a\n", "@a"])
async def test_what_is_no_id_is_refused(run: Path, name: str) -> None:
    error = await refusal(target(run, name))
    assert (error.exit_code, "is no ID of a shared project" in error.message) == (2, True)


async def test_an_unknown_id_is_told_with_near_ones(run: Path) -> None:
    error = await refusal(target(run, "plant-x"))
    assert error.message == "There is no shared project @plant-x on this host."
    assert error.hint == (
        "Did you mean @plant-b or @plant-a? gatewright engine list shows the shared projects of this host."
    )
    assert "Did you mean" not in ((await refusal(target(run, "zzz"))).hint or "")


async def test_an_engine_that_does_not_run_is_not_started(run: Path) -> None:
    error = await refusal(target(run))
    assert (error.exit_code, error.message) == (3, "The engine of @plant-a does not run.")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(run / "plant-a/engine.sock"))
    assert (await refusal(target(run))).message == "The engine of @plant-a does not run."


async def test_folders_that_others_could_have_made_are_not_trusted(host: SmallHost, run: Path, tmp_path: Path) -> None:
    os.link(host.paths.socket, run / "plant-a/engine.sock")
    for mode in (0o777, 0o775, 0o1777):
        run.chmod(mode)
        error = await refusal(target(run))
        assert (error.exit_code, "cannot be trusted" in error.message) == (4, True)
    run.chmod(0o755)
    (tmp_path / "link").symlink_to(run)
    assert "cannot be trusted" in (await refusal(target(tmp_path / "link"))).message
    (run / "to-a").symlink_to(run / "plant-a")
    assert "There is no shared project @to-a" in (await refusal(target(run, "to-a"))).message
    assert shared_ids(run) == ["plant-a", "plant-b"]
    with pytest.raises(LaunchError, match="There are no shared projects"):
        check_root(tmp_path / "none")
    with pytest.raises(LaunchError, match="cannot be trusted"):
        check_root(run, os.geteuid() + 1)


def test_ids_are_completed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RUN_FOLDER", run)
    context, param = click.Context(click.Command("x")), click.Option(["--project"])
    assert [item.value for item in projects(context, param, "@pl")] == ["@plant-a", "@plant-b"]
    assert [(item.value, item.type) for item in projects(context, param, "pl")] == [("pl", "dir")]


@as_root
async def test_a_socket_that_is_not_the_folders_owners_is_not_used(host: SmallHost, run: Path) -> None:
    os.link(host.paths.socket, run / "plant-a/engine.sock")
    os.chown(run / "plant-a", OTHER, OTHER)
    error = await refusal(target(run))
    assert error.exit_code == 4
    assert error.message == f"What listens for @plant-a is not uid {OTHER}, who serves it."
    assert not host.server.server_state.tasks


@as_root
def test_an_account_outside_the_group_hears_which_one_it_is() -> None:
    run = Path(tempfile.mkdtemp())  # where every account gets to
    run.chmod(0o755)
    folder = run / "plant-a"
    folder.mkdir()
    os.chown(folder, 0, grp.getgrnam("adm").gr_gid)
    folder.chmod(0o2750)

    def ask() -> str:
        try:
            asyncio.run(SharedTarget("plant-a", run, 0).connect("cli"))
        except LaunchError as error:
            return f"{error.exit_code} {error.message} {error.hint}"
        return "let in"

    said = Forked(ask, OTHER).answer()
    assert said.startswith("4 This account may not use @plant-a: that is for members of the group adm."), said
    assert "log in again" in said
