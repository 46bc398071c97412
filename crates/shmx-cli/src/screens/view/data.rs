//! The frame that a view shows, as data.

use super::frames::Frames;
use super::shown::unpack;
use crate::json::{self, SCHEMA};
use crate::values::{self, Shown};
use std::io::Write;

/// One object: where the frame is, and its streams, or the one that was asked for.
pub(super) fn print(
    frames: &mut dyn Frames,
    at: usize,
    stream: Option<&str>,
    shown: Shown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (source, count) = (frames.title(), frames.len());
    let Some(point) = frames.point(at).cloned() else { anyhow::bail!("there is no frame to print") };
    let Some(full) = frames.full(at) else { anyhow::bail!("the frame is not kept any more; raise --history") };
    let mut line = Vec::new();
    write!(line, "{{\"schema\":{SCHEMA},\"kind\":\"view\",\"source\":")?;
    json::write(&mut line, &source.into())?;
    write!(line, ",\"frames\":{count},\"place\":{at},\"frame_id\":{},\"time_ns\":{}", point.id, point.time)?;
    write!(line, ",\"segment\":{},\"missed\":{},\"sim_time\":", point.segment, point.missed)?;
    json::write(&mut line, &point.sim_time.into())?;
    line.extend_from_slice(b",\"streams\":{");
    let mut first = true;
    for s in unpack(&full) {
        if stream.is_some_and(|wanted| s.name != wanted && s.info.id.to_string() != wanted) {
            continue;
        }
        if !std::mem::take(&mut first) {
            line.push(b',');
        }
        json::write(&mut line, &s.name.into())?;
        line.push(b':');
        values::write_stream(&mut line, Some(&s.info), s.elements, &s.data, shown)?;
    }
    line.extend_from_slice(b"}}\n");
    out.write_all(&line)?;
    Ok(out.flush()?)
}
