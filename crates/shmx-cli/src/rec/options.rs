//! The options of `shmx rec`.

use crate::args::parse;
use crate::names;
use crate::record::Compress;
use crate::recording::Files;
use crate::target;
use anyhow::bail;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a recording becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A recording.
    Mcap,
    /// A table as text, a line for each element.
    Csv,
    /// The same table by column, for data frames.
    Parquet,
    /// An array for numpy.load.
    Npy,
    /// The same, with ids and times of the frames.
    Npz,
    /// A picture file for each image.
    Png,
    /// All images as raw rgb24, for ffmpeg.
    Rgb,
}

impl Format {
    /// As the file's name has it.
    fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "csv" => Self::Csv,
            "parquet" => Self::Parquet,
            "npy" => Self::Npy,
            "npz" => Self::Npz,
            "png" | "jpg" | "jpeg" | "webp" => Self::Png,
            "rgb" => Self::Rgb,
            _ => return None,
        })
    }
}

impl Rec {
    /// Whether a file may be written: none that exists without being asked for, and none that is read.
    pub(super) fn may_write(&self, path: &Path) -> anyhow::Result<()> {
        if target::is_one_of(path, &self.files.files) {
            bail!("`{}` is one of the files that are read; write to another one", path.display());
        }
        if !self.overwrite && path.is_file() {
            bail!("`{}` exists; add --overwrite to replace it", path.display());
        }
        Ok(())
    }

    /// The format that is asked for: by the option, or by the file's name, and otherwise a recording.
    pub(super) fn format(&self) -> Format {
        self.format.or_else(|| Format::of(&self.output)).unwrap_or(Format::Mcap)
    }

    /// Whether it goes to stdout.
    pub(super) fn to_stdout(&self) -> bool {
        self.output.as_os_str() == "-"
    }
}

/// Cut, merge, recover, convert and export recordings.
#[derive(Debug, Args)]
#[command(after_help = "\
Frames are copied byte for byte and with their times, in the order in which they were recorded. Of a truncated or \
damaged file, everything that can be read is copied. A table (.csv, .parquet) has a row for each element of each \
frame. An array (.npy, or .npz with ids and times, for numpy.load) has the frames along its first axis, then elements \
and components where there are several. Images become numbered picture files (.png) or one raw video (.rgb, or stdout).

Exit codes: 0 done; 1 failed, interrupted, or nothing to copy; 2 wrong usage; 3 copied, but parts of the files could \
not be read.

Examples:
  shmx rec clock.mcap -o cut.mcap --from 0.1 --to 0.5
  shmx rec clock.mcap -o small.mcap --compress zstd --no-views
  shmx rec clock.mcap -o seq.csv --stream tick_seq
  shmx rec clock.mcap -o seq.npz --stream tick_seq --overwrite
  shmx rec video.mcap -o - --format rgb --stream image |
    ffmpeg -f rawvideo -pix_fmt rgb24 -s 640x480 -r 30 -i - clip.mp4")]
pub(crate) struct Rec {
    #[command(flatten)]
    pub(crate) files: Files,
    /// File to write: a recording (.mcap), or one stream as a table (.csv, .parquet), an array (.npy, .npz), pictures
    /// (.png) or raw video (.rgb). `-` is stdout and needs --format.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to write. Without it, the name of the file decides, and .mcap if it says nothing.
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<Format>,
    /// Begin this long after the first frame.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time)]
    pub(crate) from: Duration,
    /// End this long after the first frame. Without it, copy to the end.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) to: Option<Duration>,
    /// Copy only this region; may be repeated. Without it, all regions.
    #[arg(long = "region", value_name = "NAME|PATTERN", value_parser = names::pattern)]
    pub(crate) regions: Vec<String>,
    /// The stream to export, given by name or number.
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
    /// Compress the recording.
    #[arg(long, value_name = "HOW", value_enum, default_value = "none")]
    pub(crate) compress: Compress,
    /// Write whole frames only, no messages for viewers; the file replays all the same.
    #[arg(long)]
    pub(crate) no_views: bool,
    /// Begin a new file when one has reached this size. Without it, write a single file.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub(crate) rotate_size: Option<u64>,
    /// Replace files that exist.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
