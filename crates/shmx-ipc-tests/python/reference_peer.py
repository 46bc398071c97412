"""Drives the reference package: reads one JSON request per line, answers each with one JSON line."""

import json
import sys
import time

import shmx

server = shmx.Server()
client = shmx.Client()
inspector = shmx.Inspector()


def body(number, longest):
    """Message `number`: length and bytes follow from it."""
    return bytes((number + i) & 255 for i in range(number * 7 % (longest + 1)))


def plain(info):
    return {k: v.hex() if isinstance(v, bytes) else v for k, v in info.items()}


def publish(streams, sim_time):
    frame = server.begin_frame()
    ok = all(server.append_stream(frame, i, data, count) for i, data, count in streams)
    return ok and server.publish_frame(frame, sim_time)


def latest():
    frame = client.get_latest_frame()
    if frame is None:
        return None
    # The views lie in shared memory: copy at once.
    streams = {k: [bytes(v["data"]).hex(), v["elem_count"]] for k, v in frame.items() if k != "__metadata__"}
    return {"meta": frame["__metadata__"], "streams": streams}


def produce(seconds):
    """Frames at full speed; frame n is n repeated, as many times as follows from n."""
    end = time.monotonic() + seconds
    n = failed = 0
    while time.monotonic() < end:
        count = 1 + n % 500
        failed += not publish([(1, n.to_bytes(8, "little") * count, count)], float(n))
        n += 1
    return {"published": n - failed, "failed": failed}


def send_many(count, longest):
    full = 0
    for n in range(count):
        data = body(n, longest)
        end = time.monotonic() + 30
        while not (client.send_control(0x3000 + n, data) if data else client.send_control_empty(0x3000 + n)):
            full += 1
            time.sleep(0)
            if time.monotonic() > end:
                raise TimeoutError("the ring stays full")
    return {"full": full}


def poll_many(count, longest):
    wrong = []
    got = 0
    ids = set()
    end = time.monotonic() + 30
    while got < count and time.monotonic() < end:
        for m in server.poll_control(64):
            ids.add(m["reader_id"])
            if m["type"] != 0x3000 + got or m["data"] != body(got, longest):
                wrong.append([got, m["type"], m["data"].hex()])
            got += 1
            end = time.monotonic() + 30
    return {"got": got, "wrong": wrong[:3], "ids": sorted(ids)}


OPS = {
    "server": lambda r: server.create(r["name"], streams=[decoded(s) for s in r["streams"]], **r["config"]),
    "publish": lambda r: publish([(i, bytes.fromhex(d), c) for i, d, c in r["streams"]], r["sim_time"]),
    "produce": lambda r: produce(r["seconds"]),
    "poll_many": lambda r: poll_many(r["count"], r["longest"]),
    "readers": lambda r: server.snapshot_readers(),
    "open": lambda r: client.open(r["name"]),
    "close": lambda r: client.close(),
    "streams": lambda r: [plain(s) for s in client.get_streams_info()],
    "refresh": lambda r: client.refresh_static(),
    "latest": lambda r: latest(),
    "header": lambda r: client.get_header_info(),
    "send_many": lambda r: send_many(r["count"], r["longest"]),
    "inspect": lambda r: inspector.open(r["name"]) and inspect(),
}


def decoded(spec):
    return {k: bytes.fromhex(v) if k == "extra" else v for k, v in spec.items()}


def inspect():
    info = inspector.inspect()
    info["streams"] = [plain(s) for s in info["streams"]]
    inspector.close()
    return info


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"ok": OPS[request["op"]](request)}
    except Exception as e:  # the other side reports it
        answer = {"error": repr(e)}
    print(json.dumps(answer), flush=True)
