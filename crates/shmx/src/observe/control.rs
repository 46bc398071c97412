//! Follows what readers send to a server, without being noticed.
//!
//! A control ring has one sender and one receiver, and a message's bytes may be written over once the receiver has moved
//! its position past it. So a copy is only believed if the message still waited when it was made, or if the positions
//! show afterwards that the sender cannot have come round the ring by then. While neither is known, it is kept.

use super::site::Site;
use super::tap::Tap;
use crate::server::ControlMsg;
use shmx_abi::control::{Place, Record, RingGeometry};
use shmx_abi::wire::TlvHeader;
use shmx_ring::bytes::load_bytes;
use shmx_ring::control::RingMemory;
use shmx_ring::load;
use shmx_ring::sync::{Ordering, fence};
use shmx_ring::view::ControlPositions;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A copy is believed when its sender has shown nothing for this long.
const QUIET: Duration = Duration::from_secs(1);

/// A message that a reader has sent to the server, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenControl {
    /// When it was seen, by the clock of publish times, nanoseconds.
    pub ticks: u64,
    /// The message.
    pub message: ControlMsg,
}

/// What a look at the control rings brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenControls {
    /// Messages, ring by ring, in order within each.
    pub messages: Vec<SeenControl>,
    /// Bytes of rings that were sent and are not in the messages: written over, or damaged.
    pub lost: u64,
}

/// Follows the control rings of a region as a [`Tap`] follows its frames: through a read-only mapping, by polling. It
/// takes nothing out of the rings, so the server gets every message as if nobody looked.
///
/// A message that the server takes at once can be told from one that is being written over only by what its sender does
/// next: it is handed on when the sender has sent another one or has left, or after a second without either. Messages
/// that were written over before they were seen are counted, in bytes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::abi::TLV_CONTROL_USER;
/// use shmx::{Client, Server, Tap};
///
/// # let name = format!("doc-control-tap-{}", std::process::id());
/// let server = Server::builder(&name).create()?;
/// let mut seen = Tap::open(&name)?.control().expect("it has control rings");
/// Client::open(&name)?.control_send(TLV_CONTROL_USER, b"left")?;
/// assert_eq!(seen.poll().messages[0].message.data, b"left");
/// assert_eq!(server.poll_control(16).messages.len(), 1, "the server has it, too");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ControlTap {
    site: Arc<Site>,
    geometry: RingGeometry,
    rings: Vec<Followed>,
}

/// One ring.
#[derive(Debug)]
struct Followed {
    /// Up to where it was looked at.
    at: u64,
    /// Copies that are not known to be whole.
    kept: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    seen: SeenControl,
    /// Where it lies, and the position behind it.
    at: u64,
    next: u64,
    /// It still waited for the server when it was copied.
    certain: bool,
    /// The sender's position just after the copy, and when that was.
    written: u64,
    since: Instant,
}

impl Tap {
    /// Follows the region's control rings, from the messages on that wait for the server now. `None` where the region
    /// has no rings.
    #[must_use]
    pub fn control(&self) -> Option<ControlTap> {
        let site = self.site.clone();
        let layout = &site.region.layout;
        let geometry = RingGeometry::new(layout.control_per_reader())?;
        let read = |i| site.region.control(i).map_or(0, |ring| ring.head.load().read);
        let rings = (0..layout.reader_slots()).map(|i| Followed { at: read(i), kept: VecDeque::new() }).collect();
        Some(ControlTap { geometry, rings, site })
    }
}

impl ControlTap {
    /// What was sent since the last time, as far as it is certain. Never waits.
    pub fn poll(&mut self) -> SeenControls {
        self.look(false)
    }

    /// The same at the end, with those messages that are not certain yet.
    #[must_use]
    pub fn finish(mut self) -> SeenControls {
        self.look(true)
    }

    fn look(&mut self, last: bool) -> SeenControls {
        let mut found = SeenControls::default();
        let region = &self.site.region;
        for (index, followed) in (0..).zip(&mut self.rings) {
            let (Some(ring), Some(slot)) = (region.control(index), region.reader(index)) else { break };
            // Before the positions, whose loads have a fence between them: who has left sends nothing any more.
            let reader_id = load::count(&slot.reader_id);
            followed.copy(self.geometry, ring, index, reader_id, &mut found.lost);
            let written = load::count(&ring.head.write);
            followed.settle(self.geometry, written, reader_id, last, &mut found);
        }
        found
    }
}

impl Followed {
    /// Copies what lies before the sender's position.
    fn copy(&mut self, geometry: RingGeometry, ring: RingMemory<'_>, index: u32, reader_id: u64, lost: &mut u64) {
        let ControlPositions { read, write } = ring.head.load();
        if geometry.waiting(self.at, write).is_none() {
            // Gone round, or damaged. What waits is whole, and the receiver stands at its beginning.
            let behind = if geometry.waiting(read, write).is_some() { read } else { write };
            *lost = lost.saturating_add(behind.wrapping_sub(self.at));
            self.at = behind;
        }
        let ticks = shmx_os::clock::ticks();
        let mut copied = Vec::new();
        while self.at != write {
            let Some((next, message)) = record(geometry, ring, self.at, write) else {
                *lost = lost.saturating_add(write.wrapping_sub(self.at));
                self.at = write;
                break;
            };
            if let Some((ty, data)) = message {
                let message = ControlMsg { reader_id, reader_index: index, ty, data };
                copied.push((self.at, next, SeenControl { ticks, message }));
            }
            self.at = next;
        }
        // Acquire: the copies stay before the positions that tell whether they are whole.
        fence(Ordering::Acquire);
        let ControlPositions { read, write: written } = ring.head.load();
        let since = Instant::now();
        self.kept.extend(copied.into_iter().map(|(at, next, seen)| {
            // The sender writes no further than a ring's length behind the receiver.
            let certain = at.wrapping_sub(read) <= geometry.usable();
            Kept { seen, at, next, certain, written, since }
        }));
    }

    /// Hands on what is certain by now, in order.
    fn settle(&mut self, geometry: RingGeometry, written: u64, reader_id: u64, last: bool, found: &mut SeenControls) {
        while let Some(first) = self.kept.front() {
            let quiet = last || reader_id != first.seen.message.reader_id || first.since.elapsed() >= QUIET;
            if !first.certain && first.written == written && !quiet {
                return;
            }
            let Some(kept) = self.kept.pop_front() else { return };
            // What was being sent during the copy ends at the sender's position or before it.
            if kept.certain || geometry.waiting(kept.at, written).is_some() {
                found.messages.push(kept.seen);
            } else {
                found.lost = found.lost.saturating_add(kept.next.wrapping_sub(kept.at));
            }
        }
    }
}

/// The record at a position, and the position behind it; no message if it is padding, nothing if it cannot be.
type Found = (u64, Option<(u32, Vec<u8>)>);

fn record(geometry: RingGeometry, ring: RingMemory<'_>, at: u64, write: u64) -> Option<Found> {
    let offset = match geometry.place(at) {
        Place::Skip(next) => return geometry.waiting(next, write).map(|_| (next, None)),
        Place::Header(offset) => offset,
    };
    let mut word = [[0_u8; 4]; 2];
    load_bytes(ring.bytes.get(offset..)?, word.as_flattened_mut());
    let header = TlvHeader { ty: u32::from_ne_bytes(word[0]), length: u32::from_ne_bytes(word[1]) };
    match geometry.record(at, header) {
        Record::Skip(next) => geometry.waiting(next, write).map(|_| (next, None)),
        Record::Message { ty, offset, len, next } => {
            geometry.waiting(next, write)?;
            let mut data = vec![0; len];
            load_bytes(ring.bytes.get(offset..offset + len)?, &mut data);
            Some((next, Some((ty, data))))
        }
        Record::Corrupt => None,
    }
}
