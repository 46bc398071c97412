"""A peer over pyshmx: see tests/README.md."""

import struct
import sys
import time

import pyshmx

POINTS, BLOB, DONE = 50, 4096, 0x3001
DEADLINE = time.monotonic() + 60
STREAMS = {
    "tick": pyshmx.stream("u64", id=1),
    "position": pyshmx.stream("f32", (None,), components=3, max=POINTS, id=2),
    "blob": pyshmx.stream("u8", (BLOB,), id=3),
}


def expected(tick):
    count = 3 * (1 + tick % POINTS)
    points = struct.pack(f"{count}f", *(float(tick % 1000 + i) for i in range(count)))
    return points, bytes((tick * 31 + i) % 256 for i in range(BLOB))


def serve(name, readers):
    tick = done = 0
    with pyshmx.Publisher(name, STREAMS) as publisher:
        while done < readers and time.monotonic() < DEADLINE:
            points, blob = expected(tick + 1)
            try:
                publisher.publish({"tick": tick + 1, "position": points, "blob": blob}, time=float(tick + 1))
                tick += 1
            except pyshmx.NoFreeSlot:
                pass
            done += sum(message.type == DONE for message in publisher.messages(wait=0.001))
    assert done == readers
    print("published", tick)


def read(name, until):
    now = frames = 0
    with pyshmx.Reader(name, wait=30) as reader:
        while now < until:
            try:
                taken = reader.wait(30)
            except (pyshmx.FrameRejected, pyshmx.Overtaken):
                continue  # torn by a server of the original
            with taken as frame:
                # Bytes, with numpy and without it.
                (tick,) = struct.unpack("Q", frame.bytes("tick"))
                points, blob = expected(tick)
                assert tick > now and frame.time == float(tick)
                assert bytes(frame.bytes("position")) == points and bytes(frame.bytes("blob")) == blob
            now = tick
            frames += 1
        reader.send(DONE, struct.pack("Q", now))
    print("read", frames)


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]))
else:
    read(sys.argv[2], int(sys.argv[3]))
