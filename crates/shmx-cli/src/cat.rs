//! `shmx cat`: a stream's raw bytes.

use crate::args::Cat;
use crate::common;
use crate::exit;
use crate::source::{self, Source, Taken};
use crate::units;
use crate::values;
use anyhow::Context;
use std::io::Write;
use std::time::Instant;

pub(crate) fn run(a: &Cat) -> anyhow::Result<()> {
    let Some(mut source) = Source::open(&a.name, a.wait_server, a.attach, true)? else {
        return Err(exit::interrupted("no frame was read"));
    };
    let result = copy(a, &mut source);
    let s = source.end();
    common::say(format_args!("{} frames received, {} missed, {} rejected", s.delivered, s.missed, s.rejected));
    result?;
    if s.missed + s.rejected > 0 {
        return Err(exit::incomplete(format!(
            "of `{}` {} missed and {} rejected, so their bytes are; --attach to a `publish --lossless`, or give the \
             region more slots",
            a.name,
            units::were(s.missed, "frame"),
            s.rejected
        )));
    }
    Ok(())
}

fn copy(a: &Cat, source: &mut Source) -> anyhow::Result<()> {
    let dir = source.directory().context("cannot read the stream directory")?;
    let id = values::find_stream(&a.name, &dir, &a.stream)?;
    let mut out = std::io::stdout().lock();
    let mut got = 0;
    while a.frames.is_none_or(|n| got < n) {
        match source.take(true, Instant::now() + a.timeout)? {
            Taken::Frame(frame) => {
                if let Some(s) = frame.stream(id)? {
                    out.write_all(s.data)?;
                }
                got += 1;
            }
            end => {
                out.flush()?;
                return source::end_of_frames(&a.name, end, got, a.frames, a.timeout);
            }
        }
    }
    out.flush()?;
    Ok(())
}
