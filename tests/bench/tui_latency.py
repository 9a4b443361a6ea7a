"""How long a key takes until its effect is on the screen, and how many bytes that is; the start; what idling costs.

    tui_latency.py [--quick] [--json FILE] [--sizes 200,1000,5000,50000] [--runs 3]
                   [--command 'gatewright --open {script} {project}'] [--setup KEYS] [--label NAME]
                   [--after 'gatewright engine stop --force --project {project}']

The command runs in a pty on a Python script of each size: ``{file}`` is its path, ``{project}`` a fresh project
folder that holds it as the script ``{script}``. It is usable when the script's first line can be read. Without a
command the editor alone is measured. Every run measures a Textual hello as well: what no console can undercut on this
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tui"))

from pty_session import PtySession, key

HERE = Path(__file__).resolve().parent
MARKER = "gatewright-bench"
EDITOR = f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'editor_app.py'))} {{file}}"
HELLO = f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'hello_app.py'))}"
ROWS, COLUMNS = 40, 120
GAP = 0.08
"""Seconds of silence after which a key has done all it does."""
WORD = "zqxjkvwy"


@dataclass(frozen=True)
class Keys:
    """Figures of one kind of key; latency in milliseconds until the change is seen."""

    count: int
    unseen: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    bytes: float


@dataclass(frozen=True)
class Start:
    """Milliseconds from the start of the process, and the bytes written until nothing more came."""

    first_byte_ms: float
    usable_ms: float
    settled_ms: float
    bytes: int


@dataclass(frozen=True)
class Idle:
    cpu_percent: float
    bytes_per_second: float


def python_source(lines: int) -> str:
    """A plausible script of exactly ``lines`` lines."""
    body = [f"# {MARKER} {lines} lines", "import json", ""]
    number = 0
    while len(body) < lines:
        number += 1
        body += [
            f"def digest_{number}(rows: list[dict[str, str]], limit: int = {number}) -> int:",
            f'    """Count what is newer than {number}; see the manual."""',
            f"    found = [row for row in rows if int(row['age']) < limit and row.get('kind') != \"note {number}\"]",
            "    for row in found:  # newest first",
            f"        print(f\"{{row['name']:<20}} {{len(row)}} {{limit + {number}}}\")",
            "    return len(found)",
            "",
        ]
    return "\n".join(body[:lines])


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] if ordered else float("nan")


def cpu_ns(pid: int) -> int:
    """Run time of a process and its children, all threads."""
    total, waiting = 0, [pid]
    while waiting:
        process = waiting.pop()
        try:
            for task in os.listdir(f"/proc/{process}/task"):
                total += int(Path(f"/proc/{process}/task/{task}/schedstat").read_text().split()[0])
                waiting += map(int, Path(f"/proc/{process}/task/{task}/children").read_text().split())
        except OSError:
            continue
    return total


def start_of(session: PtySession, limit: float) -> Start:
    """Wait until the program is usable and has come to rest."""
    usable: int | None = None
    end = time.monotonic() + limit
    while usable is None and time.monotonic() < end and not session.ended:
        for when, data in session.collect(0.3, 1.0):
            if session.show(data) and usable is None and MARKER in session.text:
                usable = when
    if usable is None or session.first_byte_ns is None:
        raise SystemExit(f"not usable after {limit:.0f} s; the screen shows:\n{session.text}")
    session.settle(0.4, 3)

    def since_start(when: int) -> float:
        return (when - session.started_ns) / 1e6

    moments = (session.first_byte_ns, usable, session.last_byte_ns)
    return Start(*map(since_start, moments), len(session.raw))


def press(session: PtySession, data: bytes, seen: Callable[[], bool]) -> tuple[float | None, int, float]:
    """Send a key; milliseconds until ``seen``, bytes written, CPU milliseconds."""
    before = cpu_ns(session.pid)
    sent = session.send(data)
    pieces = session.collect(GAP, 5.0)
    shown: int | None = None
    for when, piece in pieces:
        if session.show(piece) and shown is None and seen():
            shown = when
    latency = None if shown is None else (shown - sent) / 1e6
    return latency, sum(len(piece) for _, piece in pieces), (cpu_ns(session.pid) - before) / 1e6


def keys_of(presses: Sequence[tuple[float | None, int, float]]) -> Keys:
    latencies = [latency for latency, _, _ in presses if latency is not None]
    return Keys(
        len(presses),
        len(presses) - len(latencies),
        percentile(latencies, 0.5),
        percentile(latencies, 0.99),
        median([cpu for _, _, cpu in presses]),
        median([count for _, count, _ in presses]),
    )


def typing(session: PtySession, count: int) -> Keys:
    """Letters, each waited for; the word is taken away again unmeasured."""
    rng = random.Random(7)
    presses = []
    while len(presses) < count:
        typed = ""
        for letter in rng.sample(WORD, len(WORD)):
            typed += letter
            presses.append(press(session, letter.encode(), lambda typed=typed: typed in session.text))
        session.send(key("backspace") * len(typed))
        session.settle(GAP, 3)
    return keys_of(presses[:count])


def moving(session: PtySession, names: Sequence[str], count: int) -> Keys:
    """Keys that change any cell, in turn."""
    presses = []
    for index in range(count):
        before = [dict(session.screen.buffer[row]) for row in range(session.rows)]
        cursor = (session.screen.cursor.y, session.screen.cursor.x)

        def changed(before: list[dict[int, object]] = before, cursor: tuple[int, int] = cursor) -> bool:
            now = [dict(session.screen.buffer[row]) for row in range(session.rows)]
            return now != before or (session.screen.cursor.y, session.screen.cursor.x) != cursor

        presses.append(press(session, key(names[index % len(names)]), changed))
    return keys_of(presses)


def idling(session: PtySession, seconds: float) -> Idle:
    session.settle(0.5, 3)
    cpu, written, began = cpu_ns(session.pid), len(session.raw), time.monotonic()
    end = began + seconds
    while time.monotonic() < end:
        session.settle(seconds, max(0.01, end - time.monotonic()))
    passed = time.monotonic() - began
    return Idle((cpu_ns(session.pid) - cpu) / 1e7 / passed, (len(session.raw) - written) / passed)


def measure(command: str, lines: int, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one command on a script of ``lines`` lines; of 0 lines, only what a hello can do.

    The first start makes the project, and whatever the command keeps running for the next ones; it is reported apart.
    """
    figures: dict[str, Any] = {"lines": lines}
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as folder:
        workplace = Workplace(Path(folder), lines)
        try:
            with workplace.opened(command) as session:
                figures["first_start"] = asdict(start_of(session, 60))
            starts: list[Start] = []
            for run in range(options.runs):
                with workplace.opened(command) as session:
                    starts.append(start_of(session, 60))
                    if run == options.runs - 1:
                        figures |= keys_and_idle(session, lines, options)
        finally:
            if options.after and lines:
                workplace.run(options.after)
    figures["start"] = {name: median(asdict(start)[name] for start in starts) for name in asdict(starts[0])}
    return figures


class Workplace:
    """A fresh project with one script, and a home of its own."""

    def __init__(self, folder: Path, lines: int) -> None:
        self.project, home = folder / "project", folder / "home"
        self.file = self.project / "scripts" / "bench.py"
        self.file.parent.mkdir(parents=True)
        home.mkdir()
        self.file.write_text(python_source(lines), encoding="utf-8")
        self.env = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}

    def words(self, command: str) -> list[str]:
        return shlex.split(command.format(file=self.file, project=self.project, script=self.file.name))

    def opened(self, command: str) -> PtySession:
        return PtySession(self.words(command), rows=ROWS, columns=COLUMNS, env=self.env, cwd=self.project)

    def run(self, command: str) -> None:
        env = {**os.environ, **self.env}
        subprocess.run(self.words(command), env=env, cwd=self.project, check=True, capture_output=True)


def keys_and_idle(session: PtySession, lines: int, options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if lines:
        session.press(*options.setup.split())
        session.settle(0.3, 5)
    figures["type"] = asdict(typing(session, options.keys))
    if lines:
        half = options.keys // 2
        figures["arrow"] = asdict(moving(session, ["down", "up"], half))
        figures["newline"] = asdict(moving(session, ["enter", "backspace"], half))
        figures["page"] = asdict(moving(session, ["pagedown", "pageup"], half))
    figures["idle"] = asdict(idling(session, options.idle))
    return figures


def table(label: str, figures: dict[str, Any]) -> str:
    """One block of readable lines."""
    start, idle = figures["start"], figures["idle"]
    began = f"first byte {start['first_byte_ms']:.0f} ms, usable {start['usable_ms']:.0f} ms"
    came_to_rest = f"settled {start['settled_ms']:.0f} ms, {start['bytes'] / 1000:.1f} KB"
    idled = f"idle {idle['cpu_percent']:.2f} % CPU, {idle['bytes_per_second']:.0f} B/s"
    first = f"first ever {figures['first_start']['usable_ms']:.0f} ms"
    out = [f"{label}, {figures['lines']:,} lines: {began} ({first}), {came_to_rest}; {idled}"]
    for kind in ("type", "arrow", "newline", "page"):
        if kind in figures:
            keys = figures[kind]
            unseen = f"  {keys['unseen']} of {keys['count']} unseen" if keys["unseen"] else ""
            out.append(
                f"  {kind:<8} p50 {keys['p50_ms']:6.1f} ms   p99 {keys['p99_ms']:6.1f} ms   "
                f"CPU {keys['cpu_ms']:5.1f} ms   {keys['bytes']:6.0f} B{unseen}"
            )
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default=EDITOR, help="what to measure, with {file}, {project} and {script}")
    parser.add_argument("--after", help="what to run at the end of each size, such as stopping an engine")
    parser.add_argument("--label", default="editor", help="its name in the results")
    parser.add_argument("--setup", default="pagedown pagedown end", help="keys pressed before the measured ones")
    parser.add_argument("--sizes", default="200,1000,5000,50000", help="lines of the script")
    parser.add_argument("--runs", type=int, default=3, help="starts per size; their median is reported")
    parser.add_argument("--keys", type=int, default=48, help="measured keys")
    parser.add_argument("--idle", type=float, default=5.0, help="seconds of idling")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quick", action="store_true", help="one short pass over 200 lines: does it work at all?")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.runs, options.keys, options.idle = "200", 1, 8, 1.0
    floor = measure(HELLO, 0, options)
    print(table("hello", floor), flush=True)
    results = []
    for size in options.sizes.split(","):
        results.append(measure(options.command, int(size), options))
        print(table(options.label, results[-1]), flush=True)
    if options.json is not None:
        figures = {"label": options.label, "terminal": f"{COLUMNS}x{ROWS}", "floor": floor, "sizes": results}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
