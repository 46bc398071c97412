"""Frames of typed streams between processes on one machine, through named shared memory.

A :class:`Publisher` publishes frames into a ring of slots; any number of :class:`Reader` take the newest, or each one.
Arrays lie in shared memory and keep their slot for as long as they live. ``pyshmx.compat`` is a drop-in for the package
``shmx``.

>>> import os, pyshmx
>>> name = f"doc-{os.getpid()}"
>>> with pyshmx.Publisher(name, {"tick": "u64", "pose": ("f32", 7)}) as pub, pyshmx.Reader(name) as reader:
...     with pub.frame(time=0.5) as f:
...         f["tick"] = 7
...         f["pose"] = [0, 0, 1, 0, 0, 0, 1]
...     with reader.wait(1) as frame:
...         print(frame["tick"], frame.time)
7 0.5
"""

from __future__ import annotations

from builtins import list as _list
from collections.abc import Iterable

try:
    from . import _native
except ImportError as _e:  # pragma: no cover
    if "subinterpreter" in str(_e):
        raise ImportError(
            "pyshmx works in one interpreter of a process: import it in the main one only, and use threads or "
            "processes instead of subinterpreters"
        ) from _e
    raise ImportError(
        f"the compiled part of pyshmx cannot be loaded ({_e}); install it with `pip install ./python` from the "
        "project, or a wheel for this interpreter and platform"
    ) from _e

from ._aio import open_reader
from ._errors import (
    AccessDenied,
    Closed,
    Error,
    Forked,
    FrameFull,
    FrameRejected,
    FrameVoid,
    InUse,
    InvalidData,
    InvalidName,
    InvalidRegion,
    NameTaken,
    NoFreeSlot,
    NoReaderSlot,
    NoRoom,
    NotARegion,
    NotFound,
    NotTaken,
    Overtaken,
    RingFull,
    SendFailed,
    ServerGone,
    SessionChanged,
    StreamMismatch,
    SystemFailure,
    Timeout,
    Unfinished,
    UnknownStream,
    Unsupported,
    ViewsAlive,
)
from ._native import (
    Fill,
    Follows,
    Frame,
    Frames,
    FrameWriter,
    Growing,
    Inspector,
    Message,
    Parts,
    Publisher,
    Reader,
    ReaderInfo,
    RegionInfo,
    Stats,
    StreamInfo,
    Tap,
    View,
    list,
    now_ticks,
    remove,
)
from ._streams import Stream, image, points, pose, stream, vector

__version__: str = _native.__version__

#: The first type of message that belongs to applications.
USER_MESSAGE = 0x3000


def tap(name: str, *, start: str = "oldest", verify: str = "auto") -> Tap:
    """Follow a region without being noticed: see :class:`Tap`."""
    return Tap(name, start=start, verify=verify)


def wait(readers: Iterable[Reader], timeout: float | None = None) -> _list[Reader]:
    """Wait for several readers at once.

    Returns those that have a frame which they have not taken, or whose server is gone; none when ``timeout`` seconds
    are over.
    """
    return _native._wait_any([*readers], timeout)


__all__ = [
    "USER_MESSAGE",
    "AccessDenied",
    "Closed",
    "Error",
    "Fill",
    "Follows",
    "Forked",
    "Frame",
    "FrameFull",
    "FrameRejected",
    "FrameVoid",
    "FrameWriter",
    "Frames",
    "Growing",
    "InUse",
    "Inspector",
    "InvalidData",
    "InvalidName",
    "InvalidRegion",
    "Message",
    "NameTaken",
    "NoFreeSlot",
    "NoReaderSlot",
    "NoRoom",
    "NotARegion",
    "NotFound",
    "NotTaken",
    "Overtaken",
    "Parts",
    "Publisher",
    "Reader",
    "ReaderInfo",
    "RegionInfo",
    "RingFull",
    "SendFailed",
    "ServerGone",
    "SessionChanged",
    "Stats",
    "Stream",
    "StreamInfo",
    "StreamMismatch",
    "SystemFailure",
    "Tap",
    "Timeout",
    "Unfinished",
    "UnknownStream",
    "Unsupported",
    "View",
    "ViewsAlive",
    "image",
    "list",
    "now_ticks",
    "open_reader",
    "points",
    "pose",
    "remove",
    "stream",
    "tap",
    "vector",
    "wait",
]
