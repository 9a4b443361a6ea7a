# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "CSV summary"
# description = "Each column of a CSV file: how many values, how many differ, smallest, largest, mean"
# kind = "utility"
# entrypoint = "main"
# tags = ["data"]
# [tool.gatewright.params.table]
# type = "file"
# help = "a CSV file with a header line; documents/samples/tag_history.csv is one to try"
# [tool.gatewright.params.delimiter]
# type = "choice"
# choices = ["auto", "comma", "semicolon", "tab"]
# default = "auto"
# help = "what stands between two values"
# [tool.gatewright.limits]
# timeout = 120
# ///
"""Summary of a CSV file, column by column. Quoted values may hold delimiters, quotes and line ends (RFC 4180).

The first line names the columns. The text is UTF-8, or UTF-16 as Windows saves it.
"""

import itertools
import math
import re

LONGEST_HEADER = 1_000_000
"""Characters."""

CONTROL = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f]")
"""What no text has: a spreadsheet itself, not its export, begins with some."""

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


class Column:
    """What is known about one column so far."""

    def __init__(self, name):
        self.name = name
        self.count = 0
        self.empty = 0
        self.values = set()
        self.numbers = []

    def add(self, value):
        value = value.strip()
        if not value:
            self.empty += 1
            return
        self.count += 1
        self.values.add(value)
        number = to_number(value)
        if number is not None:
            self.numbers.append(number)

    def summary(self):
        """Numbers are compared as numbers only when every value is one."""
        numeric = self.count > 0 and len(self.numbers) == self.count
        found = self.numbers if numeric else self.values
        return {
            "column": self.name,
            "type": "number" if numeric else "text",
            "count": self.count,
            "empty": self.empty,
            "distinct": len(self.values),
            "min": min(found, default=None),
            "max": max(found, default=None),
            "mean": math.fsum(self.numbers) / self.count if numeric else None,
        }


def main(table, delimiter: str = "auto"):
    """Read ``table`` and describe its columns."""
    print(f"Reading {table.name}, {table.size:,} bytes")
    lines = lines_of(table)
    header = next(lines, "")
    if not header.strip():
        raise SystemExit("The file is empty, or has no header line.")
    if CONTROL.search(header) or len(header) > LONGEST_HEADER:
        raise SystemExit("The file does not begin with a header line: this is no CSV text.")
    separator = DELIMITERS.get(delimiter) or guess_delimiter(header)
    rows = records(itertools.chain([header], lines), separator)
    columns = [Column(name.strip() or f"column {number}") for number, name in enumerate(next(rows), 1)]
    count = uneven = 0
    for row in rows:
        count += 1
        uneven += len(row) != len(columns)
        for column, value in zip(columns, row):  # noqa: B905  not in Python 3.9
            column.add(value)
    report = {
        "file": table.name,
        "rows": count,
        "uneven_rows": uneven,
        "columns": [column.summary() for column in columns],
    }
    print_report(report)
    return report


def lines_of(file):
    """The lines of the file, without a byte order mark."""
    if file.buffer[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return iter(file.read().decode("utf-16", "replace").splitlines(keepends=True))
    lines = iter(file)
    return itertools.chain([next(lines, "").lstrip("\ufeff")], lines)


def guess_delimiter(header):
    """The one that occurs most often in the header line."""
    return max(DELIMITERS.values(), key=header.count)


def records(lines, separator):
    """The rows as lists of texts. A row goes on over the end of a line while a quote is open."""
    parts = []
    is_open = False
    for line in lines:
        parts.append(line)
        is_open ^= line.count('"') % 2 == 1
        if not is_open:
            row = "".join(parts).rstrip("\r\n")
            parts.clear()
            if row:
                yield split(row, separator)
    if parts:  # a quote that is never closed
        yield split("".join(parts).rstrip("\r\n") + '"', separator)


def split(row, separator):
    if '"' not in row:
        return row.split(separator)
    pattern = rf'(?:^|{re.escape(separator)})(?:"((?:[^"]|"")*)"|([^{re.escape(separator)}]*))'
    return [found[1].replace('""', '"') if found[1] is not None else found[2] for found in re.finditer(pattern, row)]


def to_number(text):
    """The number that ``text`` is, or None. "nan" and "inf" are words here."""
    if not (text[0].isdigit() or text[0] in "+-."):
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def print_report(report):
    print(f"{report['rows']:,} rows, {len(report['columns'])} columns")
    if report["uneven_rows"]:
        print(f"{report['uneven_rows']:,} rows have more or fewer values than the header")
    print()
    width = min(20, max(6, *(len(row["column"]) for row in report["columns"])))
    head = f"{'column':{width}} {'count':>8} {'empty':>7} {'distinct':>8}  "
    print(f"{head}smallest and largest")
    room = (80 - len(head) - len(" to ")) // 2
    for row in report["columns"]:
        line = f"{shown(row['column'], width):{width}} {row['count']:8,} {row['empty']:7,} {row['distinct']:8,}"
        if row["min"] is not None:
            line += f"  {shown(row['min'], room)} to {shown(row['max'], room)}"
        mean = "" if row["mean"] is None else f", mean {shown(row['mean'], room)}"
        print(line + mean if len(line + mean) <= 80 else line)


def shown(value, room):
    if isinstance(value, float):
        return f"{value:,.6g}"
    text = CONTROL.sub("?", " ".join(value.split()))
    return text if len(text) <= room else f"{text[: room - 3]}..."


class Local:
    """A file named on the command line, as a run gets it."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.name, self.buffer = path, memoryview(file.read())
        self.size = len(self.buffer)

    def read(self):
        return self.buffer.tobytes()

    def __iter__(self):
        with open(self.name, encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file


if __name__ == "__main__":  # python3 csv_summary.py table.csv
    import sys

    main(Local(sys.argv[1]))
