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
