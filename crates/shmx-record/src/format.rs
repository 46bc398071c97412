//! What a recording holds: the records and messages of docs/recording.md, to and from Rust values.

mod directory;
mod frame;
mod lifecycle;
mod region;

pub(crate) use directory::{parse_directory, stream_names};
pub use frame::FrameHead;
pub(crate) use frame::{CARRIED, Carried, Payload, carried_frame, field};
pub(crate) use lifecycle::{Identity, LIFECYCLE, decode as decode_lifecycle, encode as encode_lifecycle, fact};
pub use region::{Counts, EndReason, RecordedControl, RegionEvent, Segment};

/// Name of the metadata record at the head of each file.
pub(crate) const RECORDING: &str = "shmx.recording";
/// Name of the metadata records that say what became of a region, up to version 2.
pub(crate) const REGION: &str = "shmx.region";
/// Version of all this.
pub(crate) const VERSION: &str = "4";
/// Versions that are read. In version 1 each frame has a checksum unless its segment has none, and there is one feature
/// word; up to version 2 what becomes of a region stands in metadata records between the chunks, and log times are
/// publish times. Up to version 3 each frame is a `shmx.Frame`, also one with an image.
pub(crate) const READ: [&str; 4] = ["1", "2", "3", VERSION];
/// Profile in the header of the file.
pub(crate) const PROFILE: &str = "shmx";
/// Key and value in the metadata of a channel whose messages may carry the rest of their frame.
pub(crate) const CARRIES: &str = "carries";
pub(crate) const FRAMES: &str = "frames";
