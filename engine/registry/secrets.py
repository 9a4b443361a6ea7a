"""Operations on secrets. None of them tells a value: only runs of scripts that are granted a secret get it."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.secrets import SECRET_NAME, SecretInfo, SecretList, SecretValue
from engine.registry.operation import Operation


class SecretParams(Model, frozen=True):
    name: Annotated[str, Meta(pattern=SECRET_NAME, description="Letters, digits, _ . -; at most 64.")]


SECRETS_LIST = Operation("secrets.list", "GET", "/secrets", SecretList, "admin", "List secrets, without their values")
SECRETS_SET = Operation(
    "secrets.set",
    "PUT",
    "/secrets/{name}",
    SecretInfo,
    "admin",
    "Set secrets: give one a value, a new one or another",
    params=SecretParams,
    body=SecretValue,
)
SECRETS_DELETE = Operation(
    "secrets.delete", "DELETE", "/secrets/{name}", SecretInfo, "admin", "Delete secrets", params=SecretParams
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (SECRETS_LIST, SECRETS_SET, SECRETS_DELETE)
