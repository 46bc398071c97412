//! `shmx cat`: a stream's raw bytes.

use crate::args::Cat;
use crate::common::{self, Hello, Taken};
use anyhow::{Context, bail};
use shmx::{Client, StaticState};
use std::io::Write;
use std::time::Instant;

pub(crate) fn run(a: &Cat) -> anyhow::Result<()> {
    let Some(mut client) = common::open(&a.name, a.wait_server)? else { return Ok(()) };
    let mut hello = Hello::start(&mut client);
    let result = copy(a, &mut client, &mut hello);
    hello.end(&mut client);
    let s = client.stats();
    common::say(format_args!("{} frames received, {} missed, {} refused", s.delivered, s.dropped, s.rejected));
    result
}

fn find(dir: &StaticState, stream: &str) -> Option<u32> {
    let by_number = || stream.parse().ok().filter(|&id| dir.stream(id).is_some());
    dir.by_name(stream).map(|s| s.id).or_else(by_number)
}

fn copy(a: &Cat, client: &mut Client, hello: &mut Hello) -> anyhow::Result<()> {
    let dir = client.refresh_static().context("cannot read the stream directory")?;
    let Some(id) = find(&dir, &a.stream) else {
        let names: Vec<_> = dir.streams.iter().map(|s| s.name_lossy().into_owned()).collect();
        bail!("`{}` has no stream `{}`; it has: {}", a.name, a.stream, names.join(", "));
    };
    let mut out = std::io::stdout().lock();
    let mut got = 0;
    while a.frames.is_none_or(|n| got < n) {
        match common::take(client, hello, true, Instant::now() + a.timeout)? {
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
