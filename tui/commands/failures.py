"""Why a gateway gave no answer, as the exit code and the JSON of a command for several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.commands import exit_codes

if TYPE_CHECKING:
    from engine.client.fleet import Failure


def exit_code(failure: Failure) -> int:
    """Return the exit code that a command for that gateway alone ends with."""
    return failure.exit_code if failure.status is None else exit_codes.of_refusal(failure.status, failure.code)


def as_json(failure: Failure | None) -> dict[str, object] | None:
    """Return what programs are told; None where a gateway answered."""
    if failure is None:
        return None
    return {"kind": failure.kind, "error": failure.message, "code": failure.code, "hint": failure.hint}
