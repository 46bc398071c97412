//! Exports of a recording, read by the packages of others and compared with its tables.

use crate::interop::{self, output};
use crate::record::readback::STREAMS;
use crate::record::setting::Setting;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

const NUMPY: &[&str] = &["numpy==2.4.6"];

/// Parquet files by the package of npm, arrays by NumPy.
pub(crate) fn compare(s: &Setting, python: &Path, packages: &Path, recording: &Path) -> Result<String> {
    interop::install(python, NUMPY)?;
    let recording = recording.to_str().context("the target directory is not UTF-8")?;
    let [of_node, of_python] = ["exports.mjs", "exports.py"].map(|f| s.dir.join(f));
    fs::write(&of_node, include_str!("exports.mjs"))?;
    fs::write(&of_python, include_str!("exports.py"))?;
    let mut values = 0_u64;
    for (_, stream, ..) in STREAMS {
        let mut made = Vec::new();
        for ending in ["csv", "parquet", "npz", "npy"] {
            let (file, text) = s.file(&format!("export.{ending}"))?;
            output(&mut s.shmx(&["rec", recording, "-o", &text, "--stream", stream, "-q"]))?;
            made.push(file);
        }
        let [csv, parquet, npz, npy] = &made[..] else { continue };
        let said = output(Command::new("node").arg(&of_node).arg(packages).args([csv, parquet]))?;
        values += said.trim().parse::<u64>().with_context(|| format!("stream {stream}: {said}"))?;
        output(Command::new(python).arg(&of_python).args([csv, npz, npy]).arg(stream))
            .with_context(|| format!("stream {stream}"))?;
    }
    Ok(format!("{} streams, {values} values the same in each of four formats", STREAMS.len()))
}
