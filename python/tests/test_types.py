"""Element types, and what may be assigned to a stream."""

from __future__ import annotations

import array

import ml_dtypes
import numpy as np
import pytest

import pyshmx

TYPES = {
    "bool": np.bool_,
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
    "i32": np.int32,
    "u32": np.uint32,
    "i64": np.int64,
    "u64": np.uint64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f64": np.float64,
}


@pytest.mark.parametrize("short", TYPES)
def test_every_type_goes_there_and_back(name, short):
    dtype = np.dtype(TYPES[short])
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    streams = {"array": (short, (2, 3)), "vector": (dtype, 3), "one": short, "many": pyshmx.stream(short, None, max=9)}
    with pyshmx.Publisher(name, streams) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"array": values, "vector": values[0], "one": 1, "many": values.ravel()})
        frame = reader.wait(5)
        for stream, expected in (("array", values), ("vector", values[0]), ("many", values.ravel())):
            assert frame[stream].dtype == dtype
            assert np.array_equal(frame[stream], expected)
        assert frame["one"] == 1
        assert type(frame["one"]) is (bool if short == "bool" else float if "f" in short else int)
        assert [s.dtype for s in reader.streams.values()] == [short] * 4
        # Lists are converted, and so are arrays that do not lie in one piece.
        frame.release()
        pub.publish({"array": values.tolist(), "vector": values[1].tolist(), "one": values[1, 1], "many": [1, 0]})
        frame = reader.wait(5)
        assert np.array_equal(frame["array"], values)
        assert frame["many"].tolist() == [1, 0]
        assert frame["one"] == 0
        apart = np.asfortranarray(values)
        pub.publish({"array": apart, "many": values[0, ::2]})
        frame = reader.wait(5)
        assert np.array_equal(frame["array"], values)
        assert np.array_equal(frame["many"], values[0, ::2])


def test_the_extremes_of_numbers(name):
    limits = {t: np.iinfo(d) for t, d in TYPES.items() if t[0] in "iu"}
    with pyshmx.Publisher(name, {t: t for t in limits}) as pub:
        reader = pyshmx.Reader(name)
        for which in ("min", "max"):
            values = {t: int(getattr(i, which)) for t, i in limits.items()}
            pub.publish(values)
            assert dict(reader.wait(5)) == values
        for t, i in limits.items():
            for bad in (int(i.min) - 1, int(i.max) + 1, 10**40, 1.5, "1", None):
                with pytest.raises(ValueError, match=f"{t}"):
                    pub.publish({t: bad})


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (np.zeros((2, 3), np.float64), r"f64 \(2, 3\)"),
        (np.zeros((2, 3), np.int32), r"i32 \(2, 3\)"),
        (np.zeros((3, 2), np.float32), r"f32 \(3, 2\)"),
        (np.zeros(6, np.float32), r"f32 \(6,\)"),
        (np.zeros((2, 3), ">f4"), r"items \(2, 3\)"),
        (np.zeros((2, 3), np.complex64), "not"),
        (np.zeros((2, 3), object), "not"),
        (b"123", "3 bytes"),
        ([[1, 2], [3, 4]], r"\(2, 2\)"),
        ([[1, 2, 3], [4, 5]], "not"),
        ("text", "not"),
        (None, "not"),
        (1.5, "not"),
        ({"a": 1}, "not"),
        (array.array("d", range(6)), r"f64 \(6,\)"),
    ],
)
def test_other_types_and_shapes_are_refused(name, bad, found):
    with pyshmx.Publisher(name, {"a": ("f32", (2, 3)), "b": "u8"}) as pub, pyshmx.Reader(name) as reader:
        with pytest.raises(pyshmx.StreamMismatch, match=found) as caught:
            pub.publish({"a": bad})
        assert "stream a takes f32 (2, 3)" in str(caught.value)
        assert isinstance(caught.value, ValueError)
        with pytest.raises(KeyError):
            pub.publish({"c": 1})
        assert pub.published == 0
        # The frame goes on as if nothing had happened.
        with pub.frame() as f:
            with pytest.raises(ValueError):
                f["a"] = bad
            f["b"] = 3
        assert reader.wait(5).keys() == ["b"]


def test_buffers_of_others_are_taken(name):
    with pyshmx.Publisher(name, {"f": ("f64", (6,)), "b": ("u8", (4,)), "i": ("i32", (2, 2))}) as pub:
        reader = pyshmx.Reader(name)
        squares = memoryview(array.array("i", [1, 2, 3, 4])).cast("B").cast("i", (2, 2))
        pub.publish({"f": array.array("d", range(6)), "b": bytearray(b"abcd"), "i": squares})
        frame = reader.wait(5)
        assert frame["f"].tolist() == [0, 1, 2, 3, 4, 5]
        assert frame["b"].tobytes() == b"abcd"
        assert frame["i"].tolist() == [[1, 2], [3, 4]]
        # Bytes stand for values of any type.
        pub.publish({"f": bytes(48), "b": memoryview(b"wxyz")})
        assert reader.wait(5)["f"].tolist() == [0] * 6


def test_named_fields(name):
    point = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4")])
    with pyshmx.Publisher(
        name, {"one": point, "many": (point, (4,)), "open": pyshmx.stream(point, None, max=9)}
    ) as pub:
        reader = pyshmx.Reader(name)
        values = np.array([(1, 2, 3), (4, 5, 6), (7, 8, 9), (0, 0, 1)], point)
        pub.publish({"one": values[0], "many": values, "open": values[:2]})
        frame = reader.wait(5)
        assert frame["many"].dtype == point
        assert frame["many"]["y"].tolist() == [2, 5, 8, 0]
        assert frame["one"]["z"] == 3
        assert frame["open"].shape == (2,)
        with pub.frame() as f:
            f["many"]["x"] = 5
            f["one"] = (1, 2, 3)
        assert reader.wait(5)["many"]["x"].tolist() == [5] * 4
        with pytest.raises(ValueError):
            pub.publish({"many": np.zeros((4, 3), np.float32)})
    with pytest.raises(TypeError, match="of several types"):
        pyshmx.stream([("x", "f4"), ("n", "i4")])


def test_declarations():
    assert pyshmx.stream("f32").extra == {"shape": []}
    assert pyshmx.stream(float) == pyshmx.stream("f64") == pyshmx.stream(np.float64)
    assert pyshmx.stream(int).dtype == "i64"
    assert pyshmx.stream(bool).dtype == "bool"
    assert pyshmx.stream(("f4", (3,))).shape == (3,)
    assert pyshmx.vector("f32", 3).components == 3
    assert pyshmx.pose().extra == {"role": "pose", "shape": []}
    assert pyshmx.points(10, unit="mm").extra == {"role": "points", "shape": [0], "unit": "mm"}
    assert pyshmx.stream("f32", extra=b"raw").extra == b"raw"
    assert pyshmx.stream("u64", role="time", unit="ns", clock="monotonic").extra["clock"] == "monotonic"
    for wrong in ("f33", "complex64", ">f4", "U3", object()):
        with pytest.raises(TypeError):
            pyshmx.stream(wrong)
    for shape in ((0,), (-1,), (None, None), (1,) * 9, (2**20, 2**20)):
        with pytest.raises(ValueError):
            pyshmx.stream("f32", shape, max=3)
    with pytest.raises(ValueError, match="max="):
        pyshmx.stream("f32", None)
    with pytest.raises(ValueError, match="pixel format"):
        pyshmx.image(4, 4, "rgb9")
    with pytest.raises(ValueError, match="max="):
        pyshmx.image(4, 4, "png")


def test_bad_declarations_make_no_region(name):
    for bad, error in [
        ({"a": "f33"}, TypeError),
        ({"": "f32"}, TypeError),
        ({1: "f32"}, TypeError),
        ({"a": ("f32", "x")}, TypeError),
        ({"a": pyshmx.stream("u8", id=1), "b": pyshmx.stream("u8", id=1)}, pyshmx.InvalidRegion),
        ({"a": pyshmx.stream("u8", extra={"role": "pose"})}, pyshmx.InvalidRegion),
        (5, TypeError),
    ]:
        with pytest.raises(error):
            pyshmx.Publisher(name, bad)
    with pytest.raises(pyshmx.InvalidRegion):
        pyshmx.Publisher(name, {"a": "u8"}, slots=0)
    with pytest.raises(ValueError, match="checksum"):
        pyshmx.Publisher(name, {"a": "u8"}, checksum="sometimes")
    with pytest.raises(pyshmx.InvalidRegion):
        pyshmx.Publisher(name, {"a": "u8"}, mode=0o10777)


def test_a_bool_that_is_none_is_refused(name):
    with pyshmx.Publisher(name, {"flags": ("bool", (3,)), "flag": "bool"}) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"flags": b"\x00\x01\x02", "flag": True})
        frame = reader.wait(5)
        assert frame["flag"] is True
        with pytest.raises(pyshmx.InvalidData):
            frame["flags"]
        assert bytes(frame.bytes("flags")) == b"\x00\x01\x02"


def test_dlpack(name):
    with pyshmx.Publisher(name, {"a": ("f32", (100, 3))}) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": np.ones((100, 3), np.float32)})
        frame = reader.wait(5)
        there = np.from_dlpack(frame["a"])
        assert np.shares_memory(there, frame["a"])
        assert not there.flags.writeable
        with pytest.raises(BufferError):
            frame.release()
        del there
        frame.release()


def test_torch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed", exc_type=ImportError)
    with pyshmx.Publisher(name, {"a": ("f32", (2, 3)), "b": ("bf16", (4,)), "c": "f64"}) as pub:
        reader = pyshmx.Reader(name)
        pub.publish({"a": torch.ones(2, 3), "b": [1, 2, 3, 4], "c": torch.tensor(0.5)})
        frame = reader.wait(5)
        assert torch.equal(frame.torch("a"), torch.ones(2, 3))
        assert frame.torch("b").dtype == torch.bfloat16
        assert frame.torch("c").item() == 0.5
        frame.release()


def test_a_tensor_without_a_copy_is_refused(name):
    with pyshmx.Publisher(name, {"a": ("f32", (2, 3))}) as pub, pyshmx.Reader(name) as reader:
        pub.publish({"a": np.zeros((2, 3), np.float32)})
        with pytest.raises(BufferError, match="copy=True"):
            reader.wait(5).torch("a", copy=False)
