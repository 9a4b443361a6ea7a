# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Wrapper log digest"
# description = "What an Ignition wrapper.log complains about: counts by level and logger, last seen, exceptions"
# kind = "utility"
# entrypoint = "main"
# tags = ["logs", "ignition"]
# [tool.gatewright.params.log]
# type = "file"
# help = "a wrapper.log, .gz or system_logs.idb; documents/samples/wrapper.log is one to try"
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# help = "look back this far from the last line; 0: all of it"
# [tool.gatewright.params.level]
# type = "choice"
# choices = ["trace", "debug", "info", "warn", "error"]
# default = "warn"
# help = "the lowest level to list"
# [tool.gatewright.params.top]
# type = "int"
# default = 20
# help = "how many loggers to list"
# [tool.gatewright.limits]
# timeout = 300
# ///
"""Digest of an Ignition gateway's wrapper.log.

A line of that file is, with blanks as padding:

    INFO   | jvm 1    | 2026/11/20 12:03:58 | W [G.TagManager] [12:03:58.123]: message

The lines of a stack trace have the first three columns only, or none, and belong to the entry above them. What journald
and containers put in front of a line is left out.

Read are also logs that gzip has packed, ``system_logs.idb`` (what the gateway's page of logs exports; its times are
shown in UTC), and Java logs whose lines begin with date, time and level:

    2026-11-20 12:03:58,123 [main] WARN  tags.history - message
"""

import datetime
import itertools
import re

LEVELS = ["trace", "debug", "info", "warn", "error"]
LETTERS = {"T": "trace", "D": "debug", "I": "info", "W": "warn", "E": "error", "F": "error"}
WRAPPER_LEVELS = {
    "DEBUG": "debug",
    "INFO": "info",
    "STATUS": "info",
    "ADVICE": "info",
    "NOTICE": "info",
    "WARN": "warn",
}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
TIME = "%Y/%m/%d %H:%M:%S"

LINE = re.compile(r"(\w+) *\| ([^|]*?) *\| (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \| (.*)", re.DOTALL)
ENTRY = re.compile(r"([TDIWEF]) \[([^\]]*?) *\] \[[\d:.]+\]: ?(.*)", re.DOTALL)
COLUMNS = re.compile(r"(?:STATUS|DEBUG|INFO|WARN|ERROR|FATAL|ADVICE|NOTICE) *\| (?:jvm \d+|wrapperp?) *\| \d{4}/\d\d/")
JAVA = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[ T](\d\d:\d\d:\d\d)\S{0,12} +(?:\[[^\]]{0,200}\] +)?"
    r"\[?(TRACE|DEBUG|INFO|WARN|ERROR|FATAL|SEVERE)(?:ING)?\]? +(?:\[[^\]]{0,200}\] +)?([\w.$/-]{1,200}) *[-:] (.*)",
    re.DOTALL,
)
EXCEPTION = re.compile(r"(?:Caused by: )?((?:[\w$]+\.)+[\w$]*(?:Exception|Error|Throwable))\b")


class Group:
    """What one logger wrote at one level."""

    __slots__ = ("count", "exceptions", "first", "last", "message")

    def __init__(self, first):
        self.count = 0
        self.first = first
        self.last = first
        self.message = ""
        self.exceptions = {}


def main(log, hours: int = 24, level: str = "warn", top: int = 20):
    """Read ``log`` and tell what happened in the last ``hours``."""
    print(f"Reading {log.name}, {log.size:,} bytes")
    notes = {}
    lines = reader_of(log, notes)
    newest = newest_time(lines())
    if newest is None:
        raise SystemExit(" ".join(notes) or "There is no line of a wrapper log in this file.")
    for note in notes:
        print(note)
    groups = digest(lines(), start_of(newest, hours))
    report = summary(groups, level, top)
    report.update(file=log.name, to=newest)
    print_report(report, level)
    return report


# -- formats -----------------------------------------------------------------------------------------------------------


def reader_of(log, notes):
    """A function that begins to read the lines, each in the form of a wrapper.log, as often as it is called."""
    begin = bytes(log.buffer[:4096])
    if begin.startswith(b"SQLite format 3\0"):
        return lambda: exported(log, notes)
    if begin[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = str(log.buffer, "utf-16", "replace")
        read = lambda: text.splitlines(keepends=True)  # noqa: E731
    elif begin[:2] == b"\x1f\x8b":
        read = lambda: unpacked(log, notes)  # noqa: E731
    elif begin.count(0) > len(begin) // 10:
        return lambda: ()  # no text, and perhaps all of it one line
    else:
        read = lambda: log  # noqa: E731
    sample = list(itertools.islice(read(), 200))
    if any(LINE.match(line) for line in sample):
        return read
    if any(COLUMNS.search(line) for line in sample):
        return lambda: (line[found.start() :] if (found := COLUMNS.search(line)) else line for line in read())
    if any(JAVA.match(line) for line in sample):
        return lambda: (as_wrapper(found) if (found := JAVA.match(line)) else line for line in read())
    return read


def unpacked(log, notes):
    """The lines of what gzip has packed, up to where it is broken. Longer ones than a megabyte are cut."""
    import gzip
    import io
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(log.buffer)) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n")
            yield from iter(lambda: text.readline(1_000_000), "")
    except (OSError, EOFError, zlib.error) as error:
        notes[f"The packed log was read up to where it is broken: {error}"] = True


def as_wrapper(found):
    """A line of a Java log as it would stand in a wrapper.log."""
    year, month, day, time, level, logger, message = found.groups()
    return entry_line(f"{year}/{month}/{day} {time}", level, logger, message)


def entry_line(stamp, level, logger, message):
    letter = {"SEVERE": "E"}.get(level, level[:1])
    return f"INFO   | jvm 1    | {stamp} | {letter} [{logger}] [{stamp[11:]}]: {message}"


def exported(log, notes):
    """The lines of a log that the gateway has in a SQLite database, as its page exports it."""
    import sqlite3
    from contextlib import closing

    data = log.buffer
    if data[18:20] != b"\1\1":  # in memory there is no journal that the header could speak of
        data = bytearray(data)
        data[18:20] = b"\1\1"
    with closing(sqlite3.connect(":memory:")) as database:
        database.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            database.deserialize(data)
            yield from lines_in(database)
        except AttributeError:
            notes["An exported log is read by Python 3.11 or a newer one."] = True
        except sqlite3.Error as error:
            notes[f"The database is broken, or has no log in it: {error}"] = True


def lines_in(database):
    """The entries of logback's tables with their stack traces."""
    entries = "SELECT event_id, timestmp, level_string, logger_name, formatted_message FROM logging_event ORDER BY 2, 1"
    trace = "SELECT trace_line FROM logging_event_exception WHERE event_id = ? ORDER BY i"
    for number, at, level, logger, message in database.execute(entries):
        milliseconds = at if isinstance(at, (int, float)) and 0 <= at < 1e14 else 0
        moment = EPOCH + datetime.timedelta(milliseconds=milliseconds)
        yield entry_line(moment.strftime(TIME), str(level).upper(), str(logger).replace("]", ")"), f"{message}\n")
        yield from (f"{line}\n" for (line,) in database.execute(trace, (number,)))


# -- digest ------------------------------------------------------------------------------------------------------------


def newest_time(lines):
    """The latest time stamp. Rotated and joined logs need not be in order."""
    newest = ""
    for line in lines:
        stamp = line[20:39]  # where it is in nearly every line
        if stamp > newest and (found := LINE.match(line)) and is_time(found[3]):
            newest = found[3]
    return newest or None


def is_time(stamp):
    try:
        return datetime.datetime.strptime(stamp, TIME).year >= 1970
    except ValueError:
        return False


def start_of(newest, hours):
    """The earliest time stamp that counts. Stamps compare as text."""
    if not 0 < hours < 24 * 365 * 50:
        return ""
    return (datetime.datetime.strptime(newest, TIME) - datetime.timedelta(hours=hours)).strftime(TIME)


def digest(lines, start):
    """Group the entries from ``start`` on by level and logger."""
    groups = {}
    current = None
    for line in lines:
        found = LINE.match(line)
        text = found[4] if found else line
        if found:
            entry = read_entry(found)
            if entry is not None:
                current = None
                if found[3] >= start:
                    current = add(groups, entry, found[3])
                continue
        if current is not None and (raised := EXCEPTION.match(text)):
            current.exceptions[raised[1]] = current.exceptions.get(raised[1], 0) + 1
    return groups


def read_entry(found):
    """Level, logger and message of a line that begins an entry; None for a line that goes on with one."""
    text = found[4]
    if entry := ENTRY.match(text):
        return LETTERS[entry[1]], entry[2], entry[3]
    if found[2] == "wrapper":
        return WRAPPER_LEVELS.get(found[1], "error"), "wrapper", text
    return None


def add(groups, entry, stamp):
    level, logger, message = entry
    group = groups.get((level, logger))
    if group is None:
        group = groups[level, logger] = Group(stamp)
    group.count += 1
    group.first = min(group.first, stamp)
    if stamp >= group.last:
        group.last = stamp
        group.message = message[:500]
    return group


def summary(groups, level, top):
    """The digest as plain data: worst level first, then the most frequent."""
    counts = dict.fromkeys(reversed(LEVELS), 0)
    for (name, _), group in groups.items():
        counts[name] += group.count
    listed = [(key, group) for key, group in groups.items() if LEVELS.index(key[0]) >= LEVELS.index(level)]
    listed.sort(key=lambda item: (-LEVELS.index(item[0][0]), -item[1].count, item[0][1]))
    return {
        "entries": sum(counts.values()),
        "from": min((group.first for group in groups.values()), default=None),
        "levels": {name: count for name, count in counts.items() if count},
        "loggers": [
            {
                "level": name,
                "logger": logger,
                "count": group.count,
                "first": group.first,
                "last": group.last,
                "message": group.message.strip()[:200],
                "exceptions": group.exceptions,
            }
            for (name, logger), group in listed[:top]
        ],
        "more": max(0, len(listed) - top),
    }


def print_report(report, level):
    if report["loggers"]:
        print_loggers(report)
    else:
        print(f"Nothing at level {level} or above.")
    print(f"\n{report['entries']:,} entries from {report['from']} to {report['to']}")
    print("   ".join(f"{name} {count:,}" for name, count in report["levels"].items()))


def print_loggers(report):
    print(f"\n{'level':5}  {'count':>7}  {'last seen':19}  logger")
    for row in report["loggers"]:
        print(f"{row['level']:5}  {row['count']:7,}  {row['last']}  {row['logger'][-43:]}")
        if row["message"]:
            print(f"{'':16}{row['message'].splitlines()[0][:64]}")
        for name, count in sorted(row["exceptions"].items(), key=lambda item: -item[1])[:10]:
            print(f"{'':16}{name[-54:]} x {count:,}")
    if report["more"]:
        print(f"and {report['more']} more loggers")


class Local:
    """A file named on the command line, as a run gets it."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.name, self.buffer = path, memoryview(file.read())
        self.size = len(self.buffer)

    def __iter__(self):
        with open(self.name, encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file


if __name__ == "__main__":  # python3 log_digest.py wrapper.log [hours]
    import sys

    main(Local(sys.argv[1]), *map(int, sys.argv[2:3]))
