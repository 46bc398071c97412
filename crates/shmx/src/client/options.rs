//! How a client reads.

use crate::cursor::Start;
use crate::slot::verify::Verify;
use std::time::Duration;

/// Whether a frame is held under a lease in its slot, or copied out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hold {
    /// Under a lease, unless the frame is small ([`ClientOptions::copy_up_to`]) or one lease of each attached reader
    /// would leave the producer fewer than two slots; [`crate::Client::copied_for_room`] counts the latter.
    #[default]
    Auto,
    /// Under a lease wherever the region allows it, also where that can leave the producer without a slot.
    Lease,
    /// By copy.
    Copy,
}

/// How a client opens a region and reads it: [`crate::Client::options`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server, Start, Stream, Verify};
/// use std::time::Duration;
///
/// # let name = format!("doc-options-{}", std::process::id());
/// # let _server = Server::builder(&name).stream(Stream::<u64>::new(1, "tick"), 1).create()?;
/// let client = Client::options()
///     .start(Start::Oldest)
///     .verify(Verify::Always)
///     .open_within(&name, Duration::from_secs(5))?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a region is opened with them"]
pub struct ClientOptions {
    pub(super) verify: Verify,
    pub(super) hold: Hold,
    pub(super) copy_up_to: u32,
    pub(super) spin: Duration,
    pub(super) prefault: bool,
    pub(super) huge_pages: bool,
    pub(super) require_slot: bool,
    pub(super) start: Start,
    pub(super) reconnect: bool,
    pub(super) every_frame: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            verify: Verify::Auto,
            hold: Hold::Auto,
            copy_up_to: crate::frame::SMALL_WORDS as u32 * 8,
            spin: Duration::from_micros(5),
            prefault: true,
            huge_pages: false,
            require_slot: true,
            start: Start::Newest,
            reconnect: false,
            every_frame: false,
        }
    }
}

impl ClientOptions {
    /// When checksums are compared. Default [`Verify::Auto`].
    pub const fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Whether frames are leased or copied. Default [`Hold::Auto`].
    pub const fn hold(mut self, hold: Hold) -> Self {
        self.hold = hold;
        self
    }

    /// Frames of at most this many bytes of payload are copied in any case. For small frames that is faster than a
    /// lease, which makes the cache line of the frame's header travel once more, and a small frame that is kept costs
    /// the producer no slot. Default 192, which an [`crate::OwnedFrame`] holds without memory of its own.
    pub const fn copy_up_to(mut self, bytes: u32) -> Self {
        self.copy_up_to = bytes;
        self
    }

    /// How long [`crate::Client::wait`] and [`crate::Client::next`] poll before they sleep. Waking up takes the kernel some
    /// microseconds, so polling for a moment costs little more than it saves. Default 5 microseconds.
    pub const fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// Enter the whole region into this process's page table when it is opened, so that no page fault comes later; for
    /// regions of our own servers, which have their memory reserved. Default true.
    pub const fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// Map with huge pages what the server has in huge pages, see [`crate::ServerBuilder::huge_pages`]. A stray store
    /// of this process can then do harm at the edges of payloads, where a huge page cannot be write-protected. Default
    /// false.
    pub const fn huge_pages(mut self, huge_pages: bool) -> Self {
        self.huge_pages = huge_pages;
        self
    }

    /// Whether opening fails where no reader slot can be had. A client without one reads by copy, cannot send, and is
    /// not seen by the server. Default true.
    pub const fn require_slot(mut self, require: bool) -> Self {
        self.require_slot = require;
        self
    }

    /// Which frame the client begins with. Default [`Start::Newest`].
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Whether the client asks the server to overwrite no frame before it has taken it. A server of ours goes by that
    /// where its program begins frames with [`crate::Server::begin_frame_when_taken`], and waits for this reader as long
    /// as that allows; it goes on at once when the reader's process dies. Other frames are published as ever, and counted
    /// as missed if they were lost.
    ///
    /// Take the frames with [`crate::Client::next`] and [`crate::Client::try_next`]: what
    /// [`crate::Client::wait`] passes over counts as taken. It takes a reader slot. Default false.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Client, Server, Stream};
    /// use std::time::Duration;
    ///
    /// const TICK: Stream<u64> = Stream::new(1, "tick");
    /// # let name = format!("doc-every-{}", std::process::id());
    /// let mut server = Server::builder(&name).slots(2).stream(TICK, 1).create()?;
    /// let mut client = Client::options().every_frame(true).open(&name)?;
    /// for tick in 0..10 {
    ///     let mut frame = server.begin_frame_when_taken(Duration::from_secs(1))?;
    ///     frame.append_value(TICK, tick)?;
    ///     frame.publish_frame(0.0)?;
    /// #   client.next(Duration::ZERO)?;
    /// }
    /// assert_eq!(client.stats().missed, 0);
    /// # Ok(()) }
    /// ```
    pub const fn every_frame(mut self, every: bool) -> Self {
        self.every_frame = every;
        self
    }

    /// Whether the client goes over to a successor of its server by itself: where it would say that the server is gone
    /// it opens the name again, as soon as there is a server. Counts go on, [`crate::Client::reconnects`] says how often it
    /// happened, and frames tell their [`crate::Frame::session_id`]. Default false.
    pub const fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }
}
