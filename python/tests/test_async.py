"""asyncio."""

from __future__ import annotations

import asyncio
import select

import pytest
from conftest import LIMIT

import pyshmx


def run(main) -> None:
    async def limited() -> None:
        await asyncio.wait_for(main, LIMIT)

    asyncio.run(limited())


def test_frames_come_without_blocking_the_loop(name):
    async def main() -> None:
        with pyshmx.Publisher(name, {"t": "u64"}, slots=16) as pub:
            async with pyshmx.Reader(name) as reader:
                turns = 0

                async def others() -> None:
                    nonlocal turns
                    while True:
                        turns += 1
                        await asyncio.sleep(0.001)

                async def produce() -> None:
                    for t in range(5):
                        await asyncio.sleep(0.01)
                        pub.publish({"t": t})
                    await asyncio.sleep(0.01)
                    pub.close()

                beside = asyncio.create_task(others())
                producing = asyncio.create_task(produce())
                assert [frame["t"] async for frame in reader.every()] == [0, 1, 2, 3, 4]
                await producing
                beside.cancel()
                assert turns > 5
            assert reader.closed

    run(main())


def test_the_newest_frames(name):
    async def main() -> None:
        with pyshmx.Publisher(name, {"t": "u64"}) as pub:
            reader = await pyshmx.open_reader(name)
            frames = aiter(reader.newest())
            for t in range(10):
                pub.publish({"t": t})
            assert (await anext(frames))["t"] == 9
            late = asyncio.create_task(anext(frames))
            await asyncio.sleep(0.01)
            pub.publish({"t": 10})
            assert (await late)["t"] == 10
            pub.close()
            with pytest.raises(StopAsyncIteration):
                await anext(frames)
            reader.close()

    run(main())


def test_a_cancelled_wait_loses_no_frame(name):
    async def main() -> None:
        with pyshmx.Publisher(name, {"t": "u64"}) as pub, pyshmx.Reader(name) as reader:
            frames = aiter(reader.every())
            for t in range(20):
                waiting = asyncio.create_task(anext(frames))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                pub.publish({"t": t})
                assert (await anext(frames))["t"] == t
            assert reader.stats.missed == 0

    run(main())


def test_timeouts_and_late_servers(name):
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await pyshmx.open_reader(name, wait=0.02)
        opening = asyncio.create_task(pyshmx.open_reader(name, wait=LIMIT))
        await asyncio.sleep(0.02)
        with pyshmx.Publisher(name, {"t": "u64"}):
            reader = await opening
            with pytest.raises(TimeoutError):
                async for _ in reader.newest(timeout=0.02):
                    pass
            reader.close()

    run(main())


def test_several_readers_at_once(name):
    async def main() -> None:
        names = [f"{name}-{i}" for i in range(4)]
        pubs = [pyshmx.Publisher(n, {"t": "u64"}, slots=16) for n in names]

        async def read(n: str) -> list[int]:
            async with pyshmx.Reader(n) as reader:
                return [frame["t"] async for frame in reader.every()]

        tasks = [asyncio.create_task(read(n)) for n in names]
        for pub in pubs:
            while pub.readers_connected == 0:
                await asyncio.sleep(0.001)
        for t in range(5):
            for pub in pubs:
                pub.publish({"t": t})
            await asyncio.sleep(0.002)
        for pub in pubs:
            pub.close()
        assert await asyncio.gather(*tasks) == [[0, 1, 2, 3, 4]] * 4

    run(main())


def test_a_descriptor_for_other_loops(name):
    with pyshmx.Publisher(name, {"t": "u64"}) as pub, pyshmx.Reader(name) as reader:
        descriptor = reader.fileno()
        assert reader.fileno() == descriptor
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        for t in range(5):
            while reader.try_next() is not None:
                pass
            pub.publish({"t": t})
            # It may be readable without news, and is not unreadable for long with some.
            while (frame := reader.try_next()) is None:
                assert poll.poll(LIMIT * 1000)
            assert frame["t"] == t
