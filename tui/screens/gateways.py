"""The gateways that this user has named: what answers there, and the way to them."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from engine.client.fleet import Failure, FailureKind
from engine.client.gateway_check import ANSWERS, NO_ENGINE, check_target
from engine.client.gateways import EVERY, GROUP_MARK, Gateway, Gateways, settings_file
from engine.client.starter import LaunchError
from engine.client.target import Target
from tui.actions import Scope, action, bindings, footer_hints
from tui.background import in_background, in_place_of_the_last
from tui.connection import EngineConnection
from tui.screens.dialogs import AskScreen
from tui.screens.full_screen import FullScreen
from tui.text.sanitise import sanitise_line
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import RowList

AT_ONCE = 16
"""Gateways that are asked at the same time."""

_COLUMNS = (
    Column("", 3),
    Column("gateway", 16),
    Column("state", 14),
    Column("role", 8),
    Column("version", 8),
    Column("where"),
)

OWNER = "admin"
"""The role of who comes by the project's folder: its owner."""


HERE = "you are here"
ASKING = "asking ..."
"""What the table says of a gateway besides the states of ``GatewayCheck``."""


Identity = tuple[str, Path | None]


def identity_of(target: Target) -> Identity:
    """Return what tells a gateway from every other one: its engine, and as whom the user comes there."""
    return target.key, target.token_file


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """A gateway that the console can go to.

    Attributes:
        name: What the user calls it.
        where: Its URL, socket or project.
        groups: Names of its groups.
        target: How it is reached; None where the file does not say it right.
        problem: What is wrong with its entry, and what to do.
    """

    name: str
    where: str
    groups: tuple[str, ...] = ()
    target: Target | None = None
    problem: str = ""

    @property
    def identity(self) -> Identity:
        """Tells it from every other one; two tokens for one engine are two gateways."""
        return (self.name, None) if self.target is None else identity_of(self.target)


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What is known of a gateway.

    Attributes:
        state: As the table says it.
        sentence: Why it is not as one would wish, and what to do.
    """

    state: str
    role: str = ""
    version: str = ""
    sentence: str = ""


def known_places(visited: Sequence[GatewayPlace]) -> list[GatewayPlace]:
    """Return the gateways of the user's file in its order, after the places where the user was that it does not name.

    Reads files, so it belongs into a thread.

    Raises:
        LaunchError: The file cannot be read, or something in it is wrong.
    """
    named = [place_of(gateway) for gateway in Gateways.load().by_name.values()]
    found, names = {place.identity for place in named}, {place.name for place in named}
    return [*(_told_apart(place, names) for place in visited if place.identity not in found), *named]


def _told_apart(place: GatewayPlace, names: Container[str]) -> GatewayPlace:
    """Return the place under another name where its own means another gateway since."""
    if place.name not in names or place.target is None:
        return place
    return replace(place, name=f"{place.name} before")


def place_of(gateway: Gateway) -> GatewayPlace:
    """Return the place that an entry of the user's file names."""
    try:
        target = gateway.target(become=False)
    except LaunchError as error:
        return GatewayPlace(gateway.name, gateway.place, gateway.groups, problem=_sentence(error))
    return GatewayPlace(gateway.name, gateway.place, gateway.groups, target)


def _chosen_places(selection: str) -> list[GatewayPlace]:
    return [place_of(gateway) for gateway in Gateways.load().chosen(selection)]


async def look_at(target: Target) -> GatewayAnswer:
    """Ask a gateway who it is and what this user may do there; starts nothing there."""
    found = await check_target(target, "console")
    if found.failure is not None:
        return GatewayAnswer(found.state, version=found.version, sentence=_sentence(found.failure))
    if found.state == NO_ENGINE:
        return GatewayAnswer(NO_ENGINE, sentence="Its engine starts when you go there.")
    return GatewayAnswer(found.state, OWNER if target.folder is not None else found.role, found.version)


def _sentence(error: LaunchError | Failure) -> str:
    return f"{error.message} {error.hint}" if error.hint else error.message


@dataclass(frozen=True, slots=True)
class GatewayChoice:
    """What the user wants of gateways.

    Attributes:
        places: One to go to, or several to run on.
        run: Run the open script there, in place of going there.
        named: How the user named them.
    """

    places: Sequence[GatewayPlace]
    run: bool = False
    named: str = ""


class GatewaysScreen(FullScreen[GatewayChoice]):
    """The result is what the user wants of which gateways, or None.

    Args:
        visited: Where the console was, beginning with what it was opened with.
        here: Where the console is.
        connection: To the engine there.
        unsaved: Returns the paths of the unsaved texts of a target; called in a thread.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.GATEWAYS)

    def __init__(
        self,
        visited: Sequence[GatewayPlace],
        here: Identity,
        connection: EngineConnection | None,
        unsaved: Callable[[Target], Sequence[str]],
    ) -> None:
        super().__init__()
        self._visited = visited
        self._here = here
        self._connection = connection
        self._unsaved_at = unsaved
        self._unsaved: dict[str, Sequence[str]] = {}
        self._places: dict[str, GatewayPlace] = {}
        self._marked: set[str] = set()
        self._answers: dict[str, GatewayAnswer] = {}
        self._file_problem = ""
        self._heading = Static(" gateways", id="gateways-heading", markup=False)
        self._table = LiveTable(_COLUMNS, empty="reading ...", id="gateways")
        self._detail = Static("", id="gateway-detail", markup=False)
        self._advice = Static("", id="gateways-advice", markup=False)

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._table
        yield self._advice
        yield self._detail
        yield KeyHints(footer_hints(Scope.GATEWAYS))
        yield self.too_small

    def on_mount(self) -> None:
        self._advice.display = False
        self.set_focus(self.query_one("#gateways RowList"))
        self.action_look_again()

    # What is known of them.

    def action_look_again(self) -> None:
        """Read the file and ask every gateway again."""
        self._answers.clear()
        in_place_of_the_last(self, "gateways", self._look)

    async def _look(self) -> None:
        self._file_problem = ""
        try:
            places = await asyncio.to_thread(known_places, self._visited)
        except LaunchError as error:
            self._file_problem, places = _sentence(error), list(self._visited)
        self._unsaved = await asyncio.to_thread(self._unsaved_texts, places)
        first = not self._places
        self._places = {place.name: place for place in places}
        self._show(cursor=self._name_here() if first else None)
        if any(place.where.startswith("http") for place in places):
            # Takes longer to load than a look takes; keys go on meanwhile.
            await asyncio.to_thread(importlib.import_module, "engine.client.https")
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for place in places:
                if place.target is not None and place.identity != self._here:
                    group.create_task(self._ask(place.name, place.target, room))

    def _unsaved_texts(self, places: Sequence[GatewayPlace]) -> dict[str, Sequence[str]]:
        return {place.name: self._unsaved_at(place.target) for place in places if place.target is not None}

    async def _ask(self, name: str, target: Target, room: asyncio.Semaphore) -> None:
        async with room:
            self._answers[name] = await look_at(target)
        self._show()

    def on_engine_connected(self) -> None:
        self._show()

    def on_engine_away(self) -> None:
        self._show()

    # Actions.

    def action_go_there(self) -> None:
        place = self._place
        if place is None:
            return
        if place.target is None:
            self.notify_error(place.problem)
            return
        self.dismiss(GatewayChoice([place]))

    def action_mark_gateway(self) -> None:
        if (place := self._place) is not None:
            self._marked ^= {place.name}
            self._show()

    def action_run_on(self) -> None:
        """Run on the marked ones; where none is marked, ask for names and groups."""
        marked = [place for place in self._places.values() if place.name in self._marked]
        if marked:
            named = marked[0].name if len(marked) == 1 else f"{len(marked)} marked"
            self.dismiss(GatewayChoice(marked, run=True, named=named))
        else:
            in_background(self, "selection", self._ask_for_some)

    async def _ask_for_some(self) -> None:
        typed, problem = f"{GROUP_MARK}{EVERY}", ""
        while True:
            question = f"Gateways: names with commas between them, or {GROUP_MARK}group"
            answer = await self.app.push_screen_wait(AskScreen(question, typed, problem))
            if answer is None:
                return
            try:
                places = await asyncio.to_thread(_chosen_places, answer)
            except LaunchError as error:
                typed, problem = answer, _sentence(error)
                continue
            self.dismiss(GatewayChoice(places, run=True, named=answer))
            return

    def action_leave_gateways(self) -> None:
        self.dismiss(None)

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._show_detail()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_go_there()

    # Showing.

    @property
    def _place(self) -> GatewayPlace | None:
        """The one under the cursor."""
        return self._places.get(self._table.current or "")

    def _name_here(self) -> str | None:
        return next((place.name for place in self._places.values() if place.identity == self._here), None)

    def _answer(self, place: GatewayPlace) -> GatewayAnswer:
        if place.target is None:
            return GatewayAnswer(FailureKind.NOT_SET_UP, sentence=place.problem)
        if place.identity != self._here:
            return self._answers.get(place.name, GatewayAnswer(ASKING))
        connection = self._connection
        if connection is None or connection.info is None or not connection.connected.is_set():
            return GatewayAnswer(HERE, sentence="" if connection is None else connection.problem)
        return GatewayAnswer(HERE, connection.role or OWNER, connection.info.version)

    def _show(self, cursor: str | None = None) -> None:
        self._table.show_rows([self._row(place) for place in self._places.values()], cursor=cursor)
        self._heading.update(self._sum())
        advice = sanitise_line(self._file_problem) or self._what_to_do()
        self._advice.update(advice)
        self._advice.set_class(bool(self._file_problem), "-problem")
        self._advice.display = bool(advice)
        self._show_detail()

    def _sum(self) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        answers = [self._answer(place) for place in self._places.values()]
        there = sum(answer.state in (ANSWERS, HERE) for answer in answers)
        asking = sum(answer.state == ASKING for answer in answers)
        text.append(f" {len(answers)} gateway{'' if len(answers) == 1 else 's'}", "bold")
        text.append(f"   {there} answer{'s' if there == 1 else ''}")
        text.append(f"   asking {asking}" if asking else "")
        return text

    def _what_to_do(self) -> str:
        """Say how a gateway gets a name, where there is none."""
        if any(place.identity != self._visited[0].identity for place in self._places.values()):
            return ""
        return (
            f"No other gateways yet. Name one on the command line, then {action('look_again').key} looks again:\n"
            "  gatewright gateways add gw-02 --url https://gw-02:9089 --token-file FILE\n"
            f"They are kept in {sanitise_line(str(settings_file()))}; gatewright help gateways has more."
        )

    def _row(self, place: GatewayPlace) -> TableRow:
        answer = self._answer(place)
        here, unsaved = place.identity == self._here, self._unsaved.get(place.name)
        mark = f"{'>' if here else ' '}{'*' if unsaved else ' '}{'x' if place.name in self._marked else ' '}"
        state = answer.state
        tone = "accent" if here else "" if state in (ANSWERS, NO_ENGINE) else "danger"
        if state == ASKING:
            tone = "dim"
        cells = (mark, place.name, state, answer.role or "-", answer.version or "-", place.where)
        return TableRow(place.name, tuple(map(sanitise_line, cells)), tone)

    def _show_detail(self) -> None:
        place = self._place
        if place is None:
            self._detail.update("")
            return
        unsaved = self._unsaved.get(place.name, ())
        facts = [
            place.where,
            self._answer(place).sentence,
            f"Unsaved there: {_names(unsaved)}." if unsaved else "",
            f"Groups: {', '.join('@' + group for group in place.groups)}." if place.groups else "",
        ]
        self._detail.update(sanitise_line("  ".join(filter(None, facts))))


def _names(names: Sequence[str]) -> str:
    """Name texts in a sentence: up to two, and the number of the others."""
    shown = [name or "a text without a name" for name in names]
    return ", ".join(shown[:2]) + (f" and {len(shown) - 2} more" if len(shown) > 2 else "")
