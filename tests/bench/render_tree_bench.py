"""What ``gatewright render`` of ten thousand documents takes, beside reading and writing them.

    python tests/bench/render_tree_bench.py [--documents N] [--rounds N]

Three tags in each document, of three macros, in the full sandbox, by the command line as people call it, its start
included; the engine runs already. The floor reads every document and writes what came out of it, each beside its place
and put there by rename, as the command does, in one process that does nothing else. Rounds take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
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


def floor(source: Path, result: Path, out: Path) -> float:
    """Return the seconds that reading every document and writing every result takes."""
    texts = {path.relative_to(result): path.read_bytes() for path in result.rglob("*.md")}
    begun = time.perf_counter()
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
    return time.perf_counter() - begun


def gatewright(project: Path, *arguments: str) -> tuple[float, str]:
    """Call the command; return its seconds and what it said."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", "--project", str(project), *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return time.perf_counter() - begun, done.stderr.strip()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
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


def measure(root: Path, project: Path, source: Path, rounds: int, documents: int) -> None:
    rendered, floors, again = [], [], []
    for number in range(rounds):
        out = root / f"out{number}"
        seconds, said = gatewright(project, "render", str(source), "--out", str(out))
        rendered.append(seconds)
        floors.append(floor(source, out, root / f"floor{number}"))
        seconds, _ = gatewright(project, "render", str(source), "--out", str(out))
        again.append(seconds)
        print(f"{said}", flush=True)
    least, took, second = (statistics.median(each) for each in (floors, rendered, again))
    print(f"{documents:,} documents with 3 tags each, the median of {rounds} rounds")
    print(f"  reading and writing them     {least:7.2f} s   {least / documents * 1e6:6.0f} us a document")
    print(f"  gatewright render            {took:7.2f} s   {took / documents * 1e6:6.0f} us a document")
    print(f"  once more, nothing changed   {second:7.2f} s")
    print(f"  {took / least:.1f} x the floor; the aim is {AIM:g} x or less")


if __name__ == "__main__":
    main()
