# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Wrapper log digest"
# description = "What an Ignition wrapper.log complains about: counts by level and logger, last seen, exceptions"
# kind = "utility"
# entrypoint = "main"
# tags = ["logs", "ignition"]
# [tool.gatewright.params.log]
# type = "file"
# help = "a wrapper.log; documents/samples/wrapper.log is one to try"
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
# timeout = 120
# ///
"""Digest of an Ignition gateway's wrapper.log.

A line of that file is, with blanks as padding:

    INFO   | jvm 1    | 2026/11/20 12:03:58 | W [G.TagManager] [12:03:58.123]: message

The lines of a stack trace have the first three columns only, or none, and belong to the entry above them.
"""

import datetime
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
TIME = "%Y/%m/%d %H:%M:%S"

LINE = re.compile(r"(\w+) *\| ([^|]*?) *\| (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \| (.*)", re.DOTALL)
ENTRY = re.compile(r"([TDIWEF]) \[([^\]]*?) *\] \[[\d:.]+\]: ?(.*)", re.DOTALL)
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
    print(f"Reading {log.name}, {log.size / 1e6:.1f} MB")
    newest = newest_time(log)
    if newest is None:
        print("There is no line of a wrapper log in this file.")
        return {"file": log.name, "entries": 0, "from": None, "to": None, "levels": {}, "loggers": []}
    groups = digest(log, start_of(newest, hours))
    report = summary(groups, level, top)
    report.update(file=log.name, to=newest)
    print_report(report, level)
    return report


def newest_time(lines):
    """The latest time stamp. Rotated and joined logs need not be in order."""
    newest = ""
    for line in lines:
        stamp = line[20:39]  # where it is in nearly every line
        if stamp > newest and LINE.match(line):
            newest = LINE.match(line)[3]
    return newest or None


def start_of(newest, hours):
    """The earliest time stamp that counts. Stamps compare as text."""
    if hours <= 0:
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
        group.message = message
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
    print(f"{report['entries']:,} entries from {report['from']} to {report['to']}")
    print("   ".join(f"{name} {count:,}" for name, count in report["levels"].items()))
    if not report["loggers"]:
        print(f"Nothing at level {level} or above.")
        return
    width = min(40, max(len(row["logger"]) for row in report["loggers"]))
    print()
    print(f"{'level':5}  {'count':>7}  {'logger':{width}}  {'last seen':19}  message")
    for row in report["loggers"]:
        message = row["message"].splitlines()[0] if row["message"] else ""
        print(f"{row['level']:5}  {row['count']:7,}  {row['logger'][:width]:{width}}  {row['last']}  {message[:80]}")
        for name, count in sorted(row["exceptions"].items(), key=lambda item: -item[1]):
            print(f"{'':16}{name} x {count:,}")
    if report["more"]:
        print(f"and {report['more']} more loggers")
