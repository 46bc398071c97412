//! `cargo xtask kill-steps`: processes that are killed behind every instruction that others can notice.

use crate::orderings::copy_crates;
use crate::step::{self, Tally, cargo};
use crate::tests::{is_totals, target_dir};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A fault of the library that the steps of one operation must find.
struct Fault {
    name: &'static str,
    /// In `crates/`.
    file: &'static str,
    from: &'static str,
    to: &'static str,
    operation: &'static str,
    part: &'static str,
    /// What is said about it.
    finding: &'static str,
}

/// All of them are put into one copy: each shows only in the middle of its own operation.
const FAULTS: &[Fault] = &[
    Fault {
        name: "who leaves takes its tag away first",
        file: "shmx-ring/src/readers.rs",
        from: "    slot.heartbeat.store(0, Ordering::Release);\n",
        to: "    slot.ext_tag.store(0, Ordering::Release);\n    slot.heartbeat.store(0, Ordering::Release);\n",
        operation: "detach",
        part: "kills",
        finding: "reader slot 1 of nobody",
    },
    Fault {
        name: "a message is visible before it is written",
        file: "shmx-ring/src/control.rs",
        from: "    let offset = placement.offset.ok_or(PlaceError::Full)?;\n",
        to: "    let offset = placement.offset.ok_or(PlaceError::Full)?;\n    \
             ring.head.write.store(placement.next, Ordering::Release);\n",
        operation: "send-over-the-end",
        part: "kills",
        finding: "message",
    },
    Fault {
        name: "a claim that meets a lease forgets to restore the stamp",
        file: "shmx-ring/src/writer.rs",
        from: "    if leased(&slot, Ordering::SeqCst) {\n        slot.head.ext_stamp.store(stamp, Ordering::Release);\n",
        to: "    if leased(&slot, Ordering::SeqCst) {\n",
        operation: "publish",
        part: "pairs",
        finding: "were used",
    },
    Fault {
        name: "who takes over tells the readers after it has the lock",
        file: "shmx/src/remove.rs",
        from: "        tell_readers(existing);\n        *told = true;\n    }\n    existing.try_lock(LockByte::Server)\n",
        to: "        *told = true;\n    }\n    let taken = existing.try_lock(LockByte::Server);\n    tell_readers(existing);\n    \
             taken\n",
        operation: "take-over",
        part: "pairs",
        finding: "the dead server is",
    },
    Fault {
        name: "a frame is visible before its header is written",
        file: "shmx-ring/src/writer.rs",
        from: "        head.session_id_copy.store(meta.session_id, Ordering::Relaxed);\n",
        to: "        head.payload_bytes.store(meta.payload_bytes, Ordering::Release);\n        \
             head.ext_stamp.store(claim.next_stamp() | meta.marks.to_wire(), Ordering::Release);\n        \
             head.session_id_copy.store(meta.session_id, Ordering::Relaxed);\n",
        operation: "publish-records",
        part: "kills",
        finding: "a torn frame",
    },
    Fault {
        name: "an object that cannot be mapped leaves its descriptor",
        file: "shmx-os/src/linux/reserve.rs",
        from: ".map_err(|error| CreateError::os(\"map the new object\", error))",
        to: ".map_err(|error| {\n            std::mem::forget(rustix::io::dup(fd));\n            \
             CreateError::os(\"map the new object\", error)\n        })",
        operation: "create",
        part: "errors",
        finding: "descriptors and mappings",
    },
];

const CRATES: &[&str] = &["shmx-abi", "shmx-ring", "shmx-os", "shmx", "shmx-ipc-tests"];

/// `cargo xtask kill-steps --faults`: each fault is found.
pub(crate) fn faults(tally: &mut Tally, target: &Path) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return step::skip(tally, "kill-steps with faults", "it is written for Linux on x86-64", false);
    }
    let copy = target.join("kill-steps/tree");
    copy_crates(&copy, CRATES)?;
    for fault in FAULTS {
        let path = copy.join("crates").join(fault.file);
        let source = fs::read_to_string(&path)?;
        ensure!(source.matches(fault.from).count() == 1, "{}: the text to change is not there once", fault.name);
        fs::write(&path, source.replacen(fault.from, fault.to, 1))?;
    }
    // What others wrote is built already, and this is built once.
    let mut build = cargo(&["build", "--release", "-p", "shmx-ipc-tests"]);
    for krate in CRATES {
        build.args(["--config", &format!("profile.release.package.{krate}.opt-level=0")]);
    }
    build.current_dir(&copy).env("CARGO_TARGET_DIR", target);
    step::command(tally, "build with every fault", &mut build)?;
    // The next build of the right one takes its place.
    let faulty = target.join("kill-steps/shmx-ipc-peer");
    fs::rename(target.join("release/shmx-ipc-peer"), &faulty)?;
    for fault in FAULTS {
        step::check(tally, &format!("{}: found by {}", fault.name, fault.operation), || {
            let mut peer = Command::new(&faulty);
            peer.args(["steps-of", fault.operation, "--first", "yes", "--part", fault.part]);
            let out = peer.output().context("start the peer")?;
            let said = String::from_utf8_lossy(&out.stdout);
            let found = said.lines().find(|l| l.starts_with("FAILED ") && l.contains(fault.finding));
            println!("   {}", found.context(format!("it was not found: {said}"))?);
            Ok(())
        })?;
    }
    Ok(())
}

pub(crate) fn run(tally: &mut Tally, quick: bool, only: Option<&str>) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return step::skip(tally, "kill-steps", "it is written for Linux on x86-64", false);
    }
    step::command(tally, "build the peer", &mut cargo(&["build", "--release", "-p", "shmx-ipc-tests"]))?;
    let mut peer = Command::new(target_dir()?.join("release/shmx-ipc-peer"));
    peer.arg("steps");
    if quick {
        peer.arg("--quick");
    }
    if let Some(only) = only {
        peer.args(["--only", only]);
    }
    step::counted(tally, "kill-steps", &mut peer, is_totals)
}
