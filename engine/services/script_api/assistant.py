"""The assistant for runs: asked under the run's own script, which its text must be approved for."""

from __future__ import annotations

from collections.abc import Mapping

from engine.models.assistant import (
    AskRequest,
    AssistantAnswer,
    Classification,
    ClassifyRequest,
    SummarizeRequest,
)
from engine.models.permissions import ASSISTANT, Access, Grant
from engine.registry.operation import ScriptKind
from engine.services.access import FROM_RUNS, ServiceError
from engine.services.assistant.service import Asker, AssistantService
from engine.services.script_api.dispatcher import CallingRun, RunOperation


class RunAssistant:
    """What runs ask for as ``assistant.ask``, ``assistant.summarize`` and ``assistant.classify``."""

    def __init__(self, assistant: AssistantService) -> None:
        self._assistant = assistant

    @property
    def operations(self) -> Mapping[str, RunOperation]:
        """By name."""
        kinds: tuple[ScriptKind, ...] = ("utility",)
        return {
            "assistant.ask": RunOperation(kinds, AskRequest, self.ask),
            "assistant.summarize": RunOperation(kinds, SummarizeRequest, self.summarize),
            "assistant.classify": RunOperation(kinds, ClassifyRequest, self.classify),
        }

    async def ask(self, run: CallingRun, asked: AskRequest) -> AssistantAnswer:
        return await self._assistant.ask_as(asked, _asker(run))

    async def summarize(self, run: CallingRun, asked: SummarizeRequest) -> AssistantAnswer:
        return await self._assistant.summarize_as(asked, _asker(run))

    async def classify(self, run: CallingRun, asked: ClassifyRequest) -> Classification:
        return await self._assistant.classify_as(asked, _asker(run))


def _asker(run: CallingRun) -> Asker:
    """Return who asks; raises ``not_granted``."""
    if Grant(access=Access.ASK, path=ASSISTANT) in run.info.grants:
        return Asker(run.actor, FROM_RUNS, run.script, f"#{run.info.id} {run.info.name}")
    if not run.script:
        sentence = "Only a saved script can ask the assistant, and this run is of code that is none."
        hint = "Save it as a script whose header asks for it, and have an administrator approve it."
        raise ServiceError("not_granted", sentence, hint=hint, status=403)
    raise ServiceError(
        "not_granted",
        f"{run.script} does not ask for the assistant in its header.",
        hint="Add assistant = true under [tool.gatewright.permissions]; an administrator approves that.",
        status=403,
    )
