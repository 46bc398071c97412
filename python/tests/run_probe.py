"""Runs a probe as it was written. It takes names away that the drop-in has taken away already."""

import contextlib
import os
import runpy
import sys

_unlink = os.unlink


def unlink(path, *args, **kwargs):
    with contextlib.suppress(FileNotFoundError):
        _unlink(path, *args, **kwargs)


os.unlink = unlink
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
