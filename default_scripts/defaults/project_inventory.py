# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Inventory of a project export"
# description = "Views, scripts, queries and the rest by type and size; what nothing mentions, what is missing"
# kind = "utility"
# entrypoint = "main"
# tags = ["ignition", "configuration"]
# [tool.gatewright.params.export]
# type = "file"
# help = "a project export, zip; documents/samples/project.zip is one to try"
# [tool.gatewright.params.top]
# type = "int"
# default = 15
# help = "how many of each kind to list"
# [tool.gatewright.limits]
# timeout = 300
# ///
"""Inventory of an Ignition project export of 8.x: a zip with project.json in it, of one project or of several.

A folder with resource.json is a resource, and MODULE/TYPE/NAME its path. resource.json names the files that belong to
it, who saved it and when. Sizes are those of the unpacked files.

Views, project scripts and named queries whose path stands in no other resource are listed as not mentioned. That is a
hint, no proof: a path may be put together by an expression, or used by a project that inherits from this one. A page or
an embedded view may show a view of the parent project; without a parent it is missing.

By hand: python3 project_inventory.py EXPORT
"""

import collections
import io
import json
import re
import zipfile
import zlib
from lzma import LZMAError

WIDTH = 80
MOST_UNPACKED = 2 << 30
"""Bytes of all files of an export."""
MOST_TEXT = 4 << 20
"""Bytes of a file that is looked through."""
BROKEN = (RuntimeError, OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, LZMAError)
"""What reading one file of a zip may raise: it is encrypted, damaged, cut off."""

TEXTS = (".json", ".py", ".sql", ".xml", ".txt", ".css", ".html", ".js")
VIEWS = "com.inductiveautomation.perspective/views"
SCRIPTS = "ignition/script-python"
QUERIES = "ignition/named-query"
PAGES = "com.inductiveautomation.perspective/page-config"
LABELS = {
    VIEWS: "Perspective views",
    SCRIPTS: "project scripts",
    QUERIES: "named queries",
    PAGES: "page configuration",
    "com.inductiveautomation.perspective/style-classes": "Perspective styles",
    "com.inductiveautomation.perspective/session-props": "session properties",
    "com.inductiveautomation.vision/windows": "Vision windows",
    "com.inductiveautomation.vision/templates": "Vision templates",
    "com.inductiveautomation.vision/client-tags": "Vision client tags",
    "com.inductiveautomation.reporting/reports": "reports",
    "com.inductiveautomation.alarm-notification/alarm-pipelines": "alarm pipelines",
    "com.inductiveautomation.sqlbridge/transaction-groups": "transaction groups",
    "com.inductiveautomation.sfc/charts": "sequential function charts",
    "com.inductiveautomation.webdev/resources": "WebDev resources",
    "ignition/event-scripts": "gateway event scripts",
    "ignition/global-props": "project properties",
}


class Project:
    """What one project of an export holds."""

    def __init__(self, root, about):
        self.root = root
        self.about = about if isinstance(about, dict) else {}
        self.sizes = {}
        self.texts = {}
        self.damaged = []

    def resources(self):
        """Resources by path, each with its own files."""
        found = {path.rpartition("/")[0]: [] for path in self.sizes if path.endswith("/resource.json")}
        orphans = []
        for path in sorted(self.sizes):
            folder = path.rpartition("/")[0]
            while folder and folder not in found:
                folder = folder.rpartition("/")[0]
            if folder:
                found[folder].append(path)
            elif path != "project.json":
                orphans.append(path)
        return found, orphans


def main(export, top: int = 15):
    """Read the export and list what is in it."""
    name = shown(export.name)
    projects, outside = read_projects(export, name)
    found = [inventory(each, max(0, top)) for each in projects]
    for number, each in enumerate(found):
        print(end="\n" if number else "")
        print_project(each)
    print_list("files of no project", (("", path, "") for path in outside[: max(0, top)]))
    return {"file": name, "projects": found, "outside": outside[: max(0, top)]}


def read_projects(export, name):
    """Read every file once. What is no export ends the script."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(export.read()))
    except zipfile.BadZipFile:
        raise SystemExit(f"{name} is no project export: it is no zip archive, or a damaged one.") from None
    except BROKEN as error:
        raise SystemExit(f"{name} is no project export: {shown(error)}") from None
    with archive:
        infos = [info for info in archive.infolist() if not info.filename.endswith("/")]
        roots = [info.filename[: -len("project.json")] for info in infos if is_project(info.filename)]
        if not roots:
            raise SystemExit(f"{name} is no project export: there is no project.json in it.")
        projects = {root: Project(root.strip("/"), {}) for root in sorted(roots, key=len, reverse=True)}
        left, outside = MOST_UNPACKED, []
        for info in infos:
            root = next((root for root in projects if info.filename.startswith(root)), None)
            if root is None:
                outside.append(info.filename)
                continue
            path = info.filename[len(root) :]
            size, text = content_of(archive, info, left)
            if size is None:
                projects[root].damaged.append(path)
                size = info.file_size
            left -= size
            if left < 0:
                raise SystemExit(f"{name} unpacks to more than {MOST_UNPACKED >> 30} GiB.")
            projects[root].sizes[path] = size
            if text is not None:
                projects[root].texts[path] = text
    for project in projects.values():
        about = parsed(project.texts.get("project.json", ""))
        project.about = about if isinstance(about, dict) else {}
    return list(reversed(list(projects.values()))), outside


def is_project(path):
    return path == "project.json" or (path.endswith("/project.json") and path.count("/") == 1)


def content_of(archive, info, left):
    """Size and, of a text that is not too long, the text. The size is None if the file cannot be read."""
    kept, size = [], 0
    is_text = info.filename.lower().endswith(TEXTS) and info.file_size <= MOST_TEXT
    try:
        with archive.open(info) as file:
            while size <= left and (piece := file.read(1 << 20)):
                size += len(piece)
                kept += [piece] if is_text else []
    except BROKEN:
        return None, None
    return size, b"".join(kept).decode("utf-8", "replace") if is_text else None


def parsed(text):
    try:
        return json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


def inventory(project, top):
    """What there is to say of one project."""
    resources, orphans = project.resources()
    own = {path: sum(project.sizes[each] for each in files) for path, files in resources.items()}
    types = collections.defaultdict(list)
    for path in resources:
        types[kind_of(path)].append(path)
    problems = [{"path": path, "problem": "cannot be read"} for path in project.damaged]
    saves = []
    for path, files in resources.items():
        about = parsed(project.texts.get(f"{path}/resource.json", ""))
        if not isinstance(about, dict):
            problems.append({"path": path, "problem": "resource.json is no JSON"})
            continue
        named = about.get("files")
        problems += file_problems(path, files, named if isinstance(named, list) else [])
        saves += last_save(path, about)
    saves.sort(key=lambda each: each["time"], reverse=True)
    largest = sorted(own, key=lambda path: (-own[path], path))
    parent = str(project.about.get("parent") or "")
    missing = missing_views(project, types[VIEWS]) if not parent else []
    unmentioned = {kind: names[:top] for kind, names in not_mentioned(project, resources, types).items()}
    return {
        "name": project.root or str(project.about.get("title") or "project"),
        "title": str(project.about.get("title") or "")[:200],
        "parent": parent[:200],
        "enabled": project.about.get("enabled") is not False,
        "resources": len(resources),
        "files": len(project.sizes),
        "bytes": sum(project.sizes.values()),
        "types": [
            {
                "type": kind,
                "label": LABELS.get(kind, kind),
                "count": len(paths),
                "bytes": sum(own[path] for path in paths),
            }
            for kind, paths in sorted(types.items(), key=lambda each: (-len(each[1]), each[0]))
            if paths
        ],
        "script_lines": sum(project.texts.get(f"{path}/code.py", "").count("\n") for path in types[SCRIPTS]),
        "largest": [{"path": path, "bytes": own[path]} for path in largest[:top]],
        "latest": saves[:top],
        "unmentioned": unmentioned,
        "missing_views": missing[:top],
        "orphans": orphans[:top],
        "problems": sorted(problems, key=lambda each: each["path"])[:top],
    }


def kind_of(path):
    return "/".join(path.split("/")[:2])


def name_of(path):
    """A resource's path within its type, as bindings and scripts name it."""
    return "/".join(path.split("/")[2:])


def file_problems(path, files, named):
    """Say which files a resource names and lacks, and which it has and does not name."""
    there = {each[len(path) + 1 :] for each in files} - {"resource.json"}
    expected = {str(each) for each in named}
    for each in sorted(expected - there):
        yield {"path": path, "problem": f"{shown(each, 40)} is missing"}
    for each in sorted(there - expected):
        yield {"path": path, "problem": f"{shown(each, 40)} is no file of it"}


def last_save(path, about):
    """Who saved it last, and when."""
    attributes = about.get("attributes")
    last = attributes.get("lastModification") if isinstance(attributes, dict) else None
    if isinstance(last, dict) and isinstance(last.get("timestamp"), str):
        yield {"path": path, "by": str(last.get("actor") or "")[:100], "time": last["timestamp"][:40]}


def not_mentioned(project, resources, types):
    """Views, scripts and queries whose path stands in no other resource."""
    quoted, dotted = collections.defaultdict(set), collections.defaultdict(set)
    for path, files in resources.items():
        text = "\n".join(project.texts.get(each, "") for each in files if not each.endswith("/resource.json"))
        text = text.replace("\\u0027", "'").replace("\\/", "/")  # as Ignition writes JSON
        for part in set(re.split(r"[\"']", text)):
            quoted[part.rstrip("\\")].add(path)
        for word in set(re.findall(r"[A-Za-z_]\w*(?:\.\w+)+", text)):
            parts = word.split(".")
            parts = parts[1:] if parts[0] in ("project", "shared") else parts  # as 7.9 called them
            for end in range(1, len(parts) + 1):
                dotted[".".join(parts[:end])].add(path)
    found = {}
    for kind, words in ((VIEWS, quoted), (QUERIES, quoted)):
        found[LABELS[kind]] = sorted(name_of(path) for path in types[kind] if words[name_of(path)] <= {path})
    scripts = {path: name_of(path).replace("/", ".") for path in types[SCRIPTS]}
    found[LABELS[SCRIPTS]] = sorted(name for path, name in scripts.items() if dotted[name] <= {path})
    return {kind: names for kind, names in found.items() if names}


def missing_views(project, views):
    """Pages and embedded views that show a view which is not there."""
    there = {name_of(path) for path in views}
    found = set()
    config = parsed(project.texts.get(f"{PAGES}/config.json", ""))
    pages = config.get("pages") if isinstance(config, dict) else None
    for url, page in pages.items() if isinstance(pages, dict) else ():
        if isinstance(page, dict) and isinstance(page.get("viewPath"), str):
            found.add((f"page {url}", page["viewPath"]))
    for path in views:
        pending = [parsed(project.texts.get(f"{path}/view.json", ""))]
        while pending:
            node = pending.pop()
            if isinstance(node, dict):
                props = node.get("props")
                if node.get("type") == "ia.display.view" and isinstance(props, dict):
                    found.add((name_of(path), str(props.get("path") or "")))
                pending += node.values()
            elif isinstance(node, list):
                pending += node
    return [{"from": where, "view": view} for where, view in sorted(found) if view and view not in there]


def print_project(found):
    print(f"{shown(found['name'])}{': ' + shown(found['title']) if found['title'] != found['name'] else ''}")
    state = "" if found["enabled"] else ", not enabled"
    inherits = f", inherits from {shown(found['parent'], 30)}" if found["parent"] else ""
    print(f"{count(found['resources'], 'resource', 'resources')}, {size(found['bytes'])}{state}{inherits}")
    print()
    print(f"{'type':56}  {'count':>8}  {'size':>10}")
    for each in found["types"]:
        print(f"{ending(each['label'], 56):56}  {each['count']:8,}  {size(each['bytes']):>10}")
    print(f"project scripts have {count(found['script_lines'], 'line', 'lines')}")
    print_list("largest", ((f"{size(each['bytes']):>10}  ", each["path"], "") for each in found["largest"]))
    saves = ((f"{stamp(each['time'])}  ", each["path"], f"  {each['by'][:20]}") for each in found["latest"])
    print_list("saved last", saves)
    for kind, names in found["unmentioned"].items():
        print_list(f"{kind} that nothing else mentions", [("", name, "") for name in names])
    views = ((f"{shown(each['from'], 30)} shows ", each["view"], "") for each in found["missing_views"])
    print_list("views that are missing", views)
    print_list("files of no resource", (("", path, "") for path in found["orphans"]))
    problems = (("", each["path"], f": {each['problem']}") for each in found["problems"])
    print_list("problems", problems)


def print_list(title, lines):
    """A heading and what is below it, if there is anything."""
    for number, (before, path, after) in enumerate(lines):
        if not number:
            print(f"\n{title}")
        before, after = shown(before), shown(after)
        print(f"  {before}{ending(path, WIDTH - 2 - len(before) - len(after))}{after}")


def stamp(time):
    return time[:16].replace("T", " ")


def size(many):
    """Bytes as they are read at a glance."""
    for name in ("B", "KiB", "MiB"):
        if many < 1024:
            return f"{many:.3g} {name}" if many < 1000 else f"{many:.0f} {name}"
        many /= 1024
    return f"{many:,.2f} GiB"


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
        main(first)
