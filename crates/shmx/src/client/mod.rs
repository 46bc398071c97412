//! A reader: takes frames, learns the directory, sends control messages.

mod control;
mod follow;
mod hand;
mod notice;
mod open;
mod options;
mod state;
#[cfg(feature = "async")]
mod stream;
#[cfg(all(feature = "tokio", unix))]
mod tokio_stream;
mod wait;

pub use control::ControlSender;
pub use follow::{Following, KeptPart, Part, Step};
pub use options::{ClientOptions, Hold};
pub use state::Client;
#[cfg(feature = "async")]
pub use stream::{FrameStream, IntoStreamError};
#[cfg(all(feature = "tokio", unix))]
pub use tokio_stream::{IntoTokioStreamError, TokioFrameStream};
pub use wait::Order;

use crate::cursor::ReadStats;
use crate::error::{DirectoryReadError, LookupError, OpenError, ReadError, SendError, ServerEnd};
use crate::frame::Frame;
use crate::schema::catalog::Home;
use crate::schema::directory::Directory;
use crate::schema::key::StreamKey;
use crate::schema::stream::StreamId;
use shmx_abi::extension::Features;
use shmx_abi::wire::GlobalHeader;
use shmx_abi::{Element, RegionLayout};
use std::sync::Arc;
use std::time::Duration;

impl Client {
    /// Opens a region by name and takes a reader slot.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        ClientOptions::default().open(name)
    }

    /// The same, waiting for a server if there is none yet.
    ///
    /// # Errors
    ///
    /// [`OpenError`] of the last try when the time is up; at once where waiting cannot help.
    pub fn open_within(name: &str, timeout: Duration) -> Result<Self, OpenError> {
        ClientOptions::default().open_within(name, timeout)
    }

    /// How to open and to read: defaults to change.
    pub fn options() -> ClientOptions {
        ClientOptions::default()
    }

    /// Leaves the region. The same as dropping the client; leased frames that were kept, and control senders, keep the
    /// reader slot until they go.
    pub fn close(self) {}

    /// Name of the region, without leading `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.region.os.name().as_str()
    }

    /// Session of the server that the client reads from.
    #[must_use]
    pub fn session_id(&self) -> u64 {
        self.shared.session_id
    }

    /// Features of the server; none for one of the reference.
    #[must_use]
    pub fn features(&self) -> Features {
        self.shared.features
    }

    /// Where everything lies.
    #[must_use]
    pub fn layout(&self) -> &RegionLayout {
        &self.shared.region.layout
    }

    /// Bytes of the region that huge pages map in this process, as the kernel has it; `None` if it does not say.
    #[must_use]
    pub fn huge_page_bytes(&self) -> Option<u64> {
        self.shared.region.os.huge_page_bytes()
    }

    /// A copy of the header as it is now.
    #[must_use]
    pub fn header(&self) -> GlobalHeader {
        self.shared.region.header_copy()
    }

    /// Index of the client's reader slot; `None` without one ([`ClientOptions::require_slot`]).
    #[must_use]
    pub fn reader_index(&self) -> Option<u32> {
        self.shared.index()
    }

    /// Counts since the client was opened, all regions taken together.
    #[must_use]
    pub const fn stats(&self) -> ReadStats {
        self.cursor.stats
    }

    /// Frames copied although they could have been leased, so as to leave the producer enough slots ([`Hold::Auto`]).
    /// More slots make reading cheaper then.
    #[must_use]
    pub const fn copied_for_room(&self) -> u64 {
        self.manner.copied_for_room
    }

    /// How often the client has gone over to a successor of its server ([`ClientOptions::reconnect`]).
    #[must_use]
    pub const fn reconnects(&self) -> u64 {
        self.reconnects
    }

    /// Why the client could not go over to the successor of its server when it last looked for one
    /// ([`ClientOptions::reconnect`]): what has the name cannot be read, say. `None` while the server lives, and while
    /// there is no other yet. Until the reason is gone the client finds no frames.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Client, Server};
    ///
    /// # let name = format!("doc-reopen-error-{}", std::process::id());
    /// # let _server = Server::builder(&name).create()?;
    /// let mut client = Client::options().reconnect(true).open(&name)?;
    /// if client.try_wait()?.is_none()
    ///     && let Some(error) = client.reopen_error()
    /// {
    ///     eprintln!("cannot read from the new server: {error}");
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn reopen_error(&self) -> Option<&OpenError> {
        self.reopen_error.as_ref()
    }

    /// How the server ended; `None` while it lives. A server of the reference holds no lock and is never known to be
    /// gone.
    #[must_use]
    pub fn server_end(&self) -> Option<ServerEnd> {
        self.shared.server_end()
    }

    /// Whether the name now leads to another region, or to none. False also where the system fails to say.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        !self.shared.region.os.is_current()
    }

    /// The stream directory as it is now, consistent even while the server adds to it. Read anew only if it has
    /// changed.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        self.shared.directory()
    }

    /// A stream of the region with elements of type `T`, for reading without further looks at the directory.
    ///
    /// A [`crate::Stream`] is looked for by its name, and may have another number here.
    ///
    /// # Errors
    ///
    /// [`LookupError`]: what the region has instead.
    pub fn stream<T: Element>(&self, stream: impl StreamKey<T>) -> Result<StreamId<T>, LookupError> {
        self.shared.catalog.resolve(&*self.shared.directory()?, stream)
    }

    /// The newest frame, seen before or not; `None` while there is none, or while the producer is rewriting the very
    /// slot that held it (it does so only when it has no other). Never waits, and does not say when the server is gone
    /// ([`Client::server_end`]): the last frame stays.
    ///
    /// Never a frame older than one that this or [`Client::wait`] gave before. It may be older than one that was taken
    /// in order, and two clients may disagree for a moment: what the one has found in its slot just before the producer
    /// announced it, the other may not be told of yet.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    #[inline]
    pub fn latest(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let found = if self.options.reconnect {
            wait::latest_of_any(self)?
        } else {
            self.find(|cursor, hand| cursor.latest(hand))?
        };
        if found.is_none() {
            self.show_life();
        }
        Ok(self.lend(found))
    }

    /// The frame with this id, if it is still in the ring. Counts as a delivery only if it is newer than any before.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn read_id(&mut self, frame_id: u64) -> Result<Option<Frame<'_>>, ReadError> {
        let found = self.find(|cursor, hand| cursor.read_id(hand, frame_id))?;
        if found.is_none() {
            self.show_life();
        }
        Ok(self.lend(found))
    }

    /// The oldest frame in the ring that is newer than the last one delivered; `None` if there is none yet. Never
    /// waits.
    ///
    /// Frames overwritten meanwhile are counted in [`ReadStats::missed`], exactly: ids are dense.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; [`ReadError::ServerGone`] once there is no frame left and the server is known to be gone, which
    /// after a crash takes 16 calls and 10 ms, whichever is later.
    #[inline(always)]
    pub fn try_next(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let found = notice::poll(self, Order::Every)?;
        Ok(self.lend(found))
    }

    /// The newest frame if it is newer than the last one delivered. Never waits.
    ///
    /// # Errors
    ///
    /// As for [`Client::try_next`].
    #[inline(always)]
    pub fn try_wait(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let found = notice::poll(self, Order::Newest)?;
        Ok(self.lend(found))
    }

    /// Waits for a frame newer than the last one delivered and takes the newest; `None` when the time is up.
    ///
    /// Polls for [`ClientOptions::spin`], then sleeps on the doorbell of a server of ours; a server of the reference is
    /// polled. With a timeout of zero the same as [`Client::try_wait`].
    ///
    /// # Errors
    ///
    /// [`ReadError::ServerGone`] when there is none and the server is gone; other [`ReadError`]s as for
    /// [`Client::latest`].
    #[inline]
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Frame<'_>>, ReadError> {
        let found = wait::wait(self, Order::Newest, timeout)?;
        let found = notice::told(self, Order::Newest, found)?;
        Ok(self.lend(found))
    }

    /// Waits for the next frame in order: every frame still in the ring, one after the other, from
    /// [`ClientOptions::start`] on.
    ///
    /// # Errors
    ///
    /// As for [`Client::wait`].
    #[inline]
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Frame<'_>>, ReadError> {
        let found = wait::wait(self, Order::Every, timeout)?;
        let found = notice::told(self, Order::Every, found)?;
        Ok(self.lend(found))
    }

    /// A sender of control messages, for use while a frame is borrowed and in other threads.
    #[must_use]
    pub fn control(&self) -> ControlSender {
        ControlSender::new(self.link.clone())
    }

    /// Sends a control message. Types from [`shmx_abi::TLV_CONTROL_USER`] on are the application's.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent then.
    pub fn control_send(&self, ty: u32, body: &[u8]) -> Result<(), SendError> {
        control::send(&self.shared, ty, body)
    }

    /// Tells the server that the client is alive without reading a frame; for servers that reap by heartbeat. Waiting
    /// and reading do it by themselves.
    pub fn heartbeat(&self) {
        self.shared.beat();
    }
}
