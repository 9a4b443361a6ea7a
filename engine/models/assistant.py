"""What is asked of the assistant, a language model behind an address of the administrator's choice."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from engine.models.base import Model

MAX_PROMPT = 256 << 10
"""Characters of a text that is sent."""

Text = Annotated[str, Meta(min_length=1, max_length=MAX_PROMPT)]


class AskRequest(Model, frozen=True):
    prompt: Text
    instructions: Annotated[str, Meta(max_length=MAX_PROMPT)] = ""
    """What it is to keep to in its answer."""
    max_tokens: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """Of the answer; else as many as the server gives."""


class SummarizeRequest(Model, frozen=True):
    text: Text
    words: Annotated[int, Meta(ge=5, le=5_000)] = 100
    """Of the summary, about."""
    language: Annotated[str, Meta(max_length=40, pattern=r"^[\w -]*$")] = ""
    """Of the summary, such as "de" or "German"; else that of the text."""


class ClassifyRequest(Model, frozen=True):
    text: Text
    labels: Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(min_length=2, max_length=100)]


class AssistantAnswer(Model, frozen=True):
    text: str
    complete: bool
    """False when it was cut off at the most tokens that it could have."""
    model: str
    """As the server names it."""


class Classification(Model, frozen=True):
    label: str
    """One of those that were given."""


class AssistantInfo(Model, frozen=True):
    """State of the assistant: if it can be asked, and what was asked today."""

    on: bool
    why_not: str | None = None
    """One sentence, where it cannot."""
    server: str = ""
    """Where texts go: host and port."""
    model: str = ""
    requests: int = 0
    requests_limit: int = 0
    bytes: int = 0
    bytes_limit: int = 0
    per_script_limit: int = 0


class ExplainRequest(Model, frozen=True):
    """A run that failed. What it was given is not sent: its text, its error and the end of its output are."""

    run_id: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class ProposeRequest(Model, frozen=True):
    """A text and what is to become of it. Nothing is saved."""

    text: Text
    wish: Annotated[str, Meta(min_length=1, max_length=4_000)]
    path: Annotated[str, Meta(max_length=4096)] = ""
    """The script's, as the difference names it."""
    run_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    """A run of it whose error is to be considered."""


class ProposedChange(Model, frozen=True):
    text: str
    """The whole text with the change."""
    diff: str
    """Unified; empty where nothing would change."""
