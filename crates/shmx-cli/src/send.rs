//! `shmx send`: a control message to a region's server.

mod body;

use crate::args::parse::{message_type, time};
use crate::args::waiting::WaitServer;
use crate::common::{self, say};
use crate::complete::regions;
use crate::exit;
use crate::json;
use crate::stop;
use crate::units;
use anyhow::{Context, bail};
use body::Body;
use clap::Args;
use clap_complete::ArgValueCompleter;
use shmx::error::SendError;
use shmx::{Client, Inspector};
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Send a control message to the server of a region.
#[derive(Debug, Args)]
#[command(after_help = "\
It takes a reader slot while it runs. TYPE is a number (0x3000 and above are the application's) or one of user (which \
is 0x3000), user+N, hello, heartbeat and bye. The body is what the options below append, in the order given; each \
takes one value, and numbers are little-endian.

The server of a mirror of another host's region is a bridge: it says in its log whether it hands messages on.

Exit codes: 0 taken by the server (with --no-wait: sent); 1 failed, interrupted, or not taken in time; 2 wrong usage.

Examples:
  shmx send clock user --u64 7
  shmx send clock user+1 --text gravity --f64 9.81
  shmx send clock 0x3000 --hex 'de ad be ef' --no-wait
  printf hello | shmx send clock user --file -")]
pub(crate) struct Send {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    name: String,
    /// Type of the message: a number, or user, user+N, hello, heartbeat or bye.
    #[arg(value_name = "TYPE", value_parser = message_type)]
    ty: u32,
    #[command(flatten)]
    body: Body,
    /// Append the bytes of a file, after everything else; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Longest wait for room in the ring and for the server to take the message, together.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time, allow_negative_numbers = true)]
    timeout: Duration,
    /// End as soon as the message is in the ring; the server may then not learn who sent it.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    server: WaitServer,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(a: &Send) -> anyhow::Result<()> {
    let mut body = a.body.0.clone();
    if let Some(path) = &a.file {
        let what = path.display();
        if path.as_os_str() == "-" {
            let read = || {
                let mut bytes = Vec::new();
                std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
            };
            let Some(bytes) = common::interruptible(read) else {
                return Err(exit::interrupted("nothing was sent"));
            };
            body.extend(bytes.context("cannot read stdin")?);
        } else {
            body.extend(std::fs::read(path).with_context(|| format!("cannot read `{what}`"))?);
        }
    }
    let Some(client) = common::open(&a.name, a.server.wait_server, &Client::options())? else {
        return Err(exit::interrupted("nothing was sent"));
    };
    // Beside the client, to see how far the server has read.
    let inspector = Inspector::open(&a.name).with_context(|| format!("cannot look at region `{}`", a.name))?;
    let until = Instant::now() + a.timeout;
    loop {
        match client.control_send(a.ty, &body) {
            Ok(()) => break,
            Err(SendError::Full) if Instant::now() < until => {
                if !stop::sleep_until(Instant::now() + Duration::from_millis(1)) {
                    return Err(exit::interrupted("the ring was full, and nothing was sent"));
                }
            }
            Err(e) => return Err(e).with_context(|| format!("cannot send to `{}`", a.name)),
        }
    }
    let index = client.reader_index().unwrap_or(0);
    tracing::info!(ty = a.ty, bytes = body.len(), reader = index, "message in the ring");
    let (what, start) = (units::bytes(body.len() as u64), Instant::now());
    if a.no_wait {
        say(format_args!("{what} sent to `{}` as type {:#x} by reader slot {index}", a.name, a.ty));
        return report(a, body.len(), index, None);
    }
    // The slot is kept until the server has taken the message, so that it knows the sender.
    while inspector.control_fill(index).is_some_and(|f| f.waiting != Some(0)) {
        if let Some(end) = client.server_end() {
            bail!("the server of `{}` {end} before it took the message; start it again", a.name);
        }
        if Instant::now() >= until {
            let time = units::ns(a.timeout.as_nanos() as u64);
            bail!(
                "the server of `{}` has not taken the message within {time}; it waits in the ring \
                 (--no-wait does not wait)",
                a.name
            );
        }
        if !stop::sleep_until(Instant::now() + Duration::from_micros(200)) {
            return Err(exit::interrupted("the server had not taken the message; it waits in the ring"));
        }
    }
    let ns = start.elapsed().as_nanos() as u64;
    let took = units::ns(ns);
    // Its server is a bridge, which hands messages on or throws them away.
    let mirror = inspector.directory().is_ok_and(|d| d.streams.iter().any(|s| s.is_called(shmx_record::MIRROR_STREAM)));
    let who = if mirror { "the bridge that mirrors it, not yet by its origin," } else { "the server" };
    say(format_args!("{what} sent to `{}` as type {:#x}, taken by {who} after {took}", a.name, a.ty));
    report(a, body.len(), index, Some(ns))
}

fn report(a: &Send, bytes: usize, slot: u32, taken_ns: Option<u64>) -> anyhow::Result<()> {
    if a.json {
        let what = serde_json::json!({
            "region": a.name, "type": a.ty, "bytes": bytes, "reader_slot": slot, "taken_after_ns": taken_ns,
        });
        json::print("send", what)?;
    }
    Ok(())
}
