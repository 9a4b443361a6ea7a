"""What a run is given, as it is recorded: canonical JSON with a hash, and the run's text by its own hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.models.runs import RunFileInput, RunRequest
from engine.services.runs.uploads import Buffer

MAX_INPUTS = 64 << 10
"""Characters of inputs that are kept."""

MAX_CODE = 1 << 20
"""Bytes of a text that is kept: the most that a run may have."""

_FIELDS = ("params", "args", "kwargs", "variables", "entrypoint")
NOTHING = hashlib.sha256(b"{}").hexdigest()
"""Hash of the inputs of a run that was given none."""


@dataclass(frozen=True, slots=True)
class GivenInputs:
    """``text`` is None when there is nothing to keep, or too much of it."""

    sha256: str
    text: str | None


def given_inputs(request: RunRequest, buffers: Mapping[str, Buffer]) -> GivenInputs:
    """The inputs of a request.

    Args:
        request: What is about to run.
        buffers: The files that it is handed, by parameter.
    """
    found: dict[str, Any] = {name: value for name in _FIELDS if (value := getattr(request, name))}
    if buffers:
        found["files"] = {
            parameter: {"name": buffer.info.name, "size": buffer.info.size, "sha256": buffer.info.sha256}
            for parameter, buffer in buffers.items()
        }
    if not found:
        return GivenInputs(NOTHING, None)
    try:
        text = json.dumps(found, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return GivenInputs("", None)  # no run can be given that either: it is refused with a sentence further on
    return GivenInputs(hashlib.sha256(text.encode()).hexdigest(), text if len(text) <= MAX_INPUTS else None)


def kept_code(source: bytes) -> bytes | None:
    """What is kept of a run's text."""
    return source if 0 < len(source) <= MAX_CODE else None


def read_inputs(text: str | None) -> dict[str, Any]:
    """Kept inputs by the names of ``RunInputs``."""
    found: dict[str, Any] = json.loads(text) if text else {}
    files = found.pop("files", {})
    return found | {"files": [RunFileInput(parameter=parameter, **file) for parameter, file in files.items()]}
