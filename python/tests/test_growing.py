"""Frames that are read while they are written."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import LIMIT, until

import pyshmx

ROWS, COLUMNS = 48, 1000
STREAMS = {
    "depth": ("u16", (4, 5)),
    "image": pyshmx.image(ROWS, COLUMNS, "bgr8"),
    "points": pyshmx.points(max=100),
    "tick": "u64",
    "flags": ("bool", 3),
}


@pytest.fixture
def both(name):
    """A publisher, and a reader that it knows to follow."""
    with pyshmx.Publisher(name, STREAMS, slots=4) as pub, pyshmx.Reader(name, copy=False) as reader:
        with pytest.raises(pyshmx.Timeout):
            reader.follow(0)
        yield pub, reader


def test_rows_come_as_they_are_committed(both):
    pub, reader = both
    with pub.frame(time=1.5) as f:
        f["tick"] = 7
        f["depth"] = np.arange(20, dtype=np.uint16).reshape(4, 5)
        with pytest.raises(pyshmx.Timeout):
            reader.follow(0)
        fill = f.fill("image")
        assert len(fill) == ROWS
        fill.rest[:2] = 1
        fill.commit(2)
        assert (fill.committed, fill.filled) == (2, False)

        growing = reader.follow(LIMIT)
        assert growing.wait(LIMIT)
        first = growing["image"]
        assert first.shape == (2, COLUMNS, 3)
        assert first.dtype == np.uint8
        assert not first.flags.writeable
        assert (first == 1).all()
        assert (growing["depth"] == np.arange(20).reshape(4, 5)).all()
        assert growing["tick"] == 7
        assert growing.keys() == ["tick", "depth", "image"]
        assert growing.progress("image") == (2, ROWS)
        assert growing.progress("points") is None
        assert not growing.whole
        with pytest.raises(pyshmx.Timeout):
            growing.wait(0)
        with pytest.raises(pyshmx.Timeout):
            growing.finish(0.03)
        with pytest.raises(pyshmx.UnknownStream) as caught:
            growing["points"]
        assert caught.value.known == ["tick", "depth", "image"]
        with pytest.raises(KeyError):
            growing["nothing"]

        parts = growing.parts("image", timeout=LIMIT)
        assert next(parts).shape[0] == 2
        fill.write(np.full((3, COLUMNS, 3), 2, np.uint8))
        assert (next(parts) == 2).all()
        fill.write(np.full((COLUMNS, 3), 3, np.uint8))  # one row
        assert next(parts).shape == (1, COLUMNS, 3)
        fill.write(bytes([4]) * (2 * COLUMNS * 3))  # raw
        fill.rest[:] = 5
        fill.commit(ROWS - 8)
        assert fill.filled
        assert [len(rows) for rows in parts] == [ROWS - 6]
        assert (growing["image"][6:8] == 4).all()
        assert (growing["image"][8:] == 5).all()
        assert not growing.whole
    assert not growing.wait(LIMIT)
    assert growing.whole
    with growing.finish(LIMIT) as frame:
        assert (frame.id, frame.time, frame["tick"], frame.leased) == (1, 1.5, 7, True)
        assert frame["image"].shape == (ROWS, COLUMNS, 3)
    with pytest.raises(pyshmx.Closed):
        growing.finish(0)
    assert reader.try_wait() is None
    assert reader.stats.delivered == 1
    assert (first == 1).all()


def test_what_is_final_cannot_be_written(both):
    pub, _ = both
    with pub.frame() as f:
        depth = f["depth"]
        fill = f.fill("image")
        with pytest.raises(pyshmx.ViewsAlive, match="2 arrays"):
            rest = fill.rest
            fill.commit(1)
        del rest
        with pytest.raises(pyshmx.ViewsAlive, match="1 array"):
            fill.commit(1)
        assert fill.committed == 0
        depth[:] = 1
        del depth
        fill.commit(1)
        # Both are final, or being filled.
        for change in (
            lambda: f["depth"],
            lambda: f["image"],
            lambda: f.__setitem__("depth", np.zeros((4, 5), np.uint16)),
            lambda: f.__setitem__("image", np.zeros((ROWS, COLUMNS, 3), np.uint8)),
            lambda: f.fill("image"),
            lambda: f.fill("depth"),
        ):
            with pytest.raises((pyshmx.StreamMismatch, pyshmx.Unfinished)):
                change()
        points = f.reserve("points", 3)  # behind the image, so that it stays open
        fill.commit(1)
        points[:] = 2
        del points
        fill.write(bytes(COLUMNS * 3 * (ROWS - 2)))
        f["points"][:] = 3
        with pytest.raises(pyshmx.StreamMismatch):
            f.reserve("points", 4)
    assert f.id == 1


def test_an_unfinished_stream_is_not_published(both):
    pub, reader = both
    with pytest.raises(pyshmx.Unfinished, match="stream"), pub.frame() as f:
        f.fill("image").commit(1)
    growing = None
    with pytest.raises(ZeroDivisionError), pub.frame() as f:
        f.fill("image").commit(1)
        growing = reader.follow(LIMIT)
        1 / 0
    with pytest.raises(pyshmx.FrameVoid) as caught:
        growing.finish(LIMIT)
    assert caught.value.reason == "abandoned"
    for again in (lambda: growing["image"], lambda: growing.wait(0), lambda: growing.whole, growing.keys):
        with pytest.raises(pyshmx.FrameVoid):
            again()
    assert pub.publish({"tick": 1}) == 1
    assert reader.wait(LIMIT)["tick"] == 1


def test_parts_that_are_refused(both):
    pub, _ = both
    with pub.frame() as f:
        fill = f.fill("image")
        for bad in (
            np.zeros((1, COLUMNS, 4), np.uint8),
            np.zeros((1, COLUMNS, 3), np.int8),
            np.zeros((ROWS + 1, COLUMNS, 3), np.uint8),
            np.zeros(COLUMNS, np.uint8),
            bytes(COLUMNS * 3 + 1),
            bytes(COLUMNS * 3 * (ROWS + 1)),
            "text",
            None,
            7,
            [],
            [[1]],
        ):
            with pytest.raises((pyshmx.StreamMismatch, TypeError)):
                fill.write(bad)
        for bad in (ROWS + 1, 2**63, -1, 1.5, None):
            with pytest.raises((pyshmx.StreamMismatch, OverflowError, TypeError)):
                fill.commit(bad)
        assert fill.committed == 0
        fill.commit(0)
        for key, n in (("tick", None), ("points", None), ("points", 2**62), ("nothing", None), (None, None)):
            with pytest.raises((pyshmx.Error, TypeError)):
                f.fill(key, n)
        f.abandon()
        for over in (lambda: fill.rest, lambda: fill.commit(0), lambda: fill.write(b""), lambda: fill.committed):
            with pytest.raises(pyshmx.Closed):
                over()
        assert "over" in repr(fill)


def test_streams_of_all_kinds_are_filled(name):
    streams = {
        "row": ("f32", 7),
        "points": pyshmx.points(max=100),
        "flags": ("bool", (3,)),
        "padded": pyshmx.image(4, 5, "mono8", row_step=8),
        "fields": pyshmx.stream(np.dtype([("a", "f4"), ("b", "f4")]), shape=(6,)),
        "empty": pyshmx.points(max=100),
    }
    with pyshmx.Publisher(name, streams) as pub, pyshmx.Reader(name) as reader:
        with pytest.raises(pyshmx.Timeout):
            reader.follow(0)
        with pub.frame() as f:
            fill = f.fill("row")
            fill.write([1.0, 2.0])
            fill.write(np.arange(5, dtype=np.float32))
            fill = f.fill("points", 4)
            fill.write([[1.0, 2.0, 3.0]])
            fill.write(np.ones((3, 3), np.float32)[::-1])
            f.fill("flags").write([True, False, True])
            fill = f.fill("padded")
            fill.write(np.full((1, 5), 7, np.uint8))
            fill.rest[:] = 8
            fill.commit(3)
            fill = f.fill("fields")
            fill.write(np.zeros(2, fill.rest.dtype))
            fill.rest["a"] = 4
            fill.rest["b"] = 5
            fill.commit(4)
            assert f.fill("empty", 0).filled
            growing = reader.follow(LIMIT)
            assert growing.wait(LIMIT)
            assert growing["row"].tolist() == [1, 2, 0, 1, 2, 3, 4]
            assert growing["points"].tolist() == [[1, 2, 3], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
            assert growing["flags"].tolist() == [True, False, True]
            assert growing["padded"].tolist() == [[7] * 5] + [[8] * 5] * 3
            assert growing["fields"]["b"].tolist() == [0, 0, 5, 5, 5, 5]
            assert [len(rows) for rows in growing.parts("row")] == [7]
        with growing.finish(LIMIT) as frame:
            assert frame["empty"].shape == (0, 3)
            assert frame["padded"].tolist() == [[7] * 5] + [[8] * 5] * 3


def test_a_reader_that_follows_does_nothing_else(both):
    pub, reader = both
    with pub.frame() as f:
        fill = f.fill("image")
        fill.commit(1)
        growing = reader.follow(LIMIT)
        for other in (
            reader.try_wait,
            lambda: reader.wait(LIMIT),
            lambda: reader.follow(LIMIT),
            lambda: reader.stats,
            lambda: next(reader.following()),
            lambda: next(iter(reader)),
        ):
            with pytest.raises(pyshmx.InUse):
                other()
        reader.send(pyshmx.USER_MESSAGE, b"on the way")
        assert reader.streams.keys() == STREAMS.keys()
        growing.leave()
        growing.leave()
        with pytest.raises(pyshmx.Closed):
            growing.wait(0)
        # The same frame is not taken up again.
        with pytest.raises(pyshmx.Timeout):
            reader.follow(0)
        fill.commit(ROWS - 1)
    with reader.wait(LIMIT) as frame:
        assert frame.id == 1
    # One that is forgotten gives its reader back, too.
    with pub.frame() as f:
        f.fill("image").write(bytes(ROWS * COLUMNS * 3))
        reader.follow(LIMIT)
        gc.collect()
        assert reader.stats.delivered == 1


def test_arrays_hold_the_slot_whatever_becomes_of_the_frame(both):
    pub, reader = both
    kept = []
    for n in range(3):
        frame = pub.frame()
        fill = frame.fill("image")
        fill.write(np.full((2, COLUMNS, 3), n, np.uint8))
        with reader.follow(LIMIT) as growing:
            assert growing.wait(LIMIT)
            kept.append(growing["image"][1:])
            if n == 0:
                frame.abandon()
                del fill, frame
                with pytest.raises(pyshmx.FrameVoid):
                    growing.finish(LIMIT)
            elif n == 1:
                fill.write(bytes((ROWS - 2) * COLUMNS * 3))
                frame.publish()
                growing.finish(LIMIT).release()
            else:
                reader.close()
                with pytest.raises(pyshmx.Closed):
                    growing.wait(LIMIT)
                frame.abandon()
    assert [int(rows[0, 0, 0]) for rows in kept] == [0, 1, 2]
    # One slot is left.
    with pub.frame() as f:
        with pytest.raises(pyshmx.NoFreeSlot) as caught:
            pub.frame()
        assert caught.value.leased == 3
        f["tick"] = 1
    for rows in kept:
        assert (rows == rows[0, 0, 0]).all()
    del kept[:], rows
    for _ in range(8):
        pub.publish({"tick": 2})


def test_in_order_and_to_the_end(name):
    with pyshmx.Publisher(name, {"tick": "u64", "row": ("u8", 4)}) as pub:
        reader = pyshmx.Reader(name)
        every = reader.following(every=True, timeout=LIMIT)
        for tick in range(3):
            pub.publish({"tick": tick, "row": np.zeros(4, np.uint8)})
        for tick in range(3):
            with next(every) as growing:
                assert growing.whole
                assert growing["tick"] == tick
                assert [len(rows) for rows in growing.parts("row")] == [4]
                assert growing.finish()["tick"] == tick
        pub.publish({"tick": 3})
    with next(every) as growing:
        with pytest.raises(pyshmx.UnknownStream):
            next(growing.parts("row"))
        assert growing.finish()["tick"] == 3
    assert list(every) == []
    with pytest.raises(pyshmx.ServerGone):
        reader.follow(LIMIT)


def test_who_cannot_follow_gets_whole_frames(name):
    with pyshmx.Publisher(name, STREAMS) as pub, pyshmx.Reader(name, copy=True) as reader:
        with pytest.raises(pyshmx.Timeout):
            reader.follow(0)
        with pub.frame() as f:
            fill = f.fill("image")
            fill.commit(1)
            with pytest.raises(pyshmx.Timeout):
                reader.follow(0.05)
            fill.write(bytes((ROWS - 1) * COLUMNS * 3))
        growing = reader.follow(LIMIT)
        assert not growing.wait(LIMIT)
        image = growing["image"]
        assert image.shape == (ROWS, COLUMNS, 3)
        frame = growing.finish()
        assert not frame.leased
        assert reader.stats.delivered == 1


def test_a_frame_that_was_waited_for_elsewhere_is_followed_too(name):
    with pyshmx.Publisher(name, {"tick": "u64"}) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"tick": 1})
        assert pyshmx.wait([reader], LIMIT) == [reader]
        with reader.follow(LIMIT) as growing:
            assert growing.finish(LIMIT)["tick"] == 1


def test_damage_is_told(name):
    """A program that ignores the protocol makes a row that was read vanish, and bytes that are no bools."""
    with pyshmx.Publisher(name, {"flags": ("bool", (1000,))}) as pub, pyshmx.Reader(name) as reader:
        with pytest.raises(pyshmx.Timeout):
            reader.follow(0)
        with pub.frame() as f:
            fill = f.fill("flags")
            fill.rest[:10] = True
            fill.commit(10)
            growing = reader.follow(LIMIT)
            parts = growing.parts("flags", timeout=LIMIT)
            assert next(parts).all()
            fill.write(bytes(990))
            region = Path("/dev/shm") / name
            data = region.read_bytes()
            at = data.index(b"\1" * 10)
            with open(region, "r+b") as raw:
                raw.seek(at)
                raw.write(b"\2")
            with pytest.raises(pyshmx.InvalidData):
                growing["flags"]
            with open(region, "r+b") as raw:
                raw.seek(at - 8)  # bytes of the stream
                raw.write((5).to_bytes(4, "little"))
            with pytest.raises(pyshmx.FrameVoid) as caught:
                next(parts)
            assert caught.value.reason == "damaged"
            f.abandon()


CAMERA = """
import sys, pyshmx
pub = pyshmx.Publisher(sys.argv[1], {"image": ("u32", (1000, 64)), "tick": "u64"}, slots=4)
print("up")
for line in sys.stdin:
    rows = int(line)
    if rows < 0:
        f = pub.frame()
        f["tick"] = 1
        fill = f.fill("image")
        print("begun")
    else:
        for _ in range(rows):
            fill.rest[0] = fill.committed
            fill.commit(1)
        if fill.filled:
            f.publish()
        print("done")
"""


@pytest.fixture
def camera(name, spawn):
    camera = spawn(CAMERA, name)
    assert camera.line() == "up"
    reader = pyshmx.Reader(name)
    with pytest.raises(pyshmx.Timeout):
        reader.follow(0)
    camera.tell("-1")
    assert camera.line() == "begun"
    yield camera, reader
    reader.close()
    camera.kill()
    with contextlib.suppress(pyshmx.NotFound):
        pyshmx.remove(name)


def test_a_camera_in_another_process(camera):
    camera, reader = camera
    camera.tell("300")
    growing = reader.follow(LIMIT)
    parts = growing.parts("image", timeout=LIMIT)
    seen = 0
    rows = next(parts)
    camera.tell("700")
    while True:
        assert (rows == np.arange(seen, seen + len(rows), dtype=np.uint32)[:, None]).all()
        seen += len(rows)
        try:
            rows = next(parts)
        except StopIteration:
            break
    assert seen == 1000
    with growing.finish(LIMIT) as frame:
        assert (frame.id, frame["tick"]) == (1, 1)


def test_a_camera_that_is_killed_within_a_frame(camera):
    camera, reader = camera
    camera.tell("300")
    growing = reader.follow(LIMIT)
    assert camera.line() == "done"
    while growing.progress("image") != (300, 1000):
        growing.wait(LIMIT)
    rows = growing["image"]
    parts = growing.parts("image", timeout=LIMIT)
    next(parts)
    camera.kill()
    with pytest.raises(pyshmx.FrameVoid) as caught:
        next(parts)
    assert caught.value.reason == "died"
    assert not isinstance(caught.value, (EOFError, TimeoutError))
    with pytest.raises(pyshmx.FrameVoid):
        growing.finish(LIMIT)
    assert (rows == np.arange(300)[:, None]).all()
    assert list(reader.following()) == []
    # The name can be had, and what was read stays.
    with pyshmx.Publisher(reader.name, {"tick": "u64"}) as pub:
        pub.publish({"tick": 1})
        assert (rows == np.arange(300)[:, None]).all()
    assert pickle.loads(pickle.dumps(caught.value)).reason == "died"


def test_a_publisher_that_leaves_within_a_frame(both):
    pub, reader = both
    frame = pub.frame()
    fill = frame.fill("image")
    fill.commit(1)
    growing = reader.follow(LIMIT)
    assert growing.wait(LIMIT)
    pub.close()
    with pytest.raises(pyshmx.FrameVoid) as caught:
        growing.finish(LIMIT)
    assert caught.value.reason in ("closed", "abandoned")
    del fill, frame


def test_other_threads(both):
    """One waits, another looks on and closes."""
    pub, reader = both
    frame = pub.frame()
    fill = frame.fill("image")
    fill.commit(1)
    growing = reader.follow(LIMIT)
    seen = []
    raised = []

    def read() -> None:
        try:
            for rows in growing.parts("image"):
                seen.append(len(rows))
            growing.wait(LIMIT)
        except pyshmx.Error as e:
            raised.append(e)

    thread = threading.Thread(target=read)
    thread.start()
    until(lambda: seen == [1], "the first row")
    for n in range(1, ROWS):
        fill.commit(1)
        assert growing.progress("image") == (n + 1, ROWS)
        assert growing["image"].shape[0] == n + 1
    until(lambda: sum(seen) == ROWS, "all rows")
    reader.close()
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert [type(e) for e in raised] == [pyshmx.Closed]
    frame.abandon()


def test_a_forked_child_has_no_part_in_it(both):
    pub, reader = both
    frame = pub.frame()
    fill = frame.fill("image")
    fill.rest[:1] = 3
    fill.commit(1)
    growing = reader.follow(LIMIT)
    rows = growing["image"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            errors = 0
            for forked in (lambda: growing.wait(1), lambda: growing["image"], lambda: growing.finish(1), growing.keys):
                try:
                    forked()
                except pyshmx.Forked:
                    errors += 1
            try:
                fill.commit(1)
            except pyshmx.Forked:
                errors += 1
            assert errors == 5
            assert (rows == 3).all()
            growing.leave()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    fill.write(bytes((ROWS - 1) * COLUMNS * 3))
    frame.publish()
    with growing.finish(LIMIT) as whole:
        assert whole.id == 1
    del rows


def test_the_checksum_is_that_of_the_parts(name):
    with pyshmx.Publisher(name, STREAMS, checksum="always") as pub, pyshmx.Reader(name, verify="always") as reader:
        with pytest.raises(pyshmx.Timeout):
            reader.follow(0)
        with pub.frame() as f:
            f["tick"] = 3
            fill = f.fill("image")
            fill.write(np.full((10, COLUMNS, 3), 9, np.uint8))
            growing = reader.follow(LIMIT)
            f["depth"] = np.ones((4, 5), np.uint16)
            fill.write(np.full((ROWS - 10, COLUMNS, 3), 8, np.uint8))
        with growing.finish(LIMIT) as frame:
            assert frame.checksum == "verified"
            assert frame["tick"] == 3
            assert (frame["depth"] == 1).all()


def test_what_is_followed_is_not_pickled(both):
    pub, reader = both
    with pub.frame() as f:
        fill = f.fill("image")
        fill.write(bytes(ROWS * COLUMNS * 3))
        with reader.follow(LIMIT) as growing:
            for thing in (growing, fill, growing.parts("image")):
                with pytest.raises(TypeError):
                    pickle.dumps(thing)
            assert "growing" in repr(growing)
            assert f"{ROWS} of {ROWS}" in repr(fill)


def test_the_example(name):
    example = Path(__file__).parents[1] / "examples/slow_camera.py"
    command = [sys.executable, "-W", "error", str(example), "--name", name, "--frames", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(",")[0] for line in lines[24::25]] == [f"frame {n}" for n in range(3)]
    assert len(lines) == 3 * 25
    assert {len(line) for i, line in enumerate(lines) if i % 25 != 24} == {64}
