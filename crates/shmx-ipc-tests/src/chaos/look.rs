//! What can be seen in a region while its parties stand still or are dead.

use anyhow::{Context, Result};
use shmx::Inspector;
use shmx::abi::wire::{self, FrameHeader, GlobalHeader, ReaderSlot};
use shmx_os::LockState;

/// One look: header, frame headers, reader slots and who holds a lock.
pub(crate) struct Look {
    pub(crate) header: GlobalHeader,
    pub(crate) frames: Vec<FrameHeader>,
    pub(crate) readers: Vec<Reader>,
}

pub(crate) struct Reader {
    pub(crate) slot: ReaderSlot,
    pub(crate) lock: LockState,
    /// Frame slots that carry the lease bit of this index.
    pub(crate) leases: u32,
}

/// A region to look at, mapped read-only.
pub(crate) struct Eye(Inspector);

impl Eye {
    pub(crate) fn open(name: &str) -> Result<Self> {
        Ok(Self(Inspector::open(name)?))
    }

    pub(crate) fn inspector(&self) -> &Inspector {
        &self.0
    }

    pub(crate) fn look(&self) -> Result<Look> {
        let layout = self.0.layout();
        let bytes = self.0.dump();
        let header: GlobalHeader = wire::read_at(&bytes, 0).context("header")?;
        let frames: Vec<FrameHeader> =
            (0..layout.slots()).filter_map(|i| wire::read_at(&bytes, layout.frame_slot(i)?)).collect();
        let locks = self.0.snapshot_readers();
        let readers = (0..layout.reader_slots())
            .zip(locks)
            .filter_map(|(i, info)| {
                let slot = wire::read_at(&bytes, layout.reader_slot(i)?)?;
                let leases = frames.iter().filter(|f| i < 128 && lease_bits(f) >> i & 1 == 1).count() as u32;
                Some(Reader { slot, lock: info.lock, leases })
            })
            .collect();
        Ok(Look { header, frames, readers })
    }
}

pub(crate) fn lease_bits(f: &FrameHeader) -> u128 {
    u128::from(f.ext_lease_lo) | u128::from(f.ext_lease_hi) << 64
}

impl Look {
    /// Frame slots that a writer owns.
    pub(crate) fn odd(&self) -> u64 {
        self.frames.iter().filter(|f| f.ext_stamp % 2 == 1).count() as u64
    }

    /// Lease bits in all.
    pub(crate) fn leases(&self) -> u64 {
        self.frames.iter().map(|f| u64::from(lease_bits(f).count_ones())).sum()
    }

    /// The newest frame's slot is published and its number is announced, but the count of frames lags behind.
    pub(crate) fn half_published(&self) -> bool {
        self.frames.iter().any(|f| f.ext_stamp % 2 == 0 && f.frame_id > self.header.frame_seq)
    }
}

impl Reader {
    /// Taken, and not (or no longer) complete: without id, or with an id that the tag does not confirm.
    pub(crate) fn is_half(&self) -> bool {
        self.slot.in_use != 0 && (self.slot.reader_id == 0 || self.slot.ext_tag != self.slot.reader_id)
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.slot.in_use == 0 && self.slot.reader_id == 0 && self.leases == 0
    }
}
