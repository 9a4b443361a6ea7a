"""An engine on another host, by its URL; also the way in for asyncio programs of others.

Example::

    import asyncio
    from engine.client.remote import connect
    from engine.models.runs import RunKind, RunRequest

    async def main():
        async with connect("https://gw-02:9089", token_file="~/gw-02.token") as engine:
            run = await engine.run_to_end(RunRequest(kind=RunKind.SCRIPT, script="night/adds", params={"n": 41}))
            print(run.outcome, run.value, run.output)

    asyncio.run(main())
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.client.client import EngineClient
from engine.client.credentials import TokenFile
from engine.client.engine_url import EngineUrl, parse_url
from engine.client.starter import LaunchError
from engine.client.target import REFUSED, ask_to_stop, meet

TLS_LOOK = 2.0
"""Seconds to find out whether a port that did not understand plain HTTP speaks TLS."""


@dataclass(frozen=True, slots=True)
class RemoteTarget:
    """An engine by its URL.

    Attributes:
        url: Where it is.
        token_file: Holds the token; absolute.
        ca_file: Certificates of the authorities to trust in place of the system's; None for the system's.
    """

    url: EngineUrl
    token_file: Path
    ca_file: Path | None = None

    @property
    def name(self) -> str:
        return self.url.place

    @property
    def key(self) -> str:
        return self.url.base

    @property
    def folder(self) -> Path | None:
        return None

    async def connect(self, client: str, *, start: bool = True) -> EngineClient:  # noqa: ARG002 - starts none
        token = TokenFile(self.token_file)
        token.check()
        tls = self._tls()
        from engine.client.https import HttpTransport

        try:
            return await meet(HttpTransport(self.url, token, client, tls), self.name)
        except LaunchError as error:
            if self.url.scheme == "http" and error.exit_code != REFUSED and await _speaks_tls(self.url):
                raise LaunchError(
                    f"The engine at {self.name} speaks TLS.", f"Use https in its URL: https://{self.name}", exit_code=2
                ) from None
            raise

    async def reach(self, client: str) -> EngineClient | None:
        return await self.connect(client)

    async def stop(self, client: str, *, force: bool) -> bool:
        await ask_to_stop(await self.connect(client), force=force)
        return True

    def _tls(self) -> ssl.SSLContext:
        """Return what verifies certificates and names; there is no way to do without."""
        if self.url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        except ssl.SSLError:
            sentence = f"{self.ca_file} holds no certificate."
        except OSError as error:
            sentence = f"{self.ca_file} cannot be read: {error.strerror}."
        else:
            # Python 3.13 refuses authorities without the extensions of RFC 5280, as a plant's own often are; what
            # counts here must not depend on the Python that the client was installed with.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            return context
        raise LaunchError(sentence, "--ca-file takes certificates as PEM text.", exit_code=2)


def remote_target(url: str, token_file: str | Path, ca_file: str | Path | None = None) -> RemoteTarget:
    """Return the target that a URL and files name.

    Raises:
        LaunchError: The URL is none of an engine, or a token would go over a network in the clear.
    """
    return RemoteTarget(parse_url(url), _file(token_file), None if ca_file is None else _file(ca_file))


@asynccontextmanager
async def connect(
    url: str, *, token_file: str | Path, ca_file: str | Path | None = None, client: str = "python"
) -> AsyncIterator[EngineClient]:
    """Connect to an engine and hand out its client for as long as the block lasts.

    Args:
        url: ``https://HOST:PORT``; plain ``http`` to addresses of this host only.
        token_file: Holds the token, closed to other accounts.
        ca_file: Certificates of the authorities to trust; else those in the file that the variable GATEWRIGHT_CA_FILE
            names, else the system's. Certificates are always verified.
        client: What runs started here are recorded with.

    Raises:
        LaunchError: It cannot be reached, is of another version, is none, or does not take the token.
        EngineError: In the block: the engine refused a call.
        EngineUnreachable: In the block: it is gone.
    """
    trusted = ca_file if ca_file is not None else os.environ.get("GATEWRIGHT_CA_FILE") or None
    engine = await remote_target(url, token_file, trusted).connect(client)
    try:
        yield engine
    finally:
        await engine.close()


async def _speaks_tls(url: EngineUrl) -> bool:
    """Whether TLS answers at a port of this host. Nothing is sent, so whose certificate it is does not count."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(TLS_LOOK):
            _, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
    except OSError:  # TimeoutError and ssl.SSLError among them
        return False
    writer.transport.abort()
    return True


def _file(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()
