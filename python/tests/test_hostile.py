"""No public call crashes the interpreter or hangs, whatever it is given and whoever else is at work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("seed", [1, 2, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_no_call_crashes(name, seed):
    program = [sys.executable, "-X", "faulthandler", str(Path(__file__).with_name("hostile.py"))]
    done = subprocess.run([*program, name, str(seed), "1500"], capture_output=True, text=True, timeout=300)
    for left in Path("/dev/shm").glob(f"{name}-*"):
        os.unlink(left)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "survived" in done.stdout
