"""Operations about callers: tokens, and what a caller is told of itself."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.access import AccessInfo, NewToken, TokenInfo, TokenList, TokenRequest
from engine.models.base import Model
from engine.registry.operation import Operation


class TokenParams(Model, frozen=True):
    token: Annotated[str, Meta(min_length=1, max_length=64, description="The token's name or id, never its text.")]


ACCESS_SELF = Operation(
    "access.self",
    "GET",
    "/access/self",
    AccessInfo,
    "viewer",
    "See the caller's own role and limits",
    scoped=True,
)
TOKENS_CREATE = Operation(
    "tokens.create",
    "POST",
    "/tokens",
    NewToken,
    "admin",
    "Create tokens: the text is in this answer and nowhere else",
    body=TokenRequest,
    status=201,
)
TOKENS_LIST = Operation("tokens.list", "GET", "/tokens", TokenList, "admin", "List tokens, without their text")
TOKENS_REVOKE = Operation(
    "tokens.revoke",
    "DELETE",
    "/tokens/{token}",
    TokenInfo,
    "admin",
    "Revoke tokens, with their sessions, at once",
    params=TokenParams,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    ACCESS_SELF,
    TOKENS_CREATE,
    TOKENS_LIST,
    TOKENS_REVOKE,
)
