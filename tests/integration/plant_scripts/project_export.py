# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "What is in a project export: resources by kind, views with missing templates, damaged entries."
# [tool.gatewright.permissions]
# read = ["@INPUT@"]
# ///
"""Read a project export (a zip of JSON and XML) without unpacking it to disk, and pack a corrected copy."""

import hashlib
import io
import json
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

EXPORT = Path("@INPUT@") / "export.zip"
LIMIT = 5 << 20


def resources(archive):
    for info in archive.infolist():
        path = PurePosixPath(info.filename)
        if info.is_dir() or ".." in path.parts or path.is_absolute():
            continue
        if info.file_size > LIMIT:
            print(f"skipped {path}: {info.file_size} bytes", file=sys.stderr)
            continue
        yield path, archive.read(info)


def templates_of(view):
    """Templates that a view embeds, wherever they stand in the tree."""
    todo = [view]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if node.get("type") == "embedded" and "path" in node:
                yield node["path"]
            todo += node.values()
        elif isinstance(node, list):
            todo += node


def windows_of(text):
    root = ET.fromstring(text)
    for window in root.iter("window"):
        yield window.get("name", "?"), [c.get("class", "").rpartition(".")[2] for c in window.iter("component")]


def main():
    kinds, known, used, damaged = Counter(), set(), {}, []
    components = Counter()
    packed = io.BytesIO()
    with zipfile.ZipFile(EXPORT) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as copy:
        bad = archive.testzip()
        print("archive:", "intact" if bad is None else f"first damaged entry {bad}")
        for path, data in resources(archive):
            kinds[path.parts[0] + path.suffix] += 1
            try:
                if path.suffix == ".json":
                    view = json.loads(data)
                    known.add(str(path.parent))
                    used[str(path.parent)] = sorted(set(templates_of(view)))
                    data = json.dumps(view, indent=2, sort_keys=True).encode()
                elif path.suffix == ".xml":
                    for name, classes in windows_of(data.decode("utf-8-sig")):
                        print(f"window {name}: {len(classes)} components")
                        components.update(classes)
            except (ValueError, ET.ParseError) as error:
                damaged.append((str(path), type(error).__name__))
                continue
            copy.writestr(zipfile.ZipInfo(str(path), (2026, 1, 1, 0, 0, 0)), data)
    missing = {view: gone for view, names in used.items() if (gone := [n for n in names if n not in known])}
    with zipfile.ZipFile(packed) as copy:
        digest = hashlib.sha256(b"".join(copy.read(name) for name in sorted(copy.namelist()))).hexdigest()
    Path("corrected.zip").write_bytes(packed.getvalue())
    print("kinds:", dict(sorted(kinds.items())))
    print("components:", components.most_common(3))
    print("missing templates:", missing)
    print("damaged:", damaged)
    print("corrected.zip:", zipfile.is_zipfile("corrected.zip"), digest[:16])


if __name__ == "__main__":
    main()
