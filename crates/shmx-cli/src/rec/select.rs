//! The stream of a recording that is exported, frame after frame.

use super::options::Rec;
use crate::escape::safe;
use crate::exit;
use crate::progress::Progress;
use crate::recording;
use crate::stop;
use crate::units;
use crate::values::type_text;
use anyhow::bail;
use shmx::abi::frame::Streams;
use shmx::{ElementType, StreamInfo};
use shmx_record::{Cursor, ImageInfo, Item, RecordedFrame, SegmentSummary};
use std::cell::Cell;
use std::collections::HashMap;

/// The stream and where it is.
pub(super) struct Chosen {
    region: usize,
    /// As the segment of its first frame describes it.
    pub(super) info: StreamInfo,
    pub(super) ty: ElementType,
    /// Times of the part that is wanted.
    window: (u64, u64),
    /// What it is in each segment, by its number and session.
    segments: HashMap<(u32, u64), Segment>,
    /// Frames in that part whose segment does not have it.
    without: Cell<u64>,
}

/// The stream in one segment.
enum Segment {
    /// Under this number.
    Has(u32),
    /// Under this number, and as this type: values of both make no sense together.
    Other(u32, String),
    Without,
}

/// Where a frame is.
pub(super) struct At {
    /// Counted from 0.
    pub(super) number: u64,
    pub(super) frame_id: u64,
    pub(super) time: u64,
    pub(super) sim_time: f64,
}

fn interrupted() -> anyhow::Error {
    exit::interrupted("the recording was not read to its end")
}

/// A stream's bytes in a frame.
fn data_of(frame: &RecordedFrame, id: u32) -> Option<&[u8]> {
    Streams::new(frame.payload()).map_while(Result::ok).find(|s| s.stream_id == id).map(|s| s.data)
}

/// Its type, and the size of its images.
fn kind(info: &StreamInfo) -> String {
    let image = ImageInfo::of(info).map(|i| format!(", {} {}x{}", i.encoding, i.width, i.height));
    format!("{}{}", type_text(info), image.unwrap_or_default())
}

impl Chosen {
    pub(super) fn of(a: &Rec, stream: &str, cursor: &mut Cursor) -> anyhow::Result<Self> {
        let recording = cursor.recording();
        let names = recording.regions().to_vec();
        let region = recording::one(recording, &a.regions)?;
        let mut segments = recording.segments();
        segments.retain(|s| s.segment.region == names[region]);
        let named = |s: &&StreamInfo| s.is_called(stream);
        if !segments.iter().flat_map(|s| &s.directory.streams).any(|s| named(&s)) {
            let has: Vec<_> = segments.iter().flat_map(|s| &s.directory.streams).map(|s| s.name_lossy()).collect();
            let has = safe(&has.join(", ")).into_owned();
            bail!("region `{}` has no stream `{}`; it has: {has}", safe(&names[region]), safe(stream));
        }
        let first = recording.times().map_or(0, |t| t.0);
        let at = |d: std::time::Duration| first.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        let window = (at(a.from), a.to.map_or(u64::MAX, at));
        // The first frame says which segment is the first one here.
        let key = |s: &SegmentSummary| (s.segment.number, s.segment.session_id);
        let as_named = |f: &RecordedFrame| -> Option<StreamInfo> {
            let segment = segments.iter().find(|s| key(s) == (f.head.segment, f.head.session_id))?;
            let found = segment.directory.streams.iter().find(named)?;
            data_of(f, found.id).map(|_| found.clone())
        };
        let mut found = None;
        cursor.seek(window.0);
        while let Some(item) = cursor.next_item() {
            if stop::requested() {
                return Err(interrupted());
            }
            let Item::Frame(f) = item else { continue };
            if f.region == region && (window.0..=window.1).contains(&f.time) {
                found = as_named(&f);
                if found.is_some() {
                    break;
                }
            }
        }
        let Some(info) = found else {
            bail!("there is no frame with the stream `{}` between the given times", safe(stream));
        };
        let whole = |ty: &ElementType| u64::from(ty.size()) * u64::from(info.components);
        let fits = |ty: &ElementType| whole(ty) == u64::from(info.bytes_per_elem) && info.bytes_per_elem > 0;
        let Some(ty) = info.element_type().filter(fits) else {
            bail!("stream `{}` has no elements of a known type", safe(stream));
        };
        // Numbers may change in a restart; the name says what it is.
        let same = |s: &&StreamInfo| s.name_lossy() == info.name_lossy();
        let of = |s: &SegmentSummary| match s.directory.streams.iter().find(same) {
            None => Segment::Without,
            Some(s) if s.bytes_per_elem == info.bytes_per_elem && kind(s) == kind(&info) => Segment::Has(s.id),
            Some(s) => Segment::Other(s.id, kind(s)),
        };
        let segments = segments.iter().map(|s| (key(s), of(s))).collect();
        Ok(Self { region, info, ty, window, segments, without: Cell::new(0) })
    }

    /// Hands on the stream of each frame that has it, from the beginning, and says how many there were.
    pub(super) fn each(
        &self,
        cursor: &mut Cursor,
        mut with: impl FnMut(&At, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        cursor.seek(self.window.0);
        let (mut number, mut without) = (0, 0);
        let line = Progress::of_words();
        while let Some(item) = cursor.next_item() {
            // An error, so that what is written so far replaces nothing.
            if stop::requested() {
                return Err(interrupted());
            }
            let Item::Frame(f) = item else { continue };
            if f.region != self.region || !(self.window.0..=self.window.1).contains(&f.time) {
                continue;
            }
            let segment = self.segments.get(&(f.head.segment, f.head.session_id)).unwrap_or(&Segment::Without);
            let (Segment::Has(id) | Segment::Other(id, _)) = segment else {
                without += 1;
                continue;
            };
            let Some(data) = data_of(&f, *id) else { continue };
            if let Segment::Other(_, kind) = segment {
                bail!(
                    "from frame {} of segment {} on the stream is {kind}, and before it is {}; export both parts by \
                     themselves (--from, --to)",
                    f.head.frame_id,
                    f.head.segment,
                    self::kind(&self.info)
                );
            }
            if !data.len().is_multiple_of(self.info.bytes_per_elem as usize) {
                bail!("frame {} does not hold whole elements of the stream", f.head.frame_id);
            }
            let at = At { number, frame_id: f.head.frame_id, time: f.time, sim_time: f.head.sim_time() };
            with(&at, data)?;
            number += 1;
            if number.is_multiple_of(256) {
                line.show(format!("{} read", units::count(number, "frame")));
            }
        }
        self.without.set(without);
        Ok(number)
    }

    /// Frames of the part that was read last whose segment does not have the stream.
    pub(super) const fn without(&self) -> u64 {
        self.without.get()
    }

    /// Names of the stream's columns, one for each component.
    pub(super) fn columns(&self) -> Vec<String> {
        let name = self.info.name_lossy();
        match self.info.components {
            1 => vec![name.into_owned()],
            n => (0..n).map(|c| format!("{name}[{c}]")).collect(),
        }
    }
}
