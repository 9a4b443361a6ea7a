"""What is not here: routes whose feature does not exist yet, and shells, which there will not be."""

from __future__ import annotations

from typing import Any

from engine.models.base import Model
from engine.registry.operation import Operation
from engine.services.access import ServiceError
from engine.services.operations import implements

NOT_AVAILABLE = "not_available"


class NotAvailable(Model, frozen=True, rename="camel"):
    """The answer of a route without its feature. It is no error of the request, so its status is 200.

    Attributes:
        code: ``not_available``.
        message: The same sentence as ``error``: some clients show only this one.
    """

    success: bool
    code: str
    error: str
    message: str


class NoCompletions(NotAvailable, frozen=True, rename="camel"):
    completions: list[dict[str, Any]]
    count: int


class Gone(Model, frozen=True):
    """Never sent: these routes refuse every request."""


class AnyRequest(Model, frozen=True):
    """Whatever a client sends along."""


class CompletionsRequest(Model, frozen=True):
    code: str = ""
    line: int = 1
    column: int = 0


def _row(
    name: str,
    method: Any,  # noqa: ANN401 - an Operation's
    path: str,
    answer: type[Any],
    summary: str,
    **more: Any,  # noqa: ANN401 - an Operation's
) -> Operation[Any, Any, Any]:
    return Operation(f"compat.{name}", method, f"/api/v1/{path}", answer, "viewer", summary, scoped=True, **more)


COMPLETIONS = _row(
    "completions", "POST", "completions", NoCompletions, "Complete code at a place", body=CompletionsRequest
)
SHELL = _row("shell_exec", "POST", "shell-exec", Gone, "Run shell commands", body=AnyRequest, status=410)
SHELL_CREATE = _row(
    "shell.create", "POST", "shell-interactive/create", Gone, "Open interactive shells", body=AnyRequest, status=410
)
SHELL_EXEC = _row(
    "shell.exec", "POST", "shell-interactive/exec", Gone, "Use interactive shells", body=AnyRequest, status=410
)
SHELL_CLOSE = _row(
    "shell.close", "POST", "shell-interactive/close", Gone, "Close interactive shells", body=AnyRequest, status=410
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    COMPLETIONS,
    SHELL,
    SHELL_CREATE,
    SHELL_EXEC,
    SHELL_CLOSE,
)

_COMPLETION = "There is no completion of code yet."
_SHELL = (
    "There is no shell here: its commands would run outside the sandbox. Run code with /exec, or use the host's own "
    "SSH."
)


def _said(sentence: str) -> dict[str, Any]:
    return {"success": False, "code": NOT_AVAILABLE, "error": sentence, "message": sentence}


class Unavailable:
    """Says of each what there is instead, and answers with the shapes that clients read, empty."""

    @implements(COMPLETIONS)
    def completions(self, request: CompletionsRequest) -> NoCompletions:  # noqa: ARG002
        return NoCompletions(**_said(_COMPLETION), completions=[], count=0)

    @implements(SHELL)
    def shell(self, request: AnyRequest) -> Gone:  # noqa: ARG002
        raise _gone()

    @implements(SHELL_CREATE)
    def create(self, request: AnyRequest) -> Gone:  # noqa: ARG002
        raise _gone()

    @implements(SHELL_EXEC)
    def exec(self, request: AnyRequest) -> Gone:  # noqa: ARG002
        raise _gone()

    @implements(SHELL_CLOSE)
    def close(self, request: AnyRequest) -> Gone:  # noqa: ARG002
        raise _gone()


def _gone() -> ServiceError:
    return ServiceError("gone", _SHELL, status=410)
