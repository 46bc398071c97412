//! Recordings with real processes: read back by other software, a real clip there and back, and figures.

use crate::interop::{self, output};
use crate::step::{self, Tally, cargo};
use crate::{tests, video};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PACKAGES: &[&str] = &["mcap==1.6.0", "mcap-protobuf-support==0.6.0", "foxglove-schemas-protobuf==0.4.0"];

/// Streams of the file that is read back: id, name, type, components, elements, and the size of an image.
const STREAMS: &[(u32, &str, &str, u32, u32, &str)] = &[
    (1, "f32", "f32", 1, 5, ""),
    (2, "position", "f32", 3, 4, ""),
    (3, "f64", "f64", 1, 1, ""),
    (4, "place", "f64", 3, 2, ""),
    (5, "i64", "i64", 1, 2, ""),
    (6, "u64", "u64", 1, 2, ""),
    (7, "i8", "i8", 1, 3, ""),
    (8, "u8", "u8", 2, 3, ""),
    (9, "i16", "i16", 1, 2, ""),
    (10, "u16", "u16", 4, 2, ""),
    (11, "i32", "i32", 1, 2, ""),
    (12, "u32", "u32", 1, 2, ""),
    (13, "f16", "f16", 1, 3, ""),
    (14, "bf16", "bf16", 1, 3, ""),
    (15, "bool", "bool", 1, 5, ""),
    (16, "image", "u8", 3, 32, "8x4"),
];
const FRAMES: usize = 200;

fn size_of(ty: &str) -> usize {
    match ty {
        "bool" | "i8" | "u8" => 1,
        "i16" | "u16" | "f16" | "bf16" => 2,
        "f64" | "i64" | "u64" => 8,
        _ => 4,
    }
}

/// A process that ends with its value.
struct Running(Child);

impl Running {
    fn start(c: &mut Command) -> Result<Self> {
        Ok(Self(c.spawn().with_context(|| format!("start {c:?}"))?))
    }

    fn wait(&mut self, what: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(120);
        while Instant::now() < end {
            if let Some(s) = self.0.try_wait()? {
                ensure!(s.success(), "{what}: {s}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("{what} does not end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Setting {
    realtime: bool,
    shmx: PathBuf,
    dir: PathBuf,
}

impl Setting {
    fn new(tally: &mut Tally) -> Result<Self> {
        step::command(tally, "build the command", &mut cargo(&["build", "--release", "-p", "shmx-cli"]))?;
        let target = tests::target_dir()?;
        let dir = target.join("record");
        fs::create_dir_all(&dir)?;
        Ok(Self { realtime: false, shmx: target.join("release/shmx"), dir })
    }

    fn shmx(&self, args: &[&str]) -> Command {
        let mut c = self.program(&self.shmx);
        c.args(args).stdin(Stdio::null());
        c
    }

    fn program(&self, path: &Path) -> Command {
        if !self.realtime {
            return Command::new(path);
        }
        let mut c = Command::new("chrt");
        c.args(["-f", "10"]).arg(path);
        c
    }

    fn file(&self, name: &str) -> Result<(PathBuf, String)> {
        let path = self.dir.join(name);
        let text = path.to_str().context("the target directory is not UTF-8")?.to_owned();
        let _ = fs::remove_file(&path);
        Ok((path, text))
    }

    /// Waits until a recorder has created its file: it is then looking for its region.
    fn recorder(&self, args: &[&str], file: &Path) -> Result<Running> {
        let r = Running::start(self.shmx(args).stdout(Stdio::null()).stderr(Stdio::null()))?;
        let end = Instant::now() + Duration::from_secs(30);
        while fs::metadata(file).map_or(0, |m| m.len()) == 0 {
            ensure!(Instant::now() < end, "the recorder does not begin");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(r)
    }

    fn info(&self, file: &str) -> Result<Value> {
        let out = self.shmx(&["info", file, "--json"]).output()?;
        ensure!(out.status.success(), "shmx info {file}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(serde_json::from_slice(&out.stdout)?)
    }
}

pub(crate) fn test(tally: &mut Tally, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "recordings", "it is written for Linux", false);
    }
    let s = Setting::new(tally)?;
    let target = tests::target_dir()?;
    match packages(&target) {
        Ok(python) => step::check(tally, "a recording read back by the packages of others", || {
            println!("   {}", read_back(&s, &python)?);
            Ok(())
        })?,
        Err(e) => step::skip(tally, "a recording read back by the packages of others", &format!("{e:#}"), in_ci)?,
    }
    match video::decode(&target) {
        Ok(clip) => step::check(tally, "a real clip recorded, replayed, recorded", || {
            println!("   {}", clip_round_trip(&s, &clip)?);
            Ok(())
        })?,
        Err(e) => step::skip(tally, "a real clip recorded, replayed, recorded", &format!("{e:#}"), in_ci)?,
    }
    Ok(())
}

fn packages(target: &Path) -> Result<PathBuf> {
    let python = interop::python(target)?;
    let pip = ["-m", "pip", "--disable-pip-version-check", "--quiet", "install"];
    output(Command::new(&python).args(pip).args(PACKAGES))?;
    Ok(python)
}

/// Publishes random bytes as streams of every type, records them, and has Python compare.
fn read_back(s: &Setting, python: &Path) -> Result<String> {
    let name = format!("shmx-readback-{}", std::process::id());
    let (file, file_text) = s.file("readback.mcap")?;
    let (data_path, _) = s.file("readback.bin")?;
    let (cut, _) = s.file("readback-cut.mcap")?;
    let script = s.dir.join("readback.py");
    fs::write(&script, include_str!("readback.py"))?;
    let per_frame: usize = STREAMS.iter().map(|t| size_of(t.2) * (t.3 * t.4) as usize).sum();
    let mut seed = 88_172_645_463_325_252_u64;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 56) as u8
    })
    .take(per_frame * FRAMES)
    .collect();
    fs::write(&data_path, &data)?;
    let args = ["record", &name, "-o", &file_text, "--until-gone", "--compress", "zstd", "--flush", "20ms"];
    let mut recorder = s.recorder(&args, &file)?;
    // Room for every frame, and time for the recorder to take the last ones, however busy the machine is.
    let mut publish = s.shmx(&["publish", &name, "--hz", "400", "--slots", "256", "--keep", "3", "--stream"]);
    for &(id, stream, ty, components, count, image) in STREAMS {
        let count = if image.is_empty() { count.to_string() } else { image.to_owned() };
        publish.arg(format!("{id}:{stream}:{ty}x{components}*{count}"));
    }
    publish.stdin(Stdio::from(File::open(&data_path)?)).stderr(Stdio::null());
    Running::start(&mut publish)?.wait("shmx publish")?;
    recorder.wait("shmx record")?;
    let segment = &s.info(&file_text)?["regions"][0]["segments"][0];
    ensure!(segment["frames"] == FRAMES && segment["missed"] == 0, "recorded: {segment}");
    let bytes = fs::read(&file)?;
    fs::write(&cut, &bytes[..bytes.len() * 6 / 10])?;
    let mut c = Command::new(python);
    c.arg(&script).args([&file, &cut]).arg(&name).arg(&data_path).arg(FRAMES.to_string());
    for &(id, stream, ty, components, count, image) in STREAMS {
        let image = if image.is_empty() { String::new() } else { format!(":{image}") };
        c.arg(format!("{id}:{stream}:{ty}:{components}:{count}{image}"));
    }
    Ok(output(&mut c)?.trim().to_owned())
}

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
fn clip_round_trip(s: &Setting, clip: &Path) -> Result<String> {
    let start = Instant::now();
    let sent = fs::read(clip)?;
    let frames = sent.len() / video::FRAME;
    let name = format!("shmx-clip-{}", std::process::id());
    let prefix = "again-";
    let (a, a_text) = s.file("clip-a.mcap")?;
    let (b, b_text) = s.file("clip-b.mcap")?;
    let mut recorder = s.recorder(&["record", &name, "-o", &a_text, "--until-gone"], &a)?;
    let stream = format!("1:image:u8x3*{}x{}", video::WIDTH, video::HEIGHT);
    // The ring and the time after the last frame let the recorders, here and below, be late by more than two seconds.
    let mut publish = s.shmx(&["publish", &name, "--hz", "25", "--slots", "64", "--keep", "3", "--stream", &stream]);
    publish.stdin(Stdio::from(File::open(clip)?)).stderr(Stdio::null());
    Running::start(&mut publish)?.wait("shmx publish")?;
    recorder.wait("shmx record")?;
    let again = format!("{prefix}{name}");
    let mut recorder = s.recorder(&["record", &again, "-o", &b_text, "--until-gone"], &b)?;
    let play = ["play", &a_text, "--prefix", prefix, "--keep", "3"];
    Running::start(s.shmx(&play).stderr(Stdio::null()))?.wait("shmx play")?;
    recorder.wait("shmx record")?;
    for file in [&a_text, &b_text] {
        let segment = &s.info(file)?["regions"][0]["segments"][0];
        ensure!(segment["frames"] == frames && segment["missed"] == 0, "{file}: {segment}");
        let got = images(s, file, "third-", sent.len())?;
        ensure!(got == sent, "the images of {file} are not those of the clip");
    }
    let size = fs::metadata(&a)?.len();
    fs::remove_file(a)?;
    fs::remove_file(b)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!(
        "{frames} frames of {} bytes, twice, every byte equal; {size} bytes of file, {seconds:.1} s",
        video::FRAME
    ))
}

/// Figures, with nothing to pass or fail but the programs themselves.
pub(crate) fn bench(tally: &mut Tally, realtime: bool) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "the figures are taken on Linux only");
    let s = Setting { realtime, ..Setting::new(tally)? };
    let build = ["build", "--release", "-p", "shmx-record", "--example", "load"];
    step::command(tally, "build the load", &mut cargo(&build))?;
    let load = tests::target_dir()?.join("release/examples/load");
    step::check(tally, "figures", || figures(&s, &load))
}

const FULL_HD: &str = "6220800";

fn figures(s: &Setting, load: &Path) -> Result<()> {
    let name = format!("shmx-load-{}", std::process::id());
    let shm = PathBuf::from(format!("/dev/shm/{name}.mcap"));
    let shm_text = shm.display().to_string();
    let produce = |bytes: &str, hz: &str, seconds: &str| -> Result<Value> {
        let out = output(s.program(load).args([&name, bytes, hz, seconds]))?;
        Ok(serde_json::from_str(&out)?)
    };
    println!("   publish times in microseconds, with and without a recorder, in turns; recording to memory");
    println!("   {:<34} {:>9} {:>9} {:>9}  recorded", "producer", "p50", "p90", "p99");
    let cases = [("1920x1080 RGB at 60 Hz", FULL_HD, "60", "4"), ("4 KiB at 1 kHz", "4096", "1000", "4")];
    for (what, bytes, hz, seconds) in cases {
        for round in 0..3 {
            for how in [None, Some("--no-views"), Some("--overwrite")] {
                let _ = fs::remove_file(&shm);
                let recorder = how
                    .map(|flag| {
                        let mut c = s.shmx(&["record", &name, "-o", &shm_text, "--until-gone", "--json", flag]);
                        c.stdout(Stdio::piped()).stderr(Stdio::null());
                        c.spawn().context("start shmx record")
                    })
                    .transpose()?;
                if recorder.is_some() {
                    std::thread::sleep(Duration::from_millis(200));
                }
                let times = produce(bytes, hz, seconds)?;
                let kind = match how {
                    None => "alone",
                    Some("--no-views") => "recorded, whole frames",
                    Some(_) => "recorded, with views",
                };
                let recorded = match recorder {
                    None => String::new(),
                    Some(r) => {
                        let out = r.wait_with_output()?;
                        ensure!(out.status.success(), "shmx record: {}", out.status);
                        let v: Value = serde_json::from_slice(&out.stdout)?;
                        format!(
                            "{} frames, {} missed, {} bytes of file, {} of memory",
                            v["frames"], v["missed"], v["bytes"], v["memory_bytes"]
                        )
                    }
                };
                let label = format!("{what}, {kind}");
                println!(
                    "   {round} {label:<48} {:>9} {:>9} {:>9}  {recorded}",
                    times["p50_us"], times["p90_us"], times["p99_us"]
                );
            }
        }
    }
    let _ = fs::remove_file(&shm);
    let (file, text) = s.file("kilohertz.mcap")?;
    let mut r = Running::start(
        s.shmx(&["record", &name, "-o", &text, "--until-gone"]).stdout(Stdio::null()).stderr(Stdio::null()),
    )?;
    std::thread::sleep(Duration::from_millis(200));
    produce("256", "1000", "5")?;
    r.wait("shmx record")?;
    for _ in 0..3 {
        let out = s.shmx(&["play", &text, "--json"]).stderr(Stdio::null()).output()?;
        let v: Value = serde_json::from_slice(&out.stdout)?;
        println!("   replay at 1 kHz, late in ms: {} ({} frames)", v["late_ms"], v["published"]);
    }
    fs::remove_file(file)?;
    Ok(())
}

/// Makes the pictures of docs/patterns.md.
pub(crate) fn screens(tally: &mut Tally) -> Result<()> {
    let s = Setting::new(tally)?;
    step::command(tally, "build the patterns", &mut cargo(&["build", "--release", "-p", "shmx-patterns"]))?;
    step::check(tally, "screens", || {
        let bin = |name: &str| s.shmx.with_file_name(name);
        let images = Path::new("docs/img");
        fs::create_dir_all(images)?;
        let name = format!("shmx-screens-{}", std::process::id());
        let quiet =
            |c: &mut Command| -> Result<Running> { Running::start(c.stdout(Stdio::null()).stderr(Stdio::null())) };
        {
            let mut sim = Command::new(bin("shmx-sim"));
            let mut sim = quiet(sim.args([&name, "--stars", "20000", "--skip", "330", "--seconds", "60"]))?;
            let png = images.join("render.png");
            let mut c = Command::new(bin("shmx-render"));
            output(c.args([&name, "--size", "560x315", "--zoom", "1.7", "--wait", "30", "--png"]).arg(png))?;
            end(&mut sim)?;
        }
        let search = "search";
        let (recording, text) = s.file("search.mcap")?;
        let mut recorder = s.recorder(&["record", search, "-o", &text, "--until-gone"], &recording)?;
        let mut c = Command::new(bin("shmx-optimise"));
        let population = ["--hz", "200", "--population", "60", "--once", "--seed", "3"];
        quiet(c.arg(search).args(population))?.wait("shmx-optimise")?;
        recorder.wait("shmx record")?;
        for (stream, at, file) in [("population", "0.09", "view-population.svg"), ("log10_best", "1h", "view-best.svg")]
        {
            let svg = images.join(file);
            let mut c = s.shmx(&["view", &text, "--size", "100x26", "--stream", stream, "--at", at, "--svg"]);
            output(c.arg(svg))?;
        }
        Ok(())
    })
}

fn end(r: &mut Running) -> Result<()> {
    output(Command::new("kill").args(["-TERM", &r.0.id().to_string()]))?;
    r.wait("the simulation")
}
