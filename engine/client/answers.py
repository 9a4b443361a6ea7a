"""Bodies and answers as JSON, and what can go wrong with them as two errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from engine.client.sse_parser import EventTooLargeError
from engine.client.transport import EngineLostError, Response, TransportError
from engine.models.base import ErrorBody, Model

T = TypeVar("T")

MAX_ANSWER = 64 << 20
LOGIN_REFUSED = frozenset({"unauthorized", "throttled"})
"""Codes of an engine that does not know the caller."""

UNKNOWN_OPERATION = frozenset({"no_route", "wrong_method"})
"""Codes of an engine without the operation. A client asks for those of its own version only."""

UPGRADE = (
    "An engine that was started before an upgrade goes on until nothing runs in it. Wait for its runs, or end it: "
    "gatewright engine stop; the next command starts the new one."
)
LOOK_FIRST = "Look whether it was done, then try again."


class EngineError(Exception):
    """The engine said no."""

    def __init__(self, code: str, message: str, hint: str | None, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status


class EngineUnreachable(Exception):
    """Nothing answers, or the answer broke off."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnusableAnswer(EngineUnreachable):
    """What answers sends what is of no use here. It would do so again, so nothing is gained by asking once more."""


def encode(body: Model) -> bytes:
    """The body as JSON. What JSON in UTF-8 cannot carry is refused as the engine would refuse it."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        sentence = "The text holds a lone surrogate, which UTF-8 cannot carry."
        raise EngineError("bad_request", sentence, "Remove the broken character.", 400) from None
    except (TypeError, RecursionError) as error:
        raise EngineError("bad_request", f"The request cannot be sent as JSON: {error}.", None, 400) from None


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decoder(answer: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - any type that msgspec can build
    decoder = _decoders.get(answer)
    if decoder is None:
        decoder = _decoders[answer] = msgspec.json.Decoder(answer)
    return decoder


def decode(data: bytes, answer: type[T]) -> T:
    try:
        decoded: T = _decoder(answer).decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnusableAnswer(
            "The engine's answer makes no sense to this version.", "Compare the versions: gatewright engine status."
        ) from error
    return decoded


async def read_answer(response: Response, answer: type[T]) -> T:
    """Return the typed answer.

    Raises:
        EngineError: The engine refused.
    """
    return decode(await read_content(response, MAX_ANSWER), answer)


async def read_content(response: Response, limit: int) -> bytes:
    """The answer as it is.

    Raises:
        EngineError: The engine refused.
    """
    data = await response.read(limit)
    if response.status < 400:
        return data
    try:
        body: ErrorBody = _decoder(ErrorBody).decode(data)
    except (msgspec.DecodeError, RecursionError):
        message = f"The engine answered with HTTP status {response.status}."
        raise EngineError("http", message, None, response.status) from None
    if body.code in UNKNOWN_OPERATION:
        raise EngineError(
            body.code, "The engine does not know this: it is of another version.", UPGRADE, response.status
        )
    hint = body.hint if body.code not in LOGIN_REFUSED else response.login_hint or body.hint
    raise EngineError(body.code, body.error, hint, response.status)


@contextmanager
def unreachable(*, harmless: bool, when_silent: str) -> Iterator[None]:
    """Everything that can break between here and the engine, as one sentence.

    Args:
        harmless: What is asked for changes nothing; else the user is told to look whether it was done.
        when_silent: What to do when it takes requests and does not answer.
    """
    try:
        yield
    except TimeoutError:
        raise EngineUnreachable("The engine does not answer.", when_silent) from None
    except EngineLostError as error:
        raise EngineUnreachable(str(error), None if harmless else LOOK_FIRST) from error
    except TransportError as error:
        raise EngineUnreachable(str(error), error.hint) from error
    except EventTooLargeError as error:
        raise UnusableAnswer(str(error)) from error
