//! Control messages, taken or looked at.

use crate::args::{Bytes, Fill, Give, Out, Versioned, put};
use crate::status::{Fault, guard, guard_value, shmx_status};
use shmx::{ControlBatch, ControlMsg, DamagedRing, PeekedMsg};

/// Messages out of control rings.
#[derive(Debug)]
pub struct shmx_messages {
    messages: Vec<Message>,
    damaged: Vec<DamagedRing>,
}

#[derive(Debug)]
struct Message {
    reader_id: u64,
    reader_index: u32,
    ty: u32,
    data: Vec<u8>,
}

/// A message from a reader.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_message {
    /// sizeof(shmx_message).
    pub size: usize,
    /// Id of the reader; 0 in messages that were only looked at.
    pub reader_id: u64,
    /// Index of its reader slot.
    pub reader_index: u32,
    /// Type of the message.
    pub message_type: u32,
    /// The body; valid as long as the handle of the messages.
    pub data: Bytes,
    /// Bytes of it.
    pub bytes: usize,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers and pointers only.
unsafe impl Versioned for shmx_message {
    const FIRST: usize = size_of::<Self>();
}

impl From<ControlBatch> for shmx_messages {
    fn from(batch: ControlBatch) -> Self {
        let one =
            |m: ControlMsg| Message { reader_id: m.reader_id, reader_index: m.reader_index, ty: m.ty, data: m.data };
        Self { messages: batch.messages.into_iter().map(one).collect(), damaged: batch.damaged }
    }
}

impl shmx_messages {
    pub(crate) fn peeked(reader_index: u32, messages: Vec<PeekedMsg>) -> Self {
        let one = |m: PeekedMsg| Message { reader_id: 0, reader_index, ty: m.ty, data: m.data };
        Self { messages: messages.into_iter().map(one).collect(), damaged: Vec::new() }
    }
}

/// How many messages there are; 0 for null.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_messages_count(messages: Option<&shmx_messages>) -> usize {
    guard_value("shmx_messages_count", 0, || messages.map_or(0, |m| m.messages.len()))
}

/// Message number `index`; SHMX_STATUS_NOTHING past the last one.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_messages_at(
    messages: Option<&shmx_messages>,
    index: usize,
    out: Fill<shmx_message>,
) -> shmx_status {
    guard("shmx_messages_at", || {
        let messages = messages.ok_or_else(|| Fault::null("messages"))?;
        let place = out.check("out")?;
        let Some(m) = messages.messages.get(index) else { return Ok(shmx_status::Nothing) };
        place.fill(shmx_message {
            size: size_of::<shmx_message>(),
            reader_id: m.reader_id,
            reader_index: m.reader_index,
            message_type: m.ty,
            data: Bytes::of(&m.data),
            bytes: m.data.len(),
        });
        Ok(shmx_status::Ok)
    })
}

/// Ring number `index` of those that were found damaged: its reader slot, and the bytes given up. SHMX_STATUS_NOTHING past
/// the last one. `lost` may be null.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_messages_damaged(
    messages: Option<&shmx_messages>,
    index: usize,
    reader_index: Out<u32>,
    lost: Out<u64>,
) -> shmx_status {
    guard("shmx_messages_damaged", || {
        let messages = messages.ok_or_else(|| Fault::null("messages"))?;
        let Some(ring) = messages.damaged.get(index) else { return Ok(shmx_status::Nothing) };
        put(reader_index, "reader_index", ring.reader_index)?;
        crate::args::put_if_wanted(lost, ring.lost);
        Ok(shmx_status::Ok)
    })
}

/// Frees messages. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_messages_free(messages: Give<shmx_messages>) {
    guard_value("shmx_messages_free", (), || drop(messages.take()));
}
