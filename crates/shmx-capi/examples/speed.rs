//! Nanoseconds of publishing a frame and reading it, through the facade: `speed NAME BYTES TIMES`. For comparison with
//! the C++ interface: `cargo xtask capi-speed`.

use shmx::{Client, Server, Stream, now_ticks};

const BLOB: Stream<u64> = Stream::new(1, "blob");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, name, bytes, times] = args.as_slice() else { return Err("speed NAME BYTES TIMES".into()) };
    let (words, times) = (bytes.parse::<u32>()? / 8, times.parse::<u64>()?);
    let mut server = Server::builder(name).stream(BLOB, words).create()?;
    let mut client = Client::open(name)?;
    let blob = client.stream(BLOB)?;
    // Not zeros: these would all lie in one page of the system's, which is in the processor's cache.
    let mut data = vec![7; words as usize];
    let (mut batches, mut sum) = (Vec::new(), 0_u64);
    for _ in 0..15 {
        let start = now_ticks();
        for i in 0..times {
            data[0] = i;
            let mut frame = server.begin_frame()?;
            frame.append_stream(BLOB, &data)?;
            frame.publish_frame(0.5)?;
            let frame = client.try_next()?.ok_or("no frame")?;
            sum += frame.get(blob)?[0];
        }
        batches.push((now_ticks() - start) as f64 / times as f64);
    }
    batches.sort_by(f64::total_cmp);
    println!("{:.1} {sum}", batches[7]);
    Ok(())
}
