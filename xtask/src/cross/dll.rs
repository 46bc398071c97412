//! The Windows DLL of the C interface, its import library and headers, as a C program uses them under Wine.

use super::tools::Tools;
use crate::interop::output;
use crate::step::{self, Tally};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CRATE: &str = "crates/shmx-capi";
const PREFIX: &str = "x86_64-w64-mingw32-";
/// DLLs that every Windows has.
const SYSTEM: &[&str] =
    &["kernel32.dll", "ntdll.dll", "msvcrt.dll", "ws2_32.dll", "advapi32.dll", "userenv.dll", "bcrypt.dll"];

/// Leaves `bin/shmx.dll`, `lib/libshmx.dll.a` and `include` in `dll` of the tools' folder.
pub(super) fn test(tally: &mut Tally, tools: &Tools<'_>) -> Result<()> {
    let mut build = tools.cargo("build");
    step::command(tally, "build the DLL", build.args(["--release", "-p", "shmx-capi", "--lib"]))?;
    let dir = tools.dir.join("dll");
    step::check(tally, "DLL, import library and headers", || install(tools, &dir))?;
    step::check(tally, "symbols of the DLL", || symbols(&dir.join("bin/shmx.dll")))?;
    for name in ["features", "waits", "follow"] {
        step::check(tally, &format!("{name} in C, with the DLL"), || {
            let program = compile(&dir, name)?;
            let said = run(tools, &program, &[&format!("shmxt-{}-{name}", std::process::id())])?;
            ensure!(said.trim_end().ends_with(": ok"), "it said {said}");
            Ok(())
        })?;
    }
    step::check(tally, "two programs in C, with the DLL", || pair(tools, &compile(&dir, "peer")?))
}

fn tool(name: &str) -> Command {
    Command::new(format!("{PREFIX}{name}"))
}

/// The promised names.
fn listed() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(format!("{CRATE}/tests/abi/symbols.txt"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn install(tools: &Tools<'_>, dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    for folder in ["bin", "lib", "include"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    let built = tools.dir.join(format!("build/{}/release/shmx_capi.dll", tools.platform.triple));
    let dll = dir.join("bin/shmx.dll");
    output(tool("strip").arg("--strip-unneeded").arg("-o").arg(&dll).arg(&built)).context("strip the DLL")?;
    // Cargo's import library leads to a file of another name, and has all that Rust exports.
    let names: String = listed()?.iter().map(|name| format!("    {name}\n")).collect();
    let def = dir.join("lib/shmx.def");
    fs::write(&def, format!("LIBRARY shmx.dll\nEXPORTS\n{names}"))?;
    output(tool("dlltool").arg("-d").arg(&def).arg("-l").arg(dir.join("lib/libshmx.dll.a")))?;
    for file in ["shmx.h", "shmx.hpp"] {
        fs::copy(format!("{CRATE}/include/{file}"), dir.join("include").join(file))?;
    }
    println!("   {}, {} KB", dll.display(), fs::metadata(&dll)?.len() / 1000);
    Ok(())
}

/// It has what is promised, and needs nothing that does not come with Windows.
fn symbols(dll: &Path) -> Result<()> {
    let text = output(tool("objdump").arg("-p").arg(dll))?;
    let has: BTreeSet<&str> = text.split_whitespace().filter(|w| w.starts_with("shmx_")).collect();
    let gone: Vec<_> = listed()?.into_iter().filter(|name| !has.contains(name.as_str())).collect();
    ensure!(gone.is_empty(), "these were promised and are missing: {gone:?}");
    let needs = text.lines().filter_map(|l| l.trim().strip_prefix("DLL Name: "));
    let foreign: Vec<String> = needs
        .map(str::to_ascii_lowercase)
        // Those are names of sets of functions, which system libraries have.
        .filter(|n| !SYSTEM.contains(&n.as_str()) && !n.starts_with("api-ms-win-") && n != "bcryptprimitives.dll")
        .collect();
    ensure!(foreign.is_empty(), "it needs {foreign:?}");
    Ok(())
}

/// A program of the tests in C.
fn compile(dir: &Path, name: &str) -> Result<PathBuf> {
    // Windows looks for the DLL where the program lies.
    let program = dir.join(format!("bin/{name}.exe"));
    let mut c = tool("gcc");
    c.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-D__USE_MINGW_ANSI_STDIO=1"]);
    c.arg("-I").arg(dir.join("include")).arg(format!("{CRATE}/tests/c/{name}.c")).arg("-o").arg(&program);
    // The rest of the compiler's own libraries goes into the program.
    output(c.arg(dir.join("lib/libshmx.dll.a")).args(["-static", "-pthread"]))?;
    Ok(program)
}

fn run(tools: &Tools<'_>, program: &Path, arguments: &[&str]) -> Result<String> {
    output(tools.emulation.run(program).args(arguments))
}

/// A server and its reader, each a process of its own.
fn pair(tools: &Tools<'_>, program: &Path) -> Result<()> {
    let name = format!("shmxt-{}-peer", std::process::id());
    let mut serve = tools.emulation.run(program);
    serve.args(["serve", &name, "1"]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut serving = serve.spawn().context("start the server")?;
    let said = run(tools, program, &["read", &name, "200"]);
    if said.is_err() {
        let _ = serving.kill();
    }
    let ended = serving.wait()?;
    let said = said?;
    ensure!(ended.success(), "the server: {ended}");
    ensure!(said.starts_with("read ") && said.trim() != "read 0", "the reader said {said}");
    Ok(())
}
