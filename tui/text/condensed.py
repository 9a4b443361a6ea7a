"""A record that stands for many runs, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.text.formats import clock, duration

if TYPE_CHECKING:
    from engine.models.runs import CondensedRuns, RunInfo


def count_text(run: RunInfo) -> str:
    """Say of how many runs a record is, as short as a column; nothing of a record of one."""
    found = run.condensed
    return "" if found is None or found.runs == 1 else f"{found.runs} runs"


def condensed_text(found: CondensedRuns) -> str:
    """Say what a record stands for, in one sentence."""
    failed = ""
    if found.failures:
        own = "has a record of its own" if found.failures == 1 else "have records of their own"
        failed = f"; {found.failures} that failed {own}"
    if found.runs == 1:
        return f"1 run in this minute went well{failed}"
    times = f"{duration(found.shortest)} to {duration(found.longest)}, {duration(found.average)} on average"
    return (
        f"{found.runs} runs in this minute, this one shown: {times}; the last is #{found.last_run}, "
        f"{clock(found.last_at)}; the results and output of the others are not kept{failed}"
    )


def inputs_text(found: CondensedRuns) -> str:
    """Say what all the runs of a record were given, by hashes."""
    count = f"more than {found.inputs_distinct}" if found.inputs_more else str(found.inputs_distinct)
    first = ", ".join(digest[:12] for digest in found.inputs_first)
    return f"{count} different: {first}{', ...' if found.inputs_distinct > len(found.inputs_first) else ''}"
