"""What scripts ask for beyond their sandbox, and what was approved."""

from __future__ import annotations

from enum import StrEnum

from engine.models.base import Model
from engine.models.packages import PlannedPackage
from engine.models.shared import SharedFile


class Access(StrEnum):
    """What a declared permission lets a script do. ``write`` includes reading, making and removing.

    ``secret`` and ``ask`` are carried out by the engine for it: nothing of them is in the sandbox.
    """

    READ = "read"
    WRITE = "write"
    SECRET = "secret"  # noqa: S105 - a kind of permission
    ASK = "ask"


ON_PATHS = frozenset({Access.READ, Access.WRITE})
ASSISTANT = "assistant"
"""What the one permission to ``ask`` is for."""


class Grant(Model, frozen=True):
    """One thing outside the scratch folder that a script asks for, or that a run was given."""

    access: Access
    path: str
    """To ``read`` and ``write`` a path; of a ``secret`` its name; to ``ask`` always ``assistant``."""


class ApprovalState(StrEnum):
    """``none``: the script asks for nothing. ``changed``: an earlier text or set of permissions was approved."""

    NONE = "none"
    APPROVED = "approved"
    NEEDED = "needed"
    CHANGED = "changed"
    REFUSED = "refused"


class AskedPermission(Model, frozen=True):
    """One declared permission, judged."""

    access: Access
    path: str
    """As written."""
    canonical: str | None = None
    """Without symbolic links; what an approval fixes. None when it cannot be granted."""
    folder: bool = True
    change: str = "new"
    """Against the last approval: ``new``, ``unchanged``."""
    problem: str | None = None
    """One sentence why it cannot be granted."""
    note: str | None = None
    """What to know before approving, for example that a single file does not survive log rotation."""


class ReviewedFile(SharedFile, frozen=True):
    """A file of shared code that a script imports, against the last approval: ``new``, ``changed``, ``unchanged``."""

    change: str = "new"


class ReviewedEnvironment(Model, frozen=True):
    """The packages that a script names in its header and that are not there for all scripts.

    A decision about them counts for every script that asks for the same.
    """

    state: ApprovalState
    requirements: list[str]
    """As they are asked for, sorted."""
    requires_python: str = ""
    python: str = ""
    """Version of the interpreter that they would be installed for."""
    packages: list[PlannedPackage] = []
    """What would be installed, by name, against what was approved last."""
    lock: str = ""
    """SHA-256 of the lock: an approval fixes it. Empty while nothing is resolved."""
    built: bool = False
    """It is there; else the first run that needs it has it built."""
    approved_by: str | None = None
    approved_at: float | None = None
    others: list[str] = []
    """Further scripts that ask for the same, 20 at most."""
    problem: str | None = None
    """Why these packages cannot be had here, one sentence."""


class PermissionReview(Model, frozen=True):
    """What an administrator is shown before approving what a script asks for."""

    script: str
    sha256: str
    """Of the text that is judged."""
    state: ApprovalState
    """Of all that it asks for: not ``approved`` as long as something of it is not."""
    asked: list[AskedPermission] = []
    removed: list[Grant] = []
    """Approved before and not asked for any more."""
    approved_by: str | None = None
    """Of the last approval, with its time and the text it was for."""
    approved_at: float | None = None
    approved_sha256: str | None = None
    diff: str = ""
    """Unified difference since that approval of the text and of the shared code, whole texts when there was none."""
    shared: list[ReviewedFile] = []
    """The shared code that the text imports: what it does counts as much."""
    removed_shared: list[str] = []
    """Paths of what it imported then and imports no more."""
    whole_sha256: str = ""
    """Of all that is judged: ``sha256`` where no shared code is imported and no packages are named."""
    environment: ReviewedEnvironment | None = None
    """The packages that it names, if it needs an environment of its own."""


class ApproveRequest(Model, frozen=True):
    """Exactly what the administrator saw: if the script has changed since, nothing is approved."""

    sha256: str
    grants: list[Grant]
    """Canonical."""
    shared: list[SharedFile] = []
    environment: str = ""
    """The hash of the lock that was shown, where the script names packages of its own."""


class EditsToken(Model, frozen=True):
    """The token of one console's lease for its own edits."""

    token: str


class OwnEdits(Model, frozen=True):
    """One console's own edits of a script have its permissions, for that console's runs only."""

    script: str
    token: str
    """Sent with each save and each run of the script."""
    sha256: str
    """Of the text that it counts for now."""
    remaining: float
    """Seconds until it is over. It is over soon as well when the console does not renew it."""
    renew_within: float
    """Seconds within which the console must be heard of."""
