//! Opening a region, and opening its successor.

use super::control::Link;
use super::hand::Manner;
use super::options::{ClientOptions, Hold};
use super::state::{Client, Heartbeat, quiet_polls};
use crate::attachment::{Attachment, Terms};
use crate::cursor::Cursor;
use crate::error::OpenError;
use crate::frame::Taken;
use crate::life::server_end;
use crate::region::{Mapped, await_magic, header_of, protect_reader};
use crate::schema::catalog::Home;
use crate::slot::buffer::Pool;
use crate::slot::verify::Verify;
use shmx_abi::extension::Features;
use shmx_abi::{LayoutError, RegionLayout};
use shmx_os::{NameWatch, Region, RegionName};
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use shmx_ring::{every_frame, reader};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Client {
    pub(super) fn open_as(name: &str, options: &ClientOptions) -> Result<Self, OpenError> {
        let name = RegionName::new(name)?;
        let mut tries = 0;
        let os = loop {
            match Region::open(&name) {
                Err(shmx_os::OpenError::Replaced { .. }) if tries < 16 => tries += 1,
                other => break other?,
            }
        };
        let bad = |cause| OpenError::Layout { name: name.to_string(), cause };
        let available = os.len() as u64;
        await_magic(&os);
        let header = header_of(&os).ok_or_else(|| bad(LayoutError::ShorterThanHeader { available }))?;
        let layout = RegionLayout::from_header(&header, available).map_err(bad)?;
        let features = Features::of(&header);
        let total = u64::from(layout.total_bytes());
        let region = Mapped::new(os, layout).ok_or_else(|| bad(LayoutError::Truncated { total, available }))?;
        let word = || region.header().ext_features.load(Ordering::Acquire);
        if let Some(end) = server_end(&region.os, word(), header.session_id, word) {
            return Err(OpenError::ServerGone { name: name.to_string(), end });
        }
        if features.is_extended() && (options.prefault || options.huge_pages) {
            region.os.prefault(options.huge_pages);
        }
        protect_reader(&region, options.huge_pages);
        // Before the server can see the reader: every frame that it publishes from then on is delivered or counted.
        let published = reader::published(&region);
        let terms = Terms {
            require_slot: options.require_slot,
            verifies: options.verify == Verify::Always,
            leases: options.hold != Hold::Copy,
            modest: options.hold == Hold::Auto,
            every_frame: options.every_frame,
        };
        let shared = Arc::new(Attachment::new(region, header.session_id, features, terms)?);
        let home: Arc<dyn Home> = shared.clone();
        let copy_up_to = if shared.leases() { options.copy_up_to } else { u32::MAX };
        let manner = Manner { verify: options.verify.compares(features), copy_up_to, copied_for_room: 0 };
        let cursor = match shared.slot().filter(|_| options.every_frame) {
            Some(slot) => {
                // Nothing is overwritten before the server can see where the reader begins.
                let first = every_frame::first_frames(&shared.region);
                let cursor = Cursor::for_every_frame(&shared.region, header.session_id, first, options.start);
                slot.last_frame_seen.store(cursor.last_id, Ordering::Release);
                shared.ring_server();
                cursor
            }
            None => Cursor::new(&shared.region, header.session_id, published, options.start),
        };
        Ok(Self {
            told: cursor.last_id,
            lived: cursor.last_id,
            cursor,
            taken: Taken::new(features, shared.catalog.clone(), Arc::new(Pool::default()), home),
            manner,
            heartbeat: Heartbeat::default(),
            quiet: quiet_polls(features),
            most_quiet: quiet_polls(features),
            beaten: Instant::now(),
            looked: Instant::now(),
            sought: Instant::now(),
            link: Link::new(shared.clone()),
            options: options.clone(),
            reconnects: 0,
            reopen_error: None,
            followed: (0, 0),
            notice: None,
            shared,
        })
    }

    /// Leaves the region and opens what has its name now; where that is the same region and its server lives, nothing
    /// happens. Counts go on. In another session the client begins as [`ClientOptions::start`] says.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the client keeps the old region then.
    pub fn reopen(&mut self) -> Result<(), OpenError> {
        let a = &self.shared;
        if a.check_session().is_ok() && a.region.os.is_current() && a.server_end().is_none() {
            return Ok(());
        }
        a.let_go_of_old_session();
        let new = Self::open_as(a.region.os.name().as_str(), &self.options)?;
        let Self { shared, cursor, taken, manner, quiet, most_quiet, told, .. } = new;
        match &mut self.notice {
            None => (self.quiet, self.most_quiet) = (quiet, most_quiet),
            Some(notice) => notice.stir(),
        }
        self.link.change(shared.clone());
        self.told = told;
        self.cursor = cursor.goes_on(&self.cursor);
        self.taken = taken;
        self.manner = Manner { copied_for_room: self.manner.copied_for_room, ..manner };
        self.shared = shared;
        Ok(())
    }
}

/// Longest sleep between two tries of [`ClientOptions::open_within`].
const LONGEST_NAP: Duration = Duration::from_millis(10);

impl ClientOptions {
    /// Opens a region by name.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then.
    pub fn open(&self, name: &str) -> Result<Client, OpenError> {
        Client::open_as(name, self)
    }

    /// The same, waiting for a server if there is none yet.
    ///
    /// # Errors
    ///
    /// [`OpenError`] of the last try when the time is up; at once where waiting cannot help.
    pub fn open_within(&self, name: &str, timeout: Duration) -> Result<Client, OpenError> {
        let start = Instant::now();
        // Made only if there is something to wait for; where names cannot be watched, pauses must do.
        let mut watch = None;
        loop {
            let error = match self.open(name) {
                Ok(client) => return Ok(client),
                Err(e) => e,
            };
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() || !may_pass(&error) {
                return Err(error);
            }
            let Some(watch) = &mut watch else {
                // And tried once more, so that nothing is missed in between.
                watch = Some(NameWatch::new().ok());
                continue;
            };
            // A slot that gets free, or a lock, is no change of a name.
            let nap = left.min(LONGEST_NAP);
            if watch.as_mut().is_none_or(|watch| watch.next(nap).is_err()) {
                std::thread::sleep(nap);
            }
        }
    }
}

/// Whether there just is no server now.
pub(super) fn is_not_there(error: &OpenError) -> bool {
    use shmx_os::OpenError::{Empty, NotFound, Replaced};
    match error {
        OpenError::Os(e) => matches!(e, NotFound { .. } | Replaced { .. } | Empty { .. }),
        OpenError::ServerGone { .. } => true,
        _ => false,
    }
}

/// Whether the same call may succeed a little later, without anybody having to do anything about it.
fn may_pass(error: &OpenError) -> bool {
    match error {
        OpenError::Os(_) | OpenError::ServerGone { .. } => is_not_there(error),
        OpenError::NoReaderSlot { .. } | OpenError::ReaderLock { .. } => true,
        // Where objects are visible before they are complete, or the reference has just begun. What is of another
        // version or byte order stays so.
        OpenError::Layout { cause, .. } => {
            use LayoutError::{BadMagic, ShorterThanHeader, Truncated, Zero};
            matches!(cause, BadMagic { .. } | ShorterThanHeader { .. } | Truncated { .. } | Zero { .. })
        }
        OpenError::Name(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_time_can_mend_is_waited_for() {
        let os = |e| may_pass(&OpenError::Os(e));
        let name = String::new;
        assert!(os(shmx_os::OpenError::Empty { name: name() }) && os(shmx_os::OpenError::NotFound { name: name() }));
        assert!(!os(shmx_os::OpenError::NotSharedMemory { name: name() }));
        let layout = |cause| may_pass(&OpenError::Layout { name: String::new(), cause });
        assert!(
            layout(LayoutError::BadMagic { found: 0 }) && layout(LayoutError::Truncated { total: 2, available: 1 })
        );
        assert!(
            layout(LayoutError::ShorterThanHeader { available: 1 }) && layout(LayoutError::Zero { field: "slots" })
        );
        assert!(!layout(LayoutError::BadVersion { major: 3, minor: 0 }));
        assert!(!layout(LayoutError::BadEndianness { found: 0 }));
    }
}
