# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# title = "Stand-in for import gatewright"
# description = "For running and testing scripts outside of Gatewright; its own runs never import this file."
# enabled = false
# ///
"""Stands in for the module ``gatewright`` where a script runs outside of Gatewright: by hand, by uv, under pytest.

It needs nothing but Python. Parameters, log, progress, files, buffers and state work as in a run, on this machine:

    python scripts/report.py -p hours=24 -p table=@/tmp/table.csv

Runs of Gatewright call the script's entrypoint; Python does not. For by hand, end the script with

    if __name__ == "__main__":
        main(**gatewright.params)

``params`` begins with the defaults in the header of the script, takes the JSON object in the environment variable
GATEWRIGHT_PARAMS, and then each ``-p NAME=VALUE``; ``@PATH`` hands over a file. A test changes it as any dict, and so
it does ``buffers``, which begins with the files that GATEWRIGHT_BUFFERS names, as {"data": "/tmp/trend.bin"}. ``state``
is kept in a file beside the script, ``report.state.json``, or in the one that GATEWRIGHT_STATE names. What only an
engine knows (scripts, documents, runs, secrets, tags, the assistant) raises an ``Error``.

Gatewright's own runs have the real module and never read this file.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn


class Error(Exception):
    """The engine did not do what it was asked: code, message and hint."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class Record(dict):
    """An answer of the engine: a dict whose keys are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"This record has no {name!r}; it has {', '.join(self)}.") from None


class InputFile:
    """A file that was handed to the script."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.size = len(data)
        self.buffer = memoryview(data)

    def read(self) -> bytes:
        return self.buffer.tobytes()

    def text(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return str(self.buffer, encoding, errors)

    def splitlines(self) -> list[str]:
        return self.text().splitlines()

    def __iter__(self) -> Iterator[str]:
        return (str(line, "utf-8", "replace") for line in io.BytesIO(self.buffer))

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"InputFile(name={self.name!r}, size={self.size})"


def _script() -> Path | None:
    """The script that runs, None under a test runner or in an interactive interpreter."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return None if path is None else Path(path)


def _declared() -> Mapping[str, Any]:
    """The parameters that the script's header declares (PEP 723)."""
    import tomllib

    path = _script()
    if path is None or path.suffix != ".py" or not path.is_file():
        return {}
    block = re.search(r"(?ms)^# /// script\s*$\n(?P<lines>(?:^#(?: .*)?$\n)+?)^# ///\s*$", path.read_text("utf-8"))
    if block is None:
        return {}
    header = tomllib.loads("".join(line[2:] for line in block["lines"].splitlines(keepends=True)))
    return header.get("tool", {}).get("gatewright", {}).get("params", {})


def _value(text: str, kind: str | None) -> Any:
    """What a parameter's text stands for: its declared type, else JSON where it is any, else the text."""
    if text.startswith("@"):
        path = Path(text[1:])
        return InputFile(path.name, path.read_bytes())
    if kind in ("str", "text", "file"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parameters() -> tuple[dict[str, Any], list[str]]:
    declared = _declared()
    given = {name: one["default"] for name, one in declared.items() if "default" in one}
    given.update(json.loads(os.environ.get("GATEWRIGHT_PARAMS", "{}")))
    words, rest = iter(sys.argv[1:] if _script() is not None else ()), []
    for word in words:
        if word == "-p":
            name, _, text = next(words, "").partition("=")
            given[name] = _value(text, declared.get(name, {}).get("type"))
        else:
            rest.append(word)
    return given, rest


class _Log:
    """Lines on standard error: time, level, text."""

    def debug(self, message: object, *values: object) -> None:
        self._write("DEBUG", message, values)

    def info(self, message: object, *values: object) -> None:
        self._write("INFO", message, values)

    def warning(self, message: object, *values: object) -> None:
        self._write("WARNING", message, values)

    def error(self, message: object, *values: object) -> None:
        self._write("ERROR", message, values)

    def exception(self, message: object, *values: object) -> None:
        from traceback import format_exc

        self._write("ERROR", message, values, f"\n{format_exc().rstrip()}")

    @staticmethod
    def _write(level: str, message: object, values: tuple[object, ...], more: str = "") -> None:
        text = str(message) % values if values else str(message)
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {level:7} {text}{more}\n")


class Buffers(dict):
    """Buffers by name: those that a test puts in, or GATEWRIGHT_BUFFERS names, read-only; ``create`` adds one."""

    def create(self, name: str, size: int) -> memoryview:
        if name in self:
            raise ValueError(f"there is a buffer {name!r} already")
        self[name] = memoryview(bytearray(size))
        return self[name]


def _buffers() -> Buffers:
    paths = json.loads(os.environ.get("GATEWRIGHT_BUFFERS", "{}"))
    return Buffers({name: memoryview(Path(path).read_bytes()) for name, path in paths.items()})


class _Progress:
    def __call__(self, done: float | None = None, total: float = 1.0, text: str = "") -> None:
        if sys.stderr.isatty():
            share = "" if done is None or total <= 0 else f"{min(100, int(100 * done / total))} %  "
            sys.stderr.write(f"\r{share}{text}\x1b[K")
            sys.stderr.flush()


class _State:
    """Values that the script keeps in a file beside it."""

    def get(self, key: str, default: Any = None) -> Any:
        return self.all().get(key, default)

    def all(self) -> dict[str, Any]:
        try:
            return json.loads(self._file().read_text("utf-8"))
        except FileNotFoundError:
            return {}

    def set(self, key: str, value: Any) -> None:
        self.set_all({key: value})

    def set_all(self, values: Mapping[str, Any], remove: Sequence[str] = ()) -> None:
        kept = {**{key: value for key, value in self.all().items() if key not in remove}, **values}
        text = json.dumps(kept, ensure_ascii=False, allow_nan=False, indent=1)
        file = self._file()
        new = file.with_name(f"{file.name}.new")
        new.write_text(text, "utf-8")
        new.replace(file)

    def delete(self, key: str) -> None:
        self.set_all({}, [key])

    def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Any:
        value = change(self.get(key, default))
        self.set(key, value)
        return value

    @staticmethod
    def _file() -> Path:
        if named := os.environ.get("GATEWRIGHT_STATE"):
            return Path(named)
        script = _script()
        return Path("script.state.json") if script is None else script.with_suffix(".state.json")


class _OfTheEngine:
    """What only an engine knows."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def unavailable(*_: object, **__: object) -> NoReturn:
            raise Error(
                "unavailable",
                f"gatewright.{self._name}.{name} needs an engine, and this script runs outside of Gatewright.",
                "Run it with gatewright run, or put something in its place in a test.",
            )

        return unavailable


params, args = _parameters()
buffers = _buffers()
files = {name: value for name, value in params.items() if isinstance(value, InputFile)}
log = _Log()
progress = _Progress()
state = _State()
runs = _OfTheEngine("runs")
scripts = _OfTheEngine("scripts")
documents = _OfTheEngine("documents")
secrets = _OfTheEngine("secrets")
tags = _OfTheEngine("tags")
assistant = _OfTheEngine("assistant")
