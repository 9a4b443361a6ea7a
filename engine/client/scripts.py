"""Calls about scripts, their history and permissions."""

from __future__ import annotations

from engine import registry
from engine.client.calls import Calls
from engine.models import (
    ApproveRequest,
    CheckReport,
    CheckRequest,
    DeletedScripts,
    DeleteRequest,
    DuplicateRequest,
    KeyProblems,
    PermissionReview,
    RenameRequest,
    RestoreRequest,
    SaveRequest,
    ScriptHistory,
    ScriptInfo,
    ScriptKeys,
    ScriptList,
    ScriptText,
    ScriptVersion,
    SearchResult,
    SetKeysRequest,
    VersionText,
)


class ScriptCalls(Calls):
    """Read, check and change scripts."""

    async def list_scripts(self) -> ScriptList:
        return await self.call(registry.SCRIPTS_LIST, ScriptList)

    async def load_script(self, path: str) -> ScriptText:
        return await self.call(registry.SCRIPTS_LOAD, ScriptText, registry.ScriptParams(path=path))

    async def save_script(self, path: str, request: SaveRequest) -> ScriptInfo:
        """Save durably; raises ``EngineError`` with code ``conflict`` when the file is not what the author loaded."""
        return await self.call(registry.SCRIPTS_SAVE, ScriptInfo, registry.ScriptParams(path=path), request)

    async def set_script_keys(self, path: str, request: SetKeysRequest) -> ScriptInfo:
        """Set or remove keys of a script's frontmatter durably, all of them or none."""
        return await self.call(registry.SCRIPTS_SET, ScriptInfo, registry.ScriptParams(path=path), request)

    async def script_keys(self, path: str) -> ScriptKeys:
        """What a script's frontmatter says, as it is written."""
        return await self.call(registry.SCRIPTS_KEYS, ScriptKeys, registry.ScriptParams(path=path))

    async def judge_script_keys(self, path: str, request: SetKeysRequest) -> KeyProblems:
        """Why ``set_script_keys`` would refuse these changes, key by key. Nothing is written."""
        return await self.call(registry.SCRIPTS_JUDGE, KeyProblems, registry.ScriptParams(path=path), request)

    async def check_script(self, request: CheckRequest) -> CheckReport:
        """What is wrong with a script's text, and what is in it. It is parsed in the sandbox, never run."""
        return await self.call(registry.SCRIPTS_CHECK, CheckReport, body=request)

    async def search_scripts(self, text: str, limit: int = 50) -> SearchResult:
        """Scripts that have every word of ``text``, the last one perhaps only begun."""
        return await self.call(registry.SCRIPTS_SEARCH, SearchResult, registry.SearchParams(q=text, limit=limit))

    async def rename_script(self, path: str, request: RenameRequest) -> ScriptInfo:
        """Give a script another path; raises ``EngineError`` with code ``conflict`` when that is taken."""
        return await self.call(registry.SCRIPTS_RENAME, ScriptInfo, registry.ScriptParams(path=path), request)

    async def duplicate_script(self, path: str, request: DuplicateRequest) -> ScriptInfo:
        """Make a new script of what another one holds."""
        return await self.call(registry.SCRIPTS_DUPLICATE, ScriptInfo, registry.ScriptParams(path=path), request)

    async def delete_script(self, path: str, request: DeleteRequest) -> ScriptVersion:
        """Delete a script; ``conflict`` when it is not what ``request`` says. The answer names what brings it back."""
        return await self.call(registry.SCRIPTS_DELETE, ScriptVersion, registry.ScriptParams(path=path), request)

    async def script_history(self, path: str) -> ScriptHistory:
        """What a script was before, whether it is there or deleted."""
        return await self.call(registry.SCRIPTS_HISTORY, ScriptHistory, registry.ScriptParams(path=path))

    async def deleted_scripts(self) -> DeletedScripts:
        """Scripts that were deleted and are not there now, the last one first."""
        return await self.call(registry.SCRIPTS_DELETED, DeletedScripts)

    async def script_version(self, path: str, sha256: str) -> VersionText:
        """The text of an old version."""
        return await self.call(registry.SCRIPTS_VERSION, VersionText, registry.VersionParams(path=path, sha256=sha256))

    async def restore_script(self, path: str, request: RestoreRequest) -> ScriptInfo:
        """Bring an old version or a deleted script back."""
        return await self.call(registry.SCRIPTS_RESTORE, ScriptInfo, registry.ScriptParams(path=path), request)

    async def review_permissions(self, path: str) -> PermissionReview:
        """What a script asks for, judged now, and what changed since its last approval."""
        return await self.call(registry.PERMISSIONS_REVIEW, PermissionReview, registry.ScriptParams(path=path))

    async def approve_permissions(self, path: str, request: ApproveRequest) -> PermissionReview:
        """Approve what was reviewed; raises ``EngineError`` with code ``changed`` when it is not that any more."""
        params = registry.ScriptParams(path=path)
        return await self.call(registry.PERMISSIONS_APPROVE, PermissionReview, params, request)

    async def refuse_permissions(self, path: str) -> PermissionReview:
        """Refuse a script's permissions, or withdraw the approval that it has."""
        return await self.call(registry.PERMISSIONS_REFUSE, PermissionReview, registry.ScriptParams(path=path))
