"""asyncio: frames without blocking the loop.

A frame that is there is taken at once. To wait for one, the loop watches the reader's descriptor (``Reader.fileno``).
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from ._errors import NotFound, ServerGone, Timeout

if TYPE_CHECKING:
    from ._native import Frame, Reader


async def enter(reader: Reader) -> Reader:
    """``async with reader``."""
    return reader


async def leave(reader: Reader) -> None:
    """The end of ``async with reader``. Closing waits for a thread that is in a wait, so it is not for the loop."""
    await asyncio.to_thread(reader.close)


async def open_reader(name: str, *, wait: float = 0.0, **options: Any) -> Reader:
    """A :class:`Reader`, waiting up to ``wait`` seconds for its server without blocking the loop."""
    from ._native import Reader

    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while True:
        try:
            return Reader(name, **options)
        except (NotFound, ServerGone):
            if loop.time() >= end:
                raise
        await asyncio.sleep(0.005)


def _tell(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


class AsyncFrames:
    """Frames of a reader for ``async for``, until its server is gone."""

    def __init__(self, reader: Reader, every: bool, timeout: float | None, copy: bool) -> None:
        self._reader = reader
        self._take = reader.try_next if every else reader.try_wait
        self._timeout = timeout
        self._copy = copy

    def __aiter__(self) -> AsyncFrames:
        return self

    async def __anext__(self) -> Frame:
        while True:
            try:
                frame = self._take(copy=self._copy)
            except ServerGone:
                raise StopAsyncIteration from None
            if frame is not None:
                return frame
            try:
                await asyncio.wait_for(self._news(), self._timeout)
            except TimeoutError:
                raise Timeout(f"no frame of `{self._reader.name}` came in that time") from None

    async def _news(self) -> None:
        """Until there may be news: the reader's descriptor is readable."""
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()
        # One of its own: several iterations may wait for one reader.
        descriptor = os.dup(self._reader.fileno())
        loop.add_reader(descriptor, _tell, news)
        try:
            await news
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
