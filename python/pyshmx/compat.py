"""A drop-in for the Python package ``shmx`` 1.0.1, whose programs run unchanged::

    import pyshmx.compat as shmx

It has the same classes, functions, constants, keywords, defaults and answers. What differs is listed in docs/python.md:
crashes are errors, frames are private copies that neither change nor dangle, any contiguous buffer can be appended, and
a name that a live server has is refused; the logger ``pyshmx.compat`` says why.

The distribution ``pyshmx-compat`` provides it under the name ``shmx``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._native import _compat

Client = _compat.Client
Server = _compat.Server
Inspector = _compat.Inspector
dtype_to_string = _compat.dtype_to_string
layout_to_string = _compat.layout_to_string

#: The version of the original that this one stands for.
__version__ = "1.0.1"
VERSION_MAJOR = 2
VERSION_MINOR = 0

DT_BOOL = 1
DT_I8 = 2
DT_U8 = 3
DT_I16 = 4
DT_U16 = 5
DT_I32 = 6
DT_U32 = 7
DT_I64 = 8
DT_U64 = 9
DT_F16 = 10
DT_BF16 = 11
DT_F32 = 12
DT_F64 = 13

LAYOUT_SOA_SCALAR = 0
LAYOUT_AOS_VECTOR = 1

TLV_STATIC_DIR = 0x1000
TLV_FRAME_STREAM = 0x2000
TLV_CONTROL_USER = 0x3000

__all__ = [  # noqa: RUF022 (the original's order)
    "Client",
    "Server",
    "Inspector",
    "DT_BOOL",
    "DT_I8",
    "DT_U8",
    "DT_I16",
    "DT_U16",
    "DT_I32",
    "DT_U32",
    "DT_I64",
    "DT_U64",
    "DT_F16",
    "DT_BF16",
    "DT_F32",
    "DT_F64",
    "LAYOUT_SOA_SCALAR",
    "LAYOUT_AOS_VECTOR",
    "TLV_STATIC_DIR",
    "TLV_FRAME_STREAM",
    "TLV_CONTROL_USER",
    "dtype_to_string",
    "layout_to_string",
    "__version__",
]


def create_stream_spec(
    stream_id: int,
    name: str,
    dtype_code: int,
    components: int,
    bytes_per_elem: int,
    layout_code: int | None = None,
    extra: Any = None,
) -> dict[str, Any]:
    """Put a stream's description together for ``Server.create``. Nothing is checked; ``extra`` becomes bytes."""
    spec: dict[str, Any] = {
        "id": stream_id,
        "name": name,
        "dtype_code": dtype_code,
        "components": components,
        "bytes_per_elem": bytes_per_elem,
    }
    if layout_code is not None:
        spec["layout_code"] = layout_code
    if extra is not None:
        spec["extra"] = extra if isinstance(extra, bytes) else bytes(extra)
    return spec


def frame_to_numpy(frame_dict: Mapping[str, Any], dtype_map: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give the streams of a frame as flat numpy arrays, over the memory that the frame has.

    ``dtype_map`` has the types by stream name: what numpy takes for a dtype, or one of the constants ``DT_...``.
    Streams that it does not name are bytes. The metadata stays as it is. Raises ValueError where the bytes are no whole
    elements.
    """
    import numpy as np

    arrays: dict[str, Any] = {}
    for name, stream in frame_dict.items():
        if name == "__metadata__" and "data" not in stream:
            arrays[name] = stream
            continue
        dtype = (dtype_map or {}).get(name, np.uint8)
        if isinstance(dtype, int):
            dtype = _numpy_type(dtype)
        arrays[name] = np.frombuffer(stream["data"], dtype)
    return arrays


def _numpy_type(code: int) -> Any:
    name = dtype_to_string(code)
    if name == "unknown":
        raise ValueError(f"{code} is no element type; use one of the constants DT_...")
    if name == "bfloat16":
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            return "uint16"
        return ml_dtypes.bfloat16
    return name
