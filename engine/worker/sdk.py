"""What ``import gatewright`` gives a script: its parameters, and the engine's operations as plain functions.

Every call waits for its answer. What the engine refuses is an ``Error``.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .buffers import Buffers
    from .caller import Caller, CallRefused
    from .inputs import InputFile

# Put in place by the import in a run (``own_module.py``); elsewhere there is nothing to call.
_given: Any = globals()
_caller: Caller = _given.get("_caller")
_CallRefused: type[CallRefused] = _given.get("_CallRefused", Exception)
_script: dict[str, Any] = _given.get("_script", {"params": {}, "args": []})

__all__ = ["Error", "Record", "args", "assistant", "buffers", "files", "params", "runs", "scripts", "secrets", "state"]


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
            raise AttributeError(f"This record has no {name!r}; it has {there}.", name=name, obj=self) from None


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder(object_hook=Record).decode


def _request(operation: str, params: Mapping[str, Any], body: Mapping[str, Any] | None) -> bytes:
    asked = {"op": operation, "params": params} | ({} if body is None else {"body": body})
    try:
        return _encode(asked).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Error("bad_request", f"What {operation} is given cannot be written as JSON: {error}.") from None


def _call_with_buffers(
    operation: str, body: Mapping[str, Any] | None, params: Mapping[str, Any]
) -> tuple[Any, list[int]]:
    try:
        reply, fds = _caller.call(_request(operation, params, body))
    except _CallRefused as refusal:
        raise Error(refusal.code, str(refusal), refusal.hint or None) from None
    answer = _decode(reply.decode())
    if "error" in answer:
        raise Error(**answer["error"])
    return answer["ok"], fds


def _call(operation: str, body: Mapping[str, Any] | None = None, **params: Any) -> Any:  # noqa: ANN401 - the operation's answer
    return _call_with_buffers(operation, body, {name: value for name, value in params.items() if value is not None})[0]


params: dict[str, Any] = _script["params"]
args: list[Any] = _script["args"]
files: dict[str, InputFile] = _given.get("_files", {})
"""The files that the run was handed, by their parameters."""


def _make_buffer(name: str, size: int) -> int:
    return _call_with_buffers("buffers.make", None, {"name": name, "size": size})[1][0]


buffers: Buffers | None = _given.get("_buffers")
if buffers is not None:
    buffers.connect(_make_buffer)


class _Runs:
    """This run, and others that its caller may see."""

    @staticmethod
    def current() -> Record:
        """Return the record of this run."""
        record: Record = _call("runs.get")
        return record


class _Scripts:
    """The scripts of the project."""

    @staticmethod
    def list() -> list[Record]:
        """Return every script that the run's caller may see, without the texts."""
        listed: list[Record] = _call("scripts.list")["scripts"]
        return listed


class _State:
    """What this script keeps from one run to the next: values of JSON by key, on disk when a call returns."""

    @staticmethod
    def get(key: str, default: Any = None) -> Any:  # noqa: ANN401 - what was set
        """Return the value of ``key``, or ``default`` if it has none."""
        entries = _call("state.get", key=key)["entries"]
        return entries[0]["value"] if entries else default

    @staticmethod
    def all() -> dict[str, Any]:
        """Return every value by its key."""
        return {entry["key"]: entry["value"] for entry in _call("state.get")["entries"]}

    @staticmethod
    def set(key: str, value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Give ``key`` a value. All values of a script together have at most 1 MiB."""
        _call("state.set", {"values": {key: value}})

    @staticmethod
    def update(values: Mapping[str, Any], remove: Sequence[str] = ()) -> None:
        """Set several values and remove several keys, all of it or nothing."""
        _call("state.set", {"values": dict(values), "remove": list(remove)})

    @staticmethod
    def delete(key: str) -> None:
        """Remove ``key``; nothing happens if it has no value."""
        _call("state.set", {"remove": [key]})

    @staticmethod
    def clear() -> None:
        """Remove every value."""
        _call("state.clear")

    @staticmethod
    def change(key: str, function: Callable[[Any], Any], default: Any = None) -> Any:  # noqa: ANN401 - what it returns
        """Set ``key`` to what ``function`` makes of its value, and return that.

        Of two runs that do so at once, the second calls its function again, with what the first one has set.
        """
        for _ in range(1_000):
            entries = _call("state.get", key=key)["entries"]
            value = function(entries[0]["value"] if entries else default)
            version = entries[0]["version"] if entries else 0
            try:
                _call("state.set", {"values": {key: value}, "expected": {key: version}})
            except Error as error:
                if error.code != "conflict":
                    raise
            else:
                return value
        raise Error("conflict", f"Other runs change {key!r} all the time.", "Try it again later.")


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


assistant = _Assistant()
runs = _Runs()
scripts = _Scripts()
secrets = _Secrets()
state = _State()
