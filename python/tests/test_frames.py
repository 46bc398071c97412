"""Publishing and reading: values, shapes, order, counts."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import pyshmx


def test_the_newest_frame_is_read_as_arrays(name):
    picture = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    streams = {"image": pyshmx.image(48, 64, "bgr8"), "pose": ("f32", 7), "tick": "u64"}
    with pyshmx.Publisher(name, streams, slots=8) as pub, pyshmx.Reader(name) as cam:
        assert cam.latest() is None
        assert cam.try_wait() is None
        with pub.frame(time=1.5) as f:
            f["image"] = picture
            f["pose"] = np.arange(7, dtype=np.float32)
            f["tick"] = 7
        assert f.id == 1
        with cam.wait(5) as frame:
            assert (frame.id, frame.time, frame.missed) == (1, 1.5, 0)
            assert frame["tick"] == 7
            assert np.array_equal(frame["image"], picture)
            assert frame["image"].shape == (48, 64, 3)
            assert frame["pose"].tolist() == [0, 1, 2, 3, 4, 5, 6]
            assert frame["pose"].dtype == np.float32
            assert frame.leased
            assert 0 <= frame.age < 60
            assert frame.session == pub.session == cam.session
        assert cam.try_wait() is None
        assert cam.latest().id == 1
        assert cam.stats == pyshmx.Reader.stats.__get__(cam)
        assert (cam.stats.delivered, cam.stats.missed) == (1, 0)


def test_arrays_are_filled_in_place(name):
    with pyshmx.Publisher(name, {"image": pyshmx.image(4, 4, "mono8")}) as pub, pyshmx.Reader(name) as cam:
        with pub.frame() as f:
            f["image"][:] = 3
            f["image"][1, 2] = 9
        frame = cam.wait(5)
        assert frame["image"].sum() == 3 * 15 + 9


def test_every_frame_comes_in_order_and_losses_are_counted(name):
    with pyshmx.Publisher(name, {"tick": "u64"}, slots=4) as pub:
        reader = pyshmx.Reader(name)
        for tick in range(3):
            pub.publish({"tick": tick})
        assert [reader.next(5)["tick"] for _ in range(3)] == [0, 1, 2]
        for tick in range(10):
            pub.publish({"tick": tick})
        first = reader.next(5)
        assert first.missed >= 6
        assert reader.stats.missed == first.missed
        with pytest.raises(pyshmx.Timeout) as caught:
            while True:
                reader.next(0)
        assert isinstance(caught.value, TimeoutError)


def test_iteration_ends_with_the_server(name):
    pub = pyshmx.Publisher(name, {"tick": "u64"})
    reader = pyshmx.Reader(name)
    for tick in range(3):
        pub.publish({"tick": tick})
    frames = reader.every()
    assert next(frames)["tick"] == 0
    pub.close()
    assert [frame["tick"] for frame in frames] == [1, 2]
    assert list(reader) == []
    assert reader.server_end == "closed"
    with pytest.raises(pyshmx.ServerGone) as caught:
        reader.wait(5)
    assert caught.value.end == "closed"
    assert isinstance(caught.value, EOFError)
    assert reader.latest()["tick"] == 2


def test_iteration_with_a_timeout(name):
    with pyshmx.Publisher(name, {"tick": "u64"}) as pub:
        frames = pyshmx.Reader(name).newest(timeout=0.01)
        pub.publish({"tick": 1})
        assert next(frames)["tick"] == 1
        with pytest.raises(pyshmx.Timeout):
            next(frames)
        pub.publish({"tick": 2})
        assert next(frames)["tick"] == 2


def test_an_exception_abandons_the_frame(name):
    with pyshmx.Publisher(name, {"tick": "u64"}) as pub, pyshmx.Reader(name) as reader:
        with pytest.raises(ZeroDivisionError):
            with pub.frame() as f:
                f["tick"] = 1
                1 / 0
        assert f.id is None
        assert pub.published == 0
        assert reader.latest() is None
        with pub.frame() as f:
            f["tick"] = 2
            f.abandon()
        assert pub.published == 0
        with pytest.raises(pyshmx.Closed):
            f["tick"] = 3
        with pytest.raises(pyshmx.Closed):
            f.publish()


def test_a_frame_is_a_mapping(name):
    with pyshmx.Publisher(name, {"a": "u8", "b": ("f64", (2,)), "c": "i8"}) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": 1, "b": [1.0, 2.0]})
        frame = reader.wait(5)
        assert frame.keys() == list(frame) == ["a", "b"]
        assert len(frame) == 2
        assert "a" in frame
        assert "c" not in frame
        assert "nonsense" not in frame
        assert dict(frame)["a"] == 1
        assert frame.get("c", 5) == 5
        assert [name for name, _ in frame.items()] == ["a", "b"]
        assert frame[1] == 1
        assert bytes(frame.bytes("b")) == np.array([1.0, 2.0]).tobytes()
        kept = frame.copy()
        assert kept["b"].flags.owndata
        with pytest.raises(pyshmx.UnknownStream, match="frame 1 does not carry stream c; it has a, b") as caught:
            frame["c"]
        assert caught.value.known == ["a", "b"]
        with pytest.raises(KeyError, match="there is no stream 'x'; the region has a, b, c"):
            frame["x"]
        with pytest.raises(TypeError):
            frame[1.5]


def test_rows_may_be_padded(name):
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    padded = pyshmx.image(4, 5, "rgb8", row_step=32)
    assert padded.components == 1
    with pyshmx.Publisher(name, {"image": padded}) as pub, pyshmx.Reader(name) as reader:
        with pub.frame() as f:
            f["image"] = picture
        image = reader.wait(5)["image"]
        assert image.strides == (32, 3, 1)
        assert np.array_equal(image, picture)
        with pub.frame() as f:
            f["image"][:] = picture[::-1]
        assert np.array_equal(reader.wait(5)["image"], picture[::-1])


@pytest.mark.parametrize(
    ("encoding", "shape", "dtype"),
    [
        ("mono8", (4, 6), np.uint8),
        ("rgba8", (4, 6, 4), np.uint8),
        ("16UC1", (4, 6), np.uint16),
        ("32FC3", (4, 6, 3), np.float32),
        ("yuyv", (4, 6, 2), np.uint8),
        ("nv12", (6, 6), np.uint8),
        ("nv24", (12, 6), np.uint8),
        ("bayer_rggb16", (4, 6), np.uint16),
    ],
)
def test_pixel_formats(name, encoding, shape, dtype):
    values = np.random.default_rng(1).integers(0, 200, shape).astype(dtype)
    with pyshmx.Publisher(name, {"image": pyshmx.image(4, 6, encoding)}) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"image": values})
        image = reader.wait(5)["image"]
        assert (image.shape, image.dtype) == (shape, dtype)
        assert np.array_equal(image, values)
        info = reader.streams["image"]
        assert (info.role, info.encoding, info.problems) == ("image", encoding, [])


def test_compressed_images_have_any_length(name):
    with pyshmx.Publisher(name, {"image": pyshmx.image(0, 0, "jpeg", max=1000)}) as pub:
        reader = pyshmx.Reader(name)
        for data in (b"short", b"x" * 1000):
            with pub.frame() as f:
                f["image"] = data
            assert reader.wait(5)["image"].tobytes() == data
        with pytest.raises(pyshmx.FrameFull):
            pub.publish({"image": b"x" * 2000})


def test_a_dimension_may_be_open(name):
    with pyshmx.Publisher(name, {"points": pyshmx.points(100)}) as pub, pyshmx.Reader(name) as reader:
        for n in (0, 1, 100):
            values = np.random.default_rng(n).random((n, 3), dtype=np.float32)
            pub.publish({"points": values})
            found = reader.wait(5)["points"]
            assert found.shape == (n, 3)
            assert np.array_equal(found, values)
        with pub.frame() as f:
            f.reserve("points", 5)[:] = 2
            assert f["points"].shape == (5, 3)
        assert reader.wait(5)["points"].tolist() == [[2, 2, 2]] * 5
        with pub.frame() as f:
            with pytest.raises(ValueError, match="say how much of it this frame has"):
                f["points"]
            with pytest.raises(pyshmx.FrameFull):
                f.reserve("points", 101)
            f["points"] = np.zeros((1, 3), np.float32)
        assert reader.streams["points"].shape == [None, 3]


def test_streams_are_added_and_readers_see_them(name):
    with pyshmx.Publisher(name, {"a": "u8"}, frame_bytes=1000) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": 1})
        assert reader.wait(5).keys() == ["a"]
        pub.add_stream("b", ("f32", 3))
        with pytest.raises(pyshmx.InvalidRegion):
            pub.add_stream("c", pyshmx.stream("u8", id=1))
        pub.publish({"a": 1, "b": [1, 2, 3]})
        frame = reader.wait(5)
        assert frame.keys() == ["a", "b"]
        assert frame["b"].tolist() == [1, 2, 3]
        assert list(reader.streams) == ["a", "b"]
        assert reader.streams["b"].id == 2


def test_many_streams(name):
    streams = {f"s{n}": pyshmx.stream("u16", id=n if n % 3 == 0 else None) for n in range(1, 1500)}
    with pyshmx.Publisher(name, streams) as pub, pyshmx.Reader(name) as reader:
        pub.publish(dict.fromkeys(streams, 7))
        frame = reader.wait(5)
        assert frame.items() == [(s, 7) for s in streams]
        assert {s.id for s in reader.streams.values()} >= set(range(3, 1500, 3))


def test_messages_go_to_the_publisher(name):
    with pyshmx.Publisher(name, {"tick": "u64"}) as pub, pyshmx.Reader(name) as reader:
        reader.send(pyshmx.USER_MESSAGE + 1, b"faster")
        reader.send(pyshmx.USER_MESSAGE, np.array([1.5]))
        reader.send(pyshmx.USER_MESSAGE)
        first, second, third = pub.messages()
        assert (first.type, first.data, first.reader) == (0x3001, b"faster", reader.index)
        assert np.frombuffer(second.data)[0] == 1.5
        assert third.data == b""
        assert pub.messages() == []
        with pytest.raises(pyshmx.RingFull) as caught:
            for _ in range(10_000):
                reader.send(0x3000, b"x" * 100)
        assert isinstance(caught.value, BlockingIOError)
        assert len(pub.messages(max=3)) == 3
        with pytest.raises(pyshmx.SendFailed):
            reader.send(0x3000, b"x" * 10_000)
        with pytest.raises(pyshmx.SendFailed, match="padding"):
            reader.send(0, b"")


def test_a_tap_and_an_inspector_take_no_slot(name):
    with pyshmx.Publisher(name, {"tick": "u64"}, slots=4) as pub:
        for tick in range(3):
            pub.publish({"tick": tick})
        with pyshmx.tap(name) as tap:
            assert [tap.next(5)["tick"] for _ in range(3)] == [0, 1, 2]
            assert tap.try_next() is None
            assert tap.latest()["tick"] == 2
            assert (tap.stats.delivered, tap.behind, tap.state) == (3, 0, "live")
            with pytest.raises(pyshmx.Timeout):
                tap.next(0.01)
            inspector = pyshmx.Inspector(name)
            assert inspector.latest()["tick"] == 2
            assert inspector.header["frame_seq"] == 3
            assert inspector.header["slots"] == 4
            assert list(inspector.streams) == ["tick"]
            assert inspector.state == "live"
            assert pub.readers_connected == 0
            reader = pyshmx.Reader(name)
            assert [r.index for r in inspector.readers if r.in_use] == [reader.index] == [0]
            assert pub.readers[0].pid == __import__("os").getpid()
            pub.close()
            assert list(tap) == []
            assert tap.state == inspector.state == "closed"
            with pytest.raises(pyshmx.ServerGone):
                tap.next(5)


def test_regions_are_listed_and_removed(name, spawn):
    with pyshmx.Publisher(name, {"tick": "u64"}):
        found = [r for r in pyshmx.list() if r.name == name]
        assert [(r.state, r.mode) for r in found] == [("live", 0o600)]
        with pytest.raises(pyshmx.NameTaken):
            pyshmx.remove(name)
    with pytest.raises(FileNotFoundError):
        pyshmx.remove(name)
    process = spawn(f"import pyshmx; p = pyshmx.Publisher({name!r}, {{'tick': 'u64'}}); print('up'); input()")
    assert process.line() == "up"
    process.kill()
    assert [r.state for r in pyshmx.list() if r.name == name] == ["died"]
    assert pyshmx.remove(name)


def test_several_readers_are_waited_for(name):
    names = [f"{name}-{i}" for i in range(3)]
    pubs = [pyshmx.Publisher(n, {"tick": "u64"}) for n in names]
    readers = [pyshmx.Reader(n) for n in names]
    assert pyshmx.wait(readers, 0.01) == []
    pubs[1].publish({"tick": 1})
    assert pyshmx.wait(readers, 10) == [readers[1]]
    # Until it is taken.
    pubs[1].publish({"tick": 2})
    assert pyshmx.wait(readers, 10) == [readers[1]]
    assert readers[1].try_next()["tick"] == 1
    assert readers[1].try_wait()["tick"] == 2
    assert readers[1].try_wait() is None
    pubs[2].close()
    assert pyshmx.wait(readers, 10) == [readers[2]]
    pubs[1].publish({"tick": 3})
    assert pyshmx.wait(readers, 10) == [readers[1], readers[2]]
    pubs[1].publish({"tick": 4})
    assert readers[1].try_wait()["tick"] == 4, "the newest passes over what was taken ahead"
    for pub in pubs:
        pub.close()


def test_reading_by_id_and_from_the_oldest(name):
    with pyshmx.Publisher(name, {"tick": "u64"}, slots=4) as pub:
        for tick in range(3):
            pub.publish({"tick": tick})
        reader = pyshmx.Reader(name, start="oldest", verify="always")
        assert reader.next(5)["tick"] == 0
        assert reader.read_id(3)["tick"] == 2
        assert reader.read_id(9) is None
        assert reader.latest().checksum == "verified"
        with pytest.raises(ValueError, match='start="middle"; use "newest" or "oldest"'):
            pyshmx.Reader(name, start="middle")


def test_a_reader_follows_a_successor(name):
    pub = pyshmx.Publisher(name, {"tick": "u64"})
    reader = pyshmx.Reader(name, reconnect=True)
    pub.publish({"tick": 1})
    assert reader.wait(5)["tick"] == 1
    pub.close()
    with pytest.raises(pyshmx.Timeout):
        reader.wait(0.02)
    with pyshmx.Publisher(name, {"other": "f64", "tick": "u64"}) as pub:
        pub.publish({"tick": 2, "other": 0.5})
        frame = reader.wait(30)
        assert (frame["tick"], frame["other"]) == (2, 0.5)
        assert reader.stats.reconnects == 1


def test_what_a_frame_was_is_known_after_it(name):
    with pyshmx.Publisher(name, {"tick": "u64"}, publish_time=False) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"tick": 1}, time=2.0)
        frame = reader.wait(5)
        assert "copy" in repr(frame)
        assert frame.age is None
        frame.release()
        frame.release()
        assert frame.released
        assert "released" in repr(frame)
        assert (frame.id, frame.time) == (1, 2.0)
        for use in (lambda: frame["tick"], frame.keys, lambda: len(frame), lambda: "tick" in frame):
            with pytest.raises(pyshmx.Closed):
                use()
    assert repr(reader) == f'<Reader of "{name}", closed>'
    assert repr(pub) == f'<Publisher of "{name}", closed>'
    for use in (reader.latest, reader.wait, lambda: reader.stats, lambda: reader.send(0x3000)):
        with pytest.raises(pyshmx.Closed):
            use()
    for use in (pub.frame, pub.messages, lambda: pub.publish({})):
        with pytest.raises(pyshmx.Closed):
            use()


def test_nothing_is_lost_where_the_publisher_waits(name):
    with pyshmx.Publisher(name, {"t": "u64"}, slots=2) as pub:
        reader = pyshmx.Reader(name, every_frame=True)
        other = pyshmx.Reader(name)
        for t in range(2):
            with pub.frame(wait=5) as f:
                f["t"] = t
        with pytest.raises(pyshmx.NotTaken) as caught:
            pub.frame(wait=0.01)
        error = caught.value
        assert isinstance(error, TimeoutError)
        assert [(x["index"], x["last_taken"], x["stopped"]) for x in error.laggards] == [(reader.index, 0, False)]
        with pytest.raises(pyshmx.NotTaken):
            pub.wait_taken(2, 0.01)
        taken = []
        thread = threading.Thread(target=lambda: taken.extend(f["t"] for f in reader.every()))
        thread.start()
        for t in range(2, 200):
            with pub.frame(wait=60) as f:
                f["t"] = t
        pub.wait_taken(f.id, 60)
        pub.close()
        thread.join(60)
        assert taken == list(range(200))
        assert reader.stats.missed == 0
        assert other.latest()["t"] == 199


def test_messages_are_waited_for(name):
    with pyshmx.Publisher(name, {"t": "u64"}) as pub, pyshmx.Reader(name) as reader:
        assert pub.messages(wait=0.01) == []
        sending = threading.Timer(0.01, lambda: reader.send(0x3000, b"late"))
        sending.start()
        assert [m.data for m in pub.messages(wait=60)] == [b"late"]
        sending.join()
