"""The one client of an engine: console and command line speak to it through this, whatever carries the connection.

Cheap to import on purpose (asyncio, h11, msgspec): ``gatewright exec`` pays for it on every call.
"""

from __future__ import annotations

from engine.client.events import EventCalls
from engine.client.runs import RunCalls
from engine.client.sync import SyncCalls


class EngineClient(EventCalls, RunCalls, SyncCalls):
    """Typed calls to one engine. Usable from several tasks at once; a cancelled call closes its connection.

    ``call`` asks for any operation of the registry; the other methods are what takes more than one request or answers
    with a stream. Every method raises ``EngineError`` when the engine refuses and ``EngineUnreachable`` when it cannot
    be reached.
    """
