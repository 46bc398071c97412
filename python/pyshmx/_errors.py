"""What can go wrong. Every message says what is wrong and what to do about it."""

from __future__ import annotations


class Error(Exception):
    """Base of all errors of this package. The fields of an error are attributes of its own."""

    def __reduce__(self) -> tuple[object, ...]:
        # Between processes, too: by itself an OSError loses its number.
        number = {"errno": self.errno} if isinstance(self, OSError) else {}
        return type(self), self.args, self.__dict__ | number


class NotFound(Error, FileNotFoundError):
    """No region has this name. ``name``."""

    name: str


class AccessDenied(Error, PermissionError):
    """The region's mode or owner forbids it."""


class NameTaken(Error, FileExistsError):
    """Another server, or something else, has the name. ``name``, ``pid`` (of a live server, else None)."""

    name: str
    pid: int | None


class NoRoom(Error, MemoryError):
    """Shared memory has too little room. ``needed`` and ``available``, bytes."""

    needed: int
    available: int


class SystemFailure(Error, OSError):
    """A step of the operating system failed."""


class NotARegion(Error, ValueError):
    """What has the name is not a region that can be read."""


class InvalidName(Error, ValueError):
    """The name cannot be one of a region."""


class InvalidRegion(Error, ValueError):
    """These sizes or streams make no region."""


class NoReaderSlot(Error):
    """All reader slots are taken by readers that live. ``pids`` of those that say so."""

    pids: list[int]


class ServerGone(Error, EOFError):
    """The server is gone, and there is no frame left to take. ``end``: ``"closed"`` or ``"died"``."""

    end: str


class SessionChanged(ServerGone):
    """Another server has begun the region anew: open it again."""


class FrameRejected(Error, ValueError):
    """A frame is damaged or foreign, and was not delivered. The next one may be good. ``frame_id`` if it is known."""

    frame_id: int | None


class FrameVoid(Error, RuntimeError):
    """A frame that was followed came to nothing: what was made of its parts is no result.

    ``reason``: ``"abandoned"`` by its producer; ``"died"`` or ``"closed"``, the server, before it published the frame;
    ``"replaced"``, the region by another server; ``"rejected"``, for a wrong checksum, say (see ``__cause__``);
    ``"damaged"``, by a program that ignores the protocol.
    """

    reason: str


class InUse(Error, RuntimeError):
    """The reader follows a frame and does nothing else meanwhile: finish or leave the frame, or open another reader."""


class Overtaken(Error):
    """The producer overwrote every frame while it was being read: the region needs more slots."""


class Forked(Error, RuntimeError):
    """The object belongs to the process that forked this one: open one of your own."""


class UnknownStream(Error, KeyError):
    """There is no such stream, or this frame does not carry it. ``known``: names of those there are."""

    known: list[str]

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class StreamMismatch(Error, ValueError):
    """The values have another type or shape than the stream."""


class InvalidData(Error, ValueError):
    """The data of a stream is not what the directory says: a bool of 2, say."""


class NoFreeSlot(Error):
    """Readers hold every slot, or other frames do: skip this frame.

    ``leased`` and ``writing``, slots; ``holders``, a dict for each reader with ``index``, ``reader_id``, ``pid``
    (None if unknown) and ``leased``, slots.
    """

    leased: int
    writing: int
    holders: list[dict[str, int | None]]


class FrameFull(Error, ValueError):
    """The stream does not fit into the frame."""


class Unfinished(Error, ValueError):
    """A stream that is filled in pieces lacks some: commit all of it before the frame is published."""


class SendFailed(Error):
    """A message to the server was not sent."""


class RingFull(SendFailed, BlockingIOError):
    """The server has not polled the messages that are there yet: try again later."""


class Timeout(Error, TimeoutError):
    """The time is up."""


class NotTaken(Timeout):
    """Readers that want every frame have not taken what would be overwritten.

    ``frame_id``, the frame that was waited for; ``laggards``, a dict for each reader with ``index``, ``reader_id``,
    ``pid``, ``last_taken`` and ``stopped``.
    """

    frame_id: int
    laggards: list[dict[str, int | bool | None]]


class ViewsAlive(Error, BufferError):
    """Arrays of the frame are still in use: ``del`` them, or copy them first."""


class Closed(Error, ValueError):
    """The object was closed, released or published before."""


class Unsupported(Error, NotImplementedError):
    """This platform cannot do it."""
