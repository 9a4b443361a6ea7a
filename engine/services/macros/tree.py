"""The tree of documents that a batch is about, as its macros see it: front matter, and answers of the collection."""

from __future__ import annotations

import asyncio
import hashlib
import threading
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

MAX_ANSWERS = 256
MAX_REMEMBERED = 16 << 20
"""Answers, and bytes of them, that are remembered: a tag cloud in every document asks the same of ten thousand."""

LARGE = 500
"""Documents and images above which a question is answered in a thread: for ten thousand it takes 0.1 s."""


class _TreeCall(msgspec.Struct):
    """A call of a script; what else it says is for who answers it."""

    op: str
    params: dict[str, Any] = {}
    body: Any = None


_asked = msgspec.json.Decoder(_TreeCall)


@dataclass(frozen=True, slots=True)
class _Answer:
    reply: bytes
    sha256: str


@dataclass(slots=True)
class DocumentTree:
    """Answers from one collection, each question once."""

    collection: DocumentCollection
    _answers: dict[bytes, _Answer] = field(default_factory=dict)
    _size: int = 0
    """Bytes of them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_large(self) -> bool:
        """Whether an answer can take long."""
        return len(self.collection.documents) + len(self.collection.images) > LARGE

    def meta(self, document: DocumentInput) -> Mapping[str, Any]:
        """Return the front matter of a text: as the collection has it, if that was made of the same text."""
        info = self.collection.get(document.path)
        if info is not None and info.sha256 == hashlib.sha256(document.text.encode()).hexdigest():
            return info.meta
        place = front_matter_of(document.text)
        return {} if place is None else read_front_matter(place.yaml).values

    def known(self, operation: str, params: Mapping[str, Any]) -> _Answer | None:
        """Return the answer to a question that was asked before and is remembered."""
        return self._answers.get(_question(operation, params))

    def answer(self, operation: str, params: Mapping[str, Any]) -> _Answer:
        """Answer a question; may be called in a thread.

        Raises:
            ServiceError: It cannot be asked like this.
        """
        question = _question(operation, params)
        known = self._answers.get(question)
        if known is None:
            answer = msgspec.to_builtins(whole(self.collection.answer(operation, params)))
            canonical = msgspec.json.encode(answer, order="sorted")
            known = _Answer(b'{"ok":%b}' % canonical, hashlib.sha256(canonical).hexdigest())
            self._remember(question, known)
        return known

    def _remember(self, question: bytes, answer: _Answer) -> None:
        size = len(question) + len(answer.reply)
        if size > MAX_REMEMBERED:
            return
        with self._lock:
            if len(self._answers) >= MAX_ANSWERS or self._size + size > MAX_REMEMBERED:
                self._answers.clear()
                self._size = 0
            self._answers[question] = answer
            self._size += size

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
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def call(self, payload: bytes, reply: Reply) -> None:
        try:
            asked = _asked.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            reply(error("bad_request", "The call is no JSON object with op and params."), ())
            return
        if self.others is not None and not asked.op.startswith(PREFIX):
            self.others.call(payload, reply)
            return
        if self.tree.is_large and self.tree.known(asked.op, asked.params) is None:
            task = asyncio.get_running_loop().create_task(self._answer_later(asked, reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            reply(self._answered(asked), ())

    def _answered(self, asked: _TreeCall) -> bytes:
        try:
            return self.tree.answer(asked.op, asked.params).reply
        except ServiceError as refusal:
            return error(refusal.code, refusal.message, refusal.hint)

    async def _answer_later(self, asked: _TreeCall, reply: Reply) -> None:
        reply(await asyncio.to_thread(self._answered, asked), ())

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self.others is not None:
            self.others.end()


def _question(operation: str, params: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode([operation, params], order="sorted")
