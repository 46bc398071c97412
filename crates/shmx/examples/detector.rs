//! Finds the spot in a camera's newest image and publishes where it is. `detector [CAMERA [REGION]]`

use shmx::{Client, Server, Stream};
use std::time::Duration;

const IMAGE: Stream<[u8; 3]> = Stream::new(1, "image");
const SPOT: Stream<[f32; 2]> = Stream::new(1, "spot");
const EXPOSURE: u32 = shmx::abi::TLV_CONTROL_USER + 1;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let camera = args.next().unwrap_or_else(|| "camera".to_owned());
    let mut server = Server::builder(args.next().unwrap_or_else(|| "spot".to_owned())).stream(SPOT, 1).create()?;
    // Waits for a camera, and for the next one when this one ends.
    let mut camera = Client::options().reconnect(true).open_within(&camera, Duration::from_secs(60))?;
    let control = camera.control();
    loop {
        let Some(image) = camera.wait(Duration::from_secs(1))? else { continue };
        let bright = image.get(IMAGE)?.iter().enumerate().filter(|(_, pixel)| pixel[0] > 50);
        let (mut count, mut x, mut y, mut most) = (0.0, 0.0, 0.0, 0);
        for (at, pixel) in bright {
            count += 1.0;
            x += (at % 640) as f32;
            y += (at / 640) as f32;
            most = most.max(pixel[0]);
        }
        if let Ok(mut frame) = server.begin_frame() {
            frame.append_value(SPOT, [x / count, y / count])?;
            frame.publish_frame(image.sim_time())?;
        }
        if most < 150
            && let Err(error) = control.send_value(EXPOSURE, &2.0_f32)
        {
            eprintln!("{error}"); // the camera is gone, or has not polled yet
        }
    }
}
