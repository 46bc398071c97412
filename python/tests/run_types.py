"""Checks the types of the Python examples of documents, and of programs: what is documented suits the stubs.

python run_types.py DOCUMENT_OR_PROGRAM...
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from run_readme import blocks

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        programs = []
        for given in map(Path, sys.argv[1:]):
            for line, code in blocks(given) if given.suffix == ".md" else [(1, given.read_text())]:
                program = Path(directory) / f"{given.stem.replace('-', '_')}_{line}.py"
                program.write_text(code)
                programs.append(program.name)
        if not programs:
            sys.exit("no examples")
        check = [
            sys.executable,
            "-m",
            "mypy",
            "--config-file=",
            "--check-untyped-defs",
            "--cache-dir=/dev/null",
            *programs,
        ]
        sys.exit(subprocess.run(check, cwd=directory).returncode)
