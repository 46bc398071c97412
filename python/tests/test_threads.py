"""Threads, waits and signals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import LIMIT, until

import pyshmx
import pyshmx.compat as shmx


@pytest.fixture
def ran_during() -> Iterator[Callable[[Callable[[], object]], bool]]:
    """Whether a thread that counts got on during a call."""
    stop = threading.Event()
    ticks = 0

    def count() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0)

    def ran_during(what: Callable[[], object]) -> bool:
        before = ticks
        what()
        return ticks > before + 1

    counter = threading.Thread(target=count)
    counter.start()
    try:
        until(lambda: ticks)
        yield ran_during
    finally:
        stop.set()
        counter.join(LIMIT)


def test_other_threads_run_during_waits_and_copies(name, ran_during):
    """Copies of 50 MB and a wait."""
    big = np.zeros(50_000_000, np.uint8)
    with pyshmx.Publisher(name, {"a": ("u8", big.shape)}, slots=3) as pub, pyshmx.Reader(name, copy=True) as reader:

        def wait() -> None:
            with pytest.raises(TimeoutError):
                reader.next(0.1)

        # Once is enough: whether the system lets the other thread run during one copy is its own affair.
        until(lambda: ran_during(lambda: pub.publish({"a": big})), "a copy without the lock")
        until(lambda: ran_during(reader.latest), "a copy out without the lock")
        while reader.try_next() is not None:
            pass
        until(lambda: ran_during(wait), "a wait without the lock")


def test_other_threads_run_during_copies_of_the_drop_in(name, ran_during):
    data = bytes(50_000_000)
    server, client = shmx.Server(), shmx.Client()
    assert server.create(name, frame_bytes_cap=len(data) + 64)
    assert client.open(name)
    handle = None

    def append() -> None:
        nonlocal handle
        handle = server.begin_frame()
        assert server.append_stream(handle, 1, data, len(data))

    until(lambda: ran_during(append), "a copy without the lock")
    assert server.publish_frame(handle, 0)
    until(lambda: ran_during(client.get_latest_frame), "a copy out without the lock")
    client.close()
    server.destroy()


def test_a_reader_in_a_wait_does_not_keep_others_from_it(name):
    with pyshmx.Publisher(name, {"t": "u64"}) as pub:
        reader = pyshmx.Reader(name)
        taken = []
        waiting = threading.Thread(target=lambda: taken.append(reader.wait(LIMIT)))
        waiting.start()
        for _ in range(20):
            assert reader.stats.delivered == 0
            assert reader.latest() is None
            reader.send(0x3000, b"x")
        pub.publish({"t": 1})
        waiting.join(LIMIT)
        assert taken[0]["t"] == 1


def until_asleep(thread: threading.Thread) -> None:
    """Until a thread is in its wait: that wakes every 20 ms, and nothing before it sleeps as often."""
    status = Path(f"/proc/self/task/{thread.native_id}/status")

    def sleeps() -> int:
        line = next(x for x in status.read_text().splitlines() if x.startswith("voluntary_ctxt_switches"))
        return int(line.split()[1])

    until(lambda: sleeps() > 10, "the thread's wait")


def test_closing_ends_a_wait_of_another_thread(name):
    with pyshmx.Publisher(name, {"t": "u64"}):
        reader = pyshmx.Reader(name)
        errors = []

        def wait() -> None:
            try:
                reader.wait()
            except pyshmx.Closed as e:
                errors.append(e)

        waiting = threading.Thread(target=wait)
        waiting.start()
        until_asleep(waiting)
        reader.close()
        waiting.join(LIMIT)
        assert len(errors) == 1


@pytest.mark.parametrize("what", ["messages", "frame", "taken", "tap"])
def test_closing_ends_other_waits_too(name, what):
    with pyshmx.Publisher(name, {"t": "u64"}, slots=2) as pub, pyshmx.tap(name) as tap:
        reader = pyshmx.Reader(name, every_frame=True)
        for t in range(2):
            pub.publish({"t": t})
        while tap.try_next() is not None:
            pass
        wait = {
            "messages": lambda: pub.messages(wait=10 * LIMIT),
            "frame": lambda: pub.frame(wait=10 * LIMIT),
            "taken": lambda: pub.wait_taken(2),
            "tap": tap.next,
        }[what]
        errors = []

        def run() -> None:
            try:
                wait()
            except pyshmx.Error as e:
                errors.append(e)

        # A daemon: a wait that does not end must not keep the tests from ending.
        waiting = threading.Thread(target=run, daemon=True)
        waiting.start()
        until_asleep(waiting)
        (tap if what == "tap" else pub).close()
        waiting.join(LIMIT)
        assert [type(e) for e in errors] == [pyshmx.Closed]
        reader.close()


def test_no_readers_are_no_wait():
    with pytest.raises(ValueError, match="no readers"):
        pyshmx.wait([])


def test_many_threads_publish_and_read(name):
    """Each frame is whole, and each goes to one of the threads that share a reader."""
    each = 300
    with pyshmx.Publisher(name, {"who": "u32", "n": "u32", "a": ("u32", (5000,))}, slots=64) as pub:
        shared = pyshmx.Reader(name, copy=True)
        own = [pyshmx.Reader(name) for _ in range(2)]
        seen: list[tuple[int, int]] = []
        failures: list[BaseException] = []
        done = threading.Event()

        def produce(who: int) -> None:
            for n in range(each):
                while True:
                    try:
                        with pub.frame(time=n) as f:
                            f["who"], f["n"] = who, n
                            f["a"][:] = who * each + n
                        break
                    except pyshmx.NoFreeSlot:
                        time.sleep(0)

        def check(frame: pyshmx.Frame) -> tuple[int, int]:
            who, n = frame["who"], frame["n"]
            assert (frame["a"] == who * each + n).all()
            return who, n

        def read(reader: pyshmx.Reader, into: list) -> None:
            while True:
                # Asked before: what is published until then is taken.
                last = done.is_set()
                try:
                    frame = reader.next(0.01)
                except TimeoutError:
                    if last:
                        return
                    continue
                into.append(check(frame))

        def guarded(f, *args) -> threading.Thread:
            def run() -> None:
                try:
                    f(*args)
                except BaseException as e:
                    failures.append(e)

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        readers = [guarded(read, shared, seen) for _ in range(2)]
        others = [guarded(read, r, []) for r in own]
        producers = [guarded(produce, who) for who in range(3)]
        for thread in producers:
            thread.join(LIMIT)
        done.set()
        for thread in readers + others:
            thread.join(LIMIT)
        assert failures == []
        assert pub.published == 3 * each
        assert len(seen) == len(set(seen)), "no frame goes to both"
        assert len(seen) + shared.stats.missed == 3 * each
        # What lies in the ring at the end is taken in any case.
        assert seen


def test_two_threads_fill_one_frame(name):
    with pyshmx.Publisher(name, {"a": ("u8", (3_000_000,)), "b": ("u8", (3_000_000,))}) as pub:
        reader = pyshmx.Reader(name)
        for n in range(20):
            f = pub.frame()
            threads = [
                threading.Thread(target=f.__setitem__, args=(k, np.full(3_000_000, n + i, np.uint8)))
                for i, k in enumerate("ab")
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT)
            f.publish()
            with reader.wait(5) as frame:
                assert (frame["a"] == n).all()
                assert (frame["b"] == n + 1).all()


WAITS = {
    "wait": "reader.wait()",
    "next": "reader.next()",
    "for": "[f for f in reader]",
    "every": "[f for f in reader.every(timeout=1000)]",
    "tap": "pyshmx.tap(name).next()",
    "tap-wait": "pyshmx.tap(name).wait(1000)",
    "tap-for": "[f for f in pyshmx.tap(name)]",
    "taken": "lossless().wait_taken(2)",
    "free-slot": "lossless().frame(wait=1000)",
    "open": "pyshmx.Reader('shmx-py-nobody', wait=1000)",
    "several": "pyshmx.wait([reader])",
    "follow": "reader.follow()",
    "follow-next": "reader.follow_next(1000)",
    "following": "[g for g in reader.following()]",
    "growing": "growing().wait()",
    "parts": "[p for p in growing().parts('a')]",
    "finish": "growing().finish(1000)",
    "messages": "pyshmx.Publisher(name + '-m', {'t': 'u64'}).messages(wait=1000)",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_control_c_ends_every_wait(name, spawn, wait):
    with pyshmx.Publisher(name, {"t": "u64"}):
        process = spawn(
            f"""
            import pyshmx, signal
            # Of whoever runs in the background it may be ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            name = {name!r}
            reader = pyshmx.Reader(name)

            kept = []

            def lossless():
                pub = pyshmx.Publisher(name + "-l", {{"t": "u64"}}, slots=2)
                kept.append(pyshmx.Reader(name + "-l", every_frame=True))
                pub.publish({{"t": 1}})
                pub.publish({{"t": 2}})
                return pub

            def growing():
                pub = pyshmx.Publisher(name + "-g", {{"a": ("u8", 8)}})
                reader = pyshmx.Reader(name + "-g")
                try:
                    reader.follow(0)
                except pyshmx.Timeout:
                    frame = pub.frame()
                    frame.fill("a").commit(1)
                    found = reader.follow()
                    found.wait()
                    kept.extend([frame, pub])
                    return found

            try:
                print("waiting")
                {wait}
            except KeyboardInterrupt:
                print("interrupted")
            """
        )
        assert process.line() == "waiting"
        # It may come before the wait has begun, and counts all the same.
        process.popen.send_signal(signal.SIGINT)
        assert process.line() == "interrupted"
        assert process.end() == 0


def test_signal_handlers_run_during_a_wait(name):
    with pyshmx.Publisher(name, {"t": "u64"}) as pub, pyshmx.Reader(name) as reader:
        seen = []

        def on_alarm(*_: object) -> None:
            seen.append(1)
            pub.publish({"t": 4})

        before = signal.signal(signal.SIGALRM, on_alarm)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert reader.wait(LIMIT)["t"] == 4
        finally:
            signal.signal(signal.SIGALRM, before)
        assert seen == [1]
