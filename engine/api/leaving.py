"""Work that nobody waits for any more is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

from engine.api.body import ClientGone

Result = TypeVar("Result")


async def while_asked(receive: Receive, work: Awaitable[Result]) -> Result:
    """The result of ``work``, which is cancelled when the client closes its connection.

    Args:
        receive: Of a request whose body was read, or that has none.
        work: Undoes itself when it is cancelled.

    Raises:
        ClientGone: The client left.
    """
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        task.cancel()
        left.cancel()
        await asyncio.gather(task, left, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
