//! Which messages for viewers a segment has.

use crate::format::{Segment, parse_directory, stream_names};
use crate::views::{self, ViewChannel};

/// The messages for viewers of the streams in a directory.
pub(super) fn make_views(segment: &Segment, directory: &[u8]) -> Vec<ViewChannel> {
    let directory = parse_directory(segment.session_id, directory);
    let names = stream_names(&directory);
    let streams = directory.streams.iter().zip(&names);
    streams.flat_map(|(s, name)| views::views_of(&segment.region, name, s)).collect()
}
