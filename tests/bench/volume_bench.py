"""Sessions of a plant that call one saved script each second with a token: what they get, and what that writes.

    python tests/bench/volume_bench.py [--sessions 100] [--seconds 600] [--folder /var/tmp] [--quick]

A real engine on loopback TCP, a token of the role operator, and one connection for each session, which is kept. Each
session calls ``POST /api/v1/runs?wait=20`` once a second, at a moment of its own. Written bytes are ``write_bytes`` of
the engine's /proc/PID/io (proc_pid_io(5)): what it caused to be sent to the disk, the log of the database with it;
beside it stands by how much the project's private folder has grown. The first seconds are not counted: until a call has
gone well once, each has a record of its own.
The bar is no failure and 40 KiB/s. Nothing here passes or fails.

Two cores that eight others kept busy (load 18 to 26), the bench itself at nice 10, 10 minutes: 51,384 calls, written
7.2 KiB/s, the folder grew by 4.6 KiB/s; 115 calls had no slot within the five seconds that one waits for it. 45 seconds
at the usual priority: 4,046 calls, no failure, written 4.4 KiB/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from engine.client import launch
from engine.registry.engine import ENGINE_INFO

SCRIPT = "import math\nprint('read')\nresult = {'value': math.sqrt(params.get('n', 2)), 'quality': 'Good'}"
WARM_UP = 5.0
KIB = 1 << 10


@dataclass
class Tally:
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)


async def session(address: tuple[str, int], token: str, number: int, until: float, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection(*address)
    due = time.monotonic() + random.random()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due = max(due + 1.0, time.monotonic())
        body = json.dumps({"kind": "script", "script": "tag.py", "params": {"n": number}}).encode()
        head = (
            f"POST /api/v1/runs?wait=20 HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        began = time.monotonic()
        writer.write(head.encode() + body)
        answer_head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(answer_head.split("content-length:")[1].split("\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        tally.seconds.append(time.monotonic() - began)
        if answer.get("outcome") != "ok":
            tally.failures[str(answer.get("code") or answer.get("outcome"))] += 1
    writer.close()


def written(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def token_of(root: Path) -> str:
    command = [
        sys.executable, "-m", "tui.cli", "--project", str(root), "token", "create", "--role", "operator", "--name",
        "bench", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["token"])


async def measure(root: Path, sessions: int, seconds: float) -> None:
    client = await launch.connect(root, client="cli", start=False)
    info = await client.call(ENGINE_INFO)
    (root / "scripts" / "tag.py").write_text(SCRIPT)
    host, _, port = info.listening[0].rpartition("//")[2].rpartition(":")
    address, token, tally = (host, int(port)), await asyncio.to_thread(token_of, root), Tally()
    began = time.monotonic()
    tasks = [
        asyncio.create_task(session(address, token, number, began + WARM_UP + seconds, tally))
        for number in range(sessions)
    ]
    await asyncio.sleep(WARM_UP)
    private = root / ".gatewright"
    before, before_size, start = written(info.pid), size(private), time.monotonic()
    await asyncio.gather(*tasks)
    took = time.monotonic() - start
    ordered = sorted(tally.seconds)
    rate = (written(info.pid) - before) / took / KIB
    growth = (size(private) - before_size) / took / KIB
    print(f"{sessions} sessions, {took:.0f} s: {len(ordered)} calls, failures: {dict(tally.failures) or 'none'}")
    print(f"p50 {ordered[len(ordered) // 2] * 1e3:.1f} ms, p99 {ordered[int(len(ordered) * 0.99)] * 1e3:.1f} ms")
    print(f"written {rate:.1f} KiB/s (write_bytes), folder grew {growth:.2f} KiB/s, load {os.getloadavg()[0]:.1f}")
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--folder", default="/var/tmp", help="where the project is made: on a real disk")
    parser.add_argument("--quick", action="store_true", help="20 seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder).resolve() / "plant"
        root.mkdir(mode=0o700)
        command = [*launch.daemon_command(root), "--listen", "127.0.0.1:0"]
        engine = subprocess.Popen(command, env=launch.daemon_environment(), start_new_session=True)
        try:
            asyncio.run(ready(root))
            asyncio.run(measure(root, options.sessions, 20 if options.quick else options.seconds))
        finally:
            engine.terminate()
            engine.wait(30)


async def ready(root: Path) -> None:
    for _ in range(200):
        try:
            client = await launch.connect(root, client="cli", start=False)
        except Exception:  # noqa: BLE001 - not yet
            await asyncio.sleep(0.1)
        else:
            await client.close()
            return
    raise SystemExit("the engine does not start")


if __name__ == "__main__":
    main()
