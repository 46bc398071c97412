//! What a server is to be.

use super::checksum::Checksum;
use crate::schema::directory::StreamInfo;
use shmx_abi::RegionLayout;
use shmx_os::RegionName;

/// A region as it is to be.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: RegionName,
    pub(super) layout: RegionLayout,
    /// The directory's bytes, and the streams they describe.
    pub(super) directory: Vec<u8>,
    pub(super) streams: Vec<StreamInfo>,
    pub(super) checksum: Checksum,
    pub(super) publish_time: bool,
    pub(super) mode: u32,
    pub(super) group: Option<u32>,
    pub(super) replace: bool,
    pub(super) huge_pages: bool,
    pub(super) ring_always: bool,
    pub(super) name_loss: NameLoss,
    pub(super) history: u32,
    pub(super) streaming_stores: bool,
}

/// What a server does when its name was removed or leads to another object: by `rm`, by another program, or by a system
/// that clears `/dev/shm` when a user logs out ([`crate::ServerBuilder::on_name_loss`]).
///
/// Readers that are attached go on in any case, and new ones find nothing. A server notices within a second while it
/// publishes, polls or waits, and [`crate::Server::is_named`] tells.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{NameLoss, Server};
///
/// # let name = format!("doc-name-loss-{}", std::process::id());
/// let server = Server::builder(&name).on_name_loss(NameLoss::ComeBack).create()?;
/// assert!(server.is_named());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameLoss {
    /// It goes on for the readers that it has, and warns once (`tracing`).
    #[default]
    Warn,
    /// It warns, and begins no frame any more: [`crate::error::BeginError::NameLost`].
    End,
    /// It warns, and [`crate::Server::begin_frame`] makes a successor in its own place under the name: a new region, with the
    /// same streams and directory and a new session, in which frames are numbered from 1. The old region is closed, so
    /// that readers that reconnect go over. While something else has the name the server goes on as with
    /// [`NameLoss::Warn`], and tries again now and then. A [`crate::SharedServer`] cannot change its region under its
    /// threads: for it this is [`NameLoss::End`].
    ComeBack,
}
