"""The operation that proves what a run was."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.registry.operation import TRANSFER_TIMEOUT, Id, Operation


class EvidenceParams(Model, frozen=True):
    run_id: Id
    name: Annotated[str, Meta(min_length=1, max_length=255, description="What to call the file.")] = "evidence.json"
    inputs: Annotated[bool, Meta(description="What the run was given, too, beside its hash; never a secret.")] = False
    output: Annotated[bool, Meta(description="What it wrote and returned, too, beside the hashes.")] = False


EVIDENCE = Operation(
    "evidence",
    "GET",
    "/runs/{run_id}/evidence",
    bytes,
    "admin",
    "Make evidence of a run: one file that is verified without the project",
    params=EvidenceParams,
    raw_answer=True,
    patience=TRANSFER_TIMEOUT,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (EVIDENCE,)
