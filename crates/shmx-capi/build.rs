//! Gives the shared library its versioned name, and its own unwinder.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| std::env::var(variable).is_ok_and(|v| v == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") {
        return;
    }
    // cargo-c sets its own.
    if std::env::var_os("CARGO_FEATURE_CAPI").is_none() {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libshmx.so.0");
    }
    // So that the library needs nothing but the C library. Where the archive is not found it needs libgcc_s.
    let native = std::env::var("HOST").ok() == std::env::var("TARGET").ok();
    if native
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && let Some(archive) = unwinder()
        && let Some(folder) = archive.parent()
    {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static:+whole-archive,-bundle=gcc_eh");
    }
}

/// The C compiler's static unwinder.
fn unwinder() -> Option<PathBuf> {
    let out = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = String::from_utf8(out.stdout).ok()?;
    let path = Path::new(path.trim());
    (path.is_absolute() && path.exists()).then(|| path.to_owned())
}
