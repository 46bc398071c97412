//! Constants of the wire format (wire-format.md, section 2).

/// First eight bytes of every region, as a native `u64`.
pub const MAGIC: u64 = 0x4849_4E41_5F53_484D;
/// Major version; a reader refuses any other.
pub const VERSION_MAJOR: u32 = 2;
/// Minor version; a reader refuses any other.
pub const VERSION_MINOR: u32 = 0;
/// Written natively, so that a reader with another byte order sees something else.
pub const ENDIAN_TAG: u32 = 0x0102_0304;

/// Alignment of every section and of every frame slot, in bytes.
pub const SECTION_ALIGN: u32 = 64;
/// Alignment of TLV records relative to their section, in bytes.
pub const TLV_ALIGN: u32 = 16;

/// TLV type of a padding record in a control ring.
pub const TLV_PAD: u32 = 0;
/// TLV type of an entry of the stream directory.
pub const TLV_STATIC_DIR: u32 = 0x1000;
/// TLV type of one stream's data within a frame.
pub const TLV_FRAME_STREAM: u32 = 0x2000;
/// First TLV type that control messages of an application should use.
pub const TLV_CONTROL_USER: u32 = 0x3000;

/// Control message: a client says hello. Body: `u32` major, `u32` minor.
pub const CONTROL_HELLO: u32 = 0x4845_4C4F;
/// Control message: a client is alive. Body: `u64` clock ticks.
pub const CONTROL_HEARTBEAT: u32 = 0x4842_5254;
/// Control message: a client leaves. No body.
pub const CONTROL_BYE: u32 = 0x4259_455F;

/// Size of [`crate::GlobalHeader`] in bytes.
pub const GLOBAL_HEADER_LEN: u32 = 128;
/// Size of [`crate::FrameHeader`] in bytes; the payload starts right behind it.
pub const FRAME_HEADER_LEN: u32 = 64;
/// Size of [`crate::ReaderSlot`] in bytes.
pub const READER_SLOT_LEN: u32 = 64;
/// Size of a TLV's type and length words in bytes.
pub const TLV_HEADER_LEN: u32 = 8;
/// Size of a directory entry's fixed part in bytes.
pub const STATIC_STREAM_DESC_LEN: u32 = 32;
/// Size of a frame stream's fixed part in bytes.
pub const FRAME_STREAM_HEADER_LEN: u32 = 16;
/// Bytes of a control ring in front of its data area: the two positions.
pub const CONTROL_HEAD_LEN: u32 = 16;
