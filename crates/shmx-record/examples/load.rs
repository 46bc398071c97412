//! A producer at a steady rate that measures its own publishing: `load NAME BYTES HZ SECONDS`.
//!
//! Prints one JSON object: frames, and percentiles of the time from claiming a slot to having published, in
//! microseconds. The payload is one image if BYTES is that of 1920x1080 RGB, else numbers.

use shmx::{Server, Stream};
use std::time::{Duration, Instant};

const IMAGE: Stream<[u8; 3]> = Stream::new(1, "image");
const BYTES: Stream<u8> = Stream::new(1, "bytes");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, bytes, hz, seconds] = args.as_slice() else { return Err("usage: load NAME BYTES HZ SECONDS".into()) };
    let (bytes, hz, seconds): (usize, f64, f64) = (bytes.parse()?, hz.parse()?, seconds.parse()?);
    let image = bytes == 1920 * 1080 * 3;
    let server = Server::builder(name).slots(8);
    let server = if image { server.image(IMAGE, 1080, 1920, "rgb8") } else { server.stream(BYTES, bytes.try_into()?) };
    let mut server = server.create()?;
    let mut picture = vec![0_u8; bytes];
    let mut seed = 1_u64;
    for b in &mut picture {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *b = (seed >> 56) as u8;
    }
    let start = Instant::now();
    let mut times = Vec::new();
    for n in 0..(hz * seconds) as u64 {
        let due = start + Duration::from_secs_f64(n as f64 / hz);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let at = (n as usize * 64) % bytes;
        picture[at] = picture[at].wrapping_add(1);
        let begun = Instant::now();
        let mut frame = server.begin_frame()?;
        // Components one by one, or bytes.
        frame.append_stream(1, &picture)?;
        frame.publish_frame(n as f64 / hz)?;
        times.push(begun.elapsed().as_nanos() as u64);
    }
    let wall = start.elapsed().as_secs_f64();
    // Whoever follows takes the last frames.
    std::thread::sleep(Duration::from_millis(300));
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize] as f64 / 1e3;
    println!(
        r#"{{"frames":{},"seconds":{wall:.3},"p50_us":{:.1},"p90_us":{:.1},"p99_us":{:.1},"max_us":{:.1}}}"#,
        times.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    Ok(())
}
