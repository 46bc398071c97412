//! Looks at a region without being noticed: a read-only mapping, no reader slot, no lock.

use crate::buffer::Pool;
use crate::client::inspect_slot;
use crate::error::{DirectoryReadError, OpenError, ReadError};
use crate::region::{Backing, Mapped, ReadOnly, header_of};
use crate::server::{ReaderInfo, reader_info};
use crate::stream::StaticState;
use crate::view::FrameView;
use shmx_abi::control::{ControlCorrupt, ControlRing};
use shmx_abi::extension::FeatureWord;
use shmx_abi::wire::{self, FrameHeader, GlobalHeader};
use shmx_abi::{LayoutError, RegionLayout};
use shmx_os::{LockByte, LockState, ReadOnlyRegion, RegionName};
use shmx_ring::reader;
use shmx_ring::view::Slots;
use std::path::Path;
use std::sync::Arc;

/// A message seen in a control ring and left there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeekedMsg {
    /// Its type.
    pub ty: u32,
    /// Its body.
    pub data: Vec<u8>,
}

/// What a slot holds.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // most slots hold a frame
pub enum SlotState {
    /// No frame.
    Empty,
    /// A frame is being written.
    Writing,
    /// A frame. Its checksum may be wrong; see [`FrameView::checksum`].
    Frame(FrameView),
    /// Something that cannot be a frame of this session.
    Bad(ReadError),
}

/// A slot at one moment.
#[derive(Debug)]
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

/// A read-only view of a live region or of a dump.
///
/// The mapping is read-only in hardware, so nothing this type does can change a running stream.
#[derive(Debug)]
pub struct Inspector {
    region: Mapped<ReadOnly>,
    buffers: Arc<Pool>,
}

impl Inspector {
    /// Opens a live region, or what a dead server has left.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(name: &str) -> Result<Self, OpenError> {
        let name = RegionName::new(name)?;
        Self::new(ReadOnlyRegion::open(&name)?, name.as_str())
    }

    /// Opens a dump: a file with the bytes of a whole region.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_file(path: &Path) -> Result<Self, OpenError> {
        Self::new(ReadOnlyRegion::from_file(path)?, &path.display().to_string())
    }

    fn new(os: ReadOnlyRegion, name: &str) -> Result<Self, OpenError> {
        let bad = |source| OpenError::Layout { name: name.to_owned(), source };
        let available = os.len() as u64;
        let os = ReadOnly(os);
        let header = header_of(os.shared()).ok_or_else(|| bad(LayoutError::ShorterThanHeader { available }))?;
        let layout = RegionLayout::from_header(&header, available).map_err(bad)?;
        let total = u64::from(layout.total_bytes());
        let region = Mapped::new(os, layout).ok_or_else(|| bad(LayoutError::Truncated { total, available }))?;
        Ok(Self { region, buffers: Arc::default() })
    }

    /// A copy of the header as it is now.
    #[must_use]
    pub fn header(&self) -> GlobalHeader {
        self.region.header_copy()
    }

    /// Where everything lies, as checked when the region was opened.
    #[must_use]
    pub const fn layout(&self) -> &RegionLayout {
        &self.region.layout
    }

    /// Features the server announces now.
    #[must_use]
    pub fn features(&self) -> FeatureWord {
        FeatureWord::of(&self.header())
    }

    /// The server's liveness lock; only meaningful where [`FeatureWord::LOCKS`] is announced.
    #[must_use]
    pub fn server_lock(&self) -> LockState {
        self.region.os.0.lock_state(LockByte::Server)
    }

    /// Whether the name still leads to this region. True for dumps.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.region.os.0.is_current()
    }

    /// The stream directory.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn decode_static_dir(&self) -> Result<StaticState, DirectoryReadError> {
        StaticState::parse(self.header().session_id, self.region.directory_copy()?)
    }

    /// Every reader slot.
    #[must_use]
    pub fn snapshot_readers(&self) -> Vec<ReaderInfo> {
        let extended = self.features().is_extended();
        (0..self.region.layout.reader_slots())
            .filter_map(|i| reader_info(&self.region, i, self.region.os.0.lock_state(LockByte::Reader(i)), extended))
            .collect()
    }

    /// The newest frame; `None` while there is none.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if what is there cannot be a frame.
    pub fn latest(&self) -> Result<Option<FrameView>, ReadError> {
        match self.region.layout.slot_of_sequence(reader::newest(&self.region)) {
            Some(slot) => self.frame(slot),
            None => Ok(None),
        }
    }

    fn frame(&self, slot: u32) -> Result<Option<FrameView>, ReadError> {
        let h = self.header();
        inspect_slot(&self.region, slot, h.session_id, FeatureWord::of(&h), &self.buffers)
    }

    /// A slot with what it holds; `None` past the last one.
    #[must_use]
    pub fn slot_view(&self, index: u32) -> Option<SlotView> {
        let at = self.region.layout.frame_slot(index)?;
        let header: FrameHeader = wire::read_at(&self.region.copy(at..at + size_of::<FrameHeader>()), 0)?;
        let extended = self.features().is_extended();
        let leases = if extended { reader::leases(self.region.slot(index)) } else { 0 };
        let state = match self.frame(index) {
            Ok(Some(view)) => SlotState::Frame(view),
            Ok(None) => SlotState::Empty,
            Err(ReadError::Lapped { .. }) => SlotState::Writing,
            Err(e) => SlotState::Bad(e),
        };
        Some(SlotView { index, header, leases, state })
    }

    /// Every slot with what it holds.
    #[must_use]
    pub fn list_slots(&self) -> Vec<SlotView> {
        (0..self.region.layout.slots()).filter_map(|i| self.slot_view(i)).collect()
    }

    /// The messages waiting in a reader's control ring, left there; empty without a ring.
    ///
    /// # Errors
    ///
    /// [`ControlCorrupt`] if the ring is damaged, or was written while we looked.
    pub fn peek_control(&self, reader_index: u32) -> Result<Vec<PeekedMsg>, ControlCorrupt> {
        let Some(at) = self.region.layout.control_ring(reader_index) else { return Ok(Vec::new()) };
        let bytes = self.region.copy(at..at + self.region.layout.control_per_reader() as usize);
        let Some(ring) = ControlRing::new(&bytes) else { return Ok(Vec::new()) };
        ring.map(|m| m.map(|m| PeekedMsg { ty: m.ty, data: m.data.to_vec() })).collect()
    }

    /// A copy of all bytes of the region, for a dump. Taken while others write, so frames in it may be half-written.
    #[must_use]
    pub fn dump(&self) -> Vec<u8> {
        self.region.copy(0..self.region.layout.total_bytes() as usize)
    }
}
