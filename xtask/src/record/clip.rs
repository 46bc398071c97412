//! A real clip recorded, replayed and recorded again.

use crate::record::setting::{Running, Setting};
use crate::video;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

/// The first frames of the clip. The regions have a slot for each, so that a recorder can be as late as it likes.
const FRAMES: usize = 60;

/// The image data of every frame of a recording that has one stream.
fn images(s: &Setting, file: &str, prefix: &str, bytes: usize) -> Result<Vec<u8>> {
    let name = s.info(file)?["regions"][0]["region"].as_str().context("no region")?.to_owned();
    let out = s.dir.join("images.rgb");
    let region = format!("{prefix}{name}");
    let mut cat = Running::start(
        s.shmx(&["cat", &region, "--stream", "image", "--attach", "--wait-server", "30", "--timeout", "30"])
            .stdout(File::create(&out)?)
            .stderr(Stdio::null()),
    )?;
    let play = ["play", file, "--prefix", prefix, "--rate", "max", "--lossless", "--wait-readers", "1"];
    Running::start(s.shmx(&play).stderr(Stdio::null()))?.wait("shmx play")?;
    cat.wait("shmx cat")?;
    let images = fs::read(&out)?;
    fs::remove_file(out)?;
    ensure!(images.len() == bytes, "{} bytes of images", images.len());
    Ok(images)
}

/// Clip -> region -> recording -> region -> recording, and both recordings against the clip.
pub(crate) fn round_trip(s: &Setting, clip: &Path) -> Result<String> {
    let start = Instant::now();
    let mut sent = fs::read(clip)?;
    ensure!(sent.len() >= FRAMES * video::FRAME, "the clip has only {} bytes", sent.len());
    sent.truncate(FRAMES * video::FRAME);
    let name = format!("shmx-clip-{}", std::process::id());
    let prefix = "again-";
    let (a, a_text) = s.file("clip-a.mcap")?;
    let (b, b_text) = s.file("clip-b.mcap")?;
    let mut recorder = s.recorder(&["record", &name, "-o", &a_text, "--until-gone"], &a)?;
    let stream = format!("1:image:u8x3*{}x{}", video::WIDTH, video::HEIGHT);
    let slots = FRAMES.to_string();
    let mut publish = s.shmx(&["publish", &name, "--hz", "25", "--slots", &slots, "--stream", &stream]);
    let mut publisher = Running::start(publish.stdin(Stdio::piped()).stderr(Stdio::null()))?;
    let mut stdin = publisher.stdin()?;
    stdin.write_all(&sent)?;
    stdin.flush()?;
    s.until_recorded(&a_text, FRAMES)?;
    drop(stdin);
    publisher.wait("shmx publish")?;
    recorder.wait("shmx record")?;
    let again = format!("{prefix}{name}");
    let mut recorder = s.recorder(&["record", &again, "-o", &b_text, "--until-gone"], &b)?;
    let play = ["play", &a_text, "--prefix", prefix, "--keep", "600"];
    let mut player = Running::start(s.shmx(&play).stderr(Stdio::null()))?;
    s.until_recorded(&b_text, FRAMES)?;
    player.end("shmx play")?;
    recorder.wait("shmx record")?;
    for file in [&a_text, &b_text] {
        let segment = &s.info(file)?["regions"][0]["segments"][0];
        ensure!(segment["frames"] == FRAMES && segment["missed"] == 0, "{file}: {segment}");
        let got = images(s, file, "third-", sent.len())?;
        ensure!(got == sent, "the images of {file} are not those of the clip");
    }
    let size = fs::metadata(&a)?.len();
    fs::remove_file(a)?;
    fs::remove_file(b)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!(
        "{FRAMES} frames of {} bytes, twice, every byte equal; {size} bytes of file, {seconds:.1} s",
        video::FRAME
    ))
}
