//! The pictures of docs/patterns.md.

use crate::interop::output;
use crate::record::setting::{Running, Setting};
use crate::step::{self, Tally, cargo};
use anyhow::Result;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes the pictures of docs/patterns.md.
pub(crate) fn draw(tally: &mut Tally) -> Result<()> {
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
            sim.end("the simulation")?;
        }
        let search = "search";
        let (recording, text) = s.file("search.mcap")?;
        let mut recorder = s.recorder(&["record", search, "-o", &text, "--until-gone"], &recording)?;
        let mut c = Command::new(bin("shmx-optimise"));
        let population = ["--hz", "200", "--population", "60", "--once", "--seed", "3"];
        quiet(c.arg(search).args(population))?.wait("shmx-optimise")?;
        recorder.wait_recorder()?;
        for (stream, at, file) in [("population", "0.09", "view-population.svg"), ("log10_best", "1h", "view-best.svg")]
        {
            let svg = images.join(file);
            let mut c = s.shmx(&["view", &text, "--size", "100x26", "--stream", stream, "--at", at, "--svg"]);
            output(c.arg(svg))?;
        }
        Ok(())
    })
}
