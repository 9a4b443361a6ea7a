"""Finds words in scripts and documents."""

from __future__ import annotations

from collections.abc import Sequence

from engine.registry.documents import DOCUMENTS_SEARCH, DocumentSearchParams
from engine.registry.scripts import SCRIPTS_SEARCH, SearchParams
from tui.connection import EngineConnection
from tui.screens.search import FoundPlace
from tui.text.document_names import shown_path

MOST = 50
"""Scripts, and documents, that one search lists."""


async def search_texts(connection: EngineConnection, words: str) -> tuple[Sequence[FoundPlace], bool]:
    """Return where all the words are, scripts first, and whether there are more.

    Raises:
        EngineError: The engine refuses.
        EngineUnreachable: It is away.
    """
    client = connection.client
    scripts = await client.call(SCRIPTS_SEARCH, SearchParams(text=words, limit=MOST))
    places = [FoundPlace(one.path, one.line, one.text or one.title) for one in scripts.scripts]
    if connection.narrow:
        return places, scripts.more
    documents = await client.call(DOCUMENTS_SEARCH, DocumentSearchParams(text=words, limit=MOST))
    places += [FoundPlace(shown_path(one.path), one.line, one.text or one.title) for one in documents.documents]
    return places, scripts.more or documents.more
