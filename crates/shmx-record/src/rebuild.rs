//! A region that is made again elsewhere: out of a recording, or on another host.

use shmx::abi::frame::Streams;
use shmx::error::{AppendError, BeginError, PublishError, StaticError};
use shmx::{Directory, SharedServer};
use thiserror::Error;

/// A frame of another region, as it is published again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// The records, byte for byte.
    pub payload: &'a [u8],
    /// How many they are, as their producer counted them.
    pub tlv_count: u32,
    /// The producer's own time.
    pub sim_time: f64,
    /// Whether it is to carry a checksum even if no reader needs one.
    pub checksum: bool,
    /// A stream to put behind the others: its number, elements and bytes.
    pub mark: Option<(u32, u32, &'a [u8])>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is published, under this id.
    Published(u64),
    /// It contradicts its region: it is empty, or larger than a frame can be.
    Skipped,
    /// None of the streams that were asked for is in it.
    LeftOut,
    /// Readers hold every slot; try again.
    NoSlot,
}

/// A frame could not be published.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PutError {
    /// No slot could be claimed, for another reason than readers.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// The records could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The frame could not be made visible.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// A region that follows another one: its server, how much of the other's directory it has, and which streams it wants.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Server, Stream, Tap};
/// use shmx_record::{Again, Put, Rebuilt, Segment};
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// # let (name, copy) = (format!("doc-again-{}", std::process::id()), format!("doc-again-{}-b", std::process::id()));
/// let mut server = Server::builder(&name).stream(TICK, 1).create()?;
/// let mut tap = Tap::open(&name)?;
/// let directory = tap.directory()?;
/// let again = Segment::of(&tap, 1).server(&copy, &directory.bytes).create()?;
/// let mut again = Rebuilt::new(again, directory.bytes.len());
///
/// let mut frame = server.begin_frame()?;
/// frame.append_value(TICK, 7)?;
/// frame.publish_frame(0.5)?;
/// let frame = tap.try_next()?.expect("one was published");
/// let (payload, tlv_count, sim_time) = (frame.payload(), frame.tlv_count(), frame.sim_time());
/// let put = again.put(&Again { payload, tlv_count, sim_time, checksum: false, mark: None })?;
/// assert_eq!(put, Put::Published(1));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Rebuilt {
    /// The region's server.
    pub server: SharedServer,
    directory_len: usize,
    /// Ids of the streams that are wanted; all if none.
    wanted: Option<Vec<u32>>,
}

impl Rebuilt {
    /// The region of this server, which has so many bytes of the other's directory.
    #[must_use]
    pub fn new(server: impl Into<SharedServer>, directory_len: usize) -> Self {
        Self { server: server.into(), directory_len, wanted: None }
    }

    /// Bytes of the other's directory that it has.
    #[must_use]
    pub const fn directory_len(&self) -> usize {
        self.directory_len
    }

    /// Adds what the other's directory has from byte `at` on. False if that is not where the region's copy ends.
    ///
    /// # Errors
    ///
    /// [`StaticError`]: the bytes are no entries, or there is no room for them.
    pub fn add_to_directory(&mut self, at: usize, added: &[u8]) -> Result<bool, StaticError> {
        if at != self.directory_len {
            return Ok(false);
        }
        self.server.write_static_append(added)?;
        self.directory_len += added.len();
        Ok(true)
    }

    /// Only these streams, by name or number, out of the directory as it is now; all if there are none.
    pub fn choose(&mut self, streams: &[String]) {
        self.wanted = (!streams.is_empty()).then(|| chosen(&self.server.directory(), streams));
    }

    /// Publishes a frame now.
    ///
    /// # Errors
    ///
    /// [`PutError`].
    pub fn put(&mut self, frame: &Again<'_>) -> Result<Put, PutError> {
        if frame.payload.is_empty() {
            return Ok(Put::Skipped);
        }
        let wanted = |ids: &Vec<u32>| {
            let all = Streams::new(frame.payload).map_while(Result::ok);
            all.filter(|s| ids.contains(&s.stream_id)).collect::<Vec<_>>()
        };
        let part = self.wanted.as_ref().map(wanted);
        // Nothing of it was asked for.
        if part.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Put::LeftOut);
        }
        let mut slot = match self.server.begin_frame() {
            Ok(slot) => slot,
            Err(BeginError::NoFreeSlot { .. }) => return Ok(Put::NoSlot),
            Err(e) => return Err(e.into()),
        };
        let mut appended = match &part {
            None => slot.append_records(frame.payload, frame.tlv_count),
            Some(part) => part.iter().try_for_each(|s| slot.append_raw(s.stream_id, s.elem_count, s.data)),
        };
        if let (Ok(()), Some((id, count, data))) = (&appended, frame.mark) {
            appended = slot.append_raw(id, count, data);
        }
        match appended {
            Ok(()) => {}
            // A source that contradicts itself: the frame is larger than its region.
            Err(AppendError::Records { .. }) => return Ok(Put::Skipped),
            Err(_) if part.is_some() => return Ok(Put::Skipped),
            Err(e) => return Err(e.into()),
        }
        Ok(Put::Published(slot.publish_recorded(frame.sim_time, frame.checksum)?))
    }
}

/// The numbers of the streams that are called so.
pub(crate) fn chosen(directory: &Directory, streams: &[String]) -> Vec<u32> {
    directory.streams.iter().filter(|s| streams.iter().any(|by| s.is_called(by))).map(|s| s.id).collect()
}
