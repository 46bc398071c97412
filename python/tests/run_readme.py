"""Runs the Python examples of a document, in the order in which they stand, each in an interpreter of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path


def blocks(document: Path) -> list[tuple[int, str]]:
    """The blocks of Python in a document, each with its line."""
    text = document.read_text()
    found = re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(text[: m.start()].count("\n") + 1, m.group(1)) for m in found]


def run(code: str, replaced: dict[str, str] | None = None) -> None:
    """Runs a block as a program; the names of its regions may be replaced."""
    for old, new in (replaced or {}).items():
        code = code.replace(f'"{old}"', f'"{new}"')
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "example.py"
        program.write_text(code)
        subprocess.run([sys.executable, "-W", "error", str(program)], check=True, timeout=120)


if __name__ == "__main__":
    found = blocks(Path(sys.argv[1]))
    if not found:
        sys.exit(f"{sys.argv[1]} has no examples in Python")
    for line, code in found:
        print(f"   {sys.argv[1]}, line {line}")
        run(code)
