"""Bind service methods to the registry's operations: which method carries out which row, and with what arguments.

A method names its row with ``implements`` and takes what it needs by name: ``actor`` and ``source`` of the caller, the
whole ``params`` struct or any of its fields, the body as ``request`` or any of its fields, and what only some surfaces
have (``chunks`` of a raw body, the ``last_event_id`` of a stream that broke, the media types that it may ``accept``).
Whatever serves operations, HTTP first, builds one table of them at its start, so that a row without a method, or with
two, never gets as far as a caller.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from engine.registry.operation import Operation
from engine.services.access import Actor, Role, require, require_every_script

Row = Operation[Any, Any, Any]
MethodT = TypeVar("MethodT", bound=Callable[..., Any])

OF_THE_CALL = frozenset({"actor", "source", "params", "request", "chunks", "last_event_id", "accept"})
"""Names of arguments that are not fields of params or body."""

OF_THE_SURFACE = frozenset({"follow", "kept"})
"""Parameters that say how to answer; they are not the method's."""


class UnboundOperation(Exception):
    """An operation that no method carries out, or more than one, or one that cannot be given its arguments."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, after its role was checked and its params and body were decoded.

    Attributes:
        source: ``console``, ``cli``, ``rest`` or ``library``.
        params: The operation's params struct.
        body: The operation's body struct, None if it takes none.
        chunks: A raw body as it arrives.
        last_event_id: Where a stream that broke was left.
        accept: Media types that the caller takes.
    """

    actor: Actor
    source: str
    params: Any
    body: Any = None
    chunks: AsyncIterator[bytes] | None = None
    last_event_id: str = ""
    accept: str = ""


def implements(operation: Row) -> Callable[[MethodT], MethodT]:
    """Name the row that a method carries out. Every caller that the method is told of needs the row's role."""

    def mark(method: MethodT) -> MethodT:
        checked = _checked(method, operation) if "actor" in inspect.signature(method).parameters else method
        checked.operation = operation  # type: ignore[attr-defined]
        return checked

    return mark


def may(actor: Actor, operation: Row) -> None:
    """Refuse an actor without the operation's role, and a token for some scripts only what is not for such tokens.

    Raises:
        ServiceError: ``forbidden``.
    """
    what = phrase(operation.summary)
    require(actor, Role[operation.role.upper()], what, operation.parts)
    if not operation.scoped:
        require_every_script(actor, what)


class BoundOperation:
    """An operation and the method of one engine's ``part`` that carries it out."""

    __slots__ = ("_fields", "_name", "_part", "operation")

    def __init__(self, operation: Row, part: object, name: str) -> None:
        self.operation = operation
        self._part = part
        self._name = name
        self._fields = tuple(_fields_of(operation, getattr(part, name)))

    def __call__(self, request: Request) -> Any:  # noqa: ANN401 - the operation's answer, or its awaitable
        """Call the method with what it takes of ``request``."""
        arguments = {
            name: getattr(getattr(request, part) if part else request, field) for name, part, field in self._fields
        }
        return getattr(self._part, self._name)(**arguments)


def bind(parts: Iterable[object]) -> dict[Row, BoundOperation]:
    """Find the methods of ``parts`` that carry out operations.

    Raises:
        UnboundOperation: Two methods carry out the same one, or one cannot be given its arguments.
    """
    bound: dict[Row, BoundOperation] = {}
    for operation, part, name in _methods(parts):
        if operation in bound:
            raise UnboundOperation(f"Two methods carry out {operation.name}.")
        bound[operation] = BoundOperation(operation, part, name)
    return bound


def complete(operations: Iterable[Row], bound: Mapping[Row, BoundOperation]) -> list[BoundOperation]:
    """Return the methods in the order of the table.

    Raises:
        UnboundOperation: No method carries out one of them, or a method's row is not in the table.
    """
    table = list(operations)
    if missing := [operation.name for operation in table if operation not in bound]:
        raise UnboundOperation(f"No method carries out {', '.join(missing)}.")
    if strangers := [operation.name for operation in bound if operation not in table]:
        raise UnboundOperation(f"The table does not have {', '.join(strangers)}.")
    return [bound[operation] for operation in table]


def _methods(parts: Iterable[object]) -> Iterator[tuple[Row, object, str]]:
    for part in {id(part): part for part in parts}.values():
        for name in dir(type(part)):
            operation = getattr(getattr(type(part), name, None), "operation", None)
            if isinstance(operation, Operation):
                yield operation, part, name


def _fields_of(operation: Row, method: Callable[..., Any]) -> Iterator[tuple[str, str, str]]:
    """For each argument its name, the part of the request that has it ("" for the request itself), and the field."""
    params, body = _names(operation.params), _names(operation.body)
    arguments = inspect.signature(method).parameters
    if operation.role != "viewer" and "actor" not in arguments:
        raise UnboundOperation(f"{method.__qualname__} must take the actor: {operation.name} is not for every role.")
    if operation.role != "viewer" and arguments["actor"].default is None:
        raise UnboundOperation(f"{method.__qualname__} must be told the actor: {operation.name} is not for every role.")
    taken = set(params) & OF_THE_SURFACE
    for name in arguments:
        if name in OF_THE_CALL:
            taken |= {"params": params, "request": body}.get(name, frozenset())
            yield name, "", "body" if name == "request" else name
        elif name in params or name in body:
            taken.add(name)
            yield name, "params" if name in params else "body", name
        else:
            raise UnboundOperation(f"Nothing of {operation.name} is the argument {name} of {method.__qualname__}.")
    if ignored := (params | body) - taken:
        raise UnboundOperation(f"{method.__qualname__} ignores {', '.join(sorted(ignored))} of {operation.name}.")


def _names(struct: Any) -> frozenset[str]:  # noqa: ANN401 - a struct type, or None
    return frozenset() if struct is None else frozenset(field.name for field in msgspec.structs.fields(struct))


def _checked(method: MethodT, operation: Row) -> MethodT:
    """The method with its role check, for callers that come by no surface: the library and the services themselves."""
    parameters = inspect.signature(method).parameters
    at = list(parameters).index("actor")
    optional = parameters["actor"].default is None  # the engine itself reads without one

    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the method's own
        actor = args[at] if len(args) > at else kwargs.get("actor")
        if actor is None and optional:
            return method(*args, **kwargs)
        if actor is None:
            raise TypeError(f"{method.__qualname__} must be told who calls it")
        may(actor, operation)
        return method(*args, **kwargs)

    @functools.wraps(method)
    async def checked_when_awaited(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the method's own
        return await checked(*args, **kwargs)

    return checked_when_awaited if inspect.iscoroutinefunction(method) else checked  # type: ignore[return-value]


@functools.cache
def phrase(summary: str) -> str:
    """Return what completes "alice may not …": the summary's first clause."""
    first = re.split(r"[:;,]", summary, maxsplit=1)[0]
    return first[:1].lower() + first[1:]
