"""Whatever goes wrong in a request, as a status and one sentence; tracebacks go to the log, never to a client."""

from __future__ import annotations

import logging
import re
import secrets

import msgspec

from engine.models.base import ErrorBody
from engine.services.access import ServiceError

log = logging.getLogger("engine.api")

DOCUMENT_HINT = "What each operation takes: GET /api/v1/openapi.json."


def answer_to(error: Exception, operation: str) -> tuple[int, ErrorBody]:
    """The status and body that tell a client about ``error``."""
    if isinstance(error, ServiceError):
        return error.status, error.body()
    if isinstance(error, msgspec.ValidationError):
        return 400, ErrorBody(error=_validation_sentence(str(error)), code="bad_request", hint=DOCUMENT_HINT)
    if isinstance(error, msgspec.DecodeError):
        return 400, ErrorBody(error=f"The body is not JSON: {_lowered(str(error))}.", code="bad_request")
    if isinstance(error, RecursionError):
        return 400, ErrorBody(error="The body is nested too deeply.", code="bad_request")
    number = secrets.token_hex(4)
    log.error("error %s in %s", number, operation, exc_info=error)
    sentence = f"The engine failed at this ({type(error).__name__}, error {number})."
    return 500, ErrorBody(error=sentence, code="internal", hint=f"Look for {number} in the engine's log.")


def not_found(method: str, path: str) -> ErrorBody:
    return ErrorBody(error=f"There is nothing at {method} {path[:200]!r}.", code="no_route", hint=DOCUMENT_HINT)


def wrong_method(method: str, path: str, allowed: str) -> ErrorBody:
    sentence = f"{method} is not possible at {path[:200]!r}; possible: {allowed}."
    return ErrorBody(error=sentence, code="wrong_method", hint=DOCUMENT_HINT)


def _validation_sentence(text: str) -> str:
    """msgspec's message, which names the place as a JSON path, as a sentence that names the field."""
    if missing := re.fullmatch(r"Object missing required field `(.+?)`(?: - at `\$\.?(.*)`)?", text):
        return f"The field {'.'.join(filter(None, (missing[2], missing[1])))} is missing."
    what, _, place = text.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    where = f"The field {field}" if field else "The body"
    return f"{where} is wrong: {_lowered(what)}."


def _lowered(text: str) -> str:
    text = text.removeprefix("JSON is malformed: ").replace("`", "")
    return text[:1].lower() + text[1:]
