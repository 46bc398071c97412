//! Writes every position of a detector's spot, in order, and says what it missed. `logger [REGION]`

use shmx::{Client, Start, Stream};
use std::time::Duration;

const SPOT: Stream<[f32; 2]> = Stream::new(1, "spot");

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "spot".to_owned());
    eprintln!("session,frame,missed,x,y of `{name}`, once it is there");
    let options = Client::options().reconnect(true).start(Start::Oldest);
    let mut detector = options.open_within(&name, Duration::from_secs(60))?;
    loop {
        let Some(frame) = detector.next(Duration::from_secs(1))? else { continue };
        let [x, y] = frame.value(SPOT)?;
        println!("{:016x},{},{},{x},{y}", frame.session_id(), frame.frame_id(), frame.missed_before());
    }
}
