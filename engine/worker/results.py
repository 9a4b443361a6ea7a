"""From what a script left as its result to what crosses to the engine: typed JSON, or a text and the reason why.

JSON itself is tried first, by the compiled encoder. What that refuses is converted value by value (``_Conversion``):
one odd cell never costs the rest, and the run's note says what was changed. A value that nothing is known about becomes
its ``repr`` in its place.
"""

from __future__ import annotations

import json
import reprlib
import sys
from builtins import len  # noqa: A004 - not what a script may have put in its place

from .wire import RESULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Foreign = Any
    """Of a class that is there only if the script imported it."""

MAX_DEPTH = 200
"""Levels of lists and objects. Far below what any JSON reader's stack takes, far above what people nest."""

TEXT_LIMIT = 64 << 10
"""Characters of the text that stands in for a value that JSON cannot carry."""

CONVERSION_FRAMES = 5_000
"""Frames that a conversion may take: five for each of ``MAX_DEPTH`` levels, and what a script's own methods add."""

CELL_LIMIT = 2_000
"""Characters of the text that stands in for one value among others."""

NAMED_CHANGES = 8
"""Kinds of changes that a note names."""

EXACT_DIGITS = 18
"""Digits before the point up to which a whole ``Decimal`` becomes a number: as many as fit in 64 bits."""

DIGITS = sys.int_info.default_max_str_digits
"""Digits of an int that the engine reads, whatever the script has set as its own limit."""

_TOO_LARGE = 10**DIGITS

_STR = frozenset({str})
_PLAIN = frozenset({str, int, float, bool, type(None)})

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encode_head = json.JSONEncoder(default=str).encode


def to_json(value: object) -> str:
    """What the encoder makes of ``value``; raises as it does, for an int of more than ``DIGITS``, too."""
    limit = sys.get_int_max_str_digits()
    if limit == DIGITS:
        return _encode(value)
    sys.set_int_max_str_digits(DIGITS)
    try:
        return _encode(value)
    finally:
        sys.set_int_max_str_digits(limit)


class ResultTooLarge(Exception):
    """The result's JSON is over the limit. The message says both figures."""


def encode_result(value: object, limit: int) -> bytes:
    """Return the payload of a RESULT frame for a script that ended well and left ``value`` (None: nothing).

    Raises:
        ResultTooLarge: Its JSON takes more than ``limit`` bytes.
    """
    if value is None:
        return RESULT.pack(0)
    data = _as_it_is(value)
    if data is not None:
        _check_size(len(data), limit)
        return RESULT.pack(0) + data
    conversion = _Conversion(limit)
    recursion_limit = sys.getrecursionlimit()
    sys.setrecursionlimit(CONVERSION_FRAMES)  # the script may have left a low one
    try:
        plain = conversion.plain(value)
        if conversion.has_no_form:
            return encode_head(text=safe_repr(value), note=_no_form(value))
        data = to_json(plain).encode()
    finally:
        sys.setrecursionlimit(recursion_limit)
    _check_size(len(data), limit)
    return encode_head(note=conversion.note()) + data


def encode_head(**fields: object) -> bytes:
    """The payload of a RESULT frame that has a head and no value."""
    head = _encode_head(fields).encode()
    return RESULT.pack(len(head)) + head


def with_note(payload: bytes, note: str) -> bytes:
    """``payload``, of a RESULT frame, with ``note`` after the one it has."""
    if not note:
        return payload
    value_start = RESULT.size + RESULT.unpack_from(payload)[0]
    head = json.loads(payload[RESULT.size : value_start] or b"{}")
    head["note"] = f"{head['note']} {note}" if head.get("note") else note
    return encode_head(**head) + payload[value_start:]


def safe_repr(value: object, limit: int = TEXT_LIMIT) -> str:
    """``repr(value)``, never longer than ``limit`` characters and never failing."""
    try:
        text = repr(value)
        if type(text) is not str:
            text = str.__str__(text)
    except RecursionError:
        text = _shallow_repr(value)
    except ValueError:
        text = hex(value) if isinstance(value, int) else _without_repr(value, ValueError)
    except BaseException as error:  # noqa: BLE001 - a script's own __repr__ may raise anything
        text = _without_repr(value, type(error))
    return clean(text, limit)


def clean(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters, lone surrogates written as escapes, so that it is valid UTF-8."""
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text):,} characters)"
    return text.encode("utf-8", "backslashreplace").decode()


def _shallow_repr(value: object) -> str:
    try:
        return reprlib.repr(value)
    except BaseException:  # noqa: BLE001 - as above
        return f"<{type(value).__name__} object, nested too deeply for repr()>"


def _without_repr(value: object, error: type[BaseException]) -> str:
    return f"<{type(value).__name__} object whose repr() raised {error.__name__}>"


def _as_it_is(value: object) -> bytes | None:
    """The JSON of ``value``; None if the encoder refuses it, or it is nested deeper than ``MAX_DEPTH``."""
    try:
        text = to_json(value)
        data = text.encode()
    except MemoryError:
        raise
    except BaseException:  # noqa: BLE001 - subclasses of dict and str run their own code here
        return None
    nested = text.count("[") + text.count("{")
    if nested and _loses_keys(value):
        return None
    if nested > MAX_DEPTH and _too_deep(value):
        return None
    return data


def _loses_keys(value: object) -> bool:
    """Whether two keys of an object have the same text, as 1 and "1" have: a reader of JSON keeps one of them."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            if not _STR.issuperset(map(type, one)) and len({_key_text(key) for key in one}) < len(one):
                return True
            held = one.values()
        elif isinstance(one, (list, tuple)):
            held = one  # type: ignore[assignment]
        else:
            continue
        if not _PLAIN.issuperset(map(type, held)):
            todo += held
    return False


def _key_text(key: object) -> str:
    return key if isinstance(key, str) else to_json(key)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ResultTooLarge(f"The result takes {_size(size)} as JSON; the limit is {_size(limit)}.")


def _too_deep(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list, tuple))
        ]
        if not level:
            return False
    return True


class _Conversion:
    """One result on its way to what JSON has: None, bool, int, float, str, list and dict.

    How a type is converted is looked up once a type. The classes it may be of are found among the modules that the
    script has loaded: without ``decimal`` there is no ``Decimal``, and nothing is imported here. Every call into a
    script's objects may raise anything; such a value becomes its ``repr``.

    Attributes:
        has_no_form: The whole result is a value that only ``repr`` knows anything to say about.
    """

    def __init__(self, limit: int) -> None:
        self.has_no_form = False
        self._limit = limit
        self._room = limit
        self._changes: dict[tuple[str, str], int] = {}
        self._converters: dict[type, Callable[[Any], object]] = {
            type(None): _same,
            bool: _same,
            int: self._int,
            float: self._float,
            str: self._str,
            list: self._list,
            tuple: self._list,
            dict: self._mapping,
        }
        self._open: list[int] = []
        """Ids of the lists and objects around the value: one that is met again inside itself has no end."""

    def plain(self, value: object) -> object:
        """Return ``value`` in types that JSON has, and remember what was changed.

        Raises:
            ResultTooLarge: It holds more values than the limit has bytes; not looked at to its end.
        """
        self._room -= 1
        if self._room < 0:
            raise ResultTooLarge(f"The result takes more than {_size(self._limit)} as JSON, which is the limit.")
        kind = type(value)
        converter = self._converters.get(kind)
        try:
            if converter is None:
                converter = self._converters[kind] = self._converter(kind)
            return converter(value)
        except (MemoryError, ResultTooLarge):
            raise
        except BaseException:  # noqa: BLE001 - a script's objects may raise anything
            return self._text(value)

    def note(self) -> str:
        """The sentence that says what was changed; empty if nothing was."""
        named = [
            f"{what} to {form}" if count == 1 else f"{count:,} of {what} to {form}"
            for (what, form), count in list(self._changes.items())[:NAMED_CHANGES]
        ]
        if not named:
            return ""
        rest = len(self._changes) - len(named)
        also = f", and {rest} more kinds of values" if rest > 0 else ""
        return f"Changed in the result, since JSON has no such values: {', '.join(named)}{also}."

    def _changed(self, what: str, form: str, count: int = 1) -> None:
        self._changes[what, form] = self._changes.get((what, form), 0) + count

    def _converter(self, kind: type) -> Callable[[Any], object]:
        """How values of the type ``kind`` are converted.

        What the encoder takes as it is comes first, so that a value has one form, whatever lies beside it: a named
        tuple is a list, an ``IntEnum`` its number.
        """
        for base, converter in (
            (str, self._str),
            (int, self._int),
            (float, self._float),
            (list, self._list),
            (tuple, self._list),
            (dict, self._mapping),
            *((base, self._set) for base in (set, frozenset)),
            *((base, self._base64) for base in (bytes, bytearray, memoryview)),
        ):
            if issubclass(kind, base):
                return converter  # type: ignore[return-value]
        for module, name, method in _BY_CLASS:
            found_class = getattr(sys.modules.get(module), name, None)
            if isinstance(found_class, type) and issubclass(kind, found_class):
                found: Callable[[Any], object] = getattr(self, method)
                return found
        if hasattr(kind, "__dataclass_fields__"):
            return self._dataclass
        if hasattr(kind, "__iter__") and not hasattr(kind, "__next__"):
            return self._mapping if hasattr(kind, "keys") and hasattr(kind, "__getitem__") else self._iterable
        return self._text

    # Numbers and texts

    def _int(self, value: int) -> object:
        if int.__abs__(value) >= _TOO_LARGE:
            self._changed("very large int", "hexadecimal text")
            self._take(len(text := hex(value)))
            return text
        return int(value)

    def _float(self, value: float) -> float | None:
        if value - value == 0:
            return float(value)
        self._changed("NaN" if value != value else "infinity", "null")
        return None

    def _str(self, value: str) -> str:
        value = str.__str__(value)
        self._take(len(value))
        try:
            value.encode()
        except UnicodeEncodeError:
            self._changed("lone surrogate", "escapes")
            return value.encode("utf-8", "backslashreplace").decode()
        return value

    def _decimal(self, value: Foreign) -> object:
        if not value.is_finite():
            self._changed("NaN" if value.is_nan() else "infinity", "null")
            return None
        if value.adjusted() < EXACT_DIGITS:
            exponent = value.as_tuple().exponent
            if exponent >= 0:
                self._changed("Decimal", "number")
                return int(value)
            number = float(value)
            # Exact is what says the same when it is read again, not what a binary fraction can hold: 1.10 is 1.1.
            if exponent > -400 and type(value)(repr(number)) == value:
                self._changed("Decimal", "number")
                return number
        self._changed("Decimal", "text")
        return self._short(str(value))

    def _fraction(self, value: Foreign) -> str:
        self._changed("Fraction", "text")
        return self._short(str(value))

    # Dates

    def _iso(self, value: Foreign) -> str | None:
        if value != value:
            self._changed("NaT", "null")
            return None
        self._changed(_type_name(value), "ISO 8601 text")
        return self._short(value.isoformat())

    def _seconds(self, value: Foreign) -> float | None:
        if value != value:
            self._changed("NaT", "null")
            return None
        self._changed(_type_name(value), "seconds")
        return float(value.total_seconds())

    # What has one obvious text

    def _enum(self, value: Foreign) -> str:
        self._changed(_type_name(value), "text")
        return self._short(str(value.name if value.name is not None else value))

    def _named(self, value: object) -> str:
        self._changed(_type_name(value), "text")
        return self._short(str(value))

    def _base64(self, value: bytes | bytearray | memoryview) -> str:
        self._changed(_type_name(value), "base64 text")
        from binascii import b2a_base64  # memory of every slot, for few results

        self._take(memoryview(value).nbytes)
        return b2a_base64(bytes(value), newline=False).decode()

    def _text(self, value: object) -> str:
        """The last resort: what ``repr`` says."""
        if not self._open:
            self.has_no_form = True
        self._changed(_type_name(value), "text")
        return self._short(safe_repr(value, CELL_LIMIT))

    def _short(self, text: str) -> str:
        text = clean(text, CELL_LIMIT)
        self._take(len(text))
        return text

    # What holds other values

    def _list(self, values: Iterable[object]) -> object:
        return self._inside(values, lambda: [self.plain(item) for item in values])

    def _iterable(self, values: Iterable[object]) -> object:
        self._changed(_type_name(values), "list")
        return self._list(values)

    def _set(self, values: set[Any] | frozenset[Any]) -> object:
        """A list in an order that does not change from run to run, where its values have one."""
        self._changed(_type_name(values), "list")
        try:
            ordered = sorted(values)
        except BaseException:  # noqa: BLE001 - comparing runs the code of a script
            ordered = list(values)
        return self._inside(values, lambda: [self.plain(item) for item in ordered])

    def _mapping(self, value: Foreign) -> object:
        if not isinstance(value, dict):
            self._changed(_type_name(value), "object")
        return self._inside(value, lambda: self._members((key, value[key]) for key in value.keys()))  # noqa: SIM118

    def _dataclass(self, value: Foreign) -> object:
        return self._object(value, [name for name in value.__dataclass_fields__ if hasattr(value, name)])

    def _attributes(self, value: Foreign) -> object:
        return self._object(value, list(vars(value)))

    def _object(self, value: object, names: list[str]) -> object:
        self._changed(_type_name(value), "object")
        return self._inside(value, lambda: self._members((name, getattr(value, name)) for name in names))

    def _members(self, pairs: Iterable[tuple[object, object]]) -> dict[str, object]:
        members: dict[str, object] = {}
        for key, value in pairs:
            name = self._key(key)
            if name in members:  # 1 and "1" are two keys in Python and one in JSON
                self._changed("second key of the same text", "a key of another name")
                name = next(other for n in range(2, len(members) + 3) if (other := f"{name} ({n})") not in members)
            members[name] = self.plain(value)
        return members

    def _key(self, key: object) -> str:
        if isinstance(key, str):
            return self._str(key)
        self._room -= 1
        # As the encoder writes them: true, null, 1.5. Of other types the text that they become as values.
        if key is None or type(key) in (bool, int, float):
            return json.dumps(key)
        form = self.plain(key)
        return form if isinstance(form, str) else self._short(to_json(form))

    def _inside(self, value: object, convert: Callable[[], object]) -> object:
        if id(value) in self._open:
            self._changed("a value that holds itself", "text")
            return self._short(f"<{_type_name(value)} that holds itself>")
        if len(self._open) >= MAX_DEPTH:
            self._changed(f"what is nested more than {MAX_DEPTH} levels deep", "text")
            return self._short(_shallow_repr(value))
        self._open.append(id(value))
        try:
            return convert()
        finally:
            self._open.pop()

    # numpy and pandas

    def _scalar(self, value: Foreign) -> object:
        kind = value.dtype.kind
        if kind in "fMm":  # wider floats have no Python form; dates of numpy come as numbers from ``item``
            return self._array(value.reshape(1))[0]
        item = value.item()
        return self._text(value) if type(item) is type(value) else self.plain(item)

    def _masked(self, value: Foreign) -> object:
        """Of a masked array, None where a value is masked."""
        self._take(value.size)
        self._changed(_type_name(value), "list")
        plain = value.tolist()
        return self._inside(value, lambda: [self.plain(item) for item in plain] if value.ndim else plain)

    def _ndarray(self, value: Foreign) -> object:
        if value.ndim == 0:
            return self.plain(value[()])
        self._changed(_type_name(value), "list")
        return self._inside(value, lambda: self._array(value))

    def _array(self, value: Foreign) -> Foreign:
        """A numpy array of one dimension or more as lists. Numbers go at once: there may be a million."""
        self._take(value.size)
        kind = value.dtype.kind
        if kind in "iub":
            return value.tolist()
        if kind == "f":
            return self._floats(value.astype("float64"))
        if kind == "M":
            return self._dates(value).tolist()
        if kind == "m":
            self._changed("timedelta64", "seconds", int(value.size))
            return self._array(value / value.dtype.type(1, "s"))
        return [self.plain(item) for item in value] if value.ndim == 1 else [self._array(row) for row in value]

    def _floats(self, value: Foreign) -> Foreign:
        numpy = sys.modules["numpy"]
        finite = numpy.isfinite(value)
        missing = int(value.size - finite.sum())
        if not missing:
            return value.tolist()
        nan = int(numpy.isnan(value).sum())
        for what, count in (("NaN", nan), ("infinity", missing - nan)):
            if count:
                self._changed(what, "null", count)
        value = value.astype(object)
        value[~finite] = None
        return value.tolist()

    def _dates(self, value: Foreign) -> Foreign:
        """An array of ``datetime64`` as one of ISO 8601 texts, without fractions where there are only zeros."""
        numpy = sys.modules["numpy"]
        missing = numpy.isnat(value)
        seconds = value.astype("datetime64[s]")
        if ((seconds == value) | missing).all():
            value = seconds
        texts = numpy.datetime_as_string(value).astype(object)
        there = int(value.size - missing.sum())
        if there < value.size:
            self._changed("NaT", "null", int(value.size) - there)
            texts[missing] = None
        if there:
            self._changed("datetime64", "ISO 8601 text", there)
        self._take(10 * there)
        return texts

    def _zoned_dates(self, values: Foreign) -> list[object]:
        """A column of pandas with a time zone: texts of the local time, each with its offset from UTC."""
        column: Foreign = getattr(values, "dt", values)
        local, utc = column.tz_localize(None).to_numpy(), column.tz_convert(None).to_numpy()
        minutes = ((local - utc) / sys.modules["numpy"].timedelta64(1, "m")).tolist()
        offsets = {offset: _offset(offset) for offset in set(minutes) if offset - offset == 0}
        return [
            None if text is None else text + offsets[offset]
            for text, offset in zip(self._dates(local).tolist(), minutes)
        ]

    def _series(self, value: Foreign) -> object:
        """A pandas Series or Index: its values; with the labels, where those are more than a count."""
        self._changed(_type_name(value), "list")
        index = getattr(value, "index", None)
        if index is None or _counts(index):
            return self._inside(value, lambda: self._column(value))
        return self._inside(value, lambda: {"index": self._column(index), "values": self._column(value)})

    def _frame(self, value: Foreign) -> object:
        """A pandas DataFrame: ``columns`` and ``rows``; with ``index``, where that is more than a count."""
        rows, columns = value.shape
        self._changed(_type_name(value), "columns and rows")
        self._take(rows * columns)
        return self._inside(value, lambda: self._table(value))

    def _table(self, frame: Foreign) -> dict[str, object]:
        columns = [self._column(frame.iloc[:, place]) for place in range(frame.shape[1])]
        rows = [list(row) for row in zip(*columns)] if columns else [[] for _ in range(frame.shape[0])]
        table: dict[str, object] = {"columns": [self.plain(name) for name in frame.columns], "rows": rows}
        if not _counts(frame.index):
            table["index"] = self._column(frame.index)
        return table

    def _column(self, values: Foreign) -> list[object]:
        """The values of a Series or an Index, those of numpy's own types at once."""
        if getattr(values.dtype, "kind", "O") in "iubfmM" and type(values.dtype).__module__.startswith("numpy"):
            found: list[object] = self._array(values.to_numpy())
            return found
        if getattr(values.dtype, "tz", None) is not None:
            return self._zoned_dates(values)
        return [self.plain(item) for item in values]

    def _missing(self, _: object) -> None:
        self._changed("NA", "null")

    def _take(self, size: int) -> None:
        """Count what is at least as many bytes of JSON, so that nothing endless is built."""
        self._room -= size
        if self._room < 0:
            raise ResultTooLarge(f"The result takes more than {_size(self._limit)} as JSON, which is the limit.")


_BY_CLASS = (
    # Module and class, and how it is converted. pandas' own come before what they are made from.
    ("numpy", "generic", "_scalar"),
    ("numpy.ma", "MaskedArray", "_masked"),
    ("numpy", "ndarray", "_ndarray"),
    ("pandas", "DataFrame", "_frame"),
    ("pandas", "Series", "_series"),
    ("pandas", "Index", "_series"),
    ("pandas._libs.missing", "NAType", "_missing"),
    ("pandas", "Period", "_named"),
    ("pandas", "Interval", "_named"),
    ("datetime", "date", "_iso"),  # datetime, too
    ("datetime", "time", "_iso"),
    ("datetime", "timedelta", "_seconds"),
    ("datetime", "tzinfo", "_named"),
    ("decimal", "Decimal", "_decimal"),
    ("fractions", "Fraction", "_fraction"),
    ("enum", "Enum", "_enum"),
    ("uuid", "UUID", "_named"),
    ("pathlib", "PurePath", "_named"),
    ("types", "SimpleNamespace", "_attributes"),
    ("builtins", "BaseException", "_text"),
    ("builtins", "type", "_text"),
    ("ipaddress", "_IPAddressBase", "_named"),
    ("io", "IOBase", "_text"),
)


def _no_form(value: object) -> str:
    name = _type_name(value)
    if name == "coroutine" and hasattr(value, "close"):
        value.close()  # else Python complains of it, and names a file of ours
        return "The result is a coroutine that was never awaited; write result = asyncio.run(...)."
    if hasattr(type(value), "__next__"):
        return f"The result is an iterator ({name}) that nothing was read from; make a list of it, as in list(result)."
    return f"The result is an object of type {name}, which JSON cannot carry, so it is shown as text only."


def _same(value: object) -> object:
    return value


def _counts(index: Foreign) -> bool:
    """Tell whether the labels of a pandas object are only 0, 1, 2 and so on, as those are that nobody gave."""
    return type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1 and index.name is None


def _offset(minutes: float) -> str:
    """An offset from UTC as ISO 8601 writes it. Those of before 1900 have seconds, too."""
    seconds = round(abs(minutes) * 60)
    text = f"{'-' if minutes < 0 else '+'}{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return f"{text}:{seconds % 60:02}" if seconds % 60 else text


def _type_name(value: object) -> str:
    name = type(value).__name__
    return name if name.isprintable() and len(name) <= 40 else ascii(name[:40])[1:-1]


def _size(count: int) -> str:
    if count < 10_240:
        return f"{count:,} bytes"
    return f"{count / 1024:,.0f} KiB" if count < 10 << 20 else f"{count / (1 << 20):,.1f} MiB"
