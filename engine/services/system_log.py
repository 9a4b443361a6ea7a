"""Copies of the audit's head in the system's log, which another account keeps.

One datagram each to the socket that syslog(3) writes to, in the form that every daemon there reads (RFC 3164, without
the host's name, as the C library sends it). The engine never waits for it: a log that takes nothing is told of.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

AUTHPRIV, NOTICE = 10, 5
"""Facility and severity (RFC 3164, section 4.1.1)."""

LONGEST_NAME = 200
"""Characters of a run's name: no log takes a line of any length, and the head must come."""

TAG = "gatewright-audit"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SystemLog:
    """Sends heads of one project.

    Args:
        place: The socket.
        project: Its folder, so that the heads of several can be told apart.
    """

    def __init__(self, place: Path, project: Path) -> None:
        self._place = place
        self._project = json.dumps(str(project))
        self.problem: str | None = None
        """Why the last head was not taken, one sentence."""

    def send(self, seq: int, sha256: str, run: str = "") -> bool:
        """Send a head; return whether it was taken. ``run``: the ADMIN run before which it is sent."""
        now = time.localtime()
        stamp = f"{MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
        before = f" before {json.dumps(run[:LONGEST_NAME])}" if run else ""
        text = f"project {self._project} record {seq} head {sha256}{before}"
        data = f"<{AUTHPRIV << 3 | NOTICE}>{stamp} {TAG}[{os.getpid()}]: {text}".encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.connect(str(self._place))
                sender.send(data)
        except (FileNotFoundError, ConnectionRefusedError):
            self.problem = f"This host has no system log at {self._place}."
        except BlockingIOError:
            self.problem = f"The system's log at {self._place} takes nothing at the moment."
        except OSError as error:
            self.problem = f"The system's log at {self._place} cannot be used: {error.strerror or error}."
        else:
            self.problem = None
        return self.problem is None
