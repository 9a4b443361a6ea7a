"""What a search of the run history means."""

from __future__ import annotations

import time

import pytest

from engine.models.runs import Mode, Outcome, RunInfo, RunKind, RunState
from tui.text.run_query import BadSearch, RunSearch, parse_search

NOON = time.mktime((2026, 3, 5, 12, 0, 0, 0, 0, -1))
MIDNIGHT = time.mktime((2026, 3, 5, 0, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("", RunSearch()),
        ("digest", RunSearch(part="digest")),
        ("outcome:timeout who:alice", RunSearch(outcome=Outcome.TIMEOUT, actor="alice")),
        ("outcome:time", RunSearch(outcome=Outcome.TIMEOUT)),
        ("outcome:ok", RunSearch(outcome=Outcome.OK)),
        ("since: who:", RunSearch()),
        ("since:today", RunSearch(since=MIDNIGHT)),
        ("since:yesterday", RunSearch(since=MIDNIGHT - 86_400)),
        ("since:2h", RunSearch(since=NOON - 7200)),
        ("since:3d until:30m", RunSearch(since=NOON - 3 * 86_400, until=NOON - 1800)),
        ("since:09:30", RunSearch(since=MIDNIGHT + 9.5 * 3600)),
        ("until:2026-03-05", RunSearch(until=MIDNIGHT)),
    ],
)
def test_words_mean_what_they_say(text: str, search: RunSearch) -> None:
    assert parse_search(text, NOON) == search


@pytest.mark.parametrize(
    "text", ["when:today", "outcome:maybe", "outcome:c", "since:soon", "since:25:00", "until:2026-02-31"]
)
def test_what_means_nothing_is_a_sentence(text: str) -> None:
    with pytest.raises(BadSearch, match=r"^.+\.$"):
        parse_search(text, NOON)


def test_a_run_that_is_heard_of_is_judged_alike() -> None:
    run = RunInfo(
        id=1, kind=RunKind.SCRIPT, name="Defaults/tour.py", state=RunState.FINISHED, mode=Mode.RESTRICTED,
        actor="alice", source="cli", queued_at=NOON, timeout=1.0, code_sha256="", outcome=Outcome.OK,
    )  # fmt: skip
    for text in ("", "TOUR", "outcome:ok", "who:alice", "since:today", "until:2026-03-06"):
        assert parse_search(text, NOON).wants(run), text
    for text in ("digest", "outcome:timeout", "who:bob", "until:2026-03-05"):
        assert not parse_search(text, NOON).wants(run), text


def test_two_parts_of_a_name_are_refused_not_half_searched_for() -> None:
    with pytest.raises(BadSearch, match="One part of a name at a time: night or digest"):
        parse_search("night digest", NOON)
