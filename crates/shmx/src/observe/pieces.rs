//! A frame that is copied out of a region piece by piece.

use super::site::Site;
use super::tap::Tap;
use crate::error::{DirectoryReadError, ReadError};
use crate::schema::catalog::Home;
use crate::schema::directory::Directory;
use crate::slot::read::{Expected, is_reserved};
use shmx_abi::hash;
use shmx_ring::reader::{self, FrameSnapshot};
use shmx_ring::view::Slots;
use std::sync::Arc;
use std::time::Duration;

/// A frame that a tap has found and not copied yet: [`FramePieces::copy`] copies it piece by piece, so that the first
/// bytes of a large frame can be worked on or sent while the last ones are still in the region.
///
/// Nobody holds the frame there. What was copied is the frame's, but the producer may overwrite the rest before it is
/// copied; then there is no more to be had of it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Server, Stream, Tap};
///
/// const IMAGE: Stream<u8> = Stream::new(1, "image");
/// # let name = format!("doc-pieces-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(IMAGE, 1000).create()?;
/// let mut tap = Tap::open(&name)?;
/// let mut frame = server.begin_frame()?;
/// frame.append_stream(IMAGE, &[7; 1000])?;
/// frame.publish_frame(0.5)?;
///
/// let mut pieces = tap.try_wait_in_pieces()?.expect("one was published");
/// let (mut all, mut buffer) = (Vec::new(), [0; 256]);
/// while pieces.left() > 0 {
///     let bytes = pieces.copy(&mut buffer)?;
///     all.extend_from_slice(&buffer[..bytes]);
/// }
/// assert_eq!((all.len(), pieces.frame_id()), (pieces.len(), 1));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct FramePieces {
    site: Arc<Site>,
    expected: Expected,
    meta: FrameSnapshot,
    slot: u32,
    missed_before: u64,
    /// Its sequence number, where its server writes no stamps.
    number: u32,
    /// Bytes copied, and their hash.
    done: usize,
    state: u64,
}

impl Tap {
    /// The newest frame as [`Tap::try_wait`], to be copied in pieces. It counts as taken.
    ///
    /// # Errors
    ///
    /// As for [`Tap::try_next`].
    pub fn try_wait_in_pieces(&mut self) -> Result<Option<FramePieces>, ReadError> {
        self.in_pieces(true)
    }

    /// The next frame in order as [`Tap::try_next`], to be copied in pieces. It counts as taken.
    ///
    /// # Errors
    ///
    /// As for [`Tap::try_next`].
    pub fn try_next_in_pieces(&mut self) -> Result<Option<FramePieces>, ReadError> {
        self.in_pieces(false)
    }

    fn in_pieces(&mut self, newest: bool) -> Result<Option<FramePieces>, ReadError> {
        let (site, expected) = (self.site.clone(), self.expected);
        let found = self.find_head(newest)?;
        Ok(found.map(|(current, number)| FramePieces {
            site,
            expected,
            meta: current.meta,
            slot: current.slot,
            missed_before: current.missed_before,
            number,
            done: 0,
            state: hash::SEED,
        }))
    }
}

impl FramePieces {
    /// The frame's id: 1 for the first one published, one more for each.
    #[must_use]
    pub const fn frame_id(&self) -> u64 {
        self.meta.frame_id
    }

    /// The producer's own time.
    #[must_use]
    pub const fn sim_time(&self) -> f64 {
        f64::from_bits(self.meta.sim_time_bits)
    }

    /// Frames that the tap missed between the one that it took before and this one.
    #[must_use]
    pub const fn missed_before(&self) -> u64 {
        self.missed_before
    }

    /// Number of records, as the producer counted them.
    #[must_use]
    pub const fn tlv_count(&self) -> u32 {
        self.meta.tlv_count
    }

    /// The checksum that the producer wrote; `None` if it wrote none for this frame.
    #[must_use]
    pub fn stored_checksum(&self) -> Option<u32> {
        self.expected.features.has_checksum(self.meta.stamp).then_some(self.meta.checksum)
    }

    /// Time from publishing until now; `None` if that is not known.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let time = self.expected.features.publish_time(self.meta.publish_time, self.meta.stamp)?;
        time.age_ns(shmx_os::clock::ticks()).map(Duration::from_nanos)
    }

    /// The stream directory as it is now: it lists at least what this frame has.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        self.site.directory()
    }

    /// Bytes of the payload.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame without payload is none")]
    pub const fn len(&self) -> usize {
        self.meta.payload_bytes as usize
    }

    /// Bytes that were not copied yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.len() - self.done
    }

    /// Copies the next bytes of the payload, as many as `to` has or are left, and gives their number. All but the last
    /// piece is cut to whole words of eight bytes: into fewer nothing is copied, unless no more are left.
    ///
    /// # Errors
    ///
    /// [`ReadError::Lapped`]: the producer has overwritten the frame. With the last piece also
    /// [`ReadError::Checksum`], where the tap compares them ([`crate::Verify`]). What was copied before a failure is
    /// the frame's; what `to` has is not.
    pub fn copy(&mut self, to: &mut [u8]) -> Result<usize, ReadError> {
        let left = self.left();
        let bytes = if to.len() < left { to.len() / 8 * 8 } else { left };
        let (region, to) = (&self.site.region, &mut to[..bytes]);
        let extended = self.expected.features.is_extended();
        let copied = reader::copy_part(region.slot(self.slot), &self.meta, self.done / 8, to);
        if copied.is_err() || !extended && is_reserved(region, self.number) {
            return Err(ReadError::Lapped { attempts: 1 });
        }
        self.done += bytes;
        if let Some(stored) = self.stored_checksum().filter(|_| self.expected.verify) {
            self.state = hash::update(self.state, to);
            let computed = hash::fold32(self.state);
            if self.left() == 0 && computed != stored {
                return Err(ReadError::Checksum { frame_id: self.frame_id(), stored, computed });
            }
        }
        Ok(bytes)
    }
}
