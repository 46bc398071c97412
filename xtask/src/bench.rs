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
    let build = |package: &str| {
        let mut build = cargo(&["build", "--release", "--locked", "--manifest-path", MANIFEST, "-p", package]);
        build.arg("--target-dir").arg(&target);
        build
    };
    step::command(tally, "build the comparison", &mut build("shmx-bench"))?;
    let mut program = Command::new(target.join("release/shmx-bench"));
    program.arg("run").args(args);
    match reference(&target) {
        Ok(library) => {
            program.env(LIBRARY, library);
        }
        Err(e) => {
            let why = format!("{e:#}");
            step::skip(tally, "the reference", &why, in_ci)?;
            program.args(["--no-reference", &why]);
        }
    }
    step::command(tally, "comparison", &mut program)
}

/// Compiles the headers from the reference's source package, together with the harness's few functions, to a library.
fn reference(target: &Path) -> Result<PathBuf> {
    let folder = target.join("reference");
    let headers = folder.join(REFERENCE.replace("==", "-"));
    let source = Path::new("bench/compare/src/contenders/reference.cpp");
    let library = folder.join("libreference.so");
    std::fs::create_dir_all(&folder)?;
    if !headers.join("src/shmx_server.h").exists() {
        let pip = ["-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"];
        let mut download = Command::new("python3");
        download.args(pip).args(["--no-binary", "shmx", REFERENCE, "--dest"]).arg(&folder);
        output(&mut download).context("get the source package")?;
        let archive = headers.with_file_name(format!("{}.tar.gz", REFERENCE.replace("==", "-")));
        output(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&folder)).context("unpack it")?;
    }
    let mut compile = Command::new("g++");
    compile.args(["-std=c++17", "-O3", "-DNDEBUG", "-shared", "-fPIC", "-I"]).arg(&headers);
    output(compile.arg("-o").arg(&library).arg(source).args(["-lrt", "-pthread"])).context("compile the headers")?;
    Ok(library.canonicalize()?)
}
