//! A peer that hands out frames in pieces, or follows them, over the facade: see tests/README.md.

use shmx::error::{ReadError, Void};
use shmx::{Client, Server, Stream};
use std::time::{Duration, Instant};

const IMAGE: Stream<u32> = Stream::new(1, "image");
const LEN: usize = 32 << 10;
const PIECE: usize = 1 << 10;
const FRAMES: u64 = 60;
const LIMIT: Duration = Duration::from_secs(30);

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn value_of(n: u64, i: usize) -> u32 {
    (n as u32).wrapping_mul(1_000_003).wrapping_add(i as u32)
}

fn serve(name: &str) -> Outcome {
    let mut server = Server::builder(name).stream(IMAGE, LEN as u32).create()?;
    let start = Instant::now();
    while server.readers_connected() == 0 {
        assert!(start.elapsed() < 4 * LIMIT, "no reader came");
        std::thread::sleep(Duration::from_millis(1));
    }
    for n in 1..=FRAMES + 1 {
        let mut frame = server.begin_frame_when_taken(2 * LIMIT)?;
        let mut image = frame.fill_stream(IMAGE, LEN)?;
        while !image.is_filled() {
            if n > FRAMES && image.committed() >= LEN / 2 {
                // Half of the last one: this process is killed once the reader has it.
                std::thread::sleep(4 * LIMIT);
                return Err("nobody killed this process".into());
            }
            if n % 7 == 0 && image.committed() >= LEN / 4 {
                break;
            }
            let at = image.committed();
            for (i, value) in image.rest()[..PIECE].iter_mut().enumerate() {
                *value = value_of(n, at + i);
            }
            image.commit(PIECE)?;
        }
        if n % 7 == 0 {
            frame.abandon();
        } else {
            frame.publish_frame(n as f64)?;
        }
    }
    Ok(())
}

fn read(name: &str) -> Outcome {
    let mut client = Client::options().every_frame(true).open_within(name, LIMIT)?;
    let (mut frames, mut voids) = (0, 0);
    loop {
        let following = match client.follow_next(LIMIT) {
            Ok(following) => following.ok_or("no frame in 30 s")?,
            Err(ReadError::ServerGone { .. }) => break,
            Err(e) => return Err(e.into()),
        };
        let mut done = 0;
        let got = following.fold(IMAGE, LIMIT, None, |first, at, values| {
            let first = first.unwrap_or(values[0]);
            assert!(values.iter().enumerate().all(|(i, &v)| v == first.wrapping_add((at + i) as u32)));
            done = at + values.len();
            if done == LEN / 2 && first == value_of(FRAMES + 1, 0) {
                println!("half");
            }
            Some(first)
        });
        match got {
            Ok((frame, first)) => {
                assert_eq!((done, first), (LEN, Some(value_of(frame.sim_time() as u64, 0))));
                frames += 1;
            }
            Err(Void::Abandoned) => voids += 1,
            // What there was of it is no frame.
            Err(Void::ServerGone { .. }) => {
                assert_eq!(done, LEN / 2);
                voids += 1;
                break;
            }
            Err(void) => return Err(void.into()),
        }
    }
    println!("frames {frames} voids {voids}");
    Ok(())
}

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "serve", name] => serve(name),
        [_, "read", name] => read(name),
        _ => Err("serve NAME, or read NAME".into()),
    }
}
