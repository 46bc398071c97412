"""The name ``shmx``, provided by ``pyshmx-compat``: :mod:`pyshmx.compat` for programs that must not be changed.

It stands in for the package ``shmx``, which must not be installed beside it.
"""

import sys as _sys

from pyshmx.compat import *
from pyshmx.compat import VERSION_MAJOR, VERSION_MINOR, __all__, create_stream_spec, frame_to_numpy

from . import _core as shmx_core
from ._core import Client, Inspector, Server

__version__ = "1.0.1"

# Not a file of that name: one of the original, if it is there, would be loaded instead.
_sys.modules[__name__ + ".shmx_core"] = shmx_core


def _look_for_the_original() -> None:
    import importlib.metadata
    import warnings

    try:
        found = importlib.metadata.version("shmx")
    except importlib.metadata.PackageNotFoundError:
        return
    warnings.warn(
        f"the packages shmx {found} and pyshmx-compat are both installed and have the same module name; this is "
        "pyshmx-compat. Uninstall both, then install the one you want",
        RuntimeWarning,
        stacklevel=3,
    )


_look_for_the_original()
