"""A run's output between its child and whoever records it."""

from __future__ import annotations

import codecs
import contextlib

from engine.models.runs import Stream
from engine.pool.job import RunSink
from engine.pool.rewriting import RewritableLine
from store.sizes import describe_size


class Output:
    """A run's output on its way to the sink: decoded and in order.

    It goes on over the limit: what of it is kept is the sink's business. Only where the script has asked to be stopped
    there, the output ends at the limit with a line that says so.

    Attributes:
        full: It was to stop at its limit, and is over it.
    """

    def __init__(self, sink: RunSink, limit: int, *, stops: bool = False) -> None:
        self._sink = sink
        self._limit = limit
        self._stops = stops
        self._counted = 0
        """Bytes without those that were overwritten; only where the output stops."""
        self._open: dict[Stream, RewritableLine] = {}
        self._open_size = dict.fromkeys(Stream, 0)
        self._line_open = False
        self._taken = 0
        self._decoders: dict[tuple[object, Stream], codecs.IncrementalDecoder] = {}
        self.full = False

    def take(self, source: object, stream: Stream, data: bytes) -> int:
        """Pass on what ``source`` wrote; each source has its own state of decoding.

        Returns:
            How many of its bytes are over the limit.
        """
        if self.full:
            return 0
        text = self._decode((source, stream), data)
        if text:
            if self._stops:
                self._count(stream, text)
            else:
                self._sink.output(stream, text)
        self._taken += len(data)
        return max(0, min(len(data), self._taken - self._limit))

    def held(self) -> bool:
        """Whether more of it is to be read later."""
        return self._sink.held()

    def finish(self) -> None:
        """The run has ended: what is left of a character that never became whole is shown as one that is not UTF-8."""
        if not self.full:
            for (_, stream), decoder in self._decoders.items():
                if rest := decoder.decode(b"", final=True):
                    self._sink.output(stream, rest)

    def _count(self, stream: Stream, text: str) -> None:
        """Pass ``text`` on, or as much of it as the limit allows: then the output is full."""
        kept, replaces = self._open.setdefault(stream, RewritableLine()).take(text)
        if replaces:
            self._counted -= self._open_size[stream]
        if replaces or "\n" in kept:
            self._open_size[stream] = 0
        self._open_size[stream] += byte_count(kept.rpartition("\n")[2])
        room = self._limit - self._counted
        self._counted += byte_count(kept)
        self.full = self._counted > self._limit
        shown = beginning(kept, max(0, room)) if self.full else text
        if shown:
            self._line_open = not shown.endswith("\n")
            self._sink.output(stream, shown)
        if self.full:
            newline = "\n" if self._line_open else ""
            said = f"[output limit of {describe_size(self._limit)} reached; the script was stopped]\n"
            self._sink.output(stream, newline + said)

    def _decode(self, source: tuple[object, Stream], data: bytes) -> str:
        decoder = self._decoders.get(source)
        if decoder is None:
            with contextlib.suppress(UnicodeDecodeError):
                return data.decode()
            decoder = self._decoders[source] = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(data)


def byte_count(text: str) -> int:
    """How many bytes of UTF-8 a text is."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def beginning(text: str, size: int) -> str:
    """As much of the beginning of ``text`` as makes ``size`` bytes of UTF-8 at most: whole characters."""
    if text.isascii():
        return text[:size]
    return text.encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore")
