//! What a server does when its name is taken away.

use super::create::create;
use super::plan::{NameLoss, Plan};
use super::state::Server;
use crate::error::{BeginError, CreateError};
use shmx_ring::sync::Ordering;

impl Server {
    /// Whether the name led to this server's region when the server last asked, which it does twice a second while it
    /// publishes, polls or waits. No system call; [`Server::name_is_current`] asks now.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.chores.is_named()
    }

    /// Makes a successor in this server's place if the name no longer leads to its region: see [`NameLoss::ComeBack`],
    /// which does this by itself where frames are begun. Messages that wait in the control rings are lost. Returns
    /// whether it did; false where the name is as it should be.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("doc-come-back-{}", std::process::id());
    /// let mut server = shmx::Server::builder(&name).create()?;
    /// assert!(!server.come_back()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CreateError`], for example where a live server has the name, or where the system does not say what has it; the
    /// server is as before then.
    pub fn come_back(&mut self) -> Result<bool, CreateError> {
        if self.check_region().is_err() || self.region.os.is_named()? {
            return Ok(false);
        }
        let directory = self.directory();
        let plan = Plan {
            directory: directory.bytes.clone(),
            streams: directory.streams.clone(),
            replace: false,
            ..(*self.plan).clone()
        };
        // The old one is closed after the new one is there: readers that are told find it.
        let before = std::mem::replace(self, create(plan, &mut || true)?);
        #[cfg(unix)]
        self.take_control_fd_of(&before);
        drop(before);
        Ok(true)
    }

    /// What the chores found out about the name.
    pub(super) fn note_name(&self) {
        if !self.is_named() && self.producing.name_loss != NameLoss::Warn {
            // Relaxed: the word is complete in itself.
            self.begins_in.store(0, Ordering::Relaxed);
        }
    }

    /// Whether frames can be begun after all.
    #[cold]
    pub(super) fn mend(&mut self, error: BeginError) -> Result<(), BeginError> {
        if !matches!(error, BeginError::NameLost { .. }) || self.producing.name_loss != NameLoss::ComeBack {
            return Err(error);
        }
        match self.come_back() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, name = self.name(), "cannot come back under the name yet"),
        }
        // Until the name is looked at again.
        self.begins_in.store(self.producing.session_id, Ordering::Relaxed);
        Ok(())
    }
}
