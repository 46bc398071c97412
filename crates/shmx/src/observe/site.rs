//! The region of a tap, and how a cursor moves over it.

use crate::cursor::Ground;
use crate::error::{DirectoryReadError, ReadError};
use crate::frame::Taken;
use crate::region::{Mapped, ReadOnly};
use crate::schema::catalog::{Catalog, Home};
use crate::schema::directory::Directory;
use crate::slot::read::{self, Current, Expected, Miss, Sum};
use shmx_abi::extension::Features;
use shmx_os::RegionName;
use shmx_ring::view::{Slot, Slots};
use shmx_ring::{load, prefetch, reader};
use std::sync::Arc;

/// The region of a tap, for it and for the frame that it lends.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) region: Mapped<ReadOnly>,
    pub(super) name: RegionName,
    pub(super) session_id: u64,
    pub(super) catalog: Arc<Catalog>,
}

impl Home for Site {
    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        self.catalog.current(&self.region)
    }

    fn refresh(&self) {
        self.catalog.refresh(&self.region);
    }
}

/// A tap's region as a cursor moves over it: always by copy.
pub(super) struct Glass<'t> {
    pub(super) site: &'t Site,
    pub(super) taken: &'t mut Taken,
    pub(super) expected: Expected,
    /// Only the head of a frame is read, and its sequence number goes here.
    pub(super) head: Option<&'t mut u32>,
}

impl Ground for Glass<'_> {
    type Memory = ReadOnly;
    type Held = ();

    fn region(&self) -> &Mapped<ReadOnly> {
        &self.site.region
    }

    fn features(&self) -> Features {
        self.expected.features
    }

    fn check_session(&self) -> Result<(), ReadError> {
        if load::count(&self.site.region.header().session_id) == self.expected.session_id {
            Ok(())
        } else {
            Err(ReadError::SessionChanged)
        }
    }

    fn current(&mut self) -> &mut Current {
        &mut self.taken.current
    }

    fn prefetch(&self, slot: Slot<'_>, bytes: u32) {
        prefetch::will_read(slot, bytes);
    }

    fn read(&mut self, slot: u32) -> Result<(), Miss> {
        let Taken { current, scratch, .. } = &mut *self.taken;
        let (region, view) = (&self.site.region, self.site.region.slot(slot));
        if let Some(number) = &mut self.head {
            **number = read::head(region, view, slot, self.expected, current)?;
            current.sum = Sum::NotCompared;
            reader::validate(view, &current.meta)?;
            // Without stamps nothing else tells of a head that is half written.
            let extended = self.expected.features.is_extended();
            return if !extended && read::is_reserved(region, **number) { Err(Miss::Disturbed) } else { Ok(()) };
        }
        let copied = read::copy(region, view, slot, self.expected, current, |words| scratch.at_least(words))?;
        copied.map_err(Miss::Error)
    }
}
