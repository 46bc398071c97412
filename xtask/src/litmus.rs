//! The orderings of `shmx-ring` under the memory model of C and C++, which is Rust's, by `herd7`.
//!
//! Loom knows no order of sequentially consistent accesses; `herd7` knows the whole model, but only fragments of a few
//! instructions. Each fragment must be right as it stands, and wrong once one of its orderings is weakened.

use crate::interop::output;
use crate::sid::Sid;
use crate::step::{self, Tally};
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
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
    let scratch = target.join("litmus");
    std::fs::create_dir_all(&scratch)?;
    let herd = match Herd::find(&scratch) {
        Ok(herd) => herd,
        Err(e) => return step::skip(tally, "litmus", &format!("no herd7 (Debian and opam: herdtools7): {e:#}"), false),
    };
    for (name, weaker) in FRAGMENTS {
        let text = std::fs::read_to_string(Path::new(DIRECTORY).join(format!("{name}.litmus")))?;
        step::check(tally, &format!("{name} is right"), || {
            ensure!(herd.is_right(&scratch, &text)?, "herd7 finds an execution that must not be");
            Ok(())
        })?;
        for (from, to) in *weaker {
            step::check(tally, &format!("{name} needs `{}`", from.trim()), || {
                ensure!(text.matches(from).count() == 1, "the text to weaken is not there once: {from}");
                ensure!(!herd.is_right(&scratch, &text.replacen(from, to, 1))?, "it makes no difference");
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// The program, and what comes before a fragment.
struct Herd(Vec<OsString>);

impl Herd {
    /// What is installed, else that of Debian's sid with the libraries that it needs, unpacked.
    fn find(scratch: &Path) -> Result<Self> {
        if Command::new("herd7").arg("-version").output().is_ok() {
            return Ok(Self(vec!["herd7".into()]));
        }
        ensure!(cfg!(all(target_os = "linux", target_arch = "x86_64")), "it is set up for Linux on x86-64 only");
        let unpacked = scratch.join("unpacked");
        let usr = unpacked.join("usr");
        let herd = Self(vec![
            usr.join("lib64/ld-linux-x86-64.so.2").into(),
            "--library-path".into(),
            usr.join("lib/x86_64-linux-gnu").into(),
            usr.join("bin/herd7").into(),
            "-set-libdir".into(),
            usr.join("share/herdtools7/herd").into(),
        ]);
        if output(herd.command().arg("-version")).is_err() {
            step::head(format_args!("setting up {}", unpacked.display()));
            Sid::lists(scratch)?.unpack(&["herdtools7", "libc6", "libgmp10"], &unpacked)?;
            output(herd.command().arg("-version"))?;
        }
        Ok(herd)
    }

    fn command(&self) -> Command {
        let mut c = Command::new(&self.0[0]);
        c.args(&self.0[1..]);
        c
    }

    /// Whether no execution has the unwanted outcome, or a data race.
    fn is_right(&self, scratch: &Path, text: &str) -> Result<bool> {
        let file = scratch.join("fragment.litmus");
        std::fs::write(&file, text)?;
        let out = self.command().args(["-model", "rc11.cat"]).arg(&file).output().context("start herd7")?;
        let said = String::from_utf8_lossy(&out.stdout);
        let verdict = said
            .lines()
            .find(|l| l.starts_with("Observation"))
            .with_context(|| format!("herd7 gave no verdict: {said}{}", String::from_utf8_lossy(&out.stderr)))?;
        Ok(verdict.contains(" Never ") && !said.contains("Flag"))
    }
}
