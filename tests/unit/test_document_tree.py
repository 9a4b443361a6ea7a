"""The answers of a batch's tree: each written once, long ones beside the event loop, none that harms the engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import msgspec
import pytest

from engine.models.macros import Read, SourceDocument
from engine.pool import calls
from engine.services.documents.collection import DocumentCollection
from engine.services.macros import tree as tree_module
from engine.services.macros.executor import HashedReply
from engine.services.macros.local import _Hashes
from engine.services.macros.tree import DocumentTree, TreeCalls

LIST = b'{"op":"documents.list","params":{}}'


def tree_of(count: int) -> DocumentTree:
    return DocumentTree(
        DocumentCollection.of_sources([SourceDocument(path=f"{n}.md", sha256="", size=0) for n in range(count)], [])
    )


async def ask(tree: DocumentTree, payload: bytes) -> bytes:
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def reply(answer: bytes, descriptors: Sequence[int]) -> None:
        assert not descriptors
        answered.set_result(answer)

    TreeCalls(tree).call(payload, reply)
    return await asyncio.wait_for(answered, 20)


async def test_a_long_answer_is_written_once_and_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bool] = []

    def noted(answer: object) -> object:
        written.append(threading.current_thread() is threading.main_thread())
        return calls.whole(answer)

    monkeypatch.setattr(tree_module, "whole", noted)
    tree = tree_of(calls.LONG + 1)
    first = await ask(tree, LIST)
    assert await ask(tree, LIST) is first
    assert written == [False]
    await ask(tree, b'{"op":"documents.get","params":{"path":"1.md"}}')
    assert written == [False, True], "a short one is answered at once"


async def test_its_hash_is_that_of_what_a_macro_was_told() -> None:
    tree = tree_of(3)
    told = await ask(tree, LIST)
    assert isinstance(told, HashedReply)
    assert told.sha256 == _Hashes().of(bytes(told)) == tree.answer_sha256(Read(operation="documents.list"))


async def test_answers_are_forgotten_when_they_are_much_together(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(3)
    size = len(await ask(tree, LIST))
    monkeypatch.setattr(tree_module, "MAX_REMEMBERED", size + 10)
    await ask(tree, b'{"op":"documents.tags","params":{}}')
    await ask(tree, b'{"op":"documents.images","params":{}}')
    assert tree._size == sum(map(len, tree._replies.values())) <= size + 10


async def test_a_call_of_any_depth_is_answered() -> None:
    tree = tree_of(1)
    for depth in (*range(900, 1000), *range(1_000, 20_000, 1_000)):
        params = b'{"a":' * depth + b"1" + b"}" * depth
        answer = msgspec.json.decode(await ask(tree, b'{"op":"documents.list","params":%b}' % params))
        assert answer["error"]["code"] == "bad_request"
