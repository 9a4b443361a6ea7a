"""What is typed to search the run history: ``outcome:timeout who:alice since:today log_digest``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from engine.models.runs import Outcome, RunInfo
from engine.registry.runs import RunListParams

DAY = 86_400.0
_UNITS: Mapping[str, float] = MappingProxyType({"m": 60.0, "h": 3600.0, "d": DAY})
_AGO = re.compile(r"(\d{1,6})([mhd])")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_WORDS = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_TIMES = "today, yesterday, 2h, 30m, 3d, 14:30 or 2026-01-31"


class BadSearch(ValueError):
    """What was typed means nothing. The message is the sentence for the user."""


@dataclass(frozen=True, slots=True)
class RunSearch:
    """Which runs are wanted; nothing set wants all. Times are seconds since the epoch."""

    part: str | None = None
    name: str | None = None
    """A script's whole path, where ``part`` is a part of it."""
    outcome: Outcome | None = None
    actor: str | None = None
    since: float | None = None
    until: float | None = None

    def page(self, limit: int, before: int | None = None) -> RunListParams:
        """The request for a page of these runs, the first or the one before a run."""
        return RunListParams(
            limit=limit,
            before=before,
            part=self.part,
            name=self.name,
            outcome=self.outcome,
            actor=self.actor,
            since=self.since,
            until=self.until,
        )

    def wants(self, run: RunInfo) -> bool:
        """Whether a run that is heard of is one of these, as the engine would judge."""
        return (
            (self.part is None or self.part.lower() in run.name.lower())
            and self.name in (None, run.name)
            and self.outcome in (None, run.outcome)
            and self.actor in (None, run.actor)
            and (self.since is None or run.queued_at >= self.since)
            and (self.until is None or run.queued_at < self.until)
        )


def parse_search(text: str, now: float | None = None) -> RunSearch:
    """Return the search that ``text`` means. A word without a key is a part of the script's name; quotes join words.

    Raises:
        BadSearch: A key or a value means nothing.
    """
    found = RunSearch()
    for word in query_words(text):
        key, colon, value = word.partition(":")
        if not colon:
            key, value = "name", word
        if key not in _KEYS:
            raise BadSearch(f"There is no {key}: in a search; there are {', '.join(f'{name}:' for name in _KEYS)}.")
        if value:  # else it is still being typed
            found = _KEYS[key](found, value, time.time() if now is None else now)
    return found


def query_words(text: str) -> list[str]:
    """Return the words of what is typed; quotes keep those together that are one, and are left out."""
    return [quoted.replace('"', "") for quoted in _WORDS.findall(text)]


def moment(text: str, now: float) -> float:
    """The time that a word means, in this host's time zone.

    Raises:
        BadSearch: It means none.
    """
    midnight = time.mktime((*time.localtime(now)[:3], 0, 0, 0, 0, 0, -1))
    if text == "today":
        return midnight
    if text == "yesterday":
        return time.mktime((*time.localtime(midnight - DAY / 2)[:3], 0, 0, 0, 0, 0, -1))
    if found := _AGO.fullmatch(text):
        return now - int(found[1]) * _UNITS[found[2]]
    if found := _CLOCK.fullmatch(text):
        return time.mktime((*time.localtime(now)[:3], int(found[1]), int(found[2]), 0, 0, 0, -1))
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%d"))
    except (ValueError, OverflowError):
        raise BadSearch(f"{text} is no time; one is {_TIMES}.") from None


def _named(search: RunSearch, part: str) -> RunSearch:
    if search.part is not None:
        raise BadSearch(f"One part of a name at a time: {search.part} or {part}.")
    return replace(search, part=part)


def outcome_named(text: str) -> Outcome:
    """The outcome of that name, or the only one that begins so.

    Raises:
        BadSearch: There is none.
    """
    matches = [outcome for outcome in Outcome if outcome.value.startswith(text.lower())]
    exact = [outcome for outcome in matches if outcome.value == text.lower()]
    if len(exact or matches) != 1:
        raise BadSearch(f"{text} is no outcome; they are {', '.join(outcome.value for outcome in Outcome)}.")
    return (exact or matches)[0]


_KEYS: Mapping[str, Callable[[RunSearch, str, float], RunSearch]] = MappingProxyType(
    {
        "outcome": lambda search, value, _: replace(search, outcome=outcome_named(value)),
        "who": lambda search, value, _: replace(search, actor=value),
        "since": lambda search, value, now: replace(search, since=moment(value, now)),
        "until": lambda search, value, now: replace(search, until=moment(value, now)),
        "name": lambda search, value, _: _named(search, value),
        "script": lambda search, value, _: replace(search, name=value),
    }
)
