"""The engine's latest log lines, as the module's panels read them."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from msgspec import Meta

from engine.api.host import EngineHost
from engine.models.base import Model
from engine.registry.operation import MAX_ID, Operation
from engine.services.access import Actor, ServiceError
from engine.services.operations import implements

MOST = 500

OURS = "python3"
"""The filter that old clients always send. Every line here is of the engine, so it leaves nothing out."""

LEVELS = {
    "": 0,
    "ALL": 0,
    "TRACE": 0,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.ERROR,
    "FATAL": logging.ERROR,
}
"""Python's names and those of the gateway's log. Clients know none above ERROR."""


class LogParams(Model, frozen=True):
    lines: Annotated[int, Meta(ge=1, le=MAX_ID, description="How many lines to send; more than 500 means 500.")] = 100
    level: Annotated[str, Meta(description="Only lines of this level and above: DEBUG, INFO, WARN or ERROR.")] = ""
    filter: Annotated[str, Meta(description="Only lines with this text in their logger or message.")] = ""
    after: Annotated[int, Meta(le=MAX_ID, description="Only lines with a smaller id: the next page; 0 for all.")] = 0


class LogEntry(Model, frozen=True, kw_only=True):
    id: int
    timestamp: int
    level: str
    logger: str
    message: str


class LogPage(Model, frozen=True, kw_only=True, rename="camel"):
    """Newest first. ``total`` counts the lines that match and are still held, whatever ``after`` says."""

    success: bool
    entries: list[LogEntry]
    count: int
    total: int
    has_more: bool


LOGS = Operation(
    "compat.logs",
    "GET",
    "/api/v1/logs",
    LogPage,
    # Lines tell of the runs, paths and addresses of all callers: like the output of others, not for viewers.
    "author",
    "Read the engine's latest log lines",
    params=LogParams,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (LOGS,)


class Logs:
    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(LOGS)
    def logs(self, params: LogParams, actor: Actor) -> LogPage:  # noqa: ARG002 - its role is checked
        """Return a page of the lines that match.

        Raises:
            ServiceError: ``bad_request``: there is no such level.
        """
        least = LEVELS.get(params.level.strip().upper())
        if least is None:
            raise ServiceError("bad_request", "level must be DEBUG, INFO, WARN or ERROR.")
        part = params.filter.strip().lower()
        part = "" if part == OURS else part
        matching = [
            line
            for line in self._host.recent_log.newest_first()
            if line.level >= least and (part in line.logger.lower() or part in line.message.lower())
        ]
        wanted = [line for line in matching if params.after <= 0 or line.id < params.after]
        page = wanted[: min(params.lines, MOST)]
        return LogPage(
            success=True,
            entries=[
                LogEntry(
                    id=line.id,
                    timestamp=int(line.at * 1000),
                    level=_level(line.level),
                    logger=line.logger,
                    message=line.message,
                )
                for line in page
            ],
            count=len(page),
            total=len(matching),
            has_more=len(wanted) > len(page),
        )


def _level(number: int) -> str:
    """The name that the gateway's log has for one of Python's levels."""
    if number >= logging.ERROR:
        return "ERROR"
    if number >= logging.WARNING:
        return "WARN"
    return "INFO" if number >= logging.INFO else "DEBUG"
