"""Hide the values of secrets that a run was given in all that it writes and leaves.

This keeps a secret out of records by accident: a script that prints its configuration, an error that quotes a password,
a URL in a traceback. It is hidden as it is and as such places spell it: escaped as Python and JSON do it, in a URL, in
hexadecimal, and in Base64 wherever in the encoded text it begins. A script that means to give a secret away can spell
it in other ways; that is what its approval is for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from msgspec.structs import replace

from engine.models.runs import Stream
from engine.pool.outcome import Ending, ReturnedFile

HIDDEN = "***"

PIECE = 128
"""Characters of a spelling that are looked for at once: a longer one is hidden piece by piece. A stream holds back
fewer than this at its end until it is known whether a secret begins there."""

LONGEST_BYTES = 4 * PIECE
"""Bytes of a spelling that is looked for at once."""

WINDOW = 1 << 20
"""Bytes that are searched at once."""

LEAST_LINE = 8
"""Characters of a line of a secret with several lines that is hidden by itself: others could be of any text."""

LEAST_ENCODED = 8
"""Characters of what is left of an encoded spelling where its neighbours have a part in its ends."""

MOST_ENCODED = 1 << 10
"""Characters of a secret up to which it is looked for in encoded spellings, too."""


class Masks:
    """The secrets that one run was given so far. A value that comes later is hidden from then on."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._spellings: dict[str, None] = {}
        self._pattern: re.Pattern[str] = re.compile(r"(?!)")
        self._bytes: list[bytes] = []
        self._bytes_pattern: re.Pattern[bytes] = re.compile(rb"(?!)")
        self._by_first: dict[str, list[str]] = {}
        self._held: dict[Stream, str] = {}

    def add(self, name: str, value: str) -> bool:
        """Hide ``value`` from here on; return whether that is new."""
        return self.extend({name: value})

    def extend(self, values: Mapping[str, str]) -> bool:
        """Hide several values from here on; return whether one of them is new."""
        new = {name: value for name, value in values.items() if self._values.get(name) != value}
        if not new:
            return False
        self._values |= new
        for value in new.values():
            self._spellings |= dict.fromkeys(_spellings(value))
        longest_first = sorted(self._spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        self._bytes = [each.encode() for each in longest_first]
        self._bytes_pattern = re.compile(b"|".join(map(re.escape, self._bytes)))
        self._by_first = {}
        for each in longest_first:
            self._by_first.setdefault(each[0], []).append(each)
        return True

    def knows(self, text: str) -> bool:
        """Tell whether a text is one of the secrets, or one in another spelling, and nothing else."""
        return text in self._spellings

    def found_in(self, text: str) -> bool:
        """Tell whether a text has one of the secrets in any spelling."""
        # Most texts have none, and a search for each spelling by itself tells that ten times as fast as the pattern.
        return any(spelling in text for spelling in self._spellings)

    def text(self, text: str) -> str:
        """Return a whole text without the secrets."""
        return self._pattern.sub(HIDDEN, text) if self.found_in(text) else text

    def output(self, stream: Stream, text: str) -> str:
        """Return what may be shown of a stream so far; its end is held back while a secret may begin there."""
        text = self._held.pop(stream, "") + text
        undecided = self._undecided(text)
        shown: list[str] = []
        at = 0
        for match in self._pattern.finditer(text) if self.found_in(text) else ():
            if match.start() >= undecided:
                break
            shown += (text[at : match.start()], HIDDEN)
            at = match.end()
        end = max(at, undecided)
        shown.append(text[at:end])
        if end < len(text):
            self._held[stream] = text[end:]
        return "".join(shown)

    def rest(self) -> Iterator[tuple[Stream, str]]:
        """Yield what was held back of each stream: nothing comes after it."""
        held, self._held = self._held, {}
        for stream, text in held.items():
            yield stream, self.text(text)

    def value(self, value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
        """Return a value of JSON without the secrets, keys included, and numbers that are one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, int | float) and not isinstance(value, bool) and self.found_in(repr(value)):
            return HIDDEN
        return value

    def ending(self, ending: Ending) -> Ending:
        """Return the end of a run without the secrets; a note tells of files that were changed by that."""
        error, traceback = ending.error, ending.traceback
        files = tuple(map(self._file, ending.files))
        note = ending.note and self.text(ending.note)
        changed = [new.name for old, new in zip(ending.files, files, strict=True) if old.data is not new.data]
        if changed:
            sentence = (
                f"A secret was hidden in {', '.join(changed)}, which is no longer the file that the script wrote."
            )
            note = " ".join(filter(None, (note, sentence)))
        return replace(
            ending,
            value=self.value(ending.value),
            text=ending.text and self.text(ending.text),
            note=note,
            error=error
            and replace(error, **{key: self._maybe(getattr(error, key)) for key in error.__struct_fields__}),
            traceback=traceback and self.text(traceback),
            files=files,
        )

    def data(self, data: memoryview) -> bytes | None:
        """Return bytes without the secrets, None if none is in them; it takes a while where they are many."""
        parts: list[bytes | memoryview] = []
        taken = at = 0
        while at < len(data):  # in windows: a search keeps every other thread waiting until it is done
            end = at + WINDOW
            match = None
            if self._found_in_bytes(bytes(data[at : end + LONGEST_BYTES])):
                match = self._bytes_pattern.search(data, at, end + LONGEST_BYTES)
            if match is None or match.start() >= end:
                at = end
            else:
                parts += (data[taken : match.start()], HIDDEN.encode())
                taken = at = match.end()
        return b"".join((*parts, data[taken:])) if parts else None

    def _found_in_bytes(self, data: bytes | bytearray) -> bool:
        return any(each in data for each in self._bytes)

    def _maybe(self, value: object) -> object:
        return self.text(value) if isinstance(value, str) else value

    def _file(self, file: ReturnedFile) -> ReturnedFile:
        name = self.text(file.name)
        if not self._found_in_bytes(file.data):
            return file if name == file.name else ReturnedFile(name, file.data, file.sha256)
        data = bytearray(self._bytes_pattern.sub(HIDDEN.encode(), file.data))
        return ReturnedFile(name, data, hashlib.sha256(data).hexdigest())

    def _undecided(self, text: str) -> int:
        """Return where at the end of ``text`` a spelling may begin that is not all there; its length if none does."""
        for at in range(max(0, len(text) - PIECE + 1), len(text)):
            candidates: Sequence[str] = self._by_first.get(text[at], ())
            if candidates:
                rest = text[at:]
                if any(len(each) > len(rest) and each.startswith(rest) for each in candidates):
                    return at
        return len(text)


def _spellings(value: str) -> Iterator[str]:
    """Yield every text that stands for a secret, in pieces where it is long."""
    core = value.strip()
    whole = [core]
    lines = [line.strip() for line in core.splitlines()]
    if len(lines) > 1:
        whole += [line for line in lines if len(line) >= LEAST_LINE]
    for each in whole:
        for spelling in dict.fromkeys((each, *_escaped(each))):
            yield from _pieces(spelling)
    if len(core) <= MOST_ENCODED:
        for text in {core, value}:
            for spelling in _encoded(text.encode()):
                yield from _pieces(spelling)


def _pieces(text: str) -> Iterable[str]:
    """Cut a text into parts of at most ``PIECE`` characters and about one length, so that none is of a few."""
    count = -(-len(text) // PIECE)
    size = -(-len(text) // count)
    return (text[at : at + size] for at in range(0, len(text), size))


def _escaped(text: str) -> Iterator[str]:
    """Yield it as Python's ``repr``, JSON and URLs write it."""
    plain = repr(text)[1:-1]
    yield plain
    yield repr(text + "'\"")[1:-1].removesuffix("\\'\"")  # as in a longer text with both kinds of quotes
    yield ascii(text)[1:-1]
    yield repr(text.encode())[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield quote(text, safe="")
    yield quote(text)
    yield quote_plus(text)


def _encoded(data: bytes) -> Iterator[str]:
    """Yield hexadecimal, and Base64 (RFC 4648) at each of the three places where bytes can begin in a group."""
    if len(data) * 2 >= LEAST_ENCODED:
        yield data.hex()
        yield data.hex().upper()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + data).decode()
        begin = (before * 8 + 5) // 6  # characters that have bits of what is before it
        end = (before + len(data)) * 8 // 6  # characters that have no bits of what is behind it
        part = text[begin:end]
        if len(part) >= LEAST_ENCODED:
            yield part
            if (other := part.translate(str.maketrans("+/", "-_"))) != part:
                yield other
