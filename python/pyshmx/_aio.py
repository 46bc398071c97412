"""asyncio: frames without blocking the loop.

A frame that is there is taken at once. To wait for one, a thread sleeps on the region's doorbell; it ends when there is
one, or when nobody waits any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from ._errors import NotFound, ServerGone, Timeout

if TYPE_CHECKING:
    from ._native import Frame, Reader

#: How long the thread waits before it asks whether anybody still wants to know.
_SLICE = 0.1


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
        loop = asyncio.get_running_loop()
        news = loop.create_future()
        unwanted = threading.Event()

        def tell(error: BaseException | None) -> None:
            if news.done():
                return
            if error is None:
                news.set_result(None)
            else:
                news.set_exception(error)

        def sleep() -> None:
            error: BaseException | None = None
            try:
                while not unwanted.is_set() and not self._reader._await_news(_SLICE):
                    pass
            except BaseException as e:
                error = e
            # Of a loop that is closed: nobody wants to know.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, error)

        threading.Thread(target=sleep, name=f"pyshmx-{self._reader.name}", daemon=True).start()
        try:
            await news
        finally:
            unwanted.set()
