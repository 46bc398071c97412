//! The suites on other platforms: Windows under Wine, 64-bit Arm under qemu, 32-bit x86 on this processor.
//!
//! On a machine of that platform its own tools are used. Elsewhere the compiler comes from Debian, because its packages
//! hold a compiler, cargo, and the sources of the standard library of one version, from which the library is built for
//! each platform; they are unpacked under `target/cross`. Linkers and emulators are installed, which needs root.

mod compiler;
mod dll;
mod emulation;
mod platform;
mod tools;

pub(crate) use platform::{ARM, WINDOWS, X86};

use crate::interop::output;
use crate::step::{self, Tally};
use crate::tests::{self, is_totals};
use anyhow::Result;
use platform::Platform;
use std::path::{Path, PathBuf};
use std::process::Command;
use tools::Tools;

/// Crates whose tests run; the others are tools of the host.
const CRATES: &[&str] = &["shmx-abi", "shmx-ring", "shmx-os", "shmx", "shmx-cli", "shmx-ipc-tests"];

/// The same, where compiler and libraries are the platform's own: some of their dependencies are in C.
const NATIVE: &[&str] = &["shmx-record", "shmx-patterns"];

/// How many of them the quick form takes. What Linux itself does for the facade is the same on each of its platforms, and
/// the scenarios cover the rest.
const fn quick_crates(platform: &Platform) -> usize {
    if platform.exe.is_empty() { 3 } else { 4 }
}

/// Cases of each property test in the quick form; 256 otherwise.
const QUICK_CASES: &str = "32";

const PLATFORMS: [&Platform; 3] = [&WINDOWS, &ARM, &X86];

/// The quick form for every platform that is not this machine's, `cargo xtask test-others`.
pub(crate) fn others(tally: &mut Tally, in_ci: bool) -> Result<()> {
    for platform in PLATFORMS.iter().filter(|p| !p.here) {
        if platform.is_emulated() {
            // The emulator itself fails now and then where threads and forks meet.
            step::skip(tally, platform.command, "an emulator proves too little here; run it by hand", false)?;
            continue;
        }
        test(tally, platform, true, in_ci)?;
        step::tidy(&tests::target_dir()?.join("cross/build"));
    }
    Ok(())
}

/// Everything for a platform.
pub(crate) fn test(tally: &mut Tally, platform: &Platform, quick: bool, in_ci: bool) -> Result<()> {
    if platform.here {
        return native(tally, quick, in_ci);
    }
    let dir = tests::target_dir()?.join("cross");
    let tools = match Tools::set_up(&dir, platform) {
        Ok(tools) => tools,
        // Not a failure in CI either: there the platform has a runner of its own.
        Err(e) => return step::skip(tally, platform.command, &format!("{e:#}"), false),
    };
    let name = |what: &str| format!("{} ({})", what, platform.triple);
    let mut suites = tools.cargo("test");
    crates(&mut suites, if quick { &CRATES[..quick_crates(platform)] } else { CRATES });
    suites.arg("--no-fail-fast");
    if quick {
        suites.env("PROPTEST_CASES", QUICK_CASES);
    }
    step::counted(tally, &name("tests"), &mut suites, |l| l.starts_with("test result:"))?;

    if quick && platform.is_emulated() {
        // They take long in an emulator, which has this machine's order of memory anyway.
        return step::skip(tally, &name("scenarios"), "the quick form leaves them out in an emulator", false);
    }
    let mut build = tools.cargo("build");
    step::command(tally, &name("build the peer"), build.args(["-p", "shmx-ipc-tests"]))?;
    let foreign = build_foreign(
        &dir.join(format!("foreign-{}{}", platform.triple, platform.exe)),
        platform.linker,
        platform.cflags,
    );
    let mut peer = tools.emulation.run(&tools.peer());
    peer.arg("run");
    if quick {
        peer.arg("--quick");
    }
    match foreign {
        Ok(foreign) => {
            peer.arg("--foreign").arg(tools.emulation.path_there(&foreign));
        }
        Err(e) => step::skip(tally, &name("peer in C"), &format!("{e:#}"), in_ci)?,
    }
    step::counted(tally, &name("scenarios"), &mut peer, is_totals)?;
    if platform.mixes {
        mixed(tally, &tools, quick)?;
    }
    if platform.is_wine() && !quick {
        dll::test(tally, &tools)?;
    }
    Ok(())
}

/// The suites by this machine's own tools; what an emulator cannot do is among them.
pub(crate) fn native(tally: &mut Tally, quick: bool, in_ci: bool) -> Result<()> {
    let mut clippy = step::cargo(&["clippy"]);
    crates(&mut clippy, CRATES);
    crates(&mut clippy, NATIVE);
    step::command(tally, "clippy", clippy.args(["--all-targets", "--", "-D", "warnings"]))?;
    let mut suites = step::cargo(&["test", "--no-fail-fast"]);
    crates(&mut suites, CRATES);
    crates(&mut suites, NATIVE);
    step::counted(tally, "tests", &mut suites, |l| l.starts_with("test result:"))?;
    tests::ipc(tally, quick, None, in_ci)
}

/// The Windows DLL of the C interface, tried under Wine.
pub(crate) fn dll(tally: &mut Tally) -> Result<()> {
    match Tools::set_up(&tests::target_dir()?.join("cross"), &WINDOWS) {
        Ok(tools) => dll::test(tally, &tools),
        Err(e) => step::skip(tally, "windows-dll", &format!("{e:#}"), false),
    }
}

fn crates(command: &mut Command, names: &[&str]) {
    if names.contains(&"shmx") {
        command.args(["--features", "shmx/async"]);
    }
    for name in names {
        command.args(["-p", name]);
    }
}

/// This machine's server with the platform's readers, and the other way round.
fn mixed(tally: &mut Tally, tools: &Tools, quick: bool) -> Result<()> {
    let platform = tools.platform;
    let build = &mut step::cargo(&["build", "--release", "-p", "shmx-ipc-tests"]);
    step::command(tally, "build the peer of this machine", build)?;
    let here = tests::target_dir()?.join("release/shmx-ipc-peer");
    let there = tools.peer();
    let readers = format!("{} {}", platform.runner, there.display());
    let mut ours = Command::new(&here);
    let mut theirs = tools.emulation.run(&there);
    for (peer, readers) in [(&mut ours, readers.trim()), (&mut theirs, &here.display().to_string())] {
        peer.args(["run", "--readers", readers]);
        if quick {
            peer.arg("--quick");
        }
    }
    step::counted(tally, &format!("readers of {}, server of this machine", platform.triple), &mut ours, is_totals)?;
    step::counted(tally, &format!("server of {}, readers of this machine", platform.triple), &mut theirs, is_totals)
}

/// Compiles the peer in C.
pub(crate) fn build_foreign(to: &Path, compiler: &str, flags: &[&str]) -> Result<PathBuf> {
    let source = "crates/shmx-ipc-tests/c/foreign_peer.c";
    let mut c = Command::new(compiler);
    c.args(["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]).args(flags).arg("-o").arg(to);
    output(c.arg(source))?;
    Ok(to.to_owned())
}
