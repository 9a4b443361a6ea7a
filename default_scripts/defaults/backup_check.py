# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Gateway backup check"
# description = "A gateway backup (.gwbk): whether it is whole, its version, projects, resources, sizes and database"
# kind = "utility"
# entrypoint = "main"
# tags = ["ignition", "backup"]
# [tool.gatewright.params.backup]
# type = "file"
# help = "a .gwbk file; documents/samples/plant3.gwbk is one to try"
# [tool.gatewright.params.top]
# type = "int"
# default = 10
# help = "how many rows of each table to list"
# [tool.gatewright.limits]
# timeout = 600
# memory = "1 GiB"
# scratch = "256 MiB"
# ///
"""Check and inventory of an Ignition gateway backup.

A .gwbk is a zip archive. In it are ``backupinfo.xml`` (version and edition), ``ignition.conf``, ``projects/NAME/...``
with a ``project.json`` and resources in folders ``MODULE/TYPE/PATH`` that each have a ``resource.json``; and the
gateway's configuration: until 8.1 a SQLite database, ``db_backup_sqlite.idb``, from 8.3 on resources below
``config/resources/COLLECTION/MODULE/TYPE``.

Every file is unpacked once, so that its checksum is compared; only the database is kept for as long as it is looked at.
An archive that would grow beyond all measure, as a zip bomb does, is not unpacked.
"""

import collections
import io
import json
import lzma
import pathlib
import re
import sqlite3
import struct
import sys
import tempfile
import textwrap
import zipfile
import zlib
from contextlib import closing

BLOCK = 1 << 18
SMALL = 1 << 20
"""Bytes of a file of settings that are read."""

BOMB_SIZE, BOMB_RATIO = 4 << 30, 200
"""An archive that is larger unpacked and by that factor than it is packed is not unpacked."""

BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, NotImplementedError)
"""How a file in an archive shows that it is not whole."""

DATABASES = (".idb", ".db", ".sqlite")
MOST_DATABASES = 20
SQLITE = b"SQLite format 3\0"


class Window(io.RawIOBase):
    """The content of the file as zipfile reads it, without a copy."""

    def __init__(self, buffer):
        self._buffer, self._at = buffer, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self._at = max(0, offset + (0, self._at, len(self._buffer))[whence])
        return self._at

    def tell(self):
        return self._at

    def readinto(self, target):
        part = self._buffer[self._at : self._at + len(target)]
        target[: len(part)] = part
        self._at += len(part)
        return len(part)


def main(backup, top: int = 10):
    """Read ``backup``, check it and list what is in it."""
    print(f"Reading {backup.name}, {size_of(backup.size)}")
    report = {"file": backup.name, "bytes": backup.size, "intact": False, "problems": []}
    try:
        archive = zipfile.ZipFile(Window(backup.buffer))
    except (zipfile.BadZipFile, ValueError, OSError, OverflowError, NotImplementedError, struct.error) as error:
        raise SystemExit(no_archive(backup.buffer, error)) from None
    with archive:
        examine(archive, report, max(0, top))
    print_report(report)
    return report


def no_archive(buffer, error):
    """A sentence about a file that zipfile does not open."""
    begin = bytes(buffer[:4])
    if not begin:
        return "The file is empty."
    if begin == b"PK\3\4":
        return f"The archive is damaged or cut off: its list of files, which is at its end, cannot be read ({error})."
    return "This is no gateway backup: those are zip archives."


def examine(archive, report, top):
    """Fill the report."""
    files = [each for each in archive.infolist() if not each.filename.endswith("/")]
    unpacked = sum(each.file_size for each in files)
    report.update(files=len(files), unpacked_bytes=unpacked, made=newest(files), parts=parts(files, top))
    report["problems"] += names_problems(files)
    largest = sorted(files, key=lambda each: (-each.file_size, each.filename))[:top]
    report["largest"] = [{"path": each.filename, "bytes": each.file_size} for each in largest]
    if unpacked > BOMB_SIZE and unpacked > BOMB_RATIO * max(1, report["bytes"]):
        report["problems"].append(
            f"It would be {size_of(unpacked)} unpacked, which no backup of this size is: it was not unpacked."
        )
        return
    broken = [problem for each in files if (problem := checked(archive, each))]
    report["problems"] += broken[:20] + (
        [f"and {len(broken) - 20:,} more files that are broken"] if broken[20:] else []
    )
    report["intact"] = not broken
    by_name = {each.filename: each for each in files}
    report.update(information(archive, by_name, report["problems"]))
    report["projects"] = projects(archive, files, by_name, report["problems"])
    report["configuration"] = configuration(files)
    found = [each for each in files if each.filename.endswith(DATABASES)]
    report["databases"] = [database(archive, each) for each in found[:MOST_DATABASES]]
    report["problems"] += missing(by_name, report)


def newest(files):
    """The latest time of a file in the archive, which is the gateway's local time."""
    latest = max((each.date_time for each in files), default=None)
    return "{:04}-{:02}-{:02} {:02}:{:02}".format(*latest) if latest else None


def parts(files, top):
    """Files and bytes by what stands first in their paths."""
    found = collections.defaultdict(lambda: [0, 0, 0])
    for each in files:
        head, slash, _ = each.filename.partition("/")
        count = found[head + slash]
        count[0] += 1
        count[1] += each.file_size
        count[2] += each.compress_size
    rows = [{"part": name, "files": n, "bytes": size, "packed": packed} for name, (n, size, packed) in found.items()]
    return sorted(rows, key=lambda row: (-row["bytes"], row["part"]))[: max(top, 20)]


def names_problems(files):
    """Names that a backup does not have, and that would do harm where they are unpacked."""
    outside = [name for each in files if leaves(name := each.filename)]
    twice = [name for name, count in collections.Counter(each.filename for each in files).items() if count > 1]
    problems = []
    if outside:
        problems.append(f"Paths that lead out of the folder: {len(outside):,}, the first is {printable(outside[0])}.")
    if twice:
        problems.append(f"Names that are there more than once: {len(twice):,}, the first is {printable(twice[0])}.")
    return problems


def leaves(name):
    parts_of_name = name.replace("\\", "/").split("/")
    return ".." in parts_of_name or parts_of_name[0] == "" or parts_of_name[0][1:2] == ":"


def checked(archive, each):
    """Unpack a file to nowhere; a sentence if it is broken."""
    try:
        with archive.open(each) as file:
            while file.read(BLOCK):
                pass
    except BROKEN as error:
        return f"{printable(each.filename)} is broken: {printable(str(error))}."
    except RuntimeError:
        return f"{printable(each.filename)} is encrypted."
    return None


# -- what is in it -----------------------------------------------------------------------------------------------------


def small(archive, each):
    """The beginning of a file of settings; nothing if it cannot be read."""
    try:
        with archive.open(each) as file:
            return file.read(SMALL)
    except (*BROKEN, RuntimeError):
        return b""


def information(archive, by_name, problems):
    """What backupinfo.xml, ignition.conf and redundancy.xml say."""
    found = {"version": None, "edition": None, "max_memory_mb": None, "redundancy": None}
    if "backupinfo.xml" in by_name:
        values = values_of_xml(small(archive, by_name["backupinfo.xml"]))
        found["version"], found["edition"] = values.get("version"), values.get("edition") or "standard"
        if not found["version"]:
            problems.append("backupinfo.xml names no version.")
    if "ignition.conf" in by_name:
        text = small(archive, by_name["ignition.conf"]).decode("utf-8", "replace")
        memory = re.search(r"^\s*wrapper\.java\.maxmemory\s*=\s*(\d{1,9})", text, re.MULTILINE)
        found["max_memory_mb"] = int(memory[1]) if memory else None
    if "redundancy.xml" in by_name:
        found["redundancy"] = values_of_xml(small(archive, by_name["redundancy.xml"])).get("redundancy.noderole")
    return found


def values_of_xml(data):
    """The texts of the simple elements by tag, or by ``key`` as Java's property files have them.

    Found by a pattern, since a parser of XML would also do what a hostile file declares.
    """
    found = re.findall(r'<(?:entry key="([^"<]{1,80})"|(\w{1,40}))>([^<]{1,400})(?=<)', data.decode("utf-8", "replace"))
    return {(key or tag).lower(): printable(text.strip(), 200) for key, tag, text in found if text.strip()}


def projects(archive, files, by_name, problems):
    """Each project: title, whether it is enabled, how many resources of which type, bytes."""
    found = {}
    for each in files:
        path = each.filename.split("/")
        if path[0] != "projects" or len(path) < 3:
            continue
        project = found.setdefault(path[1], {"resources": collections.Counter(), "files": 0, "bytes": 0})
        project["files"] += 1
        project["bytes"] += each.file_size
        if path[-1] == "resource.json" and len(path) > 4:
            project["resources"]["/".join(path[2:4])] += 1
    rows = []
    for name, project in sorted(found.items()):
        entry = by_name.get(f"projects/{name}/project.json")
        settings = json_object(small(archive, entry)) if entry else None
        if settings is None:
            problems.append(f"The project {printable(name)} has no project.json that can be read.")
        settings = settings or {}
        rows.append({
            "name": name,
            "title": printable(str(settings.get("title") or ""), 100),
            "enabled": bool(settings.get("enabled", True)),
            "inheritable": bool(settings.get("inheritable", False)),
            "parent": printable(str(settings.get("parent") or ""), 100),
            "resources": sum(project["resources"].values()),
            "types": dict(project["resources"].most_common(50)),
            "files": project["files"],
            "bytes": project["bytes"],
        })  # fmt: skip
    names = {row["name"] for row in rows}
    problems += [
        f"The project {printable(row['name'])} inherits from {row['parent']}, which is not in this backup."
        for row in rows
        if row["parent"] and row["parent"] not in names
    ]
    return rows


def json_object(data):
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def configuration(files):
    """Resources below config/ by type, as 8.3 has them."""
    found = collections.Counter()
    for each in files:
        path = each.filename.split("/")
        if path[:2] == ["config", "resources"] and path[-1] == "resource.json" and len(path) > 5:
            found["/".join(path[3:5])] += 1
    return dict(found.most_common(200))


def database(archive, each):
    """Unpack a SQLite database and ask it whether it is whole, and what its tables hold."""
    found = {"path": each.filename, "bytes": each.file_size, "readable": False, "problem": None}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "config.idb")
        try:
            with archive.open(each) as source, path.open("wb") as target:
                begin = source.read(BLOCK)
                found["problem"] = None if begin.startswith(SQLITE) else "it is no SQLite database"
                while begin and not found["problem"]:
                    target.write(begin)
                    begin = source.read(BLOCK)
            if not found["problem"]:
                look_into(path, found)
        except sqlite3.Error as error:
            found["problem"] = f"SQLite cannot read it: {printable(str(error))}"
        except OSError as error:
            found["problem"] = f"it could not be unpacked ({error.strerror or error}); see limits.scratch in the header"
        except (*BROKEN, RuntimeError):
            found["problem"] = "it cannot be unpacked"
    return found


def look_into(path, found):
    """What a database says. ``immutable`` takes no locks and reads no file beside it."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        answer = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
        if answer != ["ok"]:
            found["problem"] = f"it is damaged: {printable(answer[0], 100)}"
            return
        names = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {}
        for name in names[:2_000]:
            quoted = name.replace('"', '""')
            counted = connection.execute(f'SELECT count(*) FROM "{quoted}"')  # noqa: S608  quoted as SQLite wants it
            rows[printable(name, 80)] = counted.fetchone()[0]
        most = sorted(rows.items(), key=lambda row: (-row[1], row[0]))[:20]
        found.update(readable=True, tables=len(names), rows=dict(most), gateway=gateway_name(connection, names))


def gateway_name(connection, tables):
    """The gateway's name, where it has stood until 8.1."""
    if "SYSPROPS" not in {name.upper() for name in tables}:
        return None
    cursor = connection.execute("SELECT * FROM SYSPROPS LIMIT 1")
    row = dict(zip([column[0].upper() for column in cursor.description], cursor.fetchone() or ()))  # noqa: B905
    return printable(str(row["SYSTEMNAME"]), 100) if row.get("SYSTEMNAME") else None


def missing(by_name, report):
    """What every backup has and this one has not."""
    if "backupinfo.xml" not in by_name:
        yield "There is no backupinfo.xml in it: this may be a project export, or another zip archive."
    if not report["configuration"] and not any(each["readable"] for each in report["databases"]):
        yield "There is no configuration in it: neither a database that can be read nor config/resources."
    if not report["projects"]:
        yield "There is no project in it."
    for each in report["databases"]:
        if each["problem"]:
            yield f"{printable(each['path'])}: {each['problem']}."


# -- output ------------------------------------------------------------------------------------------------------------


def print_report(report):
    if "files" in report:
        print(
            f"{report['files']:,} files, {size_of(report['unpacked_bytes'])} unpacked, the newest of {report['made']}"
        )
    if report.get("version"):
        memory = f", {report['max_memory_mb']:,} MB for Java" if report["max_memory_mb"] else ""
        print(f"Ignition {report['version']}, edition {report['edition']}{memory}")
    for each in report.get("databases", []):
        if each["readable"]:
            gateway = f"gateway {each['gateway']}, " if each["gateway"] else ""
            print(f"{each['path']}: {gateway}{size_of(each['bytes'])}, {each['tables']:,} tables, whole")
    print_tables(report)
    print()
    for problem in report["problems"]:
        print(textwrap.fill(f"! {problem}", 80, subsequent_indent="  "))
    if not report["problems"]:
        print("The backup is whole: every checksum is right, nothing is missing.")


def print_tables(report):
    if report.get("parts"):
        print("\n  files      size    packed  part")
    for each in report.get("parts", []):
        print(f"{each['files']:7,}{size_of(each['bytes']):>10}{size_of(each['packed']):>10}  {cell(each['part'])}")
    if report.get("projects"):
        print("\n  files      size  resources  project")
    for each in report.get("projects", []):
        words = [f"inherits from {each['parent']}"] * bool(each["parent"]) + ["disabled"] * (not each["enabled"])
        about = cell(each["name"], 40) + (f" ({', '.join(words)})" if words else "")
        print(f"{each['files']:7,}{size_of(each['bytes']):>10}  {each['resources']:9,}  {about[:58]}")
        for name, count in list(each["types"].items())[:8]:
            print(f"{'':19}{count:9,}    {cell(name, 46)}")
    if report.get("configuration"):
        print("\n  resources  type of configuration")
    for name, count in list(report.get("configuration", {}).items())[:20]:
        print(f"{count:11,}  {cell(name)}")
    if report.get("largest"):
        print("\n     size  largest files")
    for each in report.get("largest", []):
        print(f"{size_of(each['bytes']):>9}  {cell(each['path'])}")


def size_of(count):
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"


def printable(text, width=80):
    text = "".join(letter if letter.isprintable() else "?" for letter in text[: width + 1])
    return text if len(text) <= width else text[: width - 3] + "..."


def cell(text, width=54):
    """The end of a long path says more than its beginning."""
    text = printable(text, 2_000)
    return text if len(text) <= width else "..." + text[3 - width :]


class Local:
    """A file named on the command line, as a run gets it."""

    def __init__(self, path):
        self.name = path
        self.buffer = memoryview(pathlib.Path(path).read_bytes())
        self.size = len(self.buffer)


if __name__ == "__main__":  # python3 backup_check.py FILE.gwbk
    main(Local(sys.argv[1]))
