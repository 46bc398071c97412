//! Reads recordings, whole or damaged: a scan over the records of the files, and a cursor over events and frames.
//!
//! | file | |
//! |---|---|
//! | `problem` | what could not be read |
//! | `chunk` | heads, compression and checksums of chunks |
//! | `recording` | what is in the files, and the frames of a chunk |
//! | `scan` | opening: the walk over the records |
//! | `order` | which files belong together, and in which order |
//! | `join` | files of one recording as one row of times |
//! | `events` | what became of regions, put between the frames |
//! | `cursor` | moving over events and frames |

mod chunk;
mod cursor;
mod events;
mod join;
mod order;
mod problem;
mod recording;
mod scan;

pub use cursor::{Cursor, Item, Place, RegionState};
pub use problem::Problem;
pub use recording::{RecordedFrame, Recording, SegmentSummary};
