//! The options of `shmx rec`.

use crate::args::parse;
use crate::record::Compress;
use crate::recording::Files;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a recording becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A recording.
    Mcap,
    /// A table as text: a line for each element.
    Csv,
    /// The same table for data frames, by column.
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
    /// The format that is asked for: by the option, or by the file's name, and otherwise a recording.
    pub(super) fn format(&self) -> Format {
        self.format.or_else(|| Format::of(&self.output)).unwrap_or(Format::Mcap)
    }

    /// Whether it goes to stdout.
    pub(super) fn to_stdout(&self) -> bool {
        self.output.as_os_str() == "-"
    }
}

#[derive(Debug, Args)]
pub(crate) struct Rec {
    #[command(flatten)]
    pub(crate) files: Files,
    /// What to write: a recording (.mcap), or one stream as a table (.csv, .parquet), as an array (.npy, .npz), as
    /// pictures (.png) or as raw video (.rgb). `-` is stdout and needs --format.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to write, whatever the file's name ends in.
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<Format>,
    /// Begin at this time from the first frame.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time)]
    pub(crate) from: Duration,
    /// End at this time from the first frame.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) to: Option<Duration>,
    /// Only these regions.
    #[arg(long = "region", value_name = "NAME")]
    pub(crate) regions: Vec<String>,
    /// The stream to export, by name or number.
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
    /// Compress the recording.
    #[arg(long, value_name = "HOW", value_enum, default_value = "none")]
    pub(crate) compress: Compress,
    /// Only whole frames, no messages for viewers.
    #[arg(long)]
    pub(crate) no_views: bool,
    /// Begin a new file when one has this size.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub(crate) rotate_size: Option<u64>,
    /// Replace files that exist.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Say at the end what was done, as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
