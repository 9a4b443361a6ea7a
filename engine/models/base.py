"""What every struct of the API is, and the two that belong to no subject: an event and an error.

Times are seconds since the epoch as float, durations seconds as float, sizes bytes. Paths of scripts are POSIX and
relative to the project's ``scripts/`` folder. Every struct is immutable; fields that may be absent have a default, so
that an older client reads a newer engine's answer and the other way round.
"""

from __future__ import annotations

from typing import Any

import msgspec

VERSION = "0.1.0"
"""Of Gatewright. The wheel gets its version from here; clients and engines compare it at every start."""

API_VERSION = 1
"""Raised when a client of the previous version could misread an answer."""


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that crosses the API."""


class Event(Model, frozen=True):
    """One line of the event stream. ``data`` is a RunInfo, PoolInfo, ScriptInfo … as plain JSON, by ``type``."""

    seq: int
    type: str
    at: float
    data: Any = None


class ErrorBody(Model, frozen=True, omit_defaults=False):
    """Body of every answer that is not a success (DESIGN 6)."""

    error: str
    code: str
    hint: str | None = None
    success: bool = False
