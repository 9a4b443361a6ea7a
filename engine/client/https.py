"""The carrier of an engine on another host: HTTP/1.1 over TLS by httpx2, with a token.

httpx2's transport is used without its client: no cookies, no redirects followed, neither proxies nor ``.netrc`` taken
from the environment, so that a token goes to the engine that was named and nowhere else. Imported only when a URL is
given: a command that speaks to an engine of this host does not wait for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

import httpx2

from engine.client.credentials import TokenFile
from engine.client.engine_url import EngineUrl
from engine.client.target import ASK_THERE
from engine.client.transport import (
    BEFORE_ANSWER,
    IN_ANSWER,
    MAX_IDLE,
    MAX_IDLE_AGE,
    EngineLostError,
    Headers,
    Response,
    SocketTransport,
    Streams,
    TransportError,
)
from engine.registry.operation import CLIENT_HEADER

CONNECT_TIMEOUT = 10.0
"""Seconds for an address, a connection and its TLS."""

UNAUTHORIZED = 401
CLOSED = "The connection to the engine is closed."

# OpenSSL's numbers, x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


class HttpTransport:
    """Exchanges with the engine at a URL.

    Args:
        url: Where it is.
        token: Sent with every request; read again when the engine does not take it and its file has changed.
        client: ``console`` or ``cli``: runs started here are recorded with it.
        tls: Verifies the engine's certificate.
    """

    def __init__(self, url: EngineUrl, token: TokenFile, client: str, tls: ssl.SSLContext) -> None:
        self._url = url
        self._token = token
        self._client = client
        self._http = httpx2.AsyncHTTPTransport(
            verify=tls,
            trust_env=False,
            limits=httpx2.Limits(
                max_connections=None, max_keepalive_connections=MAX_IDLE, keepalive_expiry=MAX_IDLE_AGE
            ),
        )
        self._tls = tls
        self._uploads: set[SocketTransport] = set()
        self.closed = False
        self.when_silent = ASK_THERE

    @asynccontextmanager
    async def exchange(
        self, method: str, target: str, body: bytes | None = None, headers: Headers = ()
    ) -> AsyncIterator[Response]:
        """Send a request and yield its response."""
        sent = list(headers)
        if body is not None:
            sent += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        answer = await self._send(method, target, sent, body)
        if answer.status_code == UNAUTHORIZED and self._token.refresh():
            await answer.aclose()
            answer = await self._send(method, target, sent, body)
        async with self._reading(answer) as response:
            yield response

    @asynccontextmanager
    async def upload(
        self, method: str, target: str, chunks: Iterable[bytes] | AsyncIterable[bytes], size: int | None
    ) -> AsyncIterator[Response]:
        """Send a body piece by piece; an early answer, which is a refusal, ends the sending.

        httpx2 looks for an answer when it has sent everything, so this goes over a connection of its own.
        """
        if self.closed:
            raise TransportError(CLOSED)
        self._token.refresh()
        carrier = SocketTransport(self._open_streams, self._client, [self._authorization()], self._url.place)
        self._uploads.add(carrier)
        try:
            async with carrier.upload(method, target, chunks, size) as response:
                self._refuse_redirect(response.status)
                response.login_hint = self._token.refused_hint
                yield response
        finally:
            self._uploads.discard(carrier)
            await carrier.close()

    async def close(self) -> None:
        """Close every connection, also those in use: their readers see the exchange break."""
        self.closed = True
        await self._http.aclose()
        for carrier in list(self._uploads):
            await carrier.close()

    async def _open_streams(self) -> Streams:
        tls = self._tls if self._url.scheme == "https" else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await asyncio.open_connection(self._url.host, self._url.port, ssl=tls, happy_eyeballs_delay=0.25)
        except OSError as error:
            raise self._unreachable(error) from error

    def _authorization(self) -> tuple[str, str]:
        return ("Authorization", f"Bearer {self._token.text()}")

    async def _send(self, method: str, target: str, headers: Headers, content: bytes | None) -> httpx2.Response:
        if self.closed:
            raise TransportError(CLOSED)
        request = httpx2.Request(
            method,
            self._url.base + target,
            headers=[
                ("Host", self._url.place),
                self._authorization(),
                (CLIENT_HEADER, self._client),
                *headers,
            ],
            content=content,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT}},
        )
        try:
            return await self._http.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self._unreachable(error) from error
        except httpx2.RemoteProtocolError as error:
            if _parser_refused(error):
                raise self._no_engine() from error
            raise EngineLostError(BEFORE_ANSWER) from error
        except (httpx2.TransportError, ssl.SSLError, OSError) as error:
            raise EngineLostError(BEFORE_ANSWER) from error

    @asynccontextmanager
    async def _reading(self, answer: httpx2.Response) -> AsyncIterator[Response]:
        try:
            self._refuse_redirect(answer.status_code)
            yield Response(answer.status_code, _body(answer), self._token.refused_hint)
        finally:
            await answer.aclose()

    def _refuse_redirect(self, status: int) -> None:
        if 300 <= status < 400:
            raise self._no_engine(f"It redirects to another address (HTTP status {status}), which gets no token.")

    def _no_engine(self, hint: str | None = None) -> TransportError:
        return TransportError(f"What answers at {self._url.place} is no engine.", hint)

    def _unreachable(self, error: Exception) -> TransportError:
        place = self._url.place
        timed_out = isinstance(error, (httpx2.ConnectTimeout, TimeoutError))  # which has "want read" of TLS as a cause
        for cause in () if timed_out else _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return _distrusted(self._url, cause)
            if isinstance(cause, ssl.SSLError):
                return TransportError(
                    f"What answers at {place} does not speak TLS as this client does.",
                    "Look whether an engine serves TLS there, and on this port.",
                )
            if isinstance(cause, OSError) and cause.errno is not None:
                # asyncio's own words for what the kernel said name an address once more.
                why = cause.strerror if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)
                return TransportError(f"The engine at {place} cannot be reached: {why}.")
        return TransportError(f"The engine at {place} cannot be reached: it does not answer.")


async def _body(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    except (httpx2.TransportError, httpx2.StreamError, ssl.SSLError, OSError) as error:
        raise EngineLostError(IN_ANSWER) from error


def _distrusted(url: EngineUrl, error: ssl.SSLCertVerificationError) -> TransportError:
    """Return what is wrong with a certificate, and who can do something about it."""
    code = error.verify_code
    if code == _EXPIRED:
        return TransportError(f"The certificate of {url.place} has expired.", "Have it renewed there.")
    if code == _NOT_YET_VALID:
        return TransportError(f"The certificate of {url.place} is not valid yet.", "Compare the clocks of both hosts.")
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        return TransportError(
            f"The certificate of {url.place} is for another host than {url.host}.", "Use the name that it is for."
        )
    return TransportError(
        f"The certificate of {url.place} is not signed by an authority that is trusted here.",
        "If the authority is your plant's own, name its certificate: --ca-file FILE.",
    )


def _parser_refused(error: BaseException) -> bool:
    """Whether the answer was no HTTP; an end before any answer is told without a cause by the parser."""
    return any(type(cause).__module__.startswith("h11.") for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        tried = error.exceptions if isinstance(error, BaseExceptionGroup) else ()  # the addresses of a name
        error = tried[0] if tried else error.__cause__ or error.__context__
