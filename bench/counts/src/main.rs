//! Operations whose instructions are counted: `cargo xtask instructions` runs each under callgrind.
//!
//! Counting is switched on by the names of the functions in `measured`, so nothing else counts: each performs the
//! operation once and is called [`TIMES`] times, with whatever prepares for it in between.

use anyhow::{Context, Result, bail};
use shmx::abi::hash::Kernel;
use shmx::{Checksum, Client, Following, Frame, Hold, OwnedFrame, Server, SharedServer, StreamId, StreamSpec, Verify};
use std::hint::black_box;
use std::time::Duration;

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
    pub(super) fn fill(server: &mut Server, words: usize) -> Result<u64> {
        let mut frame = server.begin_frame()?;
        let mut stream = frame.fill_stream::<u64>(1, words)?;
        for _ in 0..PIECES {
            stream.rest()[0] = 1;
            stream.commit(words / PIECES)?;
        }
        Ok(frame.publish_frame(0.0)?)
    }

    #[inline(never)]
    pub(super) fn follow(client: &mut Client) -> Result<Option<Following<'_>>> {
        Ok(client.follow_next(Duration::ZERO)?)
    }

    /// What there is of the stream once there is more of it.
    #[inline(never)]
    pub(super) fn more(frame: &mut Following<'_>, id: StreamId<u64>) -> Result<usize> {
        let step = frame.wait(Duration::ZERO)?;
        black_box(step);
        Ok(frame.part(id)?.map_or(0, |part| part.values.len()))
    }

    #[inline(never)]
    pub(super) fn finish(frame: Following<'_>) -> Result<u64> {
        Ok(frame.finish(Duration::ZERO)?.frame_id())
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

/// Pieces in which a frame is handed out.
const PIECES: usize = 8;
/// Words of such a frame. Nothing copies it: how the C library does that depends on the processor, and so would the
/// count.
const LARGE: usize = 65536 / 8;

/// Streams of a frame with several.
const STREAMS: u32 = 8;

struct Setup {
    server: Server,
    client: Client,
}

fn setup(checksum: Checksum, hold: Hold) -> Result<Setup> {
    let name = format!("shmx-counts-{}", std::process::id());
    let builder = Server::builder(&name).checksum(checksum).frame_bytes(65536 + 1024);
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
const NAMES: [&str; 28] = [
    "hash-scalar-64",
    "hash-scalar-4096",
    "hash-avx2-4096",
    "hash-avx2-65536",
    "publish-in-place-64",
    "publish-in-place-4096",
    "publish-alone-64",
    "publish-appended-64",
    "publish-appended-64-hash",
    "reserve-65536",
    "fill-8-pieces-unfollowed",
    "fill-8-pieces-followed",
    "follow-8-pieces",
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
        "reserve-65536" => {
            let mut s = setup(Checksum::Never, Hold::Auto)?;
            (0..TIMES).try_for_each(|_| measured::publish_alone(&mut s.server, LARGE).map(drop))
        }
        "fill-8-pieces-unfollowed" | "fill-8-pieces-followed" => {
            let mut s = setup(Checksum::Never, Hold::Auto)?;
            tell_following(&mut s.client, name.ends_with("-followed"))?;
            (0..TIMES).try_for_each(|_| measured::fill(&mut s.server, LARGE).map(drop))
        }
        "follow-8-pieces" => follow(),
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

/// Tells the server that there is a follower, if there shall be one; it takes no frames.
fn tell_following(client: &mut Client, wanted: bool) -> Result<()> {
    if wanted && client.follow(Duration::ZERO)?.is_some() {
        bail!("a frame");
    }
    Ok(())
}

/// The reader's part of a frame in pieces.
fn follow() -> Result<()> {
    let Setup { mut server, mut client } = setup(Checksum::Never, Hold::Auto)?;
    tell_following(&mut client, true)?;
    let id = client.stream(1)?;
    for _ in 0..TIMES {
        let mut frame = server.begin_frame()?;
        let mut stream = frame.fill_stream::<u64>(1, LARGE)?;
        stream.commit(LARGE / PIECES)?;
        let mut following = measured::follow(&mut client)?.context("nothing to follow")?;
        for piece in 1..=PIECES {
            if measured::more(&mut following, id)? != piece * LARGE / PIECES {
                bail!("wrong content");
            }
            if piece < PIECES {
                stream.commit(LARGE / PIECES)?;
            }
        }
        let published = frame.publish_frame(0.0)?;
        if measured::finish(following)? != published {
            bail!("another frame");
        }
    }
    Ok(())
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
