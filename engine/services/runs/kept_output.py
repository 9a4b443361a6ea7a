"""What is kept of a run's output: all of it up to its limit, else the first half and the last.

Whoever reads along and keeps up gets every chunk as it comes: what goes, goes from behind him. A reader who comes
later, or is too slow, gets one line in the place of what is not there any more. That line has the number of the newest
chunk that went, so that it is given to those who have not had that chunk and to nobody else. In the ring every other
number is left out: should a chunk lose its beginning, the line is given to all who have not had this chunk.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from operator import attrgetter

from msgspec.structs import replace

from engine.models.runs import OutputChunk, Stream, not_kept
from engine.pool.output import beginning, byte_count
from engine.pool.rewriting import RewritableLine
from store.sizes import describe_size

PIECE = 64 << 10
"""Characters of a chunk at most."""

MOST_CHUNKS = 20_000
"""In each half. A chunk takes some 250 bytes beside its text, and output that goes from one stream to the other with
every few bytes makes a chunk of these."""

MOST_PLACES = 64
"""Chunks of a line without an end that are remembered; the rest of it stays when it is overwritten."""

LOOKED_BACK = 1_024
"""Chunks behind the newest one that are looked through for what is overwritten. A script decides how often that is."""

SHORT = 16
"""A line that the first half has no room for goes into the ring as a whole, if that leaves no more than this part of
the limit unused."""

GAP = re.compile(r"\n?\[[^\n]+ of output (?:is|are) missing here: [^\n]+\]\n")
"""The line in the place of what is missing. In the records it is a row as any other."""

_number = attrgetter("seq")


class KeptOutput:
    """The chunks of one run, numbered as they come.

    Attributes:
        missing_bytes: What has gone from the middle.
        missing_lines: How many line ends were in that.
    """

    __slots__ = (
        "_crowded",
        "_gap_recorded",
        "_gone_from",
        "_head",
        "_head_bytes",
        "_limit",
        "_next",
        "_open",
        "_places",
        "_removed",
        "_shortened",
        "_tail",
        "_tail_bytes",
        "_torn",
        "_unrecorded",
        "missing_bytes",
        "missing_lines",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head: list[OutputChunk] = []
        self._head_bytes = 0
        self._tail: deque[OutputChunk] | None = None
        """The ring; None as long as the first half has room."""
        self._tail_bytes = 0
        self._next = 0
        self._open = {stream: RewritableLine() for stream in Stream}
        self._places: dict[Stream, list[tuple[int, int]]] = {stream: [] for stream in Stream}
        """The line that each stream has open: in which chunks it is, and from which character of each on."""
        self._torn: set[Stream] = set()
        """Streams of which the newest text that went did not end its line."""
        self._gone_from = dict.fromkeys(Stream, 0)
        self._shortened = False
        """The first chunk of the ring has lost its beginning."""
        self._crowded = False
        """Chunks went because they were too many, not too large."""
        self._removed: set[int] = set()
        self._unrecorded: dict[int, OutputChunk] = {}
        self._gap_recorded: int | None = None
        self.missing_bytes = 0
        self.missing_lines = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._head_bytes + self._tail_bytes

    @property
    def settled(self) -> bool:
        """Whether what comes now stays; else it may go again."""
        return self._tail is None

    def add(self, stream: Stream, text: str, at: float) -> list[OutputChunk]:
        """Take the next text of a stream and return it as chunks, of which the oldest may be gone again already."""
        added: list[OutputChunk] = []
        text, stands_for_line = self._open[stream].take(text)
        places = self._places[stream]
        if stands_for_line:
            self._overwrite(places)
            places.clear()
        for part in self._parts(stream, text):
            chunk = OutputChunk(seq=self._next, stream=stream, text=part, at=at)
            self._next += 1 if self._tail is None else 2
            added.append(chunk)
            self._unrecorded[chunk.seq] = chunk
            if self._tail is None:
                self._head.append(chunk)
                self._head_bytes += byte_count(part)
            else:
                self._tail.append(chunk)
                self._tail_bytes += byte_count(part)
                self._make_room(self._tail)
            line_start = part.rfind("\n") + 1
            if line_start:
                places.clear()
            if line_start < len(part) and len(places) < MOST_PLACES:
                places.append((chunk.seq, line_start))
        return added

    def since(self, after: int) -> list[OutputChunk]:
        """The chunks from number ``after`` on, and between them the line that says what is missing."""
        found: list[OutputChunk] = []
        if self._tail is not None:
            for chunk in reversed(self._tail):
                if chunk.seq < after:
                    return found[::-1]
                found.append(chunk)
            gap = self._gap()
            if gap is not None and gap.seq >= after:
                found.append(gap)
            found.reverse()
        return self._head[bisect_left(self._head, after, key=_number) :] + found

    def take_changes(self) -> tuple[list[int], list[OutputChunk]]:
        """Return the numbers to take off the record, and the chunks to put on it then, since the last time."""
        if (gap := self._gap()) is not None:
            if self._gap_recorded is not None:
                self._removed.add(self._gap_recorded)
            self._gap_recorded = gap.seq
            self._unrecorded[gap.seq] = gap
        removed, added = sorted(self._removed), [self._unrecorded[number] for number in sorted(self._unrecorded)]
        self._removed, self._unrecorded = set(), {}
        return removed, added

    def finish(self) -> None:
        """Nothing more comes: keep exactly what the limit allows, from the beginning of a line on where that can be."""
        if not self._tail:
            return
        if (excess := self.size - self._limit) > 0:
            first = self._tail[0]
            fits = len(beginning(first.text, excess))
            more = byte_count(first.text[:fits]) < excess
            self._cut_first(self._tail, min(fits + more, len(first.text) - 1))
        first = self._tail[0]
        if first.stream in self._torn:
            line_end = first.text.find("\n") + 1
            if line_end and (line_end < len(first.text) or len(self._tail) > 1):
                self._cut_first(self._tail, line_end)

    def sentence(self) -> str | None:
        """What is missing, for the run's record; None if nothing is."""
        if not self.missing_bytes:
            return None
        return not_kept(self._amount(), self._are(), self._reason())

    def _gap(self) -> OutputChunk | None:
        """The line in the place of what is missing, in the stream that misses most."""
        if not self.missing_bytes or not self._tail:
            return None
        first = self._tail[0]
        stream = max(self._gone_from, key=self._gone_from.__getitem__)
        newline = "" if self._ends_line(stream) else "\n"
        text = f"{newline}[{self._amount()} of output {self._are()} missing here: {self._reason()}]\n"
        number = first.seq - (1 if self._shortened else 2)
        return OutputChunk(seq=number, stream=stream, text=text, at=first.at, gap=True)

    def _amount(self) -> str:
        size = describe_size(self.missing_bytes)
        if not self.missing_lines:
            return size
        return f"{size} ({self.missing_lines:,} {'line' if self.missing_lines == 1 else 'lines'})"

    def _are(self) -> str:
        return "is" if self.missing_lines == 1 else "are"

    def _reason(self) -> str:
        if self._crowded:
            return f"it went from one stream to the other more than {2 * MOST_CHUNKS:,} times"
        return f"it was longer than its limit, {describe_size(self._limit)} (limits.output)"

    def _parts(self, stream: Stream, text: str) -> Iterator[str]:
        """``text`` in pieces, one of which ends where the first half does."""
        for piece in pieces(text):
            rest = piece
            if self._tail is None:
                room = self._limit // 2 - self._head_bytes if len(self._head) < MOST_CHUNKS else 0
                if byte_count(piece) > room:
                    end = self._end_in(stream, beginning(piece, room))
                    if end:
                        yield piece[:end]
                    rest = piece[end:]
                    self._tail = deque()
                    self._next += 2  # for the line that says what is missing
            if rest:
                yield rest

    def _end_in(self, stream: Stream, fits: str) -> int:
        """Where to end the first half in ``fits``: behind a line; in a line only if it is long, or was begun before."""
        end = fits.rfind("\n") + 1
        short = len(fits) < self._limit // SHORT
        return end if end or (short and self._ends_line(stream)) else len(fits)

    def _ends_line(self, stream: Stream) -> bool:
        """Whether what the first half has of a stream ends a line, or is nothing."""
        last = next((chunk for chunk in reversed(self._head) if chunk.stream is stream), None)
        return last is None or last.text.endswith("\n")

    def _make_room(self, tail: deque[OutputChunk]) -> None:
        """Let go of the oldest chunks of the ring, as long as what is left is as much as may be kept."""
        while len(tail) > 1:
            if len(tail) > MOST_CHUNKS:
                self._crowded = True
            elif self.size - byte_count(tail[0].text) < self._limit:
                return
            self._cut_first(tail, len(tail[0].text))

    def _cut_first(self, tail: deque[OutputChunk], end: int) -> None:
        """Let go of the first chunk of the ring up to character ``end``."""
        first = tail[0]
        gone, rest = first.text[:end], first.text[end:]
        if not gone:
            return
        size = byte_count(gone)
        self.missing_bytes += size
        self.missing_lines += gone.count("\n")
        self._gone_from[first.stream] += size
        self._tail_bytes -= size
        (self._torn.discard if gone.endswith("\n") else self._torn.add)(first.stream)
        self._forget(first.seq)
        self._shortened = bool(rest)
        if rest:
            tail[0] = self._unrecorded[first.seq] = replace(first, text=rest)
        else:
            tail.popleft()

    def _overwrite(self, places: list[tuple[int, int]]) -> None:
        """Take what stands in ``places`` off, which has been overwritten. What is far behind stays."""
        if not places:
            return
        ends = dict(places)
        oldest = places[0][0]
        for chunks in (self._tail, self._head):
            if not chunks:
                continue
            found = []
            for back, chunk in enumerate(reversed(chunks), 1):
                if chunk.seq < oldest or back > LOOKED_BACK:
                    break
                if chunk.seq in ends:
                    found.append((len(chunks) - back, chunk))
            for at, chunk in found:  # the last one first, so that the others keep their places
                self._shorten(chunks, at, chunk, ends[chunk.seq])

    def _shorten(self, chunks: list[OutputChunk] | deque[OutputChunk], at: int, chunk: OutputChunk, end: int) -> None:
        """Leave of a chunk what comes before character ``end``."""
        size = byte_count(chunk.text[end:])
        if chunks is self._head:
            self._head_bytes -= size
        else:
            self._tail_bytes -= size
        self._forget(chunk.seq)
        if end:
            chunks[at] = self._unrecorded[chunk.seq] = replace(chunk, text=chunk.text[:end])
        else:
            del chunks[at]

    def _forget(self, number: int) -> None:
        """Take a chunk off the record, if it is on it."""
        if self._unrecorded.pop(number, None) is None:
            self._removed.add(number)


def pieces(text: str) -> Iterator[str]:
    """``text`` in chunks that are not too large, which end with a line where they can."""
    start = 0
    while len(text) - start > PIECE:
        end = text.rfind("\n", start, start + PIECE) + 1 or start + PIECE
        yield text[start:end]
        start = end
    yield text[start:] if start else text
