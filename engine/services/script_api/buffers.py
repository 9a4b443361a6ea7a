"""Buffers that a run makes: memory of the engine's that is handed to it, named and sized by the script."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.services.access import ServiceError
from engine.services.script_api.dispatcher import CallingRun, RunOperation, WithDescriptors

MAKE = "buffers.make"
"""What ``gatewright.buffers.create`` calls."""


class BufferAsked(msgspec.Struct, frozen=True):
    """As a script sends it; ``RunOutputs`` says what is wrong with it."""

    name: Any = None
    size: Any = None


def make(run: CallingRun, asked: BufferAsked) -> WithDescriptors:
    """Make memory for the run alone and hand it over.

    Raises:
        ServiceError: As ``RunOutputs.create`` does, or the run can make none.
    """
    if run.outputs is None:
        raise ServiceError("unavailable", "This run cannot make buffers.")
    return WithDescriptors(None, (run.outputs.create(asked.name, asked.size),))


OPERATION = RunOperation(kinds=("utility",), params=BufferAsked, method=make)
