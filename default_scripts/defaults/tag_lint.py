# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Tag export against rules"
# description = "Names, doubled OPC addresses, missing units and ranges, alarms without priority, disabled tags"
# kind = "utility"
# entrypoint = "main"
# tags = ["tags", "ignition"]
# [tool.gatewright.params.export]
# type = "file"
# help = "a tag export, JSON or XML; documents/samples/tags_after.json is one to try"
# [tool.gatewright.params.names]
# type = "str"
# default = '\w[\w -]*'
# help = "what the name of a tag or folder must be, as a regular expression"
# [tool.gatewright.params.depth]
# type = "int"
# default = 8
# help = "in how many folders a tag may be"
# [tool.gatewright.params.skip]
# type = "list"
# default = []
# help = "rules to leave out, such as no_unit or disabled"
# [tool.gatewright.params.top]
# type = "int"
# default = 20
# help = "how many findings of each rule to list"
# [tool.gatewright.limits]
# timeout = 120
# ///
"""Check one tag export of an Ignition gateway against rules.

JSON of 8.x: a tag is an object with "name", "tagType" and its properties; folders, instances and types of UDTs have
"tags". XML of 7.9 and 8.x: a <Tag> has name, type and, in 7.9, path; <Property name="..."> are its properties.

Members of a UDT have their units, ranges, alarms and addresses from its type and are judged there, in "_types_". An
export leaves out what is as Ignition has it by default: a range of 0 to 100, an alarm of priority Low. Both count as
missing here, since they may have been forgotten.

By hand: python3 tag_lint.py EXPORT
"""

import json
import re
import xml.etree.ElementTree as ElementTree

WIDTH = 80
MOST_DEPTH = 100
CONTAINERS = ("Folder", "Provider", "UdtType", "UdtInstance", "UDT_DEF", "UDT_INST")
TYPES = ("UdtType", "UDT_DEF")
INSTANCES = ("UdtInstance", "UDT_INST")
NAMED = ("Alarm", "PropertySet", "EventScript")
NUMERIC = ("int1", "int2", "int4", "int8", "float4", "float8", "0", "1", "2", "3", "4", "5")
"""Data types by name, and by number as 7.9 writes them."""

RULES = {
    "duplicate_path": "two tags of one path",
    "duplicate_opc": "several tags read the same OPC item",
    "bad_range": "the lower end of the range is not below the upper one",
    "alarm_priority": "alarms without a priority of their own",
    "no_unit": "numbers from a device without an engineering unit",
    "no_range": "numbers from a device without engineering limits",
    "disabled": "tags that are switched off",
    "name": "names that do not fit the pattern",
    "depth": "in too many folders",
}


def main(export, names: str = r"\w[\w -]*", depth: int = 8, skip=(), top: int = 20):
    """Read the export and list what breaks a rule."""
    try:
        pattern = re.compile(names)
    except re.error as error:
        raise SystemExit(f"names is no regular expression: {error}") from None
    unknown = [rule for rule in skip if rule not in RULES]
    if unknown:
        raise SystemExit(f"There is no rule {shown(unknown[0])}. The rules are {', '.join(RULES)}.")
    tags = read_export(export)
    found = {rule: sorted(each) for rule, each in check(tags, pattern, depth).items() if rule not in skip}
    report = {
        "file": shown(export.name),
        "tags": sum(tag["type"] not in CONTAINERS for tag in tags.values()),
        "findings": sum(map(len, found.values())),
        "rules": {rule: len(found[rule]) for rule in RULES if found.get(rule)},
        "list": [
            {"rule": rule, "path": path, "detail": detail}
            for rule in RULES
            for path, detail in found.get(rule, ())[: max(0, top)]
        ],
    }
    report["more"] = report["findings"] - len(report["list"])
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


def check(tags, pattern, most):
    """Paths and details by rule."""
    found = {rule: [] for rule in RULES}
    items = {}
    for path, tag in tags.items():
        if path.endswith(" (again)"):
            found["duplicate_path"].append((path[: -len(" (again)")], ""))
            continue
        parts = path.split("/")
        around = {tags[above]["type"] for end in range(1, len(parts)) if (above := "/".join(parts[:end])) in tags}
        checks = []
        if around.isdisjoint(INSTANCES):  # what belongs to an instance is judged in its type
            checks += check_name(parts, pattern, most)
        if tag["type"] not in CONTAINERS:
            own = {key.lower(): (key, value) for key, value in tag["properties"].items()}
            checks += check_tag(own, around.isdisjoint(INSTANCES))
            address = value_of(own, "opcItemPath")
            if isinstance(address, str) and around.isdisjoint(TYPES):
                items.setdefault((str(value_of(own, "opcServer")), address), []).append(path)
        for rule, detail in checks:
            found[rule].append((path, detail))
    for (_, address), paths in items.items():
        if len(paths) > 1:
            found["duplicate_opc"] += [(path, address) for path in paths]
    return found


def check_name(parts, pattern, most):
    if not pattern.fullmatch(parts[-1]):
        yield "name", ""
    if len(parts) - 1 > most:
        yield "depth", f"{len(parts) - 1} folders"


def check_tag(own, whole):
    """Check what a tag says of itself; all of it only where it says everything, as a member of an instance does not."""
    if str(value_of(own, "enabled")).lower() == "false":
        yield "disabled", ""
    if whole:
        yield from check_number(own)
        yield from check_alarms(own)


def value_of(own, name):
    """Return the value of a property. 7.9 begins their names with a capital."""
    return own.get(name.lower(), (name, None))[1]


def check_number(own):
    """Check unit and range of a number that comes from a device."""
    from_device = any(key.startswith("opcitempath") for key in own)
    kind = value_of(own, "dataType")
    if not from_device or (kind is not None and str(kind).lower() not in NUMERIC):  # Int4 is left out of exports
        return
    if not value_of(own, "engUnit"):
        yield "no_unit", ""
    low, high = value_of(own, "engLow"), value_of(own, "engHigh")
    if low is None and high is None:
        yield "no_range", ""
        return
    try:
        low, high = float(0 if low is None else low), float(100 if high is None else high)
    except (TypeError, ValueError, OverflowError):
        return  # bound to a parameter: known where the type is used
    if not low < high:
        yield "bad_range", f"{low:g} to {high:g}"


def check_alarms(own):
    """Name each alarm that has no priority."""
    alarms = {}
    for key, _ in own.values():
        parts = key.split("/")
        if parts[0].lower() == "alarms" and len(parts) > 1:
            alarms.setdefault(parts[1], set()).update(part.lower() for part in parts[2:3])
    for name, properties in alarms.items():
        if "priority" not in properties:
            yield "alarm_priority", name


def print_report(report):
    for rule, number in report["rules"].items():
        print(f"{rule}: {number:,}, {RULES[rule]}")
        for each in report["list"]:
            if each["rule"] == rule:
                print(fitted("  ", each["path"], f"  {shown(each['detail'], 36)}" if each["detail"] else ""))
        print()
    if report["more"]:
        print(f"and {report['more']:,} more; raise top to list them")
    print(
        f"{report['file']}: {count(report['tags'], 'tag', 'tags')}, {count(report['findings'], 'finding', 'findings')}"
    )


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

    with open(sys.argv[1], "rb") as first:
        main(first)
