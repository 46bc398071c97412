"""The drop-in: what it must do differently, and what the probes do not ask."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import struct
import threading
import time

import numpy as np
import pytest
from conftest import until

import pyshmx
import pyshmx.compat as shmx

SPEC = [shmx.create_stream_spec(1, "a", shmx.DT_U8, 1, 1)]


def served(name: str, **sizes: int) -> shmx.Server:
    server = shmx.Server()
    assert server.create(name, streams=SPEC, **sizes)
    return server


def publish(server: shmx.Server, data: bytes, time: float = 0.0) -> bool:
    handle = server.begin_frame()
    return server.append_stream(handle, 1, data, len(data)) and server.publish_frame(handle, time)


def test_frames_are_private_copies(name):
    server, client = served(name), shmx.Client()
    assert client.open(name)
    publish(server, b"abc")
    data = client.get_latest_frame()["a"]["data"]
    other = client.get_latest_frame()["a"]["data"]
    assert (data.readonly, data.format, data.shape, data.contiguous) == (False, "B", (3,), True)
    data[0] = ord("X")
    assert bytes(data) == b"Xbc"
    assert bytes(other) == bytes(client.get_latest_frame()["a"]["data"]) == b"abc"
    for _ in range(10):
        publish(server, b"xyz")
    client.close()
    server.destroy()
    del client, server
    gc.collect()
    assert bytes(data) == b"Xbc"
    array = np.frombuffer(data, np.uint8)
    array[1] = 0
    assert bytes(data) == b"X\0c"


def test_nothing_crashes(name):
    server = shmx.Server()
    with pytest.raises(RuntimeError, match="call create first"):
        server.begin_frame()
    assert server.snapshot_readers() == []
    assert server.poll_control() == []
    assert server.reap_stale_readers(0, 0) == 0
    assert server.write_static_append(b"", 0) is False
    server.destroy()
    server = served(name)
    handle = server.begin_frame()
    other = server.begin_frame()
    assert server.append_stream(other, 1, b"x", 1)
    server.destroy()
    server.destroy()
    assert server.append_stream(handle, 1, b"x", 1) is False
    assert server.publish_frame(handle, 0) is False
    assert server.publish_frame(other, 0) is False
    server = served(name)
    handle = server.begin_frame()
    del server
    gc.collect()
    assert shmx.Server().append_stream(handle, 1, b"x", 1) is False
    for wrong in (None, 3, object(), b""):
        with pytest.raises(TypeError):
            shmx.Server().append_stream(wrong, 1, b"x", 1)
        with pytest.raises(TypeError):
            shmx.Server().publish_frame(wrong, 1.0)


def test_any_contiguous_buffer_is_appended(name):
    server, client = served(name), shmx.Client()
    client.open(name)
    values = np.arange(6, dtype=np.uint8)
    for data in (bytes(values), bytearray(values), memoryview(values), values, values.reshape(2, 3)):
        handle = server.begin_frame()
        assert server.append_stream(handle, 1, data, 6)
        assert server.publish_frame(handle, 0)
        assert bytes(client.get_latest_frame()["a"]["data"]) == bytes(values)
    handle = server.begin_frame()
    for wrong, error in [("text", TypeError), (5, TypeError), (values[::2], TypeError), ([1], TypeError)]:
        with pytest.raises(error):
            server.append_stream(handle, 1, wrong, 1)


def test_a_live_name_is_refused_and_says_why(name, caplog):
    server = served(name)
    publish(server, b"x")
    other = shmx.Server()
    with caplog.at_level(logging.WARNING, "pyshmx.compat"):
        assert other.create(name) is False
    assert "held by a live server" in caplog.text
    assert str(os.getpid()) in caplog.text
    client = shmx.Client()
    assert client.open(name)
    assert client.get_latest_frame() is not None
    server.destroy()
    assert other.create(name)


def test_a_dead_servers_name_is_taken_and_its_last_frame_read(name, spawn):
    process = spawn(
        f"""
        import pyshmx.compat as shmx
        s = shmx.Server()
        s.create({name!r}, streams=[shmx.create_stream_spec(1, "a", 3, 1, 1)])
        f = s.begin_frame()
        s.append_stream(f, 1, b"last", 4)
        s.publish_frame(f, 2.5)
        print("up")
        input()
        """
    )
    process.line()
    process.kill()
    client = shmx.Client()
    assert client.open(name), "as the original, which does not know that its server died"
    frame = client.get_latest_frame()
    assert (bytes(frame["a"]["data"]), frame["__metadata__"]["sim_time"]) == (b"last", 2.5)
    assert client.send_control(0x3000, b"x") is False
    assert client.get_header_info()["frame_seq"] == 1
    assert client.refresh_static()
    server = served(name)
    assert publish(server, b"new")


def test_no_free_slot_is_no_error(name):
    server = served(name, slots=2)
    open_frames = [server.begin_frame() for _ in range(2)]
    assert [server.append_stream(h, 1, b"x", 1) for h in open_frames] == [True, True]
    third = server.begin_frame()
    assert server.append_stream(third, 1, b"x", 1) is False
    del open_frames[0]
    assert server.append_stream(third, 1, b"x", 1) is False, "a frame is whole or not at all"
    assert server.publish_frame(third, 0) is False
    assert publish(server, b"x"), "what is dropped gives its slot back"


def test_leases_of_readers_are_no_error(name):
    server = served(name, slots=3)
    with pyshmx.Reader(name, copy=False) as reader:
        held = []
        for _ in range(3):
            assert publish(server, bytes(1000))
            held.append(reader.wait(5))
        handle = server.begin_frame()
        assert server.append_stream(handle, 1, b"x", 1) is False
        assert server.publish_frame(handle, 0) is False
        held.clear()
        assert publish(server, b"x")


def test_an_inspector_needs_no_right_to_write(name, spawn):
    server = served(name)
    publish(server, b"x")
    os.chmod(f"/dev/shm/{name}", 0o444)
    process = spawn(
        """
        import os, sys, pyshmx.compat as shmx
        if os.getuid() == 0:
            os.setuid(65534)
        client, inspector = shmx.Client(), shmx.Inspector()
        print(client.open(sys.argv[1]), inspector.open(sys.argv[1]), inspector.inspect()["frame_seq"])
        """,
        name,
    )
    assert process.line() == "False True 1"
    server.destroy()


def test_handles_that_are_not_used_cost_nothing(name):
    server = served(name, slots=2)
    kept = [server.begin_frame() for _ in range(100)]
    assert publish(server, b"x")
    assert len(kept) == 100


def test_numpy(name):
    server, client = served(name), shmx.Client()
    client.open(name)
    handle = server.begin_frame()
    server.append_stream(handle, 1, np.arange(4, dtype=np.float32).tobytes(), 4)
    server.append_stream(handle, 9, b"\x01\x02", 2)
    server.publish_frame(handle, 0)
    frame = client.get_latest_frame()
    arrays = shmx.frame_to_numpy(frame, {"a": np.float32})
    assert arrays["a"].tolist() == [0, 1, 2, 3]
    assert arrays["stream_9"].tolist() == [1, 2]
    assert arrays["__metadata__"] == frame["__metadata__"]
    assert arrays["a"].flags.writeable
    assert shmx.frame_to_numpy(frame, {"a": shmx.DT_F32})["a"].dtype == np.float32
    assert shmx.frame_to_numpy(frame, {"a": shmx.DT_BF16})["a"].dtype.name == "bfloat16"
    with pytest.raises(ValueError):
        shmx.frame_to_numpy(frame, {"a": 99})
    with pytest.raises(ValueError):
        shmx.frame_to_numpy(frame, {"stream_9": np.float32})
    assert shmx.frame_to_numpy({}) == {}


def entry(number: int, name: bytes) -> bytes:
    body = struct.pack("8I", number, shmx.DT_F32, 1, 0, 4, 0, len(name), 0) + name
    record = struct.pack("2I", shmx.TLV_STATIC_DIR, len(body)) + body
    return record + bytes(-len(record) % 16)


def test_the_directory_grows(name):
    server, client = served(name), shmx.Client()
    client.open(name)
    record = entry(5, b"later")
    assert server.write_static_append(record + b"beyond", len(record))
    assert [s["name"] for s in client.get_streams_info()] == ["a"]
    assert client.refresh_static()
    assert [s["name"] for s in client.get_streams_info()] == ["a", "later"]
    assert server.write_static_append(b"garbage", 7) is False
    assert server.write_static_append(record, 1000) is False
    assert server.write_static_append(record, len(record)) is False, "a number is given once"


def test_a_client_without_a_slot_gets_one_to_send(name):
    server = served(name, reader_slots=1)
    first, second = shmx.Client(), shmx.Client()
    assert first.open(name)
    assert second.open(name)
    publish(server, b"x")
    assert second.get_latest_frame() is not None
    assert second.send_control(1, b"x") is False
    first.close()
    until(lambda: second.send_control(1, b"x"))
    assert [m["data"] for m in server.poll_control()] == [b"x"]


def test_arguments_are_taken_as_the_original_takes_them(name):
    server = shmx.Server()
    assert server.create(name=name.encode(), slots=np.uint8(3), reader_slots=True, streams=[])
    assert server.get_header_info()["reader_slots"] == 1
    for wrong in (-1, 2**32, 3.0, "3", None):
        with pytest.raises(TypeError):
            server.create(name, slots=wrong)
        with pytest.raises(TypeError):
            shmx.dtype_to_string(wrong)
    assert server.get_header_info() != {}, "what fails before it begins changes nothing"
    assert server.create("") is False
    assert server.get_header_info() == {}, "and what fails later has dropped the region"
    with pytest.raises(TypeError):
        server.create(name, streams=())
    with pytest.raises(KeyError):
        server.create(name, streams=[{"id": 1}])
    with pytest.raises(RuntimeError):
        server.create(name, streams=[SPEC[0] | {"id": -1}])
    assert shmx.Client().open(b"\xff\xfe") is False
    with pytest.raises(TypeError):
        shmx.Client(1)
    with pytest.raises(TypeError):
        pickle.dumps(shmx.Client())


def test_a_live_reader_is_not_reaped(name):
    server, client = served(name), shmx.Client()
    client.open(name)
    assert server.reap_stale_readers(time.monotonic_ns() + 10**12, 1) == 0
    assert server.get_header_info()["readers_connected"] == 1
    client.close()
    assert server.get_header_info()["readers_connected"] == 0


def test_the_mode_is_the_originals(name):
    before = os.umask(0o027)
    try:
        server = served(name)
    finally:
        os.umask(before)
    assert os.stat(f"/dev/shm/{name}").st_mode & 0o777 == 0o640
    server.destroy()


def test_threads(name):
    """One server and one client in several threads."""
    data = [bytes([n]) * 100_000 for n in range(4)]
    server, client = served(name, frame_bytes_cap=200_000, slots=8), shmx.Client()
    client.open(name)
    failures = []

    def produce(n: int) -> None:
        for _ in range(100):
            publish(server, data[n])

    def read() -> None:
        for _ in range(100):
            frame = client.get_latest_frame()
            if frame is not None and len(set(bytes(frame["a"]["data"]))) != 1:
                failures.append(frame)

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert server.get_header_info()["frame_seq"] > 100
