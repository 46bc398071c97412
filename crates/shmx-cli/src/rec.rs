//! `shmx rec`: recordings made out of recordings, and streams as tables and arrays.

mod export;
mod options;

pub(crate) use options::Rec;

use crate::common::say;
use crate::exit::{self, usage};
use crate::json;
use crate::recording::{self, Line};
use crate::stop;
use anyhow::bail;
use shmx_record::{EditOptions, Recording, edit};

pub(crate) fn run(a: &Rec) -> anyhow::Result<()> {
    let extension = a.output.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match (extension.as_str(), &a.stream) {
        ("csv" | "npy", Some(stream)) => export::run(a, stream, extension == "npy"),
        ("csv" | "npy", None) => Err(usage("a table or an array holds one stream; choose it by --stream")),
        (_, Some(_)) => Err(usage("--stream is for tables and arrays: give an output that ends in .csv or .npy")),
        (_, None) => copy(a),
    }
}

fn copy(a: &Rec) -> anyhow::Result<()> {
    if a.files.files.iter().any(|f| same_file(f, &a.output)) {
        bail!("`{}` is one of the files that are read; write to another one", a.output.display());
    }
    let recordings: Vec<Recording> = a.files.files.iter().map(|f| Recording::open(&[f])).collect::<Result<_, _>>()?;
    let mut options = EditOptions::default();
    options.from = a.from;
    options.to = a.to;
    options.regions.clone_from(&a.regions);
    options.writer.compression = a.compress.into();
    options.writer.views = !a.no_views;
    options.writer.rotate_bytes = a.rotate_size;
    options.writer.overwrite = a.overwrite;
    options.writer.discard_empty = true;
    let mut line = Line::new(None);
    let edited = edit(recordings, &a.output, &options, |frames| {
        if frames.is_multiple_of(64) {
            line.show(format!("{frames} frames copied"), 0);
        }
        !stop::requested()
    })?;
    drop(line);
    let w = edited.written;
    say(format_args!("{} frames copied, {} in `{}`", w.frames, recording::bytes(w.bytes), a.output.display()));
    if a.json {
        let problems: Vec<String> = edited.problems.iter().map(ToString::to_string).collect();
        let summary = serde_json::json!({
            "frames": w.frames, "messages": w.messages, "bytes": w.bytes, "files": w.files,
            "file": a.output.display().to_string(), "problems": problems,
        });
        json::print("rec", summary)?;
    }
    for p in &edited.problems {
        say(format_args!("shmx: {p}"));
    }
    if stop::requested() {
        return Err(exit::interrupted("what was copied by then is kept"));
    }
    if w.frames == 0 {
        bail!("there is no frame to copy between the given times");
    }
    match edited.problems.len() {
        0 => Ok(()),
        n => Err(exit::incomplete(format!("{n} places could not be read; all else is copied"))),
    }
}

fn same_file(a: &std::path::Path, b: &std::path::Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
