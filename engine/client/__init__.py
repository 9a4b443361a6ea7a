"""The one client of an engine: console and command line speak to it through this, whatever carries the connection.

Cheap to import on purpose (asyncio, h11, msgspec): ``gatewright exec`` pays for it on every call.
"""

from __future__ import annotations

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.calls import Calls
from engine.client.defaults import DefaultCalls
from engine.client.engine import EngineCalls
from engine.client.git import GitCalls
from engine.client.runs import RunCalls, RunEvent
from engine.client.scripts import ScriptCalls
from engine.client.sync import SyncCalls

__all__ = ["Calls", "EngineClient", "EngineError", "EngineUnreachable", "RunEvent"]


class EngineClient(EngineCalls, RunCalls, ScriptCalls, DefaultCalls, GitCalls, SyncCalls):
    """Typed calls to one engine. Usable from several tasks at once; a cancelled call closes its connection.

    Every method raises ``EngineError`` when the engine refuses and ``EngineUnreachable`` when it cannot be reached.
    """
