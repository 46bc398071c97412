//! Draws the lines of `slow_camera` as they are read out, each frame before it is published. `slow_viewer REGION`

use shmx::error::{ReadError, Void};
use shmx::{Client, Stream};
use std::io::Write;
use std::time::Duration;

const WIDTH: usize = 64;
const IMAGE: Stream<u8> = Stream::new(1, "image");

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("slow_viewer REGION")?;
    let mut client = Client::open_within(&name, Duration::from_secs(60))?;
    loop {
        let frame = match client.follow_next(Duration::from_secs(10)) {
            Ok(Some(frame)) => frame,
            Ok(None) => continue,
            Err(ReadError::ServerGone { .. }) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let mut out = std::io::stdout().lock();
        // What is drawn is for the eye. The sum is a result, so it comes with the frame or not at all.
        let sum = frame.fold(IMAGE, Duration::from_secs(10), 0_u64, |sum, _, pixels| {
            for line in pixels.chunks(WIDTH) {
                let _ = writeln!(out, "{}", line.iter().map(|&p| shade(p)).collect::<String>());
            }
            let _ = out.flush();
            sum + pixels.iter().map(|&p| u64::from(p)).sum::<u64>()
        });
        match sum {
            Ok((frame, sum)) => writeln!(out, "frame {}, brightness {sum}", frame.frame_id())?,
            Err(void @ (Void::Abandoned | Void::ServerGone { .. })) => writeln!(out, "{void}")?,
            Err(void) => return Err(void.into()),
        }
    }
}

fn shade(pixel: u8) -> char {
    char::from(b" .:-=+*#%@"[usize::from(pixel) * 9 / 255])
}
