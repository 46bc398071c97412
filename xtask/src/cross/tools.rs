//! A compiler for a platform, and what runs its programs.

use super::compiler;
use super::emulation::Emulation;
use super::platform::Platform;
use crate::interop::{self, output};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A compiler for a platform, and what runs its programs.
pub(super) struct Tools<'p> {
    pub(super) platform: &'p Platform,
    pub(super) dir: PathBuf,
    pub(super) emulation: Emulation<'p>,
}

impl<'p> Tools<'p> {
    /// The second time this finds everything in place.
    pub(super) fn set_up(dir: &Path, platform: &'p Platform) -> Result<Self> {
        ensure!(cfg!(all(target_os = "linux", target_arch = "x86_64")), "it needs an x86-64 Debian");
        ensure!(output(Command::new("dpkg").arg("--version")).is_ok(), "it needs Debian 12 or later: no dpkg here");
        std::fs::create_dir_all(dir)?;
        // Linker, C library and emulator.
        interop::debian(platform.programs, platform.packages)?;
        compiler::unpack(dir)
            .context("a Rust compiler with sources of its library, from Debian (rustc-web, rust-web-src)")?;
        let emulation = Emulation::set_up(dir, platform)?;
        Ok(Self { platform, dir: dir.to_owned(), emulation })
    }

    pub(super) fn cargo(&self, command: &str) -> Command {
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
        self.emulation.environment(&mut c);
        c
    }

    pub(super) fn peer(&self) -> PathBuf {
        let platform = self.platform;
        self.dir.join(format!("build/{}/debug/shmx-ipc-peer{}", platform.triple, platform.exe))
    }
}
