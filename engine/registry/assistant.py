"""Operations on the assistant. Runs ask the same by their own API, if their script is granted it."""

from __future__ import annotations

from typing import Any

from engine.models.assistant import (
    AskRequest,
    AssistantAnswer,
    AssistantInfo,
    Classification,
    ClassifyRequest,
    ExplainRequest,
    ProposedChange,
    ProposeRequest,
    SummarizeRequest,
)
from engine.registry.operation import TRANSFER_TIMEOUT, Operation

ASSISTANT_INFO = Operation(
    "assistant.info", "GET", "/assistant", AssistantInfo, "viewer", "See whether there is an assistant, and its use"
)
ASSISTANT_ASK = Operation(
    "assistant.ask",
    "POST",
    "/assistant/ask",
    AssistantAnswer,
    "operator",
    "Ask the assistant",
    body=AskRequest,
    cancels=True,
    patience=TRANSFER_TIMEOUT,
)
ASSISTANT_SUMMARIZE = Operation(
    "assistant.summarize",
    "POST",
    "/assistant/summarize",
    AssistantAnswer,
    "operator",
    "Summarize a text by the assistant",
    body=SummarizeRequest,
    cancels=True,
    patience=TRANSFER_TIMEOUT,
)
ASSISTANT_CLASSIFY = Operation(
    "assistant.classify",
    "POST",
    "/assistant/classify",
    Classification,
    "operator",
    "Classify a text by the assistant: choose one of some labels",
    body=ClassifyRequest,
    cancels=True,
    patience=TRANSFER_TIMEOUT,
)

ASSISTANT_EXPLAIN = Operation(
    "assistant.explain",
    "POST",
    "/assistant/explain",
    AssistantAnswer,
    "operator",
    "Have the assistant explain why a run failed",
    body=ExplainRequest,
    cancels=True,
    patience=TRANSFER_TIMEOUT,
)
ASSISTANT_PROPOSE = Operation(
    "assistant.propose",
    "POST",
    "/assistant/propose",
    ProposedChange,
    "author",
    "Have the assistant propose a change of a text; nothing is saved",
    body=ProposeRequest,
    cancels=True,
    patience=TRANSFER_TIMEOUT,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    ASSISTANT_INFO,
    ASSISTANT_ASK,
    ASSISTANT_SUMMARIZE,
    ASSISTANT_CLASSIFY,
    ASSISTANT_EXPLAIN,
    ASSISTANT_PROPOSE,
)
