"""The two distributions, as they are installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import pyshmx
import pyshmx.compat

needs_compat = pytest.mark.skipif(importlib.util.find_spec("shmx") is None, reason="pyshmx-compat is not installed")


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=60)


@needs_compat
def test_the_name_of_the_original():
    code = """
import shmx, pyshmx.compat, shmx.shmx_core
from shmx.shmx_core import Client
assert Client is shmx.Client is shmx.shmx_core.Client
assert issubclass(shmx.Client, pyshmx.compat.Client)
for c in (shmx.Client, shmx.Server, shmx.Inspector):
    assert c.__module__ == "shmx.shmx_core" and c.__qualname__ in ("Client", "Server", "Inspector")
    try:
        c().x = 1
    except AttributeError:
        pass
    else:
        raise AssertionError
assert shmx.__all__ == pyshmx.compat.__all__
assert shmx.create_stream_spec(1, "a", 3, 1, 1)["id"] == 1
assert (shmx.VERSION_MAJOR, shmx.VERSION_MINOR, shmx.__version__) == (2, 0, "1.0.1")
assert shmx.frame_to_numpy({}) == {}
print("good")
"""
    done = python(code, "-W", "error")
    assert done.stdout == "good\n", done.stderr


@needs_compat
def test_the_original_beside_it_is_told(tmp_path):
    info = tmp_path / "shmx-1.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shmx\nVersion: 1.0.1\n")
    code = f"import sys; sys.path.append({str(tmp_path)!r}); import shmx; print(shmx.Client.__name__)"
    done = python(code)
    assert done.stdout == "Client\n"
    assert "shmx 1.0.1 and pyshmx-compat are both installed" in done.stderr
    assert "RuntimeWarning" in done.stderr


def test_the_package_is_typed_and_small():
    where = Path(pyshmx.__file__).parent
    assert (where / "py.typed").exists()
    assert (where / "_native.pyi").exists()
    assert (where / "compat.pyi").exists()


def test_importing_takes_nothing_along():
    code = "import sys, pyshmx; print([m for m in ('numpy', 'torch', 'asyncio.events') if m in sys.modules])"
    done = python(code)
    # asyncio is needed for its coroutines; numpy only once there is an array.
    assert "numpy" not in done.stdout
    assert "torch" not in done.stdout


def test_a_package_without_its_compiled_part_says_what_to_do(tmp_path):
    copy = tmp_path / "pyshmx"
    copy.mkdir()
    for file in Path(pyshmx.__file__).parent.glob("*.py"):
        (copy / file.name).write_text(file.read_text())
    done = python(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import pyshmx")
    assert done.returncode == 1
    assert "the compiled part of pyshmx cannot be loaded" in done.stderr
    assert "pip install ./python" in done.stderr
