# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "Searches, renames and checks the tags of an export; gatewright run tag_tool -- check --help"
# [tool.gatewright.permissions]
# read = ["@INPUT@"]
# ///
"""Work on a tag export from the command line."""

import argparse
import fnmatch
import json
import re
import sys
from pathlib import Path

EXPORT = Path("@INPUT@") / "tags.json"


def walk(node, path=""):
    for tag in node.get("tags", ()):
        here = f"{path}/{tag['name']}"
        yield here, tag
        yield from walk(tag, here)


def find(export, args):
    found = 0
    for path, tag in walk(export):
        if fnmatch.fnmatchcase(path, args.pattern) and (args.type is None or tag.get("tagType") == args.type):
            print(path, tag.get("dataType", "-"), sep="\t")
            found += 1
            if found == args.limit:
                print(f"... only the first {args.limit}", file=sys.stderr)
                break
    return 0 if found else 1


def rename(export, args):
    pattern = re.compile(args.search)
    changed = 0
    for path, tag in walk(export):
        new = pattern.sub(args.replacement, tag["name"])
        if new != tag["name"]:
            print(f"{path} -> {new}")
            tag["name"] = new
            changed += 1
    if not args.dry_run:
        Path("renamed.json").write_text(json.dumps(export, indent=1), encoding="utf-8")
    print(f"{changed} renamed{' (not written)' if args.dry_run else ''}")
    return 0


def check(export, args):
    problems = []
    for path, tag in walk(export):
        if not re.fullmatch(r"[\w ()'\-:]+", tag["name"]):
            problems.append(f"{path}: illegal name")
        if tag.get("tagType") == "AtomicTag" and "dataType" not in tag:
            problems.append(f"{path}: no data type")
    print("\n".join(problems) or "no problems")
    return 2 if problems and args.strict else 0


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", type=Path, default=EXPORT)
    commands = parser.add_subparsers(dest="command", required=True)
    finding = commands.add_parser("find", help="tags by pattern")
    finding.add_argument("pattern")
    finding.add_argument("--type", choices=["AtomicTag", "Folder", "UdtInstance"])
    finding.add_argument("-n", "--limit", type=int, default=20)
    finding.set_defaults(call=find)
    renaming = commands.add_parser("rename", help="by regular expression")
    renaming.add_argument("search")
    renaming.add_argument("replacement")
    renaming.add_argument("--dry-run", action="store_true")
    renaming.set_defaults(call=rename)
    checking = commands.add_parser("check", help="names and types")
    checking.add_argument("--strict", action="store_true")
    checking.set_defaults(call=check)
    args = parser.parse_args(argv)
    with args.export.open(encoding="utf-8") as file:
        return args.call(json.load(file), args)


if __name__ == "__main__":
    sys.exit(main())
