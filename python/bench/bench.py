"""Frames between two Python processes, pyshmx beside other ways, and the drop-in beside the original.

A frame goes to another process, which answers with 8 bytes the same way; the time is that from the beginning of the
frame to the answer. "touched": the payload is copied into the frame and out of it; "untouched": room and view are taken
and the bytes left alone, where that can be. The ways take turns; the least median of the turns is given.

    python bench.py [--quick] [--original PYTHON] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import multiprocessing as mp
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from pathlib import Path

SIZES = {"64 B": 64, "64 KiB": 65_536, "1080p": 1920 * 1080 * 3, "4K": 3840 * 2160 * 3}

Send = Callable[[], None]
Receive = Callable[[], None]


class Shmx:
    """`pyshmx`, sleeping on its doorbell; without checksums, as the others have none."""

    order = "newest"
    spin = 0.0

    @classmethod
    def sender(cls, name, size, touch, _shared) -> Send:
        import numpy as np
        import pyshmx

        pub = pyshmx.Publisher(name, {"a": ("u8", (size,))}, slots=4, checksum="never")
        data = np.zeros(size, np.uint8)

        def send() -> None:
            with pub.frame() as f:
                if touch:
                    f["a"] = data
                else:
                    f["a"]

        return send

    @classmethod
    def receiver(cls, name, size, touch, _shared) -> Receive:
        import numpy as np
        import pyshmx

        reader = pyshmx.Reader(name, wait=30, copy=False, spin=cls.spin)
        scratch = np.zeros(size, np.uint8)
        take = reader.wait if cls.order == "newest" else reader.next

        def receive() -> None:
            with take(30) as frame:
                if touch:
                    np.copyto(scratch, frame["a"])
                else:
                    frame["a"]

        return receive


class ShmxOrdered(Shmx):
    order = "every"


class ShmxPolling(Shmx):
    """The same, polling as iceoryx2's package does."""

    spin = 1.0


class Iceoryx:
    """iceoryx2's Python package: publish and subscribe, polled without a pause."""

    #: A place of its own, since it leaves objects behind: of shared memory and of files.
    prefix = "iox2-" + os.environ.setdefault("PYSHMX_BENCH", f"shmx-py-bench-{os.getpid()}") + "-"

    @classmethod
    def clean(cls) -> None:
        for left in Path("/dev/shm").glob(cls.prefix + "*"):
            left.unlink(missing_ok=True)
        shutil.rmtree(Path(tempfile.gettempdir(), cls.prefix), ignore_errors=True)

    @classmethod
    def service(cls, name, size):
        import ctypes

        import iceoryx2 as iox2

        iox2.set_log_level(iox2.LogLevel.Error)
        config = iox2.config.default()
        config.global_cfg.prefix = iox2.FileName.new(cls.prefix)
        config.global_cfg.root_path = iox2.Path.new(f"{tempfile.gettempdir()}/{cls.prefix}")
        node = iox2.NodeBuilder.new().config(config).create(iox2.ServiceType.Ipc)
        builder = node.service_builder(iox2.ServiceName.new(name)).publish_subscribe(iox2.Slice[ctypes.c_uint8])
        return node, builder.open_or_create()

    @classmethod
    def sender(cls, name, size, touch, _shared) -> Send:
        import numpy as np

        node, service = cls.service(name, size)
        publisher = service.publisher_builder().initial_max_slice_len(size).create()
        data = np.zeros(size, np.uint8)

        def send(_keep=node) -> None:
            sample = publisher.loan_slice_uninit(size)
            if touch:
                np.frombuffer(sample.payload().as_memory_view(), np.uint8)[:] = data
            sample.assume_init().send()

        return send

    @classmethod
    def receiver(cls, name, size, touch, _shared) -> Receive:
        import numpy as np

        node, service = cls.service(name, size)
        subscriber = service.subscriber_builder().create()
        scratch = np.zeros(size, np.uint8)

        def receive(_keep=node) -> None:
            while (sample := subscriber.receive()) is None:
                pass
            view = np.frombuffer(sample.payload().as_memory_view(), np.uint8)
            if touch:
                np.copyto(scratch, view)
            del view
            sample.delete()

        return receive


class Condition:
    """`multiprocessing.shared_memory` with a Condition, one buffer."""

    @staticmethod
    def share(context, size):
        memory = shared_memory.SharedMemory(create=True, size=size)
        return memory, context.Condition(), context.Value("Q", 0, lock=False)

    @staticmethod
    def sender(_name, size, touch, shared) -> Send:
        import numpy as np

        memory, condition, count = shared
        there = np.frombuffer(memory.buf, np.uint8, size)
        data = np.zeros(size, np.uint8)

        def send() -> None:
            with condition:
                if touch:
                    np.copyto(there, data)
                count.value += 1
                condition.notify()

        return send

    @staticmethod
    def receiver(_name, size, touch, shared) -> Receive:
        import numpy as np

        memory, condition, count = shared
        there = np.frombuffer(memory.buf, np.uint8, size)
        scratch = np.zeros(size, np.uint8)
        seen = 0

        def receive() -> None:
            nonlocal seen
            with condition:
                condition.wait_for(lambda: count.value > seen, 30)
                seen = count.value
                if touch:
                    np.copyto(scratch, there)

        return receive


class Queue:
    """`multiprocessing.Queue`, which pickles."""

    @staticmethod
    def share(context, _size):
        return context.Queue()

    @staticmethod
    def sender(_name, size, _touch, shared) -> Send:
        import numpy as np

        data = np.zeros(size, np.uint8)
        return lambda: shared.put(data)

    @staticmethod
    def receiver(_name, _size, _touch, shared) -> Receive:
        return lambda: shared.get(timeout=30)


class Pipe:
    """`multiprocessing.Pipe`, bytes as they are."""

    @staticmethod
    def share(context, _size):
        return context.Pipe(duplex=False)

    @staticmethod
    def sender(_name, size, _touch, shared) -> Send:
        data = bytes(size)
        return lambda: shared[1].send_bytes(data)

    @staticmethod
    def receiver(_name, _size, _touch, shared) -> Receive:
        return lambda: shared[0].recv_bytes() and None


class Original:
    """The package `shmx`: this one's drop-in, or the original, whichever is installed. It can only poll."""

    @staticmethod
    def sender(name, size, _touch, _shared) -> Send:
        import shmx

        server = shmx.Server()
        spec = [shmx.create_stream_spec(1, "a", shmx.DT_U8, 1, 1)]
        assert server.create(name, 4, 4, 4096, size + 64, 4096, spec)
        data = bytes(size)

        def send() -> None:
            frame = server.begin_frame()
            server.append_stream(frame, 1, data, size)
            server.publish_frame(frame, 0.0)

        return send

    @staticmethod
    def receiver(name, _size, _touch, _shared) -> Receive:
        import shmx

        client = shmx.Client()
        while not client.open(name):
            time.sleep(0.001)
        seen = 0

        def receive() -> None:
            nonlocal seen
            while True:
                frame = client.get_latest_frame()
                if frame is not None and frame["__metadata__"]["frame_id"] > seen:
                    seen = frame["__metadata__"]["frame_id"]
                    return bytes(frame["a"]["data"]) and None

        return receive


WAYS = {
    "pyshmx": Shmx,
    "pyshmx, in order": ShmxOrdered,
    "pyshmx, polling": ShmxPolling,
    "iceoryx2": Iceoryx,
    "shared_memory and Condition": Condition,
    "Queue": Queue,
    "Pipe": Pipe,
    "shmx": Original,
}


def answer(way: str, names: tuple[str, str], size: int, touch: bool, shared, rounds: int, ready) -> None:
    """The other process."""
    back = WAYS[way].sender(names[1], 8, True, shared[1])
    ready.send_bytes(b"up")
    receive = WAYS[way].receiver(names[0], size, touch, shared[0])
    ready.send_bytes(b"open")
    for _ in range(rounds):
        receive()
        back()
    # The answers are in memory of this process until they are read.
    ready.recv_bytes()


def measure(way: str, size: int, touch: bool, rounds: int) -> float:
    """Median time of a round, microseconds."""
    context = mp.get_context("spawn")
    kind = WAYS[way]
    share = getattr(kind, "share", lambda *_: None)
    shared = share(context, size), share(context, 8)
    names = f"shmx-py-bench-{os.getpid()}-there", f"shmx-py-bench-{os.getpid()}-back"
    here, there = context.Pipe()
    send = receive = kind.sender(names[0], size, touch, shared[0])
    other = context.Process(target=answer, args=(way, names, size, touch, shared, rounds, there))
    other.start()
    try:
        here.recv_bytes()
        receive = kind.receiver(names[1], 8, True, shared[1])
        here.recv_bytes()
        # Both are open; the other waits.
        time.sleep(0.05)
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            send()
            receive()
            times.append(time.perf_counter() - start)
        here.send_bytes(b"end")
        other.join(30)
    finally:
        if other.is_alive():
            other.kill()
        for memory in (s[0] for s in shared if isinstance(s, tuple)):
            if isinstance(memory, shared_memory.SharedMemory):
                send = receive = None
                with contextlib.suppress(BufferError):
                    memory.close()
                memory.unlink()
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"/dev/shm/{name}")
        if kind is Iceoryx:
            # Its ports and nodes are there until nobody has them.
            send = receive = None
            gc.collect()
            Iceoryx.clean()
    return statistics.median(times[len(times) // 10 :]) * 1e6


def per_call(call: Callable[[], object], rounds: int) -> float:
    """Microseconds; the best of several tries, as other programs only make it longer."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(rounds // 10):
            call()
        times.append((time.perf_counter() - start) / (rounds // 10))
    return min(times) * 1e6


def calls() -> dict[str, float]:
    """Microseconds per call of `shmx`, in one process: 8 bytes, and a frame of 1080p, published and read."""
    import shmx

    result = {}
    for label, size, rounds in (("8 B", 8, 20_000), ("1080p", SIZES["1080p"], 40)):
        name = f"shmx-py-calls-{os.getpid()}"
        server, client = shmx.Server(), shmx.Client()
        assert server.create(name, 3, 4, 4096, size + 64, 4096, [])
        assert client.open(name)
        data = bytes(size)

        def publish(server=server, data=data) -> None:
            frame = server.begin_frame()
            server.append_stream(frame, 1, data, 1)
            server.publish_frame(frame, 1.0)

        for what, call in (("publish", publish), ("latest", client.get_latest_frame)):
            result[f"{what} {label}"] = per_call(call, rounds)
        client.close()
        server.destroy()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/dev/shm/{name}")
    return result


def own_calls() -> dict[str, float]:
    """Microseconds per call of the modern interface."""
    import numpy as np
    import pyshmx

    name = f"shmx-py-calls-{os.getpid()}"
    streams = {"image": pyshmx.image(1080, 1920, "rgb8"), "tick": "u64"}
    result = {}
    with pyshmx.Publisher(name, streams, slots=8, checksum="never") as pub, pyshmx.Reader(name) as reader:
        image = np.zeros((1080, 1920, 3), np.uint8)
        pub.publish({"image": image, "tick": 1})
        frame = reader.wait(5)

        def hand_over() -> None:
            with pub.frame() as f:
                f["image"]
            with reader.wait(5) as f:
                f["image"]

        for label, call, rounds in (
            ("view of an image", lambda: frame["image"], 50_000),
            ("publish a number", lambda: pub.publish({"tick": 7}), 50_000),
            ("latest frame", lambda: reader.latest(), 50_000),
            ("1080p handed over, untouched, one process", hand_over, 5_000),
            ("1080p published, copied", lambda: pub.publish({"image": image}), 100),
        ):
            if "handed over" in label:
                frame.release()
            result[label] = per_call(call, rounds)
    return result


WAITING = """
import sys, time, pyshmx
reader = pyshmx.Reader(sys.argv[1], wait=30)
print("up", flush=True)
reader.wait(30)
cpu, start = time.process_time(), time.monotonic()
try:
    if sys.argv[2] == "wait":
        for frame in reader:
            pass
    elif sys.argv[2] == "poll":
        while True:
            reader.try_wait()
            time.sleep(0.001)
    else:
        for _ in range(int(sys.argv[3])):
            time.sleep(1 / 60)
except pyshmx.ServerGone:
    pass
print((time.process_time() - cpu) / (time.monotonic() - start))
"""


def waiting(seconds: float) -> dict[str, float]:
    """CPU time of a reader at 60 Hz, per mille of a processor: a loop over its frames, and polling every millisecond.

    "sleep" only sleeps as long: what a process costs that wakes 60 times a second and does nothing. All run at once, so
    that what disturbs one of them disturbs the others.
    """
    import pyshmx

    name = f"shmx-py-waiting-{os.getpid()}"
    rounds = int(seconds * 60)
    with contextlib.ExitStack() as stack:
        readers = {}
        with pyshmx.Publisher(name, {"tick": "u64"}) as pub:
            for how in ("wait", "poll", "sleep"):
                args = [sys.executable, "-c", WAITING, name, how, str(rounds)]
                readers[how] = stack.enter_context(subprocess.Popen(args, stdout=subprocess.PIPE, text=True))
            for reader in readers.values():
                reader.stdout.readline()
            for _ in range(rounds):
                pub.publish({"tick": 1})
                time.sleep(1 / 60)
        return {how: float(reader.stdout.read()) * 1e3 for how, reader in readers.items()}


def in_original(python: str, function: str) -> dict[str, float]:
    code = f"import bench, json; print(json.dumps({function}))"
    here = os.path.dirname(os.path.abspath(__file__))
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, cwd=here, env=env)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--original", help="an interpreter that has the original package")
    parser.add_argument("--json")
    given = parser.parse_args()
    turns, scale = (1, 10) if given.quick else (5, 1)
    turns = given.turns or turns
    found: dict[str, object] = {"machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors"}
    found["python"] = platform.python_version()

    rounds = {"64 B": 2000, "64 KiB": 2000, "1080p": 150, "4K": 40}
    times: dict[str, dict[str, list[float]]] = {}
    for _ in range(turns):
        for label, size in SIZES.items():
            for touch in (True, False):
                case = f"{label}, {'touched' if touch else 'untouched'}"
                of = times.setdefault(case, {})
                n = max(10, rounds[label] // scale)
                for way in WAYS:
                    # These copy whatever one does with the data.
                    if not touch and way in ("Queue", "Pipe", "shmx"):
                        continue
                    of.setdefault(way, []).append(measure(way, size, touch, n))
                if given.original and touch:
                    one = in_original(given.original, f"bench.measure('shmx', {size}, True, {max(10, n // 4)})")
                    of.setdefault("shmx, the original", []).append(one)
    # Of the turns the best: what else runs on the machine only makes a turn longer.
    medians = {case: {way: min(t) for way, t in of.items()} for case, of in times.items()}
    for label in SIZES:
        for way in ("Queue", "Pipe", "shmx", "shmx, the original"):
            if way in medians[f"{label}, touched"]:
                medians[f"{label}, untouched"][way] = medians[f"{label}, touched"][way]
    found["round, us"] = medians
    found["calls, us"] = own_calls()
    found["reader at 60 Hz, per mille of a processor"] = waiting(2 if given.quick else 20)
    drop_in: dict[str, dict[str, list[float]]] = {}
    for _ in range(turns):
        for who, of in (("ours", calls), ("original", lambda: in_original(given.original, "bench.calls()"))):
            if who == "original" and not given.original:
                continue
            for label, us in of().items():
                drop_in.setdefault(label, {}).setdefault(who, []).append(us)
    found["drop-in, us per call"] = {label: {who: min(t) for who, t in of.items()} for label, of in drop_in.items()}

    print(f"{found['machine']}, Python {found['python']}")
    ways = list(next(iter(medians.values())))
    for case, of in medians.items():
        print(f"\n{case}: microseconds from frame to answer")
        for way in ways:
            if way in of:
                print(f"  {way:30} {of[way]:10.1f}  {of[way] / of['pyshmx']:8.1f} x")
    for title in list(found)[3:]:
        print(f"\n{title}")
        for label, value in found[title].items():
            text = "  ".join(f"{w} {v:.2f}" for w, v in value.items()) if isinstance(value, dict) else f"{value:.2f}"
            print(f"  {label:45} {text}")
    if given.json:
        with open(given.json, "w") as f:
            json.dump(found, f, indent=1)


if __name__ == "__main__":
    main()
