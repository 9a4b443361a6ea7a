"""Operations on the audit record."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from engine.models import AuditCheck, AuditList, Model
from engine.registry.operation import MAX_ID, Operation


class AuditParams(Model, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: Annotated[int, Meta(ge=0, le=MAX_ID, description="Only records with a smaller number.")] | None = None


AUDIT_LIST = Operation(
    "audit.list", "GET", "/audit", AuditList, "admin", "Who did what, newest first", params=AuditParams
)
AUDIT_VERIFY = Operation("audit.verify", "GET", "/audit/verify", AuditCheck, "admin", "Look at every audit record")
