//! A camera that is read out line by line, and hands out each line as it comes. `slow_camera REGION FRAMES`
//!
//! `slow_viewer` draws the lines while the frame is still being read out.

use shmx::{Server, Stream};
use std::time::Duration;

pub(crate) const WIDTH: usize = 64;
pub(crate) const HEIGHT: usize = 24;
pub(crate) const IMAGE: Stream<u8> = Stream::new(1, "image");

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, frames, ..] = &arguments[..] else { return Err("slow_camera REGION FRAMES".into()) };
    let mut server = Server::builder(name).stream(IMAGE, (WIDTH * HEIGHT) as u32).create()?;
    while server.snapshot_readers().iter().all(|r| !r.in_use) {
        server.wait_control(16, Duration::from_secs(1))?; // also returns when a reader comes
    }
    for n in 0..frames.parse()? {
        let mut frame = server.begin_frame()?;
        let mut image = frame.fill_stream(IMAGE, WIDTH * HEIGHT)?;
        for y in 0..HEIGHT {
            read_out(n, y, &mut image.rest()[..WIDTH]);
            image.commit(WIDTH)?; // whoever follows has the line now
        }
        frame.publish_frame(n as f64)?;
    }
    Ok(())
}

/// What a sensor would do: a bright spot that moves, a line after the other.
fn read_out(n: usize, y: usize, line: &mut [u8]) {
    std::thread::sleep(Duration::from_millis(2));
    let (cx, cy) = (n * 3 % WIDTH, n * 2 % HEIGHT);
    for (x, pixel) in line.iter_mut().enumerate() {
        let distance = x.abs_diff(cx) + 2 * y.abs_diff(cy);
        *pixel = 255_usize.saturating_sub(distance * 16) as u8;
    }
}
