//! The server sleeps until its readers have something for it.

use super::control::ControlBatch;
use super::state::Server;
use crate::error::BeginError;
use crate::wait::SLICE;
use shmx_os::futex;
use shmx_ring::view::Slots;
use shmx_ring::{control_bell, every_frame};
use std::time::{Duration, Instant};

/// Longest sleep while somebody is waited for who does not ring: readers of the reference, leases that end.
pub(super) const SILENT_SLICE: Duration = Duration::from_millis(1);

/// What a look brings.
pub(super) enum Look<T> {
    Found(T),
    /// Look again after this time at the latest.
    Nothing(Duration),
}

impl Server {
    /// Waits until a reader has sent a message, or readers have come or gone, and takes at most `max` messages; an empty
    /// batch when the time is up. [`ControlBatch`] says which it was.
    ///
    /// Sleeps meanwhile, and readers wake it: they ring only where the server sleeps, so a message costs them next to
    /// nothing otherwise. Readers of the reference do not ring; while one is attached, the rings are polled each
    /// millisecond. Cleans up after dead readers, as [`Server::poll_control`]; with a timeout of zero it is the same.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Client, Server, abi::TLV_CONTROL_USER};
    /// use std::time::Duration;
    ///
    /// # let name = format!("doc-wait-control-{}", std::process::id());
    /// let server = Server::builder(&name).create()?;
    /// let client = Client::open(&name)?;
    /// client.control_send(TLV_CONTROL_USER, b"faster")?;
    /// let batch = server.wait_control(16, Duration::from_secs(1))?;
    /// assert_eq!((batch.messages.len(), batch.came.len()), (1, 1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`BeginError`] if the region is not this server's any more, as [`Server::begin_frame`] has it.
    pub fn wait_control(&self, max: usize, timeout: Duration) -> Result<ControlBatch, BeginError> {
        let found = self.wait_for(timeout, || {
            let batch = self.poll_control(max);
            Ok(if batch.is_empty() { Look::Nothing(self.longest_sleep()) } else { Look::Found(batch) })
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Looks until there is something or the time is up, asleep in between. Does the chores.
    pub(super) fn wait_for<T>(
        &self,
        timeout: Duration,
        mut look: impl FnMut() -> Result<Look<T>, BeginError>,
    ) -> Result<Option<T>, BeginError> {
        let start = Instant::now();
        let more = &self.region.header().ext_more;
        self.check_ours()?;
        if let Look::Found(found) = look()? {
            return Ok(Some(found));
        }
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            let expected = control_bell::prepare_to_sleep(more);
            // After `prepare_to_sleep`: who makes news from now on changes the word.
            let at_most = match look()? {
                Look::Found(found) => return Ok(Some(found)),
                Look::Nothing(at_most) => at_most,
            };
            if futex::is_supported() {
                let _ = self.region.os.wait(more, expected, left.min(at_most));
            } else {
                std::thread::sleep(left.min(SILENT_SLICE));
            }
            self.check_ours()?;
            self.do_due_chores();
        }
    }

    /// How long the server may sleep, given who is attached.
    pub(super) fn longest_sleep(&self) -> Duration {
        let mut readers = (0..self.region.layout.reader_slots()).filter_map(|i| self.region.reader(i));
        if readers.any(every_frame::is_silent) { SILENT_SLICE } else { SLICE }
    }
}
