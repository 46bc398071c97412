//! `shmx publish`: raw bytes from stdin as frames.

use crate::args::parse::{PublishStream, elems_spec, rate, stream_spec, time};
use crate::args::region::Region;
use crate::common::{self, Pace, SLICE, say};
use crate::json;
use crate::stop;
use crate::units;
use anyhow::{Context, bail};
use clap::Args;
use shmx::Server;
use shmx::error::BeginError;
use std::io::Read;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Publish raw bytes from stdin as frames.
#[derive(Debug, Args)]
#[command(after_help = "\
For each frame it reads, stream by stream in the order given, COUNT elements of raw bytes (little-endian) from stdin. \
The region is removed at the end of stdin or on a signal.

Exit codes: 0 done; 1 failed, or bytes were left over; 2 wrong usage.

Examples:
  ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 -s 640x480 - |
    shmx publish video --stream 1:image:u8x3*640x480 --hz 30
  shmx publish data --stream 1:pos:f32x3*100 --lossless <data.bin")]
pub(crate) struct Publish {
    /// Name of the region.
    name: String,
    /// A stream; may be repeated. Its number, name and type (u8, f32x3, ...), then the elements per frame if that is not
    /// 1, or WxH for an image, with its encoding if the type does not imply it (u8x3 implies rgb8).
    #[arg(
        long = "stream",
        value_name = "ID:NAME:TYPE[xN][*COUNT|*WxH[@ENCODING]]",
        required = true,
        value_parser = stream_spec
    )]
    streams: Vec<PublishStream>,
    /// Elements per frame of the stream with this number, instead of what --stream says; may be repeated.
    #[arg(long, value_name = "ID=COUNT", value_parser = elems_spec)]
    elems: Vec<(u32, u32)>,
    /// Frames per second. Without it, as fast as stdin delivers.
    #[arg(long, value_parser = rate, allow_negative_numbers = true)]
    hz: Option<f64>,
    /// Publish nothing before this many readers are attached.
    #[arg(long, value_name = "N", default_value_t = 0)]
    wait_readers: u32,
    /// Keep the region for this long after the last frame.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, allow_negative_numbers = true)]
    keep: Duration,
    /// Publish a frame only once every attached reader has taken the one before, so that none is missed.
    #[arg(long)]
    lossless: bool,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    region: Region,
}

/// A stream's share of a frame.
struct Part {
    id: u32,
    count: u32,
    bytes: usize,
}

pub(crate) fn run(a: &Publish) -> anyhow::Result<()> {
    let parts = parts(a)?;
    let frame_bytes: usize = parts.iter().map(|p| p.bytes).sum();
    // The directory gets what it needs and no more, and a frame what the streams take.
    let builder = a.region.builder(&a.name).directory_bytes(0);
    let specs = a.streams.iter().map(|s| s.spec.clone()).zip(&parts);
    let builder = specs.fold(builder, |builder, (spec, part)| builder.stream(spec, part.count));
    let mut server = common::create(&a.name, &builder)?;
    say(format_args!(
        "publishing `{}`, {} of stdin per frame",
        server.name(),
        units::count(frame_bytes as u64, "byte")
    ));
    let result = frames(&mut server, a, &parts, frame_bytes);
    let published = server.frames_published();
    say(format_args!("published {} of `{}`", units::count(published, "frame"), a.name));
    if a.json {
        json::print(
            "publish",
            serde_json::json!({"region": a.name, "published": published, "bytes_per_frame": frame_bytes}),
        )?;
    }
    result
}

fn parts(a: &Publish) -> anyhow::Result<Vec<Part>> {
    for &(id, _) in &a.elems {
        if a.streams.iter().all(|s| s.spec.id != id) {
            bail!("--elems names stream {id}, which no --stream declares");
        }
    }
    let part = |s: &PublishStream| {
        let id = s.spec.id;
        let count = a.elems.iter().rev().find(|e| e.0 == id).map_or(s.count, |e| e.1);
        let bytes = usize::try_from(u64::from(count) * u64::from(s.spec.bytes_per_elem)).unwrap_or(usize::MAX);
        Part { id, count, bytes: bytes.min(u32::MAX as usize) }
    };
    Ok(a.streams.iter().map(part).collect())
}

/// What stdin brought.
enum Input {
    Frame(Vec<u8>),
    /// The end, and how many bytes lie behind the last whole frame.
    End(usize),
}

/// Reads stdin on a thread of its own: a read cannot be cut short by a signal.
fn input(frame_bytes: usize) -> (mpsc::Receiver<std::io::Result<Input>>, mpsc::Sender<Vec<u8>>) {
    let (send, receive) = mpsc::sync_channel(2);
    let (give_back, used) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut buf = used.try_recv().unwrap_or_default();
            buf.clear();
            let item = match stdin.by_ref().take(frame_bytes as u64).read_to_end(&mut buf) {
                Ok(n) if n == frame_bytes => Ok(Input::Frame(buf)),
                Ok(n) => Ok(Input::End(n)),
                Err(e) => Err(e),
            };
            let more = matches!(item, Ok(Input::Frame(_)));
            if send.send(item).is_err() || !more {
                break;
            }
        }
    });
    (receive, give_back)
}

fn frames(server: &mut Server, a: &Publish, parts: &[Part], frame_bytes: usize) -> anyhow::Result<()> {
    while server.snapshot_readers().iter().filter(|r| r.in_use).count() < a.wait_readers as usize {
        if stop::requested() {
            return Ok(());
        }
        common::attend(server, |_| {});
        // Readers that come end this; their messages stay.
        server.wait_control(0, SLICE).context("cannot wait for readers")?;
    }
    let (items, give_back) = input(frame_bytes);
    let mut pace = a.hz.map(Pace::new);
    let mut seq = 0_u64;
    let mut attended = Instant::now();
    loop {
        if attended.elapsed() > SLICE {
            common::attend(server, |_| {});
            attended = Instant::now();
        }
        let bytes = match items.recv_timeout(SLICE) {
            Ok(Ok(Input::Frame(bytes))) => bytes,
            Ok(Ok(Input::End(0))) => break,
            Ok(Ok(Input::End(left))) => {
                finish(server, a)?;
                let (left, frames) = (units::were(left as u64, "byte"), units::count(seq, "frame"));
                bail!("{left} left over after {frames}; a frame takes {}", units::count(frame_bytes as u64, "byte"));
            }
            Ok(Err(e)) => return Err(e).context("cannot read stdin"),
            Err(RecvTimeoutError::Timeout) if stop::requested() => return Ok(()),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => bail!("the thread that reads stdin is gone"),
        };
        if let Some(pace) = &mut pace {
            let due = pace.next_due();
            while Instant::now() < due {
                if !stop::sleep_until(due.min(Instant::now() + SLICE)) {
                    return Ok(());
                }
                common::attend(server, |_| {});
            }
        }
        if a.lossless && !wait_taken(server, seq)? {
            return Ok(());
        }
        // Readers may hold every slot for a while.
        let mut told = false;
        let mut frame = loop {
            match server.begin_frame() {
                Ok(frame) => break frame,
                Err(e @ BeginError::NoFreeSlot { .. }) => {
                    if !told {
                        tracing::info!("waiting: {e}");
                        told = true;
                    }
                    if !stop::sleep_until(Instant::now() + Duration::from_micros(200)) {
                        return Ok(());
                    }
                }
                Err(e) => return Err(e).context("cannot publish on"),
            }
        };
        let mut at = 0;
        for p in parts {
            frame.append_raw(p.id, p.count, bytes.get(at..at + p.bytes).unwrap_or(&[]))?;
            at += p.bytes;
        }
        let sim = a.hz.map_or(seq as f64, |hz| seq as f64 / hz);
        seq = frame.publish_frame(sim)?;
        let _ = give_back.send(bytes);
        if stop::requested() {
            return Ok(());
        }
    }
    finish(server, a)
}

/// Lets the readers have the last frame, and the region its time.
fn finish(server: &Server, a: &Publish) -> anyhow::Result<()> {
    if a.lossless && !wait_taken(server, server.frames_published())? {
        return Ok(());
    }
    let end = Instant::now() + a.keep;
    while Instant::now() < end && stop::sleep_until(end.min(Instant::now() + SLICE)) {
        common::attend(server, |_| {});
    }
    Ok(())
}

/// Waits until every attached reader has taken the frame; false if the command is to end.
fn wait_taken(server: &Server, frame_id: u64) -> anyhow::Result<bool> {
    loop {
        match server.wait_taken_by_all(frame_id, SLICE) {
            Ok(()) => return Ok(true),
            Err(BeginError::NotTaken { .. }) if stop::requested() => return Ok(false),
            Err(e @ BeginError::NotTaken { .. }) => {
                tracing::debug!("waiting: {e}");
                common::attend(server, |_| {});
            }
            Err(e) => return Err(e).context("cannot publish on"),
        }
    }
}
