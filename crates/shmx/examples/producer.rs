//! Publishes a hundred frames a second.

use shmx::{Server, Stream};
use std::time::Duration;

const TICK: Stream<u64> = Stream::new(1, "tick");
const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut server = Server::builder("robot").stream(TICK, 1).stream(POSITION, 100).create()?;
    for tick in 0..1000_u64 {
        if let Ok(mut frame) = server.begin_frame() {
            frame.append_stream(TICK, &[tick])?;
            frame.append_stream(POSITION, &[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])?;
            frame.publish_frame(tick as f64 * 0.01)?;
        } // else readers hold every slot: skip this one
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
