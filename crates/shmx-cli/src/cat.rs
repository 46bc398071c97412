//! `shmx cat`: a stream's raw bytes.

use crate::args::Cat;
use crate::common;
use crate::source::{Source, Taken};
use crate::values;
use anyhow::{Context, bail};
use std::io::Write;
use std::time::Instant;

pub(crate) fn run(a: &Cat) -> anyhow::Result<()> {
    let Some(mut source) = Source::open(&a.name, a.wait_server, a.attach, true)? else { return Ok(()) };
    let result = copy(a, &mut source);
    let s = source.end();
    common::say(format_args!("{} frames received, {} missed, {} rejected", s.delivered, s.missed, s.rejected));
    result
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
            Taken::Stopped => break,
            Taken::Closed if got > 0 && a.frames.is_none() => break,
            Taken::Closed => bail!("the server of `{}` has left after {got} frames; start it again", a.name),
            Taken::TimedOut => {
                bail!("no frame of `{}` within {:?}; see whether its server publishes", a.name, a.timeout)
            }
        }
    }
    out.flush()?;
    Ok(())
}
