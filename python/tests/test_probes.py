"""The drop-in beside the original: what two probes print, case by case.

`PYSHMX_ORIGINAL` is an interpreter that has the original, `PYSHMX_COMPAT` one that has `pyshmx-compat`; both come from
`cargo xtask test-python`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ORIGINAL = os.environ.get("PYSHMX_ORIGINAL")

needs_original = pytest.mark.skipif(not ORIGINAL, reason="the original package is not at hand")

CRASH = "a crash is an error"
COPY = "frames are private copies that neither change nor dangle"
BUFFER = "any contiguous buffer is accepted"
TAKEN = "the name of a live server is refused"
GONE = "the name goes with the server"
WRONG = "TypeError instead of SystemError"
TEXT = "texts are our own"
AGAIN = "a handle is published once"
EMPTY = "an empty frame is refused"
FORWARD = "the newest frame only moves forward"
ALIVE = "a reader that lives is not reaped"
ADDED = "promised by the original's documents, and missing there"
SMALL = "small control rings are absent"
FREE = "the interpreter's lock is released"

#: Cases that differ, by the beginning of their line, and why. docs/python.md has the same list.
ALLOWED = {
    "{'Client': [": TEXT,  # `_pybind11_conduit_v1_` is pybind11's own; `write_static_append` is there
    "append bytearray": BUFFER,
    "append memoryview": BUFFER,
    "append wrong handle": WRONG,
    "append None handle": WRONG,
    "publish wrong handle": WRONG,
    "publish again same handle": AGAIN,
    "nan time": AGAIN,
    # Numbers of frames differ by the frames that were refused.
    "latest": AGAIN,
    "{'__metadata__': {'frame_id'": AGAIN,
    "same frame again": AGAIN,
    "readers": AGAIN,
    "i readers": AGAIN,
    "inspect": AGAIN,
    "[('magic'": AGAIN,
    "publish empty frame": EMPTY,
    "latest after empty": EMPTY,
    "<memory at": COPY,
    "reap": ALIVE,
    "readers after": ALIVE,
    "0": ALIVE,
    "1": ALIVE,
    "write_static_append": ADDED,
    "frame_to_numpy": ADDED,
    "second server same name": TAKEN,
    "create: region": TAKEN,
    "old client latest": TAKEN,
    "s hdr session==s2": TAKEN,
    "file stays": GONE,
    "open after destroy": GONE,
    "mode": GONE,
    "two open frames": FORWARD,
    "unpublished frame then latest": FORWARD,
}

#: The same for programs of their own, by a part of their text.
ALLOWED_PROGRAMS = {
    "shmx.Server().begin_frame()": CRASH,
    "shmx.Server().snapshot_readers()": CRASH,
    "s.destroy();s.append_stream": CRASH,
    "control_per_reader=8": SMALL,
    # Their texts are cut.
    "m=c.get_latest_frame();print(list(m));v=m[": COPY,
    "del s;import gc": CRASH,
    "s.destroy();print(s.snapshot_readers())": CRASH,
    "c=shmx.Client();s=shmx.Server();s.create('eco-x',streams=[shmx.create_stream_spec(1,'a',3,1,1)]);c.open": CRASH,
    "slots=1,streams=[]);c=shmx.Client()": COPY,
    "import shmx,threading,time": FREE,
    "time.perf_counter()": "times differ",
}


def cases(python: str, probe: str, path: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Lines by their label, and answers of programs by the program."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ({"PYTHONPATH": path} if path else {})
    done = subprocess.run(
        [python, str(HERE / "run_probe.py"), str(HERE / "probes" / probe)],
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    lines, _, rest = done.stdout.partition("\n--- ")
    labelled: dict[str, str] = {}
    for line in documented(lines).splitlines():
        label, mark, answer = re.match(r"(.*?)(\s*(?:->|!!)\s|$)(.*)", line).groups()
        key = label.strip() if mark else line
        n = 0
        while f"{key}#{n}" in labelled:
            n += 1
        labelled[f"{key}#{n}"] = normal(mark.strip() + " " + answer)
    programs = {}
    for part in rest.split("\n--- "):
        program, _, answer = part.partition("\n")
        programs[program] = normal(answer)
    return labelled, programs


def documented(lines: str) -> str:
    """Without the texts of classes and methods, which are our own."""
    kept = []
    for line in lines.splitlines():
        line = line.replace("builtins.PyCapsule", "PyCapsule")
        words = line.split(" ", 3)
        if words[0] in ("Client", "Server", "Inspector") and len(words) == 4:
            line = " ".join(words[:3])
        kept.append(line)
    text = "\n".join(kept)
    # From after the classes to the first call.
    head, mark, rest = text.partition("\nclosed client header")
    classes = head.split("\nInspector shmx.shmx_core Inspector")[0]
    return classes + "\nInspector shmx.shmx_core Inspector" + mark + rest if mark else text


def normal(text: str) -> str:
    """Without what differs from run to run, and without the texts of errors."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0x", text)
    text = re.sub(r"\b\d{9,}\b", "N", text)
    text = re.sub(r"eco2?-\d+", "eco-N", text)
    text = text.replace("'shmx.shmx_core.", "'")
    text = re.sub(r"^(!! \w+):.*", r"\1", text)
    # A program that ends by an exception: its kind counts.
    failed = re.match(r"\s*rc 1 ", text)
    kinds = re.findall(r"^(\w*Error)\b", text, re.MULTILINE)
    if failed:
        return f"rc 1 {kinds[-1] if kinds else 'TypeError'}"
    # The probes cut their answers at a length, which numbers of other lengths shift.
    return "\n".join(line[:110] for line in text.strip().splitlines())


@needs_original
@pytest.mark.parametrize("probe", ["probe.py", "probe2.py"])
def test_the_drop_in_answers_as_the_original(probe):
    compat = os.environ.get("PYSHMX_COMPAT", sys.executable)
    original, original_programs = cases(ORIGINAL, probe, None)
    ours, our_programs = cases(compat, probe, os.environ.get("PYTHONPATH"))
    assert len(original) > 10
    differing = {
        label: (original.get(label), ours.get(label))
        for label in original | ours
        if original.get(label) != ours.get(label)
    }
    unexpected = {
        label: answers for label, answers in differing.items() if not any(label.startswith(a) for a in ALLOWED)
    }
    assert unexpected == {}
    assert original_programs.keys() == our_programs.keys()
    unexpected = {
        program: (answer, our_programs[program])
        for program, answer in original_programs.items()
        if answer != our_programs[program] and not any(a in program for a in ALLOWED_PROGRAMS)
    }
    assert unexpected == {}
    # No program of ours ends by a signal, whatever the original does.
    assert not [program for program, answer in our_programs.items() if answer.startswith("rc -")]


ROLES = {
    "publish": """
import shmx, sys, time
s = shmx.Server()
spec = [shmx.create_stream_spec(1, "a", shmx.DT_U8, 1, 1)]
spec.append(shmx.create_stream_spec(2, "v", shmx.DT_F32, 3, 12, 1, b"{}"))
assert s.create(sys.argv[1], 4, 4, 4096, 300000, 4096, spec)
print("up", flush=True)
n = 0
while True:
    n += 1
    f = s.begin_frame()
    if s.append_stream(f, 1, bytes([n % 251]) * 200000, 200000) and s.append_stream(f, 2, b"\\0" * 24, 2):
        s.publish_frame(f, n)
    for m in s.poll_control():
        print("got", m["type"], m["data"].decode(), flush=True)
        s.destroy()
        sys.exit(0)
    time.sleep(0.001)
""",
    "read": """
import shmx, sys, time
c = shmx.Client()
while not c.open(sys.argv[1]):
    time.sleep(0.01)
seen = set()
while len(seen) < 20:
    frame = c.get_latest_frame()
    if frame is None:
        continue
    data = bytes(frame["a"]["data"])
    if len(set(data)) == 1:
        seen.add(frame["__metadata__"]["frame_id"])
    assert frame["v"]["elem_count"] == 2 and len(data) == 200000
assert [s["name"] for s in c.get_streams_info()] == ["a", "v"]
assert c.send_control(shmx.TLV_CONTROL_USER, b"thanks")
print("read", flush=True)
time.sleep(0.2)
c.close()
""",
}


@needs_original
@pytest.mark.parametrize("server_is_ours", [True, False])
def test_the_drop_in_works_with_the_original(name, server_is_ours):
    ours = os.environ.get("PYSHMX_COMPAT", sys.executable), os.environ.get("PYTHONPATH")
    theirs = ORIGINAL, None
    publisher, reader = (ours, theirs) if server_is_ours else (theirs, ours)

    def start(which, role):
        python, path = which
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ({"PYTHONPATH": path} if path else {})
        return subprocess.Popen([python, "-c", ROLES[role], name], stdout=subprocess.PIPE, text=True, env=env)

    with start(publisher, "publish") as p:
        try:
            assert p.stdout.readline() == "up\n"
            with start(reader, "read") as r:
                assert r.stdout.readline() == "read\n"
                assert p.stdout.readline() == "got 12288 thanks\n"
                assert r.wait(60) == 0
            assert p.wait(60) == 0
        finally:
            p.kill()
    # The original leaves its names.
    if not server_is_ours:
        os.unlink(f"/dev/shm/{name}")
