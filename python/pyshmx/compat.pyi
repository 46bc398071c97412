from collections.abc import Mapping
from typing import Any, Final, Self

from typing_extensions import Buffer, disjoint_base

__all__ = [
    "DT_BF16",
    "DT_BOOL",
    "DT_F16",
    "DT_F32",
    "DT_F64",
    "DT_I8",
    "DT_I16",
    "DT_I32",
    "DT_I64",
    "DT_U8",
    "DT_U16",
    "DT_U32",
    "DT_U64",
    "LAYOUT_AOS_VECTOR",
    "LAYOUT_SOA_SCALAR",
    "TLV_CONTROL_USER",
    "TLV_FRAME_STREAM",
    "TLV_STATIC_DIR",
    "Client",
    "Inspector",
    "Server",
    "__version__",
    "dtype_to_string",
    "layout_to_string",
]

__version__: Final[str]
VERSION_MAJOR: Final = 2
VERSION_MINOR: Final = 0

DT_BOOL: Final = 1
DT_I8: Final = 2
DT_U8: Final = 3
DT_I16: Final = 4
DT_U16: Final = 5
DT_I32: Final = 6
DT_U32: Final = 7
DT_I64: Final = 8
DT_U64: Final = 9
DT_F16: Final = 10
DT_BF16: Final = 11
DT_F32: Final = 12
DT_F64: Final = 13

LAYOUT_SOA_SCALAR: Final = 0
LAYOUT_AOS_VECTOR: Final = 1

TLV_STATIC_DIR: Final = 0x1000
TLV_FRAME_STREAM: Final = 0x2000
TLV_CONTROL_USER: Final = 0x3000

@disjoint_base
class Client:
    def __new__(cls) -> Self: ...
    def open(self, name: str | bytes) -> bool: ...
    def close(self) -> None: ...
    def is_open(self) -> bool: ...
    def get_header_info(self) -> dict[str, int]: ...
    def get_streams_info(self) -> list[dict[str, Any]]: ...
    def get_latest_frame(self) -> dict[str, dict[str, Any]] | None: ...
    def refresh_static(self) -> bool: ...
    def send_control(self, type: int, data: bytes) -> bool: ...
    def send_control_empty(self, type: int) -> bool: ...

@disjoint_base
class Server:
    def __new__(cls) -> Self: ...
    def create(
        self,
        name: str | bytes,
        slots: int = 3,
        reader_slots: int = 16,
        static_bytes_cap: int = 4096,
        frame_bytes_cap: int = 65536,
        control_per_reader: int = 4096,
        streams: list[Any] = [],  # of dicts: as no list of one kind of dict is a list of another, any of them
    ) -> bool: ...
    def destroy(self) -> None: ...
    def get_header_info(self) -> dict[str, int]: ...
    def begin_frame(self) -> object: ...
    def append_stream(self, frame_handle: Any, stream_id: int, data: Buffer, elem_count: int) -> bool: ...
    def publish_frame(self, frame_handle: Any, sim_time: float) -> bool: ...
    def poll_control(self, max_messages: int = 256) -> list[dict[str, Any]]: ...
    def snapshot_readers(self) -> list[dict[str, Any]]: ...
    def reap_stale_readers(self, now_ticks: int, timeout_ticks: int) -> int: ...
    def write_static_append(self, data: Buffer, length: int) -> bool: ...

@disjoint_base
class Inspector:
    def __new__(cls) -> Self: ...
    def open(self, name: str | bytes) -> bool: ...
    def close(self) -> None: ...
    def get_header_info(self) -> dict[str, int]: ...
    def get_streams_info(self) -> list[dict[str, Any]]: ...
    def get_readers_info(self) -> list[dict[str, Any]]: ...
    def inspect(self) -> dict[str, Any]: ...

def dtype_to_string(dtype_code: int) -> str: ...
def layout_to_string(layout_code: int) -> str: ...
def create_stream_spec(
    stream_id: int,
    name: str,
    dtype_code: int,
    components: int,
    bytes_per_elem: int,
    layout_code: int | None = None,
    extra: Any = None,
) -> dict[str, Any]: ...
def frame_to_numpy(frame_dict: Mapping[str, Any], dtype_map: Mapping[str, Any] | None = None) -> dict[str, Any]: ...
