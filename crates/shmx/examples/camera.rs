//! Publishes images of a moving spot, and changes its exposure when a reader asks for it. `camera [REGION]`

use shmx::{Server, Stream, meta::Clock, now_ticks};
use std::time::Duration;

const IMAGE: Stream<[u8; 3]> = Stream::new(1, "image");
const EXPOSURE: u32 = shmx::abi::TLV_CONTROL_USER + 1;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "camera".to_owned());
    let builder = Server::builder(name).image(IMAGE, 480, 640, "rgb8");
    let mut server = builder.acquisition_time(Clock::Monotonic).create()?;
    let mut exposure = 1.0_f32;
    for n in 0_usize.. {
        for message in server.poll_control(16).messages {
            match message.value() {
                Ok(asked) if message.ty == EXPOSURE => exposure = asked,
                _ => eprintln!("no idea what message {:#x} means", message.ty),
            }
        }
        // When readers hold every slot, this image is skipped.
        if let Ok(mut frame) = server.begin_frame() {
            frame.append_value(Stream::ACQUISITION_TIME, now_ticks())?;
            let pixels = frame.reserve_stream(IMAGE, 480 * 640)?;
            pixels.fill([0; 3]);
            let (row, column) = (n % 470, n * 3 % 630);
            for y in row..row + 10 {
                pixels[y * 640 + column..][..10].fill([(100.0 * exposure).min(255.0) as u8; 3]);
            }
            frame.publish_frame(n as f64 * 0.01)?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
