# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "Compares the configuration of two gateways: settings, JVM options, licences that differ."
# [tool.gatewright.permissions]
# read = ["@INPUT@"]
# ///
"""Compare the configuration folders of two gateways, and keep both as they were beside the report."""

import configparser
import difflib
import fnmatch
import os.path
import re
import shutil
import textwrap
from pathlib import Path
from pprint import pformat

BASE = "@INPUT@"
LEFT = os.path.join(BASE, "gateway-a")
RIGHT = os.path.join(BASE, "gateway-b")
IGNORED = ("*.bak", "*~", ".*")
SECRET = re.compile(r"(password|secret|key)", re.IGNORECASE)
SIZE = re.compile(r"^-Xm([sx])(\d+)([mMgG])$")


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not any(fnmatch.fnmatch(path.name, pattern) for pattern in IGNORED)
    }


def settings(path):
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    parser.optionxform = str
    text = path.read_text(encoding="utf-8")
    parser.read_string(text if text.lstrip().startswith("[") else f"[wrapper]\n{text}")
    return {f"{section}.{name}": value for section in parser.sections() for name, value in parser.items(section)}


def shown(name, value):
    return "***" if SECRET.search(name) and value else value


def heap(values):
    sizes = {}
    for value in values.values():
        if match := SIZE.match(value or ""):
            sizes[match[1]] = int(match[2]) * (1024 if match[3] in "gG" else 1)
    return sizes


def compare(name, left, right):
    a, b = settings(left), settings(right)
    changed = {
        key: (shown(key, a.get(key)), shown(key, b.get(key)))
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    }
    if not changed:
        return 0
    print(f"== {name}")
    print(textwrap.indent(pformat(changed, width=90), "   "))
    if heap(a) != heap(b):
        print(f"   heap in MiB: {heap(a)} -> {heap(b)}")
    return len(changed)


def main():
    left, right = files(LEFT), files(RIGHT)
    for name in sorted(left.keys() ^ right.keys()):
        print(f"only in {os.path.basename(LEFT if name in left else RIGHT)}: {name}")
    differences = 0
    for name in sorted(left.keys() & right.keys()):
        if os.path.splitext(name)[1] in (".conf", ".ini"):
            differences += compare(name, left[name], right[name])
        elif left[name].read_bytes() != right[name].read_bytes():
            lines = [path.read_text(encoding="utf-8").splitlines() for path in (left[name], right[name])]
            diff = list(difflib.unified_diff(*lines, "a", "b", lineterm="", n=0))
            print(f"== {name}", *diff[2:], sep="\n   ")
            differences += 1
    kept = Path("kept")
    kept.mkdir(exist_ok=True)
    for name, path in {**left, **right}.items():
        shutil.copy2(path, kept / name.replace("/", "__"))
    print(f"{differences} differences, {len(list(kept.iterdir()))} files kept")


if __name__ == "__main__":
    main()
