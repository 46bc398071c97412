//! Waiting until readers have taken frames: nothing is overwritten that one of them still wants.

use super::frame::FrameWriter;
use super::shared::SharedServer;
use super::state::Server;
use super::wait::{Look, SILENT_SLICE};
use crate::error::{BeginError, Laggard, ReaderState};
use crate::readers::reader_info;
use shmx_os::{LockState, process_is_stopped};
use shmx_ring::every_frame;
use shmx_ring::sync::Ordering;
use shmx_ring::view::ReaderView;
use shmx_ring::writer::{Claim, NoFreeSlot};
use std::time::Duration;

/// Who is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    WantEveryFrame,
    Attached,
}

/// First and longest pause while a reader is waited for that does not ring.
const SHORTEST_PAUSE: Duration = Duration::from_micros(20);

impl Server {
    /// [`Server::begin_frame`] that overwrites only what each attached reader with
    /// [`ClientOptions::every_frame`](crate::ClientOptions::every_frame) has taken, and waits for that, and for a slot
    /// that nobody leases, no longer than `timeout`. Other readers are not waited for.
    ///
    /// While these readers keep up it costs little more than [`Server::begin_frame`]. It sleeps where it must wait, and
    /// readers wake it. Readers that die are cleaned up after meanwhile; those that are stopped hold it up until the
    /// time is up, and the error says so.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::error::BeginError;
    /// use shmx::{Client, Server, Stream};
    /// use std::time::Duration;
    ///
    /// const TICK: Stream<u64> = Stream::new(1, "tick");
    /// # let name = format!("doc-taken-{}", std::process::id());
    /// let mut server = Server::builder(&name).slots(2).stream(TICK, 1).create()?;
    /// let _reader = Client::options().every_frame(true).open(&name)?;
    /// for tick in 0..2 {
    ///     let mut frame = server.begin_frame_when_taken(Duration::ZERO)?;
    ///     frame.append_value(TICK, tick)?;
    ///     frame.publish_frame(0.0)?;
    /// }
    /// let Err(BeginError::NotTaken { laggards, .. }) = server.begin_frame_when_taken(Duration::ZERO) else { panic!() };
    /// assert_eq!((laggards.len(), laggards[0].last_taken), (1, 0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`BeginError::NotTaken`] names the readers that have not taken what is needed; other [`BeginError`]s as for
    /// [`Server::begin_frame`].
    #[inline]
    pub fn begin_frame_when_taken(&mut self, timeout: Duration) -> Result<FrameWriter<'_>, BeginError> {
        if let Err(e) = self.check_ours() {
            self.mend(e)?;
        }
        let Self { claimer, keepers, region, .. } = &mut *self;
        let claim = match claimer.claim_where_mut(region, |id| keepers.permit(region, id)) {
            Ok(claim) => claim,
            Err(_) => self.claim_when_taken(timeout)?,
        };
        Ok(FrameWriter::alone(self, claim))
    }

    /// Waits until each attached reader with [`ClientOptions::every_frame`](crate::ClientOptions::every_frame) has taken
    /// this frame, and those before it; at once where there is no such reader. A frame that is not published yet is
    /// waited for.
    ///
    /// # Errors
    ///
    /// [`BeginError::NotTaken`] when the time is up; other [`BeginError`]s if the region is not this server's any more.
    pub fn wait_taken(&self, frame_id: u64, timeout: Duration) -> Result<(), BeginError> {
        self.wait_taken_by(Whom::WantEveryFrame, frame_id, timeout)
    }

    /// [`Server::wait_taken`] for all attached readers, whether they have asked or not, readers of the reference among
    /// them. Those that have not asked do not wake the server: they are polled, after 20 us at first and then in steps
    /// of up to a millisecond, and may have passed frames over.
    ///
    /// # Errors
    ///
    /// As for [`Server::wait_taken`].
    pub fn wait_taken_by_all(&self, frame_id: u64, timeout: Duration) -> Result<(), BeginError> {
        self.wait_taken_by(Whom::Attached, frame_id, timeout)
    }

    fn wait_taken_by(&self, whom: Whom, frame_id: u64, timeout: Duration) -> Result<(), BeginError> {
        let mut pause = SHORTEST_PAUSE;
        let done = self.wait_for(timeout, || {
            let mut laggards = self.readers().filter(|r| last_taken(r, whom).is_some_and(|last| last < frame_id));
            let Some(first) = laggards.next() else { return Ok(Look::Found(())) };
            if [first].into_iter().chain(laggards).all(|r| every_frame::taken(r).is_some()) {
                return Ok(Look::Nothing(self.longest_sleep()));
            }
            pause = (pause * 2).min(SILENT_SLICE);
            Ok(Look::Nothing(pause))
        })?;
        if done.is_some() {
            return Ok(());
        }
        let _ = self.reap_dead_readers();
        let laggards = self.laggards(whom, frame_id);
        if laggards.is_empty() { Ok(()) } else { Err(BeginError::NotTaken { frame_id, laggards }) }
    }

    fn readers(&self) -> impl Iterator<Item = &ReaderView> {
        (0..self.region.layout.reader_slots()).filter_map(|i| self.region.reader(i))
    }

    /// One try at a slot whose frame everybody has taken.
    #[inline]
    fn claim_taken(&self) -> Result<Claim, NoFreeSlot> {
        self.claimer.claim_where(&self.region, |id| self.keepers.permit(&self.region, id))
    }

    #[cold]
    #[inline(never)]
    fn claim_when_taken(&self, timeout: Duration) -> Result<Claim, BeginError> {
        let found = self.wait_for(timeout, || {
            Ok(match self.claim_taken() {
                Ok(claim) => Look::Found(claim),
                // The end of a lease rings for nobody, nor does a thread that gives its slot back.
                Err(e) if e.leased + e.writing > 0 => Look::Nothing(SILENT_SLICE),
                Err(_) => Look::Nothing(self.longest_sleep()),
            })
        })?;
        if let Some(claim) = found {
            return Ok(claim);
        }
        // Who died just now holds up nobody.
        let refused = match self.reaping(|| self.claim_taken()) {
            Ok(claim) => return Ok(claim),
            Err(refused) => refused,
        };
        if refused.needed == 0 {
            return Err(self.no_free_slot(refused));
        }
        let frame_id = self.keepers.least().saturating_add(1);
        let laggards = self.laggards(Whom::WantEveryFrame, frame_id);
        Err(BeginError::NotTaken { frame_id, laggards })
    }

    /// Who has not taken the frame.
    fn laggards(&self, whom: Whom, frame_id: u64) -> Vec<Laggard> {
        let laggard = |(index, slot): (u32, &ReaderView)| {
            let last_taken = last_taken(slot, whom).filter(|&last| last < frame_id)?;
            // The lock does not matter here.
            let info = reader_info(&self.region, index, LockState::Unsupported, false)?;
            let pid = info.extension.map(|e| e.pid).filter(|&pid| pid != 0);
            let state = match pid.and_then(process_is_stopped) {
                Some(true) => ReaderState::Stopped,
                Some(false) => ReaderState::Live,
                None => ReaderState::Unknown,
            };
            Some(Laggard { index, reader_id: info.reader_id, pid, last_taken, state })
        };
        (0..).zip(self.readers()).filter_map(laggard).collect()
    }
}

impl SharedServer {
    /// [`SharedServer::begin_frame`] that overwrites only what readers that want every frame have taken; see
    /// [`Server::begin_frame_when_taken`]. Any number of threads may wait.
    ///
    /// # Errors
    ///
    /// As for [`Server::begin_frame_when_taken`].
    #[inline]
    pub fn begin_frame_when_taken(&self, timeout: Duration) -> Result<FrameWriter<'_>, BeginError> {
        self.check_ours()?;
        let claim = match self.claim_taken() {
            Ok(claim) => claim,
            Err(_) => self.claim_when_taken(timeout)?,
        };
        Ok(FrameWriter::shared(self, claim))
    }
}

/// The last frame that the reader has taken, if it is waited for.
fn last_taken(slot: &ReaderView, whom: Whom) -> Option<u64> {
    match whom {
        Whom::WantEveryFrame => every_frame::taken(slot),
        // Acquire, as in `every_frame::taken`. One that is just coming has taken nothing.
        Whom::Attached => {
            (slot.in_use.load(Ordering::Acquire) != 0).then(|| slot.last_frame_seen.load(Ordering::Acquire))
        }
    }
}
