//! Figures of recorders and replays.

use crate::interop::output;
use crate::record::setting::{Running, Setting};
use crate::step::{self, Tally, cargo};
use crate::tests;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

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
                        // 3: frames were missed, which is what is measured here.
                        ensure!(matches!(out.status.code(), Some(0 | 3)), "shmx record: {}", out.status);
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
    r.wait_recorder()?;
    for _ in 0..3 {
        let out = s.shmx(&["play", &text, "--json"]).stderr(Stdio::null()).output()?;
        let v: Value = serde_json::from_slice(&out.stdout)?;
        println!("   replay at 1 kHz, late in ms: {} ({} frames)", v["late_ms"], v["published"]);
    }
    fs::remove_file(file)?;
    Ok(())
}
