"""A macro's function, called again and again in one child, as CALLS say; what it returns goes back in TEXTS.

The calls themselves are made by C code (``list.extend`` of a ``map``), a portion at a time: between two of them there
is nothing to interpret, and no frame of ours is below a macro's own. A call that fails ends its portion; the next one
begins behind it, since the iterators stand there.
"""

from __future__ import annotations

import _thread
import json
import resource
import sys
import time
import traceback
from array import array
from functools import partial
from itertools import islice, repeat
from operator import itemgetter

from .failures import failure, plain_failure
from .results import clean
from .wire import BEGUN, BEGUN_AT, CALLS, MAX_TEXT, NO_TEXT, RESULT, TEXTS, TEXTS_HEAD_ROOM, Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .channel import Channel

FIRST_PORTION = 16
LARGEST_PORTION = 4096
PORTION_TIME = 0.005
"""Seconds that a portion should take: as much is lost at most of what calls have returned when the process is killed,
and is made again elsewhere."""

PORTION_CHARACTERS = 64 << 10
"""Characters that a portion's texts should have together: the processor's caches hold them until they are sent."""

SEND_FROM = 32 << 10
"""Characters of texts that are sent although the chunk goes on: the engine takes them apart meanwhile."""

BALLAST = 16 << 20

SEND_AFTER = 0.02
"""Seconds after which texts are sent although the chunk goes on."""

MAX_WARNINGS = 50
MAX_WARNING = 500
"""Characters of one. Both are checked again in the engine."""

MAX_HEAD = 512 << 10
"""Bytes of errors and warnings that wait to be sent."""

INDEX_SIZE = 8
"""Bytes that the index of a call takes there, at most."""

_now = time.monotonic
_loads = json.loads
_dumps = json.dumps
_first = itemgetter(0)


class Rendering:
    """One macro's calls, from the first chunk to the word that no more will come."""

    def __init__(
        self,
        channel: Channel,
        function: Callable[..., object],
        filename: str,
        shared: frozenset[str],
        hint: Callable[[BaseException], str],
    ) -> None:
        """``hint`` says what to do about an error; the others are as in ``failure``."""
        self._channel = channel
        self._function = function
        self._filename = filename
        self._shared = shared
        self._hint = hint
        channel.current_call = lambda: self.current
        channel.read_again = self._read_again
        channel.main_thread = _thread.get_ident()
        self._recursion_limit = sys.getrecursionlimit()
        # Once as much has been freed at a time, the C library keeps what it would give back to the kernel after each
        # chunk, to get it again page by page (mallopt(3), M_TRIM_THRESHOLD).
        bytes(BALLAST)
        self._portion = FIRST_PORTION
        self._note: Callable[[int, int], None] | None = None
        """Writes into the page which call begins."""
        self._page: memoryview | None = None
        if (page := channel.noting) is not None:
            self._page = memoryview(page)
            numbers = self._page.cast("I")
            self._note = numbers.__setitem__
        self._calls: Iterator[object] = iter(())
        self._number = self._count = self._sent = self._room = 0
        self._returned: list[Any] = []
        """Of the calls from ``_sent`` on: what they returned, None for one that failed."""
        self._checked = 0
        """How many of these are texts for certain."""
        self._errors: dict[int, Any] = {}
        self._warnings: dict[int, list[str]] = {}
        self._again: dict[int, list[int]] = {}
        """By the number of a kept answer, the calls that it was given to."""
        self._head_size = 0
        self._characters = 0
        """Of the texts that wait to be sent."""
        self._wanted = 0
        """Calls of the portion that goes on."""
        self._began = self._sent_at = 0.0

    @property
    def current(self) -> int:
        """The index of the call that goes on, in its chunk."""
        return self._sent + len(self._returned)

    def go_on(self, error: BaseException | None) -> Callable[[], object] | None:
        """Take how the last portion ended and return the next one; None when no chunk follows."""
        now = _now()
        if error is not None:
            self._failed(error)
        if self._count:
            self._check(failed=error is not None)
            self._measure(now)
        done = self.current >= self._count
        if self._returned and (
            done or self._characters > SEND_FROM or now - self._sent_at > SEND_AFTER or self._head_size > MAX_HEAD
        ):
            self._channel.flush_all()
            self._send()
            self._sent_at = now
        if done and not self._begin_chunk():
            return None
        self._wanted = min(self._portion, self._count - self.current)
        self._began = _now()
        return partial(self._returned.extend, islice(self._calls, self._wanted))

    # -- a chunk -----------------------------------------------------------------------------------------------------

    def _begin_chunk(self) -> bool:
        """Wait for the next chunk; False when there is none."""
        payload = self._channel.receive(Frame.CALLS)
        number, count, self._room, context_size, params_size, documents_size = CALLS.unpack_from(payload)
        if not count:
            return False
        context_end = CALLS.size + context_size
        params_end = context_end + params_size
        documents_end = params_end + documents_size
        context = _loads(payload[CALLS.size : context_end])
        params = _loads(payload[context_end:params_end])
        contexts: Iterator[dict[str, Any]]
        if documents_size:
            documents = _loads(payload[params_end:documents_end])
            of = array("I")
            of.frombytes(payload[documents_end:])
            contexts = map(_with_document, repeat(context), map(documents.__getitem__, of))
        else:
            contexts = map(dict.copy if _is_flat(context) else _fresh, repeat(context))
        if self._page is not None and self._note is not None:
            BEGUN.pack_into(self._page, BEGUN_AT, number, 0)
            # What the note returns is dropped; it is made right before the call that it is of.
            noted = map(self._note, repeat(BEGUN_AT // 4 + 1), range(1, count + 1))
            params = map(_first, zip(params, noted))
        self._calls = map(self._function, params, contexts)
        self._number, self._count, self._sent = number, count, 0
        self._sent_at = _now()
        return True

    def _failed(self, error: BaseException) -> None:
        """Note that the call after those that have returned has failed."""
        self._add_error(len(self._returned), self._told(error))
        self._returned.append(None)

    def _told(self, error: BaseException) -> bytes:
        sys.setrecursionlimit(self._recursion_limit)
        if isinstance(error, SystemExit):
            sentence = f"The macro ended itself (sys.exit); it is to return its text. It said: {_said(error)}"
            return plain_failure("SystemExit", sentence, filename=self._filename)
        if isinstance(error, MemoryError):
            return self._out_of_memory(error)
        try:
            return failure(error, self._filename, hint=self._hint(error), shared=self._shared)
        except MemoryError as second:
            return self._out_of_memory(second)

    def _out_of_memory(self, error: MemoryError) -> bytes:
        """Tell it with the reserve, which is there for the next call, too."""
        traceback.clear_frames(error.__traceback__)
        error.__context__ = None
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        try:
            return failure(error, self._filename, "memory", shared=self._shared)
        except MemoryError:
            return plain_failure("MemoryError", "", outcome="memory")
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    def _add_error(self, index: int, payload: bytes) -> None:
        """Note an error by the JSON head of a RESULT."""
        (size,) = RESULT.unpack_from(payload)
        self._errors[index] = _loads(payload[RESULT.size : RESULT.size + size])
        self._head_size += size

    # -- what came back ----------------------------------------------------------------------------------------------

    def _check(self, *, failed: bool) -> None:
        """Make a text or an error of everything that was returned since the last look.

        ``failed``: the last call has raised.
        """
        returned, start = self._returned, self._checked
        new = returned[start:] if start else returned
        if set(map(type, new)) != _ONLY_TEXTS:
            for index in range(start, len(returned)):
                value = returned[index]
                if type(value) is not str and index not in self._errors:
                    try:
                        returned[index] = self._text_of(index, value)
                    except BaseException as error:  # noqa: BLE001 - classes of the macro's own
                        returned[index] = None
                        self._add_error(index, self._told(error))
            new = [text for text in returned[start:] if text is not None]
        self._characters += sum(map(len, new))
        if len(returned) < self._wanted + start and not failed:
            # A StopIteration of the macro ends a ``map`` as its own end does.
            sentence = "The macro raised StopIteration."
            self._add_error(len(returned), plain_failure("StopIteration", sentence, filename=self._filename))
            returned.append(None)
        self._checked = len(returned)

    def _text_of(self, index: int, value: object) -> str | None:
        """Return the text in what a macro returned; None, and an error noted, if there is none."""
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, dict):
            html = dict.get(value, "html")
            if isinstance(html, str):
                self._take_warnings(index, dict.get(value, "warnings"))
                return str.__str__(html)
            sentence = 'The macro returned a dict without a text under "html".'
        elif value is None:
            sentence = 'The macro returned None; it is to return a text, or a dict with a text under "html".'
        else:
            kind = type(value).__qualname__
            sentence = f'The macro returned {kind}; it is to return a text, or a dict with a text under "html".'
        self._add_error(index, plain_failure("ReturnValue", sentence, filename=self._filename))
        return None

    def _take_warnings(self, index: int, warnings: object) -> None:
        if warnings is None:
            return
        told = list.copy(warnings) if isinstance(warnings, list) else [warnings]
        kept = [clean(text if isinstance(text, str) else repr(text), MAX_WARNING) for text in told[:MAX_WARNINGS]]
        if kept:
            self._warnings[index] = kept
            self._head_size += sum(map(len, kept))

    def _read_again(self, number: int) -> None:
        calls = self._again.setdefault(number, [])
        index = len(self._returned)
        if not calls or calls[-1] != index:
            calls.append(index)
            self._head_size += INDEX_SIZE

    def _measure(self, now: float) -> None:
        """Cut the next portion by how long the last one took, and by what was returned."""
        took = now - self._began
        if took < PORTION_TIME / 4:
            self._portion = min(self._portion * 4, LARGEST_PORTION)
        elif took > PORTION_TIME:
            self._portion = max(1, int(self._wanted * PORTION_TIME / took))
        average = self._characters // len(self._returned) + 1
        self._portion = max(1, min(self._portion, PORTION_CHARACTERS // average))

    def _send(self) -> None:
        """Send what has returned, in as many frames as it needs."""
        offset, todo = 0, [self._returned]
        while todo:
            part = todo.pop()
            try:
                data = "".join(filter(None, part) if self._errors else part).encode()
                problem = ""
                if len(data) > MAX_TEXT:
                    problem = f"The macro returned a text of {len(data):,} bytes; it may have {MAX_TEXT:,}."
                elif len(data) > self._room:
                    problem = _NO_ROOM
            except UnicodeEncodeError:
                problem = "The macro returned a lone surrogate, which UTF-8 cannot carry."
            if problem and len(part) == 1:
                part, data = [None], b""
                self._add_error(offset, plain_failure("ReturnValue", problem, filename=self._filename))
            head = self._head(offset, len(part))
            if len(part) > 1 and (problem or len(head) > TEXTS_HEAD_ROOM // 2):
                middle = len(part) // 2
                todo += (part[middle:], part[:middle])
                continue
            if head:
                sizes = array("I", [NO_TEXT if text is None else len(text) for text in part])
            else:
                sizes = array("I", map(len, part))
            lengths = TEXTS.pack(self._number, self._sent, len(part), len(head))
            self._channel.send_parts(Frame.TEXTS, (lengths, sizes.tobytes(), head, data))
            self._room -= len(data)
            offset += len(part)
            self._sent += len(part)
        self._returned = []
        self._checked = self._characters = self._head_size = 0
        self._errors.clear()
        self._warnings.clear()
        self._again.clear()

    def _head(self, offset: int, count: int) -> bytes:
        """Return the errors, warnings and kept answers of some calls as JSON; nothing, if there are none."""
        if not self._errors and not self._warnings and not self._again:
            return b""
        calls = range(offset, offset + count)
        told: dict[str, dict[str, Any]] = {
            kind: {str(index - offset): one for index, one in noted.items() if index in calls}
            for kind, noted in (("errors", self._errors), ("warnings", self._warnings))
        }
        for number, indexes in self._again.items():
            if given := [index - offset for index in indexes if index in calls]:
                told.setdefault("again", {})[str(number)] = given
        return _dumps(told).encode()


_NO_ROOM = (
    "There is no room for this text: those of the calls made together with it are too large. Render less at once."
)
_ONLY_TEXTS = {str}
_PLAIN = {str, int, float, bool, type(None)}


def _is_flat(value: dict[str, Any]) -> bool:
    """Tell whether nothing in ``value`` can be changed."""
    return _PLAIN.issuperset(map(type, value.values()))


def _fresh(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Copy lists and dicts, all the way down."""
    if type(value) is dict:
        copy = value.copy()
        for key, item in value.items():
            if type(item) is dict or type(item) is list:
                copy[key] = _fresh(item)
        return copy
    return [_fresh(item) if type(item) is dict or type(item) is list else item for item in value]


def _with_document(context: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = _fresh(context)
    copy["document"] = _fresh(document)
    return copy


def _said(error: SystemExit) -> str:
    try:
        return clean(repr(error.code), 200)
    except BaseException as trouble:  # noqa: BLE001 - a class of the macro's own
        return f"({type(trouble).__name__})"
