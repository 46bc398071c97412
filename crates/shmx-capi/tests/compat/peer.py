"""A peer over the original's Python package: see tests/README.md."""

import struct
import sys
import time

import shmx

POINTS, BLOB, DONE = 50, 4096, 0x3001
DEADLINE = time.monotonic() + 60


def expected(tick):
    count = 1 + tick % POINTS
    points = struct.pack(f"{count * 3}f", *(float(tick % 1000 + i) for i in range(count * 3)))
    return count, points, bytes((tick * 31 + i) % 256 for i in range(BLOB))


def serve(name, readers):
    spec = shmx.create_stream_spec
    streams = [
        spec(1, "tick", shmx.DT_U64, 1, 8),
        spec(2, "position", shmx.DT_F32, 3, 12, shmx.LAYOUT_AOS_VECTOR),
        spec(3, "blob", shmx.DT_U8, 1, 1),
    ]
    server = shmx.Server()
    assert server.create(name, 8, 16, 4096, 8192, 4096, streams)
    tick = done = 0
    while done < readers and time.monotonic() < DEADLINE:
        tick += 1
        count, points, blob = expected(tick)
        frame = server.begin_frame()
        assert server.append_stream(frame, 1, struct.pack("Q", tick), 1)
        assert server.append_stream(frame, 2, points, count)
        assert server.append_stream(frame, 3, blob, BLOB)
        assert server.publish_frame(frame, float(tick))
        done += sum(m["type"] == DONE for m in server.poll_control(16))
        time.sleep(0.001)
    assert done == readers
    server.destroy()
    print("published", tick)


def read(name, until):
    client = shmx.Client()
    while not client.open(name):
        assert time.monotonic() < DEADLINE
        time.sleep(0.001)
    now = frames = 0
    while now < until:
        assert time.monotonic() < DEADLINE
        frame = client.get_latest_frame()
        if frame is None:
            continue
        # Bytes first: the memory is the server's.
        parts = {key: bytes(frame[key]["data"]) for key in ("tick", "position", "blob") if key in frame}
        if len(parts) != 3:
            continue
        (tick,) = struct.unpack("Q", parts["tick"])
        _, points, blob = expected(tick)
        # Its memory is not leased, so a frame can change under it.
        if tick == now or (parts["position"], parts["blob"]) != (points, blob):
            continue
        now = tick
        frames += 1
    assert client.send_control(DONE, struct.pack("Q", now))
    client.close()
    print("read", frames)


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]))
else:
    read(sys.argv[2], int(sys.argv[3]))
