//! `shmx send`: a control message to a region's server.

use crate::args::Send;
use crate::common::{self, say};
use crate::exit;
use crate::json;
use crate::stop;
use crate::units;
use anyhow::{Context, bail};
use shmx::error::SendError;
use shmx::{Client, Inspector};
use std::io::Read;
use std::time::{Duration, Instant};

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
    let Some(client) = common::open(&a.name, a.wait_server, &Client::options())? else {
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
    say(format_args!("{what} sent to `{}` as type {:#x}, taken by the server after {took}", a.name, a.ty));
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
