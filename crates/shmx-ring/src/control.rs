//! The control ring from one reader to the producer: single producer, single consumer, records of bytes.
//!
//! The receiver keeps its position privately and mirrors it, the sender finds its own in the ring, since senders follow
//! each other there. Both check the distance of the two positions before they believe them. A ring's capacity need not
//! be a multiple of anything, so the bytes are copied one by one.

use crate::bytes::{load_bytes, store_bytes};
use crate::sync::{AtomicU8, Ordering};
use crate::view::ControlHead;
use shmx_abi::control::{Place, PlaceError, Record, RingGeometry};
use shmx_abi::wire::TlvHeader;

/// A ring's memory: positions, and all its bytes including those of the positions.
#[derive(Clone, Copy, Debug)]
pub struct RingMemory<'a> {
    /// The positions.
    pub head: &'a ControlHead,
    /// All `control_per_reader` bytes, so that wire offsets apply; the first 16 are never touched through it.
    pub bytes: &'a [AtomicU8],
}

/// Sends one message. `&mut`-like: there must be one sender per ring at a time.
///
/// # Errors
///
/// [`PlaceError`]. After `Full` the write position may have moved to the start of the ring, as the format wants it.
pub fn send(geometry: RingGeometry, ring: RingMemory<'_>, ty: u32, data: &[u8]) -> Result<(), PlaceError> {
    // Acquire: the receiver's reads of the room we are about to reuse stay before our writes.
    let read = ring.head.read.load(Ordering::Acquire);
    // Relaxed: only senders store it, and senders follow each other by attaching (Acquire) after detaching (Release).
    let write = ring.head.write.load(Ordering::Relaxed);
    let placement = geometry.send(read, write, data.len())?;
    // Without a padding record the skip becomes visible together with the message: a receiver of the reference that
    // finds fewer than eight bytes left skips them and reads a record at the start without looking at the write
    // position again, so the position must never stand there without one.
    if let Some(wrap) = placement.wrap
        && let Some((offset, pad)) = wrap.pad
    {
        store_header(ring, offset, pad);
        // Release: who sees the position sees the padding.
        ring.head.write.store(wrap.position, Ordering::Release);
    }
    let offset = placement.offset.ok_or(PlaceError::Full)?;
    store_header(ring, offset, TlvHeader { ty, length: data.len() as u32 });
    store_bytes(data, ring.bytes.get(offset + size_of::<TlvHeader>()..).unwrap_or(&[]));
    // Release: who sees the position sees the message.
    ring.head.write.store(placement.next, Ordering::Release);
    Ok(())
}

fn store_header(ring: RingMemory<'_>, offset: usize, header: TlvHeader) {
    let at = ring.bytes.get(offset..).unwrap_or(&[]);
    store_bytes(&header.ty.to_ne_bytes(), at);
    store_bytes(&header.length.to_ne_bytes(), at.get(4..).unwrap_or(&[]));
}

/// The producer's end of one ring.
#[derive(Debug)]
pub struct Receiver {
    geometry: RingGeometry,
    read: u64,
}

/// A message found in the ring. Copy its body with [`Received::body`] before taking the next.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its type.
    pub ty: u32,
    body: &'a [AtomicU8],
}

impl Received<'_> {
    /// Bytes of the body.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether there is no body.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Copies the body, as many bytes as the shorter side has.
    pub fn body(&self, dst: &mut [u8]) {
        load_bytes(self.body, dst);
    }
}

/// The sender's position or a record was impossible. What waited is given up; the ring goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingCorrupt {
    /// Bytes given up, as far as the positions tell.
    pub lost: u64,
}

impl Receiver {
    /// The receiver of a fresh ring.
    #[must_use]
    pub const fn new(geometry: RingGeometry) -> Self {
        Self::starting_at(geometry, 0)
    }

    /// A receiver at a position; for a ring that was used before, and for tests near the wrap.
    #[must_use]
    pub const fn starting_at(geometry: RingGeometry, read: u64) -> Self {
        Self { geometry, read }
    }

    /// Hands messages to `take` until none waits or `take` returns false, which leaves that message in the ring.
    ///
    /// Looks at no more bytes than the ring holds, whatever the sender does meanwhile.
    ///
    /// # Errors
    ///
    /// [`RingCorrupt`]; messages before the bad record have been delivered.
    pub fn poll(
        &mut self,
        ring: RingMemory<'_>,
        mut take: impl FnMut(Received<'_>) -> bool,
    ) -> Result<(), RingCorrupt> {
        // Acquire, pairs with the Release stores in `send`. Read once: what is sent later waits for the next poll.
        let write = ring.head.write.load(Ordering::Acquire);
        let result = self.drain(ring, write, &mut take);
        if result.is_err() {
            self.read = write;
        }
        // Mended as well if somebody else has written it: the sender believes it, and would find no room for ever.
        // Relaxed: only we store it, unless a neighbour scribbles, and its value decides nothing else.
        if ring.head.read.load(Ordering::Relaxed) != self.read {
            // Release: our reads of the messages stay before the sender reuses their room.
            ring.head.read.store(self.read, Ordering::Release);
        }
        result
    }

    fn drain(
        &mut self,
        ring: RingMemory<'_>,
        write: u64,
        take: &mut impl FnMut(Received<'_>) -> bool,
    ) -> Result<(), RingCorrupt> {
        let mut corrupt = RingCorrupt { lost: write.wrapping_sub(self.read) };
        loop {
            match self.geometry.waiting(self.read, write) {
                Some(0) => return Ok(()),
                Some(waiting) => corrupt.lost = waiting,
                // Padding that reaches past what was sent leads here too: lost is what waited before it.
                None => return Err(corrupt),
            }
            let offset = match self.geometry.place(self.read) {
                Place::Skip(next) => {
                    self.read = next;
                    continue;
                }
                Place::Header(offset) => offset,
            };
            let mut word = [[0_u8; 4]; 2];
            load_bytes(ring.bytes.get(offset..).unwrap_or(&[]), word.as_flattened_mut());
            let header = TlvHeader { ty: u32::from_ne_bytes(word[0]), length: u32::from_ne_bytes(word[1]) };
            match self.geometry.record(self.read, header) {
                Record::Skip(next) => self.read = next,
                Record::Message { ty, offset, len, next } => {
                    let body = ring.bytes.get(offset..offset + len).ok_or(corrupt)?;
                    if self.geometry.waiting(next, write).is_none() {
                        return Err(corrupt); // the record reaches past what was sent
                    }
                    if !take(Received { ty, body }) {
                        return Ok(());
                    }
                    self.read = next;
                }
                Record::Corrupt => return Err(corrupt),
            }
        }
    }
}
