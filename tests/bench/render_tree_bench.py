"""What ``gatewright render`` of ten thousand documents takes, beside reading and writing them.

    python tests/bench/render_tree_bench.py [--quick] [--documents N] [--rounds N]

Three tags in each document, of three macros, in the full sandbox, by the command line as people call it, its start
included; the engine runs already. The floor reads every document and writes what came out of it, each beside its place
and put there by rename, as the command does, in one process that does nothing else. Rounds take turns. Processor time,
of the command with its start and of the engine, is what other load changes least, and what the disk's file system does
with files that were just removed: ext4 then makes new ones ten times as slowly, for both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

AIM = 5.0
"""Times the floor."""

MACRO = """# /// script
# [tool.gatewright]
# kind = "macro"
# ///
def render(params, context):
    return f"<span class='{name}'>{{params['name']}} {{params['number']}} {{params['share']}}</span>" + " " * 120
"""

WORDS = ["pump", "valve", "seal", "pressure", "shift", "report", "gauge", "filter", "motor", "line"]


def make_documents(folder: Path, count: int) -> None:
    """Write documents of about two KiB, a hundred in a folder."""
    for number in range(count):
        place = folder / f"{number // 100:03}"
        place.mkdir(parents=True, exist_ok=True)
        body = " ".join(WORDS[(number + each) % len(WORDS)] for each in range(250))
        tags = "\n".join(
            f'[[{name} name="document {number}" number={number} share={number / 7:.3f}]]\n\n{body}'
            for name in ("first", "second", "third")
        )
        head = f"---\ntitle: Document {number}\ntags: [{WORDS[number % 10]}]\n---\n"
        (place / f"{number:05}.md").write_text(f"{head}{tags}\n")


def floor(source: Path, result: Path, out: Path) -> tuple[float, float]:
    """Return the seconds, and those of the processor, that reading every document and writing every result takes."""
    texts = {path.relative_to(result): path.read_bytes() for path in result.rglob("*.md")}
    begun, used = time.perf_counter(), time.process_time()
    for root, folders, names in os.walk(source):
        folders.sort()
        place = os.path.join(out, os.path.relpath(root, source))
        os.makedirs(place, exist_ok=True)
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                file.read()
            temp = os.path.join(place, f".{name}.tmp")
            with open(temp, "wb") as file:
                file.write(texts[Path(os.path.relpath(path, source))])
            os.rename(temp, os.path.join(place, name))
    return time.perf_counter() - begun, time.process_time() - used


def gatewright(project: Path, *arguments: str) -> tuple[float, str]:
    """Call the command; return its seconds and what it said."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", "--project", str(project), *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return time.perf_counter() - begun, done.stderr.strip() or done.stdout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a smoke run: 500 documents")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.quick:
        options.documents = min(options.documents, 500)
    with tempfile.TemporaryDirectory(prefix="gatewright-render-bench-") as folder:
        root = Path(folder)
        project, source = root / "plant", root / "docs"
        make_documents(source, options.documents)
        subprocess.run([sys.executable, "-m", "tui.cli", "init", str(project)], check=True, capture_output=True)
        for name in ("first", "second", "third"):
            (project / "scripts" / "bench").mkdir(exist_ok=True)
            (project / "scripts" / "bench" / f"{name}.py").write_text(MACRO.format(name=name))
        try:
            measure(root, project, source, options.rounds, options.documents)
        finally:
            gatewright(project, "engine", "stop")


def processor_time(pid: int) -> float:
    """Return the seconds that a process has used, all of its threads together (proc_pid_stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def used_by_children() -> float:
    used = os.times()
    return used.children_user + used.children_system


@dataclass
class Row:
    name: str
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def told(self, documents: int) -> str:
        took = sorted(self.seconds)
        p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
        used = statistics.median(self.processor) if self.processor else 0.0
        each = f"p50 {p50 / documents * 1e6:6.0f} us  p99 {p99 / documents * 1e6:6.0f} us a document"
        return f"  {self.name:30} p50 {p50:6.2f} s  {each}  processor {used / documents * 1e6:5.0f} us"


def measure(root: Path, project: Path, source: Path, rounds: int, documents: int) -> None:
    least, rendered = Row("reading and writing them"), Row("gatewright render")
    again = Row("once more, nothing changed")
    _, status = gatewright(project, "engine", "status", "--json")
    engine = int(json.loads(status)["engine"]["pid"])
    for number in range(rounds):
        out = root / f"out{number}"
        for row in (rendered, again):
            used = used_by_children() + processor_time(engine)
            seconds, said = gatewright(project, "render", str(source), "--out", str(out))
            row.seconds.append(seconds)
            row.processor.append(used_by_children() + processor_time(engine) - used)
            print(said, flush=True)
        seconds, used = floor(source, out, root / f"floor{number}")
        least.seconds.append(seconds)
        least.processor.append(used)
    print(f"{documents:,} documents with 3 tags each, {rounds} rounds")
    for row in (least, rendered, again):
        print(row.told(documents))
    times = statistics.median(rendered.seconds) / statistics.median(least.seconds)
    print(f"  {times:.1f} x the floor; the aim is {AIM:g} x or less")


if __name__ == "__main__":
    main()
