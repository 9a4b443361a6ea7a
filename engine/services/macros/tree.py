"""The tree of documents that a batch is about, as its macros see it: front matter, and answers of the collection."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from engine.document_text import front_matter_of
from engine.models.macros import DocumentInput, Read
from engine.pool.calls import error, is_long, whole
from engine.services.access import ServiceError
from engine.services.documents.collection import Answer, DocumentCollection
from engine.services.macros.executor import HashedReply
from store.files.front_matter import read_front_matter

if TYPE_CHECKING:
    from engine.pool.job import HostCalls, Reply

PREFIX = "documents."

STAYS = b'{"stays":true,"ok":'
"""How an answer begins that a batch's child may keep (``worker/caller.py``): the tree does not change."""

MAX_ANSWERS = 256
"""Answers that are remembered: a tag cloud in every document asks the same of ten thousand."""

MAX_REMEMBERED = 32 << 20
"""Bytes of these together."""

log = logging.getLogger(__name__)


class _TreeCall(msgspec.Struct):
    """A call of a script; what else it says is for who answers it."""

    op: str
    params: dict[str, Any] = {}
    body: Any = None


_asked = msgspec.json.Decoder(_TreeCall)


@dataclass(slots=True)
class DocumentTree:
    """Answers from one collection, each question once. From any thread."""

    collection: DocumentCollection
    _replies: dict[bytes, HashedReply] = field(default_factory=dict)
    _size: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def meta(self, document: DocumentInput) -> Mapping[str, Any]:
        """Return the front matter of a text: as the collection has it, if that was made of the same text."""
        info = self.collection.get(document.path)
        if info is not None and info.sha256 == hashlib.sha256(document.text.encode()).hexdigest():
            return info.meta
        place = front_matter_of(document.text)
        return {} if place is None else read_front_matter(place.yaml).values

    def remembered(self, question: bytes) -> HashedReply | None:
        """Return the reply to a question that was asked before, as ``question_of`` writes it."""
        return self._replies.get(question)

    def written(self, question: bytes, answer: Answer) -> HashedReply:
        """Write an answer and remember it. Where it is long, that takes a tenth of a second and more."""
        canonical = msgspec.json.encode(msgspec.to_builtins(whole(answer)), order="sorted")
        reply = HashedReply(b"%b%b}" % (STAYS, canonical))
        reply.sha256 = hashlib.sha256(canonical).hexdigest()
        with self._lock:
            if len(reply) <= MAX_REMEMBERED and question not in self._replies:
                self._replies[question] = reply
                self._size += len(reply)
            while self._size > MAX_REMEMBERED or len(self._replies) > MAX_ANSWERS:
                self._size -= len(self._replies.pop(next(iter(self._replies))))
        return reply

    def written_by_turns(self, question: bytes, answer: Answer) -> HashedReply:
        """Do as ``written`` in a thread, one at a time: many of these keep the event loop from its turn."""
        with self._writing:
            return self.remembered(question) or self.written(question, answer)

    def answer_sha256(self, read: Read) -> str:
        """Return the hash of what a macro would be answered now; nothing where it would be refused. Blocks."""
        try:
            question = question_of(read.operation, read.params)
            known = self.remembered(question)
            if known is None:
                known = self.written(question, self.collection.answer(read.operation, read.params))
        except (ServiceError, RecursionError):
            return ""
        return known.sha256


def question_of(operation: str, params: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode([operation, params], order="sorted")


@dataclass(slots=True)
class TreeCalls:
    """``HostCalls`` of a batch: what is asked about documents is answered from its tree, the rest by ``others``."""

    tree: DocumentTree
    others: HostCalls | None = None

    def call(self, payload: bytes, reply: Reply) -> None:
        try:
            asked = _asked.decode(payload)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            reply(error("bad_request", "The call is no JSON object with op and params."), ())
            return
        if self.others is not None and not asked.op.startswith(PREFIX):
            self.others.call(payload, reply)
            return
        try:
            question = question_of(asked.op, asked.params)
            known = self.tree.remembered(question)
            answer = self.tree.collection.answer(asked.op, asked.params) if known is None else None
        except ServiceError as refusal:
            reply(error(refusal.code, refusal.message, refusal.hint), ())
            return
        except RecursionError:
            reply(error("bad_request", "The call is nested too deeply."), ())
            return
        if known is not None:
            reply(known, ())
        elif answer is not None and is_long(answer):
            # Beside the event loop: everybody waits for that.
            later = asyncio.get_running_loop().run_in_executor(None, self.tree.written_by_turns, question, answer)
            later.add_done_callback(partial(_tell, reply))
        elif answer is not None:
            reply(self.tree.written(question, answer), ())

    def end(self) -> None:
        if self.others is not None:
            self.others.end()


def _tell(reply: Reply, written: asyncio.Future[HashedReply]) -> None:
    """Reply with what was written; after the run's end that goes nowhere."""
    if written.cancelled():
        reply(error("cancelled", "The batch has ended."), ())
    elif (problem := written.exception()) is not None:
        log.error("an answer about documents was not written", exc_info=problem)
        reply(error("internal", "The engine failed at this call; its log says why."), ())
    else:
        reply(written.result(), ())
