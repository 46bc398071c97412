//! Operations whose instructions are counted: `cargo xtask instructions` runs each under callgrind.
//!
//! Counting is switched on by the names of the functions in `measured`, so nothing else counts: each performs the
//! operation once and is called [`TIMES`] times, with whatever prepares for it in between.

use anyhow::{Context, Result, bail};
use shmx::abi::hash::Kernel;
use shmx::{Checksum, Client, Frame, Hold, OwnedFrame, Server, SharedServer, StreamId, StreamSpec, Verify};
use std::hint::black_box;

/// Calls of each operation. The first ones, which may do more, are a small part.
const TIMES: u32 = 1000;

/// What is counted. Never inlined: the function's entry and exit switch the counter.
mod measured {
    use super::*;

    #[inline(never)]
    pub(super) fn hash(kernel: Kernel, bytes: &[u8]) -> Option<u64> {
        kernel.update(black_box(1), black_box(bytes))
    }

    #[inline(never)]
    pub(super) fn publish_in_place(server: &SharedServer, words: usize) -> Result<u64> {
        let mut frame = server.begin_frame()?;
        frame.reserve_stream::<u64>(1, words)?[0] = 1;
        Ok(frame.publish_frame(0.0)?)
    }

    #[inline(never)]
    pub(super) fn publish_alone(server: &mut Server, words: usize) -> Result<u64> {
        let mut frame = server.begin_frame()?;
        frame.reserve_stream::<u64>(1, words)?[0] = 1;
        Ok(frame.publish_frame(0.0)?)
    }

    #[inline(never)]
    pub(super) fn publish_appended(server: &SharedServer, values: &[u64]) -> Result<u64> {
        let mut frame = server.begin_frame()?;
        frame.append_stream(1, values)?;
        Ok(frame.publish_frame(0.0)?)
    }

    #[inline(never)]
    pub(super) fn next(client: &mut Client) -> Result<bool> {
        Ok(black_box(client.try_next()?.map(Frame::keep)).is_some())
    }

    #[inline(never)]
    pub(super) fn next_ref(client: &mut Client) -> Result<bool> {
        Ok(black_box(client.try_next()?).is_some())
    }

    #[inline(never)]
    pub(super) fn latest(client: &mut Client) -> Result<bool> {
        Ok(black_box(client.latest()?.map(Frame::keep)).is_some())
    }

    #[inline(never)]
    pub(super) fn get(frame: &OwnedFrame, id: u32) -> Result<u64> {
        Ok(frame.get::<u64>(id)?[0])
    }

    #[inline(never)]
    pub(super) fn get_handle(frame: &OwnedFrame, id: StreamId<u64>) -> Result<u64> {
        Ok(frame.get(id)?[0])
    }

    #[inline(never)]
    pub(super) fn decode(frame: &OwnedFrame) -> Result<usize> {
        Ok(black_box(frame.decode()?).len())
    }

    #[inline(never)]
    pub(super) fn control_send(client: &mut Client, body: &[u8]) -> Result<()> {
        Ok(client.control_send(0x3001, body)?)
    }

    #[inline(never)]
    pub(super) fn control_poll(server: &Server) -> usize {
        black_box(server.poll_control(16)).messages.len()
    }
}

/// Streams of a frame with several.
const STREAMS: u32 = 8;

struct Setup {
    server: Server,
    client: Client,
}

fn setup(checksum: Checksum, hold: Hold) -> Result<Setup> {
    let name = format!("shmx-counts-{}", std::process::id());
    let builder = Server::builder(&name).checksum(checksum).frame_bytes(65536);
    let streams = (1..=STREAMS).map(|id| StreamSpec::of::<u64>(id, format!("stream {id}")));
    let server = streams.fold(builder, |b, stream| b.stream(stream, 8)).create()?;
    let verify = if checksum == Checksum::Always { Verify::Always } else { Verify::Auto };
    let client = Client::options().hold(hold).verify(verify).open(&name)?;
    Ok(Setup { server, client })
}

fn publish_all(server: &mut Server) -> Result<()> {
    let mut frame = server.begin_frame()?;
    for id in 1..=STREAMS {
        frame.append_stream(id, &[u64::from(id); 8])?;
    }
    frame.publish_frame(0.0)?;
    Ok(())
}

/// All operations.
const NAMES: [&str; 24] = [
    "hash-scalar-64",
    "hash-scalar-4096",
    "hash-avx2-4096",
    "hash-avx2-65536",
    "publish-in-place-64",
    "publish-in-place-4096",
    "publish-alone-64",
    "publish-appended-64",
    "publish-appended-64-hash",
    "next-64",
    "next-64-hash",
    "next-64-copied",
    "next-4096",
    "next-ref-64",
    "next-ref-4096",
    "latest-64",
    "next-nothing-new",
    "next-ref-nothing-new",
    "get",
    "get-handle",
    "decode",
    "control-send-32",
    "control-poll-32",
    "control-poll-nothing",
];

fn operation(name: &str) -> Result<()> {
    let hash = |kernel: Kernel, len: usize| {
        let input: Vec<u8> = (0..len).map(|i| ((i * 7919) >> 3) as u8).collect();
        for _ in 0..TIMES {
            if black_box(measured::hash(kernel, &input)).is_none() {
                // The runner knows this code.
                std::process::exit(3);
            }
        }
        Ok(())
    };
    let publish = |checksum: Checksum, words: usize, in_place: bool| {
        let Setup { server, client: _client } = setup(checksum, Hold::Auto)?;
        let server = server.into_shared();
        let values = vec![7; words];
        for _ in 0..TIMES {
            if in_place {
                measured::publish_in_place(&server, words)?;
            } else {
                measured::publish_appended(&server, &values)?;
            }
        }
        Ok(())
    };
    let read = |checksum: Checksum, hold: Hold, words: usize, f: fn(&mut Client) -> Result<bool>| {
        let mut s = setup(checksum, hold)?;
        let values = vec![7_u64; words];
        for _ in 0..TIMES {
            let mut frame = s.server.begin_frame()?;
            frame.append_stream(1, &values)?;
            frame.publish_frame(0.0)?;
            if !f(&mut s.client)? {
                bail!("no frame");
            }
        }
        Ok(())
    };
    match name {
        "hash-scalar-64" => hash(Kernel::Scalar, 64),
        "hash-scalar-4096" => hash(Kernel::Scalar, 4096),
        "hash-avx2-4096" => hash(Kernel::Avx2, 4096),
        "hash-avx2-65536" => hash(Kernel::Avx2, 65536),
        "publish-in-place-64" => publish(Checksum::Never, 8, true),
        "publish-in-place-4096" => publish(Checksum::Never, 512, true),
        "publish-alone-64" => {
            let mut s = setup(Checksum::Never, Hold::Auto)?;
            (0..TIMES).try_for_each(|_| measured::publish_alone(&mut s.server, 8).map(drop))
        }
        "publish-appended-64" => publish(Checksum::Never, 8, false),
        "publish-appended-64-hash" => publish(Checksum::Always, 8, false),
        "next-64" => read(Checksum::Never, Hold::Auto, 8, measured::next),
        "next-64-hash" => read(Checksum::Always, Hold::Auto, 8, measured::next),
        "next-64-copied" => read(Checksum::Never, Hold::Copy, 8, measured::next),
        "next-4096" => read(Checksum::Never, Hold::Auto, 512, measured::next),
        "next-ref-64" => read(Checksum::Never, Hold::Auto, 8, measured::next_ref),
        "next-ref-4096" => read(Checksum::Never, Hold::Auto, 512, measured::next_ref),
        "latest-64" => read(Checksum::Never, Hold::Auto, 8, measured::latest),
        "next-nothing-new" | "next-ref-nothing-new" => {
            let next = if name == "next-nothing-new" { measured::next } else { measured::next_ref };
            let mut s = setup(Checksum::Never, Hold::Auto)?;
            publish_all(&mut s.server)?;
            s.client.try_next()?.context("no frame")?;
            (0..TIMES).try_for_each(|_| if next(&mut s.client)? { bail!("a frame") } else { Ok(()) })
        }
        "get" | "get-handle" | "decode" => {
            let mut s = setup(Checksum::Never, Hold::Auto)?;
            publish_all(&mut s.server)?;
            let handle = s.client.stream(STREAMS)?;
            let frame = s.client.latest()?.context("no frame")?.keep();
            for _ in 0..TIMES {
                let right = match name {
                    "get" => measured::get(&frame, STREAMS)? == 8,
                    "get-handle" => measured::get_handle(&frame, handle)? == 8,
                    _ => measured::decode(&frame)? == 8,
                };
                if !right {
                    bail!("wrong content");
                }
            }
            Ok(())
        }
        "control-send-32" | "control-poll-32" | "control-poll-nothing" => {
            let mut s = setup(Checksum::Never, Hold::Auto)?;
            for _ in 0..TIMES {
                if name != "control-poll-nothing" {
                    measured_send(name, &mut s.client)?;
                }
                let count = if name == "control-send-32" {
                    s.server.poll_control(16).messages.len()
                } else {
                    measured::control_poll(&s.server)
                };
                if count != usize::from(name != "control-poll-nothing") {
                    bail!("{count} messages");
                }
            }
            Ok(())
        }
        _ => bail!("unknown operation {name}"),
    }
}

fn measured_send(name: &str, client: &mut Client) -> Result<()> {
    let body = [7; 32];
    if name == "control-send-32" {
        measured::control_send(client, &body)
    } else {
        Ok(client.control_send(0x3001, &body)?)
    }
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).context("which operation? `list` names them")?;
    if name == "list" {
        for name in NAMES {
            println!("{name}");
        }
        return Ok(());
    }
    operation(&name)
}
