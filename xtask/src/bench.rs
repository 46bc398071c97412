//! Benchmarks: `cargo xtask bench`. They live in a workspace of their own, `bench/`, with the peers' dependencies.

use crate::interop::{REFERENCE, output};
use crate::step::{self, Tally, cargo};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "bench/Cargo.toml";

/// The environment variable that tells the comparison where the reference is.
const LIBRARY: &str = "SHMX_BENCH_REFERENCE";

/// `cargo xtask bench`: the comparison with peers, or the micro-benchmarks. Other arguments are the program's own.
pub(crate) fn bench(tally: &mut Tally, target: &Path, args: &[&str], in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "bench", "it is written for Linux", false);
    }
    let target = target.join("bench");
    let of = |command: &str, package: &str| {
        let mut c = cargo(&[command, "--manifest-path", MANIFEST, "-p", package]);
        c.arg("--target-dir").arg(&target);
        c
    };
    if let ["--micro", rest @ ..] = args {
        let mut micro = of("bench", "shmx-micro");
        return step::command(tally, "micro-benchmarks", micro.args(["--bench", "micro", "--"]).args(rest));
    }
    step::command(tally, "build the comparison", of("build", "shmx-bench").arg("--release"))?;
    let program = target.join("release/shmx-bench");
    let render = |tally: &mut Tally, json: &Path| {
        let mut render = Command::new(&program);
        step::command(tally, "figures for the document", render.arg("render").arg(json).arg("docs/performance.md"))
    };
    if let ["--render", json] = args {
        return render(tally, Path::new(json));
    }
    let docs = args.contains(&"--docs");
    let mut own: Vec<&str> = args.iter().copied().filter(|&a| a != "--docs").collect();
    let kept = target.join("bench.json");
    let json = match own.iter().position(|&a| a == "--json") {
        Some(at) => PathBuf::from(own.get(at + 1).context("--json wants a file")?),
        None => {
            own.extend(["--json", kept.to_str().context("a path that is not UTF-8")?]);
            kept.clone()
        }
    };
    let mut run = Command::new(&program);
    run.arg("run").args(own);
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
    if docs { render(tally, &json) } else { Ok(()) }
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
