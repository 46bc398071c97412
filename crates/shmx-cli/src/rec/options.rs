//! The options of `shmx rec`.

use crate::args::parse;
use crate::record::Compress;
use crate::recording::Files;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Rec {
    #[command(flatten)]
    pub(crate) files: Files,
    /// What to write: a recording (.mcap), or one stream as a table (.csv) or as an array (.npy).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Begin at this time from the first frame.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time)]
    pub(crate) from: Duration,
    /// End at this time from the first frame.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) to: Option<Duration>,
    /// Only these regions.
    #[arg(long = "region", value_name = "NAME")]
    pub(crate) regions: Vec<String>,
    /// The stream to write as a table or array, by name or number.
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
