//! A peer over the facade, for the tests of the C interface: see tests/README.md.

use shmx::{Client, Server, Stream};
use std::time::{Duration, Instant};

const TICK: Stream<u64> = Stream::new(1, "tick");
const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");
const BLOB: Stream<u8> = Stream::new(3, "blob");
const POINTS: u64 = 50;
const BLOB_BYTES: u64 = 4096;
const DONE: u32 = 0x3001;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn points_of(tick: u64) -> Vec<[f32; 3]> {
    let point = |i: u64| (tick % 1000 + i) as f32;
    (0..1 + tick % POINTS).map(|p| [point(3 * p), point(3 * p + 1), point(3 * p + 2)]).collect()
}

fn blob_of(tick: u64) -> Vec<u8> {
    (0..BLOB_BYTES).map(|i| (tick * 31 + i) as u8).collect()
}

fn serve(name: &str, readers: usize) -> Outcome {
    let builder = Server::builder(name).stream(TICK, 1).stream(POSITION, POINTS as u32);
    let mut server = builder.stream(BLOB, BLOB_BYTES as u32).create()?;
    let (start, mut tick, mut done) = (Instant::now(), 0, 0);
    while (server.readers_connected() as usize) < readers && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    while done < readers && start.elapsed() < Duration::from_secs(60) {
        tick += 1;
        // Readers may hold every slot for a moment.
        if let Ok(mut frame) = server.begin_frame() {
            frame.append_value(TICK, tick)?;
            frame.append_stream(POSITION, &points_of(tick))?;
            frame.append_stream(BLOB, &blob_of(tick))?;
            frame.publish_frame(tick as f64)?;
        }
        done += server.poll_control(16).messages.iter().filter(|m| m.ty == DONE).count();
    }
    assert_eq!(done, readers);
    println!("published {tick}");
    Ok(())
}

fn read(name: &str, until: u64) -> Outcome {
    let mut client = Client::open_within(name, Duration::from_secs(30))?;
    let (mut now, mut frames) = (0, 0);
    while now < until {
        let frame = match client.wait(Duration::from_secs(30)) {
            Ok(frame) => frame.ok_or("no frame in 30 s")?,
            Err(e) if e.is_final() => return Err(e.into()),
            Err(_) => continue,
        };
        let tick = frame.value(TICK)?;
        assert!(tick > now && frame.sim_time() == tick as f64);
        assert_eq!(frame.get(POSITION)?, points_of(tick));
        assert_eq!(frame.get(BLOB)?, blob_of(tick));
        (now, frames) = (tick, frames + 1);
    }
    client.control_send(DONE, &now.to_ne_bytes())?;
    println!("read {frames}");
    Ok(())
}

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "serve", name, readers] => serve(name, readers.parse()?),
        [_, "read", name, until] => read(name, until.parse()?),
        _ => Err("serve NAME READERS, or read NAME TICKS".into()),
    }
}
