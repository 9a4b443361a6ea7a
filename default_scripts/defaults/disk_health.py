# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Disk and SQLite health"
# description = "How full the disks are and when they will be; whether a SQLite database is sound and what it holds"
# kind = "utility"
# entrypoint = "main"
# tags = ["disk", "data"]
# [tool.gatewright.params.df]
# type = "file"
# required = false
# help = "what df -P or df -i wrote, or a log of it; documents/samples/df.log is one to try"
# [tool.gatewright.params.database]
# type = "file"
# required = false
# help = "a copy of a SQLite database; documents/samples/gateway.db is one to try"
# [tool.gatewright.params.wal]
# type = "file"
# required = false
# help = "the file ending in -wal that was beside the database"
# [tool.gatewright.params.earlier]
# type = "file"
# required = false
# help = "an older copy of the database, to see what grew; documents/samples/gateway_earlier.db"
# [tool.gatewright.params.folder]
# type = "str"
# default = ""
# help = "a folder to measure, which needs an approved permission"
# [tool.gatewright.params.warn]
# type = "int"
# default = 80
# help = "percent in use from which a disk is worth a warning"
# [tool.gatewright.params.critical]
# type = "int"
# default = 90
# help = "percent in use from which it is critical"
# [tool.gatewright.params.check]
# type = "choice"
# choices = ["quick", "full"]
# default = "quick"
# help = "full compares each index with its table, too, and takes longer"
# [tool.gatewright.params.top]
# type = "int"
# default = 15
# help = "how many tables and files to list"
# [tool.gatewright.limits]
# timeout = 300
# scratch = "256 MiB"
# ///
"""Health of disks and of SQLite databases, from what is handed in.

A RESTRICTED run sees no disks. Hand over what df wrote:

    df -P > df.txt; df -iP >> df.txt

or, to see how they fill, a log to which cron adds `date -Is; df -P` every night: with two or more times in it, the
growth of each disk and the day on which it will be full are known. Blocks of 1K, 512, 1M and sizes as of `df -h` are
read, and the columns of `df -T` and `df -i`. Memory and loop devices (tmpfs, squashfs) do not count.

A database in use has its newest transactions in a file beside it that ends in -wal: hand that over, too. Of a database
that is being written, a copy may be half old and half new; documents/samples/live_sqlite.py shows how to make one.

To measure a folder (its size, largest files, what was written in the last day), copy this script to a path of your own,
put what it may read into the block at its top, and have it approved:

    # [tool.gatewright.permissions]
    # read = ["/var/lib/ignition"]

By hand: python3 disk_health.py DF
"""

import datetime
import re
import shutil
import sqlite3
import struct
import tempfile
import textwrap
import time
from contextlib import closing, suppress
from pathlib import Path

WIDTH = 80
UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
MEMORY = ("tmpfs", "devtmpfs", "udev", "none", "squashfs", "efivarfs", "ramfs", "shm")
MOST_BYTES = 1 << 63

SIZE = r"([\d.,]+[KMGTP]?i?B?|-)"
LINE = re.compile(rf"(\S.*?)\s+{SIZE}\s+{SIZE}\s+{SIZE}\s+(\d+)\s?%\s+(/.*)")
BLOCKS = re.compile(r"\b(\d{1,6})([KMG]?)i?B?-\w")
ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)")
BY_DATE = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d)(?: [AP]M)?(?: \w+)? (\d{4})\s*$")
MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
MAGIC = b"SQLite format 3\0"
WAL_MAGIC = (0x377F0682, 0x377F0683)


def main(
    df=None,
    database=None,
    wal=None,
    earlier=None,
    folder: str = "",
    warn: int = 80,
    critical: int = 90,
    check: str = "quick",
    top: int = 15,
):
    """Look at whatever was handed in."""
    if df is None and database is None and not folder:
        raise SystemExit(
            "Hand over what df wrote (df) or a copy of a SQLite database (database),\nor name a folder. "
            "documents/samples has a df.log and a gateway.db to try."
        )
    top = max(0, top)
    report = {"findings": [], "disks": [], "database": None, "folder": None}
    if df is not None:
        report["disks"] = disks(df, warn, critical, report["findings"])
        print_disks(report["disks"])
        print()
    if database is not None:
        report["database"] = examine(database, wal, check, top, report["findings"])
        if earlier is not None:
            compare(report["database"], examine(earlier, None, "quick", 1000, []))
        print_database(report["database"])
        print()
    if folder:
        report["folder"] = measure(folder, top)
        print_folder(report["folder"])
        print()
    for each in report["findings"]:
        print(textwrap.fill(f"! {each}", WIDTH, subsequent_indent="  "))
    if not report["findings"]:
        print("nothing to worry about")
    return report


# --- disks ---


def disks(file, warn, critical, findings):
    """Say of each disk how full it is, and how fast it fills if the log has times."""
    seen = {}
    for at, block in blocks(file.read().decode("utf-8", "replace").splitlines()):
        for device, mount, size, used, free, inodes in block:
            disk = seen.setdefault(mount, {"mount": mount, "device": device, "points": [], "inodes": None})
            share = round(100 * used / (used + free), 1) if used + free else 0.0
            if inodes:
                disk["inodes"] = share
            else:
                disk.update(size=size, used=used, free=free, share=share)
                disk["points"] += [(at, used)] if at is not None else []
    found = [disk for disk in seen.values() if "size" in disk or disk["inodes"] is not None]
    if not found:
        raise SystemExit(f"{shown(file.name)} has no line of df in it.")
    for disk in found:
        growth = slope(disk.pop("points"))
        disk["growth"] = growth
        disk["full_in_days"] = round(disk["free"] / growth, 1) if growth and growth > 0 else None
        fullest = max(disk.get("share", 0.0), disk["inodes"] or 0.0)
        disk["level"] = "critical" if fullest >= critical else "warn" if fullest >= warn else "ok"
        findings += about(disk)
    return sorted(found, key=lambda disk: -max(disk.get("share", 0.0), disk["inodes"] or 0.0))


def about(disk):
    name, space, inodes = shown(disk["mount"], 40), disk.get("share", 0.0), disk["inodes"] or 0.0
    if disk["level"] != "ok":
        what = f"{space:g} % of its space" if space >= inodes else f"{inodes:g} % of its inodes"
        yield f"{disk['level']}: {name} has {what} in use"
    if disk["full_in_days"] is not None and disk["full_in_days"] < 30:
        yield f"{name} is full in {disk['full_in_days']:g} days if it goes on like this"


def blocks(lines):
    """What each call of df wrote, with the time that stands before it."""
    at, unit, inodes, rows = None, 1024, False, []
    for line in joined(lines):
        if (found := moment(line)) is not None:
            yield at, rows
            at, rows = found, []
        elif found := LINE.match(line):
            device, mount = found[1].split(), found[6].strip()
            if not is_memory(device) and "-" not in found.group(2, 3):
                sizes = [to_bytes(each, 1 if inodes else unit) for each in found.group(2, 3, 4)]
                rows.append((device[0], mount, *sizes, inodes))
        elif (blocks_of := BLOCKS.search(line)) or "%" in line:  # a header, in any language
            inodes = "inode" in line.lower() or "ifree" in line.lower()
            unit = int(blocks_of[1]) * UNITS[blocks_of[2]] if blocks_of else 1024
    yield at, rows


def is_memory(device):
    return device[0] in MEMORY or device[-1] in MEMORY or device[0].startswith("/dev/loop")


def joined(lines):
    """Lines of df; one whose device is too long goes on in the next."""
    before = ""
    for line in lines:
        if line.startswith("/") and " " not in line.strip():
            before = line.strip()
            continue
        yield before + line if before and line[:1].isspace() else line.strip()
        before = ""


def moment(line):
    """Seconds since 1970 if the line begins with a time, or is one as `date` writes it."""
    if found := ISO.match(line):
        text = f"{found[1]} {found[2]}"
    elif found := BY_DATE.match(line):
        month = MONTHS.find(found[1]) // 3 + 1
        text = f"{found[4]}-{month:02}-{int(found[2]):02} {found[3]}"
    else:
        return None
    try:
        return (datetime.datetime.fromisoformat(text) - datetime.datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001
    except ValueError:
        return None


def to_bytes(text, unit):
    number, suffix = re.match(r"([\d.,]*)([KMGTP]?)", text).groups()
    try:
        number = float(number.replace(",", ".") or 0)
    except ValueError:
        return 0
    return round(min(number * (UNITS[suffix] if suffix else unit), MOST_BYTES))


def slope(points):
    """Bytes a day, by least squares; None without two times that are an hour apart."""
    if len(points) < 2 or max(points)[0] - min(points)[0] < 3600:
        return None
    middle_time = sum(at for at, _ in points) / len(points)
    middle = sum(used for _, used in points) / len(points)
    spread = sum((at - middle_time) ** 2 for at, _ in points)
    return round(86_400 * sum((at - middle_time) * (used - middle) for at, used in points) / spread)


# --- a database ---


def examine(file, wal, check, top, findings):
    """What a database says of itself: pages, free ones, integrity, tables."""
    data, log = file.read(), wal.read() if wal is not None else b""
    name = shown(file.name)
    if data[:16] != MAGIC or len(data) < 512:
        raise SystemExit(f"{name} is no SQLite database.")
    page_size = struct.unpack(">H", data[16:18])[0]
    page_size = 65536 if page_size == 1 else page_size
    pages, free = struct.unpack(">I", data[28:32])[0], struct.unpack(">I", data[36:40])[0]
    found = {
        "file": name,
        "size": len(data),
        "page_size": page_size,
        "pages": pages,
        "free_pages": free,
        "journal": "wal" if data[18:20] == b"\2\2" else "delete",
        "wal": wal_state(log, page_size) if wal is not None else None,
    }
    if pages * page_size > len(data):
        findings.append(f"{name} is cut off: it says {pages:,} pages and has {len(data) // max(1, page_size):,}")
    if pages and free / pages > 0.25 and free * page_size > 1 << 20:
        findings.append(f"{name}: VACUUM would give back {size(free * page_size)}, {free / pages:.0%} of it")
    if found["journal"] == "wal" and wal is None:
        findings.append(f"{name} is in WAL mode: without its -wal file the newest transactions are not in it")
    if found["wal"] and found["wal"]["size"] > max(64 << 20, len(data)):
        findings.append(f"the WAL of {name} has {size(found['wal']['size'])}: something keeps a transaction open")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "copy.db")
        try:
            copy.write_bytes(data)
            if wal is not None:
                Path(scratch, "copy.db-wal").write_bytes(log)
        except OSError:
            raise SystemExit(f"{name} does not fit in the scratch folder: raise limits.scratch in a copy.") from None
        found.update(ask(copy, wal is not None, check, top))
    if found["problems"]:
        findings.append(f"{name} is damaged: {shown(found['problems'][0])}")
    return found


def ask(path, has_wal, check, top):
    """Let SQLite look at a copy: its problems, none if it is sound, and its tables."""
    address = f"{path.absolute().as_uri()}?{'vfs=unix-none' if has_wal else 'immutable=1'}"
    tables = []
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # the copy is read by nothing else
            connection.execute("PRAGMA trusted_schema = OFF")
            pragma = "integrity_check(20)" if check == "full" else "quick_check(20)"
            problems = [line for row in connection.execute(f"PRAGMA {pragma}") for line in row[0].splitlines()]
            problems = [] if problems == ["ok"] else problems
            tables = table_sizes(connection)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite may say what is wrong in the bytes that are
        problems = [str(error)]
    return {"problems": problems[:20], "tables": tables[:top], "table_count": len(tables)}


def table_sizes(connection):
    """Rows of each table, and its bytes where SQLite was built to tell; the largest first."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    sizes = {}
    with suppress(sqlite3.Error):  # an option of its build
        sizes = dict(connection.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name"))
    found = []
    for name in names:
        quoted = '"' + name.replace('"', '""') + '"'
        try:
            rows = connection.execute(f"SELECT COUNT(*) FROM {quoted}").fetchone()[0]  # noqa: S608 - quoted
        except sqlite3.Error:
            rows = None
        found.append({"name": name, "rows": rows, "bytes": sizes.get(name)})
    return sorted(found, key=lambda each: (-(each["bytes"] or 0), -(each["rows"] or 0), each["name"]))


def wal_state(data, page_size):
    """Count the frames of a -wal file that belong to its present turn, and those that are committed."""
    frames = committed = 0
    if len(data) >= 32:
        magic, _, own_size, _, *salt = struct.unpack(">6I", data[:24])
        step = 24 + (own_size or page_size)
        if magic in WAL_MAGIC:
            for at in range(32, len(data) - step + 1, step):
                _, after, *own_salt = struct.unpack(">4I", data[at : at + 16])
                if own_salt != salt:
                    break
                frames += 1
                committed = frames if after else committed
    return {"size": len(data), "frames": frames, "committed": committed}


def compare(now, before):
    """Add how much the database and its tables grew since an earlier copy."""
    rows = {each["name"]: each["rows"] or 0 for each in before["tables"]}
    now["grown"] = now["size"] - before["size"]
    for each in now["tables"]:
        each["new_rows"] = (each["rows"] or 0) - rows.get(each["name"], 0)


# --- a folder ---


def measure(folder, top):
    """Size of all that is in a folder, its largest files, and what was written lately."""
    root, now = Path(folder), time.time()
    files, total, unread, day, week = [], 0, 0, 0, 0
    pending = [root]
    while pending:
        here = pending.pop()
        try:
            inner = list(here.iterdir())
        except OSError:
            if here is root:
                raise SystemExit(refused(folder)) from None
            unread += 1
            continue
        for path in inner:
            try:
                status = path.lstat()
            except OSError:
                continue  # gone meanwhile
            if path.is_dir() and not path.is_symlink():
                pending.append(path)
            elif path.is_file() and not path.is_symlink():
                total += status.st_size
                day += status.st_size if now - status.st_mtime < 86_400 else 0
                week += status.st_size if now - status.st_mtime < 7 * 86_400 else 0
                files.append((status.st_size, str(path)))
    files.sort(key=lambda each: (-each[0], each[1]))
    disk = shutil.disk_usage(root)
    return {
        "folder": folder,
        "files": len(files),
        "bytes": total,
        "unread": unread,
        "written_in_a_day": day,
        "written_in_a_week": week,
        "disk": {"size": disk.total, "used": disk.used, "free": disk.free},
        "largest": [{"path": path, "bytes": many} for many, path in files[:top]],
    }


def refused(folder):
    return (
        f"This script may not read {shown(folder)}, or there is no such folder. Copy the script to a path of your own, "
        "put read = [...] with the folder under [tool.gatewright.permissions] in the block at its top, and have it "
        "approved."
    )


# --- what is printed ---


def print_disks(found):
    print(f"{'disk':24}  {'size':>9}  {'free':>9}  {'used':>6}  {'inodes':>6}  {'a day':>9}")
    for disk in found:
        space = f"{'-':>9}  {'-':>9}  {'-':>6}"
        if "size" in disk:
            space = f"{size(disk['size']):>9}  {size(disk['free']):>9}  {disk['share']:4.0f} %"
        inodes = "-" if disk["inodes"] is None else f"{disk['inodes']:.0f} %"
        growth = "-" if disk["growth"] is None else size(disk["growth"])
        print(f"{ending(disk['mount'], 24):24}  {space}  {inodes:>6}  {growth:>9}")


def print_database(found):
    state = "sound" if not found["problems"] else "DAMAGED"
    print(f"{found['file']}: {size(found['size'])}, {state}, journal {found['journal']}")
    print(f"{found['pages']:,} pages of {found['page_size']:,} bytes, {found['free_pages']:,} free")
    if log := found["wal"]:
        print(f"WAL {size(log['size'])}, {log['frames']:,} frames, {log['committed']:,} committed")
    if "grown" in found:
        print(f"grown by {size(found['grown'])} since the earlier copy")
    for problem in found["problems"]:
        print(f"  {shown(problem, WIDTH - 2)}")
    print()
    print(f"{'table':40}  {'rows':>12}  {'size':>10}  {'new rows':>10}")
    for each in found["tables"]:
        rows = "?" if each["rows"] is None else f"{each['rows']:,}"
        many = "-" if each["bytes"] is None else size(each["bytes"])
        new = f"{each['new_rows']:+,}" if "new_rows" in each else "-"
        print(f"{ending(each['name'], 40):40}  {rows:>12}  {many:>10}  {new:>10}")
    if found["table_count"] > len(found["tables"]):
        print(f"and {found['table_count'] - len(found['tables']):,} more")


def print_folder(found):
    print(f"{shown(found['folder'])}: {count(found['files'], 'file', 'files')}, {size(found['bytes'])}")
    print(f"written in the last day {size(found['written_in_a_day'])}, in a week {size(found['written_in_a_week'])}")
    print(f"its disk has {size(found['disk']['free'])} free of {size(found['disk']['size'])}")
    if found["unread"]:
        print(f"{count(found['unread'], 'folder', 'folders')} in it cannot be read")
    for each in found["largest"]:
        print(f"{size(each['bytes']):>12}  {ending(each['path'], WIDTH - 14)}")


def size(many):
    """Bytes as they are read at a glance."""
    sign, many = ("-" if many < 0 else ""), abs(many)
    for name in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if many < 1024:
            return f"{sign}{many:.3g} {name}" if many < 1000 else f"{sign}{many:.0f} {name}"
        many /= 1024
    return f"{sign}{many:.3g} EiB"


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
        is_database = first.read(16) == MAGIC
        first.seek(0)
        main(**{"database" if is_database else "df": first})
