"""Server-sent events as they arrive (WHATWG HTML, 9.2.6): bytes in, events out, never more held than one event."""

from __future__ import annotations

from dataclasses import dataclass

MAX_EVENT = 64 << 20
"""Bytes of one event: the final record of a run carries its value twice, as JSON and as text, escaped."""


class EventTooLargeError(Exception):
    """The stream sends an event that nobody could hold."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. ``id`` is the last one the stream named."""

    type: str
    data: bytes
    id: str


class SseParser:
    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max_event = max_event
        self._rest = bytearray()
        self._type = ""
        self._data: list[bytes] = []
        self._size = 0
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take what arrived and return the events that are complete now.

        Raises:
            EventTooLargeError: One event passes the limit.
        """
        self._rest += chunk
        if b"\n" not in chunk:
            self._check_size(len(self._rest))
            return []
        end = self._rest.rindex(b"\n")
        lines = bytes(self._rest[:end]).split(b"\n")
        del self._rest[: end + 1]
        self._check_size(len(self._rest))
        return [event for line in lines if (event := self._line(line.removesuffix(b"\r"))) is not None]

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value)
            self._check_size(self._size)
            self._data.append(value)
        elif field == b"event":
            self._type = value.decode("utf-8", "replace")
        elif field == b"id":
            self._id = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> ServerEvent | None:
        kind, data = self._type or "message", self._data
        self._type, self._data, self._size = "", [], 0
        return ServerEvent(kind, b"\n".join(data), self._id) if data else None

    def _check_size(self, size: int) -> None:
        if size > self._max_event:
            raise EventTooLargeError(f"The engine sent an event of more than {self._max_event >> 20} MiB.")
