//! What slots hold, as an inspector sees it.

use crate::error::ReadError;
use crate::frame::OwnedFrame;
use shmx_abi::wire::FrameHeader;

/// What a slot holds.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // most slots hold a frame
pub enum SlotState {
    /// No frame.
    Empty,
    /// A frame is being written.
    Writing,
    /// A frame. Its checksum may be wrong; see [`OwnedFrame::checksum`].
    Frame(OwnedFrame),
    /// Something that cannot be a frame of this session.
    Bad(ReadError),
}

/// A slot at one moment.
#[non_exhaustive]
pub struct SlotView {
    /// Number of the slot.
    pub index: u32,
    /// Its header as it lies there, checked for nothing.
    pub header: FrameHeader,
    /// Reader slots that lease it, as bits.
    pub leases: u128,
    /// What it holds.
    pub state: SlotState,
}

impl std::fmt::Debug for SlotView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("SlotView");
        debug.field("index", &self.index).field("leases", &format_args!("{:#x}", self.leases));
        debug.field("state", &self.state).finish_non_exhaustive()
    }
}

/// What a slot's header says, without a look at its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotContent {
    /// No frame.
    Empty,
    /// A frame is being written.
    Writing,
    /// A frame.
    Frame,
    /// Something that cannot be a frame of this session.
    Bad(ReadError),
}

/// A slot's header at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SlotBrief {
    /// Number of the slot.
    pub index: u32,
    /// Its header. Consistent in itself if the content is a frame and the server writes stamps.
    pub header: FrameHeader,
    /// Reader slots that lease it, as bits.
    pub leases: u128,
    /// What it holds.
    pub content: SlotContent,
}
