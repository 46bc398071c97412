//! A Rust compiler with the sources of its library, out of Debian's packages: unpacked, not installed, so that it needs no
//! root and leaves the machine as it is.

use crate::interop::output;
use crate::step;
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;

/// Unpacks it into this folder, with package lists of its own, so that the machine's stay as they are.
pub(super) fn unpack(dir: &Path) -> Result<()> {
    let marker = dir.join("bin/ready");
    if marker.exists() {
        return Ok(());
    }
    step::head(format_args!("setting up {}", dir.display()));
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
