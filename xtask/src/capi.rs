//! The C and C++ interfaces: header, installation, tests.

mod cmake;
mod compat;
mod deb;
mod header;
mod install;
mod programs;
mod speed;

use crate::interop::{self, output};
use crate::python;
use crate::step::{self, Tally, cargo};
use crate::tests::target_dir;
use anyhow::{Context, Result, ensure};
use programs::{Bench, Link, Peer, Recipe, TESTS};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo xtask capi-header`.
pub(crate) fn header(tally: &mut Tally, check: bool) -> Result<()> {
    step::check(tally, "C header", || header::make(&target_dir()?, check))
}

/// `cargo xtask install` and `uninstall`.
pub(crate) fn install(tally: &mut Tally, prefix: &Path, uninstall: bool) -> Result<()> {
    let prefix = install::Prefix::new(prefix)?;
    if uninstall {
        return step::check(tally, "uninstall", || prefix.uninstall());
    }
    step::check(tally, "install", || prefix.install(&target_dir()?, &version()?))
}

/// `cargo xtask deb`.
pub(crate) fn deb(tally: &mut Tally, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "Debian package", "it is made on Linux", false);
    }
    deb::test(tally, &target_dir()?, in_ci)
}

/// The same as `cargo xtask install --prefix PREFIX` with DESTDIR.
pub(crate) fn install_below(prefix: &Path, destdir: &Path) -> Result<()> {
    install::Prefix::at(prefix, Some(destdir))?.install(&target_dir()?, &version()?)
}

/// `cargo xtask capi-speed`.
pub(crate) fn speed(tally: &mut Tally, in_ci: bool) -> Result<()> {
    speed::measure(tally, &target_dir()?, in_ci)
}

/// The workspace's version.
fn version() -> Result<String> {
    let text = std::fs::read_to_string("Cargo.toml")?;
    let line = text.lines().find_map(|l| l.strip_prefix("version = \"")).context("no version in Cargo.toml")?;
    Ok(line.trim_end_matches('"').to_owned())
}

/// `cargo xtask test-capi`: everything, or with `--quick` its core.
pub(crate) fn test(tally: &mut Tally, quick: bool, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "C interface", "the programs are written for Linux", false);
    }
    let target = target_dir()?;
    if let Err(e) = output(Command::new("g++").arg("--version")) {
        return step::skip(tally, "C interface", &format!("no g++: {e:#}"), in_ci);
    }
    match header::make(&target, true) {
        // The tool comes from the registry.
        Err(e) if format!("{e:#}").contains("build cbindgen") => {
            step::skip(tally, "C header", &format!("{e:#}"), in_ci)?;
        }
        other => step::check(tally, "C header", || other)?,
    }
    let mut build =
        cargo(&["build", "--release", "-p", "shmx-capi", "--lib", "--example", "peer", "--example", "pieces"]);
    // Incremental builds are larger.
    step::command(tally, "build libshmx", build.env("CARGO_INCREMENTAL", "0"))?;
    let bench = Bench::new(&target)?;
    step::check(tally, "symbols of libshmx", || symbols(&bench))?;
    let clang = match output(Command::new("clang++").arg("--version")) {
        Ok(_) => Ok(()),
        Err(_) => interop::debian(&["/usr/bin/clang++"], &["clang"]),
    };
    if let Err(e) = &clang {
        step::skip(tally, "the programs by clang++", &format!("{e:#}"), in_ci)?;
    }
    features(tally, &bench, quick, clang.is_ok())?;
    let mut peers = own_peers(tally, &bench, &target, "peer")?;
    let in_pieces = own_peers(tally, &bench, &target, "pieces")?;
    followed(tally, &in_pieces, quick)?;
    compat::test(tally, &bench, &target, quick, in_ci, &mut peers)?;
    if !quick {
        match python::with_package(tally) {
            Ok(python) => {
                let command = vec![python, format!("{TESTS}/python/peer.py").into()];
                peers.push(Peer { label: "our Python", command, leaves: false, slow: true });
            }
            Err(e) => step::skip(tally, "our Python", &format!("{e:#}"), in_ci)?,
        }
    }
    pairs(tally, &peers, quick)?;
    if !quick {
        checked(tally, &bench, in_ci)?;
    }
    cmake::test(tally, &target, quick, in_ci)?;
    if !quick {
        deb::test(tally, &target, in_ci)?;
    }
    Ok(())
}

/// The core of it, with the libraries that the tests were built with: seconds.
pub(crate) fn core(tally: &mut Tally) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "C interface", "the programs are written for Linux", false);
    }
    if let Err(e) = output(Command::new("g++").arg("--version")) {
        return step::skip(tally, "C interface", &format!("no g++: {e:#}"), false);
    }
    let bench = Bench::of_tests(&target_dir()?)?;
    let source = |name: &str| format!("{TESTS}/{name}");
    let (c, cpp) = ([source("c/features.c")], [source("cpp/features.cpp"), source("cpp/other.cpp")]);
    for (name, compiler, flags, sources) in [("core in C", "gcc", C, &c[..]), ("core in C++", "g++", CXX, &cpp[..])] {
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        step::check(tally, name, || {
            let recipe = Recipe { compiler, flags, sources: &sources, link: Link::Shared, strict: true };
            whole(Command::new(bench.compile(compiler, &recipe)?))
        })?;
    }
    Ok(())
}

/// Only `shmx_` names are visible, all that there ever were are there, and nothing but the C library is needed.
fn symbols(bench: &Bench) -> Result<()> {
    let library = bench.lib.join("libshmx.so.0");
    let text = output(Command::new("nm").args(["-D", "--defined-only"]).arg(&library))?;
    let names: BTreeSet<&str> = text.lines().filter_map(|l| l.split_whitespace().nth(2)).collect();
    let foreign: Vec<&&str> = names.iter().filter(|n| !n.starts_with("shmx_")).collect();
    ensure!(foreign.is_empty(), "these are visible: {foreign:?}");
    let listed = std::fs::read_to_string(format!("{TESTS}/abi/symbols.txt"))?;
    let listed: BTreeSet<&str> = listed.lines().collect();
    let gone: Vec<_> = listed.difference(&names).collect();
    ensure!(gone.is_empty(), "these were promised and are gone: {gone:?}");
    let new: Vec<_> = names.difference(&listed).collect();
    ensure!(new.is_empty(), "add these to {TESTS}/abi/symbols.txt, and raise SHMX_ABI_VERSION: {new:?}");
    let needs = output(Command::new("readelf").arg("-d").arg(&library))?;
    ensure!(needs.contains("Library soname: [libshmx.so.0]"), "no versioned soname");
    let needs: Vec<&str> = needs.lines().filter(|l| l.contains("(NEEDED)")).collect();
    let foreign: Vec<_> = needs.iter().filter(|l| !l.contains("[libc.so") && !l.contains("[ld-linux")).collect();
    ensure!(foreign.is_empty(), "it needs more than the C library: {foreign:?}");
    let bytes = bench.dir.join("stripped.so");
    output(Command::new("strip").arg("-o").arg(&bytes).arg(&library))?;
    let bytes = std::fs::metadata(bytes)?.len();
    println!("   {} functions, {} KB stripped", names.len(), bytes / 1000);
    ensure!(bytes < 1_500_000, "{bytes} bytes");
    Ok(())
}

const C: &[&str] = &["-std=c11"];
const C_AS_CXX: &[&str] = &["-x", "c++", "-std=c++20"];
const CXX: &[&str] = &["-std=c++20"];
const BARE: &[&str] = &["-std=c++20", "-fno-exceptions", "-fno-rtti"];

/// What the check is called, compiler, flags, sources, and how it is linked.
type Feature<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str], Link);

/// Everything in one process, misuse included; the headers of earlier versions with the library of now.
fn features(tally: &mut Tally, bench: &Bench, quick: bool, clang: bool) -> Result<()> {
    let c = format!("{TESTS}/c/features.c");
    let cpp = [format!("{TESTS}/cpp/features.cpp"), format!("{TESTS}/cpp/other.cpp")];
    let cpp: Vec<&str> = cpp.iter().map(String::as_str).collect();
    let (waits_c, waits_cpp) = (format!("{TESTS}/c/waits.c"), format!("{TESTS}/cpp/waits.cpp"));
    let (waits_c, waits_cpp): (&[&str], &[&str]) = (&[&waits_c], &[&waits_cpp]);
    let first = format!("-I{TESTS}/abi/1");
    let first: &[&str] = &["-std=c11", &first];
    let second = format!("-I{TESTS}/abi/2");
    let second: &[&str] = &["-std=c11", &second];
    let third = format!("-I{TESTS}/abi/3");
    let third: &[&str] = &["-std=c11", &third];
    let (follow_c, follow_cpp) = (format!("{TESTS}/c/follow.c"), format!("{TESTS}/cpp/follow.cpp"));
    let (follow_c, follow_cpp): (&[&str], &[&str]) = (&[&follow_c], &[&follow_cpp]);
    let c: &[&str] = &[&c];
    let mut all: Vec<Feature<'_>> = vec![
        ("features in C", "gcc", C, c, Link::Shared),
        ("features in C, as C++", "g++", C_AS_CXX, c, Link::Shared),
        ("features in C, by the first header", "gcc", first, c, Link::Shared),
        ("features in C++", "g++", CXX, &cpp, Link::Shared),
        ("features in C++, bare and static", "g++", BARE, &cpp, Link::Static),
        ("waits in C", "gcc", C, waits_c, Link::Shared),
        ("waits in C, by the second header", "gcc", second, waits_c, Link::Shared),
        ("waits in C, by the third header", "gcc", third, waits_c, Link::Shared),
        ("waits in C++", "g++", CXX, waits_cpp, Link::Shared),
        ("followed frames in C", "gcc", C, follow_c, Link::Shared),
        ("followed frames in C++", "g++", CXX, follow_cpp, Link::Shared),
    ];
    if !quick {
        all.push(("features in C, static", "gcc", C, c, Link::Static));
        all.push(("features in C++, bare", "g++", BARE, &cpp, Link::Shared));
        all.push(("waits in C++, bare and static", "g++", BARE, waits_cpp, Link::Static));
        all.push(("followed frames in C, as C++", "g++", C_AS_CXX, follow_c, Link::Shared));
        all.push(("followed frames in C++, bare and static", "g++", BARE, follow_cpp, Link::Static));
    }
    if clang {
        all.push(("features in C++, by clang++", "clang++", CXX, &cpp, Link::Shared));
        all.push(("features in C, by clang", "clang", C, c, Link::Shared));
        all.push(("waits in C++, by clang++", "clang++", BARE, waits_cpp, Link::Shared));
        all.push(("followed frames in C++, by clang++", "clang++", BARE, follow_cpp, Link::Shared));
    }
    if clang && !quick {
        all.push(("features in C++, bare, by clang++", "clang++", BARE, &cpp, Link::Static));
    }
    for (i, (name, compiler, flags, sources, link)) in all.into_iter().enumerate() {
        step::check(tally, name, || {
            let recipe = Recipe { compiler, flags, sources, link, strict: true };
            let program = bench.compile(&format!("features-{i}"), &recipe)?;
            whole(Command::new(program))
        })?;
    }
    Ok(())
}

/// Runs a program with the name of a region, of which nothing may be left.
fn whole(mut command: Command) -> Result<()> {
    let name = programs::region();
    let said = programs::run(command.arg(&name));
    let stayed = programs::left(&name);
    let said = said?;
    ensure!(said.trim_end().ends_with(": ok"), "it said {said}");
    ensure!(!stayed, "it left its region behind");
    Ok(())
}

/// A program of tests/README.md in each of our languages.
fn own_peers(tally: &mut Tally, bench: &Bench, target: &Path, program: &str) -> Result<Vec<Peer>> {
    let rust = vec![target.join("release/examples").join(program)];
    let mut peers = vec![Peer { label: "Rust", command: rust, leaves: false, slow: false }];
    step::check(tally, &format!("{program} in C and C++"), || {
        for (label, folder, compiler, flags) in [("C", "c", "gcc", C), ("C++", "cpp", "g++", CXX)] {
            let source = format!("{TESTS}/{folder}/{program}.{folder}");
            let recipe = Recipe { compiler, flags, sources: &[&source], link: Link::Shared, strict: true };
            let command = vec![bench.compile(&format!("{program}-{folder}"), &recipe)?];
            peers.push(Peer { label, command, leaves: false, slow: false });
        }
        Ok(())
    })?;
    Ok(peers)
}

/// Frames in pieces, from every language to every other one.
fn followed(tally: &mut Tally, peers: &[Peer], quick: bool) -> Result<()> {
    for (s, server) in peers.iter().enumerate() {
        for (r, reader) in peers.iter().enumerate() {
            // Rust with itself is a test of the facade.
            if (s == 0 && r == 0) || (quick && s != 0 && r != 0) {
                continue;
            }
            let name = format!("{} hands out frames in pieces and is killed, {} follows", server.label, reader.label);
            step::check(tally, &name, || programs::pieces(server, reader))?;
        }
    }
    Ok(())
}

/// Every peer with every other one; in the quick form the first one with each.
fn pairs(tally: &mut Tally, peers: &[Peer], quick: bool) -> Result<()> {
    let ticks = if quick { 1000 } else { 5000 };
    for (s, server) in peers.iter().enumerate() {
        for (r, reader) in peers.iter().enumerate() {
            let foreign = |p: &Peer| p.label.starts_with("the original");
            // What the original does with itself is not ours to test.
            if (s == 0 && r == 0) || (foreign(server) && foreign(reader)) || (quick && s != 0 && r != 0) {
                continue;
            }
            let name = format!("{} serves, {} reads", server.label, reader.label);
            step::check(tally, &name, || programs::pair(server, reader, ticks))?;
        }
    }
    Ok(())
}

/// Memory: valgrind's memcheck, then AddressSanitizer, LeakSanitizer and UBSan on the side of C.
fn checked(tally: &mut Tally, bench: &Bench, in_ci: bool) -> Result<()> {
    let sources = |list: &[&str]| -> Vec<String> { list.iter().map(|s| format!("{TESTS}/{s}")).collect() };
    let programs = [
        ("features in C", "gcc", C, sources(&["c/features.c"])),
        ("waits in C", "gcc", C, sources(&["c/waits.c"])),
        ("features in C++", "g++", CXX, sources(&["cpp/features.cpp", "cpp/other.cpp"])),
        ("waits in C++", "g++", CXX, sources(&["cpp/waits.cpp"])),
        ("followed frames in C", "gcc", C, sources(&["c/follow.c"])),
        ("followed frames in C++", "g++", CXX, sources(&["cpp/follow.cpp"])),
    ];
    let valgrind = output(Command::new("valgrind").arg("--version"));
    if let Err(e) = &valgrind {
        step::skip(tally, "memcheck", &format!("no valgrind: {e:#}"), in_ci)?;
    }
    for (label, compiler, flags, sources) in &programs {
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        let build = |name: &str, more: &[&str]| {
            let flags: Vec<&str> = flags.iter().chain(more).copied().collect();
            let recipe = Recipe { compiler, flags: &flags, sources: &sources, link: Link::Shared, strict: true };
            bench.compile(name, &recipe)
        };
        if valgrind.is_ok() {
            step::check(tally, &format!("memcheck of the {label}"), || {
                let mut c = Command::new("valgrind");
                c.args([
                    "--quiet",
                    "--error-exitcode=9",
                    "--leak-check=full",
                    "--errors-for-leak-kinds=definite,indirect",
                ]);
                c.arg(build(&format!("memcheck-{}", label.replace(' ', "-")), &["-g"])?);
                whole(c)
            })?;
        }
        step::check(tally, &format!("ASan and UBSan of the {label}"), || {
            let flags =
                ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-error=maybe-uninitialized"];
            let mut c = Command::new(build(&format!("asan-{}", label.replace(' ', "-")), &flags)?);
            c.env("ASAN_OPTIONS", "detect_leaks=1");
            whole(c)
        })?;
    }
    Ok(())
}

/// A Python environment with CMake and the original's package, as the other tests have it.
fn cmake(target: &Path) -> Result<PathBuf> {
    if output(Command::new("cmake").arg("--version")).is_ok() {
        return Ok("cmake".into());
    }
    let python = interop::python(target)?;
    let cmake = python.parent().context("no directory of scripts")?.join("cmake");
    ensure!(cmake.exists(), "no cmake in {}", cmake.display());
    Ok(cmake)
}
