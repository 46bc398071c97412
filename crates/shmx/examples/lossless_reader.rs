//! Takes every frame of a producer that waits for it, and says how many there were. `lossless_reader REGION`

use shmx::error::ReadError;
use shmx::{Client, Start, Stream};
use std::time::Duration;

const BLOCK: Stream<u64> = Stream::new(1, "block");

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("lossless_reader REGION")?;
    let options = Client::options().every_frame(true).start(Start::Oldest);
    let mut client = options.open_within(&name, Duration::from_secs(60))?;
    let mut sum = 0;
    loop {
        match client.next(Duration::from_secs(1)) {
            Ok(Some(frame)) => sum += frame.get(BLOCK)?[0],
            Ok(None) => println!("nothing for a second"),
            Err(ReadError::ServerGone { .. }) => break,
            Err(e) => return Err(e.into()),
        }
    }
    let stats = client.stats();
    println!("{} taken, {} missed, sum {sum}", stats.delivered, stats.missed);
    Ok(())
}
