//! `shmx rec`: recordings made out of recordings, and streams as tables, arrays, pictures and video.

mod array;
mod export;
mod images;
mod options;
mod parquet;
mod select;
mod table;

pub(crate) use options::Rec;

use crate::common::say;
use crate::exit::{self, usage};
use crate::json;
use crate::progress::Progress;
use crate::recording;
use crate::stop;
use crate::units;
use anyhow::bail;
use options::Format;
use shmx_record::{EditOptions, Recording, edit};

pub(crate) fn run(a: &Rec) -> anyhow::Result<()> {
    let format = a.format();
    match (format, &a.stream) {
        (Format::Mcap, None) if a.to_stdout() => Err(usage("stdout takes no recording; choose another --format")),
        (Format::Mcap, None) => copy(a),
        (Format::Mcap, Some(_)) => Err(usage("--stream is for exports: give an output that ends in .csv, .npy, ...")),
        (_, None) => Err(usage("one stream is exported; choose it by --stream")),
        (_, Some(_)) if a.to_stdout() && a.json => Err(usage("stdout has the data; --json needs an output file")),
        (_, Some(stream)) => export::run(a, stream, format),
    }
}

fn copy(a: &Rec) -> anyhow::Result<()> {
    let recordings: Vec<Recording> = a.files.files.iter().map(|f| recording::open(&[f])).collect::<Result<_, _>>()?;
    for other in Recording::left_over(&a.files.files) {
        let other = other.display();
        say(format_args!("{other} is of another recording than the first file of its name, and is merged with it"));
    }
    let mut options = EditOptions::default();
    options.from = a.from;
    options.to = a.to;
    options.regions.clone_from(&a.regions);
    options.writer.compression = a.compress.into();
    options.writer.views = !a.no_views;
    options.writer.rotate_bytes = a.rotate_size;
    options.writer.overwrite = a.overwrite;
    options.writer.discard_empty = true;
    let line = Progress::of_words();
    let edited = edit(recordings, &a.output, &options, |frames| {
        if frames.is_multiple_of(64) {
            line.show(format!("{} copied", units::count(frames, "frame")));
        }
        !stop::requested()
    })?;
    drop(line);
    let w = edited.written;
    let paths: Vec<String> = edited.files.iter().map(|f| f.display().to_string()).collect();
    let place = recording::place(&paths);
    say(format_args!("{} copied, {}{place}", units::count(w.frames, "frame"), units::bytes(w.bytes)));
    if a.json {
        let problems: Vec<String> = edited.problems.iter().map(ToString::to_string).collect();
        let summary = serde_json::json!({
            "frames": w.frames, "messages": w.messages, "bytes": w.bytes, "files": w.files,
            "file": paths.first(), "paths": paths, "left_out": edited.left_out,
            "control_dropped": w.control_dropped, "problems": problems,
        });
        json::print("rec", summary)?;
    }
    let all_read = recording::judge_copy(&edited.problems);
    if stop::requested() {
        return Err(exit::interrupted("what was copied by then is kept"));
    }
    if w.frames == 0 && edited.left_out == 0 {
        bail!("there is no frame to copy between the given times");
    }
    match edited.left_out {
        0 if edited.problems.is_empty() && w.control_dropped > 0 => Err(recording::dropped(w.control_dropped)),
        0 => all_read,
        n => Err(exit::incomplete(format!(
            "{} left out, as the beginning of their region could not be read; all else is copied",
            units::were(n, "frame")
        ))),
    }
}
