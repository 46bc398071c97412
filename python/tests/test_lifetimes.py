"""What keeps what: arrays, frames, readers, publishers, under collection and closing."""

from __future__ import annotations

import gc
import pickle
import random
import sys
import weakref

import numpy as np
import pytest

import pyshmx

LARGE = {"a": ("u8", (100_000,))}


def filled(n: int) -> np.ndarray:
    return np.full(100_000, n, np.uint8)


def leased(pub: pyshmx.Publisher) -> int:
    return sum(r.leased for r in pub.readers)


def test_a_view_outlives_frame_reader_and_publisher(name):
    pub = pyshmx.Publisher(name, LARGE)
    reader = pyshmx.Reader(name)
    pub.publish({"a": filled(7)})
    frame = reader.wait(5)
    view = frame["a"]
    assert leased(pub) == 1
    reader.close()
    del reader, frame
    gc.collect()
    assert leased(pub) == 1, "the view keeps the slot, and the reader's own"
    for n in range(20):
        pub.publish({"a": filled(n)})
    assert (view == 7).all()
    part = view[1000:2000:3]
    memory = memoryview(view)
    del view
    gc.collect()
    assert leased(pub) == 1, "a slice of a view is a view"
    del part
    assert leased(pub) == 1, "and so is a memoryview"
    pub.close()
    del pub
    gc.collect()
    assert bytes(memory) == b"\x07" * 100_000


def test_the_last_views_death_frees_the_slot(name):
    with pyshmx.Publisher(name, LARGE, slots=4) as pub, pyshmx.Reader(name, copy=False) as reader:
        held = []
        for n in range(3):
            pub.publish({"a": filled(n)})
            held.append(reader.wait(5)["a"])
        assert leased(pub) == 3
        pub.publish({"a": filled(3)})
        held.append(reader.wait(5)["a"])
        with pytest.raises(pyshmx.NoFreeSlot) as caught:
            pub.publish({"a": filled(4)})
        error = caught.value
        assert (error.leased, error.writing) == (4, 0)
        assert error.holders[0]["leased"] == 4
        assert error.holders[0]["pid"] == __import__("os").getpid()
        assert error.holders[0]["index"] == reader.index
        assert [(h == n).all() for n, h in enumerate(held)] == [True] * 4
        del held[1]
        assert leased(pub) == 3
        pub.publish({"a": filled(5)})
        assert (reader.wait(5)["a"] == 5).all()


def test_a_frame_with_live_views_is_not_released(name):
    with pyshmx.Publisher(name, LARGE) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": filled(1)})
        with pytest.raises(pyshmx.ViewsAlive, match="1 of its arrays are in use"):
            with reader.wait(5) as frame:
                view = frame["a"]
        # The frame still has it.
        assert (frame["a"] == 1).all()
        del view
        frame.release()
        assert leased(pub) == 0


def test_an_error_in_the_block_is_the_one_that_counts(name):
    with pyshmx.Publisher(name, LARGE) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": filled(1)})

        def fails() -> None:
            with reader.wait(5) as frame:
                view = frame["a"]
                raise ZeroDivisionError(view[0])

        with pytest.raises(ZeroDivisionError) as caught:
            fails()
        assert leased(pub) == 1, "the traceback has the array"
        del caught
        gc.collect()
        assert leased(pub) == 0

        def fails_too() -> None:
            with pub.frame() as f:
                room = f["a"]
                raise ZeroDivisionError(room[0])

        with pytest.raises(ZeroDivisionError):
            fails_too()


def test_a_frame_with_live_room_is_not_published(name):
    with pyshmx.Publisher(name, LARGE) as pub, pyshmx.Reader(name) as reader:
        f = pub.frame()
        room = f["a"]
        room[:] = 1
        with pytest.raises(BufferError, match="could change it afterwards"):
            f.publish()
        assert pub.published == 0
        part = room[5:10]
        del room
        with pytest.raises(BufferError):
            f.publish()
        del part
        assert f.publish() == 1
        assert (reader.wait(5)["a"] == 1).all()
        # At the end of a block the frame is abandoned, and its slot goes with the array.
        with pytest.raises(BufferError):
            with pub.frame() as f:
                room = f["a"]
        for n in range(20):
            pub.publish({"a": filled(n)})
            room[:] = 99
            assert (reader.wait(5)["a"] == n).all()


def test_a_publisher_closes_while_frames_are_open(name):
    pub = pyshmx.Publisher(name, LARGE)
    reader = pyshmx.Reader(name)
    f = pub.frame()
    room = f["a"]
    pub.close()
    pub.close()
    assert reader.server_end == "closed"
    with pytest.raises(FileNotFoundError):
        pyshmx.Reader(name)
    room[:] = 5
    with pyshmx.Publisher(name, LARGE):
        del f, room, pub
        gc.collect()
        assert pyshmx.Reader(name).server_end is None


def test_arrays_are_read_only(name):
    with pyshmx.Publisher(name, LARGE) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": filled(1)})
        view = reader.wait(5)["a"]
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 2
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
        assert memoryview(view).readonly
        with pytest.raises(TypeError):
            memoryview(view)[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            view[2:5].flags.writeable = True


def test_frames_are_copied_where_leases_would_starve_the_producer(name):
    with pyshmx.Publisher(name, LARGE, slots=4) as pub:
        readers = [pyshmx.Reader(name) for _ in range(3)]
        held = []
        for n in range(10):
            pub.publish({"a": filled(n)})
            held.append([r.wait(5) for r in readers])
        assert sum(r.stats.copied_for_room for r in readers) > 0
        assert all((f["a"] == n).all() for n, frames in enumerate(held) for f in frames)


def test_copies_keep_no_slot(name):
    with pyshmx.Publisher(name, LARGE, slots=4) as pub:
        by_option = pyshmx.Reader(name, copy=True)
        by_call = pyshmx.Reader(name, copy=False)
        held = []
        for n in range(10):
            pub.publish({"a": filled(n)})
            held.append((by_option.wait(5), by_call.wait(5, copy=True)))
            assert leased(pub) == 0
        for n, frames in enumerate(held):
            assert not any(f.leased for f in frames)
            assert all((f["a"] == n).all() for f in frames)
        assert by_call.latest(copy=True).id == by_call.latest().id == 10


def test_counts_and_collection(name):
    """References neither leak nor are given back twice."""
    with pyshmx.Publisher(name, LARGE | {"t": "u64"}) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": filled(1), "t": 1})

        def work() -> None:
            frame = reader.latest()
            views = [frame["a"] for _ in range(3)]
            parts = [v[10:] for v in views]
            assert frame["t"] == 1
            assert [p[0] for p in parts] == [1, 1, 1]
            with pub.frame() as f:
                f["t"] = 1
                f["a"] = filled(1)
                f.abandon()

        work()
        gc.collect()
        before = sys.getrefcount(reader), sys.getrefcount(pub), len(gc.get_objects())
        for _ in range(300):
            work()
        gc.collect()
        assert (sys.getrefcount(reader), sys.getrefcount(pub)) == before[:2]
        assert len(gc.get_objects()) < before[2] + 100
        assert leased(pub) == 0


def test_objects_die_when_nobody_has_them(name):
    pub = pyshmx.Publisher(name, LARGE)
    reader = pyshmx.Reader(name)
    pub.publish({"a": filled(1)})
    frame = reader.wait(5)
    f = pub.frame()
    dead = [weakref.ref(o) for o in (pub, reader, frame, f, frame["a"].base)]
    assert dead.pop()() is None
    frames = reader.newest()
    del pub, reader, frame, f
    gc.collect()
    assert [d() is None for d in dead] == [True, False, True, True], "an iterator keeps its reader"
    del frames
    gc.collect()
    assert all(d() is None for d in dead)


def test_finalizers_may_use_what_is_in_use(name, spawn):
    """An error is made in a call; making it collects garbage, whose finalizer uses the same object."""
    process = spawn(
        """
        import gc, sys, pyshmx
        import pyshmx.compat as shmx

        class Garbage:
            def __init__(self):
                self.cycle = self
            def __del__(self):
                frame.released, repr(f), client.get_streams_info(), reader.closed

        with pyshmx.Publisher(sys.argv[1], {"a": ("u8", (100_000,))}) as pub, pyshmx.Reader(sys.argv[1]) as reader:
            pub.publish({"a": bytes(100_000)})
            frame, f, client = reader.wait(5), pub.frame(), shmx.Client()
            held = frame["a"], f["a"]
            done = reader.latest()
            done.release()
            gc.set_threshold(1)
            for _ in range(100):
                for use in (frame.release, f.publish, done.keys, lambda: client.open("shmx-py-nobody")):
                    Garbage()
                    try:
                        use()
                    except pyshmx.Error:
                        pass
            gc.set_threshold(700)
            print("good")
            f.abandon()
        """,
        name,
    )
    assert process.line() == "good"
    assert process.end() == 0


def test_frames_in_cycles_are_collected(name):
    with pyshmx.Publisher(name, LARGE) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": filled(1)})
        for _ in range(20):
            cycle: list = [reader.latest()]
            cycle.append(cycle)
            cycle.append(cycle[0]["a"])
            del cycle
        gc.collect()
        assert leased(pub) == 0


def test_random_lives(name):
    """Objects made and dropped in any order, with a collection now and then: what they show never changes."""
    rng = random.Random(5)
    with pyshmx.Publisher(name, LARGE, slots=6) as pub:
        readers = [pyshmx.Reader(name, copy=c) for c in (None, True, None)]
        held: list = []
        newest = 0
        delivered = 0
        for step in range(1500):
            action = rng.randrange(6)
            if action < 2:
                try:
                    newest = pub.publish({"a": filled((newest + 1) % 251)})
                except pyshmx.NoFreeSlot:
                    held.clear()
            elif action < 4 and newest:
                i = rng.randrange(len(readers))
                frame = readers[i].latest()
                if frame is not None:
                    delivered += 1
                    held.append((frame.id, frame["a"][rng.randrange(50_000) :]))
            elif action == 4 and held:
                held.pop(rng.randrange(len(held)))
            else:
                i = rng.randrange(len(readers))
                readers[i].close()
                readers[i] = pyshmx.Reader(name, copy=rng.choice([None, True]))
            if step % 100 == 0:
                gc.collect()
            for number, view in held[-3:]:
                assert (view == number % 251).all()
        assert delivered > 100
        assert newest > 100


def test_readers_pickle_as_open_again(name):
    with pyshmx.Publisher(name, {"t": "u64"}) as pub:
        reader = pyshmx.Reader(name, start="oldest", copy=True, reconnect=True)
        again = pickle.loads(pickle.dumps(reader))
        assert again is not reader
        assert again.name == name
        assert again.index != reader.index
        pub.publish({"t": 3})
        assert again.wait(5)["t"] == 3
        with pytest.raises(TypeError, match="a region has one producer"):
            pickle.dumps(pub)
        with pytest.raises(TypeError, match="send a copy"):
            pickle.dumps(again.latest())
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickle.dumps(reader))


def test_nothing_can_be_made_by_hand():
    for cls in (pyshmx.Frame, pyshmx.FrameWriter, pyshmx.View, pyshmx.Message, pyshmx.StreamInfo, pyshmx.Frames):
        with pytest.raises(TypeError):
            cls()
