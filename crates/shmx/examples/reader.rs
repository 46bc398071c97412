//! Takes the newest frame each time.

use shmx::error::ReadError;
use shmx::{Client, Stream};
use std::time::Duration;

const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut client = Client::open_within("robot", Duration::from_secs(10))?;
    let position = client.stream(POSITION)?; // found by name, its type compared once
    loop {
        match client.wait(Duration::from_secs(1)) {
            Ok(Some(frame)) => {
                let positions = frame.get(position)?; // borrowed; all but small frames lie in shared memory
                println!("frame {} at {}: {positions:?}", frame.frame_id(), frame.sim_time());
            } // dropping the frame gives its slot back
            Ok(None) => {}                                      // nothing new for a second
            Err(ReadError::ServerGone { .. }) => return Ok(()), // the producer has ended
            Err(e) => return Err(e.into()),
        }
    }
}
