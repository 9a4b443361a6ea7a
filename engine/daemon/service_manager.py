"""What the engine tells the service manager that started it: ready, reloading, stopping, alive (sd_notify(3)).

Nothing of libsystemd: the protocol is a datagram of lines to the socket that ``NOTIFY_SOCKET`` names. Other managers
speak it, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.client.starter import OF_SERVICE_MANAGERS

log = logging.getLogger("engine.service")

HEARTBEATS = 3
"""How often within the time of the watchdog the engine says that it lives; half of it is what the manual advises."""

STATUS_EVERY = 20.0
"""Seconds between two looks at what the status says, where no watchdog asks for more."""

MOST_DIGITS = 15
"""Of the microseconds of a watchdog: some thirty years. What is asked for beyond is none."""

LEAST_EVERY = 0.05
"""Seconds between two signs of life, however short the watchdog's time is."""

PATIENCE = 2.0
"""Seconds that a change of state may wait for a manager that does not read. Signs of life wait for nothing."""


@dataclass(slots=True)
class ServiceManager:
    """The manager of this process, or none.

    Attributes:
        address: Of its socket; empty where there is no manager.
        watchdog: Seconds after which it takes silence for a hang; 0: never.
    """

    address: str = ""
    watchdog: float = 0.0
    _told: str = field(default="", init=False, repr=False)
    _failing: bool = field(default=False, init=False, repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> ServiceManager:
        """Find the manager that the environment names, if it means this process and not one above it."""
        address, pid, microseconds = (environ.get(name, "") for name in OF_SERVICE_MANAGERS[:3])
        if not address.startswith(("/", "@")):
            return cls()
        for_us = pid in ("", str(os.getpid()))
        asked = for_us and microseconds.isascii() and microseconds.isdecimal() and len(microseconds) <= MOST_DIGITS
        return cls(address, int(microseconds) / 1e6 if asked else 0.0)

    def __bool__(self) -> bool:
        return bool(self.address)

    def ready(self, status: str) -> None:
        """Say that the engine serves, after its start and after a reload."""
        self._told = status
        self._send(f"READY=1\nSTATUS={_line(status)}", PATIENCE)

    def reloading(self) -> None:
        """Say that settings are read again; ``ready`` ends it."""
        # The time is for managers that wait for the answer to their own signal (systemd 253, Type=notify-reload).
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", PATIENCE)

    def stopping(self) -> None:
        """Say that the engine leaves."""
        self._send("STOPPING=1\nSTATUS=Leaving.", PATIENCE)

    def failed(self, sentence: str) -> None:
        """Leave the reason of a start that failed where ``systemctl status`` shows it."""
        self._send(f"STATUS={_line(sentence)}", PATIENCE)

    async def keep(self, status: Callable[[], str]) -> None:
        """Say again and again that the event loop goes round, and what the engine does; until cancelled.

        A loop that hangs says nothing: that is how the manager finds out.
        """
        if not self:
            return
        every = max(LEAST_EVERY, min(self.watchdog / HEARTBEATS, STATUS_EVERY)) if self.watchdog else STATUS_EVERY
        while True:
            said = ["WATCHDOG=1"] if self.watchdog else []
            if (now := status()) != self._told:
                said.append(f"STATUS={_line(now)}")
                self._told = now
            if said:
                self._send("\n".join(said), 0)
            await asyncio.sleep(every)

    def _send(self, message: str, patience: float) -> None:
        if not self:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
                sending.settimeout(patience)
                sending.sendto(message.encode(errors="replace"), _place(self.address))
        except OSError as error:
            if not self._failing:  # once, not with each sign of life
                log.warning("the service manager cannot be told anything: %s", error.strerror or error)
            self._failing = True
        else:
            self._failing = False


def _place(address: str) -> str:
    """Return where a socket is: an @ at the beginning, and only there, stands for a name without a file (unix(7))."""
    return f"\0{address[1:]}" if address.startswith("@") else address


def _line(text: str) -> str:
    """Return ``text`` as one line: a second one would be another assignment."""
    return " ".join(text.split())
