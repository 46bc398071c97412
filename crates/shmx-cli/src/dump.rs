//! `shmx dump`: a region's bytes into a file, for a post-mortem.

use crate::common::{self, say};
use crate::complete::regions;
use crate::exit;
use crate::json;
use crate::progress::Progress;
use crate::stop;
use crate::target;
use crate::units;
use anyhow::{Context, bail};
use clap::Args;
use clap_complete::ArgValueCompleter;
use shmx::Inspector;
use std::io::Write;
use std::path::PathBuf;

/// Copy a region's bytes into a file, for a post-mortem.
#[derive(Debug, Args)]
#[command(after_help = "\
The copy is made while others write, so frames in it may be half-written. Read-only. Only those who may read the \
region may read the file. An existing file is replaced once the dump is complete; a symbolic link is followed, and a \
pipe or a device is written to.

Exit codes: 0 done; 1 failed; 2 wrong usage.

Examples:
  shmx dump clock clock.bin
  shmx dump clock - | gzip >clock.bin.gz
  shmx inspect --file clock.bin --once")]
pub(crate) struct Dump {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    name: String,
    /// File to write; `-` is stdout.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    json: bool,
}

const CHUNK: usize = 1 << 20;

pub(crate) fn run(a: &Dump) -> anyhow::Result<()> {
    let inspector = Inspector::open(&a.name).with_context(|| common::cannot_open(&a.name))?;
    common::opened(&a.name, &inspector.header(), inspector.layout());
    let total = inspector.layout().total_bytes() as usize;
    if a.file.as_os_str() == "-" {
        if a.json {
            return Err(exit::usage("--json and the dump would share stdout; give a file"));
        }
        return copy(&inspector, total, &mut std::io::stdout().lock());
    }
    // The frames are nobody's business who may not look at the region.
    let mode = inspector.owner().map_or(0o600, |o| o.mode_of_copy(shmx_os::group_of_process()));
    target::write(&a.file, mode, |file| copy(&inspector, total, file))?;
    let shown = a.file.display();
    say(format_args!("{} of `{}` written to `{shown}`", units::count(total as u64, "byte"), a.name));
    if a.json {
        let what = serde_json::json!({"region": a.name, "file": shown.to_string(), "bytes": total});
        json::print("dump", what)?;
    }
    Ok(())
}

fn copy(inspector: &Inspector, total: usize, out: &mut impl Write) -> anyhow::Result<()> {
    let progress = Progress::of_bytes(total as u64, "dumping");
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    while at < total {
        if stop::requested() {
            return Err(exit::interrupted("the dump is not complete"));
        }
        if !inspector.is_whole() {
            bail!("the object was cut short by another process meanwhile");
        }
        let n = inspector.read_at(at, &mut buf);
        out.write_all(&buf[..n])?;
        at += n;
        progress.set(at as u64);
    }
    out.flush()?;
    Ok(())
}
