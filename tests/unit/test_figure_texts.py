"""Figures in words, as sparklines and as bars; what is typed to find runs and audit records."""

from __future__ import annotations

from dataclasses import fields

import figures_kit
import pytest
from msgspec.structs import replace

from engine.api.compat.history import PROMETHEUS
from engine.config import YieldSection
from engine.models.engine import PoolInfo
from engine.models.metrics import Alert, AlertSeverity, HostFigures, ImpactLevel
from engine.registry.engine import AuditParams
from engine.registry.metrics import METRICS_TEXT
from engine.registry.operation import COMPAT_BASE
from engine.services.metrics.judgement import judge
from tui.commands.help import page
from tui.text import figures
from tui.text.audit_query import parse_audit_search
from tui.text.charts import gathered, share_bar, shows_blocks, sparkline
from tui.text.run_query import BadSearch, parse_search
from tui.widgets.status_bar import judgement, pool_figure


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "-"), (0.0, "0.00 ms"), (0.004, "0.00 ms"), (0.21, "0.21 ms"), (35.4, "35 ms"), (999.6, "1000 ms"),
     (1_000.0, "1.00 s"), (2_500.0, "2.50 s"), (90_000.0, "1 min"), (11_100_000.0, "3 h 05")],
)  # fmt: skip
def test_latencies_have_two_digits_or_more(value: float | None, written: str) -> None:
    assert figures.latency(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "-"), (0.0, "0 %"), (0.02, "< 0.1 %"), (0.34, "0.3 %"), (41.2, "41 %"), (100, "100 %")],
)
def test_a_little_more_than_nothing_is_not_nothing(value: float | None, written: str) -> None:
    assert figures.percent(value) == written


@pytest.mark.parametrize(
    ("hours", "written"),
    [(0.01, "1 min"), (0.5, "30 min"), (1, "hour"), (24, "24 h"), (168, "7 days"), (720, "30 days")],
)
def test_spans_as_people_say_them(hours: float, written: str) -> None:
    assert figures.hours_text(hours) == written


def test_cancelled_runs_count_neither_way() -> None:
    assert figures.failure_rate(10, 10) == 50
    assert figures.failure_rate(0, 0) is None
    rows = dict(figures.run_rows(figures_kit.runs(25, 10, successful=10, cancelled=5)))
    assert (rows["runs"], rows["ok"], rows["failed"], rows["cancelled"]) == ("25", "10", "10", "5")
    assert rows["failures"] == "50 %"


def test_what_a_host_does_not_say_is_missing() -> None:
    assert figures.load_percent(HostFigures(cores=2)) is None
    assert figures.memory_percent(HostFigures(cores=2, memory=8)) is None
    assert figures.memory_percent(HostFigures(cores=2, memory=8, available=2)) == 75
    assert figures.disk_percent(None) is None
    assert figures.gateway_text(figures_kit.metrics(gateway=False)) == ""


def test_alerts_that_last_come_first_and_old_ones_go() -> None:
    def alert(kind: str, at: float, until: float | None = None, count: int = 1) -> Alert:
        return Alert(kind=kind, severity=AlertSeverity.WARNING, message=f"{kind}.", at=at, until=until, count=count)

    alerts = [alert("over", 9_000.0, 9_500.0), alert("old", 1.0, 2.0), alert("lasts", 100.0, count=3)]
    shown = figures.shown_alerts(alerts, 10_000.0)
    assert [one.kind for one in shown] == ["lasts", "over"]
    assert figures.alert_text(shown[0]).endswith("lasts. (3 times)")


def test_why_slots_rest_is_not_said_twice() -> None:
    ran = figures_kit.runs(10, 5, successful=5)
    reason = "The load is 5.7 on 2 processors."
    both = judge(ran, ran, 0.0, 1.0, rest_reason=reason)
    assert figures.advice(both, "") == both.recommendation
    assert reason[:-1] in both.recommendation
    assert "rest for now" not in figures.advice(both, reason)
    assert "50 % of the runs of the last minute failed" in figures.advice(both, reason)
    none = figures_kit.runs(0, 0, successful=0, contended=0, waits=0)
    assert figures.advice(judge(none, none, 0.0, 1.0, rest_reason=reason), reason) == ""


def test_a_sentence_that_has_no_room_ends_in_dots() -> None:
    assert figures.cut_to("one two three", 20, 1) == "one two three"
    assert figures.cut_to("one two three", 8, 2) == "one two\nthree"
    assert figures.cut_to("one two three four five", 8, 2) == "one two\nthre ..."


def test_a_sparkline_keeps_every_peak_and_shows_what_is_nearly_nothing() -> None:
    assert sparkline([0.0, 1.0, 100.0], 3) == " ▁█"
    assert sparkline([0.0, 1.0, 100.0], 3, blocks=False) == " .#"
    assert sparkline([None, 50.0], 4, most=100.0) == "   ▄"
    assert gathered([1.0, None, 9.0, 2.0, None, None], 3) == [1.0, 9.0, None]
    assert sparkline([0.0] * 1_000 + [7.0] + [0.0] * 439, 60).count("█") == 1
    assert sparkline([], 5) == "     "


def test_a_bar_is_as_long_as_its_room() -> None:
    assert share_bar(41.0, 8) == "███░░░░░"
    assert share_bar(1.0, 4, blocks=False) == "#..."
    assert share_bar(250.0, 4) == "████"
    assert share_bar(None, 4) == "░░░░"


@pytest.mark.parametrize(
    ("term", "encoding", "blocks"),
    [("xterm-256color", "UTF-8", True), ("linux", "utf-8", False), ("dumb", "utf-8", False),
     ("xterm", "latin-1", False), ("xterm", None, False)],
)  # fmt: skip
def test_blocks_only_where_a_terminal_has_them(
    monkeypatch: pytest.MonkeyPatch, term: str, encoding: str | None, blocks: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    assert shows_blocks(encoding) is blocks


def test_the_status_bar_says_what_rests_and_what_the_figures_mean() -> None:
    pool = PoolInfo(size=4, slots=[], running=1, resting=2, runs_last_minute=12, p50_ms=0.2)
    assert pool_figure(pool) == "pool [#.--] 1/4  2 resting  queue 0  12/min  p50 0.20 ms"
    assert pool_figure(replace(pool, p50_ms=6_011.0)).endswith("p50 6.01 s"), "as everywhere else"
    assert judgement(pool) == ""
    assert judgement(PoolInfo(4, [], health=70, impact=ImpactLevel.MEDIUM)) == "  impact MEDIUM  health 70"


def test_the_help_page_names_places_that_there_are() -> None:
    text = page("operations")
    assert METRICS_TEXT.target() in text
    assert PROMETHEUS.target(base=COMPAT_BASE) in text
    assert [one.name for one in fields(YieldSection) if f"    {one.name} = " not in text] == []


def test_quotes_keep_the_words_of_a_search_together() -> None:
    assert parse_search('script:"night/two words.py" who:alice').name == "night/two words.py"
    assert parse_search('"two words"').part == "two words"
    assert parse_search('script:"still typed').name == "still typed"
    assert parse_search('who:""').actor is None


def test_audit_records_are_searched_by_key_and_by_words() -> None:
    found = parse_audit_search('who:alice action:save subject:"two words.py" report text:"a b" since:2h tags', 10_000.0)
    assert found == AuditParams(
        who="alice", what="report tags", action="save", subject="two words.py", since=2_800.0, text="a b"
    )
    assert parse_audit_search("who:") == AuditParams()
    with pytest.raises(BadSearch, match="There is no when: in a search; there are who:, what:, action:"):
        parse_audit_search("when:now")
    with pytest.raises(BadSearch, match="soon is no time"):
        parse_audit_search("since:soon")
