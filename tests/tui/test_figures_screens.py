"""Figures in the console: below the pool's slots, and by script, caller and kind of failure. The engine is a real one;
its figures are made up, so that pictures stay the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import figures_kit
import pytest
from console_support import Console, console, engine_project, write_script
from msgspec.structs import replace
from pictures_support import check

from engine.client import launch
from engine.client.answers import EngineError
from engine.models.engine import SlotState
from engine.models.metrics import AlertList, EngineMetrics, GroupedBy, ImpactLevel
from engine.models.runs import RunKind, RunRequest
from engine.registry.engine import POOL_USE
from engine.registry.metrics import ALERTS, METRICS, METRICS_GROUPS, METRICS_HISTORY, GroupParams
from tui.messages import EngineAway, EngineConnected, PoolChanged
from tui.screens import pool
from tui.widgets.text_line import TextLine


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("figures") / "plant-a") as root:
        write_script(root, "tags.py", "print('812 tags')\n")
        yield root


@dataclass
class Answers:
    """What the engine says of figures, and what it was asked."""

    metrics: EngineMetrics = field(default_factory=figures_kit.metrics)
    alerts: AlertList = field(default_factory=figures_kit.alerts)
    problem: EngineError | None = None
    looks: int = 0
    asked: list[GroupParams] = field(default_factory=list)

    def stand_in(self, c: Console, monkeypatch: pytest.MonkeyPatch) -> None:
        async def metrics(*_args, **_options):
            self.looks += 1
            if self.problem is not None:
                raise self.problem
            return self.metrics

        async def groups(params, *_args, **_options):
            self.asked.append(params)
            return figures_kit.groups(params.by)

        async def history(*_args, **_options):
            return figures_kit.history()

        async def use(*_args, **_options):
            return figures_kit.pool_use()

        async def alerts(*_args, **_options):
            return self.alerts

        for operation, answer in (
            (METRICS, metrics),
            (POOL_USE, use),
            (METRICS_HISTORY, history),
            (METRICS_GROUPS, groups),
            (ALERTS, alerts),
        ):
            c.answer(monkeypatch, operation, answer)


@pytest.fixture
def answers(monkeypatch):
    monkeypatch.setattr(pool, "FIGURES_EVERY", 0.05)
    return Answers()


@pytest.fixture
async def c(project, tmp_path, answers, monkeypatch):
    async with console(project, tmp_path) as opened:
        await opened.shows("defaults/tour.py", "pool [...] 0/3  queue 0")
        answers.stand_in(opened, monkeypatch)
        yield opened


async def open_pool(c: Console) -> None:
    await c.press("f4")
    await c.shows("3 ready", "impact LOW", "CRITICAL since", "p50")


async def test_the_pool_shows_figures_at_80x24(c):
    await open_pool(c)
    await check(c, "pool_figures")


async def test_the_heading_leaves_out_whole_figures_and_cuts_none(c):
    await open_pool(c)
    known = c.app._connection.pool
    slots = [replace(known.slots[0], runs=1, restarts=1), *known.slots[1:]]
    told = replace(known, slots=slots, ready=1, resting=2, runs_last_minute=21, p50_ms=195.0, p99_ms=6_008.0)
    c.app.screen.post_message(PoolChanged(told))
    await c.shows("2 resting   queue 0   21/min   p50 195 ms\n", "1 run, 1 restart\n")


async def test_long_alerts_show_that_they_go_on_and_a_reason_stands_there_once(c, answers):
    reason = "The load is 5.7 on 2 processors; something waits for a processor 64 % of the time."
    judged = replace(answers.metrics.judgement, recommendation=f"Slots rest for now: {reason}")
    answers.metrics = replace(answers.metrics, judgement=judged)
    (first, *others) = answers.alerts.alerts
    long = replace(first, message=f"2 slots rest so that the gateway has room: {reason} They come back by themselves.")
    answers.alerts = replace(answers.alerts, alerts=[long, *others])
    await open_pool(c)
    resting = replace(c.app._connection.pool, resting=2, ready=1, rest_reason=reason)
    c.app.screen.post_message(PoolChanged(resting))
    await c.shows("The load is 5.7", " ...\n")
    await c.hides("Slots rest for now")
    await c.shows(" 1     ready", " 3     ready")


async def test_help_begins_with_the_keys_of_the_screen_that_it_covers(c):
    await open_pool(c)
    await c.press("f1")
    await c.shows("Restart the slot under the cursor", "Figures by script, caller or kind of failure")
    await c.hides("All actions and scripts")
    await c.press("home")
    await c.shows("All actions and scripts")


@pytest.mark.parametrize(
    "size", [(120, 40), pytest.param((160, 50), marks=pytest.mark.slow)], ids=lambda size: f"{size[0]}x{size[1]}"
)
async def test_the_pool_shows_two_plots_where_there_is_room(project, tmp_path, answers, monkeypatch, size):
    async with console(project, tmp_path, size=size) as c:
        await c.shows("defaults/tour.py", "pool [...] 0/3  queue 0")
        answers.stand_in(c, monkeypatch)
        await open_pool(c)
        await c.shows("latency: p50, and p99 above it")
        await check(c, f"pool_figures_{size[0]}")


async def test_the_slots_are_in_sight_in_the_smallest_terminal(project, tmp_path, answers, monkeypatch):
    async with console(project, tmp_path, size=(40, 10)) as c:
        await c.shows("pool [...] 0/3")
        answers.stand_in(c, monkeypatch)
        await c.press("f4")
        await c.shows(" 1     ready", " 3     ready")


async def test_sixteen_colours_and_the_linux_console_get_plain_signs(project, tmp_path, answers, monkeypatch):
    async with console(project, tmp_path, sixteen_colours=True) as c:
        await c.shows("defaults/tour.py", "pool [...] 0/3  queue 0")
        answers.stand_in(c, monkeypatch)
        await open_pool(c)
        await c.shows("####")
        assert c.text.isascii()
        await check(c, "sixteen_pool_figures")


async def test_a_change_is_shown_and_what_stays_is_not_drawn_again(c, answers, monkeypatch):
    drawn: list[str] = []
    update = TextLine.update

    def updated(line, *args, **options):
        drawn.append(line.id or "")
        update(line, *args, **options)

    await open_pool(c)
    await c.settled()
    monkeypatch.setattr(TextLine, "update", updated)
    looks = answers.looks
    await c.until(lambda: answers.looks > looks + 10, "the engine is asked again")
    assert "figures-facts" not in drawn
    assert "figures-host" not in drawn
    answers.metrics = figures_kit.metrics(ImpactLevel.HIGH, 42, gateway=False)
    await c.shows("impact HIGH", "health   42")
    await c.hides("JVM")
    assert "figures-facts" in drawn


@pytest.mark.slow
async def test_slots_that_rest_are_told_with_the_reason(c):
    await open_pool(c)
    known = c.app._connection.pool
    slots = [*known.slots[:-1], replace(known.slots[-1], state=SlotState.RESTING, pid=None)]
    reason = "The gateway's JVM uses 90 % of the processors."
    resting = replace(known, slots=slots, ready=2, resting=1, rest_reason=reason, health=85, impact=ImpactLevel.MEDIUM)
    c.app.screen.post_message(PoolChanged(resting))
    await c.shows("2 ready   1 resting", reason, "pool [..-] 0/3  1 resting", "impact MEDIUM  health 85")


async def test_nothing_is_asked_while_another_screen_is_shown(c, answers):
    await open_pool(c)
    await c.press("escape")
    await c.shows("Output")
    looks = answers.looks
    await c.press("f10")
    await c.shows("No runs yet")
    assert answers.looks == looks


async def test_an_engine_that_refuses_or_is_away_is_said_in_place_of_figures(c, answers):
    answers.problem = EngineError("forbidden", "alice may not see the figures.", None, 403)
    await c.press("f4")
    await c.shows("alice may not see the figures.")
    looks = answers.looks
    await c.press("s")
    await c.shows("figures by script")
    await c.press("escape")
    await c.shows("alice may not see the figures.")
    assert answers.looks == looks, "a refusal stands in the audit each time"
    answers.problem = None
    c.app.screen.post_message(EngineConnected(c.app._connection.info))
    await c.shows("impact LOW")
    c.app._connection.connected.clear()
    c.app.screen.post_message(EngineAway("It stopped.", None))
    await c.until(lambda: answers.looks and "impact" not in c.text, "the figures are gone")


async def test_figures_by_script_caller_and_failure(c, answers):
    await open_pool(c)
    await c.press("s")
    await c.shows("figures by script   last 24 h   by runs, most first", "night/two words.py", "50 %", "2 more")
    await check(c, "figures_by_script")
    await c.press("b")
    await c.shows("figures by caller", "token:dashboard")
    await c.press("b")
    await c.shows("figures by kind of failure", "script_error")
    await check(c, "figures_by_failure")
    await c.press("t")
    await c.shows("last 7 days")
    await c.press("T", "T")
    await c.shows("last hour")
    assert (answers.asked[-1].by, answers.asked[-1].hours) == (GroupedBy.ERROR, 1.0)


async def test_rows_are_sorted_by_any_column(c):
    def first() -> str:
        return next(line.split()[0] for line in c.text.splitlines()[3:] if line.strip())

    await open_pool(c)
    await c.press("s")
    await c.shows("by runs", "night/two words.py")
    assert first() == "night/two"
    await c.press("o")
    await c.shows("by failed, most first")
    assert first() == "tags.py"
    await c.press("O")
    await c.shows("by failed, least first")
    assert first() != "tags.py"


async def test_enter_leads_to_the_runs_and_to_their_output(c):
    await c.open("tags.py")
    await c.press("f5")
    await c.shows("812 tags", "end of output")
    await open_pool(c)
    await c.press("s")
    await c.shows("night/two words.py")
    await c.press("enter")
    await c.shows('script:"night/two words.py" since:24h', "No run matches")
    await c.press("escape")
    await c.shows("figures by script")
    await c.press("down", "enter")
    await c.shows("script:tags.py since:24h", "#1 ")
    await c.press("enter")
    await c.shows("812 tags", "[Output]")


@pytest.mark.slow
async def test_the_palette_leads_to_the_figures_by_script(c):
    await c.press("ctrl+p")
    await c.type("figures by")
    await c.shows("Figures by script, caller or kind of failure")
    await c.press("enter")
    await c.shows("night/two words.py")
    await c.press("escape")
    await c.shows("impact LOW")


async def test_ten_good_and_ten_failing_runs_are_ten_and_ten(project, tmp_path):
    """By the engine's own figures. It is the last test: the pictures above are of an engine without these runs."""
    write_script(project, "good.py", "result = 1\n")
    write_script(project, "bad.py", "raise ValueError('no tags')\n")
    client = await launch.connect(project, client="cli", start=False)
    try:
        for number in range(20):
            script = "bad.py" if number % 2 else "good.py"
            await client.run_to_end(RunRequest(kind=RunKind.SCRIPT, script=script))
    finally:
        await client.close()
    async with console(project, tmp_path) as c:
        await c.shows("defaults/tour.py", "pool [")
        await c.press("f4")
        await c.shows("runs a minute, last hour", "health ")
        await c.press("s")
        await c.shows("good.py", "bad.py")
        rows = {line.split()[0]: line.split() for line in c.text.splitlines() if ".py" in line}
        assert rows["good.py"][1:4] == ["10", "0", "0"]
        assert rows["bad.py"][1:4] == ["10", "10", "100"]
        assert float(rows["good.py"][5]) > 0, "its p50 is not nothing"
        await c.press("b", "b")
        await c.shows("kind of failure", "script_error")
        assert next(line.split()[1] for line in c.text.splitlines() if "script_error" in line) == "10"
