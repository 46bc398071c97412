"""The classes under the name that they have in the original."""

import pyshmx.compat as _compat
from pyshmx.compat import dtype_to_string, layout_to_string

_NAME = "shmx.shmx_core"


class Client(_compat.Client):
    """Reads a region: the newest frame, as private copies. Closed until ``open``."""

    __slots__ = ()
    __module__ = _NAME


class Server(_compat.Server):
    """Publishes frames in a region. Without one until ``create``."""

    __slots__ = ()
    __module__ = _NAME


class Inspector(_compat.Inspector):
    """Looks at a region without changing anything in it. Closed until ``open``."""

    __slots__ = ()
    __module__ = _NAME


__all__ = ["Client", "Inspector", "Server", "dtype_to_string", "layout_to_string"]
