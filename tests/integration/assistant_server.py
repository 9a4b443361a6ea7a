"""A server of the chat protocol on a real socket: it answers as the real ones do, and as badly as they do.

It checks what it is sent as strictly as a real one: place, key, types. What it answers is said by a list of behaviours,
one for each request, the last one for all that follow.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-test-0123456789abcdef"


@dataclass
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any

    @property
    def prompt(self) -> str:
        content: str = self.body["messages"][-1]["content"]
        return content


Behaviour = Callable[["AssistantServer", Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class AssistantServer:
    key: str = KEY
    model: str = "small-1"
    behaviours: list[Behaviour] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    """Open now."""
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """A connection has ended."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *behaviours: Behaviour) -> None:
        """Behave like this from now on, and forget what was asked."""
        self.behaviours, self.asked = list(behaviours), []
        self.was_asked.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.closed.clear()
        try:
            while (asked := await _request(reader)) is not None:
                self.asked.append(asked)
                self.was_asked.set()
                behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                await self._answer(behaviour, asked, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            self.closed.set()
            writer.close()

    async def _answer(
        self, behaviour: Behaviour, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer, or find that the client has gone meanwhile."""
        answering = asyncio.ensure_future((self._wrong(asked) or behaviour)(self, asked, writer))
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            raise ConnectionResetError
        if gone.done() and gone.result() == b"":
            raise ConnectionResetError
        gone.cancel()
        await asyncio.wait({gone})
        answering.result()

    def _wrong(self, asked: Asked) -> Behaviour | None:
        """What a real server says to a request that is not right."""
        if asked.headers.get("authorization") != f"Bearer {self.key}" and self.key:
            sent = asked.headers.get("authorization", "").removeprefix("Bearer ")
            return fails(401, f"Incorrect API key provided: {sent}. You can find your key at\n the account page.")
        if (asked.method, asked.target) != ("POST", "/v1/chat/completions"):
            return fails(404, f"Invalid URL ({asked.method} {asked.target})")
        body = asked.body
        if not isinstance(body, dict) or body.get("model") != self.model:
            return fails(404, "The model does not exist or you do not have access to it.")
        messages = body.get("messages")
        right = isinstance(messages, list) and all(
            set(one) == {"role", "content"}
            and one["role"] in ("system", "user", "assistant")
            and isinstance(one["content"], str)
            for one in messages
        )
        if not right or not messages or body.keys() - {"model", "messages", "max_tokens"}:
            return fails(400, "Invalid type for 'messages'.")
        return None


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    line = (await reader.readline()).decode()
    if not line:
        return None
    method, target, _ = line.split(" ")
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, json.loads(body) if body else None)


def completion(text: str | None, *, model: str = "small-1-2026", finish: str = "stop") -> bytes:
    """The body of an answer, with all that a real one has."""
    return json.dumps(
        {
            "id": "chatcmpl-7",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                    "logprobs": None,
                    "finish_reason": finish,
                }
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
            "system_fingerprint": None,
        }
    ).encode()


def raw(status: int, body: bytes, *headers: str, length: int | None = None) -> Behaviour:
    """Any answer; ``length`` is what it says of its body's length, and the connection ends if that is not true."""

    async def answer(_server: AssistantServer, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        said = len(body) if length is None else length
        head = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", f"Content-Length: {said}", *headers]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
        if said != len(body):
            raise ConnectionResetError

    return answer


def says(text: str | None, *, finish: str = "stop") -> Behaviour:
    return raw(200, completion(text, finish=finish))


def fails(status: int, message: str, *headers: str) -> Behaviour:
    """An error as the API has it."""
    body = {"error": {"message": message, "type": "some_error", "param": None, "code": None}}
    return raw(status, json.dumps(body).encode(), *headers)


async def hangs(_server: AssistantServer, _asked: Asked, _writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def drops(_server: AssistantServer, _asked: Asked, _writer: asyncio.StreamWriter) -> None:
    """End the connection without an answer."""
    raise ConnectionResetError


async def trickles(_server: AssistantServer, _asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Begin to answer, and never come to the end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def floods(_server: AssistantServer, _asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answer without end, as fast as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


@asynccontextmanager
async def assistant_server() -> AsyncIterator[AssistantServer]:
    made = AssistantServer()
    made.will(says("An answer."))
    serving = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = serving.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        serving.close()


@contextmanager
def served_assistant() -> Iterator[AssistantServer]:
    """The server in a thread of its own, for tests that wait for other processes."""
    ready, loop, made = threading.Event(), asyncio.new_event_loop(), list[AssistantServer]()

    async def serve() -> None:
        async with assistant_server() as server:
            made.append(server)
            stop.append(asyncio.Event())
            ready.set()
            await stop[0].wait()

    stop: list[asyncio.Event] = []
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(stop[0].set)
        thread.join()
        loop.close()
