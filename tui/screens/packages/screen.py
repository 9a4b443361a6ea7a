"""The packages of an environment: what is installed, what a change would do, and the change while it goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from engine.client.answers import EngineError
from engine.client.client import EngineClient
from engine.models.packages import (
    DEFAULT,
    CreateEnvironment,
    EnvironmentInfo,
    InstalledPackage,
    InstallRequest,
    PackageDetail,
    PackageList,
    PackagePlan,
    UninstallRequest,
    UpgradeRequest,
    UsePythonRequest,
)
from engine.registry.packages import (
    ENVIRONMENTS_CREATE,
    ENVIRONMENTS_LIST,
    ENVIRONMENTS_REMOVE,
    PACKAGES_INSTALL,
    PACKAGES_LIST,
    PACKAGES_PLAN,
    PACKAGES_SEARCH,
    PACKAGES_SHOW,
    PACKAGES_UNINSTALL,
    PACKAGES_UPGRADE,
    PYTHON_LIST,
    PYTHON_USE,
    EnvironmentNameParams,
    EnvironmentParams,
    PackageParams,
    PackageSearchParams,
)
from engine.registry.sync import TASKS_LIST
from tui.actions import Scope, action, bindings, footer_hints
from tui.background import in_background, in_place_of_the_last
from tui.connection import EngineConnection
from tui.messages import EngineAway, PackageWorkChanged, PoolChanged
from tui.screens.dialogs import AskScreen, Choice, ChoiceScreen, ReportScreen
from tui.screens.full_screen import FullScreen
from tui.screens.packages.changes import PackageChanges, send_bundle
from tui.screens.packages.interpreters import InterpretersScreen
from tui.screens.packages.plan import PlanScreen
from tui.screens.picker import PickerEntry, PickerScreen
from tui.text.formats import clock, size
from tui.text.packages import changes_line, changing, counted, needing, split_requirements
from tui.text.sanitise import sanitise_line
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import Row, RowList
from tui.widgets.status_bar import StatusBar

_COLUMNS = (
    Column("package"),
    Column("version", 12),
    Column("RESTRICTED", 10),
    Column("size", 9),
    Column("why", 22),
)

OUTPUT_LINES = 7
"""Lines of output shown at a time."""

SHOWN_VERSIONS = 12

EMPTY = (
    f"No packages yet: scripts have the standard library. {action('install_packages').key} installs packages by name, "
    f"{action('search_packages').key} looks for them in the index, {action('install_bundle').key} takes them from a "
    "bundle file."
)

Answer = TypeVar("Answer")


class PackagesScreen(FullScreen[None]):
    """Packages above, what is told of the one under the cursor, and below it what goes on.

    Args:
        connection: To the engine.
        changes: Begins changes and follows them.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.PACKAGES)

    def __init__(self, connection: EngineConnection, changes: PackageChanges) -> None:
        super().__init__()
        self._connection = connection
        self._changes = changes
        self._environments: list[EnvironmentInfo] = []
        self._shown = DEFAULT
        self._found: PackageList | None = None
        self._asking = ""
        self._heading = Static(" packages", id="packages-heading", markup=False)
        self._problem = Static("", id="packages-problem", markup=False)
        self._table = LiveTable(_COLUMNS, empty="...", id="packages")
        self._detail = Static("", id="package-detail", markup=False)
        self._output = RowList(id="package-output")
        self._work = Static("", id="package-work", markup=False)
        self._status = StatusBar()
        self._hints = KeyHints([])

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._problem
        yield self._table
        yield self._detail
        yield self._output
        yield self._work
        yield self._status
        yield self._hints
        yield self.too_small

    def on_mount(self) -> None:
        self._output.can_focus = False
        self._changes.watched = True
        self.set_focus(self.query_one("#packages RowList"))
        self._problem.display = False
        self._show_work()
        if not self._connection.connected.is_set():
            self._status.show_away("no answer yet")
            return
        if self._connection.pool is not None:
            self._status.show_pool(self._connection.pool)
        in_place_of_the_last(self, "load", self.told, self._load)
        in_background(self, "tasks", self.told, self._catch_up)

    def on_unmount(self) -> None:
        self._changes.watched = False

    # What the engine says.

    def on_engine_connected(self) -> None:
        self._status.show_connected()
        in_place_of_the_last(self, "load", self.told, self._load)
        in_background(self, "tasks", self.told, self._catch_up)

    def on_engine_away(self, message: EngineAway) -> None:
        self._status.show_away(message.reason, refused=message.refused)

    def on_pool_changed(self, message: PoolChanged) -> None:
        self._status.show_pool(message.pool)

    def on_package_work_changed(self, message: PackageWorkChanged) -> None:
        self._show_work()
        if message.ended and self._connection.connected.is_set():
            in_place_of_the_last(self, "load", self.told, self._load)

    async def _catch_up(self) -> None:
        """Show the change that goes on already."""
        if self._connection.narrow:
            return
        for task in (await self._connection.client.call(TASKS_LIST)).tasks:
            if task.finished_at is None:
                self._changes.heard_task(task)

    async def _load(self) -> None:
        client = self._connection.client
        self._environments = (await client.call(ENVIRONMENTS_LIST)).environments
        if self._shown not in [one.name for one in self._environments]:
            self._shown = DEFAULT
        found = await client.call(PACKAGES_LIST, EnvironmentParams(environment=self._shown))
        self._found = found
        self._heading.update(_heading(found.environment, [one.name for one in self._environments]))
        self._problem.update(f" {sanitise_line(found.environment.problem or '')}")
        self._problem.display = found.environment.problem is not None
        self._table.set_empty(EMPTY)
        self._table.show_rows([_row(one) for one in found.packages])
        self._show_detail()

    # Environments.

    def action_next_environment(self) -> None:
        self._switch(1)

    def action_last_environment(self) -> None:
        self._switch(-1)

    def action_make_environment(self) -> None:
        self._ask(self._make_environment)

    def action_remove_environment(self) -> None:
        if self._shown == DEFAULT:
            self._show_remark("the default environment stays: scripts run in it")
        else:
            self._ask(self._remove_environment)

    def action_interpreters(self) -> None:
        screen = InterpretersScreen(self._connection, self._shown, self.may_change)
        in_place_of_the_last(self, "ask", self.told, self._use_python, screen)

    def _switch(self, by: int) -> None:
        names = [one.name for one in self._environments]
        if len(names) < 2:
            self._show_remark(f"there is only one environment; {action('make_environment').key} makes another")
            return
        self._shown = names[(names.index(self._shown) + by) % len(names)]
        in_place_of_the_last(self, "load", self.told, self._load)

    async def _make_environment(self) -> None:
        question = "Name of the new environment: lower case letters, digits, . _ -"
        name = await self._answer(AskScreen(question))
        if name is None:
            return
        found = (await self._connection.client.call(PYTHON_LIST)).interpreters
        entries = [PickerEntry("", "the same Python as the default environment")]
        entries += [
            PickerEntry(one.path, f"Python {sanitise_line(one.version)}", f"{sanitise_line(one.path)} ")
            for one in found
            if one.problem is None
        ]
        python = await self._answer(PickerScreen(f"on which Python {name} runs: type a part of it", entries))
        if python is None:
            return

        async def ask(client: EngineClient) -> str:
            made = await client.call(ENVIRONMENTS_CREATE, body=CreateEnvironment(name=name, python=python))
            self._shown = made.name
            return (
                f"The environment {made.name} has Python {made.python}. Scripts run in it with "
                f'environment = "{made.name}" under [tool.gatewright] in their header.'
            )

        self._changes.begin(f"making {name}", ask)

    async def _remove_environment(self) -> None:
        name = self._shown
        question = f"Remove the environment {name} with its packages? Runs that are in it go on to their end."
        if await self._answer(ChoiceScreen(question, [Choice("r", f"remove {name}", risky=True)], "leave it")) != "r":
            return

        async def ask(client: EngineClient) -> str:
            await client.call(ENVIRONMENTS_REMOVE, EnvironmentNameParams(name=name))
            return f"removed the environment {name}"

        self._changes.begin(f"removing {name}", ask)

    async def _use_python(self, screen: InterpretersScreen) -> None:
        python, name = await self._answer(screen), self._shown
        if python is None:
            return
        question = f"Build {name} again on Python {python.version}, with the same packages, and have scripts run in it?"
        if await self._answer(ChoiceScreen(question, [Choice("y", "yes")], "leave it as it is")) != "y":
            return

        async def ask(client: EngineClient) -> str:
            made = await client.call(PYTHON_USE, body=UsePythonRequest(python=python.path, environment=name))
            return f"scripts in {made.name} run with Python {made.python}: {made.interpreter}"

        self._changes.begin(f"{name} on Python {python.version}", ask)

    # Packages.

    def action_install_packages(self) -> None:
        self._ask(self._install)

    def action_upgrade_package(self) -> None:
        if (one := self._package) is not None:
            self._ask(self._upgrade, [one])

    def action_upgrade_all(self) -> None:
        self._ask(self._upgrade, [])

    def action_uninstall_package(self) -> None:
        if (one := self._package) is not None:
            self._ask(self._uninstall, one)

    def action_search_packages(self) -> None:
        in_place_of_the_last(self, "ask", self.told, self._search)

    def action_install_bundle(self) -> None:
        self._ask(self._install_bundle)

    def action_show_package(self) -> None:
        if (one := self._package) is not None:
            in_place_of_the_last(self, "ask", self.told, self._show_package, one.name)

    def action_cancel_change(self) -> None:
        if self._asking:
            self.workers.cancel_group(self, "ask")
            self._show_remark("cancelled; nothing was changed")
        else:
            in_background(self, "cancel", self.told, self._cancel)

    def action_leave_packages(self) -> None:
        self.dismiss(None)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_show_package()

    @on(RowList.Moved, "#packages RowList")
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._show_detail()

    async def _cancel(self) -> None:
        if not await self._changes.cancel():
            self._show_remark("nothing goes on that could be cancelled")

    async def _install(self, line: str = "") -> None:
        """Ask for requirements until a plan can be made of them, show that, and begin."""
        name, problem = self._shown, ""
        question = f"Install into {name}: names of packages, with versions if need be, as pandas>=2 openpyxl"
        while (answer := await self._answer(AskScreen(question, line, problem))) is not None:
            line = answer
            request = InstallRequest(requirements=split_requirements(line), environment=name)
            try:
                plan = await self._planned(request)
            except EngineError as error:
                problem = f"{error.message} {error.hint or ''}".strip()
                continue
            if not changing(plan):
                self._show_remark(f"nothing would change: {name} has all of that")
            elif await self._answer(PlanScreen(plan, "installs")):
                self._changes.begin(f"installing {line}", partial(_installed, request))
            return

    async def _upgrade(self, packages: list[InstalledPackage]) -> None:
        """Upgrade these, or all for none."""
        name = self._shown
        installed = [] if self._found is None else self._found.packages
        asked = packages or [one for one in installed if one.requested]
        if not asked:
            self._show_remark("there is nothing to upgrade")
            return
        requirements = [one.requirement or one.name for one in asked]
        plan = await self._planned(InstallRequest(requirements=requirements, environment=name, upgrade=not packages))
        if not changing(plan):
            self._show_remark("they are the newest versions that fit" if not packages else "it is the newest that fits")
        elif await self._answer(PlanScreen(plan, "upgrades")):

            async def ask(client: EngineClient) -> str:
                names = [one.name for one in packages]
                done = await client.call(PACKAGES_UPGRADE, body=UpgradeRequest(names=names, environment=name))
                return _changed(done)

            self._changes.begin(f"upgrading {packages[0].name if packages else name}", ask)

    async def _uninstall(self, one: InstalledPackage) -> None:
        name = self._shown
        others = needing(one.name, [] if self._found is None else self._found.packages)
        if others:
            question = f"{one.name} is needed by {', '.join(others)}: these cannot do without it."
            answers = [Choice("a", f"uninstall {one.name} and {', '.join(others)}", risky=True)]
        else:
            question = f"Uninstall {one.name} {one.version} from {name}, and what only it needs?"
            answers = [Choice("x", f"uninstall {one.name}", risky=True)]
        if await self._answer(ChoiceScreen(question, answers, "leave it")) is None:
            return

        async def ask(client: EngineClient) -> str:
            request = UninstallRequest(names=[one.name, *others], environment=name)
            return _changed(await client.call(PACKAGES_UNINSTALL, body=request))

        self._changes.begin(f"uninstalling {one.name}", ask)

    async def _search(self) -> None:
        name, words = self._shown, ""
        answer = await self._answer(AskScreen("Search the index: a package's exact name", words))
        if answer is None:
            return
        params = PackageSearchParams(q=answer, environment=name)
        found = await self._busy(f"asking the index for {answer}", lambda client: client.call(PACKAGES_SEARCH, params))
        if found.warning:
            self.notify(sanitise_line(found.warning), severity="warning", markup=False)
        if not found.packages:
            self._show_remark(f"the index offers nothing by the name {answer}")
            return
        entries = [
            PickerEntry(
                one.name,
                sanitise_line(f"{one.name} {one.version or 'none that fits this Python'}  {one.summary}"),
                f"{sanitise_line(one.origin)} " if one.origin else "",
                " ".join(one.versions[:SHOWN_VERSIONS]),
            )
            for one in found.packages
        ]
        picked = await self._answer(PickerScreen("Enter goes on to installing it: type a part of it", entries))
        if picked is not None and self.may_change():
            await self._install(picked)

    async def _install_bundle(self) -> None:
        name, typed, problem = self._shown, "", ""
        question = f"Install a bundle into {name}: path of the file on the host of this console"
        while (answer := await self._answer(AskScreen(question, typed, problem))) is not None:
            typed = answer
            file = await asyncio.to_thread(_file, self._connection.folder, typed)
            if file is None:
                problem = "There is no such file."
                continue
            sentence = f"{name} becomes what {file.name} has: what it has not is removed."
            answers = [Choice("i", f"install {file.name}", risky=True)]
            if await self._answer(ChoiceScreen(sentence, answers, "leave it as it is")) == "i":
                self._changes.begin(f"installing {file.name}", partial(_sent, file, name))
            return

    async def _show_package(self, name: str) -> None:
        params = PackageParams(name=name, environment=self._shown)
        found = await self._connection.client.call(PACKAGES_SHOW, params)
        await self._answer(ReportScreen(f"{found.name} {found.version}", _details(found)))

    # Asking.

    def may_change(self) -> bool:
        """Whether this user may change packages; tells them if not."""
        role = self._connection.role
        if role in ("", "admin"):
            return True
        self.notify_error(f"Packages are changed by administrators. Your role is {role}.")
        return False

    def _ask(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Ask the user what they want, in place of what they were asked before."""
        if self.may_change():
            in_place_of_the_last(self, "ask", self.told, work, *args)

    async def _answer(self, screen: Screen[Answer]) -> Answer | None:
        return await self.app.push_screen_wait(screen)

    async def _planned(self, request: InstallRequest) -> PackagePlan:
        return await self._busy("looking at what would change", lambda client: client.call(PACKAGES_PLAN, body=request))

    async def _busy(self, what: str, ask: Callable[[EngineClient], Awaitable[Answer]]) -> Answer:
        """Ask the engine for what takes a while; a key cancels it."""
        self._asking = what
        self._show_work()
        try:
            return await ask(self._connection.client)
        finally:
            self._asking = ""
            self._show_work()

    # Showing.

    @property
    def _package(self) -> InstalledPackage | None:
        """The package under the cursor."""
        packages = [] if self._found is None else self._found.packages
        return next((one for one in packages if one.name == self._table.current), None)

    def _show_detail(self) -> None:
        self._detail.update("" if (one := self._package) is None else _detail(one))

    def _show_work(self) -> None:
        """Show what goes on, or how the last change ended."""
        changes = self._changes
        doing = sanitise_line(self._asking or changes.doing)
        lines = list(changes.lines)
        self._output.set_rows([Row(str(number), f" {line}", tone="dim") for number, line in enumerate(lines)])
        self._output.styles.height = min(OUTPUT_LINES, len(lines))
        self._output.display = bool(lines) and (bool(changes.doing) or changes.failed)
        self._output.action_edge(last=True)
        key = action("cancel_change").key
        self._work.update(f"{doing} ...   {key} cancels" if doing else sanitise_line(changes.outcome))
        self._work.display = bool(doing or changes.outcome)
        self._work.set_class(not doing and changes.failed, "-failed")
        cancel = [action("cancel_change")] if doing else []
        self._hints.set_actions([*cancel, *footer_hints(Scope.PACKAGES), action("help")])

    def _show_remark(self, text: str) -> None:
        self._status.show_remark(text)


async def _installed(request: InstallRequest, client: EngineClient) -> str:
    return _changed(await client.call(PACKAGES_INSTALL, body=request))


async def _sent(file: Path, environment: str, client: EngineClient) -> str:
    return _changed(await send_bundle(client, file, environment))


def _file(folder: Path, typed: str) -> Path | None:
    """Return the file that is meant; None if there is none. Blocks."""
    file = folder / os.path.expanduser(typed)
    return file if file.is_file() else None


def _changed(plan: PackagePlan) -> str:
    if not changing(plan):
        return f"no package has changed: {plan.environment} has all of that"
    return f"{plan.environment}: {changes_line(plan)}. Runs that begin from now on have it."


def _heading(info: EnvironmentInfo, names: list[str]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(" packages  ", "bold")
    place = f" ({names.index(info.name) + 1} of {len(names)})" if len(names) > 1 and info.name in names else ""
    text.append(f"{sanitise_line(info.name)}{place}  Python {sanitise_line(info.python)}  {counted(info.packages)}")
    if not info.managed:
        text.append("  installed into by hand" if info.packages else "")
    elif info.built_at is not None:
        text.append(f"  built {clock(info.built_at)} by {sanitise_line(info.built_by or '-')}")
    return text


def _row(one: InstalledPackage) -> TableRow:
    cells = (one.name, one.version, "allowed" if one.allowed else "-", size(one.size), _why(one))
    name, version, allowed, sizes, why = map(sanitise_line, cells)
    return TableRow(one.name, (name, version, allowed, sizes, why), "" if one.requested else "dim")


def _why(one: InstalledPackage) -> str:
    asked = ["asked for"] if one.requested else []
    return ", ".join([*asked, *([f"for {', '.join(one.needed_by)}"] if one.needed_by else [])])


def _detail(one: InstalledPackage) -> str:
    imports = ", ".join(one.modules) or "nothing"
    facts = [f"import {imports}", f"asked for as {one.requirement}" if one.requirement not in ("", one.name) else ""]
    facts.append(f"needed by {', '.join(one.needed_by)}" if one.needed_by else "")
    return f" {sanitise_line('   '.join(filter(None, facts)))}"


def _details(found: PackageDetail) -> list[str]:
    allowed = "RESTRICTED scripts may import it" if found.allowed else (
        "RESTRICTED scripts may not import it: modules under [policy] in the settings says which they may"
    )  # fmt: skip
    parts = (
        ("", found.summary),
        ("import ", ", ".join(found.modules)),
        ("", allowed),
        ("asked for as ", (found.requirement or found.name) if found.requested else ""),
        ("needed by ", ", ".join(found.needed_by)),
        ("requires ", ", ".join(found.requires)),
        ("size ", size(found.size)),
        ("licence ", found.licence),
        ("homepage ", found.homepage),
        ("from ", found.origin),
        ("sha256 ", found.sha256),
    )
    return [f"{word}{value}" for word, value in parts if value]
