"""Every action of the console does at an engine behind TLS what it does in a project's folder, or says why not.

Each action's key is pressed in its own place. What a console in the project's folder shows then stands in
``pictures/actions.txt``: ``UPDATE_PICTURES=1 pytest -m slow tests/tui/test_actions_elsewhere.py`` writes it again, by a
walk there. The test walks at the engine's URL, with an administrator's token.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from console_support import Console, console, engine_project, write_script

from engine.client import launch
from engine.client.launch import LocalTarget
from engine.client.remote import RemoteTarget, remote_target
from engine.models.access import TokenRequest
from engine.models.runs import Mode, RunKind, RunRequest
from engine.registry.access import TOKENS_CREATE
from engine.registry.engine import ENGINE_INFO
from tui.actions import ACTIONS, Scope, in_scope

sys.path.append(str(Path(__file__).resolve().parent.parent / "unit"))

from tls_front import Authority, token_file

ASKS = '# /// script\n# [tool.gatewright.permissions]\n# read = ["/usr/share"]\n# ///\nresult = 1\n'
WRONG = "# /// script\n# [tool.gatewright]\n# entrypoint = 'main'\n# ///\nimport os\n"

PICTURE = Path(__file__).parent / "pictures/actions.txt"

GROUPS = 8
"""Tests that share the places among them."""

NOT_WALKED = {
    "quit": "ends the console",
    "apply_proposal": "needs an assistant",
    "approve_edits": "its end is told whenever the engine is asked next",
    "use_python": "depends on the interpreters of the host",
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalTarget, RemoteTarget]]:
    """The two ways to one engine."""
    folder = tmp_path_factory.mktemp("plant")
    authority = Authority(folder / "authority")
    authority.context("IP:127.0.0.1")
    settings = f"""[listen]
address = "127.0.0.1:0"
tls_cert = "{folder}/authority/host.pem"
tls_key = "{folder}/authority/host.key"
[policy]
admin_as_root = true
"""

    async def prepared(root: Path) -> tuple[str, str]:
        client = await launch.connect(root, client="cli")
        for _ in range(2):
            await client.run_to_end(RunRequest(kind=RunKind.SCRIPT, script="hello.py"))
        made = await client.call(TOKENS_CREATE, body=TokenRequest(name="far", role="admin"))
        (url,) = (await client.call(ENGINE_INFO)).listening
        await client.close()
        return url, made.token

    with engine_project(folder / "there", settings=settings) as root:
        write_script(root, "asks.py", ASKS)
        write_script(root, "hello.py", "print('hello')\n")
        write_script(root, "wrong.py", WRONG)
        (root / "documents/report.md").write_text("---\ntitle: Report\n---\n\nAll is well.\n")
        url, token = asyncio.run(prepared(root))
        yield LocalTarget(root), remote_target(url, token_file(folder, token), authority.file)


async def focus(c: Console, tab: str) -> None:
    c.app._console.panel.show(tab, focus=True)
    await c.settled()


def keys(*pressed: str, screen: str = "ConsoleScreen") -> Callable[[Console], Awaitable[None]]:
    """Press these until the last one has led to a screen; some come when the engine has answered."""

    async def press(c: Console) -> None:
        await c.press(*pressed)
        await c.until(lambda: type(c.app.screen).__name__ == screen, f"{screen} is shown")
        await c.settled()

    return press


def tab(name: str) -> Callable[[Console], Awaitable[None]]:
    return lambda c: focus(c, name)


async def preview(c: Console) -> None:
    while not c.app._console.parts.preview_pane.has_focus_within:
        await keys("ctrl+backslash")(c)


PLACES: dict[Scope, tuple[str, Callable[[Console], Awaitable[None]]]] = {
    Scope.EVERYWHERE: ("hello.py", keys()),
    Scope.CONSOLE: ("hello.py", keys()),
    Scope.LIST: ("hello.py", keys("f2")),
    Scope.PREVIEW: ("documents/report.md", preview),
    Scope.PANEL: ("hello.py", tab("output")),
    Scope.OUTPUT: ("hello.py", tab("output")),
    Scope.PROBLEMS: ("wrong.py", tab("problems")),
    Scope.TASKS: ("hello.py", tab("tasks")),
    Scope.POOL: ("hello.py", keys("f4", screen="PoolScreen")),
    Scope.PACKAGES: ("hello.py", keys("f2", "p", screen="PackagesScreen")),
    Scope.INTERPRETERS: ("hello.py", keys("f2", "p", "v", screen="InterpretersScreen")),
    Scope.MAINTENANCE: ("hello.py", keys("f12", screen="MaintenanceScreen")),
    Scope.DIFF: ("hello.py", keys("f12", "d", screen="DiffScreen")),
    Scope.APPROVAL: ("asks.py", keys("f9", screen="ApproveScreen")),
    Scope.GIT: ("hello.py", tab("git")),
    Scope.HISTORY: ("hello.py", keys("f2", "h", screen="HistoryScreen")),
    Scope.META: ("hello.py", keys("ctrl+t", screen="MetaFormScreen")),
    Scope.DEFAULTS: ("hello.py", keys("f2", "b", screen="DefaultsScreen")),
    Scope.RUNS: ("hello.py", keys("f10", screen="RunsScreen")),
    Scope.COMPARISON: ("hello.py", keys("f10", "c", "down", "c", screen="ComparisonScreen")),
    Scope.AUDIT: ("hello.py", keys("f10", "a", screen="AuditScreen")),
    Scope.FIGURES: ("hello.py", keys("f4", "s", screen="FiguresScreen")),
    Scope.GATEWAYS: ("hello.py", keys("alt+g", screen="GatewaysScreen")),
    Scope.FLEET_RUN: ("hello.py", keys("alt+g", "space", "r", screen="FleetRunScreen")),
}


async def back(c: Console) -> None:
    """Leave whatever is open, by keys."""
    for _ in range(8):
        if c.app.screen is c.app._console:
            break
        await c.press("escape")
    assert c.app.screen is c.app._console
    if c.app._console.parts.admin.mode is Mode.ADMIN:
        await c.press("f8")
    await c.press("escape")


async def walk(c: Console, scope: Scope, wanted: Mapping[str, str]) -> list[str]:
    """Press the key of each action of a scope; a line for each: the screens over the console then, and errors.

    Args:
        wanted: The line to wait for, by action; none where what comes is to be written down.
    """
    script, enter = PLACES[scope]
    await c.shows("pool [")
    found = []
    for action in in_scope(scope):
        if action.name in NOT_WALKED:
            continue
        if c.app._console.parts.open_script.path != script:
            await c.open(script)
        await enter(c)
        before = {one.identity for one in c.app._notifications}

        def line(name: str = action.name, before: set[str] = before) -> str:
            screens = [type(screen).__name__ for screen in c.app.screen_stack[2:]]
            new = [one for one in c.app._notifications if one.identity not in before and one.severity == "error"]
            told = [re.sub(r"'/[^']*'", "PATH", one.message) for one in sorted(new, key=lambda one: one.message)]
            return f"{scope.name.lower()} {name}: {' > '.join(screens) or '-'} {' '.join(told)}".rstrip()

        await c.press(next(key for key in action.keys if not key.startswith("alt+")))
        if (expected := wanted.get(action.name)) is not None:
            with suppress(AssertionError):  # the comparison of all lines says more
                await c.until(lambda line=line, expected=expected: line() == expected, action.name)
        found.append(line())
        await back(c)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
async def test_every_action(
    group: int, plant: tuple[LocalTarget, RemoteTarget], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, remote = plant
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # no gateways of whoever runs the tests
    scopes = list(PLACES)[group::GROUPS]
    if os.environ.get("UPDATE_PICTURES"):
        async with console(local, tmp_path, size=(100, 40)) as c:
            taken = {scope: await walk(c, scope, {}) for scope in scopes}
        update(taken)
    names = {scope.name.lower() for scope in scopes}
    lines = [line for line in PICTURE.read_text().splitlines() if line.split()[0] in names]
    wanted = {line.split()[1].rstrip(":"): line for line in lines}
    async with console(remote, tmp_path, size=(100, 40), place="gw-02") as c:
        there = [line for scope in scopes for line in await walk(c, scope, wanted)]
    assert sorted(there) == sorted(lines)


@pytest.mark.slow
async def test_what_the_file_says_by_now_of_a_gateway_counts(
    plant: tuple[LocalTarget, RemoteTarget], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of one where the user is: authorities that were wrong are put right without leaving the console."""
    local, remote = plant
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    other = Authority(tmp_path / "other")
    file = tmp_path / "gatewright/gateways.toml"
    file.parent.mkdir()
    entry = f'[gateways.far]\nurl = "{remote.url.base}"\ntoken_file = "{remote.token_file}"\nca_file = "{{}}"\n'
    file.write_text(entry.format(other.file))
    file.chmod(0o600)
    async with console(local, tmp_path, size=(100, 40)) as c:
        await c.shows("pool [")
        await c.press("alt+g")
        await c.shows("far               not reachable")
        await c.press("end", "enter")
        await c.shows(" far ", "engine away")
        file.write_text(entry.format(remote.ca_file))
        await c.press("alt+g")
        await c.shows("you are here")
        await c.press("enter")
        await c.shows(" far as admin", "pool [")


def update(taken: dict[Scope, list[str]]) -> None:
    """Replace what the picture says of these scopes."""
    names = {scope.name.lower() for scope in taken}
    kept = PICTURE.read_text().splitlines() if PICTURE.exists() else []
    kept = [line for line in kept if line.split()[0] not in names]
    PICTURE.write_text("\n".join(sorted([*kept, *(line for lines in taken.values() for line in lines)])) + "\n")


def test_every_action_is_walked() -> None:
    walked = {action.name for scope in PLACES for action in in_scope(scope)} | set(NOT_WALKED)
    assert {action.name for action in ACTIONS} <= walked
