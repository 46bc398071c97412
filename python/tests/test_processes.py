"""Several processes: start methods, forks, kills."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
from conftest import LIMIT, until

import pyshmx

CAMERA = """
import sys, time, pyshmx, numpy as np
pub = pyshmx.Publisher(sys.argv[1], {"a": ("u32", (30_000,)), "t": "u64"}, slots=8)
print("up")
n = 0
while True:
    n += 1
    try:
        with pub.frame(time=n) as f:
            f["a"][:] = n
            f["t"] = n
    except pyshmx.NoFreeSlot:
        pass
    time.sleep(0.0005)
"""

VIEWER = """
import sys, pyshmx
reader = pyshmx.Reader(sys.argv[1], wait=60)
held = []
for frame in reader:
    a = frame["a"]
    assert (a == frame["t"]).all()
    held = [*held[-2:], a]
    if frame.id % 10 == 0:
        print(frame.id)
"""


def test_frames_between_two_processes(name, spawn):
    camera = spawn(CAMERA, name)
    assert camera.line() == "up"
    with pyshmx.Reader(name) as reader:
        for _ in range(200):
            with reader.wait(LIMIT) as frame:
                assert (frame["a"] == frame["t"]).all()
        assert reader.stats.rejected == 0
    camera.kill()
    assert pyshmx.remove(name)


def test_a_server_that_is_killed_leaves_views_whole(name, spawn):
    camera = spawn(CAMERA, name)
    assert camera.line() == "up"
    reader = pyshmx.Reader(name)
    frame = reader.wait(LIMIT)
    view = frame["a"]
    number = frame["t"]
    camera.kill()
    with pytest.raises(pyshmx.ServerGone) as caught:
        while True:
            reader.next(LIMIT)
    assert caught.value.end == "died"
    assert list(reader) == []
    assert (view == number).all()
    # A successor takes the name, in a region of its own.
    with pyshmx.Publisher(name, {"a": ("u32", (30_000,))}) as pub, pyshmx.Reader(name) as other:
        pub.publish({"a": np.zeros(30_000, np.uint32)})
        assert (other.wait(5)["a"] == 0).all()
    assert (view == number).all()


def test_readers_that_are_killed_give_their_slots_back(name, spawn):
    with pyshmx.Publisher(name, {"a": ("u32", (30_000,)), "t": "u64"}, slots=6, readers=2) as pub:
        n = 0
        for _ in range(4):
            viewers = [spawn(VIEWER, name) for _ in range(2)]
            up: set[int] = set()

            def publish(of: int = 1) -> bool:
                nonlocal n
                for _ in range(of):
                    try:
                        n = pub.publish({"a": np.full(30_000, n + 1, np.uint32), "t": n + 1})
                    except pyshmx.NoFreeSlot:
                        return False
                return True

            def both_hold(up: set[int], pids: set[int]) -> bool:
                publish()
                up.update(r.pid for r in pub.readers if r.in_use and r.leased)
                return pids <= up

            pids = {v.popen.pid for v in viewers}
            until(lambda up=up, pids=pids: both_hold(up, pids), "two readers with leases")
            for viewer in viewers:
                viewer.kill()
            until(lambda: publish(20) and all(not r.leased for r in pub.readers), "slots of the dead")
        until(lambda: publish() and pub.readers_connected == 0)


def child_reads(reader: pyshmx.Reader, results) -> None:
    results.put([reader.next(LIMIT)["t"] for _ in range(3)])


def child_publishes(name: str, ready, go) -> None:
    with pyshmx.Publisher(name, {"t": "u64"}) as pub:
        ready.set()
        assert go.wait(LIMIT)
        for t in range(3):
            pub.publish({"t": t})


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_start_methods(name, method):
    context = multiprocessing.get_context(method)
    results = context.Queue()
    with pyshmx.Publisher(name, {"t": "u64"}) as pub, pyshmx.Reader(name) as reader:
        process = context.Process(target=child_reads, args=(reader, results))
        process.start()
        until(lambda: pub.readers_connected == 2, "a reader in the child")
        for t in range(3):
            pub.publish({"t": t})
        assert results.get(timeout=LIMIT) == [0, 1, 2]
        process.join(LIMIT)
        assert process.exitcode == 0
        with pytest.raises(TypeError, match="cannot be pickled"):
            context.Process(target=child_reads, args=(pub, results)).start()
    ready, go = context.Event(), context.Event()
    process = context.Process(target=child_publishes, args=(name, ready, go))
    process.start()
    assert ready.wait(LIMIT)
    reader = pyshmx.Reader(name)
    go.set()
    assert [f["t"] for f in reader.every()] == [0, 1, 2]
    process.join(LIMIT)
    assert process.exitcode == 0
    results.close()
    results.join_thread()


def forked(f) -> int:
    """Runs `f` in a forked child; its exit status."""
    with warnings.catch_warnings():
        # That there are other threads is known, and the child does nothing that could hang on them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            f()
            status = 0
        except BaseException as e:
            print("in the child:", repr(e), file=sys.stderr)
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_forked_child_has_no_part_in_what_it_inherits(name):
    with pyshmx.Publisher(name, {"t": "u64", "a": ("u8", (10_000,))}) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"t": 1, "a": bytes(10_000)})
        frame = reader.wait(5)
        view = frame["a"]
        f = pub.frame()
        f["t"] = 2

        def child() -> None:
            for use in (
                lambda: pub.publish({"t": 9}),
                lambda: pub.frame(),
                lambda: f.publish(),
                lambda: reader.latest(),
                lambda: reader.wait(1),
                lambda: reader.send(0x3000, b"x"),
            ):
                with pytest.raises(pyshmx.Forked):
                    use()
            # Nor does dropping or closing it do anything.
            nonlocal_drop()
            # One of its own works.
            with pyshmx.Reader(name) as own:
                assert own.latest()["t"] == 1

        def nonlocal_drop() -> None:
            pub.close()
            reader.close()
            gc.collect()

        assert forked(child) == 0
        assert pub.readers_connected == 1
        assert sum(r.leased for r in pub.readers) == 1
        assert (view == 0).all()
        assert f.publish() == 2
        assert reader.wait(5)["t"] == 2
        assert pub.messages() == []


def test_a_fork_amid_a_wait_of_another_thread(name):
    """The lock that the other thread has at the fork stays locked in the child."""
    with pyshmx.Publisher(name, {"t": "u64"}) as pub:
        reader, tap = pyshmx.Reader(name), pyshmx.tap(name)
        threads = [threading.Thread(target=f) for f in (reader.wait, tap.next)]
        for thread in threads:
            thread.start()

        def child() -> None:
            # What is only known to the reader itself can be had where the lock was free.
            with contextlib.suppress(pyshmx.Forked):
                assert reader.stats.delivered == 0
            assert list(reader.streams) == ["t"]
            for use in (reader.latest, reader.wait, reader.try_next, lambda: reader.send(0x3000)):
                with pytest.raises(pyshmx.Forked):
                    use()
            reader.close()
            tap.close()

        assert [forked(child) for _ in range(5)] == [0] * 5
        pub.publish({"t": 1})
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive()


def test_a_fork_amid_a_copy_of_the_drop_in(name):
    """As before: the child gets an answer, whatever another thread was doing at the fork."""
    import pyshmx.compat as shmx

    server, client = shmx.Server(), shmx.Client()
    assert server.create(name, 3, 4, 4096, 20_000_000, 4096, [shmx.create_stream_spec(1, "a", shmx.DT_U8, 1, 1)])
    assert client.open(name)
    handle = server.begin_frame()
    assert server.append_stream(handle, 1, bytes(19_000_000), 19_000_000)
    assert server.publish_frame(handle, 0)
    stop = threading.Event()

    def copies() -> None:
        data = bytes(19_000_000)
        while not stop.is_set():
            client.get_latest_frame()
            server.append_stream(handles[0], 1, data, len(data))
            handles[0] = server.begin_frame()

    handles = [server.begin_frame()]
    thread = threading.Thread(target=copies)
    thread.start()

    def child() -> None:
        # Of a lock that nobody will give back.
        signal.alarm(int(LIMIT))
        assert client.get_latest_frame() is None
        assert client.send_control(0x3000, b"x") is False
        server.append_stream(handles[0], 1, b"x", 1)
        assert server.publish_frame(handles[0], 0) is False
        client.close()
        server.destroy()

    try:
        assert [forked(child) for _ in range(10)] == [0] * 10
    finally:
        stop.set()
        thread.join(LIMIT)
    assert client.get_latest_frame() is not None


def test_a_child_of_fork_opens_its_own(name):
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def child() -> None:
        with pyshmx.Reader(name) as reader:
            results.put([reader.next(LIMIT)["t"] for _ in range(2)])

    with pyshmx.Publisher(name, {"t": "u64"}) as pub:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            process = context.Process(target=child)
            process.start()
        until(lambda: pub.readers_connected == 1)
        for t in range(2):
            pub.publish({"t": t})
        assert results.get(timeout=LIMIT) == [0, 1]
        process.join(LIMIT)
    results.close()
    results.join_thread()


def test_the_resource_tracker_has_nothing_to_say(name, spawn):
    """`multiprocessing.shared_memory` removes what it only attached to; nothing of ours is known to it."""
    with pyshmx.Publisher(name, {"t": "u64"}) as pub:
        process = spawn(
            """
            import sys, multiprocessing, pyshmx
            from multiprocessing import resource_tracker
            resource_tracker.ensure_running()
            reader = pyshmx.Reader(sys.argv[1])
            print("up")
            input()
            """,
            name,
        )
        assert process.line() == "up"
        process.popen.send_signal(signal.SIGKILL)
        process.kill()
        assert os.path.exists(f"/dev/shm/{name}")
        pub.publish({"t": 1})
        assert pyshmx.Reader(name).latest()["t"] == 1


def test_an_interpreter_ends_with_everything_open(spawn):
    process = spawn(
        """
        import os, threading, pyshmx
        name = f"shmx-py-{os.getpid()}-end"
        pub = pyshmx.Publisher(name, {"a": ("u8", (10_000,))})
        reader = pyshmx.Reader(name)
        pub.publish({"a": bytes(10_000)})
        frame = reader.wait(5)
        view = frame["a"]
        f = pub.frame()
        room = f["a"]
        threading.Thread(target=reader.wait, daemon=True).start()
        print(name)
        """
    )
    name = process.line()
    assert process.end() == 0
    # A daemon thread may keep the reader; the publisher is in nobody's hands any more.
    if os.path.exists(f"/dev/shm/{name}"):
        assert pyshmx.remove(name)


@pytest.mark.parametrize("first", ["main", "sub"])
def test_subinterpreters_are_refused(spawn, first):
    """Whoever asks first, and also where the memory of one that has ended is used again."""
    process = spawn(
        """
        import sys, textwrap
        if sys.argv[1] == "main":
            import pyshmx
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        code = textwrap.dedent('''
        import os
        try:
            import pyshmx
            said = "taken"
        except ImportError as e:
            said = f"refused: {e}"
        os.write(1, (said + chr(10)).encode())
        ''')
        for kind in ({}, {"isolated": False}, {}, {}):
            try:
                other = interpreters.create(**kind)
            except TypeError:
                other = interpreters.create("legacy")
            interpreters.run_string(other, code)
            interpreters.destroy(other)
        import pyshmx
        print("main:", pyshmx.now_ticks() > 0)
        """,
        first,
    )
    for _ in range(4):
        line = process.line()
        assert line.startswith("refused: pyshmx works in one interpreter"), line
    assert process.line() == "main: True"
    assert process.end() == 0
