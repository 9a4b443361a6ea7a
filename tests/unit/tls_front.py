"""An engine's unix socket behind TCP or TLS on the loopback, and certificates of an authority of its own."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

TOKEN = "gw_the-secret-of-this-test"

CONFIGURATION = """[ca]
default_ca = here
[here]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
"""


class Authority:
    """Signs certificates for hosts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.file = folder / "ca.pem"
        (folder / "configuration").write_text(CONFIGURATION)
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=plant", "-keyout", "ca.key", "-out", "ca.pem")
        self._openssl("req", *key, "-subj", "/CN=engine", "-keyout", "host.key", "-out", "host.csr")

    def context(self, names: str, *, expired: bool = False) -> ssl.SSLContext:
        """Return what a server with a certificate for ``names`` needs."""
        (self._folder / "names").write_text(f"subjectAltName={names}\n")
        dates = ["20200101000000Z", "20200102000000Z"] if expired else ["20200101000000Z", "20991231000000Z"]
        self._openssl(
            "ca", "-batch", "-notext", "-config", "configuration", "-cert", "ca.pem", "-keyfile", "ca.key",
            "-in", "host.csr", "-out", "host.pem", "-startdate", dates[0], "-enddate", dates[1], "-extfile", "names",
        )  # fmt: skip
        (self._folder / "index").write_text("")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._folder / "host.pem", self._folder / "host.key")
        return context

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class Front:
    """Hands bytes to and fro; counts, and cuts, its connections."""

    def __init__(self, connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        self._connect = connect
        self._serving: set[asyncio.Task[object]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.count = 0
        """Connections ever."""
        self.received = 0
        """Bytes from clients."""

    @property
    def open(self) -> int:
        return len(self._writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        self._writers.add(writer)
        this = asyncio.current_task()
        assert this is not None
        self._serving.add(this)
        this.add_done_callback(self._serving.discard)
        try:
            engine_reader, engine_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        ways = [self._copy(reader, engine_writer, count=True), self._copy(engine_reader, writer)]
        tasks = {asyncio.ensure_future(way) for way in ways}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, engine_writer):
            end.close()
        await asyncio.wait(tasks)
        self._writers.discard(writer)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool = False) -> None:
        with suppress(OSError, ssl.SSLError):
            while piece := await reader.read(65536):
                if count:
                    self.received += len(piece)
                writer.write(piece)
                await writer.drain()

    async def closed(self) -> None:
        """Wait until no connection is left."""
        await asyncio.gather(*self._serving, return_exceptions=True)

    def cut(self) -> None:
        """Let every line drop."""
        for writer in list(self._writers):
            writer.transport.abort()


@asynccontextmanager
async def front(
    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Front]:
    """Serve what ``connect`` reaches on a free port of 127.0.0.1."""
    found = Front(connect)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        found.cut()
        await found.closed()


def token_file(folder: Path, text: str = TOKEN, mode: int = 0o600) -> Path:
    """A file with a token, as people keep one."""
    file = folder / "token"
    file.write_text(f"{text}\n")
    file.chmod(mode)
    return file
