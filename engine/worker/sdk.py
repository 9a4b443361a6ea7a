"""What ``import gatewright`` gives a script: its parameters, and the engine's operations as plain functions.

Every call waits for its answer. What the engine refuses is an ``Error``.
"""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .buffers import Buffers
    from .caller import CallRefused
    from .inputs import InputFile

    Records = list["Record"]

# Put in place by the import in a run (``own_module.py``); elsewhere there is nothing to call.
_given: Any = globals()
_ask: Callable[[bytes], tuple[bytes, list[int]]] = _given.get("_ask")
_CallRefused: type[CallRefused] = _given.get("_CallRefused", Exception)
_script: dict[str, Any] = _given.get("_script", {"params": {}, "args": []})

__all__ = [
    "Error",
    "Record",
    "args",
    "assistant",
    "buffers",
    "documents",
    "files",
    "log",
    "params",
    "progress",
    "runs",
    "scripts",
    "secrets",
    "state",
    "tags",
]

PROGRESS_EVERY = 0.1
"""Seconds between two calls that tell the progress."""


class Error(Exception):
    """The engine did not do what it was asked.

    Attributes:
        code: What kind of refusal it is: ``forbidden``, ``not_found``, ``too_large`` …
        message: One sentence.
        hint: What to do about it, or None.
    """

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


Error.__module__ = "gatewright"


class Record(dict[str, "Any"]):
    """An answer of the engine: a dict whose keys are attributes, too."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the answer holds
        try:
            return self[name]
        except KeyError:
            there = ", ".join(self)
            error = AttributeError(f"This record has no {name!r}; it has {there}.")
            error.name, error.obj = name, self  # as arguments they came with Python 3.10
            raise error from None


# Not as ASCII: a lone surrogate, as names of files may have, is told where it stands.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder(object_hook=Record).decode


def _request(operation: str, params: Mapping[str, Any], body: Mapping[str, Any] | None) -> bytes:
    asked: dict[str, Any] = {"op": operation, "params": params} | ({} if body is None else {"body": body})
    try:
        return _encode(asked).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Error("bad_request", f"What {operation} is given cannot be written as JSON: {error}.") from None


def _call_with_buffers(
    operation: str, body: Mapping[str, Any] | None, params: Mapping[str, Any]
) -> tuple[Any, list[int]]:
    try:
        reply, fds = _ask(_request(operation, params, body))
    except _CallRefused as refusal:
        raise Error(refusal.code, str(refusal), refusal.hint or None) from None
    answer = _decode(reply.decode())
    if "error" in answer:
        raise Error(**answer["error"])
    return answer["ok"], fds


def _call(operation: str, body: Mapping[str, Any] | None = None, **params: Any) -> Any:  # noqa: ANN401 - the operation's answer
    return _call_with_buffers(operation, body, {name: value for name, value in params.items() if value is not None})[0]


params: dict[str, Any] = _script["params"]
"""The parameters of the run, by name, with the defaults of the script's header."""

args: list[Any] = _script["args"]
"""What stands behind ``--`` on the command line."""

files: dict[str, InputFile] = _given.get("_files", {})
"""The files that the run was handed, by their parameters. They are in ``params``, too."""


def _make_buffer(name: str, size: int) -> int:
    _, fds = _call_with_buffers("buffers.make", None, {"name": name, "size": size})
    if not fds:  # the kernel leaves out what a process may not have (unix(7), MSG_CTRUNC)
        raise Error("busy", "The run has too many open files to make a buffer.", "Close some of them before.")
    return fds[0]


buffers: Buffers | None = _given.get("_buffers")
if buffers is not None:
    buffers.connect(_make_buffer)


class _Log:
    """Lines for those who follow the run and for its record: time, level, text, on standard error."""

    def debug(self, message: object, *values: object) -> None:
        """Write a line of level DEBUG. ``values`` fill its places, as in ``log.debug("%d rows", 3)``."""
        self._write("DEBUG", message, values)

    def info(self, message: object, *values: object) -> None:
        """Write a line of level INFO."""
        self._write("INFO", message, values)

    def warning(self, message: object, *values: object) -> None:
        """Write a line of level WARNING."""
        self._write("WARNING", message, values)

    def error(self, message: object, *values: object) -> None:
        """Write a line of level ERROR."""
        self._write("ERROR", message, values)

    def exception(self, message: object, *values: object) -> None:
        """Write an ERROR with the traceback of the exception that is being handled."""
        from traceback import format_exc

        self._write("ERROR", message, values, f"\n{format_exc().rstrip()}")

    @staticmethod
    def _write(level: str, message: object, values: tuple[object, ...], more: str = "") -> None:
        text = str(message) % values if values else str(message)
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {level:7} {text}{more}\n")


class _Progress:
    """How far the run is, for those who follow it."""

    def __init__(self) -> None:
        self._told_at = float("-inf")

    def __call__(self, done: float | None = None, total: float = 1.0, text: str = "") -> None:
        """Tell how far the run is: on the command line's terminal, in the console's head line and list of tasks.

        Call it as often as you like: ten times a second it is told.

        Args:
            done: How much of ``total`` is done; None if that cannot be said.
            total: Of how much; 1 if left out, so that ``done`` is a fraction.
            text: What the script is doing.
        """
        now = time.monotonic()
        if now - self._told_at < PROGRESS_EVERY and (done is None or done < total):
            return
        self._told_at = now
        # Of nothing, as an empty list has for its length, no share can be said.
        told = {} if done is None or total <= 0 else {"done": done, "total": total}
        _call("runs.progress", {**told, "text": str(text)[:200]})


class _Runs:
    """Runs that the caller of this one has started."""

    @staticmethod
    def current() -> Record:
        """Return the record of this run."""
        record: Record = _call("runs.get")
        return record

    @staticmethod
    def get(run_id: int) -> Record:
        """Return the record of a run."""
        record: Record = _call("runs.get", run_id=run_id)
        return record

    @staticmethod
    def list(script: str | None = None, outcome: str | None = None, limit: int = 50) -> Records:
        """Return the newest runs, of one script and with one outcome if they are given."""
        listed: Records = _call("runs.list", name=script, outcome=outcome, limit=limit)["runs"]
        return listed


class _Scripts:
    """The scripts of the project, as far as the caller of this run may see them."""

    @staticmethod
    def list() -> Records:
        """Return every script, without the texts."""
        listed: Records = _call("scripts.list")["scripts"]
        return listed

    @staticmethod
    def get(path: str) -> Record:
        """Return a script with its ``text``."""
        found: Record = _call("scripts.load", path=path)
        return Record(found["info"], text=found["text"])


class _Documents:
    """Documents: of the tree that is rendered in a macro, else of the project."""

    @staticmethod
    def list(status: str | None = None, tag: str | None = None) -> Records:
        """Return the documents with a status and a tag, by path, without their texts."""
        listed: Records = _call("documents.list", status=status, tag=tag)["documents"]
        return listed

    @staticmethod
    def get(path: str) -> Record:
        """Return a document without its text."""
        found: Record = _call("documents.get", path=path)
        return found

    @staticmethod
    def load(path: str) -> Record:
        """Return a document of the project with its ``text``. Not in a macro."""
        found: Record = _call("documents.load", path=path)
        return Record(found["info"], text=found["text"])

    @staticmethod
    def search(text: str, limit: int = 50) -> Records:
        """Return the project's documents that have every word of ``text``. Not in a macro."""
        found: Records = _call("documents.search", q=text, limit=limit)["documents"]
        return found

    @staticmethod
    def tags(status: str | None = None) -> Records:
        """Return each tag's ``name`` and ``count``, the most used first."""
        counted: Records = _call("documents.tags", status=status)["tags"]
        return counted

    @staticmethod
    def images(
        document: str | None = None, year: int | None = None, month: int | None = None, months: int | None = None
    ) -> Records:
        """Return images, the newest first: of a document, of a year or month, of so many newest months."""
        found: Records = _call("documents.images", document=document, year=year, month=month, months=months)["images"]
        return found


class _State:
    """Small values that the script keeps from one run to the next. A write is durable when it returns."""

    @staticmethod
    def get(key: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever was kept
        """Return a value, ``default`` if there is none."""
        entries = _call("state.get", key=key)["entries"]
        return entries[0]["value"] if entries else default

    @staticmethod
    def all() -> dict[str, Any]:
        """Return every value by key."""
        return {entry["key"]: entry["value"] for entry in _call("state.get")["entries"]}

    @staticmethod
    def set(key: str, value: Any) -> None:  # noqa: ANN401 - whatever is to be kept
        """Keep a value: text, number, true or false, None, lists and dicts of such."""
        _call("state.set", {"values": {key: value}})

    @staticmethod
    def set_all(values: Mapping[str, Any], remove: Sequence[str] = ()) -> None:
        """Keep several values and remove others, all of it or nothing."""
        _call("state.set", {"values": dict(values), "remove": [*remove]})

    @staticmethod
    def delete(key: str) -> None:
        """Remove a value; that there is none is no error."""
        _call("state.set", {"remove": [key]})

    @staticmethod
    def update(key: str, change: Callable[[Any], Any], default: Any = None) -> Any:  # noqa: ANN401 - as above
        """Replace a value by what ``change`` makes of it, and return that.

        What another run writes meanwhile is not lost: then ``change`` is called again with the new value.
        """
        while True:
            entries = _call("state.get", key=key)["entries"]
            version = entries[0]["version"] if entries else 0
            value = change(entries[0]["value"] if entries else default)
            try:
                _call("state.set", {"values": {key: value}, "expected": {key: version}})
            except Error as error:
                if error.code != "conflict":
                    raise
            else:
                return value


class _Secrets:
    """Secrets that this script's header asks for, and that an administrator approved with its text."""

    @staticmethod
    def get(name: str) -> str:
        """Return the value of a secret. It is hidden in what the run prints, returns and fails with."""
        value: str = _call("secrets.get", name=name)["value"]
        return value


class _Assistant:
    """A language model of the administrator's choice, for scripts whose header asks for it and that are approved."""

    @staticmethod
    def ask(prompt: str, instructions: str = "", max_tokens: int | None = None) -> str:
        """Return the answer to ``prompt``, which keeps to ``instructions``."""
        answer: str = _call("assistant.ask", prompt=prompt, instructions=instructions, max_tokens=max_tokens)["text"]
        return answer

    @staticmethod
    def summarize(text: str, words: int = 100, language: str = "") -> str:
        """Return a summary of ``text`` in about so many words, in its own language or another one."""
        answer: str = _call("assistant.summarize", text=text, words=words, language=language)["text"]
        return answer

    @staticmethod
    def classify(text: str, labels: Sequence[str]) -> str:
        """Return the one of ``labels`` that fits ``text`` best."""
        label: str = _call("assistant.classify", text=text, labels=list(labels))["label"]
        return label


class _Tags:
    """Tags of the gateway, where an embedder of the engine has connected them."""

    @staticmethod
    def read(*paths: str) -> list[Any]:
        """Return the tags' values, in the order of the paths."""
        values: list[Any] = _call("tags.read", paths=paths)
        return values

    @staticmethod
    def write(path: str, value: Any) -> None:  # noqa: ANN401 - whatever the tag takes
        """Write a tag."""
        _call("tags.write", path=path, value=value)


assistant = _Assistant()
log = _Log()
progress = _Progress()
runs = _Runs()
scripts = _Scripts()
secrets = _Secrets()
documents = _Documents()
state = _State()
tags = _Tags()
