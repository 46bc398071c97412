//! A client on its region, as a cursor moves over it: reading by lease or by copy.

use crate::attachment::{Attachment, Held};
use crate::cursor::Ground;
use crate::error::ReadError;
use crate::frame::Taken;
use crate::region::Mapped;
use crate::slot::read::{self, Current, Expected, Miss, Sum, check_meta, check_sum};
use shmx_abi::extension::Features;
use shmx_os::Region;
use shmx_ring::hold::Refused;
use shmx_ring::prefetch;
use shmx_ring::sync::Ordering;
use shmx_ring::view::{Slot, Slots};
use std::sync::Arc;

/// What of the options decides how a slot is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) verify: bool,
    /// All where nothing can be leased.
    pub(super) copy_up_to: u32,
    /// Frames copied for want of room.
    pub(super) copied_for_room: u64,
}

pub(super) struct Hand<'a, 't> {
    pub(super) a: &'a Arc<Attachment>,
    pub(super) taken: &'t mut Taken,
    pub(super) manner: &'t mut Manner,
}

impl<'a> Ground for Hand<'a, '_> {
    type Memory = Region;
    /// None where the frame was copied.
    type Held = Option<Held<'a>>;

    #[inline]
    fn region(&self) -> &Mapped<Region> {
        &self.a.region
    }

    #[inline]
    fn features(&self) -> Features {
        self.a.features
    }

    #[inline]
    fn check_session(&self) -> Result<(), ReadError> {
        self.a.check_session()
    }

    #[inline]
    fn current(&mut self) -> &mut Current {
        &mut self.taken.current
    }

    /// Asks for the lines of a slot that will be read.
    #[inline]
    fn prefetch(&self, slot: Slot<'_>, bytes: u32) {
        if bytes > self.manner.copy_up_to {
            prefetch::will_lease(slot, bytes);
        } else {
            prefetch::will_read(slot, bytes);
        }
    }

    #[inline]
    fn read(&mut self, index: u32) -> Result<Self::Held, Miss> {
        let a = self.a;
        let slot = a.region.slot(index);
        // Relaxed: only a preference; what is read is checked on either way.
        let payload_bytes = slot.head.payload_bytes.load(Ordering::Relaxed);
        if payload_bytes > self.manner.copy_up_to {
            if !a.has_room_for_leases() {
                self.manner.copied_for_room += 1;
            } else {
                match a.lease(slot, index, &mut self.taken.current.meta) {
                    Ok(held) => return self.check_leased(index, held).map(Some),
                    // In a moment it can be leased; it can be copied now.
                    Err(Refused::Ending) => {}
                    Err(Refused::Disturbed) => return Err(Miss::Disturbed),
                }
            }
        }
        let expected = Expected { session_id: a.session_id, features: a.features, verify: self.manner.verify };
        let Taken { current, scratch, .. } = &mut *self.taken;
        read::copy(&a.region, slot, index, expected, current, |words| scratch.at_least(words))?.map_err(Miss::Error)?;
        Ok(None)
    }
}

impl<'a> Hand<'a, '_> {
    /// Whether the current frame, which `held` holds, is a frame.
    #[inline]
    fn check_leased(&mut self, slot: u32, mut held: Held<'a>) -> Result<Held<'a>, Miss> {
        let a = self.a;
        let Current { meta, slot: place, sum, .. } = &mut self.taken.current;
        check_meta(meta, a.session_id, &a.region.layout)?;
        *place = slot;
        *sum = Sum::NotCompared;
        if self.manner.verify && a.features.has_checksum(meta.stamp) {
            if !held.is_verified() {
                check_sum(meta, held.payload(meta.payload_bytes as usize)).map_err(Miss::Error)?;
                held.set_verified();
            }
            *sum = Sum::Right;
        }
        Ok(held)
    }
}
