"""Speak the chat protocol that language models are served with: one POST of messages, one JSON answer.

``POST BASE/chat/completions`` as OpenAI's API and the servers of local models have it. Of an answer only the first
choice's text, why it ended and the model's name are read. httpx2's transport is used without its client: no redirect
is followed, no proxy or ``.netrc`` is taken from the environment, no cookie is kept. It is imported at the
first request.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import os
import random
import ssl
import stat
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from engine.services.access import ServiceError

if TYPE_CHECKING:
    import httpx2

MAX_ANSWER = 2 << 20
"""Bytes of an answer's body."""

CONNECT_TIMEOUT = 10.0
"""Seconds."""

TRIES = 4
FIRST_DELAY = 0.5
"""Seconds before the second try; twice as many before each further one, and up to a half more by chance."""

LONGEST_DELAY = 30.0
"""Seconds that a server may ask to wait (``Retry-After``): for longer ones the caller is told instead."""

MAX_KEY = 4096
MAX_MODEL = 200
MAX_REASON = 300
"""Characters of a server's own words that are shown."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Status codes after which the same request may do: the server is busy or broken for now (RFC 9110, section 15)."""


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    model: str
    messages: Sequence[Message]
    max_tokens: int | None = None


class _Reply(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Reply
    finish_reason: str | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    model: str = ""


class _ServerError(msgspec.Struct, frozen=True):
    message: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    error: _ServerError | str = ""


_completions = msgspec.json.Decoder(_Completion)
_refusals = msgspec.json.Decoder(_Refusal)


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    complete: bool
    model: str
    tries: int


@dataclass(frozen=True, slots=True)
class Server:
    """Where the model is.

    Attributes:
        url: The base, without a slash at its end.
        model: Named in every request.
        key_file: Holds the key that is sent as a bearer token; None where the server wants none.
        ca_file: Authorities to trust in place of the system's.
        timeout: Seconds for an answer, all tries together.
    """

    url: str
    model: str
    key_file: Path | None = None
    ca_file: Path | None = None
    timeout: float = 60.0

    @property
    def place(self) -> str:
        return urlsplit(self.url).netloc


class BadServer(ValueError):
    """There can be no such server; the message is a sentence."""


def server_at(url: str, model: str, *, key_file: str = "", ca_file: str = "", timeout: float = 60.0) -> Server:
    """Return a server as settings name it.

    Raises:
        BadServer: Something of it cannot be.
    """
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise BadServer(f'url must be like "https://models.plant.example/v1", not {url[:200]!r}.')
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise BadServer("url holds more than scheme, host, port and path; a key belongs into key_file.")
    if not model or not model.isprintable() or len(model) > MAX_MODEL:
        raise BadServer("model must name the model that is asked for.")
    for name, file in (("key_file", key_file), ("ca_file", ca_file)):
        if file and not os.path.isabs(file):
            raise BadServer(f"{name} must be an absolute path, not {file[:200]!r}.")
    if key_file and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise BadServer("with a key_file, url must begin with https:// or be on this host: others could read the key.")
    return Server(
        url.rstrip("/"), model, Path(key_file) if key_file else None, Path(ca_file) if ca_file else None, timeout
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Passing(Exception):
    """A try failed in a way that passes. ``after`` is how long the server asks to wait."""

    def __init__(self, error: ServiceError, after: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.after = after


class ChatClient:
    """Asks one server. From one event loop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._http: httpx2.AsyncHTTPTransport | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def complete(self, messages: Sequence[Message], max_tokens: int | None = None) -> Completion:
        """Return the answer to ``messages``. A cancelled caller ends the request.

        Raises:
            ServiceError: There is none, and why.
        """
        body = msgspec.json.encode(_Body(self.server.model, messages, max_tokens))
        failed: ServiceError | None = None
        try:
            async with asyncio.timeout(self.server.timeout):
                for number in range(TRIES):
                    try:
                        return await self._try(body, number + 1)
                    except _Passing as passing:
                        failed = passing.error
                        if number == TRIES - 1 or (passing.after or 0.0) > LONGEST_DELAY:
                            raise failed from None
                        await asyncio.sleep(_delay(number, passing.after))
        except TimeoutError:
            sentence = f"The assistant at {self.server.place} did not answer within {self.server.timeout:g} s."
            if failed is not None:
                sentence = f"{sentence} Before that: {failed.message}"
            hint = "Ask for less at once, or raise timeout under [assistant] in .gatewright/settings.toml."
            raise ServiceError("assistant_timeout", sentence, hint=hint, status=504) from None
        raise AssertionError("unreachable")

    async def _try(self, body: bytes, number: int) -> Completion:
        key = await asyncio.to_thread(_key, self.server.key_file)
        async with self._exchange(body, key) as (answer, data):
            if answer.status_code != 200:
                raise self._refused(answer, data, key)
        try:
            completion = _completions.decode(data)
            choice = completion.choices[0]
        except (msgspec.MsgspecError, UnicodeError, RecursionError, IndexError):
            raise self._bad("it is not what a chat server answers") from None
        if choice.message.content is None or not choice.message.content.strip():
            raise self._bad("there is no text in it")
        cut = choice.finish_reason == "length"
        return Completion(choice.message.content, not cut, completion.model[:200] or self.server.model, number)

    @asynccontextmanager
    async def _exchange(self, body: bytes, key: str) -> AsyncIterator[tuple[httpx2.Response, bytes]]:
        """Make one request and yield its answer with the whole body.

        Raises:
            _Passing: The connection failed, or ended within the answer.
        """
        http = await self._opened()
        import httpx2

        headers = [("Host", self.server.place), ("Content-Type", "application/json"), ("Accept", "application/json")]
        headers += [("Accept-Encoding", "identity"), ("Content-Length", str(len(body)))]
        if key:
            headers.append(("Authorization", f"Bearer {key}"))
        request = httpx2.Request(
            "POST",
            f"{self.server.url}/chat/completions",
            headers=headers,
            content=body,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT}},
        )
        try:
            answer = await http.handle_async_request(request)
            try:
                yield answer, await self._read(answer)
            finally:
                await answer.aclose()
        except (httpx2.TransportError, httpx2.StreamError, ssl.SSLError, OSError) as error:
            raise self._lost(error) from None

    async def _read(self, answer: httpx2.Response) -> bytes:
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise self._bad("it is compressed, which was not asked for")
        data = bytearray()
        async for piece in answer.aiter_raw():
            data += piece
            if len(data) > MAX_ANSWER:
                raise self._bad(f"it has more than {MAX_ANSWER >> 20} MiB")
        return bytes(data)

    async def _opened(self) -> httpx2.AsyncHTTPTransport:
        async with self._opening:
            if self._http is None:
                self._http = await asyncio.to_thread(_transport, self.server)
        return self._http

    def _refused(self, answer: httpx2.Response, data: bytes, key: str) -> Exception:
        status, place = answer.status_code, self.server.place
        if 300 <= status < 400:
            sentence = f"The assistant at {place} sends to another address (status {status}), which gets nothing."
            return ServiceError("assistant_redirect", sentence, hint="Correct url under [assistant].", status=502)
        said = _said(data, key)
        why = f"{status}, {said}" if said else str(status)
        if status in (401, 403):
            sentence = f"The assistant at {place} refuses the key ({why})."
            hint = "An administrator puts a key that counts into key_file under [assistant]."
            return ServiceError("assistant_key", sentence, hint=hint, status=502)
        if status == 429:
            after = _retry_after(answer.headers.get("retry-after"))
            error = ServiceError(
                "assistant_busy",
                f"The assistant at {place} has too many requests ({why}).",
                hint="Ask again later.",
                status=429,
                retry_after=after,
            )
            return _Passing(error, after)
        sentence = f"The assistant at {place} failed ({why})."
        if status in _PASSING:
            error = ServiceError("assistant_failed", sentence, hint="Ask again later.", status=502)
            return _Passing(error, _retry_after(answer.headers.get("retry-after")))
        where = "Look at url and model under [assistant]." if status in (404, 405) else None
        return ServiceError("assistant_refused", sentence, hint=where, status=502)

    def _bad(self, why: str) -> ServiceError:
        sentence = f"The answer of the assistant at {self.server.place} cannot be used: {why}."
        return ServiceError("assistant_answer", sentence, hint="Look at url and model under [assistant].", status=502)

    def _lost(self, error: Exception) -> Exception:
        place = self.server.place
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                sentence = f"The certificate of the assistant at {place} is not trusted: {cause.verify_message}."
                hint = "Name its authority by ca_file under [assistant]."
                return ServiceError("assistant_tls", sentence, hint=hint, status=502)
            if isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, ssl.SSLError):
                sentence = f"The assistant at {place} cannot be reached: {cause.strerror or os.strerror(cause.errno)}."
                return _Passing(ServiceError("assistant_unreachable", sentence, status=502))
        sentence = f"The connection to the assistant at {place} broke before its answer was there."
        return _Passing(ServiceError("assistant_unreachable", sentence, hint="Ask again.", status=502))


def _transport(server: Server) -> httpx2.AsyncHTTPTransport:
    """Make the transport. Blocks: it reads certificates."""
    import httpx2

    try:
        tls = ssl.create_default_context(cafile=None if server.ca_file is None else str(server.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ServiceError(
            "assistant_off", f"{server.ca_file} cannot be used: {error.strerror or error}.", status=503
        ) from None
    return httpx2.AsyncHTTPTransport(
        verify=tls, trust_env=False, limits=httpx2.Limits(max_connections=None, max_keepalive_connections=2)
    )


def _key(file: Path | None) -> str:
    """Read the key, each time, so that another one counts at once. Blocks.

    Raises:
        ServiceError: It cannot be read, or others could read it.
    """
    if file is None:
        return ""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _no_key(f"its key file {file} cannot be read: {error.strerror}") from None
    with open(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
            raise _no_key(f"its key file {file} is no ordinary file of the engine's account or root")
        if found.st_mode & 0o077:
            raise _no_key(f"other accounts may use its key file {file}", f"Close it to them: chmod 600 {file}")
        key = opened.read(MAX_KEY + 1).strip()
    if not key or len(key) > MAX_KEY or any(byte <= 0x20 or byte >= 0x7F for byte in key):
        raise _no_key(f"its key file {file} holds no key: one line of printable ASCII")
    return key.decode("ascii")


def _no_key(why: str, hint: str | None = None) -> ServiceError:
    return ServiceError("assistant_key", f"The assistant cannot be asked: {why}.", hint=hint, status=503)


def _said(data: bytes, key: str) -> str:
    """Return a server's own words about a refusal, short and without the key."""
    try:
        error = _refusals.decode(data).error
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    text = " ".join((error if isinstance(error, str) else error.message).split())
    text = "".join(character if character.isprintable() else "?" for character in text)
    if key:
        text = text.replace(key, "***")
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a server asks to wait (RFC 9110, section 10.2.3): a number, or a date."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _delay(number: int, after: float | None) -> float:
    """Return the seconds before the next try: never less than the server asks for."""
    usual: float = FIRST_DELAY * 2**number * random.uniform(1.0, 1.5)  # noqa: S311 - to spread load
    return max(usual, after or 0.0)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found
