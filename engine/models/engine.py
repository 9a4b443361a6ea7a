"""The engine itself."""

from __future__ import annotations

from engine.models.base import Model


class EngineInfo(Model, frozen=True):
    """The engine's answer to a handshake."""

    version: str
    api_version: int
    pid: int
    project: str
    owner: str
    started_at: float
    isolation: str = ""
    level: str = ""
    """What this host gives RESTRICTED runs: ``full``, ``core``, ``degraded`` or ``refused``."""
    admin: str = ""
    """Why there are no ADMIN runs here, one sentence; empty when administrators may start them."""
    log_file: str = ""
    problems: list[str] = []
    """What the user should know: a lost log line, a full disk, a missing sandbox layer."""


class StopRequest(Model, frozen=True):
    """``force`` stops the engine although runs go on; they end as interrupted."""

    force: bool = False
