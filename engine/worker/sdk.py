"""What ``import gatewright`` gives a script: its parameters, and the engine's operations as plain functions.

Every call waits for its answer. What the engine refuses is an ``Error``.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .buffers import Buffers
    from .caller import Caller, CallRefused
    from .inputs import InputFile

# Put in place by the import in a run (``own_module.py``); elsewhere there is nothing to call.
_given: Any = globals()
_caller: Caller = _given.get("_caller")
_CallRefused: type[CallRefused] = _given.get("_CallRefused", Exception)
_script: dict[str, Any] = _given.get("_script", {"params": {}, "args": []})

__all__ = ["Error", "Record", "args", "buffers", "files", "params", "runs", "scripts"]


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
    asked: dict[str, Any] = {"op": operation, "params": params} | ({} if body is None else {"body": body})
    if (of := _caller.current_call()) is not None:
        asked["of"] = of
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
    _, fds = _call_with_buffers("buffers.make", None, {"name": name, "size": size})
    if not fds:  # the kernel leaves out what a process may not have (unix(7), MSG_CTRUNC)
        raise Error("busy", "The run has too many open files to make a buffer.", "Close some of them before.")
    return fds[0]


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


runs = _Runs()
scripts = _Scripts()
