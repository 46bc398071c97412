"""Bad input, bad regions: an exception of the hierarchy, and never anything else."""

from __future__ import annotations

import inspect
import os
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest

import pyshmx
from pyshmx import _errors


def test_the_hierarchy():
    kinds = {k: v for k, v in vars(_errors).items() if inspect.isclass(v)}
    assert all(issubclass(k, pyshmx.Error) for k in kinds.values())
    assert all(getattr(pyshmx, k) is v for k, v in kinds.items()), "all are exported"
    built_in = {
        "NotFound": FileNotFoundError,
        "AccessDenied": PermissionError,
        "NameTaken": FileExistsError,
        "UnknownStream": KeyError,
        "StreamMismatch": ValueError,
        "InvalidData": ValueError,
        "Timeout": TimeoutError,
        "ViewsAlive": BufferError,
        "ServerGone": EOFError,
        "RingFull": BlockingIOError,
        "NoRoom": MemoryError,
        "FrameFull": ValueError,
    }
    for kind, base in built_in.items():
        assert issubclass(kinds[kind], base)


def test_errors_go_to_other_processes(name):
    def raised(f) -> pyshmx.Error:
        with pytest.raises(pyshmx.Error) as caught:
            f()
        return caught.value

    with pyshmx.Publisher(name, {"t": "u64"}, slots=2) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"t": 1})
        frame = reader.latest()
        held = [pub.frame(), pub.frame()]
        errors = [
            raised(lambda: pyshmx.Reader("shmx-py-nobody")),
            raised(lambda: pyshmx.Publisher(name, {"t": "u64"})),
            raised(lambda: frame["x"]),
            raised(lambda: reader.wait(0)),
            raised(pub.frame),
        ]
        del held
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
        assert getattr(again, "errno", None) == getattr(error, "errno", None)
    assert errors[0].errno == 2


def test_no_such_region():
    with pytest.raises(FileNotFoundError, match="check the name and whether its server runs") as caught:
        pyshmx.Reader("shmx-py-nobody")
    assert isinstance(caught.value, pyshmx.NotFound)
    assert (caught.value.errno, caught.value.name) == (2, "shmx-py-nobody")
    for f in (pyshmx.tap, pyshmx.Inspector, lambda n: pyshmx.Reader(n, wait=0.01)):
        with pytest.raises(pyshmx.NotFound):
            f("shmx-py-nobody")


@pytest.mark.parametrize("bad", ["", "/", "a/b", "x" * 300, "..", "a\0b"])
def test_bad_names(bad):
    for f in (pyshmx.Reader, pyshmx.tap, pyshmx.Inspector, lambda n: pyshmx.Publisher(n, {"t": "u8"})):
        with pytest.raises(pyshmx.InvalidName):
            f(bad)
    for wrong in (5, None, b"x"):
        with pytest.raises(TypeError):
            pyshmx.Reader(wrong)


def test_a_name_in_use(name):
    with pyshmx.Publisher(name, {"t": "u64"}):
        with pytest.raises(FileExistsError) as caught:
            pyshmx.Publisher(name, {"t": "u64"}, replace=True)
        assert isinstance(caught.value, pyshmx.NameTaken)
        assert (caught.value.name, caught.value.pid, caught.value.errno) == (name, os.getpid(), 17)
    Path(f"/dev/shm/{name}").write_bytes(b"something else")
    try:
        with pytest.raises(pyshmx.NameTaken, match="replace=True"):
            pyshmx.Publisher(name, {"t": "u64"})
        with pytest.raises(pyshmx.NotARegion):
            pyshmx.Reader(name)
        assert pyshmx.list() is not None
        pyshmx.Publisher(name, {"t": "u64"}, replace=True).close()
    finally:
        Path(f"/dev/shm/{name}").unlink(missing_ok=True)


def test_no_reader_slot(name):
    with pyshmx.Publisher(name, {"t": "u64"}, readers=1) as pub:
        first = pyshmx.Reader(name)
        with pytest.raises(pyshmx.NoReaderSlot, match="require_slot=False") as caught:
            pyshmx.Reader(name)
        assert caught.value.pids == [os.getpid()]
        second = pyshmx.Reader(name, require_slot=False)
        assert second.index is None
        pub.publish({"t": 1})
        assert second.wait(5)["t"] == 1
        with pytest.raises(pyshmx.SendFailed):
            second.send(0x3000)
        first.close()


def test_no_room(name):
    free = os.statvfs("/dev/shm")
    more = free.f_frsize * free.f_bavail + (64 << 20)
    if more < 4 << 30:
        with pytest.raises(pyshmx.NoRoom) as caught:
            pyshmx.Publisher(name, {"a": ("u8", (more // 4,))}, slots=4)
        assert caught.value.needed > caught.value.available
    with pytest.raises(pyshmx.InvalidRegion):
        pyshmx.Publisher(name, {"a": ("u8", (2**31,))}, slots=4)


def test_a_limit_on_files(name, spawn):
    process = spawn(
        f"""
        import resource, signal, pyshmx
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            pyshmx.Publisher({name!r}, {{"a": ("u8", (1_000_000,))}})
        except pyshmx.NoRoom as e:
            print(e.available, e)
        """
    )
    assert process.line().startswith("100000 ")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without rights")
def test_no_permission(name, spawn):
    with pyshmx.Publisher(name, {"t": "u64"}, mode=0):
        process = spawn(
            """
            import os, sys, pyshmx
            pyshmx._streams  # loaded before the rights go
            if os.getuid() == 0:
                os.setuid(65534)
            try:
                pyshmx.Reader(sys.argv[1])
            except PermissionError as e:
                print(type(e).__name__, e.errno)
            """,
            name,
        )
        assert process.line() == "AccessDenied 13"


def region(name: str) -> np.ndarray:
    return np.memmap(f"/dev/shm/{name}", np.uint8, "r+")


def test_damaged_headers(name):
    rng = np.random.default_rng(3)
    for _ in range(60):
        with pyshmx.Publisher(name, {"a": ("u8", (1000,)), "t": "u64"}, readers=4) as pub:
            pub.publish({"t": 1, "a": bytes(1000)})
            memory = region(name)
            at = rng.integers(0, 124)
            memory[at] ^= rng.integers(1, 255)
            for use in (pyshmx.Reader, pyshmx.tap, pyshmx.Inspector):
                try:
                    opened = use(name)
                    frame = opened.latest()
                    if frame is not None:
                        frame.items()
                except pyshmx.Error:
                    pass
            assert pyshmx.list() is not None
            del memory
        Path(f"/dev/shm/{name}").unlink(missing_ok=True)


def test_damaged_payloads_and_directories(name):
    rng = np.random.default_rng(4)
    values = {"a": np.zeros(100, np.float32), "t": 1, "b": np.zeros(30, bool), "p": np.zeros((5, 3), np.float32)}
    streams = {"a": ("f32", (100,)), "t": "u64", "b": ("bool", (30,)), "p": pyshmx.points(10)}
    outcomes = set()
    for _ in range(150):
        with pyshmx.Publisher(name, streams, slots=2, readers=2) as pub:
            number = pub.publish(values)
            memory = region(name)
            readers = [pyshmx.Reader(name, copy=c) for c in (True, None)]
            for _ in range(8):
                memory[rng.integers(128, len(memory))] ^= rng.integers(1, 255)
            for look in (*(r.latest for r in readers), lambda: pyshmx.tap(name).latest()):
                try:
                    frame = look()
                    if frame is not None:
                        outcomes.add("frame")
                        assert frame.id in (number, frame.id)
                        for stream in ("a", "t", "b", "p", 1, 2, 3, 4):
                            try:
                                np.asarray(frame[stream]).sum()
                            except pyshmx.Error as e:
                                outcomes.add(type(e).__name__)
                        del frame
                except pyshmx.Error as e:
                    outcomes.add(type(e).__name__)
            del memory
        Path(f"/dev/shm/{name}").unlink(missing_ok=True)
    assert "frame" in outcomes


def test_metadata_of_others_that_makes_no_sense(name):
    """Shapes, fields and encodings that contradict the data leave flat arrays."""
    import pyshmx.compat as shmx

    cases = [
        (b'{"shape":[7,9]}', shmx.DT_F32, 1, 4, 24, (6,)),
        (b'{"shape":[0,0]}', shmx.DT_F32, 1, 4, 24, (6,)),
        (b'{"shape":[0,4]}', shmx.DT_F32, 1, 4, 24, (6,)),
        (b'{"shape":[4294967295,4294967295,4294967295]}', shmx.DT_F64, 1, 8, 24, (3,)),
        (b'{"shape":[0,4294967295,4294967295,4294967295]}', shmx.DT_F64, 1, 8, 24, (3,)),
        (b'{"role":"image","shape":[9,9],"encoding":"bgr8"}', shmx.DT_U8, 3, 3, 24, (8, 3)),
        (b'{"role":"image","shape":[2,4],"encoding":"rgb8","row_step":5}', shmx.DT_U8, 3, 3, 24, (2, 4, 3)),
        (b'{"role":"image","shape":[2,4],"encoding":"mono8","row_step":4294967295}', shmx.DT_U8, 1, 1, 24, (24,)),
        (b'{"role":"image","shape":[0,0],"encoding":"mono8"}', shmx.DT_U8, 1, 1, 24, (24,)),
        (b'{"role":"image","shape":[0,8],"encoding":"mono8"}', shmx.DT_U8, 1, 1, 24, (3, 8)),
        (b'{"fields":["x","x","x"]}', shmx.DT_F32, 3, 12, 24, (2, 3)),
        (b'{"fields":["x"]}', shmx.DT_F32, 3, 12, 24, (2, 3)),
        (b'{"fields":[1,2,3],"shape":[2]}', shmx.DT_F32, 3, 12, 24, (2, 3)),
        (b'{"fields":' + b"[" * 5000, shmx.DT_F32, 3, 12, 24, (2, 3)),
        (b"", shmx.DT_F32, 3, 12, 25, (25,)),
        (b"", 99, 1, 4, 24, (24,)),
        (b"", shmx.DT_F32, 0, 0, 24, (24,)),
        (b"", shmx.DT_F32, 2, 4, 24, (24,)),
        (b'{"shape":[]}', shmx.DT_U64, 1, 8, 24, (3,)),
        (b'{"shape":[]}', shmx.DT_U64, 1, 8, 0, (0,)),
        # Products that are beyond 64 bits, or come round to 0.
        (b'{"shape":[65536,65536,65536,65536]}', shmx.DT_F64, 1, 8, 0, (0,)),
        (b'{"shape":[65536,65536,65536,65536]}', shmx.DT_F64, 1, 8, 8, (1,)),
        (b'{"shape":[0,65536,65536,65536,65536]}', shmx.DT_F64, 1, 8, 0, (0,)),
        (b'{"shape":[0,4294967295,4294967295]}', shmx.DT_F64, 1, 8, 0, (0,)),
        (b'{"role":"image","shape":[4294967295,4],"encoding":"mono8","row_step":4294967295}', 3, 1, 1, 0, (0,)),
    ]
    for extra, code, components, size, length, shape in cases:
        server = shmx.Server()
        spec = shmx.create_stream_spec(1, "a", code, components, size, extra=extra)
        assert server.create(name, static_bytes_cap=0, streams=[spec])
        handle = server.begin_frame()
        assert server.append_stream(handle, 1, bytes(length), 1)
        assert server.publish_frame(handle, 0)
        with pyshmx.Reader(name) as reader:
            assert reader.latest()["a"].shape == shape, extra[:60]
            assert reader.streams["a"].extra == extra
        server.destroy()


def test_names_of_others_that_are_no_text(name):
    import pyshmx.compat as shmx

    server = shmx.Server()
    spec = {"id": 1, "name": b"\xff\xfe", "dtype_code": 3, "components": 1, "bytes_per_elem": 1}
    assert server.create(name, streams=[spec, spec | {"id": 2, "name": ""}, spec | {"id": 3, "name": ""}])
    handle = server.begin_frame()
    server.append_stream(handle, 1, b"x", 1)
    server.append_stream(handle, 77, b"y", 1)
    server.publish_frame(handle, 0)
    with pyshmx.Reader(name) as reader:
        frame = reader.latest()
        assert frame.keys() == ["\ufffd\ufffd"]
        assert frame[1].tolist() == [ord("x")]
        with pytest.raises(KeyError):
            frame[77]
        assert len(reader.streams) == 2
        assert reader.streams[""].id == 2


def test_values_that_change_what_is_published(name):
    values: dict = {}

    class Changing:
        def __float__(self) -> float:
            values.update(dict.fromkeys("xyz", 1.0))
            return 0.5

    values |= {"a": Changing(), "b": 2.0}
    with pyshmx.Publisher(name, {"a": "f64", "b": "f64"}) as pub, pyshmx.Reader(name) as reader:
        assert pub.publish(values) == 1
        assert dict(reader.wait(5)) == {"a": 0.5, "b": 2.0}


def test_an_interruption_amid_a_conversion_is_one(name):
    class Interrupted:
        def __float__(self) -> float:
            raise KeyboardInterrupt

        __index__ = __float__

    with pyshmx.Publisher(name, {"a": "f64", "b": "u8"}) as pub:
        for stream in "ab":
            with pytest.raises(KeyboardInterrupt):
                pub.publish({stream: Interrupted()})
        assert pub.published == 0


def test_times_that_make_no_sense(name):
    with pyshmx.Publisher(name, {"t": "u64"}), pyshmx.Reader(name) as reader:
        for bad in (-1, float("nan"), float("-inf")):
            for wait in (reader.wait, reader.next, lambda t: reader.newest(timeout=t)):
                with pytest.raises(ValueError, match="None for ever"):
                    wait(bad)
        with pytest.raises(TypeError):
            reader.wait("1")
        with pytest.raises(ValueError):
            pyshmx.Reader(name, spin=-1)
