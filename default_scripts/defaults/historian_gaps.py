# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Gaps in a historian's data"
# description = "Gaps, flat lines and the share of bad quality by tag, from a CSV or SQLite export"
# kind = "utility"
# entrypoint = "main"
# tags = ["historian", "data"]
# [tool.gatewright.params.data]
# type = "file"
# help = "CSV or SQLite; documents/samples/historian.csv and historian.db are two to try"
# [tool.gatewright.params.interval]
# type = "float"
# default = 0.0
# help = "seconds from one sample to the next; 0: what each tag mostly has"
# [tool.gatewright.params.factor]
# type = "float"
# default = 3.0
# help = "how many intervals without a sample make a gap"
# [tool.gatewright.params.flat]
# type = "float"
# default = 60.0
# help = "minutes of one and the same value that make a flat line; 0: do not look for them"
# [tool.gatewright.params.tag]
# type = "str"
# default = ""
# help = "only tags with this in their path"
# [tool.gatewright.params.top]
# type = "int"
# default = 20
# help = "how many tags, gaps and flat lines to list"
# [tool.gatewright.limits]
# timeout = 300
# scratch = "256 MiB"
# ///
"""Gaps, flat lines and bad quality in what a historian recorded.

CSV with a header line, long or wide. Long: columns for time (t_stamp, timestamp, time, date), tag (tag, tagpath, path,
name, tagid), value and, if there is one, quality. Wide: a column for time, each other one is a tag; an empty cell there
is no sample. Values go with comma, semicolon or tab between them. SQLite: the tables of an Ignition historian
(sqlt_data_..., with the paths of sqlth_te), or else every table with such columns.

Times are 2026-11-20 06:00:00 and the like, or seconds or milliseconds since 1970, which are shown in UTC. Local times
have a gap of an hour, or an hour twice, where summer time begins and ends. Quality is good if it begins with "Good", or
is 192 to 255; without any, an empty value is bad. Flat lines are looked for in numbers other than 0 and 1.

By hand: python3 historian_gaps.py DATA
"""

import csv
import datetime
import io
import math
import re
import sqlite3
import statistics
import tempfile
from array import array
from contextlib import closing

WIDTH = 80
TIMES = ("tstamp", "timestamp", "datetime", "time", "date", "ts")
TAGS = ("tagpath", "tag", "tagname", "path", "tagid", "name", "point")
VALUES = ("value", "floatvalue", "intvalue", "val", "stringvalue", "datevalue")
QUALITIES = ("quality", "dataintegrity", "qualitycode", "status")
FORMATS = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M")
EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - times are compared as they are written


class Series:
    """The samples of one tag: 17 bytes each, so that a month of many tags fits."""

    __slots__ = ("_texts", "good", "times", "values")

    def __init__(self):
        self.times, self.values, self.good = array("d"), array("d"), bytearray()
        self._texts = {}

    def add(self, time, value, good):
        number = math.nan if value == "" else to_number(value)
        if number is None:  # texts are told apart, and that is all
            number = -1e300 - 1e290 * self._texts.setdefault(value, len(self._texts))
        self.times.append(time)
        self.values.append(number)
        self.good.append(good)

    def put_in_order(self):
        """Put the earliest sample first, where an export does not have it so."""
        times = self.times
        if any(times[at] < times[at - 1] for at in range(1, len(times))):
            order = sorted(range(len(times)), key=times.__getitem__)
            self.times = array("d", (times[at] for at in order))
            self.values = array("d", (self.values[at] for at in order))
            self.good = bytearray(self.good[at] for at in order)

    @property
    def is_numeric(self):
        return not self._texts and any(value not in (0, 1) and not math.isnan(value) for value in self.values)


class Reader:
    """Takes rows of any source and collects them by tag. Most rows repeat a time, a tag and a quality."""

    def __init__(self, wanted):
        self.series = {}
        self.skipped = 0
        self._wanted = wanted.lower()
        self._left_out = set()
        self._quality = {}
        self._time = self._at = None

    def take(self, tag, time, value, quality):
        if tag in self._left_out:
            return
        if time != self._time:
            self._time, self._at = time, to_time(time)
        if self._at is None:
            self.skipped += 1
            return
        series = self.series.get(tag)
        if series is None:
            if self._wanted not in str(tag).lower():
                self._left_out.add(tag)
                return
            series = self.series[tag] = Series()
        empty = value is None or value == ""
        series.add(self._at, "" if empty else value, self._is_good(quality, empty))

    def _is_good(self, quality, empty):
        if quality is None or quality == "":
            return not empty
        known = self._quality.get(quality)
        if known is None:
            if len(self._quality) > 1000:
                self._quality.clear()
            known = self._quality[quality] = is_good(quality)
        return known


def main(data, interval: float = 0.0, factor: float = 3.0, flat: float = 60.0, tag: str = "", top: int = 20):
    """Read the samples and tell where some are missing, stand still or are bad."""
    content = data.read()
    reader = Reader(tag)
    is_database = content.startswith(b"SQLite format 3\0")
    (read_database if is_database else read_csv)(content, reader, shown(data.name))
    if not reader.series:
        raise SystemExit(f"{shown(data.name)} has no samples{' of such a tag' if tag else ''} in it.")
    gaps, flats, tags = [], [], []
    for name, series in reader.series.items():
        found, of_gaps, of_flats = judge(str(name), series, interval, max(1.0, factor), flat * 60)
        tags.append(found)
        gaps += of_gaps
        flats += of_flats
    tags.sort(key=lambda each: (-each["missing_share"], -each["bad_share"], -each["longest_flat"], each["tag"]))
    for found in (gaps, flats):
        found.sort(key=lambda each: (-each["seconds"], each["tag"], each["from"]))
    top = max(0, top)
    report = {
        "file": shown(data.name),
        "samples": sum(each["samples"] for each in tags),
        "skipped": reader.skipped,
        "tags": len(tags),
        "gaps": len(gaps),
        "flat_lines": len(flats),
        "bad": sum(each["bad"] for each in tags),
        "tag_list": tags[:top],
        "gap_list": gaps[:top],
        "flat_list": flats[:top],
    }
    print_report(report)
    return report


def read_csv(content, reader, name):
    text = io.TextIOWrapper(io.BytesIO(content.replace(b"\0", b"")), "utf-8-sig", "replace", newline="")
    header = text.readline()
    separator = max(",;\t", key=header.count)
    columns = next(csv.reader([header], delimiter=separator), [])
    places = find_columns(columns)
    if places is None:
        raise SystemExit(f"{name} has no column for the time in its header line, such as t_stamp or timestamp.")
    time, tag, values, quality = places
    others = [at for at in range(len(columns)) if at != time]
    try:
        for row in csv.reader(text, delimiter=separator):
            if not row:
                continue
            row += [""] * (len(columns) - len(row))
            if tag is not None:
                value = next((row[at] for at in values if row[at]), "")
                reader.take(
                    row[tag], row[time], decimal(value, separator), row[quality] if quality is not None else None
                )
                continue
            for at in others:
                if row[at]:
                    reader.take(columns[at], row[time], decimal(row[at], separator), None)
    except csv.Error as error:
        raise SystemExit(f"{name} cannot be read as CSV: {error}") from None


def decimal(text, separator):
    """Where semicolons are between values, commas are in them."""
    return text.replace(",", ".", 1) if separator == ";" and text.count(",") == 1 else text


def read_database(content, reader, name):
    """Read every table with samples. What is no sound database ends the script."""
    with tempfile.NamedTemporaryFile(suffix=".db") as copy:
        try:
            copy.write(content)
            copy.flush()
        except OSError:
            raise SystemExit(f"{name} does not fit in the scratch folder: raise limits.scratch in a copy.") from None
        try:
            with closing(sqlite3.connect(f"file:{copy.name}?immutable=1", uri=True)) as connection:
                connection.text_factory = lambda data: data.decode("utf-8", "replace")
                connection.execute("PRAGMA trusted_schema = OFF")
                read_tables(connection, reader, name)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite may say what is wrong in the bytes that are
            raise SystemExit(f"{name} cannot be read as a database: {shown(error)}") from None


def read_tables(connection, reader, name):
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    partitions = [table for table in tables if table.lower().startswith("sqlt_data_")]
    paths = {}
    if partitions and "sqlth_te" in tables:
        paths = dict(connection.execute("SELECT id, tagpath FROM sqlth_te"))
    read = 0
    for table in partitions or tables:
        quoted = '"' + table.replace('"', '""') + '"'
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({quoted})")]
        places = find_columns(columns)
        if places is None or places[1] is None or not places[2]:
            continue
        time, tag, values, quality = places
        read += 1
        for row in connection.execute(f"SELECT * FROM {quoted}"):  # noqa: S608 - quoted
            value = next((row[at] for at in values if row[at] is not None), None)
            reader.take(paths.get(row[tag], row[tag]), row[time], value, row[quality] if quality is not None else None)
    if not read:
        raise SystemExit(f"{name} has no table with columns for time, tag and value.")


def find_columns(columns):
    """Places of time, tag, values and quality; None without a time. The tag's is None where each column is a tag."""
    plain = [re.sub(r"[^a-z]", "", str(column).lower()) for column in columns]

    def place(names):
        return next((plain.index(name) for name in names if name in plain), None)

    time, tag = place(TIMES), place(TAGS)
    values = [plain.index(name) for name in VALUES if name in plain]
    if time is None:
        return None
    return time, tag if values else None, values, place(QUALITIES)


def to_time(value):
    """Seconds since 1970, without regard to zones where none is written; None if it is no time."""
    number = to_number(value)
    if number is not None:
        return number / 1000 if abs(number) > 1e11 else number
    text = str(value or "").strip()
    try:
        found = datetime.datetime.fromisoformat(text.replace("/", "-").replace("Z", "+00:00"))
    except ValueError:
        found = next(filter(None, (by_format(text, each) for each in FORMATS)), None)
    if found is None:
        return None
    if found.tzinfo is not None:
        found = found.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return (found - EPOCH).total_seconds()


def by_format(text, form):
    try:
        return datetime.datetime.strptime(text, form)
    except ValueError:
        return None


def to_number(value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def is_good(quality):
    number = to_number(quality)
    return 192 <= number <= 255 if number is not None else str(quality).strip().lower().startswith("good")


def judge(tag, series, interval, factor, flat):
    """What is to say of one tag, its gaps and its flat lines."""
    series.put_in_order()
    times = series.times
    steps = array("d", (times[at] - times[at - 1] for at in range(1, len(times))))
    usual = interval if interval > 0 else statistics.median([step for step in steps if step > 0] or [0.0])
    limit = usual * factor
    gaps = [
        {"tag": tag, "from": written(times[at]), "to": written(times[at + 1]), "seconds": step}
        for at, step in enumerate(steps)
        if step > limit > 0
    ]
    flats = []
    if flat > 0 and series.is_numeric:
        flats = [one for one in flat_lines(tag, series, limit) if one["seconds"] >= flat]
    span = times[-1] - times[0]
    missing = math.fsum(each["seconds"] - usual for each in gaps)
    bad = series.good.count(0)
    found = {
        "tag": tag,
        "samples": len(times),
        "from": written(times[0]),
        "to": written(times[-1]),
        "interval": usual,
        "gaps": len(gaps),
        "longest_gap": max((each["seconds"] for each in gaps), default=0.0),
        "missing_share": round(missing / span, 4) if span else 0.0,
        "bad": bad,
        "bad_share": round(bad / len(times), 4),
        "flat_lines": len(flats),
        "longest_flat": max((each["seconds"] for each in flats), default=0.0),
    }
    return found, gaps, flats


def flat_lines(tag, series, limit):
    """Runs of one good value. A gap or a bad sample ends one."""
    times, values, good = series.times, series.values, series.good
    start = 0
    for at in range(1, len(times) + 1):
        goes_on = at < len(times) and good[at] and values[at] == values[start] and times[at] - times[at - 1] <= limit
        if goes_on and good[start]:
            continue
        if good[start] and at - 1 > start:
            yield {
                "tag": tag,
                "from": written(times[start]),
                "to": written(times[at - 1]),
                "seconds": times[at - 1] - times[start],
                "value": values[start],
            }
        start = at


def written(time):
    try:
        return str((EPOCH + datetime.timedelta(seconds=time)).replace(microsecond=0))
    except OverflowError:
        return f"{time:.0f} s"


def print_report(report):
    print(f"{report['file']}: {report['samples']:,} samples of {count(report['tags'], 'tag', 'tags')}")
    if report["skipped"]:
        print(f"{count(report['skipped'], 'row', 'rows')} without a time that can be read were left out")
    print()
    print(f"{'tag':24}  {'samples':>9}  {'every':>7}  {'gaps':>5}  {'missing':>7}  {'bad':>6}  {'flat':>5}")
    for each in report["tag_list"]:
        figures = f"{each['samples']:9,}  {lasting(each['interval']):>7}  {each['gaps']:5,}"
        shares = f"{each['missing_share']:7.1%}  {each['bad_share']:6.1%}  {each['flat_lines']:5,}"
        print(f"{ending(each['tag'], 24):24}  {figures}  {shares}")
    if report["tags"] > len(report["tag_list"]):
        print(f"and {report['tags'] - len(report['tag_list']):,} more tags")
    for title, number, key in (("gaps", "gaps", "gap_list"), ("flat lines", "flat_lines", "flat_list")):
        if report[key]:
            print()
            print(f"longest {title} of {report[number]:,}")
        for each in report[key]:
            value = f" at {each['value']:g}" if "value" in each else ""
            start = f"  {each['from']}  {lasting(each['seconds']) + value:>16}  "
            print(start + ending(each["tag"], WIDTH - len(start)))
    print()
    print(f"{count(report['gaps'], 'gap', 'gaps')}, {count(report['flat_lines'], 'flat line', 'flat lines')}, ", end="")
    print(f"{count(report['bad'], 'bad sample', 'bad samples')} of {report['samples']:,}")


def lasting(seconds):
    """A length of time that is read at a glance."""
    for most, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < most:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 86_400:,.1f} d"


def ending(text, most):
    """The end of a path that is too long."""
    line = shown(text, 10_000)
    return line if len(line) <= most else f"...{line[3 - most :]}"


def shown(text, most=60):
    """One line that a terminal can show."""
    line = "".join(each if each.isprintable() else " " for each in str(text))
    return line if len(line) <= most else f"{line[: most - 3]}..."


def count(number, one, many):
    return f"{number:,} {one if number == 1 else many}"


if __name__ == "__main__":  # a run of Gatewright calls main() itself
    import sys

    with open(sys.argv[1], "rb") as first:
        main(first)
