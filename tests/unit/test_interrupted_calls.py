"""Signal handlers that raise while a frame is written: it goes out whole, and a call that went out counts."""

from __future__ import annotations

import fcntl
import signal
import socket
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.worker.caller import Caller
from engine.worker.channel import Channel
from engine.worker.wire import CALL, HEADER, Frame

TEXT = b"x" * (1 << 20)
PATIENCE = 20.0


class Enough(Exception):
    """Raised by a handler."""


class Peer:
    """The other end of a channel, which reads nothing before a handler has raised within a write."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
        self.ours = ours
        self.channel = Channel()
        self.channel.fd = ours.fileno()
        self.raised = threading.Event()
        self.data = bytearray()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def handler(self, *_: Any) -> None:
        (waiting,) = struct.unpack("i", fcntl.ioctl(self.socket, termios.FIONREAD, bytes(4)))
        if not waiting:  # nothing of it is written yet
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            return
        self.raised.set()
        raise Enough

    def interrupted(self, send: Callable[[], object]) -> bytes:
        """Have a write interrupted and return all that came."""
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Enough):
            send()
        self.ours.close()
        self._reading.join(PATIENCE)
        return bytes(self.data)

    def _read(self) -> None:
        self.raised.wait(PATIENCE)
        while data := self.socket.recv(1 << 20):
            self.data += data


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    before = signal.signal(signal.SIGALRM, made.handler)
    yield made
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    made.ours.close()
    made.raised.set()
    made._reading.join(PATIENCE)
    made.socket.close()


def test_a_frame_goes_out_whole(peer: Peer) -> None:
    assert peer.interrupted(lambda: peer.channel.send(Frame.OUT, TEXT)) == HEADER.pack(len(TEXT), Frame.OUT) + TEXT


def test_so_does_one_of_several_parts(peer: Peer) -> None:
    came = peer.interrupted(lambda: peer.channel.send_parts(Frame.TEXTS, (b"a", TEXT)))
    assert came == HEADER.pack(len(TEXT) + 1, Frame.TEXTS) + b"a" + TEXT


def test_a_call_that_went_out_counts_until_its_reply_is_read(peer: Peer) -> None:
    caller = Caller(peer.channel)
    request = TEXT[: -CALL.size]
    came = peer.interrupted(lambda: caller.call(request))
    assert came == HEADER.pack(len(TEXT), Frame.CALL) + CALL.pack(1) + request
    assert caller._outstanding == {1}
