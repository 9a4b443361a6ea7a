"""The tree of documents that a batch is about, as its macros see it: front matter, and answers of the collection."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from engine.document_text import front_matter_of
from engine.models.macros import DocumentInput, Read
from engine.pool.calls import error, whole
from engine.services.access import ServiceError
from engine.services.documents.collection import DocumentCollection
from store.files.front_matter import read_front_matter

if TYPE_CHECKING:
    from engine.pool.job import HostCalls, Reply

PREFIX = "documents."

STAYS = b'{"stays":true,"ok":'
"""How an answer begins that a batch's child may keep (``worker/caller.py``): the tree does not change."""

MAX_ANSWERS = 256
"""Answers that are remembered: a tag cloud in every document asks the same of ten thousand."""

MAX_REMEMBERED = 4 << 20
"""Bytes of an answer that is remembered."""


class _Asked(msgspec.Struct):
    """A call of a script; what else it says is for who answers it."""

    op: str
    params: dict[str, Any] = {}
    body: Any = None


_asked = msgspec.json.Decoder(_Asked)


@dataclass(frozen=True, slots=True)
class _Answer:
    reply: bytes
    sha256: str


@dataclass(slots=True)
class DocumentTree:
    """Answers from one collection, each question once."""

    collection: DocumentCollection
    _answers: dict[bytes, _Answer] = field(default_factory=dict)

    def meta(self, document: DocumentInput) -> Mapping[str, Any]:
        """Return the front matter of a text: as the collection has it, if that was made of the same text."""
        info = self.collection.get(document.path)
        if info is not None and info.sha256 == hashlib.sha256(document.text.encode()).hexdigest():
            return info.meta
        place = front_matter_of(document.text)
        return {} if place is None else read_front_matter(place.yaml).values

    def answer(self, operation: str, params: Mapping[str, Any]) -> _Answer:
        """Answer a question.

        Raises:
            ServiceError: It cannot be asked like this.
        """
        question = msgspec.json.encode([operation, params], order="sorted")
        known = self._answers.get(question)
        if known is None:
            answer = msgspec.to_builtins(whole(self.collection.answer(operation, params)))
            canonical = msgspec.json.encode(answer, order="sorted")
            known = _Answer(b"%b%b}" % (STAYS, canonical), hashlib.sha256(canonical).hexdigest())
            if len(known.reply) <= MAX_REMEMBERED:
                if len(self._answers) >= MAX_ANSWERS:
                    self._answers.pop(next(iter(self._answers)))
                self._answers[question] = known
        return known

    def answer_sha256(self, read: Read) -> str:
        """Return the hash of what a macro would be answered now; nothing where it would be refused."""
        try:
            return self.answer(read.operation, read.params).sha256
        except ServiceError:
            return ""


@dataclass(slots=True)
class TreeCalls:
    """``HostCalls`` of a batch: what is asked about documents is answered from its tree, the rest by ``others``."""

    tree: DocumentTree
    others: HostCalls | None = None

    def call(self, payload: bytes, reply: Reply) -> None:
        try:
            asked = _asked.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            reply(error("bad_request", "The call is no JSON object with op and params."), ())
            return
        if self.others is not None and not asked.op.startswith(PREFIX):
            self.others.call(payload, reply)
            return
        try:
            answer = self.tree.answer(asked.op, asked.params)
        except ServiceError as refusal:
            reply(error(refusal.code, refusal.message, refusal.hint), ())
            return
        reply(answer.reply, ())

    def end(self) -> None:
        if self.others is not None:
            self.others.end()
