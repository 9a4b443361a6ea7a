"""One script on many gateways, against the slowest of them alone: ``gatewright run --on``.

    python tests/bench/fleet_bench.py [--engines 20] [--repeat 5] [--quick]

Real engines on this host, each with a project and a socket of its own, are asked by the command line, whole processes
timed. Two scripts: one that waits, as scripts do that ask a device (half a second, on one gateway a whole one), and one
that does nothing, so that what is left is the work of client and engines on the processors that this host has. The bar
is that all together take no more than twice as long as the slowest one alone. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROGRAM = str(Path(sys.executable).parent / "gatewright")
SCRIPTS = {
    "waits": "import time\ntime.sleep({seconds})\nresult = 1\n",
    "does nothing": "result = 1\n",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engines", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="three engines, once")
    given = parser.parse_args()
    engines, repeat = (3, 1) if given.quick else (given.engines, given.repeat)
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as folder:
        root = Path(folder)
        names = [f"gw-{number:02}" for number in range(1, engines + 1)]
        try:
            with ThreadPoolExecutor(2) as threads:
                list(threads.map(lambda name: prepared(root, name, slow=name == names[-1]), names))
            print(f"{engines} engines, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
            for script in SCRIPTS:
                compare(root, names, script, repeat)
        finally:
            for name in names:
                call(root, "--project", str(root / name), "engine", "stop", "--force")


def prepared(root: Path, name: str, *, slow: bool) -> None:
    """A project with its scripts, its engine started, and its name in the file of gateways."""
    (root / name).mkdir()
    started = call(root, "--project", str(root / name), "engine", "start")
    if started.returncode:
        raise SystemExit(started.stderr.decode())
    for script, text in SCRIPTS.items():
        path = root / name / "scripts" / f"{script.replace(' ', '_')}.py"
        path.write_text(text.format(seconds=1.0 if slow else 0.5))
    call(root, "gateways", "add", name, "--project", str(root / name))


def compare(root: Path, names: list[str], script: str, repeat: int) -> None:
    """Time each gateway alone and all together, and print both."""
    timed(root, script, "@all")  # the first run of a text is a little slower
    alone = {name: statistics.median(timed(root, script, name) for _ in range(repeat)) for name in names}
    slowest = max(alone, key=lambda name: alone[name])
    together = [timed(root, script, "@all") for _ in range(repeat)]
    median = statistics.median(together)
    print(
        f"{script:>12}: slowest alone {alone[slowest] * 1000:7.1f} ms ({slowest}), "
        f"all together {median * 1000:7.1f} ms, {median / alone[slowest]:.2f} times"
    )


def timed(root: Path, script: str, on: str) -> float:
    """Seconds of one command; every gateway must have answered well."""
    start = time.perf_counter()
    done = call(root, "run", script.replace(" ", "_"), "--on", on)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{done.stdout.decode()}{done.stderr.decode()}")
    return seconds


def call(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATEWRIGHT_")}
    return subprocess.run(
        [PROGRAM, *arguments], cwd=root, capture_output=True,
        env={**environ, "XDG_CONFIG_HOME": str(root / "config"), "GATEWRIGHT_YIELD_ENABLED": "false"},
        stdin=subprocess.DEVNULL, check=False, timeout=300,
    )  # fmt: skip


if __name__ == "__main__":
    main()
