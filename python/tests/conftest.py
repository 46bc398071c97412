"""What the tests share: names, deadlines, other processes, and a look at what is left."""

from __future__ import annotations

import gc
import itertools
import os
import select
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

#: Longer than anything takes on a machine that is busy with other things; reached only by what hangs.
LIMIT = 60.0

_count = itertools.count()


def unique() -> str:
    """Name of a region that nobody else has."""
    return f"shmx-py-{os.getpid()}-{next(_count)}"


def until(condition: Callable[[], object], what: str = "it") -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true"
        time.sleep(0.001)


@pytest.fixture
def name() -> str:
    return unique()


class Process:
    """A program of Python in a process of its own, whose lines are read one by one."""

    def __init__(self, code: str, *args: str) -> None:
        source = textwrap.dedent(code)
        # The first argument of a program that is killed would be shown as an error of the test otherwise.
        self.popen = subprocess.Popen(
            [sys.executable, "-W", "error", "-u", "-c", source, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        self._read = b""

    def line(self) -> str:
        assert self.popen.stdout is not None
        end = time.monotonic() + LIMIT
        while b"\n" not in self._read:
            ready, _, _ = select.select([self.popen.stdout], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no line in {LIMIT} s"
            more = os.read(self.popen.stdout.fileno(), 65536)
            if not more:
                assert self.popen.stderr is not None
                raise AssertionError(f"the process ended: {self.popen.wait(LIMIT)}\n{self.popen.stderr.read()}")
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode().strip()

    def tell(self, line: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(LIMIT)
        self.close()

    def end(self) -> int:
        """Waits for the end; its exit status."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        status = self.popen.wait(LIMIT)
        if status != 0:
            assert self.popen.stderr is not None
            print(self.popen.stderr.read())
        self.close()
        return status

    def close(self) -> None:
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def spawn() -> Iterator[Callable[..., Process]]:
    """Starts programs; those that still run at the end of the test are killed."""
    started: list[Process] = []

    def start(code: str, *args: str) -> Process:
        process = Process(code, *args)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No test leaves a region of its own behind."""
    prefix = f"shmx-py-{os.getpid()}-"
    yield
    gc.collect()
    left = [p.name for p in Path("/dev/shm").glob(f"{prefix}*")]
    for one in left:
        os.unlink(f"/dev/shm/{one}")
    assert not left, f"left behind: {left}"
