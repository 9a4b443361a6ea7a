"""Expand documents: find their tags, have macros called, put in what those return. Nothing outside of tags changes.

Previews and batches both go through ``expand``; they differ in who makes the calls, and in ``errors_shown``. What a
macro returns is put in as it is: tags in it stay text, so expansion does not nest.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Protocol

import msgspec

from engine.models.macros import DocumentInput, MacroUse, Read, RenderedDocument, RenderWarning
from engine.models.runs import RunError
from engine.services.macros.library import Macro, Macros
from engine.services.macros.parameters import declared, normalised
from engine.services.macros.tokenizer import Tag, find_tags

MAX_TEXT = 16 << 20
"""Characters that the macros of one document may put into it together."""

MAX_TOGETHER = 64 << 20
"""The same of documents that are expanded together: from the one on that finds no room, they are left for later."""

MAX_WARNINGS = 1_000
"""Warnings of one document; the last one says how many there are beyond."""

MAX_MESSAGE = 4_000
"""Characters of one message or traceback: the middle of a longer one is left out."""


@dataclass(frozen=True, slots=True)
class MacroCall:
    """One call that a tag asks for."""

    document: int
    """Which of the documents that are expanded together."""
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a call: a text, or an error."""

    text: str | None = None
    error: RunError | None = None
    traceback: str | None = None
    warnings: Sequence[str] = ()
    reads: Sequence[Read] = ()


NOT_MADE = CallOutcome()
"""Of a call whose document is left for later."""


@dataclass(slots=True)
class Room:
    """What the texts of documents that are expanded together take. What finds no room is let go of at once.

    The first document counts by itself alone, so that there is always one that comes to its end.
    """

    until: int
    """The documents from this one on are left for later."""
    _sizes: dict[int, int] = field(default_factory=dict)
    _size: int = 0

    def admitted(self, document: int, outcome: CallOutcome) -> CallOutcome:
        """Return the outcome of a document's call, or what stands for it where it finds no room."""
        if document >= self.until:
            return NOT_MADE
        size = len(outcome.text or "") + sum(len(warning) for warning in outcome.warnings)
        size += len(outcome.traceback or "")
        of_document = self._sizes.get(document, 0) + size
        if of_document > MAX_TEXT:
            what = f"The macros of one document may return {MAX_TEXT >> 20} MiB together, and this is more."
            return CallOutcome(error=RunError(type="ReturnValue", message=what))
        if document and self._size + size > MAX_TOGETHER:
            self.until = document
            return NOT_MADE
        self._sizes[document] = of_document
        self._size += size
        return outcome


class MacroCaller(Protocol):
    """Makes calls of one macro, wherever that is."""

    async def call(
        self, macro: Macro, calls: Sequence[MacroCall], documents: Sequence[DocumentInput], room: Room
    ) -> Sequence[CallOutcome]:
        """Return an outcome for each call, in their order. ``documents`` are all that are expanded together."""


@dataclass(slots=True)
class _Expansion:
    """A document on its way."""

    document: DocumentInput
    tags: list[Tag]
    replacements: list[str | None] = field(default_factory=list)
    """For each tag what comes in its place; None: the tag stays."""
    macros: dict[str, MacroUse] = field(default_factory=dict)
    reads: dict[str, Read] = field(default_factory=dict)
    warnings: list[tuple[int, RenderWarning]] = field(default_factory=list)
    """With the number of the tag that each is about."""
    more: int = 0
    """Warnings beyond those that are kept."""
    more_line: int = 0
    more_kind: str = ""

    @classmethod
    def of(cls, document: DocumentInput) -> _Expansion:
        tags = find_tags(document.text)
        return cls(document, tags, [None] * len(tags))

    def warn(self, number: int, kind: str, message: str, traceback: str | None = None) -> None:
        tag = self.tags[number]
        if len(self.warnings) >= MAX_WARNINGS:
            if not self.more:
                self.more_line, self.more_kind = tag.line, kind
            self.more += 1
            if kind == "error":
                self.more_kind = kind
            return
        warning = RenderWarning(
            document=self.document.path,
            line=tag.line,
            column=tag.start - (self.document.text.rfind("\n", 0, tag.start) + 1),
            macro=tag.name,
            message=shortened(message),
            kind=kind,
            traceback=None if traceback is None else shortened(traceback),
        )
        self.warnings.append((number, warning))

    def put(self, number: int, outcome: CallOutcome) -> None:
        """Take what became of a tag's call."""
        for read in outcome.reads:
            self.reads[_question(read)] = read
        for message in outcome.warnings:
            self.warn(number, "warning", message)
        if outcome.text is None:
            error = outcome.error or RunError(type="unknown", message="The call was not made.")
            self.warn(number, "error", _sentence(error), outcome.traceback or place(error))
        else:
            self.replacements[number] = outcome.text

    def show_errors(self) -> None:
        """Put what is wrong with a tag in its place, for people: escaped, with the tag as it is written."""
        wrong: dict[int, list[str]] = {}
        for number, warning in self.warnings:
            if warning.kind not in ("warning", "unknown") and self.replacements[number] is None:
                wrong.setdefault(number, []).append(warning.message)
        for number, messages in wrong.items():
            title, raw = escape(" ".join(messages)), escape(self.tags[number].raw)
            self.replacements[number] = f'<span class="macro-error" role="alert" title="{title}">{raw}</span>'

    def rendered(self) -> RenderedDocument:
        text, pieces, position = self.document.text, [], 0
        for tag, replacement in zip(self.tags, self.replacements, strict=True):
            if replacement is not None:
                pieces += [text[position : tag.start], replacement]
                position = tag.end
        pieces.append(text[position:])
        self.warnings.sort(key=lambda one: one[0])
        warnings = [warning for _, warning in self.warnings]
        if self.more:
            message = f"And {self.more:,} more of this document."
            warnings.append(
                RenderWarning(
                    document=self.document.path, line=self.more_line, macro="", message=message, kind=self.more_kind
                )
            )
        return RenderedDocument(
            path=self.document.path,
            text="".join(pieces),
            tags=len(self.tags),
            macros=[self.macros[name] for name in sorted(self.macros)],
            reads=[self.reads[key] for key in sorted(self.reads)],
            warnings=warnings,
        )


@dataclass(slots=True)
class _Calls:
    """The calls of one macro, of all documents."""

    macro: Macro
    calls: list[MacroCall] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    """Of each call its document and tag."""


async def expand(
    documents: Sequence[DocumentInput], macros: Macros, caller: MacroCaller, *, errors_shown: bool = False
) -> list[RenderedDocument]:
    """Expand ``documents`` together: calls of all of them are grouped by macro, and put back.

    Args:
        documents: Each text as it is; only tags of it change.
        macros: Those that there are.
        caller: Makes the calls.
        errors_shown: Show what is wrong with a tag in its place, as a preview does; else the tag stays as it is.

    Returns:
        The documents in their order; fewer where they find no room together: the first of them.
    """
    room = Room(until=len(documents))
    expansions, groups = await asyncio.to_thread(_planned, documents, macros)
    outcomes = await _all_called(list(groups.values()), documents, caller, room)
    return await asyncio.to_thread(_put_in, expansions[: room.until], groups, outcomes, errors_shown)


async def check(document: DocumentInput, macros: Macros) -> RenderedDocument:
    """Say what is wrong with a document's tags, as far as that can be told without a call."""
    [expansion], _ = await asyncio.to_thread(_planned, [document], macros)
    return expansion.rendered()


async def _all_called(
    groups: Sequence[_Calls], documents: Sequence[DocumentInput], caller: MacroCaller, room: Room
) -> list[Sequence[CallOutcome]]:
    """Make the calls of all macros side by side. When one of them cannot be made, the others are cancelled."""
    if not groups:
        return []
    tasks = [asyncio.ensure_future(caller.call(group.macro, group.calls, documents, room)) for group in groups]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _planned(documents: Sequence[DocumentInput], macros: Macros) -> tuple[list[_Expansion], dict[str, _Calls]]:
    expansions = [_Expansion.of(document) for document in documents]
    groups: dict[str, _Calls] = {}
    for place, expansion in enumerate(expansions):
        for number, tag in enumerate(expansion.tags):
            params = _params(expansion, number, tag, macros)
            macro = macros.get(tag.name)
            if params is not None and macro is not None:
                group = groups.setdefault(tag.name, _Calls(macro))
                group.calls.append(MacroCall(place, params))
                group.places.append((place, number))
    return expansions, groups


def _params(expansion: _Expansion, number: int, tag: Tag, macros: Macros) -> Mapping[str, Any] | None:
    """Return what a tag's macro is called with; None where it cannot be called, which a warning says."""
    if tag.problem is not None:
        expansion.warn(number, "syntax", tag.problem)
        return None
    if tag.name not in expansion.macros:
        expansion.macros[tag.name] = macros.use(tag.name)
    macro = macros.get(tag.name)
    if macro is None:
        expansion.warn(number, "unknown", macros.missing(tag.name))
        return None
    if macro.problem is not None:
        expansion.warn(number, "error", macro.problem)
        return None
    params, problems = declared(tag.params, macro.info.params, tag.texts)
    for problem in problems:
        expansion.warn(number, "parameter", problem)
    if problems and len(problems) > _unknown(tag, macro):
        return None  # a value that does not fit, or one that is missing
    return params


def _unknown(tag: Tag, macro: Macro) -> int:
    """Count the parameters of a tag that the macro does not have: it is called without them."""
    known = {normalised(param.name) for param in macro.info.params}
    return sum(normalised(name) not in known for name in tag.params) if known else 0


def _put_in(
    expansions: Sequence[_Expansion],
    groups: Mapping[str, _Calls],
    outcomes: Sequence[Sequence[CallOutcome]],
    errors_shown: bool,
) -> list[RenderedDocument]:
    for group, made in zip(groups.values(), outcomes, strict=True):
        for (place, number), outcome in zip(group.places, made, strict=True):
            if place < len(expansions):
                expansions[place].put(number, outcome)
    if errors_shown:
        for expansion in expansions:
            expansion.show_errors()
    return [expansion.rendered() for expansion in expansions]


def _question(read: Read) -> str:
    return hashlib.sha256(msgspec.json.encode([read.operation, read.params], order="sorted")).hexdigest()


def _sentence(error: RunError) -> str:
    said = f"{error.type}: {error.message}" if error.message else error.type
    return f"{said} {error.hint}" if error.hint else said


def place(error: RunError) -> str | None:
    """Tell where in the macro it failed, where no traceback says more."""
    if error.filename is None or error.line is None:
        return None
    return f'File "{error.filename}", line {error.line}\n{_sentence(error)}'


def shortened(text: str) -> str:
    if len(text) <= MAX_MESSAGE:
        return text
    half = MAX_MESSAGE // 2
    return f"{text[:half]}\n[{len(text) - 2 * half:,} characters are left out]\n{text[-half:]}"
