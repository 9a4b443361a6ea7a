"""Scripts as the project has them now, and what is done to them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from engine.models.base import Model
from engine.models.permissions import Grant


class ParamType(StrEnum):
    STR = "str"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    LIST = "list"
    FILE = "file"
    CHOICE = "choice"


class ParamInfo(Model, frozen=True):
    name: str
    type: ParamType = ParamType.STR
    default: Any = None
    required: bool = True
    help: str = ""
    choices: list[str] = []
    secret: bool = False
    """What it is given is not shown and not kept: of a run there is only an HMAC of it."""


class ScriptInfo(Model, frozen=True):
    path: str
    title: str
    kind: str = "utility"
    description: str = ""
    entrypoint: str | None = None
    enabled: bool = True
    tags: list[str] = []
    params: list[ParamInfo] = []
    timeout: float | None = None
    memory: int | None = None
    output: int | None = None
    result: int | None = None
    scratch: int | None = None
    open_files: int | None = None
    parallel: int | None = None
    """How many runs of it may go on at once."""
    output_stop: bool = False
    """A run of it that writes more than ``output`` is stopped."""
    leave_processes: bool = False
    """What detaches itself from an ADMIN run of it goes on after the run."""
    preload: list[str] = []
    requires_python: str | None = None
    dependencies: list[str] = []
    environment: str = ""
    """The named environment that it asks to run in."""
    permissions: list[Grant] = []
    """What it asks for, as written."""
    needs_approval: bool = False
    """It asks for permissions and an administrator has not approved exactly this text."""
    shared: bool = False
    """It lies in ``lib``: scripts import it, and it does not run by itself."""
    sha256: str = ""
    size: int = 0
    modified: float = 0.0
    problem: str | None = None
    """One sentence when the file cannot be used as it is; the rest of the list works on."""
    note: str | None = None
    """One sentence about a name that makes trouble elsewhere; the script works."""


class ScriptText(Model, frozen=True):
    info: ScriptInfo
    text: str


class ScriptList(Model, frozen=True):
    scripts: list[ScriptInfo]


class SaveRequest(Model, frozen=True):
    """``base_sha256`` is the hash of the text the author loaded; None means "this is a new script"."""

    text: str
    base_sha256: str | None = None
    convert_header: bool = False
    """Of a script that comes from elsewhere: an older tool's header becomes a frontmatter block."""
    own_edits: str = ""
    """The token of ``OwnEdits``, if its console saves."""


class SetKeysRequest(Model, frozen=True):
    """Keys of a script's frontmatter, all to be set or none.

    ``changes`` maps a key (``kind``, ``limits.timeout``, ``params.hours.default``) to its new value, or to null to
    remove it; ``params.hours`` with null removes the whole parameter. ``base_sha256``, if given, is the hash of the
    text that these changes are meant for.
    """

    changes: dict[str, Any]
    base_sha256: str | None = None
    own_edits: str = ""
    """The token of ``OwnEdits``, if its console saves."""


class ScriptKeys(Model, frozen=True):
    """What a script's frontmatter says, key by key as it is written, right or wrong.

    ``values`` has the keys that ``SetKeysRequest`` takes. A key that is not written is not there.
    """

    path: str
    sha256: str
    """Of the text that has them."""
    values: dict[str, Any] = {}
    problem: str | None = None
    """One sentence when something of it cannot be used."""
    readable: bool = True
    """False when the block cannot be read at all: then no key of it can be set either."""


class KeyProblems(Model, frozen=True):
    """Why changes of keys would be refused: one sentence by key, the empty key for all together."""

    problems: dict[str, str] = {}


class FoundScript(Model, frozen=True):
    """A script that a search found."""

    path: str
    title: str
    line: int = 0
    """Where its text has one of the words, from 1; 0 when they are in its name, title or tags only."""
    text: str = ""
    """That line."""


class SearchResult(Model, frozen=True):
    """Scripts with every word, those first that have them in name, title or tags."""

    scripts: list[FoundScript]
    more: bool = False
    """There are more than were asked for."""


class RenameRequest(Model, frozen=True):
    """Folders of ``new_path`` are made if need be. ``base_sha256`` None means "whatever it holds"."""

    new_path: str
    base_sha256: str | None = None


class DuplicateRequest(Model, frozen=True):
    """``new_path`` None: beside the script, with a name made from its own."""

    new_path: str | None = None


class DeleteRequest(Model, frozen=True):
    """``base_sha256`` is the hash of what the author has seen; None means "whatever is there"."""

    base_sha256: str | None = None


class OutsideChange(Model, frozen=True):
    """Data of a ``script`` event: others than this engine changed files, or what is looked at cannot be trusted."""

    change: str
    """``outside``."""
    created: int = 0
    updated: int = 0
    removed: int = 0
    renamed: int = 0
    paths: list[str] = []
    """Some of them, as they are called now."""
    problem: str | None = None
    """What the user should know at once, one sentence."""
