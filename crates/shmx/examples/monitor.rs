//! Watches a region with no more than the permission to read it, asleep between frames. `monitor REGION`
//!
//! The server must ring for readers that cannot tell it that they sleep:
//! `Server::builder(name).mode(0o644).ring_always(true)`. Without that a tap polls.

use shmx::Tap;
use shmx::abi::extension::Features;
use shmx::error::ReadError;
use std::time::Duration;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("monitor REGION")?;
    let mut tap = Tap::open(&name)?;
    println!("{}", if tap.features().has(Features::RING_ALWAYS) { "asleep between frames" } else { "polling" });
    loop {
        match tap.wait(Duration::from_secs(1)) {
            Ok(Some(frame)) => println!("{},{},{}", frame.frame_id(), frame.sim_time(), frame.payload().len()),
            Ok(None) => println!("nothing for a second"),
            Err(ReadError::ServerGone { .. }) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}
