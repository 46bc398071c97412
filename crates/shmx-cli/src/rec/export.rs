//! A stream of a recording in a file that other programs read.

use super::options::{Format, Rec};
use super::select::Chosen;
use super::{array, images, parquet, table};
use crate::common::say;
use crate::escape::safe;
use crate::json;
use crate::recording;
use crate::target;
use crate::units;
use anyhow::bail;
use shmx_record::Cursor;
use std::io::{BufWriter, Write};

pub(super) fn run(a: &Rec, stream: &str, format: Format) -> anyhow::Result<()> {
    let mut cursor = Cursor::new(a.files.open()?);
    let chosen = Chosen::of(a, stream, &mut cursor)?;
    // No wider than the recording, which is no wider than the region.
    let mode = mode(a);
    let frames = if format == Format::Png {
        if a.to_stdout() {
            bail!("each picture is a file of its own; give an output that ends in .png, or --format rgb");
        }
        images::files(a, &mut cursor, &chosen, mode)?
    } else if a.to_stdout() {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let frames = one(format, &mut cursor, &chosen, &mut out, "-")?;
        out.flush()?;
        frames
    } else {
        a.may_write(&a.output)?;
        let (mut frames, to) = (0, a.output.display().to_string());
        target::write(&a.output, mode, |file| {
            let mut out = BufWriter::new(file);
            frames = one(format, &mut cursor, &chosen, &mut out, &to)?;
            Ok(out.flush()?)
        })?;
        frames
    };
    let many = units::count(frames, "frame");
    say(format_args!("{many} of `{}` written to `{}`", safe(stream), a.output.display()));
    if chosen.without() > 0 {
        let without = units::count(chosen.without(), "frame");
        say(format_args!("{without} left out: there the region has no stream `{}`", safe(&chosen.info.name_lossy())));
    }
    if a.json {
        let what = serde_json::json!({"frames": frames, "stream": stream, "file": a.output.display().to_string()});
        json::print("export", what)?;
    }
    recording::judge_copy(cursor.recording().problems())
}

/// All of it in one file.
fn one(format: Format, cursor: &mut Cursor, chosen: &Chosen, out: &mut dyn Write, to: &str) -> anyhow::Result<u64> {
    match format {
        Format::Csv => table::csv(cursor, chosen, out),
        Format::Parquet => parquet::parquet(cursor, chosen, out),
        Format::Npy => array::npy(cursor, chosen, out),
        Format::Npz => array::npz(cursor, chosen, out),
        Format::Rgb => images::rgb(cursor, chosen, out, to),
        Format::Mcap | Format::Png => bail!("that is not written into one file"),
    }
}

#[cfg(unix)]
fn mode(a: &Rec) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let modes = a.files.files.iter().map(|f| f.metadata().map_or(0o600, |m| m.permissions().mode()));
    modes.fold(0o666, |all, m| all & m)
}

#[cfg(not(unix))]
const fn mode(_: &Rec) -> u32 {
    0o600
}
