"""The package without numpy: memoryviews instead of arrays. In processes where numpy cannot be imported."""

from __future__ import annotations

HIDE = """
import sys
sys.modules["numpy"] = None
import importlib.abc
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numpy", "ml_dtypes"):
            raise ModuleNotFoundError(name)
del sys.modules["numpy"]
sys.meta_path.insert(0, Hide())
import pyshmx, struct
"""


def run(spawn, name: str, code: str) -> str:
    process = spawn(HIDE + code, name)
    line = process.line()
    assert process.end() == 0
    return line


def test_memoryviews(spawn, name):
    code = """
with pyshmx.Publisher(sys.argv[1], {
    "image": pyshmx.image(2, 3, "rgb8"), "v": ("f32", 3), "t": "u64", "h": ("f16", (2,)), "b": "bool",
    "padded": pyshmx.image(2, 3, "mono8", row_step=8), "open": pyshmx.stream("i16", (None, 2), max=4)}) as pub:
    reader = pyshmx.Reader(sys.argv[1], copy=False)
    with pub.frame() as f:
        f["image"] = bytes(range(18))
        f["v"] = [1, 2.5, 3]
        f["t"] = 7
        f["h"] = (1, 2)
        f["b"] = True
        f["open"] = [[1, 2], [3, 4]]
        room = f["padded"]
        room[1, 2] = 9
        del room
    frame = reader.wait(5)
    image = frame["image"]
    assert (image.shape, image.format, image.readonly) == ((2, 3, 3), "B", True)
    assert image[1, 2, 2] == 17
    assert frame["v"].tolist() == [1, 2.5, 3] and frame["v"].format == "f"
    # Not every memoryview can list half floats.
    assert frame["h"].format == "e" and bytes(frame["h"]) == struct.pack("2e", 1, 2)
    assert frame["t"] == 7 and frame["b"] is True
    assert frame["padded"][1, 2] == 9 and frame["padded"].strides == (8, 1)
    assert frame["open"].tolist() == [[1, 2], [3, 4]]
    assert frame.copy()["image"] == bytes(range(18))
    try:
        frame.release()
    except BufferError:
        image.release()
        del image
        frame.release()
    for bad in ([1, 2], [1, 2, 3, 4], [[1, 2, 3]], ["x"] * 3, [[1], 2, 3], [1, [2], 3], "abc", None):
        try:
            pub.publish({"v": bad})
        except ValueError as e:
            assert "takes f32 (3,)" in str(e), e
        else:
            raise AssertionError(bad)
    try:
        pyshmx.stream("complex")
    except TypeError as e:
        assert "use one of" in str(e)
    assert "numpy" not in sys.modules
    print("good")
"""
    assert run(spawn, name, code) == "good"


def test_bf16_without_a_type_of_its_own(spawn, name):
    code = """
import sys, importlib.abc
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "ml_dtypes":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
import numpy as np, pyshmx
with pyshmx.Publisher(sys.argv[1], {"v": ("bf16", (3,)), "one": "bf16"}) as pub:
    reader = pyshmx.Reader(sys.argv[1])
    pub.publish({"v": np.array([0x3F80, 0x4000, 0], np.uint16), "one": 1.5})
    frame = reader.wait(5)
    assert frame["v"].dtype == np.uint16 and frame["v"].tolist() == [0x3F80, 0x4000, 0]
    assert frame["one"] == 1.5
print("good")
"""
    process = spawn(code, name)
    assert process.line() == "good"
    assert process.end() == 0


def test_shapes_that_come_round(spawn, name):
    """A shape of 2**64 elements has as many bytes as an empty frame, modulo 2**64."""
    code = """
import pyshmx.compat as shmx
for extra in (b'{"shape":[65536,65536,65536,65536]}', b'{"shape":[0,65536,65536,65536,65536]}'):
    server = shmx.Server()
    spec = shmx.create_stream_spec(1, "a", shmx.DT_F64, 1, 8, extra=extra)
    assert server.create(sys.argv[1], streams=[spec])
    handle = server.begin_frame()
    assert server.append_stream(handle, 1, b"", 0) and server.publish_frame(handle, 0)
    with pyshmx.Reader(sys.argv[1]) as reader:
        found = reader.latest()["a"]
        assert (found.shape, found.nbytes) == ((0,), 0), found.shape
        try:
            found[1, 0, 0, 0]
        except (IndexError, TypeError, NotImplementedError):
            pass
    server.destroy()
print("good")
"""
    assert run(spawn, name, code) == "good"


def test_buffers_are_what_was_asked_for(spawn, name):
    code = """
import ctypes
get, give_back = ctypes.pythonapi.PyObject_GetBuffer, ctypes.pythonapi.PyBuffer_Release
get.argtypes = ctypes.py_object, ctypes.c_void_p, ctypes.c_int

def asks(view, flags):
    buffer = ctypes.create_string_buffer(256)
    try:
        get(view, buffer, flags)
    except BufferError:
        return False
    give_back(buffer)
    return True

SIMPLE, WRITABLE, ND, STRIDES, C, F, ANY = 0, 1, 8, 0x18, 0x38, 0x58, 0x98
with pyshmx.Publisher(sys.argv[1], {
    "padded": pyshmx.image(2, 3, "mono8", row_step=8), "tight": pyshmx.image(2, 3, "mono8"), "v": ("f32", 3)}) as pub:
    reader = pyshmx.Reader(sys.argv[1], copy=False)
    with pub.frame() as f:
        f["padded"], f["tight"], f["v"] = bytes(16), bytes(6), [1, 2, 3]
    frame = reader.wait(5)
    found = {k: [asks(frame[k].obj, flags) for flags in (SIMPLE, ND, STRIDES, C, F, ANY, WRITABLE)] for k in frame}
    assert found["padded"] == [False, False, True, False, False, False, False], found
    assert found["tight"] == [True, True, True, True, False, True, False], found
    assert found["v"] == [True, True, True, True, True, True, False], found
    del frame
print("good")
"""
    assert run(spawn, name, code) == "good"


def test_frames_while_they_are_written(spawn, name):
    code = """
with pyshmx.Publisher(sys.argv[1], {"image": pyshmx.image(4, 3, "rgb8"), "v": ("f32", 3)}) as pub:
    reader = pyshmx.Reader(sys.argv[1], copy=False)
    try:
        reader.follow(0)
    except pyshmx.Timeout:
        pass
    with pub.frame() as f:
        fill = f.fill("image")
        fill.rest[0, 0, 0] = 5
        fill.commit(1)
        growing = reader.follow(60)
        assert growing.wait(60)
        part = growing["image"]
        assert (part.shape, part.readonly, part[0, 0, 0]) == ((1, 3, 3), True, 5)
        fill.write(bytes(range(9)))
        fill.write(bytearray(18))
        assert fill.filled
        assert growing["image"][1, 2, 2] == 8
        fill = f.fill("v")
        import array
        fill.write(array.array("f", [1.0, 2.0]))
        for bad in ([3.0], array.array("d", [3.0]), b"123", "abc"):
            try:
                fill.write(bad)
            except pyshmx.StreamMismatch:
                pass
            else:
                raise AssertionError(bad)
        fill.write(struct.pack("f", 3))
    assert [p.tolist() for p in growing.parts("v")] == [[1.0, 2.0, 3.0]]
    frame = growing.finish(60)
    assert frame["v"].tolist() == [1, 2, 3]
    print("ok")
"""
    assert run(spawn, name, code) == "ok"
