//! `shmx cat`: a stream's raw bytes.

use crate::args::waiting::Taking;
use crate::common;
use crate::complete::{regions, streams};
use crate::exit;
use crate::source::{self, Source, Taken};
use crate::units;
use crate::values;
use anyhow::Context;
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::io::Write;
use std::time::Instant;

/// Write the raw bytes of a stream to stdout, frame after frame.
#[derive(Debug, Args)]
#[command(after_help = "\
Read-only, by polling. With --attach it takes a reader slot, and `publish --lossless` waits for it.

Exit codes: 0 after --frames, or without it on SIGINT or once the server has left in order after at least one frame; 1 \
failed; 2 wrong usage; 3 frames were missed, so bytes are missing.

Examples:
  shmx cat video --stream image --frames 2 |
    ffplay -f rawvideo -pixel_format rgb24 -video_size 640x480 -
  shmx cat data --stream pos --attach --wait-server 10s >pos.bin")]
pub(crate) struct Cat {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    name: String,
    /// The stream, given by name or number.
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(streams))]
    stream: String,
    #[command(flatten)]
    taking: Taking,
}

pub(crate) fn run(a: &Cat) -> anyhow::Result<()> {
    let Some(mut source) = Source::open(&a.name, a.taking.server.wait_server, a.taking.attach, true)? else {
        return Err(exit::interrupted("no frame was read"));
    };
    let result = copy(a, &mut source);
    let s = source.end();
    let got = units::count(s.delivered, "frame");
    common::say(format_args!("{got} received, {} missed, {} rejected", s.missed, s.rejected));
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
    while a.taking.frames.is_none_or(|n| got < n) {
        match source.take(true, Instant::now() + a.taking.timeout)? {
            Taken::Frame(frame) => {
                if let Some(s) = frame.stream(id)? {
                    out.write_all(s.data)?;
                    // Whoever reads them waits for these, not for a full buffer.
                    out.flush()?;
                }
                got += 1;
            }
            end => {
                return source::end_of_frames(&a.name, end, got, a.taking.frames, a.taking.timeout);
            }
        }
    }
    Ok(())
}
