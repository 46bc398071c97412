//! Records a region for some frames, then replays them under another name. `record_and_replay REGION FRAMES FILE`
//!
//! The same from a shell: `shmx record REGION --frames FRAMES -o FILE` and `shmx play FILE --prefix replayed-`.

use shmx_record::{Next, PlayOptions, Played, Player, Recorder, RecorderOptions, Recording};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, frames, file, ..] = &args[..] else { return Err("record_and_replay REGION FRAMES FILE".into()) };
    let (frames, path): (u64, _) = (frames.parse()?, PathBuf::from(file));

    // Through a read-only mapping: the server does not notice. The region need not be there yet.
    let recorder = Recorder::start(&[name], &path, RecorderOptions::default())?;
    while recorder.status().regions[0].taken < frames && !recorder.status().ended {
        std::thread::sleep(Duration::from_millis(5));
    }
    let written = recorder.finish()?;
    println!("{} frames recorded", written.frames);

    let mut options = PlayOptions::default();
    options.prefix = "replayed-".into();
    let mut player = Player::new(Recording::open(&[&path])?, options)?;
    // The regions are there, with the first frame still to come: time for readers to open them.
    player.start();
    let mut published = 0;
    while let Next::Due(at) = player.next() {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        published += u64::from(player.step()? == Played::Frame);
    }
    println!("{published} frames replayed");
    Ok(())
}
