# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Difference of two configuration trees"
# description = "Files added, removed and changed between two archives, without what a mere save changes"
# kind = "utility"
# entrypoint = "main"
# tags = ["configuration"]
# [tool.gatewright.params.old]
# type = "file"
# help = "the earlier archive, zip or tar; documents/samples/config_before.zip is one to try"
# [tool.gatewright.params.new]
# type = "file"
# help = "the later archive; documents/samples/config_after.zip is one to try"
# [tool.gatewright.params.ignore]
# type = "list"
# default = ["*.log", "*.tmp", "*.bak", ".git/*"]
# help = "files that do not count, as patterns of their paths"
# [tool.gatewright.params.noise]
# type = "list"
# default = ["lastModification", "lastModificationSignature", "lastModified", "timestamp", "actor"]
# help = "keys of JSON files that do not count"
# [tool.gatewright.params.lines]
# type = "int"
# default = 8
# help = "how many changed lines of each file to show"
# [tool.gatewright.params.top]
# type = "int"
# default = 100
# help = "how many files of each kind to list"
# [tool.gatewright.limits]
# timeout = 300
# ///
"""Difference of two archives of one configuration tree: zip, or tar as it is, gz, bz2 or xz.

A folder that all of an archive is in does not count. Files of other bytes are compared again without noise: line ends
and blanks at the ends of lines, the order of keys in JSON, XML attributes and .properties, times, UUIDs, signatures,
and the JSON keys given as "noise". What differs in nothing else is listed by itself, so that nothing is hidden.

By hand: python3 config_diff.py OLD NEW
"""

import collections
import difflib
import fnmatch
import hashlib
import io
import json
import re
import tarfile
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from lzma import LZMAError

WIDTH = 80
MOST_UNPACKED = 2 << 30
"""Bytes of all files of an archive."""
MOST_TEXT = 1 << 20
"""Bytes of a file that is compared line by line."""
MOST_KEPT = 128 << 20
"""Bytes of all files of an archive that are compared line by line."""
MOST_LINES = 2000

BROKEN = (RuntimeError, OSError, EOFError, ValueError, zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError)
"""What reading one file of an archive may raise: it is encrypted, damaged, cut off."""

DAYS, MONTHS = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)", "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
GENERATED = [
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<signature>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(rf"\b{DAYS},? {MONTHS} +\d+ \d\d:\d\d:\d\d(?: \w+)? \d{{4}}\b"), "<time>"),
    (re.compile(r"\b1[0-9]{12}\b"), "<time>"),  # milliseconds, of 2001 to 2033
]


IGNORED = ("*.log", "*.tmp", "*.bak", ".git/*")
NOISE = ("lastModification", "lastModificationSignature", "lastModified", "timestamp", "actor")


def main(old, new, ignore=IGNORED, noise=NOISE, lines: int = 8, top: int = 100):
    """Compare both archives and tell what is another thing."""
    archives = [Archive(each, ignore) for each in (old, new)]
    choose_roots(*archives)
    before, after = (each.hashes() for each in archives)
    for archive, found in zip(archives, (before, after)):  # noqa: B905 - strict is of Python 3.10
        print(f"{archive.name}: {count(len(found), 'file', 'files')}")
    differing = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    unreadable = sorted({path for found in (before, after) for path in found if found[path] is None})
    one, other = (each.contents(differing - set(unreadable)) for each in archives)
    changed, noisy = [], []
    for path in sorted(differing - set(unreadable)):
        found = changes(path, one.get(path), other.get(path), frozenset(noise), max(0, lines))
        changed.append(found) if found else noisy.append(path)
    report = only_in_one(before, after, max(0, top)) | {
        "same": len(before.keys() & after.keys()) - len(differing | set(unreadable) & before.keys() & after.keys()),
        "changed": len(changed),
        "noise": len(noisy),
        "unreadable": len(unreadable),
        "changed_files": changed[: max(0, top)],
        "noise_files": noisy[: max(0, top)],
        "unreadable_files": unreadable[: max(0, top)],
    }
    print_report(report)
    return report


class Archive:
    """A zip or tar file in memory. Nothing of it is unpacked to a disk."""

    def __init__(self, file, ignore):
        self.name = shown(file.name)
        self._ignore = ignore
        self._data = io.BytesIO(file.read())
        self._is_zip = zipfile.is_zipfile(self._data)
        self.root = ""
        self.paths = {path for path, _, _ in self._members()}
        if not self.paths:
            raise SystemExit(f"{self.name} is no zip or tar archive with files in it.")

    def common_root(self):
        """The folder that all of it is in; nothing if there is none."""
        first = next(iter(self.paths)).partition("/")[0] + "/"
        return first if all(path.startswith(first) for path in self.paths) else ""

    def hashes(self):
        """SHA-256 by path; None for a file that cannot be read."""
        found, left = {}, MOST_UNPACKED
        for path, _, opened in self._members():
            digest = hashlib.sha256()
            try:
                with opened() as file:
                    while piece := file.read(1 << 20):
                        digest.update(piece)
                        left -= len(piece)
                        if left < 0:
                            raise SystemExit(f"{self.name} unpacks to more than {MOST_UNPACKED >> 30} GiB.")
                found[path] = digest.hexdigest()
            except BROKEN:
                found[path] = None
        return found

    def contents(self, paths):
        """Return the bytes of these files, by path, without those that are too large to be compared line by line."""
        found, left = {}, MOST_KEPT
        for path, size, opened in self._members():
            if path in paths and size <= min(left, MOST_TEXT):
                with opened() as file:
                    found[path] = file.read(MOST_TEXT)
                left -= len(found[path])
        return found

    def _members(self):
        """Path, size and a function that opens it, of each file that counts."""
        self._data.seek(0)
        try:
            for path, size, opened in self._in_zip() if self._is_zip else self._in_tar():
                path = re.sub(r"^(?:\.?/)+", "", path.replace("\\", "/"))[len(self.root) :]
                if path and not any(fnmatch.fnmatchcase(path, pattern) for pattern in self._ignore):
                    yield path, size, opened
        except BROKEN as error:
            raise SystemExit(f"{self.name} is no archive that can be read: {shown(error)}") from None

    def _in_zip(self):
        with zipfile.ZipFile(self._data) as archive:
            for info in archive.infolist():
                if not info.filename.endswith("/"):
                    yield info.filename, info.file_size, lambda info=info: archive.open(info)

    def _in_tar(self):
        unpacked = 0
        try:
            archive = tarfile.open(fileobj=self._data, mode="r:*")  # noqa: SIM115 - closed below
        except tarfile.ReadError:  # which lists what each kind of packing says
            raise SystemExit(f"{self.name} is no zip or tar archive, or a damaged one.") from None
        with archive:
            for info in archive:
                unpacked += info.size
                if unpacked > MOST_UNPACKED:
                    raise SystemExit(f"{self.name} unpacks to more than {MOST_UNPACKED >> 30} GiB.")
                if info.isreg():
                    yield info.name, info.size, lambda info=info: archive.extractfile(info)


def choose_roots(old, new):
    """Leave out the folder around an archive where more files of both then have the same path."""

    def alike(roots):
        one, other = ({path[len(root) :] for path in each.paths} for each, root in zip((old, new), roots))  # noqa: B905
        return len(one & other)

    first, second = old.common_root(), new.common_root()
    old.root, new.root = max([("", ""), (first, second), (first, ""), ("", second)], key=alike)


def only_in_one(before, after, top):
    """Say which files are in one archive only. One that has the same bytes under one other path was moved."""
    gone, come = before.keys() - after.keys(), after.keys() - before.keys()
    places = collections.defaultdict(lambda: ([], []))
    for side, paths, found in ((0, gone, before), (1, come, after)):
        for path in paths:
            if found[path] is not None:
                places[found[path]][side].append(path)
    moved = sorted((old[0], new[0]) for old, new in places.values() if len(old) == len(new) == 1)
    removed = sorted(gone - {old for old, _ in moved})
    added = sorted(come - {new for _, new in moved})
    return {
        "added": len(added),
        "removed": len(removed),
        "moved": len(moved),
        "added_files": added[:top],
        "removed_files": removed[:top],
        "moved_files": [{"from": old, "to": new} for old, new in moved[:top]],
    }


def changes(path, old, new, noise, most):
    """Say what differs between two texts of a file; None if that is only noise."""
    if old is None or new is None:
        return {"path": path, "kind": "large", "removed": None, "added": None, "lines": []}
    one, other = normal(path, old, noise), normal(path, new, noise)
    if one is None or other is None:
        return {"path": path, "kind": "binary", "removed": None, "added": None, "lines": []}
    if one == other:
        return None
    if max(len(one), len(other)) > MOST_LINES:  # what moved within such a file does not show
        counts = collections.Counter(one), collections.Counter(other)
        gone, come = (list((a - b).elements()) for a, b in (counts, counts[::-1]))
    else:
        differences = list(difflib.unified_diff(one, other, lineterm="", n=0))[2:]
        gone, come = ([each[1:] for each in differences if each[0] == sign] for sign in "-+")
    if not gone and not come:
        return {"path": path, "kind": "order", "removed": 0, "added": 0, "lines": []}
    half = [f"- {each[:300]}" for each in gone], [f"+ {each[:300]}" for each in come]
    kept = max(most // 2, most - len(half[1]))
    return {
        "path": path,
        "kind": "text",
        "removed": len(gone),
        "added": len(come),
        "lines": half[0][:kept] + half[1][: most - len(half[0][:kept])],
    }


def normal(path, data, noise):
    """The lines of a file without what does not count; None if it is no text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0" if b"\0" in data else data.decode("latin-1")
    if "\0" in text:
        return None
    suffix = path.rpartition(".")[2].lower()
    try:
        if suffix == "json":
            text = json.dumps(without(json.loads(text), noise), indent=1, sort_keys=True, ensure_ascii=False)
        elif suffix == "xml" and "<!DOCTYPE" not in text and "<!ENTITY" not in text:
            text = ElementTree.canonicalize(text, strip_text=True).replace("><", ">\n<")
    except (ValueError, RecursionError, ElementTree.ParseError):
        pass  # compared as it stands
    for pattern, name in GENERATED:
        text = pattern.sub(name, text)
    found = [line.rstrip() for line in text.splitlines()]
    if suffix == "properties":
        found = sorted(line for line in found if line and line != "#<time>")
    while found and not found[-1]:
        found.pop()
    return found


def without(value, noise):
    """``value`` without the keys that are noise, at any depth."""
    if isinstance(value, dict):
        return {key: without(inner, noise) for key, inner in value.items() if key not in noise}
    return [without(inner, noise) for inner in value] if isinstance(value, list) else value


def print_report(report):
    for title, mark in (("added", "+"), ("removed", "-")):
        for path in report[f"{title}_files"]:
            print(fitted(f"{mark} ", path))
    for each in report["moved_files"]:
        print(fitted("> ", each["from"]))
        print(fitted("    to ", each["to"]))
    for each in report["changed_files"]:
        print(fitted("~ ", each["path"], f"  {how(each)}"))
        for line in each["lines"]:
            print(f"    {shown(line, WIDTH - 4)}")
        hidden = (each["removed"] or 0) + (each["added"] or 0) - len(each["lines"])
        if hidden and each["lines"]:
            print(f"    and {count(hidden, 'line', 'lines')} more")
    for title, mark in (("noise", "="), ("unreadable", "!")):
        for path in report[f"{title}_files"]:
            print(fitted(f"{mark} ", path, f"  {title}"))
    print()
    print(", ".join(f"{report[title]:,} {title}" for title in ("added", "removed", "moved", "changed")))
    print(f"{report['noise']:,} changed in nothing but times, ids, order or line ends, {report['same']:,} the same")


def how(change):
    if change["kind"] == "text":
        return f"-{change['removed']:,} +{change['added']:,}"
    return {"large": "too large to compare by line", "binary": "binary", "order": "lines in another order"}[
        change["kind"]
    ]


def fitted(before, path, after=""):
    """One line: of a path that is too long the end is shown."""
    room = WIDTH - len(before) - len(after)
    path = shown(path, 10_000)
    return f"{before}{path if len(path) <= room else '...' + path[3 - room :]}{after}"


def shown(text, most=60):
    """One line that a terminal can show."""
    line = "".join(each if each.isprintable() else " " for each in str(text))
    return line if len(line) <= most else f"{line[: most - 3]}..."


def count(number, one, many):
    return f"{number:,} {one if number == 1 else many}"


if __name__ == "__main__":  # a run of Gatewright calls main() itself
    import sys

    with open(sys.argv[1], "rb") as first, open(sys.argv[2], "rb") as second:
        main(first, second)
