//! Fuzzing with libFuzzer and AddressSanitizer on the nightly toolchain.
//!
//! Builds the targets with the flags that cargo-fuzz uses, but needs no cargo-fuzz. Everything it makes lies under
//! `fuzz/` in the target directory: `build`, `seeds`, `corpus` (kept from run to run), `findings`, a log per target.

use crate::step::{self, Tally, cargo};
use crate::tests::target_dir;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TARGETS: &[&str] = &["abi", "inspector", "client", "server", "state", "capi", "bridge"];
/// For each target in `cargo xtask test`.
const SHORT: Duration = Duration::from_secs(8);
/// An input that takes longer is a finding. Generous: other processes may have the processor.
const HANG_SECONDS: u32 = 30;

/// What cargo-fuzz gives rustc: coverage counters and compare tracing for libFuzzer, the sanitizer, and checks on.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Zsanitizer=address",
    "-Cforce-frame-pointers=yes",
    "--cfg",
    "fuzzing",
    // So that every access is seen.
    "--cfg",
    "shmx_no_asm",
];

/// Replays seeds and past findings through the target bodies, on the pinned toolchain. The crate is outside the
/// workspace, so its format and lints are checked here too.
pub(crate) fn replay(tally: &mut Tally) -> Result<()> {
    let target = target_dir()?;
    let on = |command: &str, last: &[&str]| {
        let mut c = cargo(&[command, "--manifest-path", "fuzz/Cargo.toml"]);
        if command != "fmt" {
            c.arg("--no-default-features").arg("--target-dir").arg(&target);
        }
        c.args(last);
        c
    };
    step::command(tally, "fuzz format", &mut on("fmt", &["--check"]))?;
    step::command(tally, "fuzz clippy", &mut on("clippy", &["--all-targets", "--", "-D", "warnings"]))?;
    step::counted(tally, "fuzz seeds and findings", &mut on("test", &[]), |l| l.starts_with("test result:"))
}

/// `cargo xtask fuzz`.
pub(crate) fn command(
    tally: &mut Tally,
    minutes: Option<f64>,
    target: Option<&str>,
    reproduce: Option<PathBuf>,
) -> Result<()> {
    let only = target.map(known).transpose()?;
    let each = match minutes {
        None => SHORT,
        Some(n) => {
            ensure!((0.01..=100_000.0).contains(&n), "--minutes takes a number from 0.01 to 100000");
            Duration::from_secs_f64(n * 60.0)
        }
    };
    match reproduce {
        Some(file) => again(tally, &file, only),
        None => all(tally, each, only),
    }
}

/// The bounded run of `cargo xtask test`.
pub(crate) fn bounded(tally: &mut Tally) -> Result<()> {
    all(tally, SHORT, None)
}

fn known(name: &str) -> Result<&'static str> {
    let found = TARGETS.iter().find(|t| **t == name);
    found.copied().with_context(|| format!("no target `{name}`; there are {}", TARGETS.join(", ")))
}

/// What stands in the way of fuzzing here.
fn missing() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("the targets are run on Linux only");
    }
    let works = |program: &str, arg: &str| {
        let status = Command::new(program).arg(arg).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|s| s.success())
    };
    if !crate::nightly::is_installed() {
        return Some(crate::nightly::MISSING);
    }
    if !works("c++", "--version") {
        return Some("libFuzzer needs a C++ compiler named c++");
    }
    None
}

fn build(tally: &mut Tally, folder: &Path) -> Result<PathBuf> {
    let triple = crate::nightly::host()?;
    let mut c =
        crate::nightly::cargo(&["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &triple]);
    c.arg("--target-dir").arg(folder.join("build")).env("RUSTFLAGS", FLAGS.join(" "));
    step::command(tally, "build the fuzz targets", &mut c)?;
    let bin = folder.join("build").join(triple).join("release");
    let seeds = folder.join("seeds");
    if seeds.exists() {
        fs::remove_dir_all(&seeds)?;
    }
    let made = Command::new(bin.join("seeds")).arg(&seeds).status().context("start the maker of seeds")?;
    ensure!(made.success(), "the seeds could not be made: {made}");
    Ok(bin)
}

struct Job {
    target: &'static str,
    child: Child,
    bin: PathBuf,
    log: PathBuf,
}

/// What a run says of itself at its end.
#[derive(Default)]
struct Stats {
    executions: u64,
    seeds: u64,
    coverage: u64,
    features: u64,
    corpus: String,
}

fn all(tally: &mut Tally, each: Duration, only: Option<&'static str>) -> Result<()> {
    if let Some(why) = missing() {
        // Also in CI: the pinned toolchain is the stable one, and the replay of the seeds has run.
        return step::skip(tally, "fuzz", why, false);
    }
    let folder = target_dir()?.join("fuzz");
    let bin = build(tally, &folder)?;
    let mut waiting: Vec<&'static str> = TARGETS.iter().copied().filter(|t| only.is_none_or(|o| o == *t)).collect();
    waiting.reverse();
    let at_once = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut running: Vec<Job> = Vec::new();
    let (mut executions, mut findings, count) = (0, 0, waiting.len());
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < at_once
            && let Some(target) = waiting.pop()
        {
            running.push(start(&folder, &bin, target, each)?);
        }
        std::thread::sleep(Duration::from_millis(50));
        let mut i = 0;
        while i < running.len() {
            if running[i].child.try_wait()?.is_none() {
                i += 1;
                continue;
            }
            let job = running.swap_remove(i);
            match finish(job) {
                Ok(n) => {
                    tally.passed += 1;
                    executions += n;
                }
                Err(e) => {
                    tally.failed += 1;
                    findings += 1;
                    println!("FINDING {e:#}");
                }
            }
        }
    }
    println!("   fuzz: {count} targets, {} s each, {executions} executions, {findings} findings", each.as_secs());
    ensure!(findings == 0, "fuzzing found something; the inputs are in {}", folder.join("findings").display());
    Ok(())
}

fn start(folder: &Path, bin: &Path, target: &'static str, each: Duration) -> Result<Job> {
    let corpus = folder.join("corpus").join(target);
    let findings = folder.join("findings");
    let scratch = folder.join("scratch");
    for needed in [&corpus, &findings, &scratch] {
        fs::create_dir_all(needed)?;
    }
    let log = folder.join(format!("{target}.log"));
    let mut c = Command::new(bin.join(target));
    c.arg(&corpus).arg(folder.join("seeds").join(target));
    let kept = Path::new("fuzz/regressions").join(target);
    if kept.is_dir() {
        c.arg(kept);
    }
    c.arg("-dict=fuzz/shmx.dict")
        .arg(format!("-artifact_prefix={}/{target}-", findings.display()))
        .arg(format!("-max_total_time={}", each.as_secs().max(1)))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .args(["-max_len=20000", "-rss_limit_mb=3072", "-print_final_stats=1", "-print_corpus_stats=0"])
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        .env("TMPDIR", &scratch)
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?);
    let child = c.spawn().with_context(|| format!("start the target {target}"))?;
    Ok(Job { target, child, bin: bin.join(target), log })
}

/// Executions of a target that found nothing.
fn finish(mut job: Job) -> Result<u64> {
    let status = job.child.wait()?;
    let log = String::from_utf8_lossy(&fs::read(&job.log)?).into_owned();
    let left = clear(job.child.id());
    let target = job.target;
    let s = stats(&log);
    if !status.success() {
        let input =
            log.lines().rev().find_map(|l| l.split_once("Test unit written to ").map(|p| PathBuf::from(p.1.trim())));
        // Time alone decides nothing: on a busy machine a process may stand still for long. A hang hangs again.
        if log.contains("libFuzzer: timeout")
            && let Some(input) = &input
            && let Some(seconds) = comes_back(&job.bin, input)?
        {
            println!(
                "   {target}: ended after {} executions by an input that took over {HANG_SECONDS} s and then, alone, \
                 {seconds:.1} s: the machine's doing, no finding",
                s.executions
            );
            return Ok(s.executions);
        }
        let lines: Vec<&str> = log.lines().collect();
        let first = lines.iter().position(|l| l.contains(" panicked at ") || l.contains("ERROR: "));
        for line in lines.iter().skip(first.unwrap_or(lines.len().saturating_sub(12))).take(12) {
            println!("   {line}");
        }
        let input = input.map_or("no input was written".to_owned(), |i| {
            format!("reproduce with: cargo xtask fuzz --target {target} --reproduce {}", i.display())
        });
        bail!("{target}: {status}; {input}; log {}", job.log.display());
    }
    ensure!(left.is_empty(), "{target} left objects behind: {left:?}");
    println!(
        "   {target}: {} executions, coverage {} edges, {} features, corpus {}",
        s.executions, s.coverage, s.features, s.corpus
    );
    ensure!(
        s.executions >= s.seeds.max(1) && s.coverage > 0,
        "{target} did not get through its {} seeds; log {}",
        s.seeds,
        job.log.display()
    );
    Ok(s.executions)
}

/// The seconds that an input takes alone, if it ends well, with four times the time.
fn comes_back(bin: &Path, input: &Path) -> Result<Option<f64>> {
    let start = Instant::now();
    let mut c = Command::new(bin);
    c.arg(input).arg(format!("-timeout={}", HANG_SECONDS * 4)).env("ASAN_OPTIONS", "detect_odr_violation=0");
    let mut child = c.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = child.wait()?;
    clear(child.id());
    Ok(status.success().then(|| start.elapsed().as_secs_f64()))
}

fn stats(log: &str) -> Stats {
    let mut s = Stats::default();
    for line in log.lines() {
        if let Some(n) = line.strip_prefix("stat::number_of_executed_units:") {
            s.executions = n.trim().parse().unwrap_or(0);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |key: &str| words.iter().position(|w| *w == key).and_then(|i| words.get(i + 1)).copied();
        let number = |key: &str| after(key).and_then(|n| n.parse().ok());
        if let (Some(coverage), Some(features)) = (number("cov:"), number("ft:")) {
            (s.coverage, s.features) = (coverage, features);
            s.corpus = after("corp:").unwrap_or("").to_owned();
        }
        if line.contains("INITED") {
            s.seeds = words.first().and_then(|w| w.trim_start_matches('#').parse().ok()).unwrap_or(0);
        }
    }
    s
}

/// Removes what a target that was ended in the middle has left in shared memory, and says what that was.
fn clear(pid: u32) -> Vec<String> {
    let mine = format!("shmx-fuzz-{pid}-");
    let entries = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let left: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(&mine)).map(|e| e.path()).collect();
    for path in &left {
        let _ = fs::remove_file(path);
    }
    left.iter().map(|p| p.display().to_string()).collect()
}

/// Runs one input again, with the panic or the sanitizer's report on the screen.
fn again(tally: &mut Tally, file: &Path, only: Option<&'static str>) -> Result<()> {
    ensure!(file.is_file(), "there is no input {}", file.display());
    if let Some(why) = missing() {
        return step::skip(tally, "fuzz", why, false);
    }
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let by_name = || TARGETS.iter().copied().find(|t| name.starts_with(&format!("{t}-")));
    let target = only.or_else(by_name).with_context(|| format!("say which target {name} is for: --target NAME"))?;
    let folder = target_dir()?.join("fuzz");
    let bin = build(tally, &folder)?;
    let start = Instant::now();
    let mut child = Command::new(bin.join(target))
        .arg(file)
        .arg(format!("-timeout={HANG_SECONDS}"))
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        .env("RUST_BACKTRACE", "1")
        .spawn()?;
    let status = child.wait()?;
    clear(child.id());
    step::check(tally, &format!("{target} on {}", file.display()), || {
        ensure!(status.success(), "{status} after {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    })
}
