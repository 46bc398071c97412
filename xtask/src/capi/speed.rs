//! `cargo xtask capi-speed`: the figures of docs/cpp.md, as ratios within one run.

use super::programs::{self, Bench, INCLUDE, Link, Recipe, TESTS};
use crate::interop::output;
use crate::step::{self, Tally, cargo};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Programs take turns so often.
const ROUNDS: usize = 7;
/// Bytes of a frame, and how many go into a batch.
const SIZES: [(usize, usize); 2] = [(64, 100_000), (1 << 20, 50)];

pub(super) fn measure(tally: &mut Tally, target: &Path, in_ci: bool) -> Result<()> {
    let mut build = cargo(&["build", "--release", "-p", "shmx-capi", "--lib", "--example", "speed"]);
    step::command(tally, "build libshmx", &mut build)?;
    let bench = Bench::new(target)?;
    let compiled = |name: &str, source: &str, flags: &[&str], link: Link| -> Result<PathBuf> {
        let sources = [format!("{TESTS}/speed/{source}")];
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        bench.compile(name, &Recipe { compiler: "g++", flags, sources: &sources, link, strict: false })
    };
    let drop_in = format!("-I{INCLUDE}/shmx/compat");
    let mut programs = vec![
        ("Rust", target.join("release/examples/speed")),
        ("shmx.hpp", compiled("speed-hpp", "speed.cpp", &["-std=c++20", "-O2"], Link::Shared)?),
        ("shmx.hpp, static", compiled("speed-static", "speed.cpp", &["-std=c++20", "-O2"], Link::Static)?),
        ("the drop-in", compiled("speed-compat", "compat.cpp", &["-std=c++17", "-O2", &drop_in], Link::Shared)?),
    ];
    match crate::bench::original(target) {
        Ok(dir) => {
            let include = format!("-I{}", dir.join("src").display());
            let flags = ["-std=c++17", "-O2", "-w", include.as_str()];
            programs.push(("the original", compiled("speed-original", "compat.cpp", &flags, Link::Nothing)?));
        }
        Err(e) => step::skip(tally, "the original", &format!("{e:#}"), in_ci)?,
    }
    step::check(tally, "times", || {
        for (bytes, times) in SIZES {
            let mut found: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
            for _ in 0..ROUNDS {
                for (i, (_, program)) in programs.iter().enumerate() {
                    found[i].push(once(program, bytes, times)?);
                }
            }
            // Other programs make times longer, never shorter: the best round is told as well.
            let figures: Vec<(f64, f64)> = found.into_iter().map(|times| (median(&times), least(&times))).collect();
            for ((name, _), (ns, best)) in programs.iter().zip(&figures) {
                let (of_medians, of_best) = (ns / figures[0].0, best / figures[0].1);
                println!(
                    "   {bytes:>8} B  {name:<18} {ns:>10.0} ns, {of_medians:>6.2} of Rust; best {best:>10.0} ns, {of_best:>6.2}"
                );
            }
        }
        Ok(())
    })?;
    step::check(tally, "time to compile", || {
        let with = compile_seconds(&bench, "#include <shmx.hpp>\nint main() {}\n")?;
        let without = compile_seconds(&bench, "int main() {}\n")?;
        println!("   #include <shmx.hpp> adds {:.2} s", with - without);
        Ok(())
    })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn once(program: &Path, bytes: usize, times: usize) -> Result<f64> {
    let name = programs::region();
    let mut c = Command::new(program);
    let said = programs::run(c.args([&name, &bytes.to_string(), &times.to_string()]));
    programs::left(&name);
    let said = said?;
    let ns = said.split_whitespace().next().and_then(|w| w.parse().ok());
    ns.with_context(|| format!("{} said {said}", program.display()))
}

fn compile_seconds(bench: &Bench, source: &str) -> Result<f64> {
    let file = bench.dir.join("empty.cpp");
    std::fs::write(&file, source)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let mut c = Command::new("g++");
        let start = Instant::now();
        output(c.args(["-std=c++20", "-O0", "-c", "-I", INCLUDE, "-o"]).arg(bench.dir.join("empty.o")).arg(&file))?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(least(&times))
}
