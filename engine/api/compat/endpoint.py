"""One route of the module's clients: its quirks on the way in and out, our services between."""

from __future__ import annotations

import msgspec
from starlette.types import Send

from engine.api import errors
from engine.api.endpoint import Endpoint, refusal_headers, respond_json

REAL_STATUSES = frozenset({401, 403, 410, 413, 415, 429})
"""Refusals that keep their status. With any other one than 200 these clients lose the sentence, so the rest is 200."""


class CompatEndpoint(Endpoint):
    """Answers a failure with status 200 and ``success: false``, as the module does."""

    async def _refuse(self, send: Send, error: Exception) -> None:
        status, body = errors.answer_to(error, self._operation)
        status = status if status in REAL_STATUSES else 200
        await respond_json(send, status, msgspec.json.encode(body), refusal_headers(error))
