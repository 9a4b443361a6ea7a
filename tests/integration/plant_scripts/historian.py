# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "Hourly means, gaps and stuck values of the logged tags, by way of a small SQLite database."
# [tool.gatewright.permissions]
# read = ["@INPUT@"]
# ///
"""Load the CSV that the data logger writes into SQLite, then ask it."""

import csv
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

SOURCE = Path("@INPUT@") / "logger.csv"
DATABASE = "historian.db"
GAP = timedelta(minutes=5)

DDL = """
create table tag(id integer primary key, path text unique not null, unit text not null default '');
create table sample(tag integer not null references tag(id), at integer not null, value real, quality integer not null,
                    primary key (tag, at)) without rowid;
create view good as select t.path, s.at, s.value from sample s join tag t on t.id = s.tag where s.quality = 192;
"""

GAPS = """
select path, before, at from (
    select path, at, lag(at) over (partition by path order by at) as before from good
) where at - before > ? order by path, at
"""

HOURLY = """
select path, at / 3600 * 3600 as hour, round(avg(value), 3) as mean, min(value) as low, max(value) as high,
       count(*) as n
from good group by path, hour order by path, hour
"""

STUCK = "select path, count(*) from good group by path having count(*) > 10 and min(value) = max(value)"


def utc(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%d %b %H:%M")


def load(db):
    with SOURCE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with db:
        db.executemany("insert or ignore into tag(path, unit) values(:tag, :unit)", rows)
        db.executemany(
            "insert or replace into sample select id, ?, ?, ? from tag where path = ?",
            [
                (
                    int(datetime.fromisoformat(row["time"]).timestamp()),
                    float(row["value"]),
                    int(row["quality"]),
                    row["tag"],
                )
                for row in rows
            ],
        )
    return len(rows)


def main():
    with closing(sqlite3.connect(DATABASE)) as db:
        db.row_factory = sqlite3.Row
        db.execute("pragma journal_mode = wal")
        db.executescript(DDL)
        print(load(db), "rows read,", db.execute("select count(*) from sample").fetchone()[0], "samples")
        for row in db.execute(HOURLY):
            path, hour, mean, low, high, count = row
            print(f"{path:18} {utc(hour)}  {mean:8.3f}  {low:g} .. {high:g}  n={count}")
        for row in db.execute(GAPS, (GAP.total_seconds(),)):
            print(f"gap: {row['path']} from {utc(row['before'])} to {utc(row['at'])}")
        for path, count in db.execute(STUCK):
            print(f"stuck: {path}, {count} equal values")
        with db:
            removed = db.execute("delete from sample where quality <> 192").rowcount
        db.execute("vacuum")
        print(f"{removed} bad samples removed, integrity {db.execute('pragma integrity_check').fetchone()[0]}")
    with closing(sqlite3.connect(DATABASE)) as db:
        print("still there:", db.execute("select count(*) from sample").fetchone()[0])


if __name__ == "__main__":
    main()
