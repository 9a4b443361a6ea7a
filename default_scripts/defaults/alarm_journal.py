# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Alarm journal statistics"
# description = "An alarm journal against ISA-18.2 and EEMUA 191: rates, floods, chattering and standing alarms"
# kind = "utility"
# entrypoint = "main"
# tags = ["alarms"]
# [tool.gatewright.params.journal]
# type = "file"
# help = "a CSV file of alarm events; documents/samples/alarm_journal.csv is one to try"
# [tool.gatewright.params.flood]
# type = "int"
# default = 10
# help = "more alarms than that in 10 minutes begin a flood"
# [tool.gatewright.params.chatter]
# type = "int"
# default = 3
# help = "an alarm chatters if it comes that often within a minute"
# [tool.gatewright.params.standing]
# type = "float"
# default = 24.0
# help = "hours after which an alarm that is still active counts as standing"
# [tool.gatewright.params.dates]
# type = "choice"
# choices = ["auto", "day first", "month first"]
# default = "auto"
# help = "how to read dates such as 4/5/2026"
# [tool.gatewright.params.top]
# type = "int"
# default = 10
# help = "how many rows of each table to list"
# [tool.gatewright.limits]
# timeout = 300
# memory = "1 GiB"
# ///
"""Statistics of an alarm journal by the terms of ISA-18.2 and EEMUA 191.

The journal is a CSV file with a header line, one event a row, in any order: the table ``alarm_events``, what
``system.alarm.queryJournal`` gives or the journal table of a client exports. Columns are found by name, whatever their
case, blanks and underscores:

    eventtime (time, timestamp, t_stamp)      2026-11-20 06:00:00, 11/20/2026 6:00:00 AM, milliseconds since 1970, ...
    source and/or displaypath (name)          which alarm it is
    eventtype (eventstate, state, event)      0, 1, 2 or Active, Clear, Ack
    priority (may be missing)                 0 to 4 or Diagnostic, Low, Medium, High, Critical

Times with a zone are turned into UTC, others are taken as they stand.

A *flood* begins with a window of ten minutes (on the clock) that has more than ``flood`` new alarms, and ends before
the first window with fewer than half of that. An alarm *chatters* that comes ``chatter`` times within a minute. It is
*standing* (stale) when it has been active for ``standing`` hours or more.
"""

import collections
import csv
import datetime
import itertools
import re
import statistics
import sys

WINDOW = 600
MINUTE = 60
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

NAMES = {
    "time": ("eventtime", "time", "timestamp", "tstamp", "eventtimestamp", "datetime", "date"),
    "source": ("source", "alarmsource", "path", "tag", "sourcepath"),
    "label": ("displaypath", "name", "label", "alarm", "alarmname", "displaypathorsource"),
    "state": ("eventtype", "eventstate", "state", "event", "type", "transition", "currentstate"),
    "priority": ("priority", "alarmpriority", "severity"),
}
"""Names of a column, the best first, in small letters and without anything else."""

STATES = {
    "0": "active", "active": "active", "activeunacknowledged": "active", "activeunacked": "active", "alarm": "active",
    "1": "clear", "clear": "clear", "cleared": "clear", "clearunacknowledged": "clear", "clearunacked": "clear",
    "rtn": "clear", "returntonormal": "clear", "normal": "clear",
    "2": "ack", "ack": "ack", "acked": "ack", "acknowledged": "ack", "acknowledge": "ack", "activeacknowledged": "ack",
    "activeacked": "ack", "clearacknowledged": "ack", "clearacked": "ack",
}  # fmt: skip
PRIORITIES = ["diagnostic", "low", "medium", "high", "critical"]

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
CLOCK = r"[ T,]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*([AaPp][Mm])?\s*(Z|UTC|[+-]\d\d:?\d\d)?$"
YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})" + CLOCK)
YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})" + CLOCK)
JAVA_DATE = re.compile(r"\w{3} (\w{3}) (\d{1,2}) (\d\d):(\d\d):(\d\d) \S{1,9} (\d{4})$")

RATINGS = [(1, "very likely acceptable"), (2, "manageable"), (10, "over-demanding")]
"""EEMUA 191, on average over ten minutes; more than the last is unacceptable."""


class Alarm:
    """What is known about one alarm."""

    __slots__ = ("acked", "activations", "label", "longest", "since", "unacked", "waits")

    def __init__(self, label):
        self.label = label
        self.activations, self.waits = [], []
        self.since = self.acked = self.longest = None
        self.unacked = 0


def main(journal, flood: int = 10, chatter: int = 3, standing: float = 24.0, dates: str = "auto", top: int = 10):
    """Read ``journal`` and describe its alarms."""
    print(f"Reading {journal.name}")
    events, skipped = read(lines_of(journal), dates)
    if not events:
        raise SystemExit("There is no alarm event in this file.")
    report = {"file": journal.name, "events": len(events), "skipped": skipped}
    report.update(analysis(events, max(1, flood), max(2, chatter), max(0.0, standing), max(0, top)))
    print_report(report, max(1, flood))
    return report


def lines_of(file):
    """The lines of the file. What Windows saved as UTF-16 has zeros in its first line."""
    lines = iter(file)
    first = next(lines, "")
    if "\0" in first[:100]:
        return file.read().decode("utf-16", "replace").lstrip("\ufeff").splitlines(keepends=True)
    return itertools.chain([first.lstrip("\ufeff")], lines)


# -- reading -----------------------------------------------------------------------------------------------------------


def read(lines, dates):
    """The events as (seconds, alarm, label, state, priority) by time, and how many rows were left out."""
    lines = iter(lines)
    header = next(lines, "")
    separator = max(",;\t|", key=header.count)
    columns = columns_of(next(csv.reader([header], delimiter=separator), []) if len(header) < 100_000 else [])
    missing = [name for name in ("time", "state") if name not in columns]
    if "source" not in columns and "label" not in columns:
        missing.append("source")
    if missing:
        raise SystemExit(
            f"The first line names no column for: {', '.join(missing)}. See what this script reads at its top."
        )
    rows, skipped = [], 0
    reader = csv.reader(lines, delimiter=separator)
    try:
        for row in reader:
            if event := event_of(row, columns):
                rows.append(event)
            else:
                skipped += bool(row)
    except csv.Error as error:
        raise SystemExit(f"Line {reader.line_num + 1} and what follows is no CSV text: {error}.") from None
    day_first = dates == "day first" or (dates == "auto" and any(is_day_first(row[0]) for row in rows))
    events = [(at, *row[1:]) for row in rows if (at := seconds_of(row[0], day_first=day_first)) is not None]
    if events and events[0][0] > events[-1][0]:
        events.reverse()  # the newest event first: what is of one second is so, too
    events.sort(key=lambda event: event[0])
    return events, skipped + len(rows) - len(events)


def columns_of(header):
    """The position of each column that counts."""
    known = {re.sub(r"[^a-z0-9]", "", name.lower()): index for index, name in reversed(list(enumerate(header)))}
    return {
        name: next(known[each] for each in names if each in known)
        for name, names in NAMES.items()
        if any(each in known for each in names)
    }


def event_of(row, columns):
    """Time as text, alarm, label, state and priority of a row; None if that is no event."""
    cells = {name: row[index].strip() if index < len(row) else "" for name, index in columns.items()}
    state = STATES.get(re.sub(r"[^a-z0-9]", "", cells["state"][:40].lower()))
    source, label = cells.get("source", ""), cells.get("label", "")
    if not state or not (source or label):
        return None
    priority = cells.get("priority", "").lower()
    if priority.isdigit() and len(priority) == 1 and int(priority) < len(PRIORITIES):
        priority = PRIORITIES[int(priority)]
    return cells["time"], source or label, label or short_source(source), state, priority[:20] or "none"


def short_source(source):
    """``prov:default:/tag:Line2/Level:/alm:High`` is ``Line2/Level/High``."""
    parts = [part.partition(":")[2] for part in source.split(":/") if not part.startswith("prov:")]
    return "/".join(part for part in parts if part) or source


def is_day_first(text):
    found = YEAR_LAST.match(text[:60])
    return bool(found) and int(found[1]) > 12


def seconds_of(text, *, day_first):
    """Seconds since 1970, None if the text is no time."""
    text = text[:60]
    if re.fullmatch(r"\d{9,14}", text):
        return int(text) / (1000 if len(text) > 11 else 1)
    try:
        if found := YEAR_FIRST.match(text):
            return moment(found[1], found[2], found[3], found.groups()[3:])
        if found := YEAR_LAST.match(text):
            day, month = (found[1], found[2]) if day_first else (found[2], found[1])
            return moment(found[3], month, day, found.groups()[3:])
        if found := JAVA_DATE.match(text):
            month = MONTHS.index(found[1].lower()) + 1
            return moment(found[6], month, found[2], (found[3], found[4], found[5], None, None, None))
    except (ValueError, OverflowError):
        pass
    return None


def moment(year, month, day, clock):
    hour, minute, second, fraction, half, zone = clock
    hour = int(hour)
    if half:
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    parts = (int(year), int(month), int(day), hour, int(minute), int(second or 0), micros)
    at = (datetime.datetime(*parts, tzinfo=datetime.timezone.utc) - EPOCH).total_seconds()
    if zone and zone not in ("Z", "UTC"):
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        at += offset if zone[0] == "-" else -offset
    return at


# -- analysis ----------------------------------------------------------------------------------------------------------


def analysis(events, flood, chatter, standing, top):
    """The journal as plain data."""
    begin, end = events[0][0], events[-1][0]
    alarms, priorities = by_alarm(events)
    for alarm in alarms.values():  # what is still active at the end
        if alarm.since is not None:
            alarm.longest = max(alarm.longest or 0, end - alarm.since)
    times = sorted(at for alarm in alarms.values() for at in alarm.activations)
    windows = collections.Counter(int(at // WINDOW) for at in times)
    total = int(end // WINDOW) - int(begin // WINDOW) + 1
    rate = len(times) / total
    most = sorted(alarms.values(), key=lambda alarm: (-len(alarm.activations), alarm.label))
    chattering = [(peak, alarm) for alarm in most if (peak := peak_of(alarm.activations)) >= chatter]
    stale = sorted(
        (alarm for alarm in alarms.values() if alarm.longest is not None and alarm.longest >= standing * 3600),
        key=lambda alarm: (-alarm.longest, alarm.label),
    )
    waits = [wait for alarm in alarms.values() for wait in alarm.waits]
    over = sum(count > flood for count in windows.values())
    return {
        "from": clock(begin),
        "to": clock(end),
        "alarms": len(alarms),
        "activations": len(times),
        "per_10_minutes": round(rate, 2),
        "per_day": round(rate * 144, 1),
        "rating": next((words for limit, words in RATINGS if rate <= limit), "unacceptable"),
        "windows": total,
        "windows_over": over,
        "windows_over_percent": round(100 * over / total, 2),
        "busiest": [{"from": clock(at * WINDOW), "alarms": n} for at, n in windows.most_common(1)],
        "floods": floods(windows, flood)[:top],
        "flood_count": len(floods(windows, flood)),
        "priorities": {name: priorities[name] for name in sorted(priorities, key=rank)},
        "most_frequent": [
            {"alarm": each.label, "activations": len(each.activations), "percent": share(len(each.activations), times)}
            for each in most[:top]
            if each.activations
        ],
        "top_10_percent": share(sum(len(each.activations) for each in most[:10]), times),
        "chattering": [
            {"alarm": alarm.label, "in_a_minute": peak, "activations": len(alarm.activations)}
            for peak, alarm in sorted(chattering, key=lambda each: (-each[0], each[1].label))[:top]
        ],
        "chattering_count": len(chattering),
        "standing": [
            {"alarm": each.label, "hours": round(each.longest / 3600, 1), "active": each.since is not None}
            for each in stale[:top]
        ],
        "standing_count": len(stale),
        "active_at_the_end": sum(alarm.since is not None for alarm in alarms.values()),
        "not_acknowledged": sum(alarm.unacked for alarm in alarms.values()),
        "median_seconds_to_acknowledge": round(statistics.median(waits), 1) if waits else None,
    }


def by_alarm(events):
    """Each alarm with what happened to it, and the activations by priority."""
    alarms = {}
    priorities = collections.Counter()
    for at, name, label, state, priority in events:
        alarm = alarms.get(name)
        if alarm is None:
            alarm = alarms[name] = Alarm(label[:200])
        if state == "active":
            priorities[priority] += 1
            alarm.activations.append(at)
            alarm.since = at if alarm.since is None else alarm.since
            alarm.unacked += alarm.acked is not None
            alarm.acked = at
        elif state == "clear" and alarm.since is not None:
            alarm.longest = max(alarm.longest or 0, at - alarm.since)
            alarm.since = None
        elif state == "ack" and alarm.acked is not None:
            alarm.waits.append(at - alarm.acked)
            alarm.acked = None
    for alarm in alarms.values():
        alarm.unacked += alarm.acked is not None
    return alarms, priorities


def peak_of(times):
    """The most activations within a minute. The times are in order."""
    peak = first = 0
    for index, at in enumerate(times):
        while at - times[first] >= MINUTE:
            first += 1
        peak = max(peak, index - first + 1)
    return peak


def floods(windows, limit):
    """The floods: from a window over the limit to the last one with half of it or more."""
    found = []
    last = None
    for at in sorted(windows):
        count = windows[at]
        goes_on = last == at - 1 and 2 * count >= limit
        if goes_on or count > limit:
            if not goes_on:
                found.append({"from": clock(at * WINDOW), "minutes": 0, "alarms": 0, "peak": 0})
            flood = found[-1]
            flood.update(minutes=flood["minutes"] + 10, alarms=flood["alarms"] + count, peak=max(flood["peak"], count))
            last = at
    return found


def rank(priority):
    return (-PRIORITIES.index(priority), "") if priority in PRIORITIES else (1, priority)


def share(count, of):
    return round(100 * count / len(of), 1) if of else 0.0


def clock(seconds):
    """A time as text; without a date where the number is no time of this era."""
    try:
        return (EPOCH + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return str(seconds)


# -- output ------------------------------------------------------------------------------------------------------------


def print_report(report, flood):
    print(f"{report['from']} to {report['to']}")
    print(f"{report['activations']:,} times an alarm came, {report['alarms']:,} different alarms")
    if report["skipped"]:
        print(f"{report['skipped']:,} rows are no alarm event and were left out")
    print(f"\n{'':38}{'found':>10}  aim (ISA-18.2, EEMUA 191)")
    for name, found, aim in (
        ("alarms in 10 minutes, on average", f"{report['per_10_minutes']:,.2f}", "1 or less, at most 2"),
        ("alarms in a day, on average", f"{report['per_day']:,.1f}", "about 150, at most 300"),
        (f"10-minute windows with more than {flood}", f"{report['windows_over_percent']:.2f} %", "under 1 %"),
        ("most in one window", f"{max((each['alarms'] for each in report['busiest']), default=0):,}", "10 or less"),
        ("ten most frequent, of all", f"{report['top_10_percent']:.1f} %", "under 5 %"),
        ("chattering alarms", f"{report['chattering_count']:,}", "none"),
        ("standing alarms", f"{report['standing_count']:,}", "under 5 on any day"),
    ):
        print(f"{name:38}{found:>10}  {aim}")
    print_floods(report)
    print_alarms(report)
    print(f"The average rate is {report['rating']}.")


def print_floods(report):
    if not report["floods"]:
        print("\nNo flood.")
        return
    print(f"\n{'flood from':19}  minutes   alarms  most in 10 minutes")
    for each in report["floods"]:
        print(f"{each['from']:19}  {each['minutes']:7,}  {each['alarms']:7,}  {each['peak']:18,}")
    if report["flood_count"] > len(report["floods"]):
        print(f"and {report['flood_count'] - len(report['floods']):,} more")


def print_alarms(report):
    total = sum(report["priorities"].values())
    print("\npriority " + "   ".join(f"{name} {100 * n / total:.0f} %" for name, n in report["priorities"].items()))
    print("\n  times   share  most frequent")
    for each in report["most_frequent"]:
        print(f"{each['activations']:7,}  {each['percent']:4.1f} %  {cell(each['alarm'])}")
    if report["chattering"]:
        print("\n  times  in 1 min  chattering")
    for each in report["chattering"]:
        print(f"{each['activations']:7,}  {each['in_a_minute']:8,}  {cell(each['alarm'])}")
    if report["standing"]:
        print("\n  hours  still active  standing")
    for each in report["standing"]:
        print(f"{each['hours']:7,.1f}  {'yes' if each['active'] else 'no':12}  {cell(each['alarm'])}")
    wait = report["median_seconds_to_acknowledge"]
    print(f"\nnot acknowledged: {report['not_acknowledged']:,}", end="")
    print("" if wait is None else f"   half of the others within {wait:,.0f} s")


def cell(text, width=54):
    """The end of a long name says more than its beginning."""
    text = " ".join(text.split())
    return text if len(text) <= width else "..." + text[3 - width :]


class Local:
    """A file named on the command line, as a run gets it."""

    def __init__(self, path):
        self.name = path

    def __iter__(self):
        with open(self.name, encoding="utf-8", errors="replace", newline="") as file:
            yield from file

    def read(self):
        with open(self.name, "rb") as file:
            return file.read()


if __name__ == "__main__":  # python3 alarm_journal.py journal.csv
    main(Local(sys.argv[1]))
