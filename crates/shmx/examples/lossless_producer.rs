//! Publishes frames of which readers that ask for every one lose none. `lossless_producer REGION FRAMES`

use shmx::error::BeginError;
use shmx::{Server, Stream};
use std::time::Duration;

const BLOCK: Stream<u64> = Stream::new(1, "block");

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, frames, ..] = &arguments[..] else { return Err("lossless_producer REGION FRAMES".into()) };
    let frames: u64 = frames.parse()?;
    let mut server = Server::builder(name).stream(BLOCK, 512).create()?;
    while !server.snapshot_readers().iter().any(|r| r.extension.is_some_and(|e| e.every_frame)) {
        server.wait_control(16, Duration::from_secs(1))?; // also returns when a reader comes
    }
    let mut published = 0;
    while published < frames {
        // Waits until everybody has taken what this frame overwrites; a reader that dies is waited for no longer.
        match server.begin_frame_when_taken(Duration::from_secs(1)) {
            Ok(mut frame) => {
                frame.append_stream(BLOCK, &[published; 512])?;
                published = frame.publish_frame(0.0)?;
            }
            // Wait on, skip this frame, or take the slot by `begin_frame`: here none may be lost.
            Err(e @ BeginError::NotTaken { .. }) => eprintln!("{e}"),
            Err(e) => return Err(e.into()),
        }
    }
    while let Err(e) = server.wait_taken(published, Duration::from_secs(1)) {
        match e {
            BeginError::NotTaken { .. } => eprintln!("{e}"),
            _ => return Err(e.into()),
        }
    }
    Ok(())
}
