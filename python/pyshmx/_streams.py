"""Streams: how they are declared, and what numpy makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _native

#: Names of element types, and the names that numpy and Python have for them.
_TYPES = ("bool", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "f16", "bf16", "f32", "f64")
_ALIASES = {
    "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32", "uint32": "u32", "int64": "i64",
    "uint64": "u64", "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64", "bool_": "bool",
    "int": "i64", "float": "f64",
}  # fmt: skip
_NUMPY = {short: long for long, short in _ALIASES.items() if long not in ("int", "float", "bool_")} | {"bool": "bool"}

#: What one frame has at most: a u32 of bytes.
_MOST = 2**32 - 1


@dataclass(frozen=True)
class Stream:
    """A stream as a publisher declares it; made by :func:`stream` and its kin.

    ``dtype`` is the type of a component ("f32", ...), ``components`` the numbers in one element, ``shape`` the
    elements of a frame (None for a dimension that each frame chooses), ``elements`` their most, ``extra`` the metadata
    (a dict in JSON, or bytes of the application), ``id`` the number (None: the publisher counts), ``fields`` the names
    of components.
    """

    dtype: str
    components: int = 1
    shape: tuple[int | None, ...] = ()
    elements: int = 1
    extra: Mapping[str, Any] | bytes | None = None
    id: int | None = None
    fields: tuple[str, ...] | None = None


def _type_of(dtype: Any) -> tuple[str, tuple[int, ...], tuple[str, ...] | None]:
    """Element type, dimensions of a subarray, and field names of anything that names a type."""
    if isinstance(dtype, str) and dtype in _TYPES:
        return dtype, (), None
    if isinstance(dtype, str) and dtype in _ALIASES:
        return _ALIASES[dtype], (), None
    if any(dtype is t for t in (bool, int, float)):
        return _ALIASES.get(dtype.__name__, dtype.__name__), (), None
    try:
        import numpy as np
    except ModuleNotFoundError:
        raise TypeError(f"{dtype!r} is no element type; use one of {', '.join(_TYPES)}") from None
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{dtype!r} is no element type; use one of {', '.join(_TYPES)}") from None
    if found.fields is not None:
        names = found.names or ()
        kinds = {found.fields[name][0] for name in names}
        packed = found.itemsize == sum(kind.itemsize for kind in (found.fields[n][0] for n in names))
        if len(kinds) != 1 or not packed:
            raise TypeError(f"{found} has fields of several types, or gaps; the fields of an element are of one type")
        of, dims, inner = _type_of(kinds.pop())
        if dims or inner:
            raise TypeError(f"{found} has fields that are no numbers")
        return of, (), names
    if found.subdtype is not None:
        base, dims = found.subdtype
        of, _, _ = _type_of(base)
        return of, tuple(dims), None
    if not found.isnative:
        raise TypeError(f"{found} is not in the byte order of this machine")
    if found.name not in _ALIASES and found.name != "bool":
        raise TypeError(f"{found} is no element type; use one of {', '.join(_TYPES)}")
    return _ALIASES.get(found.name, "bool"), (), None


def stream(
    dtype: Any,
    shape: int | Sequence[int | None] | None = (),
    *,
    components: int = 1,
    max: int | None = None,
    id: int | None = None,
    role: str | None = None,
    unit: str | None = None,
    frame: str | None = None,
    clock: str | None = None,
    extra: Mapping[str, Any] | bytes | None = None,
) -> Stream:
    """A stream of numbers of one type.

    ``dtype``: "f32" and the like, or anything that numpy takes for a dtype; one with named fields of one type makes
    elements of as many components. ``shape``: elements of a frame, () for one, None in the place of a dimension that
    each frame chooses, up to ``max``. ``components``: numbers in one element, which are the last dimension of arrays.
    ``unit``, ``frame`` and ``clock`` say what the numbers mean (docs/streams.md); ``extra`` adds keys of your own, or
    is bytes.

    >>> stream("f32", (None, 3), max=1000).elements
    3000
    """
    of, dims, fields = _type_of(dtype)
    if fields:
        components = len(fields)
    if components < 1:
        raise ValueError(f"components={components}; a scalar has 1")
    given: tuple[int | None, ...] = (shape,) if isinstance(shape, int) or shape is None else tuple(shape)
    all_dims = given + dims
    open_dims = [d for d in all_dims if d is None]
    if any(d is not None and (not isinstance(d, int) or d < 1) for d in all_dims):
        raise ValueError(f"shape={given}; dimensions are whole numbers above 0, or None")
    if len(open_dims) > 1 or len(all_dims) > 8:
        raise ValueError(f"shape={given}; at most one of at most 8 dimensions can be None")
    if open_dims and max is None:
        raise ValueError(f"shape={given} leaves a dimension open; say how large it can be, by max=")
    elements = max if open_dims and max is not None else 1
    for d in all_dims:
        elements *= d or 1
    if elements > _MOST:
        raise ValueError(f"{elements} elements are more than a frame can hold")
    if isinstance(extra, bytes):
        return Stream(of, components, all_dims, elements, extra, id, fields)
    meta: dict[str, Any] = {"role": role, "shape": [d or 0 for d in all_dims], "unit": unit, "frame": frame}
    meta |= {"clock": clock, "fields": list(fields) if fields else None}
    kept = {key: value for key, value in meta.items() if value is not None}
    return Stream(of, components, all_dims, elements, kept | dict(extra or {}), id, fields)


def vector(dtype: Any, components: int, shape: int | Sequence[int | None] | None = (), **meta: Any) -> Stream:
    """Vectors of ``components`` numbers, one in each frame unless ``shape`` says more; see :func:`stream`."""
    return stream(dtype, shape, components=components, **meta)


def points(max: int, dtype: Any = "f32", components: int = 3, *, unit: str = "m", **meta: Any) -> Stream:
    """Up to ``max`` points of x, y, z and what else there is; see :func:`stream`."""
    return stream(dtype, (None,), components=components, max=max, role="points", unit=unit, **meta)


def pose(dtype: Any = "f64", **meta: Any) -> Stream:
    """A pose: x, y, z and a quaternion x, y, z, w; see :func:`stream`."""
    return stream(dtype, (), components=7, role="pose", **meta)


def image(
    height: int,
    width: int,
    encoding: str,
    *,
    row_step: int | None = None,
    max: int | None = None,
    id: int | None = None,
    frame: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Stream:
    """An image in each frame; ``encoding`` is its pixel format ("bgr8", "16UC1", "nv12", ...; see docs/streams.md).

    ``row_step``: bytes from one row to the next, if rows are padded. A compressed one ("jpeg") needs ``max``, bytes.

    >>> image(480, 640, "bgr8").components
    3
    """
    layout = _native.image_layout(height, width, encoding, row_step)
    if layout is None:
        raise ValueError(f"the pixel format {encoding!r} is not known; docs/streams.md lists them")
    dtype, components, elements = layout
    if elements is None:
        if max is None:
            raise ValueError(f"an image in {encoding} has any number of bytes; say how many at most, by max=")
        elements = max
    meta: dict[str, Any] = {"role": "image", "shape": [height, width], "encoding": encoding}
    meta |= {"row_step": row_step, "frame": frame}
    kept = {key: value for key, value in meta.items() if value is not None}
    return Stream(dtype, components, (height, width), elements, kept | dict(extra or {}), id)


def _of(name: str, given: Any) -> Stream:
    """What a publisher is given for a stream."""
    if isinstance(given, Stream):
        return given
    if isinstance(given, tuple) and len(given) == 2 and not _is_fields(given):
        dtype, shape = given
        if isinstance(shape, int) and not isinstance(shape, bool):
            return stream(dtype, components=shape)
        if isinstance(shape, (tuple, list)):
            return stream(dtype, tuple(shape))
        raise TypeError(f"stream {name!r}: {given!r}; use (type, n) for a vector, (type, shape) for an array")
    return stream(given)


def _is_fields(given: tuple[Any, Any]) -> bool:
    return all(isinstance(field, tuple) for field in given)


_Described = tuple[int, str, str, int, int, bytes]


def _describe(streams: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> list[_Described]:
    """The streams of a publisher as the compiled part takes them."""
    items = list(streams.items() if isinstance(streams, Mapping) else streams)
    free = _numbers(s.id for _, s in items if isinstance(s, Stream) and s.id is not None)
    return [_describe_next(name, given, free) for name, given in items]


def _numbers(taken: Iterable[int]) -> Iterator[int]:
    """Numbers for streams that are given none."""
    known = set(taken)
    return (n for n in range(1, 2**32) if n not in known)


def _describe_one(name: str, given: Any, taken: Iterable[int]) -> _Described:
    return _describe_next(name, given, _numbers(taken))


def _describe_next(name: str, given: Any, free: Iterator[int]) -> _Described:
    if not isinstance(name, str) or not name:
        raise TypeError(f"{name!r}; streams have names")
    s = _of(name, given)
    number = next(free) if s.id is None else s.id
    extra = s.extra if isinstance(s.extra, bytes) else _json(s.extra)
    return number, name, s.dtype, s.components, s.elements, extra


def _json(extra: Mapping[str, Any] | None) -> bytes:
    return json.dumps(extra, separators=(",", ":"), ensure_ascii=False).encode() if extra else b""


def _dtype(name: str, components: int, extra: bytes) -> tuple[Any, bool]:
    """numpy's dtype of a stream, and whether it has the components as fields."""
    import numpy as np

    if name == "bf16":
        try:
            import ml_dtypes

            base = np.dtype(ml_dtypes.bfloat16)
        except ModuleNotFoundError:
            base = np.dtype(np.uint16)
    else:
        base = np.dtype(_NUMPY[name])
    fields = _fields(extra) if components > 1 and b'"fields"' in extra else None
    if fields is not None and len(fields) == components:
        return np.dtype([(field, base) for field in fields]), True
    return base, False


def _fields(extra: bytes) -> list[str] | None:
    try:
        found = json.loads(extra.rstrip(b"\0"))["fields"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    good = isinstance(found, list) and all(isinstance(f, str) and f for f in found) and len(set(found)) == len(found)
    return found if good else None


def _convert(values: Any, dtype: Any, name: str | None) -> Any:
    """An array of the numbers of a list: of ones that the type has, nothing is cut off."""
    import numpy as np

    if dtype.fields is None:
        found = np.asarray(values)
        kind = found.dtype.kind
        if name == "bool":
            good = kind == "b" or (kind in "iu" and bool(((found == 0) | (found == 1)).all()))
        else:
            good = kind in ("biuf" if name in ("f16", "bf16", "f32", "f64") else "biu")
        if not good and found.size:
            raise TypeError(f"values of {found.dtype}")
    return np.asarray(values, dtype)


def _bytes(view: Any) -> Any:
    """Data that is no whole number of elements."""
    import numpy as np

    return np.frombuffer(view, np.uint8)


def _copy(data: Any) -> Any:
    """A private copy of what a frame gives."""
    if isinstance(data, memoryview):
        return data.tobytes()
    return data.copy() if hasattr(data, "copy") else data


def _torch(array: Any, dtype: str | None) -> Any:
    """A tensor with a copy of the data."""
    import torch

    if isinstance(array, (bool, int, float)):
        return torch.tensor(array, dtype=getattr(torch, _NUMPY.get(dtype or "", "float64")))
    if isinstance(array, memoryview):
        raise TypeError("torch takes arrays of numpy, which is not installed")
    if array.dtype.fields is not None:
        import numpy as np

        first = next(iter(array.dtype.fields.values()))[0]
        array = array.view(first).reshape(*array.shape, -1) if isinstance(array, np.ndarray) else array
    if dtype == "bf16":
        import numpy as np

        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def _open_again(cls: type, name: str, kwargs: dict[str, Any]) -> Any:
    """What a reader is unpickled by."""
    return cls(name, **kwargs)
