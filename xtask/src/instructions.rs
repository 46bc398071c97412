//! Instructions per operation, counted by callgrind and compared with a committed baseline.
//!
//! Counts do not depend on the machine's load or speed. They do on the compiler, so the baseline names it, and on the
//! vector instructions that valgrind knows: up to AVX2, which is why the hash kernels are counted by name and all
//! other operations on payloads that no vector kernel sees.

use crate::interop::output;
use crate::step::{self, Tally, cargo};
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;

const BASELINE: &str = "bench/counts/baseline.json";
/// Calls of an operation in one run of the program.
const TIMES: f64 = 1000.0;
/// More than this above the baseline fails: part of the count, and instructions for what is tiny.
const TOLERANCE: f64 = 0.03;
const SLACK: f64 = 4.0;
/// The program's code for an operation that this processor cannot do.
const UNSUPPORTED: i32 = 3;

pub(crate) fn check(tally: &mut Tally, target: &Path, update: bool, in_ci: bool) -> Result<()> {
    let name = "instructions";
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return step::skip(tally, name, "the baseline is for Linux on x86-64", false);
    }
    if let Err(e) = output(Command::new("valgrind").arg("--version")) {
        return step::skip(tally, name, &format!("no valgrind: {e:#}"), in_ci);
    }
    let rustc = output(Command::new("rustc").arg("--version"))?.trim().to_owned();
    let baseline: Value = match std::fs::read_to_string(BASELINE) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("read {BASELINE}"))?,
        Err(_) => Value::Null,
    };
    if !update && baseline["rustc"] != rustc.as_str() {
        let why = format!("the baseline was made with {}, this is {rustc}", baseline["rustc"]);
        return step::skip(tally, name, &why, in_ci);
    }
    let target = target.join("bench");
    let mut build = cargo(&["build", "--release", "--manifest-path", "bench/Cargo.toml", "-p"]);
    // An incremental build inlines less: 60 instructions of a publish.
    build.env("CARGO_INCREMENTAL", "0");
    build.args(["shmx-counts", "--target-dir"]).arg(&target);
    step::command(tally, "build the operations", &mut build)?;
    let program = target.join("release/shmx-counts");
    crate::step::head(name);
    let mut counts = Map::new();
    let mut failed = 0;
    for operation in output(Command::new(&program).arg("list"))?.lines() {
        let Some(count) = count(&program, operation, &target)? else {
            step::skip(tally, operation, "this processor lacks its instructions", false)?;
            counts.insert(operation.to_owned(), baseline["counts"][operation].clone());
            continue;
        };
        counts.insert(operation.to_owned(), json!(count));
        let Some(before) = baseline["counts"][operation].as_f64() else {
            println!("   {operation:<28} {count:>10.1}  new");
            failed += u64::from(!update);
            continue;
        };
        let change = 100.0 * (count / before - 1.0);
        let limit = before * TOLERANCE + SLACK;
        let verdict = match count - before {
            d if d > limit && update => "more",
            d if d > limit => "TOO MANY",
            d if -d > limit => "fewer",
            _ => "",
        };
        println!("   {operation:<28} {count:>10.1}  {before:>10.1} {change:>+7.1} %  {verdict}");
        failed += u64::from(verdict == "TOO MANY");
        tally.passed += u64::from(verdict != "TOO MANY");
    }
    if update {
        let mut text = serde_json::to_string_pretty(&json!({ "rustc": rustc, "counts": counts }))?;
        text.push('\n');
        std::fs::write(BASELINE, text)?;
        println!("   {BASELINE} is new");
        return Ok(());
    }
    tally.failed += failed;
    ensure!(failed == 0, "{failed} operations take more instructions; if that is right, run with --update");
    Ok(())
}

/// Instructions per call; none if the processor cannot do the operation.
fn count(program: &Path, operation: &str, target: &Path) -> Result<Option<f64>> {
    let file = target.join(format!("callgrind-{operation}.out"));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet", "--toggle-collect=*measured*"]);
    command.arg(format!("--callgrind-out-file={}", file.display())).arg(program).arg(operation);
    let out = command.output().context("start valgrind")?;
    if out.status.code() == Some(UNSUPPORTED) {
        return Ok(None);
    }
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(out.status.success(), "{operation}: {}: {words}", out.status);
    let text = std::fs::read_to_string(&file)?;
    let total = text.lines().find_map(|l| l.strip_prefix("totals: ")).context("no totals in callgrind's file")?;
    let total: f64 = total.trim().parse()?;
    ensure!(total > 0.0, "{operation}: nothing was counted");
    Ok(Some(total / TIMES))
}
