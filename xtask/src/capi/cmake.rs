//! What is installed, as others use it: the documents' program as printed, the examples, pkg-config; then moved elsewhere,
//! and removed.

use super::install::Prefix;
use super::{cmake, programs, version};
use crate::interop::output;
use crate::step::{self, Tally};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXAMPLES: &str = "crates/shmx-capi/examples";

pub(super) fn test(tally: &mut Tally, target: &Path, quick: bool, in_ci: bool) -> Result<()> {
    let cmake = match cmake(target) {
        Ok(cmake) => cmake,
        Err(e) => return step::skip(tally, "CMake package", &format!("{e:#}"), in_ci),
    };
    let dir = target.join("capi/installed");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let at = |name: &str| dir.join(name);
    let (first, moved) = (at("first"), at("moved"));
    let prefix = || Prefix::new(&first);
    step::check(tally, "install", || prefix()?.install(target, &version()?))?;
    step::check(tally, "the command that was installed", || {
        let said = output(Command::new(first.join("bin/shmx")).arg("--version"))?;
        ensure!(said.contains(&version()?), "{said}");
        Ok(())
    })?;
    step::check(tally, "the archive that was installed", || archive(&first, &at("by-archive")))?;
    step::check(tally, "the documents' C++ program, as printed", || readme(&cmake, &first, &at("readme")))?;
    step::check(tally, "examples, by CMake, from where the installation was moved", || {
        fs::rename(&first, &moved)?;
        let built = build(&cmake, Path::new(EXAMPLES), &at("examples"), &moved)?;
        examples(&built)
    })?;
    if !quick {
        match output(Command::new("pkg-config").arg("--version")) {
            Ok(_) => step::check(tally, "a program by pkg-config", || pkg_config(&moved, &at("by-pkg-config")))?,
            Err(_) => step::skip(tally, "a program by pkg-config", "there is no pkg-config", false)?,
        }
    }
    step::check(tally, "uninstall", || {
        fs::rename(&moved, &first)?;
        prefix()?.uninstall()?;
        nothing_in(&first)
    })?;
    if quick {
        return Ok(());
    }
    step::check(tally, "DESTDIR: installed, moved, used by CMake and pkg-config, removed", || {
        staged(&cmake, target, &at("staged"))
    })
}

fn nothing_in(folder: &Path) -> Result<()> {
    let left: Vec<_> = fs::read_dir(folder)?.flatten().map(|e| e.path()).collect();
    ensure!(left.is_empty(), "{left:?} is left");
    Ok(())
}

/// As those do who make packages: the files lie below a folder that no program will ever see.
fn staged(cmake: &Path, target: &Path, dir: &Path) -> Result<()> {
    let final_prefix = Path::new("/opt/shmx-xtask");
    let (stage, moved) = (dir.join("stage"), dir.join("moved"));
    let prefix = || Prefix::at(final_prefix, Some(&stage));
    prefix()?.install(target, &version()?)?;
    ensure!(!final_prefix.exists(), "{} was written to, past DESTDIR", final_prefix.display());
    let staged = stage.join("opt/shmx-xtask");
    let list = fs::read_to_string(staged.join("share/shmx/installed.txt"))?;
    let foreign = list.lines().find(|l| !l.starts_with("/opt/shmx-xtask/"));
    ensure!(foreign.is_none(), "the list names {foreign:?}");
    for file in ["lib/pkgconfig/shmx.pc", "lib/cmake/shmx/shmxConfig.cmake"] {
        let text = fs::read_to_string(staged.join(file))?;
        for path in [final_prefix, &stage] {
            ensure!(!text.contains(&path.display().to_string()), "{file} names {}", path.display());
        }
    }
    fs::rename(&staged, &moved)?;
    readme(cmake, &moved, &dir.join("readme"))?;
    if output(Command::new("pkg-config").arg("--version")).is_ok() {
        pkg_config(&moved, &dir.join("by-pkg-config"))?;
    }
    fs::rename(&moved, &staged)?;
    prefix()?.uninstall()?;
    nothing_in(&staged)
}

fn build(cmake: &Path, source: &Path, build: &Path, prefix: &Path) -> Result<PathBuf> {
    let mut configure = Command::new(cmake);
    configure.arg("-S").arg(source).arg("-B").arg(build).arg("-DCMAKE_BUILD_TYPE=Release");
    output(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()))).context("configure")?;
    output(Command::new(cmake).arg("--build").arg(build).args(["--parallel", "2"])).context("build")?;
    Ok(build.to_owned())
}

/// The blocks of a document that are files: their first line names them.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("```") {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|l| !l.starts_with("```")).collect();
        let name = block.first().and_then(|l| l.strip_prefix("# ").or(l.strip_prefix("// ")));
        if let Some(name) = name.filter(|n| n.ends_with(".cpp") || *n == "CMakeLists.txt") {
            found.push((name.to_owned(), block.join("\n") + "\n"));
        }
    }
    found
}

fn readme(cmake: &Path, prefix: &Path, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let mut files = blocks(&fs::read_to_string("README.md")?);
    files.extend(blocks(&fs::read_to_string("docs/cpp.md")?));
    ensure!(files.len() == 3, "README and docs/cpp.md have a CMakeLists.txt and two programs: {}", files.len());
    for (name, text) in files {
        fs::write(dir.join(name), text)?;
    }
    let built = build(cmake, dir, &dir.join("build"), prefix)?;
    both(&built, "producer", "reader", &[])
}

/// A producer that ends when its reader has what it wants.
fn both(built: &Path, producer: &str, reader: &str, more: &[&str]) -> Result<()> {
    let name = programs::region();
    let command = |program: &str| {
        let mut c = Command::new(built.join(program));
        c.arg(&name).args(more);
        c
    };
    let (mut produce, mut read) = (command(producer), command(reader));
    let mut producing = programs::start(&mut produce)?;
    let mut reading = programs::start(&mut read)?;
    let got = programs::finish(&mut reading, &read).with_context(|| format!("{reader} of {producer}"));
    if got.is_err() {
        let _ = producing.kill();
    }
    let sent = programs::finish(&mut producing, &produce).with_context(|| format!("{producer} for {reader}"));
    let stayed = programs::left(&name);
    let text = got?;
    sent?;
    ensure!(text.contains("frame "), "{reader} said {text}");
    ensure!(!stayed, "{producer} left its region behind");
    Ok(())
}

/// Each server with each reader, in both languages.
fn examples(built: &Path) -> Result<()> {
    for server in ["server_c", "server_cpp", "in_place_c", "in_place_cpp"] {
        for client in ["client_c", "client_cpp", "epoll_c", "epoll_cpp"] {
            both(built, server, client, &[])?;
        }
    }
    for (server, client) in [("control_c", "client_cpp"), ("control_cpp", "client_c")] {
        both(built, server, client, &[])?;
    }
    for inspector in ["inspector_c", "inspector_cpp"] {
        both(built, "server_c", inspector, &["--then-stop"])?;
    }
    both(built, "slow_camera_c", "slow_viewer_cpp", &["3"])
}

/// Nothing but the interface is visible in it, and it works.
fn archive(prefix: &Path, program: &Path) -> Result<()> {
    let archive = prefix.join("lib/libshmx.a");
    let text = output(Command::new("nm").args(["-g", "--defined-only"]).arg(&archive))?;
    let names: Vec<&str> = text.lines().filter_map(|l| l.split_whitespace().nth(2)).collect();
    let foreign: Vec<_> = names.iter().filter(|n| !n.starts_with("shmx_")).take(5).collect();
    ensure!(!names.is_empty() && foreign.is_empty(), "of {} names these are visible: {foreign:?}", names.len());
    let mut c = Command::new("gcc");
    c.arg("crates/shmx-capi/tests/c/waits.c").arg("-I").arg(prefix.join("include")).arg(archive);
    output(c.args(["-pthread", "-ldl", "-lm", "-o"]).arg(program))?;
    super::whole(Command::new(program))
}

/// A program by what pkg-config says of this prefix.
pub(super) fn pkg_config(prefix: &Path, program: &Path) -> Result<()> {
    let mut ask = Command::new("pkg-config");
    ask.args(["--cflags", "--libs", "shmx"]).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    let flags = output(&mut ask)?;
    let mut c = Command::new("gcc");
    c.arg("crates/shmx-capi/tests/c/features.c").arg("-o").arg(program).args(flags.split_whitespace());
    output(c.arg(format!("-Wl,-rpath,{}", prefix.join("lib").display())))?;
    super::whole(Command::new(program))
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn files_are_found_in_documents() {
        let text = "a\n```cpp\n// main.cpp\nint x;\n```\n```rust\n//! no\n```\n```cmake\n# CMakeLists.txt\n```\n";
        let found = blocks(text);
        assert_eq!(found[0], ("main.cpp".to_owned(), "// main.cpp\nint x;\n".to_owned()));
        assert_eq!(found.len(), 2);
    }
}
