//! Messages from the readers.

use crate::error::ControlValueError;
use crate::region::Mapped;
use bytemuck::AnyBitPattern;
use shmx_abi::RegionLayout;
use shmx_abi::control::RingGeometry;
use shmx_os::Region;
use shmx_ring::control::Receiver;
use shmx_ring::readers;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;

/// A message from a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlMsg {
    /// Id of the reader that owns the ring now.
    pub reader_id: u64,
    /// Index of its reader slot.
    pub reader_index: u32,
    /// Type of the message.
    pub ty: u32,
    /// Its body.
    pub data: Vec<u8>,
}

impl ControlMsg {
    /// The body as a value of plain data.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("doc-control-{}", std::process::id());
    /// use shmx::{Client, Server, abi::TLV_CONTROL_USER};
    ///
    /// let server = Server::builder(&name).create()?;
    /// let mut client = Client::open(&name)?;
    /// client.control_send(TLV_CONTROL_USER, &2.5_f64.to_ne_bytes())?;
    /// let batch = server.poll_control(16);
    /// assert_eq!(batch.messages[0].value::<f64>()?, 2.5);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ControlValueError`] if the body has another size than `T`.
    pub fn value<T: AnyBitPattern>(&self) -> Result<T, ControlValueError> {
        let (found, expected) = (self.data.len(), size_of::<T>());
        bytemuck::try_pod_read_unaligned(&self.data).map_err(|_| ControlValueError {
            message_type: self.ty,
            found,
            expected,
            ty: std::any::type_name::<T>(),
        })
    }
}

/// What a poll of the control rings brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlBatch {
    /// Messages, ring by ring, in order within each.
    pub messages: Vec<ControlMsg>,
    /// Rings that were damaged; what waited behind the damage is lost.
    pub damaged: Vec<DamagedRing>,
    /// Ids of readers that have attached since the last poll.
    pub came: Vec<u64>,
    /// Ids of readers that have gone since the last poll: they left, or were cleaned up after. One that came and went
    /// between two polls is in neither list.
    pub left: Vec<u64>,
}

impl ControlBatch {
    /// Whether there is nothing: no message, no damage, and nobody came or went.
    ///
    /// ```
    /// assert!(shmx::ControlBatch::default().is_empty());
    /// ```
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.damaged.is_empty() && self.came.is_empty() && self.left.is_empty()
    }
}

/// A control ring whose positions or records were impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedRing {
    /// Index of the reader slot.
    pub reader_index: u32,
    /// Bytes given up, as far as the ring's positions can be believed.
    pub lost: u64,
}

/// The server's ends of all rings.
#[derive(Debug)]
pub(super) struct Receivers {
    rings: Vec<Receiver>,
    /// The ring to begin with at the next poll.
    first: usize,
    /// Who is attached, by reader slot, and the changes for which that holds.
    attached: Vec<u64>,
    seen: Option<(u32, u32)>,
}

impl Receivers {
    pub(super) fn new(layout: &RegionLayout) -> Self {
        let geometry = RingGeometry::new(layout.control_per_reader());
        let rings = geometry.map_or(Vec::new(), |g| (0..layout.reader_slots()).map(|_| Receiver::new(g)).collect());
        Self { rings, first: 0, attached: vec![0; layout.reader_slots() as usize], seen: None }
    }

    /// Takes at most `max` messages out of the rings.
    pub(super) fn poll(&mut self, region: &Mapped<Region>, max: usize) -> ControlBatch {
        let mut batch = ControlBatch::default();
        self.note_readers(region, &mut batch);
        let count = self.rings.len();
        // Each poll begins one ring further, so that a busy reader and a small `max` starve nobody.
        let start = self.first;
        self.first = (start + 1) % count.max(1);
        for index in (0..count).map(|i| (start + i) % count) {
            let reader_index = index as u32;
            let (Some(ring), Some(slot)) = (region.control(reader_index), region.reader(reader_index)) else {
                break;
            };
            let result = self.rings[index].poll(ring, |m| {
                if batch.messages.len() >= max {
                    return false;
                }
                let mut data = vec![0; m.len()];
                m.body(&mut data);
                let reader_id = slot.reader_id.load(Ordering::Acquire);
                batch.messages.push(ControlMsg { reader_id, reader_index, ty: m.ty, data });
                true
            });
            if let Err(e) = result {
                tracing::warn!(reader_index, lost = e.lost, "control ring damaged");
                batch.damaged.push(DamagedRing { reader_index, lost: e.lost });
            }
        }
        batch
    }

    /// Says who came and who left.
    fn note_readers(&mut self, region: &Mapped<Region>, batch: &mut ControlBatch) {
        let (connected, more) = readers::changes(region.header());
        // The low half is not what readers change.
        let now = Some((connected, more >> 16));
        if self.seen == now {
            return;
        }
        // Before the slots are looked at, so that what changes meanwhile is looked at again.
        self.seen = now;
        for (index, known) in (0..).zip(&mut self.attached) {
            let Some(slot) = region.reader(index) else { break };
            let used = slot.in_use.load(Ordering::Acquire) != 0;
            let id = if used { slot.reader_id.load(Ordering::Acquire) } else { 0 };
            if id != *known {
                batch.left.extend(Some(*known).filter(|&id| id != 0));
                batch.came.extend(Some(id).filter(|&id| id != 0));
                *known = id;
            }
        }
    }
}
