//! `shmx read`: frames as lines.

use crate::args::Read;
use crate::common::{self, Hello, Taken};
use crate::values;
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use shmx::{Client, FrameView, StaticState};
use std::io::{BufWriter, Write};
use std::time::Instant;

pub(crate) fn run(a: &Read) -> anyhow::Result<()> {
    let Some(mut client) = common::open(&a.name, a.wait_server)? else { return Ok(()) };
    let mut hello = Hello::start(&mut client);
    let result = lines(a, &mut client, &mut hello);
    hello.end(&mut client);
    let s = client.stats();
    common::say(format_args!("{} frames received, {} dropped, {} refused", s.delivered, s.dropped, s.rejected));
    result
}

fn lines(a: &Read, client: &mut Client, hello: &mut Hello) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut dir = client.refresh_static().context("cannot read the stream directory")?;
    let mut got = 0;
    while a.frames.is_none_or(|n| got < n) {
        let frame = match common::take(client, hello, a.all, Instant::now() + a.timeout)? {
            Taken::Frame(f) => f,
            Taken::Stopped => return Ok(()),
            Taken::Closed => bail!("the server of `{}` has left after {got} frames; start it again", a.name),
            Taken::TimedOut => {
                bail!("no frame of `{}` within {:?}; see whether its server publishes", a.name, a.timeout)
            }
        };
        if client.header().static_gen != dir.static_gen {
            dir = client.refresh_static().context("cannot read the stream directory")?;
        }
        let dropped = client.stats().dropped;
        if a.json {
            writeln!(out, "{}", json_line(&dir, &frame, dropped)?)?;
        } else {
            let (id, sim) = (frame.frame_id(), frame.sim_time());
            writeln!(out, "frame {id} sim_time={sim} dropped={dropped}{}", values::text(&dir, &frame)?)?;
        }
        out.flush()?;
        got += 1;
    }
    Ok(())
}

fn json_line(dir: &StaticState, frame: &FrameView, dropped: u64) -> anyhow::Result<Value> {
    let mut streams = Map::new();
    for (name, s) in values::streams(dir, frame)? {
        streams.insert(name, values::decode(dir.stream(s.stream_id), s.data, usize::MAX));
    }
    Ok(json!({
        "frame_id": frame.frame_id(), "sim_time": frame.sim_time(), "streams": streams, "dropped": dropped,
    }))
}
