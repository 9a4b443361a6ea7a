"""Operations on scripts, their history and permissions."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from engine.models import (
    ApproveRequest,
    CheckReport,
    CheckRequest,
    DeletedScripts,
    DeleteRequest,
    DuplicateRequest,
    KeyProblems,
    Model,
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
from engine.registry.operation import Operation


class ScriptParams(Model, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]


class SearchParams(Model, frozen=True):
    q: Annotated[str, Meta(max_length=1000, description="Words; the last one may be a beginning.")]
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class VersionParams(Model, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="As the script's history names it.")]


SCRIPTS_LIST = Operation("scripts.list", "GET", "/scripts", ScriptList, "viewer", "Every script of the project")
SCRIPTS_LOAD = Operation(
    "scripts.load",
    "GET",
    "/scripts/text/{path:path}",
    ScriptText,
    "viewer",
    "A script with its text",
    params=ScriptParams,
)
SCRIPTS_SAVE = Operation(
    "scripts.save",
    "PUT",
    "/scripts/text/{path:path}",
    ScriptInfo,
    "author",
    "Save a script's text durably",
    params=ScriptParams,
    request=SaveRequest,
)
SCRIPTS_CHECK = Operation(
    "scripts.check",
    "POST",
    "/scripts/check",
    CheckReport,
    "viewer",
    "Parse a script's text in the sandbox: syntax errors, functions, imports",
    request=CheckRequest,
)
SCRIPTS_SET = Operation(
    "scripts.set",
    "POST",
    "/scripts/meta/{path:path}",
    ScriptInfo,
    "author",
    "Set or remove keys of a script's frontmatter, without touching anything else of its text",
    params=ScriptParams,
    request=SetKeysRequest,
)
SCRIPTS_KEYS = Operation(
    "scripts.keys",
    "GET",
    "/scripts/meta/{path:path}",
    ScriptKeys,
    "viewer",
    "What a script's frontmatter says, key by key as it is written",
    params=ScriptParams,
)
SCRIPTS_JUDGE = Operation(
    "scripts.judge",
    "POST",
    "/scripts/judge/{path:path}",
    KeyProblems,
    "viewer",
    "Why changes of a script's frontmatter would be refused, key by key; nothing is written",
    params=ScriptParams,
    request=SetKeysRequest,
)
SCRIPTS_SEARCH = Operation(
    "scripts.search",
    "GET",
    "/scripts/search",
    SearchResult,
    "viewer",
    "Scripts that have every word in name, title, tags or text",
    params=SearchParams,
)
SCRIPTS_RENAME = Operation(
    "scripts.rename",
    "POST",
    "/scripts/rename/{path:path}",
    ScriptInfo,
    "author",
    "Give a script another name, or move it to another folder",
    params=ScriptParams,
    request=RenameRequest,
)
SCRIPTS_DUPLICATE = Operation(
    "scripts.duplicate",
    "POST",
    "/scripts/duplicate/{path:path}",
    ScriptInfo,
    "author",
    "Make a new script of what another one holds",
    params=ScriptParams,
    request=DuplicateRequest,
    status=201,
)
SCRIPTS_DELETE = Operation(
    "scripts.delete",
    "POST",
    "/scripts/delete/{path:path}",
    ScriptVersion,
    "author",
    "Delete a script; the answer names what brings it back",
    params=ScriptParams,
    request=DeleteRequest,
)
SCRIPTS_HISTORY = Operation(
    "scripts.history",
    "GET",
    "/scripts/history/{path:path}",
    ScriptHistory,
    "author",
    "Versions of a script that were replaced, newest first",
    params=ScriptParams,
)
SCRIPTS_DELETED = Operation(
    "scripts.deleted",
    "GET",
    "/scripts/deleted",
    DeletedScripts,
    "author",
    "Scripts that were deleted and can be restored, the last one first",
)
SCRIPTS_VERSION = Operation(
    "scripts.version",
    "GET",
    "/scripts/version/{path:path}",
    VersionText,
    "author",
    "The text of an old version",
    params=VersionParams,
)
SCRIPTS_RESTORE = Operation(
    "scripts.restore",
    "POST",
    "/scripts/restore/{path:path}",
    ScriptInfo,
    "author",
    "Bring an old version or a deleted script back",
    params=ScriptParams,
    request=RestoreRequest,
)
PERMISSIONS_REVIEW = Operation(
    "permissions.review",
    "GET",
    "/permissions/review/{path:path}",
    PermissionReview,
    "viewer",
    "What a script asks for, and what changed since its last approval",
    params=ScriptParams,
)
PERMISSIONS_APPROVE = Operation(
    "permissions.approve",
    "POST",
    "/permissions/approve/{path:path}",
    PermissionReview,
    "admin",
    "Approve a script's permissions for exactly this text",
    params=ScriptParams,
    request=ApproveRequest,
)
PERMISSIONS_REFUSE = Operation(
    "permissions.refuse",
    "POST",
    "/permissions/refuse/{path:path}",
    PermissionReview,
    "admin",
    "Refuse a script's permissions, or withdraw an approval",
    params=ScriptParams,
)
