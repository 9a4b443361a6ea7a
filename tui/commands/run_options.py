"""What ``run``, ``exec`` and ``eval`` have in common, as it was given, for one gateway and for several."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class RunOptions:
    """The options; files by the name of their parameter or buffer."""

    params: dict[str, str]
    files: dict[str, str]
    buffers: dict[str, str]
    argv: tuple[str, ...]
    stdin: bool
    timeout: float | None
    mode: str
    out: str | None
    save_buffers: dict[str, str]
    exit_status: bool
    cancel_on_exit: bool
    gateway_timeout: float | None
