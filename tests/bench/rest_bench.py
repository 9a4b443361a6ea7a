"""The REST API beside the library: latency by socket, TCP and TLS, a minute of 64 clients, listeners of events.

    python tests/bench/rest_bench.py [--clients 64] [--seconds 60] [--calls 400] [--quick]

The library's engine is in this process, the asked ones are processes of their own, as users have them. Every path is
asked in turn with the library, one call each, so that a machine whose speed changes changes all. Clients are plain
asyncio streams on connections that are kept: they cost some 20 µs a call. A token has 32 requests at a time, so many
clients share a few.
The bar: p50 of the library + 0.3 ms by socket and TCP; in the minute no error, 5 MB of growth from its tenth second on,
and a person's run started within 100 ms. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from engine_bench import percentile, settled
from soak import KIB_PER_MIB, memory

from engine import Engine
from engine.client import launch
from engine.client.answers import EngineUnreachable
from engine.client.client import EngineClient
from engine.models.access import TokenRequest
from engine.models.runs import RunInfo, RunKind, RunRequest, RunState
from engine.registry.access import TOKENS_CREATE
from engine.registry.engine import ENGINE_INFO

SIMPLE = "result = 1 + 1"
COMPAT = ("/data/python3integration/api/v1/exec", {"code": SIMPLE})
OURS = ("/api/v1/runs?wait=20", {"kind": "exec", "code": SIMPLE})
NOTHING: tuple[str, dict[str, str]] = ("/api/v1/access/self", {})
"""The way to the engine and back, and no run."""

PATHS = {"/exec": COMPAT, "/runs": OURS}
WAYS = {"no run": NOTHING, **PATHS}
CLIENTS_OF_TOKEN = 16
APART = 0.02
"""Seconds between two calls of one client: the slots' next children come meanwhile, as they have for the library."""

STUCK = 20
LISTENERS = 200
PATIENCE = 30.0


@dataclass(frozen=True)
class Place:
    """Where an engine is asked."""

    name: str
    socket: str = ""
    port: int = 0
    token: str = ""
    tls: ssl.SSLContext | None = None


class Caller:
    """One connection, kept."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._head = f"Host: 127.0.0.1:{place.port}\r\nContent-Type: application/json\r\n"
        if place.token:
            self._head += f"Authorization: Bearer {place.token}\r\n"

    async def connect(self) -> Caller:
        if self._place.socket:
            self._reader, self._writer = await asyncio.open_unix_connection(self._place.socket)
        else:
            name = "localhost" if self._place.tls else None
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._place.port, ssl=self._place.tls, server_hostname=name
            )
            self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def run(self, what: tuple[str, dict[str, str]]) -> str:
        """Run; return what went wrong, or an empty text."""
        path, fields = what
        body = json.dumps(fields).encode() if fields else b""
        line = f"{'POST' if fields else 'GET'} {path} HTTP/1.1\r\n"
        self._writer.write(f"{line}{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        answer = await self._reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        fine = head[9:12] == b"200" and (not fields or json.loads(answer).get("value") == 2)
        return "" if fine else f"{head[9:12].decode()} {answer[:200]!r}"

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def served(root: Path, *arguments: str) -> AsyncIterator[EngineClient]:
    root.mkdir(mode=0o700)
    command = [*launch.daemon_command(root), "--listen", "127.0.0.1:0", *arguments]
    engine = subprocess.Popen(  # noqa: ASYNC220 - nothing else goes on yet
        command, env=launch.daemon_environment(), start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        client = await answering(root)
        yield client
        await client.close()
    finally:
        engine.terminate()
        engine.wait(PATIENCE)


async def answering(root: Path) -> EngineClient:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await launch.connect(root, client="console", start=False)
            except (launch.LaunchError, EngineUnreachable):
                await asyncio.sleep(0.1)


async def places(client: EngineClient, root: Path, tokens: int) -> list[Place]:
    """The socket, and TCP by as many tokens."""
    info = await client.call(ENGINE_INFO)
    port = int(info.listening[0].rpartition(":")[2])
    found = [Place("socket", socket=str(root / ".gatewright" / "engine.sock"))]
    for number in range(tokens):
        made = await client.call(TOKENS_CREATE, body=TokenRequest(name=f"bench-{number}", role="author"))
        found.append(Place("tcp", port=port, token=made.token))
    return found


def certificate(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


async def latency(library: Engine, asked: list[Place], calls: int) -> None:
    ways = [(f"{place.name} {name}", place, what) for place in asked for name, what in WAYS.items()]
    callers = {way: await Caller(place).connect() for way, place, _ in ways}
    seconds: dict[str, list[float]] = {"library": [], **{way: [] for way, _, _ in ways}}
    problems: Counter[str] = Counter()
    for number in range(calls + 10):
        await settled(library)
        start = time.perf_counter()
        await library.execute(SIMPLE)
        taken = {"library": time.perf_counter() - start}
        for way, _, what in ways:
            await asyncio.sleep(APART)
            start = time.perf_counter()
            problem = await callers[way].run(what)
            taken[way] = time.perf_counter() - start
            problems[problem] += bool(problem)
        if number >= 10:
            for way, second in taken.items():
                seconds[way].append(second)
    floor = percentile(seconds["library"], 0.5)
    for way, found in seconds.items():
        middle, late = percentile(found, 0.5), percentile(found, 0.99)
        print(
            f"1 client, {way:14} p50 {middle * 1e3:6.2f} ms (+{(middle - floor) * 1e3:.2f}), p99 {late * 1e3:7.2f} ms"
        )
    print_problems(problems)
    for caller in callers.values():
        caller.close()


def print_problems(problems: Counter[str]) -> None:
    for problem, count in (+problems).most_common(5):
        print(f"  ERROR {count} x {problem}")


async def together(asked: list[Place], clients: int, seconds: float, what: tuple[str, dict[str, str]]) -> list[float]:
    """Have clients call one after the other; return the seconds of each call."""
    taken: list[float] = []
    problems: Counter[str] = Counter()
    end = time.perf_counter() + seconds

    async def live(place: Place) -> None:
        caller = await Caller(place).connect()
        while time.perf_counter() < end:
            start = time.perf_counter()
            problem = await caller.run(what)
            taken.append(time.perf_counter() - start)
            problems[problem] += bool(problem)
        caller.close()

    await asyncio.gather(*(live(asked[number // CLIENTS_OF_TOKEN % len(asked)]) for number in range(clients)))
    print_problems(problems)
    return taken


def describe(taken: list[float], seconds: float) -> str:
    middle, late = percentile(taken, 0.5) * 1e3, percentile(taken, 0.99) * 1e3
    return f"p50 {middle:6.1f} ms, p99 {late:6.1f} ms, {len(taken) / seconds:.0f}/s"


async def crowd(client: EngineClient, asked: list[Place], clients: int, seconds: float) -> None:
    """Have clients call for a while, and a person start a run each second beside them."""
    pid = (await client.call(ENGINE_INFO)).pid
    starts: list[float] = []
    grown: list[int] = []

    async def person() -> None:
        while True:
            await asyncio.sleep(1)
            began = time.perf_counter()
            async with aclosing(client.run_and_follow(RunRequest(kind=RunKind.EXEC, code=SIMPLE))) as events:
                async for item in events:
                    if isinstance(item, RunInfo) and item.state is not RunState.QUEUED:
                        starts.append(time.perf_counter() - began)
                        break

    async def watch() -> None:
        await asyncio.sleep(seconds / 6)
        while True:
            grown.append(memory(pid)["VmRSS"])
            await asyncio.sleep(0.5)

    beside = [asyncio.create_task(person()), asyncio.create_task(watch())]
    taken = await together(asked, clients, seconds, OURS)
    grown.append(memory(pid)["VmRSS"])
    for task in beside:
        task.cancel()
    growth = (grown[-1] - grown[0]) / KIB_PER_MIB
    print(f"{clients} clients, {seconds:.0f} s, tcp /runs: {describe(taken, seconds)}; grown by {growth:.1f} MiB")
    late = max(starts, default=0.0) * 1e3
    print(f"  a person's run beside them began after {percentile(starts, 0.5) * 1e3:.0f} ms, at most {late:.0f} ms")


async def listeners(asked: list[Place], listening: int, stuck: int, seconds: float) -> None:
    """Have clients listen to all events, some of them read nothing, while eight others call."""
    streams = []
    for _ in range(listening):
        reader, writer = await asyncio.open_unix_connection(asked[0].socket, limit=1 << 12)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        streams.append((reader, writer))
    heard = [0] * listening

    async def listen(number: int) -> None:
        while piece := await streams[number][0].read(1 << 16):
            heard[number] += piece.count(b"\nevent:")

    tasks = [asyncio.create_task(listen(number)) for number in range(stuck, listening)]
    taken = await together(asked[:1], 8, seconds, OURS)
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    for _, writer in streams:
        writer.close()
    fewest, most = min(heard[stuck:]), max(heard[stuck:])
    print(f"{listening} listeners, {stuck} stuck: each other one heard {fewest} to {most} events")
    print(f"  8 clients beside them, socket /runs: {describe(taken, seconds)}")


async def measure(folder: Path, options: argparse.Namespace) -> None:
    cert, key = certificate(folder)
    tokens = -(-options.clients // CLIENTS_OF_TOKEN)
    async with AsyncExitStack() as stack:
        library = await stack.enter_async_context(Engine.open(folder / "library"))
        client = await stack.enter_async_context(served(folder / "asked"))
        secured = await stack.enter_async_context(
            served(folder / "secured", "--tls-cert", str(cert), "--tls-key", str(key))
        )
        asked = await places(client, folder / "asked", tokens)
        port, token = (place := (await places(secured, folder / "secured", 1))[1]).port, place.token
        tls = Place("tls", port=port, token=token, tls=ssl.create_default_context(cafile=cert))
        await latency(library, [*asked[:2], tls], options.calls)
        each = options.seconds / 12
        for name, group in (("socket", asked[:1]), ("tcp", asked[1:])):
            for clients in (8, options.clients):
                for path, what in PATHS.items():
                    taken = await together(group, clients, each, what)
                    print(f"{clients} clients, {name} {path:6} {describe(taken, each)}")
        await crowd(client, asked[1:], options.clients, options.seconds)
        await listeners(asked, LISTENERS, STUCK, each)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--quick", action="store_true", help="for a check that it works")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.calls = 4.0, 20
    with tempfile.TemporaryDirectory(prefix="gatewright-rest-bench-") as folder:
        uvloop.run(measure(Path(folder).resolve(), options))


if __name__ == "__main__":
    main()
