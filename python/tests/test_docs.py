"""The examples of the documents run as they stand, under names of regions that nobody else has."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from run_readme import blocks, run

import pyshmx
from pyshmx import _streams

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "docs/python.md", "docs/images-between-processes.md"]
EXAMPLES = [(d, line, code) for d in DOCUMENTS for line, code in blocks(ROOT / d)]


@pytest.mark.parametrize(("document", "line", "code"), EXAMPLES, ids=[f"{d}:{line}" for d, line, _ in EXAMPLES])
def test_examples(document, line, code, name):
    regions = dict.fromkeys(re.findall(r'(?:Publisher|Reader|tap|create|open)\("(\w+)"', code))
    run(code, {old: f"{name}-{old}" for old in regions})


def test_every_document_has_examples():
    assert {d for d, _, _ in EXAMPLES} == set(DOCUMENTS)


@pytest.mark.parametrize("module", [pyshmx, _streams])
def test_examples_of_docstrings(module):
    failed, tried = doctest.testmod(module)
    assert failed == 0
    assert tried > 0


@pytest.mark.parametrize("more", [[], ["--kill"]])
def test_images_between_processes(name, more):
    example = ROOT / "python/examples/images.py"
    args = [sys.executable, "-W", "error", str(example), "--name", name, "--frames", "60", *more]
    done = subprocess.run(args, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "left behind: []" in done.stdout
    assert "logger:" in done.stdout
    assert ("has left" if not more else "was killed") in done.stdout
    assert not os.path.exists(f"/dev/shm/{name}")


def test_every_error_is_documented():
    text = (ROOT / "docs/python.md").read_text()
    kinds = [k for k, v in vars(pyshmx._errors).items() if isinstance(v, type) and issubclass(v, Exception)]
    assert len(kinds) > 20
    assert [k for k in kinds if f"`{k}`" not in text and k != "Error"] == []


def test_everything_public_has_a_docstring():
    for thing in pyshmx.__all__:
        found = getattr(pyshmx, thing)
        if not isinstance(found, int):
            assert found.__doc__, thing
        if isinstance(found, type):
            missing = [m for m in vars(found) if not m.startswith("_") and not getattr(found, m).__doc__]
            # Of an error: its fields; of a declaration: described with it.
            assert missing == [] or found is pyshmx.Stream, (thing, missing)
