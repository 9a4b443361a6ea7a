"""What the requests under way may take of the engine: so many of a token at a time, so many bytes of bodies in all."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from types import TracebackType

from engine.services.access import Actor, ServiceError

BODIES = 64 << 20
"""Bytes of all bodies of JSON together, decompressed, until their requests are answered."""

TURN = 2.0
"""Seconds for which a request waits until its token has one less under way: sessions of a plant call in bursts.

With the 25 seconds that a call of the module's clients may take, it stays below the 30 after which these give up.
"""

MOST_WAITING = 1_000
"""Requests of one token that wait like this. Nothing of them but their heads is read yet."""

BUSY_FOR = 1.0
"""Seconds after which a request that was one too many may be tried again."""


class RequestLoad:
    """Of one engine.

    Args:
        per_token: How many requests of one token may be under way.
        bodies: Bytes.
    """

    def __init__(self, per_token: Callable[[], int], bodies: int = BODIES) -> None:
        self._per_token = per_token
        self._of: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self.bodies_left = bodies

    def request(self) -> RequestShare:
        return RequestShare(self)

    async def enter(self, token: str) -> None:
        """Count one request more of a token, when it is its turn.

        Raises:
            ServiceError: ``busy``: it was not within ``TURN`` seconds.
        """
        if self._of[token] < self._per_token():
            self._of[token] += 1
            return
        waiting = self._waiting[token]
        if len(waiting) >= MOST_WAITING:
            raise self._busy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            async with asyncio.timeout(TURN):
                await turn
        except BaseException as failure:
            if turn.done() and not turn.cancelled():  # it came in the same moment
                self.leave(token)
            elif turn in waiting:
                waiting.remove(turn)
            if not waiting and self._waiting.get(token) is waiting:
                del self._waiting[token]
            if isinstance(failure, TimeoutError):
                raise self._busy() from None
            raise

    def leave(self, token: str) -> None:
        """Count one less, and let the next that waits have its place."""
        waiting = self._waiting.get(token)
        while waiting and self._of[token] <= self._per_token():
            turn = waiting.popleft()
            if not waiting:
                del self._waiting[token]
            if not turn.done():
                turn.set_result(None)
                return
        self._of[token] -= 1
        if not self._of[token]:
            del self._of[token]

    def _busy(self) -> ServiceError:
        return ServiceError(
            "busy",
            f"This token has {self._per_token()} requests under way already; no more of one token are taken at a time.",
            hint="Wait for one of them, or give each program a token of its own.",
            status=429,
            retry_after=BUSY_FOR,
        )

    def check(self, size: int) -> None:
        if size > self.bodies_left:
            raise ServiceError(
                "busy",
                "The engine has so many large requests under way that it takes no more of them now.",
                hint="Try again in a moment, or hand large data to a run as a file: it is uploaded, not sent along.",
                status=429,
                retry_after=BUSY_FOR,
            )


class RequestShare:
    """What one request takes, until it is answered. Leave the block to give it back."""

    def __init__(self, load: RequestLoad) -> None:
        self._load = load
        self._token = ""
        self._held = 0

    def __enter__(self) -> RequestShare:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answered()

    async def count(self, actor: Actor) -> None:
        """Count the request as one of ``actor``'s token, when it is its turn; accounts have no limit.

        Raises:
            ServiceError: ``busy``: it is one too many.
        """
        if actor.token:
            await self._load.enter(actor.token)
            self._token = actor.token

    def check(self, size: int) -> None:
        """Raise ``busy`` where there is no room for a body of ``size`` bytes, before it is read."""
        self._load.check(size)

    def hold(self, size: int) -> None:
        """Take room for ``size`` more bytes of the body.

        Raises:
            ServiceError: ``busy``: there is none.
        """
        self._load.check(size)
        self._load.bodies_left -= size
        self._held += size

    def answered(self) -> None:
        """Give everything back; a stream that goes on is no request any longer."""
        if self._token:
            self._load.leave(self._token)
            self._token = ""
        self._load.bodies_left += self._held
        self._held = 0
