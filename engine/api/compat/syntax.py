"""What is wrong with a text, for editors."""

from __future__ import annotations

from typing import Any

from engine.api.host import EngineHost
from engine.models.base import Model
from engine.models.checks import CheckRequest
from engine.registry.operation import Operation
from engine.registry.scripts import SCRIPTS_CHECK
from engine.services.access import Actor
from engine.services.operations import implements


class SyntaxRequest(Model, frozen=True):
    code: str = ""


class SyntaxFinding(Model, frozen=True):
    """``line`` counts from 1, ``column`` from 0."""

    line: int
    column: int
    message: str
    severity: str


class SyntaxReport(Model, frozen=True):
    success: bool
    errors: list[SyntaxFinding]


CHECK_SYNTAX = Operation(
    "compat.check_syntax",
    "POST",
    "/api/v1/check-syntax",
    SyntaxReport,
    SCRIPTS_CHECK.role,
    "Check a text for errors",
    body=SyntaxRequest,
    scoped=SCRIPTS_CHECK.scoped,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (CHECK_SYNTAX,)


class Syntax:
    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(CHECK_SYNTAX)
    async def check(self, request: SyntaxRequest, actor: Actor, source: str) -> SyntaxReport:
        """Return what our own checks find, errors and warnings; of an empty text nothing."""
        if not request.code.strip():
            return SyntaxReport(success=True, errors=[])
        report = await self._host.engine.checks.check(CheckRequest(text=request.code), actor, source)
        found = [
            SyntaxFinding(line=each.line, column=each.column, message=each.message, severity=each.severity)
            for each in report.problems
        ]
        return SyntaxReport(success=True, errors=found)
