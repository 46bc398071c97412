"""The examples of the original's own README, as they stand there: both packages, in both roles.

They are read from the metadata of the installed package. Its first example publishes frames without their pixels, with
the original too, and is left out.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import LIMIT
from test_probes import ORIGINAL, needs_original

pytestmark = [needs_original, pytest.mark.slow]

#: Runs a block of the README, or a function in it: name of the region, readers that its first pause waits for, how much
#: shorter pauses are, whether to wait for a frame before it begins, the block, the function and its arguments.
RUN = """
import shmx, sys, time
name, readers, shorter, late, source, function, *args = sys.argv[1:]
pause = time.sleep


def until(holds):
    inspector = shmx.Inspector()
    while not (inspector.open(name) and holds(inspector.get_header_info())):
        pause(0.001)
    inspector.close()


def sleep(seconds):
    global readers
    if readers != "0":
        until(lambda header: header["readers_connected"] >= int(readers))
        readers = "0"
    pause(seconds / float(shorter))


if late == "late":
    until(lambda header: header["frame_seq"] > 0)
time.sleep = sleep
example = {"__name__": "example" if function else "__main__"}
exec(compile(source, "README", "exec"), example)
if function:
    example[function](*args)
"""

Start = Callable[..., subprocess.Popen[str]]


def python(ours: bool) -> tuple[str, dict[str, str]]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if not ours:
        return str(ORIGINAL), env
    path = os.environ.get("PYTHONPATH")
    return os.environ.get("PYSHMX_COMPAT", sys.executable), env | ({"PYTHONPATH": path} if path else {})


@functools.cache
def readme() -> dict[str, str]:
    """Blocks of Python by the heading before them."""
    interpreter, env = python(ours=False)
    ask = "import importlib.metadata as m; d = m.metadata('shmx'); print(d['Description'] or d.get_payload())"
    env["PYTHONIOENCODING"] = "utf-8"
    text = subprocess.run([interpreter, "-c", ask], capture_output=True, check=True, env=env).stdout.decode()
    blocks: dict[str, str] = {}
    heading = ""
    block: list[str] | None = None
    for line in text.splitlines():
        if block is not None:
            if line == "```":
                blocks[heading] = "\n".join(block)
                block = None
            else:
                block.append(line)
        elif line == "```python":
            block = []
        elif line.startswith(("#", "**")):
            heading = line.strip("#*: ")
    return blocks


def wait_until_complete(name: str) -> None:
    """The original's objects can be seen before they are as long as they will be, and its readers die of that."""
    path = pathlib.Path("/dev/shm", name)
    end = time.monotonic() + LIMIT
    while True:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            head = file.read(128)
            if len(head) == 128 and struct.unpack_from("<Q", head)[0] == 0x48494E415F53484D:
                slots, stride, offset = struct.unpack_from("<III", head, 60)
                if path.stat().st_size >= offset + slots * stride:
                    return
        assert time.monotonic() < end, "nobody serves"
        time.sleep(0.001)


@pytest.fixture
def start(name) -> Iterator[Start]:
    """Starts an example in a process of its own; those that still run at the end are killed."""
    running = []

    def start(ours, heading, function="", *args, readers=0, shorter=10, late=False):
        source = readme()[heading]
        for theirs in ("my_stream", "sensors", "particles"):
            source = source.replace(f'"{theirs}"', repr(name))
        interpreter, env = python(ours)
        if late:
            wait_until_complete(name)
        options = [name, str(readers), str(shorter), "late" if late else "", source, function, *args]
        process = subprocess.Popen([interpreter, "-u", "-c", RUN, *options], stdout=subprocess.PIPE, text=True, env=env)
        running.append(process)
        return process

    yield start
    for process in running:
        with process:
            process.kill()
    # The original leaves its names, and so does who is killed.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"/dev/shm/{name}")


def ended(process: subprocess.Popen[str]) -> list[str]:
    text, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, text
    return text.splitlines()


both_roles = pytest.mark.parametrize("server_is_ours", [True, False], ids=["ours-serves", "original-serves"])


@both_roles
def test_quick_start(start, server_is_ours):
    producer = start(server_is_ours, "Producer (Server)", readers=1)
    consumer = start(not server_is_ours, "Consumer (Client)", late=True)
    lines = ended(consumer)
    assert lines[0].startswith("Client connected: {'magic': ")
    assert "'name': 'timestamp', 'dtype': 'float64'" in lines[1]
    assert any(line.startswith("  frame_id=") for line in lines)
    assert ended(producer)[0].startswith("Server created: {'magic': ")


@both_roles
def test_sensors_and_control_messages(start, server_is_ours):
    heading = "Example 2: Sensor Data with Control Messages"
    # At its own pace it serves for longer than this takes.
    server = start(server_is_ours, heading, "sensor_server", readers=1, shorter=1)
    client = start(not server_is_ours, heading, "sensor_client", late=True)
    lines = ended(client)
    assert "'name': 'temperature'" in lines[0]
    assert [line for line in lines if line.startswith("T=25.") and line.endswith("%")]
    assert any("set rate to 100.0 Hz" in line for line in server.stdout)


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "original"])
def test_arrays_of_numpy(start, ours):
    lines = ended(start(ours, "Example 3: Multiple Streams with Numpy"))
    assert [line for line in lines if line.startswith("Frame ")] == [f"Frame {i}: 1000 particles" for i in range(100)]


@both_roles
def test_the_inspector(start, server_is_ours):
    """Both say the same of one region."""
    # It waits for a reader after its first frame.
    start(server_is_ours, "Producer (Server)", readers=1)
    heading = "Example 4: Inspector for Debugging"
    ours, theirs = (ended(start(ours, heading, late=True)) for ours in (True, False))
    assert ours == theirs
    assert {"Frame Sequence: 1", "Readers Connected: 0", "  [2] timestamp"} <= set(ours)


@both_roles
def test_several_consumers(start, name, server_is_ours):
    heading = "Example 5: Multi-Process Communication"
    producer = start(server_is_ours, heading, "producer_process", name, readers=3)
    consumers = [
        start(ours, heading, "consumer_process", name, str(i), late=True)
        for i, ours in enumerate([True, False, not server_is_ours])
    ]
    for i, consumer in enumerate(consumers):
        lines = ended(consumer)
        assert lines[0] == f"Consumer {i}: Connected to '{name}'"
        # A client of the original may find a frame that is being written.
        assert any(line.startswith(f"Consumer {i}: counter=") for line in lines)
    assert ended(producer)[-1] == "Producer: Done"
