"""A run's output between its child and whoever records it."""

from __future__ import annotations

import codecs
import contextlib

from engine.models.runs import Stream
from engine.pool.job import RunSink
from store.sizes import describe_size


class Output:
    """A run's output on its way to the sink: decoded, in order, and cut at the limit with a line that says so."""

    def __init__(self, sink: RunSink, limit: int) -> None:
        self._sink = sink
        self._limit = limit
        self._left = limit
        self._decoders: dict[tuple[object, Stream], codecs.IncrementalDecoder] = {}
        self._line_open = False
        self.full = False

    def take(self, source: object, stream: Stream, data: bytes) -> None:
        """Pass on what ``source`` wrote; each source has its own state of decoding."""
        if self.full:
            return
        self.full = len(data) > self._left
        data = data[: self._left]
        self._left -= len(data)
        text = self._decode((source, stream), data)
        if text:
            self._line_open = text[-1] != "\n"
            self._sink.output(stream, text)
        if self.full:
            newline = "\n" if self._line_open else ""
            self._sink.output(
                stream, f"{newline}[output limit of {describe_size(self._limit)} reached; the rest is not shown]\n"
            )

    def finish(self) -> None:
        """The run has ended: what is left of a character that never became whole is shown as one that is not UTF-8."""
        if not self.full:
            for (_, stream), decoder in self._decoders.items():
                if rest := decoder.decode(b"", final=True):
                    self._sink.output(stream, rest)

    def _decode(self, source: tuple[object, Stream], data: bytes) -> str:
        decoder = self._decoders.get(source)
        if decoder is None:
            with contextlib.suppress(UnicodeDecodeError):
                return data.decode()
            decoder = self._decoders[source] = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(data)
