//! The orderings of `shmx-ring` under the memory model of C and C++, which is Rust's, by `herd7`.
//!
//! Loom knows no order of sequentially consistent accesses; `herd7` knows the whole model, but only fragments of a few
//! instructions. Each fragment must be right as it stands, and wrong once one of its orderings is weakened.

use crate::step::{self, Tally};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

const DIRECTORY: &str = "crates/shmx-ring/litmus";

/// A fragment, and what to weaken in it: the text, once there, and what takes its place.
type Fragment = (&'static str, &'static [(&'static str, &'static str)]);

const FRAGMENTS: &[Fragment] = &[
    (
        "lease-or-claim",
        &[
            ("exchange_explicit(stamp, 1, memory_order_seq_cst)", "exchange_explicit(stamp, 1, memory_order_acq_rel)"),
            ("load_explicit(lease, memory_order_seq_cst)", "load_explicit(lease, memory_order_acquire)"),
            ("fetch_or_explicit(lease, 1, memory_order_seq_cst)", "fetch_or_explicit(lease, 1, memory_order_acq_rel)"),
            ("load_explicit(stamp, memory_order_seq_cst)", "load_explicit(stamp, memory_order_acquire)"),
        ],
    ),
    (
        "lease-by-fence",
        &[
            ("exchange_explicit(stamp, 1, memory_order_seq_cst)", "exchange_explicit(stamp, 1, memory_order_acq_rel)"),
            ("fence(memory_order_seq_cst)", "fence(memory_order_acq_rel)"),
        ],
    ),
    (
        "doorbell",
        &[
            (
                "exchange_explicit(number, 1, memory_order_seq_cst)",
                "exchange_explicit(number, 1, memory_order_acq_rel)",
            ),
            ("load_explicit(bell, memory_order_seq_cst)", "load_explicit(bell, memory_order_acquire)"),
            ("fence(memory_order_seq_cst)", "fence(memory_order_acq_rel)"),
        ],
    ),
    (
        "always-rings",
        &[
            ("fetch_or_explicit(bell, 1, memory_order_release)", "fetch_or_explicit(bell, 1, memory_order_relaxed)"),
            (
                "exchange_explicit(number, 1, memory_order_seq_cst)",
                "exchange_explicit(number, 1, memory_order_acq_rel)",
            ),
            ("fence(memory_order_seq_cst)", "fence(memory_order_acquire)"),
        ],
    ),
    (
        "control-bell",
        &[
            ("  atomic_thread_fence(memory_order_seq_cst);\n  int seen", "  int seen"),
            ("  atomic_thread_fence(memory_order_seq_cst);\n  int asleep", "  int asleep"),
        ],
    ),
    (
        "every-frame",
        &[
            ("exchange_explicit(stamp, 1, memory_order_seq_cst)", "exchange_explicit(stamp, 1, memory_order_acq_rel)"),
            ("load_explicit(changes, memory_order_seq_cst)", "load_explicit(changes, memory_order_acquire)"),
            ("fence(memory_order_seq_cst)", "fence(memory_order_acq_rel)"),
        ],
    ),
    (
        "torn",
        &[
            ("  atomic_thread_fence(memory_order_release);\n", ""),
            ("  atomic_thread_fence(memory_order_acquire);\n  int last", "  int last"),
        ],
    ),
    (
        "lease-finds-frame",
        &[("memory_order_release", "memory_order_relaxed"), ("memory_order_seq_cst", "memory_order_relaxed")],
    ),
    (
        "lease-ends",
        &[("memory_order_release", "memory_order_relaxed"), ("memory_order_seq_cst", "memory_order_relaxed")],
    ),
    (
        "next-owner",
        &[("memory_order_release", "memory_order_relaxed"), ("memory_order_seq_cst", "memory_order_release")],
    ),
    (
        "follow-open",
        &[("memory_order_release", "memory_order_relaxed"), ("memory_order_seq_cst", "memory_order_relaxed")],
    ),
    (
        "follow-bytes",
        &[("memory_order_seq_cst", "memory_order_relaxed"), ("  atomic_thread_fence(memory_order_acquire);\n", "")],
    ),
    (
        "follow-seal",
        &[
            ("  atomic_thread_fence(memory_order_release);\n", ""),
            ("  atomic_thread_fence(memory_order_acquire);\n", ""),
        ],
    ),
    (
        "follow-lease",
        &[
            ("exchange_explicit(stamp, 3, memory_order_seq_cst)", "exchange_explicit(stamp, 3, memory_order_acq_rel)"),
            ("load_explicit(lease, memory_order_seq_cst)", "load_explicit(lease, memory_order_acquire)"),
            ("fetch_or_explicit(lease, 1, memory_order_seq_cst)", "fetch_or_explicit(lease, 1, memory_order_acq_rel)"),
            ("load_explicit(stamp, memory_order_seq_cst)", "load_explicit(stamp, memory_order_acquire)"),
        ],
    ),
    (
        "newest",
        &[("memory_order_seq_cst", "memory_order_relaxed"), ("  atomic_thread_fence(memory_order_acquire);\n", "")],
    ),
];

pub(crate) fn run(tally: &mut Tally, target: &Path) -> Result<()> {
    if Command::new("herd7").arg("-version").output().is_err() {
        return step::skip(tally, "litmus", "herd7 is not installed (Debian and opam: herdtools7)", false);
    }
    let scratch = target.join("litmus");
    std::fs::create_dir_all(&scratch)?;
    for (name, weaker) in FRAGMENTS {
        let text = std::fs::read_to_string(Path::new(DIRECTORY).join(format!("{name}.litmus")))?;
        step::check(tally, &format!("{name} is right"), || {
            ensure!(is_right(&scratch, &text)?, "herd7 finds an execution that must not be");
            Ok(())
        })?;
        for (from, to) in *weaker {
            step::check(tally, &format!("{name} needs `{}`", from.trim()), || {
                ensure!(text.matches(from).count() == 1, "the text to weaken is not there once: {from}");
                ensure!(!is_right(&scratch, &text.replacen(from, to, 1))?, "it makes no difference");
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Whether no execution has the unwanted outcome, or a data race.
fn is_right(scratch: &Path, text: &str) -> Result<bool> {
    let file = scratch.join("fragment.litmus");
    std::fs::write(&file, text)?;
    let out = Command::new("herd7").args(["-model", "rc11.cat"]).arg(&file).output().context("start herd7")?;
    let said = String::from_utf8_lossy(&out.stdout);
    let verdict = said
        .lines()
        .find(|l| l.starts_with("Observation"))
        .with_context(|| format!("herd7 gave no verdict: {said}{}", String::from_utf8_lossy(&out.stderr)))?;
    Ok(verdict.contains(" Never ") && !said.contains("Flag"))
}
