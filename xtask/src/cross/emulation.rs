//! Running a platform's programs on this machine: the environment that qemu and Wine need, and what Wine needs besides.

use super::platform::{Platform, WINE};
use crate::interop::output;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What runs the programs of a platform; where this machine does, that is nothing.
pub(super) struct Emulation<'p> {
    platform: &'p Platform,
    dir: PathBuf,
}

impl<'p> Emulation<'p> {
    /// Sets it up in this folder; the second time it finds everything in place.
    pub(super) fn set_up(dir: &Path, platform: &'p Platform) -> Result<Self> {
        let emulation = Self { platform, dir: dir.to_owned() };
        if platform.is_wine() {
            emulation.wine().context("set up Wine")?;
        }
        Ok(emulation)
    }

    /// A program of the platform.
    pub(super) fn run(&self, program: &Path) -> Command {
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

    /// A path as the platform's programs write it.
    pub(super) fn path_there(&self, path: &Path) -> String {
        let path = path.display().to_string();
        if self.platform.is_wine() { format!("Z:{}", path.replace('/', "\\")) } else { path }
    }

    /// What a program that starts others needs to know.
    pub(super) fn environment(&self, command: &mut Command) {
        if self.platform.is_wine() {
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

impl Drop for Emulation<'_> {
    fn drop(&mut self) {
        if self.platform.is_wine() {
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
