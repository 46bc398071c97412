//! Writes images where their readers read them, and reads them there: nothing is copied. `in_place REGION FRAMES`
//!
//! The reader is a thread here, so that one program shows both ends; it could as well be another process.

use shmx::error::{BeginError, ReadError};
use shmx::{Client, Server, Stream};
use std::time::Duration;

const IMAGE: Stream<[u8; 3]> = Stream::new(1, "image");
const PIXELS: usize = 480 * 640;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let name = args.next().ok_or("in_place REGION FRAMES")?;
    let frames: u64 = args.next().ok_or("in_place REGION FRAMES")?.parse()?;
    let mut server = Server::builder(&name).image(IMAGE, 480, 640, "rgb8").create()?;
    let client = Client::open(&name)?;
    let reader = std::thread::spawn(move || read(client));
    for n in 0..frames {
        match server.begin_frame() {
            Ok(mut frame) => {
                // Room in shared memory, with whatever an earlier frame left there: all of it is written.
                frame.reserve_stream(IMAGE, PIXELS)?.fill([n as u8; 3]);
                frame.publish_frame(n as f64)?;
            }
            Err(BeginError::NoFreeSlot { .. }) => {} // readers hold every slot: this frame is skipped
            Err(e) => return Err(e.into()),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(server);
    let (whole, leased) = reader.join().map_err(|_| "the reader panicked")??;
    println!("{whole} whole images, {leased} read in place");
    Ok(())
}

/// How many images were of one colour, and how many lay in shared memory while they were looked at.
fn read(mut client: Client) -> Result<(u64, u64), ReadError> {
    let (mut whole, mut leased) = (0, 0);
    loop {
        match client.wait(Duration::from_secs(10)) {
            Ok(Some(frame)) => {
                leased += u64::from(frame.is_leased());
                // Borrowed: no slot is written while its frame is held, and dropping the frame gives the slot back.
                if let Ok(pixels) = frame.get(IMAGE) {
                    whole += u64::from(pixels.iter().all(|p| *p == pixels[0]));
                }
            }
            Ok(None) | Err(ReadError::ServerGone { .. }) => return Ok((whole, leased)),
            Err(e) => return Err(e),
        }
    }
}
