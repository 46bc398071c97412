//! A frame that still comes, in the slot of the mirror that it will be read from.

use crate::check::{check, records_len};
use crate::outcome::RejectedFrame;
use crate::wire::Frame;
use self_cell::self_cell;
use shmx::abi::TLV_ALIGN;
use shmx::{Directory, FrameWriter, SharedServer};
use shmx_record::PutError;

/// Until it is published.
struct Open<'a>(Option<FrameWriter<'a>>);

self_cell!(
    struct Cell {
        owner: SharedServer,
        #[not_covariant]
        dependent: Open,
    }
);

/// A slot of a mirror that is being filled. Nobody sees anything of it unless it is published; dropped, it is given back.
///
/// It keeps the region: a mirror that is to end needs its draft dropped.
pub struct Draft {
    cell: Cell,
    len: usize,
    /// The hash of what was written, where it is known.
    state: Option<u64>,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Draft {
    /// Claims a slot for so many bytes; none if readers hold all of them, or no slot has so much room.
    pub(crate) fn begin(server: &SharedServer, bytes: usize) -> Option<Self> {
        let cell = Cell::try_new(server.clone(), |server| server.begin_frame().map(|f| Open(Some(f))));
        let mut draft = Self { cell: cell.ok()?, len: 0, state: None };
        draft.room(|room| room.len() >= bytes)?.then_some(draft)
    }

    /// Bytes written.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn room<R>(&mut self, work: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        self.cell.with_dependent_mut(|_, open| open.0.as_mut()?.records_room().ok().map(work))
    }

    /// Writes more; `None` if there is no room.
    pub(crate) fn write(&mut self, data: &[u8]) -> Option<()> {
        let len = self.len;
        self.room(|room| room.get_mut(len..)?.get_mut(..data.len()).map(|place| place.copy_from_slice(data)))??;
        self.len += data.len();
        Some(())
    }

    /// The format's hash of what was written, so that it need not be made once more.
    pub(crate) const fn set_hashed(&mut self, state: u64) {
        self.state = Some(state);
    }

    /// What was written, in memory; the slot is given back.
    pub(crate) fn into_memory(mut self, mut memory: Vec<u8>) -> Vec<u8> {
        let len = self.len;
        memory.clear();
        self.room(|room| memory.extend_from_slice(&room[..len]));
        memory
    }

    /// Publishes what was written as the payload of this frame, with a mark behind it, if a producer of this directory
    /// could have written it.
    pub(crate) fn publish(
        mut self,
        frame: &Frame<'_>,
        cap: u32,
        directory: &Directory,
        (mark_id, mark): (u32, &[u8]),
    ) -> Result<Result<u64, RejectedFrame>, PutError> {
        let (len, state) = (self.len, self.state);
        self.cell.with_dependent_mut(|_, open| {
            let Some(mut writer) = open.0.take() else { return Ok(Err(RejectedFrame::Misfit)) };
            let room = writer.records_room()?;
            let payload = room.get(..len).unwrap_or_default();
            if let Err(e) = check(payload, frame.tlv_count, cap, directory) {
                return Ok(Err(e.into()));
            }
            // Its last record may lack its padding, and one more follows.
            let end = records_len(payload);
            let padded = end.next_multiple_of(TLV_ALIGN as usize);
            if let Some(padding) = room.get_mut(end..padded) {
                padding.fill(0);
            }
            let filled = writer.commit_records(padded as u32, frame.tlv_count);
            if filled.and_then(|()| writer.append_raw(mark_id, 1, mark)).is_err() {
                return Ok(Err(RejectedFrame::Misfit));
            }
            // If it is the hash of what is committed, no more and no less.
            if let Some(state) = state.filter(|_| padded == len) {
                writer.set_hashed(state, len as u32);
            }
            Ok(Ok(writer.publish_recorded(f64::from_bits(frame.sim_time_bits), frame.has_checksum)?))
        })
    }
}
