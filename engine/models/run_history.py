"""What runs were given, their repetition and comparison."""

from __future__ import annotations

from typing import Any

from engine.models.base import Model
from engine.models.runs import Mode, RunInfo


class RunFileInput(Model, frozen=True):
    """A file that a run was handed. Its content is not kept, its hash is."""

    parameter: str
    name: str
    size: int
    sha256: str


class RunInputs(Model, frozen=True):
    """What a run was given. ``problem`` says what of it is not kept; then the run cannot be repeated."""

    run_id: int
    code_sha256: str
    code: str | None = None
    """The text that ran; None when it is not kept, or was none."""
    inputs_sha256: str | None = None
    params: dict[str, Any] = {}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    entrypoint: str | None = None
    """Only when the request named one."""
    files: list[RunFileInput] = []
    problem: str | None = None


class ReplayRequest(Model, frozen=True):
    """``mode`` is what the caller agrees to: a replay of an ADMIN run is one, too, and needs to be told so.

    ``files`` maps parameters to uploaded buffers, for files that the engine holds no more; they must be the same files.
    """

    mode: Mode = Mode.RESTRICTED
    files: dict[str, str] = {}


class RunComparison(Model, frozen=True):
    """Two runs. Each difference is unified, from ``run`` to ``other``, and empty where both are the same."""

    run: RunInfo
    other: RunInfo
    inputs: str = ""
    code: str = ""
    result: str = ""
    output: str = ""
    notes: list[str] = []
    """What could not be compared, one sentence each."""
