//! The Python packages: wheels, and tests in private environments under the target directory.

mod environment;

use crate::interop::{self, output};
use crate::step::{self, Tally, cargo};
use crate::tests;
use anyhow::{Context, Result, ensure};
use environment::Interpreter;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "python/Cargo.toml";

const BUILD: &[&str] = &["maturin==1.16.0", "setuptools==80.9.0"];
const NUMPY: &str = "numpy==2.4.6";
/// What the tests need, and what these need.
const TEST: &[&str] = &[
    "pytest==9.2.0",
    "iniconfig==2.3.1",
    "packaging==26.4",
    "pluggy==1.7.0",
    "Pygments==2.21.0",
    NUMPY,
    "ml_dtypes==0.6.0",
];
/// Without a wheel for interpreters without the lock; its tests are skipped there.
const OPENCV: &[&str] = &["opencv-python-headless==5.0.0.93"];
const LINT: &[&str] = &[
    "ruff==0.17.6",
    "mypy==2.4.1",
    "mypy_extensions==1.2.0",
    "typing_extensions==4.16.0",
    "pathspec==1.1.1",
    "librt==0.17.0",
    "ast_serialize==0.13.1",
];
const PEERS: &[&str] = &["iceoryx2==0.10.0", "flatbuffers==25.12.19"];

/// `cargo xtask wheel`: the wheels of both packages in `target/wheels`.
pub(crate) fn wheel(tally: &mut Tally) -> Result<()> {
    let interpreters = environment::find();
    let first = interpreters.first().context(environment::NONE)?;
    build(tally, &interpreters, first).map(|_| ())
}

/// An interpreter that has our package and nothing else, for who wants a peer in Python.
pub(crate) fn with_package(tally: &mut Tally) -> Result<PathBuf> {
    let interpreters = environment::find();
    let first = interpreters.first().context(environment::NONE)?;
    environment::can_install(&tests::target_dir()?, first)?;
    let wheels = build(tally, &interpreters, first)?;
    environment::with_wheels(first, &[], &wheels)
}

/// `cargo xtask test-python`. The quick form is part of `cargo xtask test`.
pub(crate) fn test(tally: &mut Tally, quick: bool, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "Python", "its tests are written for Linux", false);
    }
    let format = ["fmt", "--manifest-path", MANIFEST, "--check"];
    step::command(tally, "format of the Python package", &mut cargo(&format))?;
    let interpreters = environment::find();
    let Some(first) = interpreters.first() else { return step::skip(tally, "Python", environment::NONE, in_ci) };
    let wheels = match environment::can_install(&tests::target_dir()?, first) {
        Ok(()) => build(tally, &interpreters, first)?,
        Err(e) => return step::skip(tally, "Python", &format!("{e:#}"), in_ci),
    };
    let chosen = if quick { &interpreters[..1] } else { &interpreters[..] };
    let mut original = None;
    if !quick {
        original = self::original(tally, in_ci)?;
        let mut clippy = cargo(&["clippy", "--manifest-path", MANIFEST, "--all-targets", "--", "-D", "warnings"]);
        step::command(tally, "clippy of the Python package", clippy.env("PYO3_PYTHON", &first.path))?;
    }
    if !quick && !interpreters.iter().any(|i| i.free_threaded) {
        step::skip(tally, "Python without the interpreter lock", "there is no such interpreter", false)?;
    }
    for interpreter in chosen {
        let packages: Vec<&str> =
            TEST.iter().chain(if quick || interpreter.free_threaded { &[] } else { OPENCV }).copied().collect();
        let python = environment::with_wheels(interpreter, &packages, &wheels)?;
        if !quick && interpreter.path == first.path {
            lint(tally, &python)?;
        }
        let mut pytest = Command::new(&python);
        // Not where the sources are: what is installed is tested.
        pytest.current_dir("python/tests").args(["-X", "faulthandler", "-m", "pytest", "-q", "-ra"]);
        pytest.args(["-c", "../pyproject.toml", "--rootdir", ".."]).arg(".");
        if quick {
            pytest.args(["-m", "not slow"]);
        }
        if let Some(original) = &original {
            pytest.env("PYSHMX_ORIGINAL", original);
        }
        step::counted(tally, &format!("tests of the Python package, {interpreter}"), &mut pytest, is_summary)?;
    }
    if !quick {
        from_source(tally, first)?;
    }
    Ok(())
}

/// An interpreter with these packages and no others.
pub(crate) fn tools(dir: &Path, packages: &[&str]) -> Result<PathBuf> {
    let interpreters = environment::find();
    environment::plain(dir, interpreters.first().context(environment::NONE)?, packages)
}

/// An interpreter with our packages and these.
pub(crate) fn with_ours(tally: &mut Tally, packages: &[&str]) -> Result<PathBuf> {
    let interpreters = environment::find();
    let first = interpreters.first().context(environment::NONE)?;
    let wheels = build(tally, &interpreters, first)?;
    environment::with_wheels(first, packages, &wheels)
}

/// The last line of pytest: `141 passed, 1 skipped in 43.01s`.
fn is_summary(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(" in ") && line.contains("passed")
}

/// Builds the wheels, one for all interpreters and one for each without the interpreter lock.
fn build(tally: &mut Tally, interpreters: &[Interpreter], first: &Interpreter) -> Result<PathBuf> {
    let target = tests::target_dir()?;
    let wheels = target.join("wheels");
    if wheels.exists() {
        std::fs::remove_dir_all(&wheels)?;
    }
    let python = environment::plain(&target.join("python/build"), first, BUILD)?;
    let scripts = python.parent().context("no directory of scripts")?;
    let with_lock = std::iter::once(first).filter(|i| !i.free_threaded);
    for interpreter in with_lock.chain(interpreters.iter().filter(|i| i.free_threaded)) {
        let mut maturin = Command::new(scripts.join("maturin"));
        maturin.args(["build", "--release", "--quiet", "--manifest-path", MANIFEST, "--out"]).arg(&wheels);
        maturin.arg("--interpreter").arg(&interpreter.path);
        step::command(tally, &format!("wheel of pyshmx, {interpreter}"), &mut maturin)?;
    }
    let mut compat = Command::new(&python);
    compat.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "wheel", "--no-deps"]);
    compat.args(["--no-build-isolation", "./python/compat", "--wheel-dir"]).arg(&wheels);
    step::command(tally, "wheel of pyshmx-compat", &mut compat)?;
    step::check(tally, "versions of the wheels", || check_versions(&wheels))?;
    Ok(wheels)
}

/// That both packages have the version of the workspace, and the one asks for the other in that version.
fn check_versions(wheels: &Path) -> Result<()> {
    let workspace = std::fs::read_to_string("Cargo.toml")?;
    let version = workspace.lines().find_map(|l| l.strip_prefix("version = ")).context("no version")?.trim_matches('"');
    let wanted = format!("pyshmx=={version}");
    let compat = std::fs::read_to_string("python/compat/pyproject.toml")?;
    ensure!(compat.contains(&format!("\"{wanted}\"")), "pyshmx-compat does not ask for {wanted}");
    let names: Vec<String> =
        std::fs::read_dir(wheels)?.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    for package in ["pyshmx", "pyshmx_compat"] {
        let start = format!("{package}-{version}-");
        ensure!(names.iter().any(|n| n.starts_with(&start)), "no wheel {start}* among {names:?}");
    }
    Ok(())
}

/// The original package with numpy, for the probes.
fn original(tally: &mut Tally, in_ci: bool) -> Result<Option<PathBuf>> {
    let made = interop::python(&tests::target_dir()?).and_then(|python| {
        let has_numpy = output(Command::new(&python).args(["-c", "import numpy"])).is_ok();
        if !has_numpy {
            interop::install(&python, &[NUMPY])?;
        }
        Ok(python)
    });
    match made {
        Ok(python) => Ok(Some(std::path::absolute(python)?)),
        Err(e) => {
            step::skip(tally, "the original beside the drop-in", &format!("{e:#}"), in_ci)?;
            Ok(None)
        }
    }
}

/// Format, lints, types, and the stubs against the module.
fn lint(tally: &mut Tally, python: &Path) -> Result<()> {
    interop::install(python, LINT)?;
    let run = |args: &[&str]| {
        let mut c = Command::new(python);
        c.current_dir("python").args(args);
        c
    };
    step::command(tally, "ruff, format", &mut run(&["-m", "ruff", "format", "--check", "--quiet", "."]))?;
    step::command(tally, "ruff", &mut run(&["-m", "ruff", "check", "--quiet", "--no-cache", "."]))?;
    let cache = tests::target_dir()?.join("python/mypy");
    let mut types = run(&["-m", "mypy", "--config-file", "pyproject.toml", "--cache-dir"]);
    step::command(tally, "types of the Python package", types.arg(&cache).arg("pyshmx"))?;
    let mut examples = run(&["tests/run_types.py", "../README.md"]);
    examples.args(["../docs/python.md", "../docs/images-between-processes.md"]);
    examples.args(["examples/images.py", "examples/slow_camera.py"]);
    step::command(tally, "types of the examples", &mut examples)?;
    // In another directory, where `pyshmx` is what is installed.
    let mut stubs = run(&["-m", "mypy.stubtest", "pyshmx"]);
    stubs.current_dir("python/tests");
    stubs.args(["--mypy-config-file", "../pyproject.toml", "--allowlist", "stubtest-allowlist.txt"]);
    step::command(tally, "stubs", stubs.arg("--ignore-unused-allowlist"))
}

/// `pip install ./python` and the example of the README, as a newcomer does it.
fn from_source(tally: &mut Tally, interpreter: &Interpreter) -> Result<()> {
    let dir = tests::target_dir()?.join("python/from-source");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    let python = environment::plain(&dir, interpreter, &[])?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "./python", NUMPY]);
    step::command(tally, "pip install ./python", &mut install)?;
    let mut example = Command::new(&python);
    step::command(tally, "the example of the README", example.args(["python/tests/run_readme.py", "README.md"]))
}

/// `cargo xtask bench-python`: figures beside other ways between two processes.
pub(crate) fn bench(tally: &mut Tally, quick: bool) -> Result<()> {
    let interpreters = environment::find();
    let first = interpreters.first().context(environment::NONE)?;
    let wheels = build(tally, &interpreters, first)?;
    let packages: Vec<&str> = TEST.iter().chain(PEERS).copied().collect();
    let python = environment::with_wheels(first, &packages, &wheels)?;
    let original = original(tally, false)?;
    let mut bench = Command::new(&python);
    bench.arg("python/bench/bench.py");
    if quick {
        bench.arg("--quick");
    }
    if let Some(original) = original {
        bench.arg("--original").arg(original);
    }
    step::command(tally, "benchmark of the Python package", &mut bench)
}
