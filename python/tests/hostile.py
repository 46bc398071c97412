"""Calls everything public with whatever comes to mind, from one thread and from several: `hostile.py NAME SEED CALLS`.

Exceptions are fine, but those that a crash or a damaged interpreter would raise. Ends by itself: a timer ends waits.
"""

from __future__ import annotations

import contextlib
import gc
import random
import signal
import sys
import threading

import numpy as np

import pyshmx
import pyshmx.compat as shmx

NAME, SEED, CALLS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
STREAMS = {
    "image": pyshmx.image(40, 50, "bgr8"),
    "padded": pyshmx.image(4, 5, "mono8", row_step=8),
    "points": pyshmx.points(max=50),
    "flags": ("bool", 3),
    "half": ("f16", (2, 2)),
    "brain": ("bf16", 4),
    "tick": "u64",
}
FORBIDDEN = (SystemError, RecursionError)


class Stop(Exception):
    """The timer's."""


class Closing:
    """Closes what it is given to while it is looked at."""

    def __init__(self, world: World) -> None:
        self.world = world

    def act(self) -> None:
        self.world.change()

    def __index__(self) -> int:
        self.act()
        return 1

    def __float__(self) -> float:
        self.act()
        return 0.5

    def __len__(self) -> int:
        self.act()
        return 3

    def __iter__(self):
        self.act()
        yield from (1, 2, 3)

    def __getitem__(self, key: object) -> int:
        self.act()
        raise IndexError

    def __eq__(self, other: object) -> bool:
        self.act()
        return False

    def __hash__(self) -> int:
        self.act()
        return 7

    def __bool__(self) -> bool:
        self.act()
        return True

    def __repr__(self) -> str:
        self.act()
        return "Closing"

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        self.act()
        return np.zeros((2, 3), np.float32)

    def __buffer__(self, flags: int) -> memoryview:
        self.act()
        return memoryview(bytes(12))

    def __del__(self) -> None:
        self.act()


class Grown(np.ndarray):
    """An array that says what it likes."""

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (2**62, 2**62)


class World:
    """Objects of every kind, which change at any time."""

    def __init__(self, seed: int, name: str) -> None:
        self.random = random.Random(seed)
        self.name = name
        self.made = 0
        self.busy = threading.local()
        self.things: dict[str, object] = {}
        self.kept: list[object] = []
        self.build()

    def build(self) -> None:
        self.made += 1
        name = f"{self.name}-{self.made % 3}"
        t = self.things
        for old in ("pub", "server"):
            if old in t:
                (t[old].close if old == "pub" else t[old].destroy)()
        try:
            pub = t["pub"] = pyshmx.Publisher(name, STREAMS, slots=6, readers=12, replace=True)
        except pyshmx.Error:
            return
        for kind, make in {
            "reader": lambda: pyshmx.Reader(name, reconnect=self.random.random() < 0.5),
            "copier": lambda: pyshmx.Reader(name, copy=True),
            "tap": lambda: pyshmx.tap(name),
            "inspector": lambda: pyshmx.Inspector(name),
            "client": shmx.Client,
            "looker": shmx.Inspector,
            "server": shmx.Server,
        }.items():
            t[kind] = make()
        t["server"].create(f"{name}-c", 3, 2, 4096, 4096, 4096, [])
        t["client"].open(f"{name}-c")
        self.begin()
        t["frames"] = t["reader"].newest(timeout=0.01)
        t["follows"] = t["copier"].following(timeout=0.01)
        t["info"] = pub.streams["image"]
        t["stats"] = t["copier"].stats
        t["handle"] = t["server"].begin_frame()

    def begin(self) -> None:
        """A frame that was published, one under construction, one that is followed."""
        t = self.things
        pub = t["pub"]
        pub.publish({"image": np.zeros((40, 50, 3), np.uint8), "tick": 1})
        t["frame"] = t["copier"].latest()
        with contextlib.suppress(pyshmx.Timeout):
            t["reader"].follow(0)
        t["writer"] = pub.frame()
        t["fill"] = t["writer"].fill("image")
        t["fill"].commit(1)
        t["growing"] = t["reader"].follow(0)
        t["parts"] = t["growing"].parts("image", timeout=0.01)
        t["view"] = t["frame"]["image"].base
        t["message"] = next(iter(pub.messages()), None)

    def change(self) -> None:
        """Something ends, or begins; not within itself."""
        if getattr(self.busy, "now", False):
            return
        self.busy.now = True
        try:
            self.random.choice(
                [
                    lambda: self.things["reader"].close(),
                    lambda: self.things["writer"].abandon(),
                    lambda: self.things["writer"].publish(),
                    lambda: self.things["growing"].leave(),
                    lambda: self.things["pub"].close(),
                    lambda: self.things["frame"].release(),
                    lambda: self.things["fill"].commit(1),
                    lambda: self.things["server"].destroy(),
                    lambda: self.things["client"].close(),
                    lambda: self.things["pub"].publish({"tick": 2}),
                    self.begin,
                    gc.collect,
                    self.kept.clear,
                ]
            )()
        except (pyshmx.Error, Stop, AttributeError, RuntimeError, KeyError):
            pass
        finally:
            self.busy.now = False

    def value(self) -> object:
        ring: list = []
        ring.append(ring)
        deep: object = 1
        for _ in range(40):
            deep = [deep]
        pick = self.random.choice
        return pick(
            [
                lambda: None,
                lambda: pick([0, 1, -1, 2, 40, 2**31, 2**32, 2**63 - 1, 2**64, 2**200, True]),
                lambda: pick([0.0, 0.001, -1.0, 1e308, float("nan"), float("inf"), 1j]),
                lambda: pick([*STREAMS, "", "nothing", "x" * 100_000, "\0", "\ud800"]),
                lambda: pick([b"", bytes(6000), bytearray(12), memoryview(bytes(24))[::2], memoryview(b"").cast("I")]),
                lambda: np.zeros(
                    pick([(), 0, 3, (40, 50, 3), (1, 50, 3), (2, 3), (4, 5)]), pick(["u1", "f4", "?", "f2"])
                ),
                lambda: np.broadcast_to(np.uint8(0), (2**40,)),
                lambda: np.zeros((40, 50, 6), np.uint8)[:, :, ::-2],
                lambda: np.array([None, ring], dtype=object),
                lambda: np.zeros(3).view(Grown),
                lambda: ring,
                lambda: deep,
                lambda: {"image": ring, "tick": Closing(self)},
                lambda: pick([*self.things.values()]),
                lambda: pick(self.kept) if self.kept else (),
                lambda: Closing(self),
                lambda: type("Odd", (int,), {"__eq__": lambda *_: 1 / 0, "__hash__": int.__hash__})(1),
                lambda: lambda *_: None,
                lambda: int,
                lambda: ("f32", Closing(self)),
            ]
        )()

    def call(self, timed: bool) -> None:
        thing = self.random.choice([t for t in self.things.values() if t is not None])
        names = [n for n in dir(thing) if n not in LEFT_OUT]
        if not names:
            return
        what = self.random.choice(names)
        try:
            member = getattr(thing, what)
            if not callable(member):
                result = member
            elif not timed:
                # In a thread no timer ends a wait.
                if what in WAITS:
                    result = member(**{WAITS[what]: 0.01}, **({"time": 0.0} if what == "frame" else {}))
                else:
                    result = member(*(self.value() for _ in range(self.random.choice([0, 1, 1, 2, 2, 3]))))
            else:
                result = member(*(self.value() for _ in range(self.random.choice([0, 1, 1, 2, 2, 3]))))
            if result is not thing:
                self.kept = [*self.kept[-20:], result]
        except FORBIDDEN as e:
            if "Stop" not in repr(e.__cause__):
                raise
        except (Exception, Stop):
            pass


#: Of every object, or begins again with another name, or ends the test.
LEFT_OUT = {"__class__", "__init__", "__new__", "__init_subclass__", "__subclasshook__", "__dir__", "__getattribute__"}
LEFT_OUT |= {
    "__setattr__",
    "__delattr__",
    "open",
    "create",
    "__sizeof__",
    "__doc__",
    "__module__",
    "reap_stale_readers",
}
WAITS = {"wait": "timeout", "next": "timeout", "follow": "timeout", "follow_next": "timeout", "finish": "timeout"}
WAITS |= {"_await_news": "timeout", "messages": "wait", "frame": "wait"}


def alone(calls: int) -> None:
    def stop(*_: object) -> None:
        raise Stop

    signal.signal(signal.SIGALRM, stop)
    world = World(SEED, f"{NAME}-a")
    for n in range(calls):
        try:
            if n % 60 == 0:
                world.build()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            world.call(True)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except (Stop, pyshmx.Error):
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    end(world)


def together(calls: int) -> None:
    world = World(SEED, f"{NAME}-t")
    raised: list[BaseException] = []

    def run() -> None:
        try:
            for _ in range(calls // 4):
                world.call(False)
        except BaseException as e:
            raised.append(e)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.05)
        with contextlib.suppress(pyshmx.Error, AttributeError, RuntimeError):
            world.build()
    end(world)
    assert raised == [], raised


def end(world: World) -> None:
    world.busy.now = True
    for thing in [*world.things.values()]:
        for how in ("close", "destroy", "leave", "abandon"):
            if hasattr(thing, how):
                getattr(thing, how)()
    world.kept.clear()
    world.things.clear()
    gc.collect()


sys.unraisablehook = lambda _: None  # of `Closing.__del__`
alone(CALLS)
together(CALLS)
print("survived", flush=True)
