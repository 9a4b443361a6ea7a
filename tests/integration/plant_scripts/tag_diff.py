# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "What changed between two tag exports: added, removed, moved, changed, as JSON for the ticket."
# [tool.gatewright.permissions]
# read = ["@INPUT@"]
# ///
"""Difference of two tag exports."""

import copy
import hashlib
import json
import sys
import tempfile
import unicodedata
import uuid
from collections import defaultdict
from pathlib import Path
from urllib.parse import quote

FOLDER = Path("@INPUT@")
IGNORED = {"name", "tags", "lastChanged"}
SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def load(name):
    with (FOLDER / name).open(encoding="utf-8") as file:
        return json.load(file)


def flat(node, path=""):
    tags = {}
    for tag in node.get("tags", []):
        here = f"{path}/{unicodedata.normalize('NFC', tag['name'])}"
        tags[here] = {key: value for key, value in tag.items() if key not in IGNORED}
        tags.update(flat(tag, here))
    return tags


def fingerprint(tag):
    return hashlib.blake2b(json.dumps(tag, sort_keys=True).encode(), digest_size=8).hexdigest()


def changes(before, after):
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield key, before.get(key), after.get(key)


def moved(removed, added, before, after):
    """A tag that vanished here and came there with the same settings was moved, if there is only one such."""
    places = defaultdict(list)
    for path in added:
        places[fingerprint(after[path])].append(path)
    for path in list(removed):
        found = places[fingerprint(before[path])]
        if len(found) == 1 and found[0] in added:
            removed.remove(path)
            added.remove(found[0])
            yield path, found[0]


def main():
    old, new = load("before.json"), load("after.json")
    untouched = copy.deepcopy(old)
    before, after = flat(old), flat(new)
    removed, added = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    report = {
        "moved": [{"from": a, "to": b} for a, b in moved(removed, added, before, after)],
        "added": added,
        "removed": removed,
        "changed": [
            {"tag": path, "id": str(uuid.uuid5(SPACE, quote(path))), "what": key, "was": was, "is": now}
            for path in sorted(before.keys() & after.keys())
            for key, was, now in changes(before[path], after[path])
        ],
    }
    assert old == untouched, "reading must not change what was read"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.json")
        file.write_text(json.dumps(report, ensure_ascii=False, indent=2), encoding="utf-8")
        again = json.loads(file.read_text(encoding="utf-8"))
    print(json.dumps(again, ensure_ascii=False, indent=2))
    for kind, found in again.items():
        print(f"{kind}: {len(found)}", file=sys.stderr)
    return 0 if again == report else 1


if __name__ == "__main__":
    sys.exit(main())
