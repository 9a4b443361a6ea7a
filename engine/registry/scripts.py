"""Operations on scripts, their history and permissions."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from engine.models.base import Model
from engine.models.checks import CheckReport, CheckRequest, ModuleReport
from engine.models.permissions import ApproveRequest, EditsToken, OwnEdits, PermissionReview
from engine.models.scripts import (
    DeleteRequest,
    DuplicateRequest,
    KeyProblems,
    RenameRequest,
    SaveRequest,
    ScriptInfo,
    ScriptKeys,
    ScriptList,
    ScriptText,
    SearchResult,
    SetKeysRequest,
)
from engine.models.versions import DeletedScripts, RestoreRequest, ScriptHistory, ScriptVersion, VersionText
from engine.registry.operation import TRANSFER_TIMEOUT, Operation


class ScriptParams(Model, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]


class SearchParams(Model, frozen=True):
    text: Annotated[str, Meta(max_length=1000, description="Words; the last one may be a beginning.")] = field(name="q")
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class ModuleParams(Model, frozen=True):
    name: Annotated[str, Meta(max_length=200, description="One module, by its whole name; all of them without.")] = ""


class VersionParams(Model, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="As the script's history names it.")]


SCRIPTS_LIST = Operation(
    "scripts.list",
    "GET",
    "/scripts",
    ScriptList,
    "viewer",
    "List the project's scripts",
    scoped=True,
    kinds=("utility",),
)
SCRIPTS_LOAD = Operation(
    "scripts.load",
    "GET",
    "/scripts/text/{path:path}",
    ScriptText,
    "viewer",
    "Read a script with its text",
    params=ScriptParams,
    scoped=True,
    kinds=("utility",),
)
SCRIPTS_SAVE = Operation(
    "scripts.save",
    "PUT",
    "/scripts/text/{path:path}",
    ScriptInfo,
    "author",
    "Save scripts: write a text durably",
    params=ScriptParams,
    body=SaveRequest,
    scoped=True,
)
SCRIPTS_CHECK = Operation(
    "scripts.check",
    "POST",
    "/scripts/check",
    CheckReport,
    "viewer",
    "Parse a script's text in the sandbox: syntax errors, functions, imports",
    body=CheckRequest,
    scoped=True,
)
MODULES = Operation(
    "modules",
    "GET",
    "/modules",
    ModuleReport,
    "viewer",
    "List the modules that scripts may import in each mode, or judge one",
    params=ModuleParams,
)
SCRIPTS_SET = Operation(
    "scripts.set",
    "POST",
    "/scripts/meta/{path:path}",
    ScriptInfo,
    "author",
    "Change scripts: set or remove keys of the header and touch nothing else of the text",
    params=ScriptParams,
    body=SetKeysRequest,
    scoped=True,
)
SCRIPTS_KEYS = Operation(
    "scripts.keys",
    "GET",
    "/scripts/meta/{path:path}",
    ScriptKeys,
    "viewer",
    "Read a script's header, key by key as it is written",
    params=ScriptParams,
    scoped=True,
)
SCRIPTS_JUDGE = Operation(
    "scripts.judge",
    "POST",
    "/scripts/judge/{path:path}",
    KeyProblems,
    "viewer",
    "Judge changes of a script's header, key by key; nothing is written",
    params=ScriptParams,
    body=SetKeysRequest,
    scoped=True,
)
SCRIPTS_SEARCH = Operation(
    "scripts.search",
    "GET",
    "/scripts/search",
    SearchResult,
    "viewer",
    "Search scripts: every word in name, title, tags or text",
    params=SearchParams,
    scoped=True,
)
SCRIPTS_RENAME = Operation(
    "scripts.rename",
    "POST",
    "/scripts/rename/{path:path}",
    ScriptInfo,
    "author",
    "Rename scripts: give one another name, or move it to another folder",
    params=ScriptParams,
    body=RenameRequest,
    scoped=True,
)
SCRIPTS_DUPLICATE = Operation(
    "scripts.duplicate",
    "POST",
    "/scripts/duplicate/{path:path}",
    ScriptInfo,
    "author",
    "Copy scripts: make a new one of what another one holds",
    params=ScriptParams,
    body=DuplicateRequest,
    status=201,
    scoped=True,
)
SCRIPTS_DELETE = Operation(
    "scripts.delete",
    "POST",
    "/scripts/delete/{path:path}",
    ScriptVersion,
    "author",
    "Delete scripts; the answer names what brings one back",
    params=ScriptParams,
    body=DeleteRequest,
    scoped=True,
)
SCRIPTS_HISTORY = Operation(
    "scripts.history",
    "GET",
    "/scripts/history/{path:path}",
    ScriptHistory,
    "author",
    "See the history of scripts, newest version first",
    params=ScriptParams,
    scoped=True,
)
SCRIPTS_DELETED = Operation(
    "scripts.deleted",
    "GET",
    "/scripts/deleted",
    DeletedScripts,
    "author",
    "See deleted scripts that can be restored, the last one first",
    scoped=True,
)
SCRIPTS_VERSION = Operation(
    "scripts.version",
    "GET",
    "/scripts/version/{path:path}",
    VersionText,
    "author",
    "See the text of an old version",
    params=VersionParams,
    scoped=True,
)
SCRIPTS_RESTORE = Operation(
    "scripts.restore",
    "POST",
    "/scripts/restore/{path:path}",
    ScriptInfo,
    "author",
    "Restore scripts: bring back an old version or a deleted one",
    params=ScriptParams,
    body=RestoreRequest,
    scoped=True,
)
PERMISSIONS_REVIEW = Operation(
    "permissions.review",
    "GET",
    "/permissions/review/{path:path}",
    PermissionReview,
    "viewer",
    "See what scripts ask for, and what changed since the last approval",
    params=ScriptParams,
    patience=TRANSFER_TIMEOUT,  # the package index may be asked
)
PERMISSIONS_APPROVE = Operation(
    "permissions.approve",
    "POST",
    "/permissions/approve/{path:path}",
    PermissionReview,
    "admin",
    "Approve permissions of a script, for exactly this text",
    params=ScriptParams,
    body=ApproveRequest,
    patience=TRANSFER_TIMEOUT,  # the package index may be asked
)
PERMISSIONS_REFUSE = Operation(
    "permissions.refuse",
    "POST",
    "/permissions/refuse/{path:path}",
    PermissionReview,
    "admin",
    "Refuse permissions, or withdraw an approval",
    params=ScriptParams,
)
PERMISSIONS_BEGIN_EDITS = Operation(
    "permissions.begin_edits",
    "POST",
    "/permissions/edits/{path:path}",
    OwnEdits,
    "admin",
    "Approve one's own edits of a script, with these permissions, for fifteen minutes",
    params=ScriptParams,
    body=ApproveRequest,
)
PERMISSIONS_RENEW_EDITS = Operation(
    "permissions.renew_edits",
    "POST",
    "/permissions/edits-renew",
    OwnEdits,
    "admin",
    "Approve one's own edits: say that their console is still there",
    body=EditsToken,
)
PERMISSIONS_END_EDITS = Operation(
    "permissions.end_edits",
    "POST",
    "/permissions/edits-end",
    OwnEdits,
    "admin",
    "Approve one's own edits no longer",
    body=EditsToken,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    SCRIPTS_LIST,
    SCRIPTS_LOAD,
    SCRIPTS_SAVE,
    SCRIPTS_CHECK,
    MODULES,
    SCRIPTS_SET,
    SCRIPTS_KEYS,
    SCRIPTS_JUDGE,
    SCRIPTS_SEARCH,
    SCRIPTS_RENAME,
    SCRIPTS_DUPLICATE,
    SCRIPTS_DELETE,
    SCRIPTS_HISTORY,
    SCRIPTS_DELETED,
    SCRIPTS_VERSION,
    SCRIPTS_RESTORE,
    PERMISSIONS_REVIEW,
    PERMISSIONS_APPROVE,
    PERMISSIONS_REFUSE,
    PERMISSIONS_BEGIN_EDITS,
    PERMISSIONS_RENEW_EDITS,
    PERMISSIONS_END_EDITS,
)
