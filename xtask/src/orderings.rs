//! Weakens one memory ordering of `shmx-ring` at a time and looks whether a loom model notices.
//!
//! The work is done on a copy under the target directory. An ordering that no model can miss is either justified in
//! `UNSEEN` or should not be there.

use crate::step::{Tally, cargo, check};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;

struct Mutant {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// Run the models without the fences that stand for the order of sequentially consistent accesses: they hide what
    /// such accesses do as acquire and release ones.
    weak_sc: bool,
}

const fn m(name: &'static str, file: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { name, file, from, to, weak_sc: false }
}

const fn weak(name: &'static str, file: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { name, file, from, to, weak_sc: true }
}

/// Every ordering of the protocol tables that loom can see.
const MUTANTS: &[Mutant] = &[
    m("W1 before W2", "writer", "    sc_access_fence();\n    // W2", "    // W2"),
    weak(
        "W1 acquire",
        "writer",
        "compare_exchange(stamp, odd, Ordering::SeqCst, Ordering::Relaxed)",
        "compare_exchange(stamp, odd, Ordering::Relaxed, Ordering::Relaxed)",
    ),
    m("W2 acquire of the lease bits", "writer", "leased(&slot, Ordering::SeqCst)", "leased(&slot, Ordering::Relaxed)"),
    weak(
        "W3 fence",
        "writer",
        "    fence(Ordering::Release);\n    slot.head.payload_bytes",
        "    slot.head.payload_bytes",
    ),
    m(
        "W5 stamp release",
        "writer",
        "head.ext_stamp.store(claim.next_stamp() | meta.marks.to_wire(), Ordering::Release)",
        "head.ext_stamp.store(claim.next_stamp() | meta.marks.to_wire(), Ordering::Relaxed)",
    ),
    m(
        "W6 write_index release",
        "writer",
        "header.write_index.swap(number, Ordering::SeqCst)",
        "header.write_index.swap(number, Ordering::Relaxed)",
    ),
    m(
        "W6 frame_seq release",
        "writer",
        "header.frame_seq.store(self.frame_id, Ordering::Release)",
        "header.frame_seq.store(self.frame_id, Ordering::Relaxed)",
    ),
    m("R0 fence", "reader", "    fence(Ordering::Acquire);\n    number", "    number"),
    m("R1 fence", "reader", "    fence(Ordering::Acquire);\n    if stamp", "    if stamp"),
    m("R2 before R3", "reader", "    sc_access_fence();\n", ""),
    m(
        "F1 open release",
        "progress",
        "ext_stamp.store(self.odd_stamp() | STAMP_OPEN, Ordering::Release)",
        "ext_stamp.store(self.odd_stamp() | STAMP_OPEN, Ordering::Relaxed)",
    ),
    weak(
        "F2 announce release",
        "progress",
        "checksum.swap(bytes, Ordering::SeqCst)",
        "checksum.swap(bytes, Ordering::Relaxed)",
    ),
    m("F3 fence", "writer", "    fence(Ordering::Release);\n    stamp & !1", "    stamp & !1"),
    m("F3 seal", "writer", "        if claim.is_open() {\n", "        if false {\n"),
    weak("F4 fence", "progress", "    fence(Ordering::Acquire);\n    // F5", "    // F5"),
    weak("F5 fence", "progress", "    fence(Ordering::Acquire);\n    let odd", "    let odd"),
    weak(
        "R3 acquire",
        "reader",
        "ext_stamp.load(Ordering::SeqCst) != stamp",
        "ext_stamp.load(Ordering::Relaxed) != stamp",
    ),
    m("R5 fence", "reader", "    fence(Ordering::Acquire);\n    if load::count", "    if load::count"),
    m(
        "R6 bit release",
        "reader",
        "fetch_and(!bit, Ordering::Release);\n    }\n}",
        "fetch_and(!bit, Ordering::Relaxed);\n    }\n}",
    ),
    m(
        "H4 release",
        "hold",
        "compare_exchange_weak(state, next, Ordering::AcqRel,",
        "compare_exchange_weak(state, next, Ordering::Acquire,",
    ),
    weak(
        "H4 acquire",
        "hold",
        "compare_exchange_weak(state, next, Ordering::AcqRel,",
        "compare_exchange_weak(state, next, Ordering::Release,",
    ),
    m(
        "S2 fence",
        "doorbell",
        "    fence(Ordering::SeqCst);\n    seen\n}\n\n/// After publishing",
        "    seen\n}\n\n/// After publishing",
    ),
    m("W6 before W7", "doorbell", "    sc_access_fence();\n    let seen", "    let seen"),
    m(
        "S2 fence of a watcher",
        "doorbell",
        "    fence(Ordering::SeqCst);\n    seen\n}\n\n/// After [`ring`]",
        "    seen\n}\n\n/// After [`ring`]",
    ),
    m("B1 fence", "control_bell", "    fence(Ordering::SeqCst);\n    seen\n", "    seen\n"),
    m("B2 fence", "control_bell", "    fence(Ordering::SeqCst);\n    let seen", "    let seen"),
    m("K1 fence", "every_frame", "    fence(Ordering::SeqCst);\n}", "}"),
    m(
        "K2 between W2 and W3",
        "writer",
        "    if !may(slot.head.frame_id.load(Ordering::Relaxed)) {\n        slot.head.ext_stamp",
        "    if false {\n        slot.head.ext_stamp",
    ),
    weak(
        "K3 acquire",
        "every_frame",
        "last_frame_seen.load(Ordering::Acquire)",
        "last_frame_seen.load(Ordering::Relaxed)",
    ),
    m(
        "control write release",
        "control",
        "ring.head.write.store(placement.next, Ordering::Release)",
        "ring.head.write.store(placement.next, Ordering::Relaxed)",
    ),
    m(
        "control wrap release",
        "control",
        "ring.head.write.store(wrap.position, Ordering::Release)",
        "ring.head.write.store(wrap.position, Ordering::Relaxed)",
    ),
    m("control write acquire", "control", "write.load(Ordering::Acquire)", "write.load(Ordering::Relaxed)"),
];

/// Orderings that stay although no model fails without them, and why.
const UNSEEN: &[&str] = &[
    "W2' stamp release after a lease was seen: nothing was written, the order is for readers of the code",
    "W1, W2, R2, R3, W6, W7 as sequentially consistent: loom knows no such order; see `cargo xtask litmus`",
    "W3 second fence, behind payload_bytes = 0: for readers without stamps, which no model plays",
    "W4 payload_bytes release: the same readers; ours are served by W5",
    "control read release and acquire: loads before later stores, which loom never reorders; see `cargo xtask tsan`",
    "H1 acquire and H5 release: between two exchanges of one word, which loom keeps in the order it ran them in",
    "K2 as sequentially consistent, keep_odd release: see `cargo xtask litmus`",
    "least and seen of `every_frame::Taken`, acquire and release: threads of one server that take turns at a lock",
    "readers attach and detach: `cargo xtask tsan`, and processes in test-ipc",
];

/// Those of the quick form: leases, publishing, the doorbell, and the end of a lease.
const QUICK: &[&str] = &["W1 before W2", "W5 stamp release", "W6 before W7", "R6 bit release"];

/// `cargo xtask orderings [--quick | --only TEXT,TEXT]`.
pub(crate) fn replay(tally: &mut Tally, target: &Path, quick: bool, only: &str) -> Result<()> {
    ensure!(QUICK.iter().all(|q| MUTANTS.iter().any(|m| m.name == *q)), "the quick form names what there is not");
    let copy = target.join("orderings/tree");
    copy_ring(&copy)?;
    check(tally, "models pass unchanged", || {
        for weak_sc in if quick { vec![false] } else { vec![false, true] } {
            ensure!(models_pass(&copy, target, weak_sc)?, "a model fails before anything was weakened");
        }
        Ok(())
    })?;
    let mut survivors = Vec::new();
    for mutant in MUTANTS
        .iter()
        .filter(|m| (!quick || QUICK.contains(&m.name)) && only.split(',').any(|text| m.name.contains(text)))
    {
        let path = copy.join(format!("crates/shmx-ring/src/{}.rs", mutant.file));
        let source = fs::read_to_string(&path)?;
        ensure!(source.matches(mutant.from).count() == 1, "{}: the text to weaken is not there once", mutant.name);
        fs::write(&path, source.replacen(mutant.from, mutant.to, 1))?;
        let survived = models_pass(&copy, target, mutant.weak_sc)?;
        fs::write(&path, source)?;
        println!("{} {}", if survived { "SURVIVED" } else { "noticed " }, mutant.name);
        if survived {
            tally.failed += 1;
            survivors.push(mutant.name);
        } else {
            tally.passed += 1;
        }
    }
    for reason in UNSEEN {
        println!("not seen by loom: {reason}");
    }
    if !survivors.is_empty() {
        bail!("no model notices: {}", survivors.join(", "));
    }
    Ok(())
}

fn models_pass(copy: &Path, target: &Path, weak_sc: bool) -> Result<bool> {
    let (dir, flags) =
        if weak_sc { ("target-weak", "--cfg loom --cfg loom_weak_sc") } else { ("target", "--cfg loom") };
    let base = ["--release", "-p", "shmx-ring", "--test", "loom"];
    let run = |extra: &[&str]| {
        let mut c = cargo(&["test"]);
        c.args(base).args(extra).current_dir(copy).env("CARGO_TARGET_DIR", target.join("orderings").join(dir));
        c.env("RUSTFLAGS", flags).env("LOOM_MAX_PREEMPTIONS", "3").output().context("start cargo")
    };
    let built = run(&["--no-run"])?;
    ensure!(built.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&built.stderr));
    Ok(run(&[])?.status.success())
}

/// A workspace of `shmx-ring` and what it needs, to be changed at will.
pub(crate) fn copy_ring(copy: &Path) -> Result<()> {
    copy_crates(copy, &["shmx-abi", "shmx-ring"])
}

/// A workspace of these crates and of those of ours that they are built or tested with.
pub(crate) fn copy_crates(copy: &Path, crates: &[&str]) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    let mut wanted: Vec<String> = crates.iter().map(|&krate| krate.to_owned()).collect();
    let mut next = 0;
    while let Some(krate) = wanted.get(next) {
        let (from, to) = (Path::new("crates").join(krate), copy.join("crates").join(krate));
        let manifest = fs::read_to_string(from.join("Cargo.toml"))?;
        copy_tree(&from, &to)?;
        for name in ours_in(&manifest) {
            if !wanted.iter().any(|w| w == name) {
                wanted.push(name.to_owned());
            }
        }
        next += 1;
    }
    let manifest = fs::read_to_string("Cargo.toml")?;
    let lines = manifest.lines().filter(|l| !l.starts_with("default-members"));
    let lines = lines.map(|l| if l.starts_with("members") { "members = [\"crates/*\"]" } else { l });
    fs::write(copy.join("Cargo.toml"), lines.collect::<Vec<_>>().join("\n"))?;
    fs::copy("Cargo.lock", copy.join("Cargo.lock"))?;
    Ok(())
}

/// Crates of this workspace that a manifest asks for.
fn ours_in(manifest: &str) -> impl Iterator<Item = &str> {
    let asks = manifest.lines().filter_map(|l| l.split_once(" = { workspace = true"));
    asks.map(|(name, _)| name).filter(|name| name.starts_with("shmx"))
}

/// A folder and all in it.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ours_in;

    #[test]
    fn what_a_crate_of_ours_needs_is_found() {
        let manifest = "[dependencies]\nshmx-abi = { workspace = true, features = [] }\nlibc = { workspace = true }\n\
                        [dev-dependencies]\nshmx-testkit = { workspace = true }\n";
        assert_eq!(ours_in(manifest).collect::<Vec<_>>(), ["shmx-abi", "shmx-testkit"]);
    }
}
