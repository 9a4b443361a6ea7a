"""Saved scripts by name: listed, loaded, saved, deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

from engine.api.host import EngineHost
from engine.models.base import Model
from engine.registry.operation import Operation
from engine.registry.scripts import SCRIPTS_DELETE, SCRIPTS_LIST, SCRIPTS_LOAD, SCRIPTS_SAVE
from engine.services.access import Actor
from engine.services.operations import implements
from engine.services.scripts.titled import TitledSave, TitledScript, seed_id


class NameParams(Model, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=4096, description="Title, Folder/Title, path or id.")]


class ScriptFields(Model, frozen=True, rename="camel"):
    """What is said of a script. Times are ISO 8601, UTC; ``code`` comes with a loaded one only."""

    id: str
    name: str
    description: str
    author: str
    created_date: str
    last_modified: str
    folder_path: str
    version: str
    path: str
    sha256: str
    """``baseSha256`` of a save that must not overwrite another version."""
    code: str | None = None


class OneScript(Model, frozen=True):
    success: bool
    script: ScriptFields


class ScriptListing(Model, frozen=True):
    success: bool
    scripts: list[ScriptFields]
    count: int


class AvailableScript(Model, frozen=True, rename="camel"):
    name: str
    description: str
    path: str
    author: str
    version: str
    last_modified: str


class AvailableScripts(Model, frozen=True):
    success: bool
    scripts: list[AvailableScript]
    count: int


class Deleted(Model, frozen=True):
    success: bool
    message: str


class SaveScriptRequest(Model, frozen=True, rename="camel"):
    name: str
    code: str
    description: str | None = None
    author: str | None = None
    folder_path: str | None = None
    version: str | None = None
    base_sha256: str | None = None


class DeleteScriptRequest(Model, frozen=True):
    """Nothing: clients send an empty object, or no body."""


SAVE = Operation(
    "compat.scripts.save",
    "POST",
    "/api/v1/scripts/save",
    OneScript,
    SCRIPTS_SAVE.role,
    "Save scripts by their names",
    body=SaveScriptRequest,
    scoped=SCRIPTS_SAVE.scoped,
)
LOAD = Operation(
    "compat.scripts.load",
    "GET",
    "/api/v1/scripts/load/{name:path}",
    OneScript,
    SCRIPTS_LOAD.role,
    "Read a script by its name, with its text",
    params=NameParams,
    scoped=SCRIPTS_LOAD.scoped,
)
LIST = Operation(
    "compat.scripts.list",
    "GET",
    "/api/v1/scripts/list",
    ScriptListing,
    SCRIPTS_LIST.role,
    "List scripts with their names",
    scoped=SCRIPTS_LIST.scoped,
)
AVAILABLE = Operation(
    "compat.scripts.available",
    "GET",
    "/api/v1/scripts/available",
    AvailableScripts,
    SCRIPTS_LIST.role,
    "List scripts that can be called",
    scoped=SCRIPTS_LIST.scoped,
)
DELETE = Operation(
    "compat.scripts.delete",
    "DELETE",
    "/api/v1/scripts/delete/{name:path}",
    Deleted,
    SCRIPTS_DELETE.role,
    "Delete scripts by their names",
    params=NameParams,
    scoped=SCRIPTS_DELETE.scoped,
)
DELETE_BY_POST = Operation(
    "compat.scripts.delete_by_post",
    "POST",
    "/api/v1/scripts/delete/{name:path}",
    Deleted,
    SCRIPTS_DELETE.role,
    "Delete scripts by their names, as clients do that send no DELETE",
    params=NameParams,
    body=DeleteScriptRequest,
    scoped=SCRIPTS_DELETE.scoped,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (SAVE, LOAD, LIST, AVAILABLE, DELETE, DELETE_BY_POST)


class ScriptsByName:
    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(SAVE)
    async def save(self, request: SaveScriptRequest, actor: Actor) -> OneScript:
        """Save a text under its name: a new script, or the next version of the one that has it."""
        wanted = TitledSave(
            name=request.name,
            code=request.code,
            description=request.description,
            author=request.author,
            version=request.version,
            folder=request.folder_path,
            base_sha256=request.base_sha256,
        )
        return OneScript(success=True, script=_fields(await self._host.engine.titled_scripts.save(wanted, actor)))

    @implements(LOAD)
    async def load(self, name: str, actor: Actor) -> OneScript:
        """Return a script with its text as it is in the file."""
        script, text = await self._host.engine.titled_scripts.load(name, actor)
        return OneScript(success=True, script=_fields(script, text))

    @implements(LIST)
    async def list(self, actor: Actor) -> ScriptListing:
        """Return every script, without its text."""
        found = [_fields(script) for script in await self._host.engine.titled_scripts.list(actor)]
        return ScriptListing(success=True, scripts=found, count=len(found))

    @implements(AVAILABLE)
    async def available(self, actor: Actor) -> AvailableScripts:
        """Return the scripts that run when they are called."""
        found = [_available(script) for script in await self._host.engine.titled_scripts.list(actor) if _runs(script)]
        return AvailableScripts(success=True, scripts=found, count=len(found))

    @implements(DELETE)
    async def delete(self, name: str, actor: Actor) -> Deleted:
        """Delete a script; its history keeps what it held."""
        await self._host.engine.titled_scripts.delete(name, actor)
        return Deleted(success=True, message="Script deleted successfully")

    @implements(DELETE_BY_POST)
    async def delete_by_post(self, name: str, request: DeleteScriptRequest, actor: Actor) -> Deleted:  # noqa: ARG002
        """Do the same."""
        return await self.delete(name, actor)


def _runs(script: TitledScript) -> bool:
    info = script.info
    return info.enabled and not info.shared and info.problem is None


def _fields(script: TitledScript, code: str | None = None) -> ScriptFields:
    info = script.info
    return ScriptFields(
        id=seed_id(script.name),
        name=script.name,
        description=info.description,
        author=script.stated.author,
        created_date=_date(script.created),
        last_modified=_date(info.modified),
        folder_path=script.folder,
        version=script.stated.version,
        path=info.path,
        sha256=info.sha256,
        code=code,
    )


def _available(script: TitledScript) -> AvailableScript:
    return AvailableScript(
        name=script.name,
        description=script.info.description,
        path=f"{script.folder}/{script.name}" if script.folder and script.name != script.info.path else script.name,
        author=script.stated.author,
        version=script.stated.version,
        last_modified=_date(script.info.modified),
    )


def _date(at: float) -> str:
    """Return seconds since the epoch as ISO 8601, which every client's language reads."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
