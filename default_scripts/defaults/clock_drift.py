# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Clock drift against restarts"
# description = "Clock drift warnings of a wrapper.log: when, how long, and which of them came before a restart"
# kind = "utility"
# entrypoint = "main"
# tags = ["logs", "ignition"]
# [tool.gatewright.params.log]
# type = "file"
# help = "a wrapper.log; documents/samples/clock_drift.log is one to try"
# [tool.gatewright.params.before]
# type = "int"
# default = 30
# help = "minutes before a restart in which a warning counts as its sign"
# [tool.gatewright.params.startup]
# type = "int"
# default = 5
# help = "minutes after a start in which warnings are usual"
# [tool.gatewright.params.top]
# type = "int"
# default = 10
# help = "how many episodes to list, the worst of them"
# [tool.gatewright.limits]
# timeout = 120
# ///
"""Clock drift warnings of an Ignition gateway's wrapper.log, held against the restarts in it.

Once a second the gateway compares its clock with the time that should have passed, and warns when it is late:

    INFO   | jvm 1    | 2026/11/20 12:03:58 | W [ClockDriftDetector] [12:03:58.123]: Clock drift, degraded performance,
    or pause-the-world detected.  Max allowed deviation=1000ms, actual deviation=2431ms

(one line in the file). Restarts are what the service wrapper says about itself, in lines whose second column is
``wrapper``. Times are the gateway's local time. Anything may stand in front of a line, as journald and containers do.

Warnings right after a start are usual. Those shortly before a restart are signs of what led to it. Where the wrapper
itself got no processor time, the cause is the host and not Java.
"""

import bisect
import datetime
import re
import sys

TIME = "%Y/%m/%d %H:%M:%S"
GAP = datetime.timedelta(minutes=10)
"""Warnings further apart belong to two episodes."""

SHOWN_STARTS = 30
"""The newest ones are listed."""

REGULAR = 3
"""Warnings in the same hour of that many days are no chance."""

STAMP = re.compile(r"\| (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \| ")
MARK = re.compile(
    r"(?P<drift>Clock drift.{0,200}?actual deviation ?= ?(?P<ms>-?\d{1,12}) ?ms)"
    r"|(?P<launch>Launching a JVM)"
    r"|(?P<starved>not received any CPU time for (?P<seconds>\d{1,6}) seconds)"
    r"|(?P<ping>Pinging the JVM took (?P<took>\d{1,6}) seconds)"
    r"|(?P<hung>JVM appears hung|Ping between Java and wrapper timed out)"
    r"|(?P<memory>java\.lang\.OutOfMemoryError|JVM has run out of memory)"
    r"|(?P<crash>JVM exited unexpectedly|JVM process is gone|JVM received a signal)"
    r"|(?P<asked>JVM requested a restart)"
    r"|(?P<stop>TERM trapped|INT trapped|Wrapper Stopped)",
    re.IGNORECASE,
)
WORDS = ("drift", "JVM", "CPU time", "OutOfMemory", "trapped", "Stopped", "Ping ")
"""One of them is in every line with a mark: looking for a word is much faster."""

REASONS = {
    "memory": "out of memory",
    "hung": "the JVM hung",
    "crash": "the JVM crashed",
    "asked": "asked for by the gateway",
    "stop": "stopped and started",
}
"""Why a JVM was started again, by mark, the most telling first."""


def main(log, before: int = 30, startup: int = 5, top: int = 10):
    """Read ``log`` and hold its clock drift warnings against its restarts."""
    print(f"Reading {log.name}")
    events, first, last = read(log)
    if not last:
        raise SystemExit("There is no line of a wrapper log in this file.")
    report = {"file": log.name, "from": first, "to": last}
    report.update(analysis(events, before, startup, top))
    print_report(report, before, startup)
    return report


def read(lines):
    """The marks in the log as (time stamp, name, number), by time, and the first and the last stamp of all."""
    events = []
    first = last = ""
    for line in lines:
        stamped = STAMP.search(line[:200])
        if not stamped:
            continue
        stamp = stamped[1]
        first = min(first or stamp, stamp)
        last = max(last, stamp)
        if any(word in line for word in WORDS) and (found := MARK.search(line[:1000])):
            name = next(each for each in found.groupdict() if found[each] is not None)
            events.append((stamp, name, int(found["ms"] or found["seconds"] or found["took"] or 0)))
    events.sort(key=lambda event: event[0])  # rotated and joined logs need not be in order
    return events, first, last


def analysis(events, before, startup, top):
    """The events as plain data."""
    before, startup = (datetime.timedelta(minutes=min(max(0, minutes), 1_000_000)) for minutes in (before, startup))
    warnings = [(at, ms) for stamp, name, ms in events if name == "drift" and (at := moment(stamp))]
    restarts = starts(events)
    times = [each["at"] for each in restarts]
    phases = {"after a start": 0, "before a restart": 0, "otherwise": 0}
    for at, ms in warnings:
        index = bisect.bisect_right(times, at)  # of the start that comes next
        if index and at - times[index - 1] <= startup:
            phases["after a start"] += 1
        elif index < len(times) and times[index] - at <= before:
            phases["before a restart"] += 1
        else:
            phases["otherwise"] += 1
        if index < len(times) and times[index] - at <= before:
            restarts[index]["warnings_before"] += 1
            restarts[index]["worst_ms_before"] = max(restarts[index]["worst_ms_before"] or ms, ms)
    episodes = sorted(episodes_of(warnings, times), key=lambda each: -each["worst_ms"])
    by_hour = [[] for _ in range(24)]
    for at, _ in warnings:
        by_hour[at.hour].append(at.date())
    return {
        "warnings": len(warnings),
        "worst_ms": max((ms for _, ms in warnings), default=None),
        "total_seconds": round(sum(ms for _, ms in warnings if ms > 0) / 1000, 1),
        "set_back": sum(ms < 0 for _, ms in warnings),
        "phases": phases,
        "starts": len(restarts),
        "starts_with_signs": sum(each["warnings_before"] > 0 for each in restarts),
        "restarts": [{**each, "at": each["at"].strftime(TIME)} for each in restarts[-SHOWN_STARTS:]],
        "starved": times_and_worst(events, "starved"),
        "slow_pings": times_and_worst(events, "ping"),
        "hours": {f"{hour:02}": len(found) for hour, found in enumerate(by_hour) if found},
        "regular_hours": [f"{hour:02}" for hour, found in enumerate(by_hour) if len(set(found)) >= REGULAR],
        "episodes": episodes[: max(0, top)],
        "more_episodes": max(0, len(episodes) - max(0, top)),
    }


def times_and_worst(events, name):
    """How often a mark is there, and the largest number of seconds in it."""
    found = [number for _, each, number in events if each == name]
    return {"times": len(found), "worst_seconds": max(found, default=None)}


def moment(stamp):
    """The time of a stamp, None for one that only looks like a time."""
    try:
        found = datetime.datetime.strptime(stamp, TIME)
    except ValueError:
        return None
    return found if found.year >= 1970 else None


def starts(events):
    """Each start of the JVM with the reason that was written since the one before."""
    found = []
    seen = set()
    for stamp, name, _ in events:
        if name == "launch" and (at := moment(stamp)):
            reason = next((REASONS[each] for each in REASONS if each in seen), None)
            up = round((at - found[-1]["at"]).total_seconds() / 3600, 2) if found else None
            found.append({"at": at, "hours_up_before": up, "warnings_before": 0, "worst_ms_before": None})
            found[-1]["reason"] = reason or ("unknown" if up is not None else "not in this log")
            seen.clear()
        seen.add(name)
    return found


def episodes_of(warnings, starts):
    """Warnings that are close together, as one. A start of the JVM ends an episode."""
    episodes = []
    last = None
    for at, ms in warnings:
        if last is None or at - last > GAP or bisect.bisect_right(starts, last) < bisect.bisect_right(starts, at):
            episodes.append({"from": at.strftime(TIME), "to": "", "warnings": 0, "worst_ms": ms, "total_ms": 0})
        last, episode = at, episodes[-1]
        episode.update(
            to=at.strftime(TIME),
            warnings=episode["warnings"] + 1,
            worst_ms=max(episode["worst_ms"], ms),
            total_ms=episode["total_ms"] + ms,
        )
    return episodes


def print_report(report, before, startup):
    print(f"{report['from']} to {report['to']}")
    print(f"clock drift warnings: {report['warnings']:,}   starts of the JVM: {report['starts']:,}")
    if report["warnings"]:
        print_warnings(report, before, startup)
    if report["restarts"]:
        print(f"\n{'start':19}  {'up before':>9}  {'warnings':>8}  {'worst':>8}  reason")
        for each in report["restarts"]:
            up = "-" if each["hours_up_before"] is None else f"{each['hours_up_before']:,.1f} h"
            worst = seconds(each["worst_ms_before"])
            print(f"{each['at']:19}  {up:>9}  {each['warnings_before']:8,}  {worst:>8}  {each['reason']}")
        print(f"(warnings: in the {before} minutes before it)")
    if report["starts"] > SHOWN_STARTS:
        print(f"and {report['starts'] - SHOWN_STARTS:,} earlier starts")
    print()
    for sentence in findings(report):
        print(sentence)


def print_warnings(report, before, startup):
    total = f"{report['total_seconds']:,.1f} s"
    print(f"worst {seconds(report['worst_ms'])}, together {total}")
    found = report["phases"]
    print(
        f"{found['after a start']:,} within {startup} minutes after a start, {found['before a restart']:,} within "
        f"{before} before a restart, {found['otherwise']:,} otherwise"
    )
    print(f"\n{'episode from':19}  {'to':19}  {'warnings':>8}  {'worst':>8}  {'together':>9}")
    for each in report["episodes"]:
        figures = f"{each['warnings']:8,}  {seconds(each['worst_ms']):>8}  {seconds(each['total_ms']):>9}"
        print(f"{each['from']:19}  {each['to']:19}  {figures}")
    if report["more_episodes"]:
        print(f"and {report['more_episodes']:,} more")
    print("\nby hour of the day")
    most = max(report["hours"].values())
    for hour, count in report["hours"].items():
        print(f"{hour}:00  {count:6,}  {'#' * max(1, round(40 * count / most))}")


def findings(report):
    """What to look at first, as sentences."""
    if starved := report["starved"]["times"]:
        often = "once" if starved == 1 else f"{starved:,} times"
        yield f"The wrapper itself got no processor time {often}, {report['starved']['worst_seconds']} s at worst:"
        yield "look at the host (hypervisor, snapshots, other programs) before Java."
    if report["set_back"]:
        yield f"The clock was set back (negative deviations: {report['set_back']}): look at time synchronisation."
    if report["starts_with_signs"]:
        yield f"Starts with clock drift shortly before: {report['starts_with_signs']} of {report['starts']}."
    if any(each["reason"] == REASONS["memory"] for each in report["restarts"]):
        yield "A start followed an OutOfMemoryError: look at the heap before the host."
    for hour in report["regular_hours"]:
        yield f"Day after day from {hour}:00 to {hour}:59: look at what is scheduled then."
    if not report["warnings"]:
        yield "No clock drift in this log."
    elif report["phases"]["after a start"] == report["warnings"]:
        yield "All warnings came right after a start, where they are usual."


def seconds(ms):
    return "-" if ms is None else f"{ms / 1000:,.1f} s"


if __name__ == "__main__":  # python3 clock_drift.py wrapper.log
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        main(file)
