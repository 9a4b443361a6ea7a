"""What the project's macros make of a text: asked of the engine once, however many parts of the console show it."""

from __future__ import annotations

import asyncio

from engine.models.checks import CheckProblem
from engine.models.macros import PreviewRequest, RenderedDocument
from engine.registry.macros import MACROS_PREVIEW
from tui.connection import EngineConnection
from tui.widgets.preview_pane import told


class MacroExpansion:
    """Keeps the last answer as long as neither the text nor a script or document of the project changes.

    Attributes:
        shown: The user looks at what macros make of the text. Else none is called: only tags are checked.
    """

    def __init__(self, connection: EngineConnection) -> None:
        self.shown = False
        self._connection = connection
        self._turn = asyncio.Lock()
        self._known: tuple[PreviewRequest, RenderedDocument] | None = None

    def forget(self) -> None:
        """Ask again the next time: something that the answer depends on may be another one now."""
        self._known = None

    async def of(self, request: PreviewRequest) -> RenderedDocument:
        """Return the text with its tags expanded, and what is to be said of them.

        Raises:
            EngineError: The engine refuses, for instance because the caller's role is too low.
            EngineUnreachable: It is away.
        """
        async with self._turn:
            known = self._known
            if known is not None and known[0] == request:
                return known[1]
            self._known = None
            answer = await self._connection.client.call(MACROS_PREVIEW, body=request)
            self._known = request, answer
            return answer


def problems_of(rendered: RenderedDocument) -> list[CheckProblem]:
    """Return what is wrong with a document's tags; what a macro itself remarks on is a warning."""
    return [
        CheckProblem(
            message=told(one),
            line=one.line,
            column=one.column,
            severity="warning" if one.kind == "warning" else "error",
        )
        for one in rendered.warnings
    ]
