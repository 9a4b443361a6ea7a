"""Whatever goes wrong in a request, as a status and one sentence; tracebacks go to the log, never to a client."""

from __future__ import annotations

import errno
import logging
import re
import secrets
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from engine.models.base import ErrorBody
from engine.registry.operation import BASE, COMPAT_BASE, MAX_ID
from engine.services.access import ServiceError
from engine.services.operations import Row

log = logging.getLogger("engine.api")

DOCUMENT_HINT = "What each operation takes: GET {base}/openapi.json."
"""For those who speak HTTP themselves: only they can ask for what is not there."""

_KINDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})


def as_refusal(error: Exception) -> Exception:
    """Return ``error``, or ``busy`` where it comes of too many open files (open(2)): that passes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in NO_DESCRIPTOR:
            log.warning("a request could not be served: %s", cause.strerror)
            return ServiceError(
                "busy",
                "The engine has as many files and connections open as this host lets it.",
                hint="Try again in a moment. If that lasts, raise the engine's limit of open files (ulimit -n).",
                status=429,
                retry_after=1.0,
            )
        cause = cause.__cause__
    return error


def answer_to(error: Exception, operation: Row) -> tuple[int, ErrorBody]:
    """The status and body that tell a client about ``error`` in a request for ``operation``."""
    if isinstance(error, ServiceError):
        return error.status, error.body()
    if isinstance(error, msgspec.ValidationError):
        sentence, field = _validation_sentence(str(error))
        return 400, ErrorBody(error=sentence, code="bad_request", hint=what_it_takes(operation, field))
    if isinstance(error, msgspec.DecodeError):
        return 400, ErrorBody(error=f"The body is not JSON: {_lowered(str(error))}.", code="bad_request")
    if isinstance(error, RecursionError):
        return 400, ErrorBody(error="The body is nested too deeply.", code="bad_request")
    number = secrets.token_hex(4)
    log.error("error %s in %s", number, operation.name, exc_info=error)
    sentence = f"The engine failed at this ({type(error).__name__}, error {number})."
    return 500, ErrorBody(error=sentence, code="internal", hint=f"Look for {number} in the engine's log.")


def not_found(method: str, path: str) -> ErrorBody:
    return ErrorBody(error=f"There is nothing at {method} {path[:200]!r}.", code="no_route", hint=_document_hint(path))


def wrong_method(method: str, path: str, allowed: str) -> ErrorBody:
    sentence = f"{method} is not possible at {path[:200]!r}; possible: {allowed}."
    return ErrorBody(error=sentence, code="wrong_method", hint=_document_hint(path))


def _document_hint(path: str) -> str:
    return DOCUMENT_HINT.format(base=COMPAT_BASE + BASE if path.startswith(f"{COMPAT_BASE}/") else BASE)


def what_it_takes(operation: Row, field: str) -> str | None:
    """Say what a field of an operation's parameters or body takes; None where the table does not say."""
    name = re.split(r"[.\[]", field)[0]
    for struct in (operation.params, operation.body):
        hints = {} if struct is None else get_type_hints(struct, include_extras=True)
        if name in hints:
            kinds, limits = _taken(hints[name])
            described = next((meta.description for meta in limits if meta.description), "")
            what = " or ".join(dict.fromkeys(kinds))
            return f"{name} takes {what}{_range(limits)}{f': {described}' if described else '.'}"
    return None


def _taken(hint: Any) -> tuple[list[str], list[msgspec.Meta]]:  # noqa: ANN401 - any annotation
    """The kinds of value that an annotation allows, and its limits."""
    limits = [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    origin = get_origin(hint)
    if origin is Annotated or origin in (Union, UnionType):
        kinds: list[str] = []
        for part in get_args(hint)[:1] if origin is Annotated else get_args(hint):
            inner, more = _taken(part)
            kinds += inner
            limits += more
        return kinds, limits
    if origin is Literal:
        return [f"one of {', '.join(map(str, get_args(hint)))}"], limits
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [f"one of {', '.join(str(member.value) for member in hint)}"], limits
    if hint is type(None):
        return [], limits
    return [_KINDS.get(origin or hint, "a value of its own kind")], limits


def _range(limits: list[msgspec.Meta]) -> str:
    """The limits that say something to people: none is told that an id has 19 digits at most."""
    least, most, unit = None, None, ""
    for meta in limits:
        least = meta.ge if meta.ge is not None else least
        most = meta.le if meta.le not in (None, MAX_ID) else most
        if meta.min_length is not None or meta.max_length is not None:
            least, most, unit = meta.min_length, meta.max_length, " long"
    if least is not None and most is not None:
        return f", {least} to {most}{unit}"
    if most is not None:
        return f", {most}{unit} at most"
    return f", {least}{unit} or more" if least is not None else ""


def _validation_sentence(text: str) -> tuple[str, str]:
    """msgspec's message, which names the place as a JSON path, as a sentence that names the field; and the field."""
    if missing := re.fullmatch(r"Object missing required field `(.+?)`(?: - at `\$\.?(.*)`)?", text):
        field = ".".join(filter(None, (missing[2], missing[1])))
        return f"The field {field} is missing.", field
    what, _, place = text.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    where = f"The field {field}" if field else "The body"
    return f"{where} is wrong: {_lowered(what)}.", field


def _lowered(text: str) -> str:
    text = text.removeprefix("JSON is malformed: ").replace("`", "")
    return text[:1].lower() + text[1:]
