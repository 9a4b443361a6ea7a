"""What the API needs from the process that serves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from starlette.types import Receive

from engine.api.event_wire import EventWire
from engine.models import EngineInfo
from engine.services.access import Actor

if TYPE_CHECKING:
    from engine.library import Engine


class Host(Protocol):
    """The daemon, as the API sees it."""

    @property
    def engine(self) -> Engine: ...

    @property
    def wire(self) -> EventWire: ...

    @property
    def stopping(self) -> asyncio.Event:
        """Set when every stream must end."""

    def info(self) -> EngineInfo: ...

    def stop(self) -> None:
        """Begin to leave; returns at once."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request after every check that its operation's table entry asks for.

    Attributes:
        source: ``console``, ``cli`` or ``rest``, as the client says of itself.
        params: The operation's ``params`` struct.
        body: The operation's ``request`` struct, None if it takes none.
        last_event_id: Where a stream that broke was left.
        receive: The rest of a raw body.
    """

    host: Host
    actor: Actor
    source: str
    params: Any
    body: Any
    last_event_id: str
    receive: Receive

    @property
    def engine(self) -> Engine:
        return self.host.engine
