# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "Errors of the wrapper log: who, how often, when; also as CSV for the shift meeting."
# [tool.gatewright.permissions]
# read = ["@INPUT@"]
# ///
"""Digest of wrapper.log and its rotated, compressed predecessors."""

import csv
import gzip
import re
import sys
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

LOG_DIR = Path("@INPUT@")
OUT = Path("digest.csv")

LINE = re.compile(
    r"^(?P<level>[IWED])\s+\[(?P<logger>[^\]]{1,60})\s*\]\s+"
    r"\[(?P<at>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)\]:\s*(?P<text>.*)$"
)
NUMBERS = re.compile(r"\d+(\.\d+)?")


def open_log(path):
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def entries(folder):
    """One entry per line that begins one; what follows (stack traces) is counted to it."""
    for path in sorted(folder.glob("wrapper.log*")):
        entry = None
        with open_log(path) as log:
            for line in log:
                match = LINE.match(line.rstrip("\n"))
                if match is None:
                    if entry is not None:
                        entry["more"] += 1
                    continue
                if entry is not None:
                    yield entry
                entry = match.groupdict()
                entry["at"] = datetime.strptime(entry["at"], "%Y/%m/%d %H:%M:%S")
                entry["more"] = 0
        if entry is not None:
            yield entry


def kind(text):
    """The same message with other figures is the same kind."""
    return NUMBERS.sub("#", text)[:60]


def main():
    by_logger = Counter()
    by_hour = Counter()
    kinds = defaultdict(list)
    total = traces = 0
    for entry in entries(LOG_DIR):
        total += 1
        traces += entry["more"] > 0
        if entry["level"] not in "WE":
            continue
        by_logger[entry["logger"].strip()] += 1
        by_hour[entry["at"].strftime("%H:00")] += 1
        kinds[entry["level"], kind(entry["text"])].append(entry["at"])

    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["level", "count", "first", "last", "message"])
        for (level, text), times in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
            writer.writerow([level, len(times), min(times).isoformat(), max(times).isoformat(), text])

    print(f"{total} entries, {traces} with a stack trace")
    for logger, count in by_logger.most_common():
        print(f"{count:5}  {logger}")
    for hour, count in sorted(by_hour.items()):
        print(f"{hour}  {'#' * count}")
    with OUT.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter=";"):
            print(row["level"], row["count"], row["message"], sep=" | ")
    if not total:
        print("no log found", file=sys.stderr)


if __name__ == "__main__":
    main()
