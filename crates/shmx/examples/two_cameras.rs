//! Pairs of frames of two cameras that were taken at the same moment. `two_cameras LEFT RIGHT [TOLERANCE_MS]`

use shmx::error::AlignError;
use shmx::{AlignBy, Aligner, Client};
use std::time::Duration;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [left, right, more @ ..] = &arguments[..] else { return Err("two_cameras LEFT RIGHT [TOLERANCE_MS]".into()) };
    let tolerance = more.first().and_then(|t| t.parse().ok()).unwrap_or(5);
    let mut pairs = Aligner::new(AlignBy::AcquisitionTime, Duration::from_millis(tolerance));
    for name in [left, right] {
        pairs.add(Client::open_within(name, Duration::from_secs(60))?)?;
    }
    loop {
        match pairs.next(Duration::from_secs(1)) {
            Ok(Some(pair)) => {
                let ids: Vec<u64> = pair.frames.iter().map(shmx::OwnedFrame::frame_id).collect();
                println!("{},{},{}", ids[0], ids[1], pair.spread.as_micros());
            }
            Ok(None) => {
                println!("nothing for a second; without a partner: {}, {}", pairs.unmatched(0), pairs.unmatched(1))
            }
            Err(AlignError::Ended { .. }) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}
