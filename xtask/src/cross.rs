//! The suites on other platforms: Windows under Wine, 64-bit Arm under qemu, 32-bit x86 on this processor.
//!
//! The compiler comes from Debian, because its packages hold a compiler, cargo, and the sources of the standard library
//! of one version; the library is built from these for each platform. The packages are unpacked under
//! `target/cross`, not installed, and need no root. Linkers and emulators are installed, and that does.

mod dll;

use crate::interop::{self, output};
use crate::step::{self, Tally};
use crate::tests::{self, is_totals};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What has to be known of a platform.
pub(crate) struct Platform {
    command: &'static str,
    triple: &'static str,
    /// Debian packages, and the programs that are there once they are installed.
    packages: &'static [&'static str],
    programs: &'static [&'static str],
    linker: &'static str,
    /// Words before a program's path; empty where this machine runs it.
    runner: &'static str,
    rustflags: &'static str,
    /// For the peer in C.
    cflags: &'static [&'static str],
    exe: &'static str,
    /// Whether its programs and this machine's see each other's memory.
    mixes: bool,
    /// This machine is one.
    here: bool,
}

impl Platform {
    /// Whether another processor is imitated.
    fn is_emulated(&self) -> bool {
        !self.runner.is_empty() && self.runner != WINE
    }
}

pub(crate) const WINDOWS: Platform = Platform {
    command: "test-windows",
    triple: "x86_64-pc-windows-gnu",
    packages: &["wine64", "gcc-mingw-w64-x86-64-win32"],
    programs: &[WINE, "/usr/bin/x86_64-w64-mingw32-gcc"],
    linker: "x86_64-w64-mingw32-gcc",
    runner: WINE,
    rustflags: "",
    cflags: &[],
    exe: ".exe",
    mixes: false,
    here: cfg!(windows),
};

pub(crate) const ARM: Platform = Platform {
    command: "test-arm",
    triple: "aarch64-unknown-linux-gnu",
    packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"],
    programs: &["/usr/bin/aarch64-linux-gnu-gcc", "/usr/aarch64-linux-gnu/lib/libc.so.6", "/usr/bin/qemu-aarch64"],
    linker: "aarch64-linux-gnu-gcc",
    runner: "/usr/bin/qemu-aarch64 -L /usr/aarch64-linux-gnu",
    rustflags: "",
    cflags: &["-pthread"],
    exe: "",
    mixes: true,
    here: cfg!(all(target_os = "linux", target_arch = "aarch64")),
};

pub(crate) const X86: Platform = Platform {
    command: "test-32bit",
    triple: "i686-unknown-linux-gnu",
    packages: &["gcc-i686-linux-gnu", "libc6-dev-i386-cross"],
    programs: &["/usr/bin/i686-linux-gnu-gcc", "/usr/i686-linux-gnu/lib/ld-linux.so.2"],
    linker: "i686-linux-gnu-gcc",
    runner: "",
    // This machine's own places for 32-bit libraries may be empty.
    rustflags: "-Clink-arg=-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2 \
                -Clink-arg=-Wl,-rpath,/usr/i686-linux-gnu/lib",
    cflags: &[
        "-pthread",
        "-march=i686",
        "-msse2",
        "-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2",
        "-Wl,-rpath,/usr/i686-linux-gnu/lib",
    ],
    exe: "",
    mixes: true,
    here: cfg!(all(target_os = "linux", target_arch = "x86")),
};

const WINE: &str = "/usr/lib/wine/wine64";

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
    let mut peer = tools.run(&tools.peer());
    peer.arg("run");
    if quick {
        peer.arg("--quick");
    }
    match foreign {
        Ok(foreign) => {
            peer.arg("--foreign").arg(tools.path_there(&foreign));
        }
        Err(e) => step::skip(tally, &name("peer in C"), &format!("{e:#}"), in_ci)?,
    }
    step::counted(tally, &name("scenarios"), &mut peer, is_totals)?;
    if platform.mixes {
        mixed(tally, &tools, quick)?;
    }
    if platform.runner == WINE && !quick {
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
    let mut theirs = tools.run(&there);
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

/// A compiler for a platform, and what runs its programs.
struct Tools<'p> {
    platform: &'p Platform,
    dir: PathBuf,
}

impl<'p> Tools<'p> {
    /// The second time this finds everything in place.
    fn set_up(dir: &Path, platform: &'p Platform) -> Result<Self> {
        ensure!(cfg!(all(target_os = "linux", target_arch = "x86_64")), "it needs an x86-64 Debian");
        ensure!(output(Command::new("dpkg").arg("--version")).is_ok(), "it needs Debian 12 or later: no dpkg here");
        std::fs::create_dir_all(dir)?;
        // Linker, C library and emulator.
        interop::debian(platform.programs, platform.packages)?;
        rust(dir).context("a Rust compiler with sources of its library, from Debian (rustc-web, rust-web-src)")?;
        let tools = Self { platform, dir: dir.to_owned() };
        if platform.runner == WINE {
            tools.wine().context("set up Wine")?;
        }
        Ok(tools)
    }

    fn cargo(&self, command: &str) -> Command {
        let platform = self.platform;
        let triple = platform.triple.to_uppercase().replace('-', "_");
        let mut c = Command::new(self.dir.join("bin/cargo"));
        c.arg(command);
        for stale in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTDOCFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            c.env_remove(stale);
        }
        c.env("RUSTC", self.dir.join("bin/rustc")).env("RUSTDOC", self.dir.join("bin/rustdoc"));
        // Building the library is a matter of unstable options, which this permits on a stable compiler.
        c.env("RUSTC_BOOTSTRAP", "1").env("CARGO_UNSTABLE_BUILD_STD", "std,panic_unwind,test");
        c.env("CARGO_BUILD_TARGET", platform.triple).env("CARGO_TARGET_DIR", self.dir.join("build"));
        c.env(format!("CARGO_TARGET_{triple}_LINKER"), platform.linker);
        if !platform.rustflags.is_empty() {
            c.env(format!("CARGO_TARGET_{triple}_RUSTFLAGS"), platform.rustflags);
            c.env("RUSTDOCFLAGS", platform.rustflags);
        }
        if !platform.runner.is_empty() {
            c.env(format!("CARGO_TARGET_{triple}_RUNNER"), platform.runner);
        }
        // Half of the time goes into building.
        c.env("CARGO_PROFILE_DEV_DEBUG", "0");
        self.environment(&mut c);
        c
    }

    /// A program of the platform.
    fn run(&self, program: &Path) -> Command {
        let mut words = self.platform.runner.split_whitespace();
        let mut c = match words.next() {
            Some(first) => {
                let mut c = Command::new(first);
                c.args(words).arg(program);
                c
            }
            None => Command::new(program),
        };
        self.environment(&mut c);
        c
    }

    fn environment(&self, command: &mut Command) {
        if self.platform.runner == WINE {
            command
                .env("WINEPREFIX", self.prefix())
                .env("WINEDEBUG", "-all")
                .env("WINEDLLOVERRIDES", "mscoree=;mshtml=");
        } else if !self.platform.runner.is_empty() {
            // Under Wine a program starts others by itself; under qemu it has to be told how.
            command.env("SHMX_RUNNER", self.platform.runner);
            // The emulator's library keeps small memory under a lock of its own, which a fork amid other threads may
            // find held, and then the child waits for ever. The C library's allocator survives a fork.
            command.env("G_SLICE", "always-malloc");
        }
    }

    fn peer(&self) -> PathBuf {
        let platform = self.platform;
        self.dir.join(format!("build/{}/debug/shmx-ipc-peer{}", platform.triple, platform.exe))
    }

    /// A path as the platform's programs write it.
    fn path_there(&self, path: &Path) -> String {
        let path = path.display().to_string();
        if self.platform.runner == WINE { format!("Z:{}", path.replace('/', "\\")) } else { path }
    }

    fn prefix(&self) -> PathBuf {
        self.dir.join("wine")
    }

    fn wine_server(&self, argument: &str) -> Command {
        let mut server = Command::new(WINE.replace("wine64", "wineserver"));
        self.environment(&mut server);
        // It goes on, and must hold nobody's pipe open.
        server.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        server
    }

    fn wine(&self) -> Result<()> {
        // It ends by itself with its last program, and a test that starts at that moment finds it gone: so it stays,
        // also while the tests are built, until they are over. Where it cannot be started here, the first program starts
        // one, as always.
        std::fs::create_dir_all(self.prefix())?;
        let _ = self.wine_server("--persistent").status();
        let mut boot = Command::new(WINE);
        self.environment(&mut boot);
        // Also where all is set up: it leaves services behind that stay as long as the server does, and a pipe that they
        // inherit from a program would never end.
        boot.args(["wineboot", "--init"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = boot.status().context("start wineboot")?;
        ensure!(status.success(), "wineboot: {status}");
        let marker = self.prefix().join("ready");
        if marker.exists() {
            return Ok(());
        }
        // Programs of Rust import this library of Windows 10, which Wine 8 has not; without it they end in silence.
        let system = self.prefix().join("drive_c/windows/system32");
        let library = system.join("bcryptprimitives.dll");
        if !library.exists() {
            let source = self.dir.join("bcryptprimitives.c");
            std::fs::write(&source, BCRYPT_PRIMITIVES)?;
            let mut c = Command::new(self.platform.linker);
            c.args(["-O2", "-shared", "-s", "-o"]).arg(&library).arg(&source).arg("-ladvapi32");
            output(&mut c)?;
        }
        std::fs::write(marker, "")?;
        Ok(())
    }
}

impl Drop for Tools<'_> {
    fn drop(&mut self) {
        if self.platform.runner == WINE {
            let _ = self.wine_server("--kill").status();
        }
    }
}

const BCRYPT_PRIMITIVES: &str = r"
#include <windows.h>
/* RtlGenRandom, under the name that the system library exports it by. */
BOOLEAN NTAPI SystemFunction036(PVOID out, ULONG len);
__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *out, SIZE_T len)
{
    for (SIZE_T done = 0; done < len;) {
        SIZE_T rest = len - done;
        ULONG step = rest > 0x10000000 ? 0x10000000 : (ULONG)rest;
        if (!SystemFunction036(out + done, step)) return FALSE;
        done += step;
    }
    return TRUE;
}
";

/// Unpacks the compiler, with package lists of its own, so that the machine's stay as they are.
fn rust(dir: &Path) -> Result<()> {
    let marker = dir.join("bin/ready");
    if marker.exists() {
        return Ok(());
    }
    crate::step::head(format_args!("setting up {}", dir.display()));
    let (lists, cache, root) = (dir.join("apt/lists"), dir.join("apt/cache"), dir.join("rust"));
    for fresh in [&lists, &cache, &root, &dir.join("bin")] {
        if fresh.exists() {
            std::fs::remove_dir_all(fresh)?;
        }
        std::fs::create_dir_all(fresh)?;
    }
    std::fs::create_dir_all(lists.join("partial"))?;
    std::fs::create_dir_all(cache.join("archives/partial"))?;
    let apt = |program: &str| {
        let mut c = Command::new(program);
        let own = |key: &str, path: &Path| format!("{key}={}", path.display());
        c.arg("-q").arg("-o").arg(own("Dir::State::Lists", &lists)).arg("-o").arg(own("Dir::Cache", &cache));
        c.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]).env("DEBIAN_FRONTEND", "noninteractive");
        c
    };
    output(apt("apt-get").arg("update"))?;
    let policy = output(apt("apt-cache").args(["policy", "rust-web-src"]))?;
    let version = policy.lines().find_map(|l| l.trim().strip_prefix("Candidate: ")).unwrap_or("(none)");
    ensure!(version != "(none)", "there is no rust-web-src in this system's packages");
    let minor = version.split('.').nth(1).and_then(|m| m.parse::<u32>().ok()).unwrap_or(0);
    ensure!(version.starts_with("1.") && minor >= 95, "rust-web-src has version {version}, 1.95 or later is needed");
    // All of one version, and what they need that is not installed.
    let mut download = apt("apt-get");
    download.args(["install", "--yes", "--no-install-recommends", "--download-only", "--reinstall"]);
    output(download.args(["rustc-web", "cargo-web", "rust-web-src"].map(|name| format!("{name}={version}"))))?;
    for entry in std::fs::read_dir(cache.join("archives"))? {
        let package = entry?.path();
        if package.extension().is_some_and(|e| e == "deb") {
            output(Command::new("dpkg").arg("--extract").arg(&package).arg(&root))?;
            std::fs::remove_file(&package)?;
        }
    }
    let usr = root.join("usr");
    for program in ["cargo", "rustc", "rustdoc"] {
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{0}/lib/x86_64-linux-gnu' exec '{0}/bin/{program}' \"$@\"\n",
            usr.display()
        );
        let path = dir.join("bin").join(program);
        std::fs::write(&path, script)?;
        output(Command::new("chmod").arg("+x").arg(&path))?;
    }
    let found = output(Command::new(dir.join("bin/rustc")).arg("--version"))?;
    println!("   {}", found.trim());
    std::fs::write(marker, version)?;
    Ok(())
}
