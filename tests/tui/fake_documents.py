"""Documents and macros as the engine answers for them, in memory: for what the console does with the answers.

A macro ``name`` of this engine makes ``<name>`` and its parameters of a tag; ``broken`` fails.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from engine.client.answers import EngineError
from engine.client.calls import Calls
from engine.models.documents import DocumentInfo, DocumentList, DocumentSearchResult, DocumentText, FoundDocument
from engine.models.macros import PreviewRequest, RenderedDocument, RenderWarning
from engine.models.sync import TaskInfo, TaskList, TaskState
from engine.models.versions import ScriptHistory, ScriptVersion, VersionReason, VersionText
from engine.registry import documents as rows
from engine.registry.macros import MACROS_PREVIEW
from engine.registry.sync import TASKS_CANCEL, TASKS_LIST

TAG = re.compile(r"\[\[(\w+)([^\]]*)\]\]")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class FakeDocuments:
    """The documents of one project. Paths are relative to its documents folder."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.versions: dict[str, list[ScriptVersion]] = {}
        self.old: dict[str, str] = {}
        self.previews: list[PreviewRequest] = []
        self.tasks: dict[int, TaskInfo] = {}
        self.changed: Callable[[str], None] = lambda path: None
        """Told of each change, as the engine tells its listeners."""
        self._answers: dict[str, Callable[[Any, Any], Any]] = {
            rows.DOCUMENTS_LIST.name: lambda _params, _body: DocumentList(
                documents=[self.info(path) for path in sorted(self.texts)]
            ),
            rows.DOCUMENTS_LOAD.name: lambda params, _body: self._load(params.path),
            rows.DOCUMENTS_SAVE.name: lambda params, body: self._save(params.path, body.text, body.base_sha256),
            rows.DOCUMENTS_RENAME.name: lambda params, body: self._rename(params.path, body.new_path),
            rows.DOCUMENTS_DELETE.name: lambda params, _body: self._delete(params.path),
            rows.DOCUMENTS_HISTORY.name: lambda params, _body: self._history(params.path),
            rows.DOCUMENTS_VERSION.name: lambda params, _body: VersionText(
                path=params.path, sha256=params.sha256, text=self.old[params.sha256]
            ),
            rows.DOCUMENTS_RESTORE.name: lambda params, body: self._put(params.path, self.old[body.sha256]),
            rows.DOCUMENTS_SEARCH.name: lambda params, _body: self._search(params.text),
            MACROS_PREVIEW.name: lambda _params, body: self._preview(body),
            TASKS_LIST.name: lambda _params, _body: TaskList(tasks=list(self.tasks.values())),
            TASKS_CANCEL.name: lambda params, _body: self._cancel(params.task_id),
        }

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer for the engine; everything else still goes to it."""
        real = Calls.call

        @wraps(real)
        async def call(calls: Calls, operation: Any, params: Any = None, body: Any = None) -> Any:
            answer = self._answers.get(operation.name)
            return await real(calls, operation, params, body) if answer is None else answer(params, body)

        monkeypatch.setattr(Calls, "call", call)

    def info(self, path: str) -> DocumentInfo:
        text = self.texts[path]
        title = re.search(r'^title: "?(.*?)"?$', text, re.MULTILINE)
        stem = path.rpartition("/")[2].partition(".")[0]
        return DocumentInfo(
            path=path, title=title[1] if title else stem, sha256=sha256(text), size=len(text), modified=time.time()
        )

    def _load(self, path: str) -> DocumentText:
        if path not in self.texts:
            raise EngineError("no_document", f"There is no document {path}.", None, 404)
        return DocumentText(info=self.info(path), text=self.texts[path])

    def _save(self, path: str, text: str, base: str | None) -> DocumentInfo:
        if base != (sha256(self.texts[path]) if path in self.texts else None):
            raise EngineError("conflict", f"{path} changed meanwhile.", None, 409)
        return self._put(path, text)

    def _put(self, path: str, text: str) -> DocumentInfo:
        if path in self.texts:
            self._keep(path, VersionReason.SAVED)
        self.texts[path] = text
        self.changed(path)
        return self.info(path)

    def _keep(self, path: str, reason: VersionReason) -> ScriptVersion:
        text = self.texts[path]
        self.old[sha256(text)] = text
        version = ScriptVersion(
            path=path, sha256=sha256(text), size=len(text), reason=reason, at=time.time(), uid=1000, name="alice"
        )
        self.versions.setdefault(path, []).insert(0, version)
        return version

    def _rename(self, path: str, new_path: str) -> DocumentInfo:
        if new_path in self.texts:
            raise EngineError("exists", f"There is a document {new_path} already.", None, 409)
        self.texts[new_path] = self.texts.pop(path)
        self.changed(new_path)
        return self.info(new_path)

    def _delete(self, path: str) -> ScriptVersion:
        version = self._keep(path, VersionReason.DELETED)
        del self.texts[path]
        self.changed(path)
        return version

    def _history(self, path: str) -> ScriptHistory:
        now = sha256(self.texts[path]) if path in self.texts else None
        return ScriptHistory(path=path, versions=self.versions.get(path, []), sha256=now)

    def _search(self, words: str) -> DocumentSearchResult:
        found = []
        for path, text in sorted(self.texts.items()):
            lines = text.split("\n")
            hits = [number for number, line in enumerate(lines, 1) if words.casefold() in line.casefold()]
            if hits:
                found.append(FoundDocument(path=path, title=path, line=hits[0], text=lines[hits[0] - 1]))
        return DocumentSearchResult(documents=found)

    def _preview(self, body: PreviewRequest) -> RenderedDocument:
        self.previews.append(body)
        warnings = []

        def made(tag: re.Match[str]) -> str:
            name, line = tag[1].lower(), body.text.count("\n", 0, tag.start()) + 1
            if name == "broken":
                warnings.append(
                    RenderWarning(document=body.path, line=line, macro=name, message="ZeroDivisionError", kind="error")
                )
                return tag[0]
            if name == "nosuch":
                warnings.append(
                    RenderWarning(
                        document=body.path, line=line, macro=name, message="there is no such macro", kind="unknown"
                    )
                )
                return tag[0]
            by = body.macro_text.strip().split("\n")[-1] if body.macro_text else ""
            return f"<{name}>{tag[2].strip()}\nby {by}</{name}>"

        text = TAG.sub(made, body.text)
        return RenderedDocument(path=body.path, text=text, tags=len(TAG.findall(body.text)), warnings=warnings)

    def _cancel(self, number: int) -> TaskInfo:
        task = self.tasks.pop(number)
        return TaskInfo(id=number, kind=task.kind, actor=task.actor, started_at=0, state=TaskState.CANCELLED)
