//! Benchmarks: `cargo xtask bench`. They live in a workspace of their own, `bench/`, with the peers' dependencies.

use crate::interop::{REFERENCE, output};
use crate::step::{self, Tally, cargo};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "bench/Cargo.toml";

/// The environment variable that tells the comparison where the reference is.
const LIBRARY: &str = "SHMX_BENCH_REFERENCE";

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Fewer rounds: within two minutes instead of ten
    #[arg(long)]
    quick: bool,
    /// Where the figures go; else into the target directory
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the run in docs/performance/, and put its headlines into docs/performance.md
    #[arg(long)]
    docs: bool,
    /// Only these contenders
    #[arg(long, value_name = "NAME,..")]
    only: Option<String>,
    /// Only these measurements
    #[arg(long, value_name = "NAME,..")]
    what: Option<String>,
    /// Only these payloads
    #[arg(long, value_name = "N,..")]
    bytes: Option<String>,
    /// The same with an earlier run's figures, and measure nothing
    #[arg(long, value_name = "FILE")]
    render: Option<PathBuf>,
    /// Criterion instead: hash, append, publish, read, decode, frames in pieces, control
    #[arg(long)]
    micro: bool,
    /// For Criterion
    #[arg(last = true, requires = "micro")]
    own: Vec<String>,
}

impl Choice {
    /// With paths that start at `folder`.
    pub(crate) fn from(mut self, folder: &Path) -> Self {
        for path in [&mut self.json, &mut self.render].into_iter().flatten() {
            *path = folder.join(&path);
        }
        self
    }
}

/// `cargo xtask bench`: the comparison with peers, or the micro-benchmarks.
pub(crate) fn bench(tally: &mut Tally, target: &Path, choice: &Choice, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "bench", "it is written for Linux", false);
    }
    let target = target.join("bench");
    let of = |command: &str, package: &str| {
        let mut c = cargo(&[command, "--manifest-path", MANIFEST, "-p", package]);
        c.arg("--target-dir").arg(&target);
        c
    };
    if choice.micro {
        let mut micro = of("bench", "shmx-micro");
        return step::command(tally, "micro-benchmarks", micro.args(["--bench", "micro", "--"]).args(&choice.own));
    }
    step::command(tally, "build the comparison", of("build", "shmx-bench").arg("--release"))?;
    let program = target.join("release/shmx-bench");
    let render = |tally: &mut Tally, json: &Path| {
        let mut render = Command::new(&program);
        step::command(tally, "figures for the document", render.arg("render").arg(json).arg("docs/performance.md"))
    };
    if let Some(json) = &choice.render {
        return render(tally, json);
    }
    let json = choice.json.clone().unwrap_or_else(|| target.join("bench.json"));
    let mut run = Command::new(&program);
    run.arg("run").arg("--json").arg(&json);
    if choice.quick {
        run.arg("--quick");
    }
    for (option, value) in [("--only", &choice.only), ("--what", &choice.what), ("--bytes", &choice.bytes)] {
        if let Some(value) = value {
            run.args([option, value]);
        }
    }
    match reference(&target) {
        Ok(library) => {
            run.env(LIBRARY, library);
        }
        Err(e) => {
            let why = format!("{e:#}");
            step::skip(tally, "the reference", &why, in_ci)?;
            run.args(["--no-reference", &why]);
        }
    }
    step::command(tally, "comparison", &mut run)?;
    if choice.docs { render(tally, &json) } else { Ok(()) }
}

/// Compiles the headers from the reference's source package, together with the harness's few functions, to a library.
fn reference(target: &Path) -> Result<PathBuf> {
    let source = Path::new("bench/compare/src/contenders/reference.cpp");
    let headers = original(target)?;
    let library = target.join("reference/libreference.so");
    let mut compile = Command::new("g++");
    compile.args(["-std=c++17", "-O3", "-DNDEBUG", "-shared", "-fPIC", "-I"]).arg(&headers);
    output(compile.arg("-o").arg(&library).arg(source).args(["-lrt", "-pthread"])).context("compile the headers")?;
    Ok(library.canonicalize()?)
}

/// The reference's source package, unpacked; its headers are under `src`.
pub(crate) fn original(target: &Path) -> Result<PathBuf> {
    let folder = target.join("reference");
    let headers = folder.join(REFERENCE.replace("==", "-"));
    std::fs::create_dir_all(&folder)?;
    if !headers.join("src/shmx_server.h").exists() {
        let pip = ["-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"];
        let mut download = Command::new("python3");
        download.args(pip).args(["--no-binary", "shmx", REFERENCE, "--dest"]).arg(&folder);
        output(&mut download).context("get the source package")?;
        let archive = headers.with_file_name(format!("{}.tar.gz", REFERENCE.replace("==", "-")));
        output(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&folder)).context("unpack it")?;
    }
    Ok(headers)
}
