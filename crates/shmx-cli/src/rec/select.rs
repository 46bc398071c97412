//! The stream of a recording that is exported, frame after frame.

use super::options::Rec;
use crate::escape::safe;
use crate::progress::Progress;
use crate::stop;
use crate::units;
use anyhow::{Context, bail};
use shmx::abi::frame::Streams;
use shmx::{ElementType, StreamInfo};
use shmx_record::{Cursor, Item, Recording};

/// The stream and where it is.
pub(super) struct Chosen {
    region: usize,
    /// As its first segment describes it.
    pub(super) info: StreamInfo,
    pub(super) ty: ElementType,
    /// Times of the part that is wanted.
    window: (u64, u64),
}

/// Where a frame is.
pub(super) struct At {
    /// Counted from 0.
    pub(super) number: u64,
    pub(super) frame_id: u64,
    pub(super) time: u64,
    pub(super) sim_time: f64,
}

impl Chosen {
    pub(super) fn of(a: &Rec, stream: &str, recording: &Recording) -> anyhow::Result<Self> {
        let names = recording.regions();
        let region = match a.regions.as_slice() {
            [] if names.len() == 1 => 0,
            [one] => names.iter().position(|n| n == one).with_context(|| {
                format!("the recording has no region `{}`; it has: {}", safe(one), safe(&names.join(", ")))
            })?,
            _ => bail!("a stream of one region is exported; choose it by --region: {}", safe(&names.join(", "))),
        };
        let segments = recording.segments();
        let of_region = || segments.iter().filter(|s| s.segment.region == names[region]);
        let named = |s: &&StreamInfo| s.name_lossy() == stream || stream.parse() == Ok(s.id);
        let Some(info) = of_region().flat_map(|s| &s.directory.streams).find(named).cloned() else {
            let has: Vec<_> = of_region().flat_map(|s| &s.directory.streams).map(|s| s.name_lossy()).collect();
            let has = safe(&has.join(", ")).into_owned();
            bail!("region `{}` has no stream `{}`; it has: {has}", safe(&names[region]), safe(stream));
        };
        let whole = |ty: &ElementType| u64::from(ty.size()) * u64::from(info.components);
        let fits = |ty: &ElementType| whole(ty) == u64::from(info.bytes_per_elem) && info.bytes_per_elem > 0;
        let Some(ty) = info.element_type().filter(fits) else {
            bail!("stream `{}` has no elements of a known type", safe(stream));
        };
        let first = recording.times().map_or(0, |t| t.0);
        let at = |d: std::time::Duration| first.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        Ok(Self { region, info, ty, window: (at(a.from), a.to.map_or(u64::MAX, at)) })
    }

    /// Hands on the stream of each frame that has it, from the beginning, and says how many there were.
    pub(super) fn each(
        &self,
        cursor: &mut Cursor,
        mut with: impl FnMut(&At, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        cursor.seek(0);
        let mut number = 0;
        let line = Progress::of_words();
        while let Some(item) = cursor.next_item() {
            if stop::requested() {
                break;
            }
            let Item::Frame(f) = item else { continue };
            if f.region != self.region || !(self.window.0..=self.window.1).contains(&f.time) {
                continue;
            }
            let mut streams = Streams::new(f.payload()).map_while(Result::ok);
            let Some(s) = streams.find(|s| s.stream_id == self.info.id) else { continue };
            if !s.data.len().is_multiple_of(self.info.bytes_per_elem as usize) {
                bail!("frame {} does not hold whole elements of the stream", f.head.frame_id);
            }
            let at = At { number, frame_id: f.head.frame_id, time: f.time, sim_time: f.head.sim_time() };
            with(&at, s.data)?;
            number += 1;
            if number.is_multiple_of(256) {
                line.show(format!("{} read", units::count(number, "frame")));
            }
        }
        Ok(number)
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
