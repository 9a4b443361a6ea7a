"""The texts that the editor holds: scripts and documents, told apart by their path and asked for alike.

A document's path begins with ``documents/`` everywhere in the console; the engine is asked for what comes after that.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec.structs import replace

from engine.client.answers import EngineError
from engine.models.documents import DocumentInfo, DocumentText, SaveDocumentRequest
from engine.models.scripts import DeleteRequest, RenameRequest, SaveRequest, ScriptInfo, ScriptText
from engine.models.versions import RestoreRequest, ScriptHistory, ScriptVersion
from engine.registry.documents import (
    DOCUMENTS_DELETE,
    DOCUMENTS_DELETED,
    DOCUMENTS_HISTORY,
    DOCUMENTS_LIST,
    DOCUMENTS_LOAD,
    DOCUMENTS_RENAME,
    DOCUMENTS_RESTORE,
    DOCUMENTS_SAVE,
    DOCUMENTS_VERSION,
    DocumentListParams,
    DocumentParams,
    DocumentVersionParams,
)
from engine.registry.scripts import (
    SCRIPTS_DELETE,
    SCRIPTS_DELETED,
    SCRIPTS_HISTORY,
    SCRIPTS_LOAD,
    SCRIPTS_RENAME,
    SCRIPTS_RESTORE,
    SCRIPTS_SAVE,
    SCRIPTS_VERSION,
    ScriptParams,
    VersionParams,
)
from tui.connection import EngineConnection
from tui.text.document_names import engine_path, is_document, shown_path

TextInfo: TypeAlias = ScriptInfo | DocumentInfo
LoadedText: TypeAlias = ScriptText | DocumentText

NO_ROUTE = "no_route"
"""Code of an engine that does not know the operation."""

MISSING = frozenset({"no_script", "no_document", "ambiguous"})
"""Codes of an engine that has nothing under a path."""


class Texts:
    """What can be done to a text, whichever kind it is of.

    Every method raises ``EngineError`` when the engine refuses and ``EngineUnreachable`` when it is away.
    """

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection

    async def documents(self) -> list[DocumentInfo]:
        """Return the project's documents, under the console's paths; none of an engine that is too old for them."""
        try:
            answer = await self._connection.client.call(DOCUMENTS_LIST, DocumentListParams())
        except EngineError as error:
            if error.code == NO_ROUTE:
                return []
            raise
        return [_shown(info) for info in answer.documents]

    async def load(self, path: str) -> LoadedText:
        client = self._connection.client
        if not is_document(path):
            return await client.call(SCRIPTS_LOAD, ScriptParams(path=path))
        loaded = await client.call(DOCUMENTS_LOAD, _params(path))
        return replace(loaded, info=_shown(loaded.info))

    async def save(self, path: str, text: str, base: str | None, own_edits: str = "") -> TextInfo:
        """Write a text where the one with the hash ``base`` is; None where there is none.

        Args:
            path: Of the text.
            text: To be written.
            base: Hash of the text that it grew from.
            own_edits: The token by which a script keeps its permissions.
        """
        client = self._connection.client
        if not is_document(path):
            request = SaveRequest(text=text, base_sha256=base, own_edits=own_edits)
            return await client.call(SCRIPTS_SAVE, ScriptParams(path=path), request)
        return _shown(
            await client.call(DOCUMENTS_SAVE, _params(path), SaveDocumentRequest(text=text, base_sha256=base))
        )

    async def rename(self, path: str, new_path: str) -> TextInfo:
        client = self._connection.client
        if not is_document(path):
            return await client.call(SCRIPTS_RENAME, ScriptParams(path=path), RenameRequest(new_path=new_path))
        request = RenameRequest(new_path=engine_path(new_path))
        return _shown(await client.call(DOCUMENTS_RENAME, _params(path), request))

    async def delete(self, path: str, base: str | None) -> None:
        client, request = self._connection.client, DeleteRequest(base_sha256=base)
        if is_document(path):
            await client.call(DOCUMENTS_DELETE, _params(path), request)
        else:
            await client.call(SCRIPTS_DELETE, ScriptParams(path=path), request)

    async def history(self, path: str) -> ScriptHistory:
        client = self._connection.client
        if not is_document(path):
            return await client.call(SCRIPTS_HISTORY, ScriptParams(path=path))
        history = await client.call(DOCUMENTS_HISTORY, _params(path))
        return replace(history, path=shown_path(history.path))

    async def version(self, path: str, sha256: str) -> str:
        """Return what a text held before."""
        client = self._connection.client
        if is_document(path):
            params = DocumentVersionParams(path=engine_path(path), sha256=sha256)
            return (await client.call(DOCUMENTS_VERSION, params)).text
        return (await client.call(SCRIPTS_VERSION, VersionParams(path=path, sha256=sha256))).text

    async def deleted(self) -> dict[str, ScriptVersion]:
        """Return what was deleted and is not there now, by the path that it had: scripts first."""
        client = self._connection.client
        found = {version.path: version for version in (await client.call(SCRIPTS_DELETED)).versions}
        if not self._connection.narrow:
            documents = await client.call(DOCUMENTS_DELETED)
            found |= {shown_path(version.path): version for version in documents.versions}
        return found

    async def restore(self, path: str, sha256: str, base: str | None) -> TextInfo:
        """Save an earlier version again, in place of the one with the hash ``base``."""
        client, request = self._connection.client, RestoreRequest(sha256=sha256, base_sha256=base)
        if is_document(path):
            return _shown(await client.call(DOCUMENTS_RESTORE, _params(path), request))
        return await client.call(SCRIPTS_RESTORE, ScriptParams(path=path), request)


def _params(path: str) -> DocumentParams:
    return DocumentParams(path=engine_path(path))


def _shown(info: DocumentInfo) -> DocumentInfo:
    return replace(info, path=shown_path(info.path))
