//! Records SHMX regions to [MCAP](https://mcap.dev) files without disturbing them, and replays them byte by byte.
//!
//! A [`Recorder`] follows any number of regions through read-only mappings and writes every frame once, whole and
//! lossless, together with messages that MCAP viewers decode and plot by themselves: numbers, images, point clouds.
//! [`Recording`] and [`Cursor`] read such files, damaged ones as far as they go. A [`Player`] rebuilds the regions and
//! publishes their frames at their times. The project's `docs/recording.md` describes the files.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use shmx::{Server, Stream};
//! use shmx_record::{Recorder, RecorderOptions, Recording};
//!
//! const VALUE: Stream<f64> = Stream::new(1, "value");
//!
//! let name = format!("doc-record-{}", std::process::id());
//! let path = std::env::temp_dir().join(format!("{name}.mcap"));
//! let mut server = Server::builder(&name).stream(VALUE, 1).create()?;
//! let recorder = Recorder::start(&[&name], &path, RecorderOptions::default())?;
//! # while !recorder.status().regions[0].open { std::thread::yield_now(); }
//! let mut frame = server.begin_frame()?;
//! frame.append_value(VALUE, 0.5)?;
//! frame.publish_frame(0.0)?;
//! let written = recorder.finish()?;
//! assert_eq!(written.frames, 1);
//!
//! let recording = Recording::open(&[&path])?;
//! assert_eq!(recording.regions(), [name]);
//! # std::fs::remove_file(path)?;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod duration;
pub mod error;
pub mod escape;
pub mod hex;

mod descriptor;
mod edit;
mod fields;
mod format;
mod numbers;
mod pb;
mod play;
mod read;
mod rebuild;
mod recorder;
mod schema;
mod sink;
mod topic;
mod views;
mod writer;

pub use edit::{EditOptions, Edited, edit};
pub use format::{Counts, EndReason, FrameHead, RecordedControl, RegionEvent, Segment};
pub use play::{Next, PlayOptions, PlayStats, Played, Player};
pub use read::{Cursor, Item, Place, Problem, RecordedFrame, Recording, RegionState, SegmentSummary};
pub use rebuild::{Again, Put, PutError, Rebuilt};
pub use recorder::{
    Every, Forgotten, Recorder, RecorderEvent, RecorderOptions, RecorderStatus, RegionStatus, Selection,
};
pub use topic::{MessageOf, ValuesTopic, ViewTopic};
pub use views::ImageInfo;
pub use writer::{Compression, RecordWriter, RegionIndex, Sync, WriterOptions, Written};

/// Name of the stream that marks a region as a mirror of another host's (`docs/streams.md`).
pub const MIRROR_STREAM: &str = "shmx_origin";
