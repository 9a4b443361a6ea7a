# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Difference of two tag exports"
# description = "Tags added, removed, moved and changed between two exports of a tag provider, by path"
# kind = "utility"
# entrypoint = "main"
# tags = ["tags", "ignition"]
# [tool.gatewright.params.old]
# type = "file"
# help = "the earlier export, JSON or XML; documents/samples/tags_before.json is one to try"
# [tool.gatewright.params.new]
# type = "file"
# help = "the later export; documents/samples/tags_after.json is one to try"
# [tool.gatewright.params.ignore]
# type = "list"
# default = ["value", "lastChange"]
# help = "properties that do not count; exports hold the last value of each memory tag"
# [tool.gatewright.params.top]
# type = "int"
# default = 100
# help = "how many of each kind to list"
# [tool.gatewright.limits]
# timeout = 120
# ///
"""Difference of two tag exports of an Ignition gateway, by the path of each tag.

JSON of 8.x: a tag is an object with "name", "tagType" and its properties; folders, instances and types of UDTs have
"tags". XML of 7.9 and 8.x: a <Tag> has name, type and, in 7.9, path; <Property name="..."> are its properties. Exports
are compared with those of the same format. The order of tags, properties and alarms says nothing and does not count.

By hand: python3 tag_diff.py OLD NEW
"""

import json
import re
import xml.etree.ElementTree as ElementTree

WIDTH = 80
MOST_DEPTH = 100
CONTAINERS = ("Folder", "Provider", "UdtType", "UdtInstance", "UDT_DEF", "UDT_INST")
NAMED = ("Alarm", "PropertySet", "EventScript")


def main(old, new, ignore=("value", "lastChange"), top: int = 100):
    """Read both exports and tell what became of each tag."""
    before, after = read_export(old), read_export(new)
    print(f"{shown(old.name)}: {count(len(before), 'entry', 'entries')}")
    print(f"{shown(new.name)}: {count(len(after), 'entry', 'entries')}")
    report = difference(before, after, {name.lower() for name in ignore}, max(0, top))
    print_report(report)
    return report


def read_export(file):
    """Tags by path: the type and the flattened properties of each. What is no export ends the script."""
    data = file.read()
    try:
        roots = read_xml(data) if data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<" else read_json(data)
    except (ValueError, ElementTree.ParseError, RecursionError) as error:
        raise SystemExit(f"{shown(file.name)} is no tag export: {shown(error)}") from None
    tags = {}
    pending = [("", tag, 0) for tag in reversed(roots)]
    while pending:
        parent, tag, depth = pending.pop()
        if depth > MOST_DEPTH:
            raise SystemExit(f"{shown(file.name)} is no tag export: folders in more than {MOST_DEPTH} folders.")
        path = "/".join(filter(None, (parent, tag["name"])))
        if path:
            while path in tags:  # two of one name: not possible in a gateway, and still not lost here
                path += " (again)"
            tags[path] = tag
        pending += [(path, inner, depth + 1) for inner in reversed(tag.pop("inner"))]
    if not tags:
        raise SystemExit(f"{shown(file.name)} is no tag export: there are no tags in it.")
    return tags


def read_json(data):
    """The outermost tags of a JSON export. It is one tag, a list of them, or an object whose "tags" they are."""
    if not data.strip():
        raise ValueError("the file is empty.")
    try:
        found = json.loads(data)
    except ValueError as error:
        if getattr(error, "pos", 0) == 0:
            raise ValueError("it is neither JSON nor XML.") from None
        raise
    roots = found if isinstance(found, list) else [found]
    if not all(isinstance(root, dict) and ("tags" in root or "name" in root) for root in roots):
        raise ValueError("its JSON holds no tags.")
    return [from_json(root, 0) for root in roots]


def from_json(node, depth):
    if depth > MOST_DEPTH:
        raise ValueError(f"folders in more than {MOST_DEPTH} folders.")
    inner = node.get("tags")
    own = {key: value for key, value in node.items() if key not in ("name", "tagType", "tags")}
    return {
        "name": str(node.get("name") or ""),
        "type": str(node.get("tagType") or ("Folder" if inner else "")),
        "properties": flat(own),
        "inner": [from_json(each, depth + 1) for each in inner or () if isinstance(each, dict)],
    }


def flat(value, prefix=""):
    """Nested properties as one level: ``alarms/High/setpointA``. Lists of named things go by name."""
    if isinstance(value, dict) and value:
        pairs = value.items()
    elif isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        pairs = [(each["name"], {key: inner for key, inner in each.items() if key != "name"}) for each in value]
    else:
        return {prefix: value} if prefix else {}
    found = {}
    for name, each in pairs:
        found.update(flat(each, f"{prefix}/{name}" if prefix else str(name)))
    return found


def read_xml(data):
    """The outermost tags of an XML export."""
    if b"\0" in data or re.search(rb"<!(DOCTYPE|ENTITY)", data):
        raise ValueError("its XML declares entities or is no UTF-8, as no export is.")
    root = ElementTree.fromstring(data)  # noqa: S314 - without entities there is nothing to expand
    found = [from_xml(node, 0) for node in ([root] if root.tag == "Tag" else root.findall("Tag"))]
    if not found:
        raise ValueError("its XML holds no <Tag>.")
    return found


def from_xml(node, depth):
    if depth > MOST_DEPTH:
        raise ValueError(f"folders in more than {MOST_DEPTH} folders.")
    folder, name = node.get("path", ""), node.get("name", "")
    return {
        "name": "/".join(filter(None, (folder, name))) if depth == 0 else name,
        "type": node.get("type", ""),
        "properties": xml_properties(node),
        "inner": [from_xml(each, depth + 1) for each in [*node.findall("Tag"), *node.findall("Tags/Tag")]],
    }


def xml_properties(node, prefix=""):
    found = {}
    for number, each in enumerate(node, 1):
        if each.tag in ("Tag", "Tags"):
            continue
        inner_name = next((inner.text for inner in each if inner.get("name") == "name"), None)
        key = f"{prefix}{each.get('name') or inner_name or (each.tag if each.tag not in NAMED else number)}"
        if len(each):
            found.update(xml_properties(each, f"{key}/"))
        elif each.get("boundValueType"):
            found[f"{key}/binding"] = (each.text or "").strip()
        elif not prefix or each.get("name") != "name":
            found[key] = (each.text or "").strip()
    return found


def difference(before, after, ignored, top):
    """Say what is only in one of both, and which properties differ of what is in both."""
    gone = [path for path in before if path not in after]
    come = [path for path in after if path not in before]
    moved = moves(before, after, gone, come, ignored)
    changed, noise = [], 0
    for path in before.keys() & after.keys():
        found, of_noise = changes(before[path], after[path], ignored)
        noise += of_noise
        if found:
            changed.append({"path": path, "type": after[path]["type"], "properties": found})
    changed.sort(key=lambda each: each["path"])
    left = {each["from"] for each in moved}
    arrived = {each["to"] for each in moved}
    removed = outermost([path for path in gone if path not in left], before)
    added = outermost([path for path in come if path not in arrived], after)
    return {
        "tags": {"old": tag_count(before), "new": tag_count(after)},
        "added": sum(each["tags"] for each in added),
        "removed": sum(each["tags"] for each in removed),
        "moved": len(moved),
        "changed": len(changed),
        "ignored": noise,
        "added_paths": added[:top],
        "removed_paths": removed[:top],
        "moved_paths": moved[:top],
        "changed_paths": changed[:top],
        "more": sum(max(0, len(each) - top) for each in (added, removed, moved, changed)),
    }


def changes(old, new, ignored):
    """The properties that differ, and how many of those that do not count differ."""
    found, noise = [], 0
    if old["type"] != new["type"]:
        found.append({"name": "tagType", "old": old["type"], "new": new["type"]})
    one, other = old["properties"], new["properties"]
    for name in sorted(one.keys() | other.keys()):
        if same(one.get(name), other.get(name)):
            continue
        if ignored.isdisjoint((name.lower(), name.split("/")[0].lower())):
            found.append({"name": name[:200], "old": short(one.get(name)), "new": short(other.get(name))})
        else:
            noise += 1
    return found[:50], noise


def same(one, other):
    """100 and 100.0 are the same limit; true and 1 are not the same setting."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def moves(before, after, gone, come, ignored):
    """A tag that is missing here and came there with the same settings was moved, if there is only one such."""
    places = {}
    for side, paths, tags in ((0, gone, before), (1, come, after)):
        for path in paths:
            own = {key: value for key, value in tags[path]["properties"].items() if key.lower() not in ignored}
            if len(own) >= 2 and tags[path]["type"] not in CONTAINERS:
                key = json.dumps([tags[path]["type"], own], sort_keys=True, default=str)
                places.setdefault(key, ([], []))[side].append(path)
    pairs = [(old[0], new[0]) for old, new in places.values() if len(old) == len(new) == 1]
    return [{"from": old, "to": new} for old, new in sorted(pairs)]


def outermost(paths, tags):
    """The paths without what lies below another of them; ``tags`` is how many tags each stands for."""
    found = {}
    for path in sorted(paths, key=lambda each: each.split("/")):
        parts = path.split("/")
        above = next((each for end in range(1, len(parts)) if (each := "/".join(parts[:end])) in found), path)
        entry = found.setdefault(above, {"path": above, "type": tags[above]["type"], "tags": 0})
        entry["tags"] += tags[path]["type"] not in CONTAINERS
    return list(found.values())


def tag_count(tags):
    return sum(tag["type"] not in CONTAINERS for tag in tags.values())


def short(value):
    """``value`` as it is if it is small and has a place in JSON, else the beginning of its text."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) > 200:
        return f"{text[:200]}..."
    return value if isinstance(value, str) or not re.search("NaN|Infinity", text) else text


def print_report(report):
    for title, mark in (("added", "+"), ("removed", "-")):
        for each in report[f"{title}_paths"]:
            many = f", {count(each['tags'], 'tag', 'tags')}" if each["type"] in CONTAINERS else ""
            print(fitted(f"{mark} ", each["path"], f"  {shown(each['type'], 20)}{many}"))
    for each in report["moved_paths"]:
        print(fitted("> ", each["from"]))
        print(fitted("    to ", each["to"]))
    for each in report["changed_paths"]:
        print(fitted("~ ", each["path"]))
        for one in each["properties"]:
            print(f"    {shown(one['name'], 30)}: {words(one['old'])} -> {words(one['new'])}")
    if report["more"]:
        print(f"and {report['more']:,} more; raise top to list them")
    print()
    print(", ".join(f"{report[title]:,} {title}" for title in ("added", "removed", "moved", "changed")))
    if report["ignored"]:
        print(f"{report['ignored']:,} ignored: differences in properties that do not count")


def words(value):
    return "(none)" if value is None else shown(json.dumps(value, ensure_ascii=False, default=str), 20)


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
