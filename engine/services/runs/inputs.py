"""What a run is given, as it is recorded: canonical JSON with a hash, and the run's text by its own hash.

Secrets are not part of it. In their place stands an HMAC (RFC 2104) with the project's key, so that nobody who reads
the records can guess them, and the same secret can still be seen to be the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.models.runs import RunFileInput, RunRequest, SecretInput
from engine.services.runs.uploads import Buffer
from store.frontmatter.secret_names import holds_a_secret_name, names_a_secret

MAX_INPUTS = 64 << 10
"""Characters of inputs that are kept."""

MAX_CODE = 1 << 20
"""Bytes of a text that is kept: the most that a run may have."""

BY_NAME = ("params", "kwargs", "variables")
ARGS = "args"
_FIELDS = (*BY_NAME, ARGS, "entrypoint")
NOTHING = hashlib.sha256(b"{}").hexdigest()
"""Hash of the inputs of a run that was given none."""


@dataclass(frozen=True, slots=True)
class GivenInputs:
    """``text`` is None when there is nothing to keep, or too much of it."""

    sha256: str
    text: str | None


@dataclass(frozen=True, slots=True)
class SecretKeeper:
    """Tells which inputs are secret, and makes HMACs of them.

    Attributes:
        key: The project's.
        declared: Whether each parameter that the script declares is secret; others are by their names.
    """

    key: bytes
    declared: Mapping[str, bool]

    def is_secret(self, place: str, name: str, value: object) -> bool:
        """Whether a value is one, or has one inside; then nothing of it is kept."""
        declared = self.declared.get(name) if place == "params" else None
        by_name = names_a_secret(name) if declared is None else declared
        return by_name or holds_a_secret_name(value)

    def hmac(self, name: str, value: object) -> str:
        """The HMAC of a value of that name. Raises as ``json.dumps`` does."""
        told = json.dumps([name, value], sort_keys=True, separators=(",", ":"))
        return f"hmac-sha256:{hmac.new(self.key, told.encode(), hashlib.sha256).hexdigest()}"


def given_inputs(request: RunRequest, buffers: Mapping[str, Buffer], keeper: SecretKeeper) -> GivenInputs:
    """The inputs of a request.

    Args:
        request: What is about to run.
        buffers: The files that it is handed, by parameter.
        keeper: Knows what of it is secret.
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
        text = json.dumps(_without_secrets(found, keeper), sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return GivenInputs("", None)  # no run can be given that either: it is refused with a sentence further on
    return GivenInputs(hashlib.sha256(text.encode()).hexdigest(), text if len(text) <= MAX_INPUTS else None)


def _without_secrets(found: dict[str, Any], keeper: SecretKeeper) -> dict[str, Any]:
    """Inputs with HMACs, by place and name, in place of what is secret."""
    kept, hidden = dict(found), dict[str, dict[str, str]]()
    for place in BY_NAME:
        values: Mapping[str, Any] = found.get(place, {})
        secret = {name for name, value in values.items() if keeper.is_secret(place, name, value)}
        if secret:
            hidden[place] = {name: keeper.hmac(name, values[name]) for name in secret}
            kept[place] = {name: value for name, value in values.items() if name not in secret}
    if holds_a_secret_name(found.get(ARGS)):
        hidden[ARGS] = {ARGS: keeper.hmac(ARGS, kept.pop(ARGS))}
    return kept | {"secrets": hidden} if hidden else kept


def kept_code(source: bytes) -> bytes | None:
    """What is kept of a run's text."""
    return source if 0 < len(source) <= MAX_CODE else None


def read_inputs(text: str | None) -> dict[str, Any]:
    """Kept inputs by the names of ``RunInputs``."""
    found: dict[str, Any] = json.loads(text) if text else {}
    files, secrets = found.pop("files", {}), found.pop("secrets", {})
    return found | {
        "files": [RunFileInput(parameter=parameter, **file) for parameter, file in files.items()],
        "secrets": [
            SecretInput(place=place, name=name, hmac=digest)
            for place, digests in secrets.items()
            for name, digest in digests.items()
        ],
    }
