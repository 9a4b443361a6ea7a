"""Makes calls to the engine over the run's socket, from any thread: a CALL frame each, and the REPLY that answers it.

The first thread that waits reads for all; each reply wakes the thread that it is for. When the reader has its own, it
lets another one read. What was read of a reply stays here when an exception, such as one of a signal handler, ends the
wait: the next reader goes on where it was left.
"""

from __future__ import annotations

import _socket
import _thread
from array import array
from builtins import len  # noqa: A004 - not those that a script may have put in their place
from itertools import count
from os import close as _close
from os import dup as _dup
from sys import _getframe as _frame

from .channel import RUN_FD
from .wire import CALL, HEADER, KEPT_ANSWERS, KEPT_QUESTION, MAX_CALL_FRAME, MAX_CALLS_AT_ONCE, REPLY, Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .channel import Channel

MAX_REQUEST = MAX_CALL_FRAME - CALL.size
"""Bytes of the JSON that a call may have."""

MAX_KEPT = 8 << 20
"""Bytes of answers, with their questions, that are kept."""

MAX_ASKED = 10_000
"""Questions that are known to have been asked."""

STAYS = b'{"stays":true,"ok":'
"""Beginning of an answer that is the same as long as the batch goes on."""

_HEAD = HEADER.size + REPLY.size
_DESCRIPTOR = array("i").itemsize


class CallRefused(Exception):
    """A call was not made, or is not waited for.

    Attributes:
        code: What kind of refusal it is.
        hint: What to do about it.
    """

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class _Waiter:
    """A thread that waits while another one reads."""

    __slots__ = ("lock", "thread")

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.lock = _thread.allocate_lock()
        self.lock.acquire()


class Caller:
    """The calls of one run."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._numbers = count(1)
        self._lock = _thread.RLock()  # a signal handler may call, too, wherever its thread is
        self._reader: int | None = None
        """The thread that reads."""
        self._waiters: dict[int, _Waiter] = {}
        """By their calls' numbers, those that neither read nor have their replies."""
        self._replies: dict[int, tuple[bytes, list[int]]] = {}
        self._outstanding: set[int] = set()
        """Numbers of calls whose replies have not been read, given up or not."""
        self._queue: list[_Waiter] = []
        """Threads that may not call before another one has its reply."""
        self._ancillary: list[tuple[bytes, list[tuple[int, int, bytes]], int, object]] = []
        self._descriptors: _socket.socket | None = None
        channel.take_reply = self._take_unheard

    def call(self, request: bytes) -> tuple[bytes, list[int]]:
        """Send a request and return the reply to it, with the descriptors that came along, now the caller's.

        Blocks the thread until then. A call that was given up by an exception is answered all the same, unheard.

        Raises:
            CallRefused: It was not made.
        """
        thread = self.check()
        if len(request) > MAX_REQUEST:
            sentence = f"The call holds {len(request):,} bytes; the most is {MAX_REQUEST:,}."
            raise CallRefused("too_large", sentence, "Send less at once.")
        if self._reader == thread and self._lies_below():
            sentence = "A signal handler cannot call the engine while the call that it interrupts goes on."
            raise CallRefused("busy", sentence, "Note in the handler what is to be done, and do it afterwards.")
        return self._ask(next(self._numbers) & 0xFFFF_FFFF, thread, request)

    def check(self) -> int:
        """Return the thread, if calls can be made from here.

        Raises:
            CallRefused: They cannot.
        """
        if self._channel.is_forked:
            sentence = "Only the run itself can call the engine, not a process that it has started."
            raise CallRefused("unavailable", sentence, "Make the call in the script's own process.")
        thread = _thread.get_ident()
        if self._channel.current_call is not None and thread != self._channel.main_thread:
            sentence = (
                "A macro calls the engine from the thread that its function was called in, and from no other one."
            )
            raise CallRefused("unavailable", sentence, "Make the call before the thread is started.")
        return thread

    def _lies_below(self) -> bool:
        """Tell whether a call goes on below this one; else a handler's exception ended the last one before its end."""
        frame = _frame(2)
        while frame is not None:
            if frame.f_code is Caller._ask.__code__ or frame.f_code is Caller._take_room.__code__:
                return True
            frame = frame.f_back  # type: ignore[assignment]
        self._stop_reading(_thread.get_ident())
        return False

    def _ask(self, number: int, thread: int, request: bytes) -> tuple[bytes, list[int]]:
        waiter: _Waiter | None = None
        sent: list[int] = []
        try:  # from the first line on: a signal handler may raise anywhere in it
            self._take_room(number, thread)
            with self._lock:
                if self._reader is None:
                    self._reader = thread
                else:
                    self._waiters[number] = waiter = _Waiter(thread)
            self._channel.send(Frame.CALL, CALL.pack(number) + request, sent)
            if waiter is not None:
                waiter.lock.acquire()
                if number in self._replies:
                    return self._replies.pop(number)
            while True:
                answered, answer, fds = self._receive()
                if answered == number:
                    return answer, fds
                self._hand_on(answered, answer, fds)
        finally:
            with self._lock:
                if not sent:  # else the engine counts it, heard of or not
                    self._outstanding.discard(number)
                self._waiters.pop(number, None)
                self._replies.pop(number, None)
                self._stop_reading(thread)
                self._let_next_call()

    def _stop_reading(self, thread: int) -> None:
        """Let another thread that waits read, if ``thread`` is the reader."""
        with self._lock:
            if self._reader != thread:
                return
            self._reader = None
            if self._waiters:
                other = self._waiters.pop(next(iter(self._waiters)))
                self._reader = other.thread
                other.lock.release()

    def _hand_on(self, number: int, answer: bytes, fds: list[int]) -> None:
        """Wake the thread that waits for a reply; one that has given up needs it no more."""
        with self._lock:
            self._let_next_call()
            waiter = self._waiters.pop(number, None)
            if waiter is not None:
                self._replies[number] = answer, fds
                waiter.lock.release()
                return
        for fd in fds:
            _close(fd)

    def _receive(self) -> tuple[int, bytes, list[int]]:
        """Read the next reply, whichever call it is for."""
        channel = self._channel
        try:
            while True:
                size, kind = HEADER.unpack_from(channel.have(HEADER.size))
                if kind == Frame.REPLY:
                    break
                channel.take_frame()
            number, descriptors = REPLY.unpack_from(channel.have(_HEAD), HEADER.size)
            data = channel.have(HEADER.size + size)
        except EOFError:
            raise CallRefused("unavailable", "The engine has closed the run's connection.", "") from None
        if descriptors:
            self._have_descriptors(descriptors)
        self._outstanding.discard(number)
        ancillary, self._ancillary, channel.inbox = self._ancillary, [], []
        fds = array("i")
        for _, messages, _, _ in ancillary:
            for level, kind, body in messages:
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    fds.frombytes(body[: len(body) - len(body) % _DESCRIPTOR])
        return number, data[_HEAD:], list(fds)

    def _take_unheard(self) -> None:
        """Read a reply that comes while no call is waited for: to one that was given up."""
        self._hand_on(*self._receive())

    def _have_descriptors(self, count: int) -> None:
        if self._descriptors is None:
            self._descriptors = _socket.socket(fileno=_dup(RUN_FD))
        room = _socket.CMSG_LEN(count * _DESCRIPTOR)
        while not self._ancillary:
            self._ancillary.extend(map(self._descriptors.recvmsg, (1,), (room,)))

    def _take_room(self, number: int, thread: int) -> None:
        """Wait until one more call may be made, and let it be the call ``number``."""
        while True:
            waiter = None
            with self._lock:
                if len(self._outstanding) < MAX_CALLS_AT_ONCE:
                    self._outstanding.add(number)
                    return
                if self._reader is None:
                    self._reader = thread  # those were all given up, so that no thread reads their replies
                else:
                    waiter = _Waiter(thread)
                    self._queue.append(waiter)
            try:
                if waiter is None:
                    self._hand_on(*self._receive())
                else:
                    waiter.lock.acquire()
            finally:
                with self._lock:
                    self._stop_reading(thread)
                    if waiter in self._queue:
                        self._queue.remove(waiter)

    def _let_next_call(self) -> None:
        """Wake a thread that waits for room, if there is some."""
        if self._queue and len(self._outstanding) < MAX_CALLS_AT_ONCE:
            self._queue.pop(0).lock.release()


def asking(caller: Caller, channel: Channel) -> Callable[[bytes], tuple[bytes, list[int]]]:
    """Return what makes calls, and in a batch keeps answers that stay the same from a question's second time on.

    Each use of a kept answer is noted with the call that goes on, as if it had asked. What is kept hangs on no name and
    on no attribute: a macro shares the process and can put anything in the place of this function, but does not come
    upon the answers of other calls by mistake.
    """
    kept: dict[bytes, tuple[int, bytes]] = {}
    asked: set[int] = set()
    size = numbers = 0

    def ask(question: bytes) -> tuple[bytes, list[int]]:
        """Make a call; ``question`` is a JSON object."""
        nonlocal size, numbers
        if channel.current_call is None or channel.read_again is None:
            return caller.call(question)
        known = kept.get(question)
        if known is not None:
            caller.check()
            channel.read_again(known[0])
            return known[1], []
        number, mark = numbers, hash(question)
        again = mark in asked and number < KEPT_ANSWERS and size < MAX_KEPT and len(question) <= KEPT_QUESTION
        if len(asked) < MAX_ASKED:
            asked.add(mark)
        if again:
            numbers += 1  # not to be used twice: the engine may answer later than an exception ends the wait
        more = b',"of":%d' % channel.current_call() + (b',"keep":%d}' % number if again else b"}")
        reply, fds = caller.call(question[:-1] + more)
        if again and reply.startswith(STAYS):
            added = len(question) + len(reply)
            if size + added <= MAX_KEPT:
                kept[question] = number, reply
                size += added
        return reply, fds

    return ask
