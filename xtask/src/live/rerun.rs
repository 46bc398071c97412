//! Rerun beside `shmx live`: a recording and a live region in its viewer, drawn without a screen.

use crate::interop::{self, output};
use crate::python;
use crate::record::Running;
use crate::step::{self, Tally, cargo};
use crate::tests;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The viewer, and all that it needs.
const PACKAGES: &[&str] = &[
    "rerun-sdk==0.41.0",
    "attrs==26.1.0",
    "mcap==1.6.0",
    "numpy==2.4.6",
    "pillow==13.0.0",
    "protobuf==7.36.2",
    "psutil==7.2.2",
    "pyarrow==26.0.1",
    "typing_extensions==4.16.0",
];
/// A screen that is none, and a graphics card that is none.
const FILES: [&str; 2] = ["/usr/bin/Xvfb", "/usr/share/vulkan/icd.d"];
const DEBIAN: [&str; 2] = ["xvfb", "mesa-vulkan-drivers"];
const PICTURE: &str = "docs/img/live-rerun.png";
/// Half as wide, and with few colours.
const SMALLER: &str = "import sys; from PIL import Image; image = Image.open(sys.argv[1]).convert('RGB'); \
                       image.resize((1440, 900), Image.Resampling.LANCZOS).quantize(128).save(sys.argv[2], optimize=True)";
const SCRIPT: &str = "xtask/src/live/rerun.py";
/// Where points are drawn: by the viewer's own layout, by that of the example.
const ROOT: &str = "14,6,46,71";
const GRID: &str = "67,6,100,50";

/// `cargo xtask test-rerun`. The picture in the documents is made anew if `draw` says so.
pub(crate) fn test(tally: &mut Tally, draw: bool, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "Rerun", "its tests are written for Linux", false);
    }
    let python = match interop::debian(&FILES, &DEBIAN).and_then(|()| python::with_ours(tally, PACKAGES)) {
        Ok(python) => python,
        Err(e) => return step::skip(tally, "Rerun", &format!("{e:#}"), in_ci),
    };
    let mut live = cargo(&["build", "--manifest-path", "live/Cargo.toml", "--examples"]);
    step::command(tally, "build the scene", &mut live)?;
    step::command(tally, "build shmx", &mut cargo(&["build", "-p", "shmx-cli"]))?;
    let target = tests::target_dir()?;
    let folder = std::path::absolute(target.join("rerun"))?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let all = Programs { python, shmx: target.join("debug/shmx"), folder };
    step::check(tally, "a recording in Rerun", || {
        let file = all.recording()?;
        let picture = all.folder.join("recording.png");
        println!("   {}", all.draw(&file, &picture, ROOT)?);
        Ok(())
    })?;
    step::check(tally, "a recording in Rerun, with plots", || {
        let (file, picture) = (all.folder.join("robot.rrd"), all.folder.join("plots.png"));
        let mut example = Command::new(&all.python);
        example.arg("python/examples/rerun_recording.py").args([&all.folder.join("robot.mcap"), &file]);
        output(&mut example)?;
        println!("   {}", all.draw(&file, &picture, GRID)?);
        if draw {
            output(Command::new(&all.python).args(["-c", SMALLER]).args([&picture, Path::new(PICTURE)]))?;
        }
        Ok(())
    })?;
    step::check(tally, "a live region in Rerun", || {
        let file = all.stream()?;
        println!("   {}", all.draw(&file, &all.folder.join("stream.png"), "")?);
        Ok(())
    })
}

struct Programs {
    python: PathBuf,
    shmx: PathBuf,
    folder: PathBuf,
}

impl Programs {
    fn scene(&self, name: &str, seconds: &str) -> Result<Running> {
        let mut scene = Command::new("live/target/debug/examples/scene");
        Running::start(scene.args([name, "320", "240", "10", seconds]).stdout(Stdio::null()))
    }

    /// Of a made-up robot: an image with depth, and points, poses and numbers.
    fn recording(&self) -> Result<PathBuf> {
        let name = format!("robot-{}", std::process::id());
        let file = self.folder.join("robot.mcap");
        let mut scene = self.scene(&name, "1e9")?;
        let mut record = Command::new(&self.shmx);
        record.args(["--quiet", "record", "--wait-server", "30s", "--seconds", "3", "--output"]).arg(&file);
        record.args([format!("{name}-camera"), format!("{name}-base")]);
        output(&mut record)?;
        scene.end("the scene")?;
        Ok(file)
    }

    /// What the example makes of a region that ends.
    fn stream(&self) -> Result<PathBuf> {
        let name = format!("live-{}", std::process::id());
        let file = self.folder.join("live.rrd");
        let mut scene = self.scene(&name, "4")?;
        let mut example = Command::new(&self.python);
        let camera = format!("{name}-camera");
        output(Command::new(&self.shmx).args(["--quiet", "wait", "--timeout", "120s", &camera]))?;
        example.arg("python/examples/rerun_live.py").args([&camera]).arg(&file);
        let mut example = Running::start(&mut example)?;
        example.wait("the example")?;
        scene.wait("the scene")?;
        Ok(file)
    }

    /// What is seen of a file; points are looked for in `space`, if it is not empty.
    fn draw(&self, file: &Path, picture: &Path, space: &str) -> Result<String> {
        output(Command::new(&self.python).arg(SCRIPT).args([picture, Path::new(space), file]))
    }
}
