"""The one way in which a command fails."""

from __future__ import annotations

from tui.commands import exit_codes


class CommandError(Exception):
    """A command cannot do what it was asked. It reaches the user as one sentence, and what to do."""

    def __init__(
        self, message: str, *, hint: str | None = None, exit_code: int = exit_codes.FAILED, code: str = "failed"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.code = code
