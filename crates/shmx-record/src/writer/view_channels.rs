//! Which messages for viewers a segment has.

use crate::fields::{Fields, VALUES};
use crate::format::{LIFECYCLE, Segment, parse_directory, stream_names};
use crate::views::{self, ViewChannel};

/// The messages for viewers of the streams in a directory. Takes those that are new into the fields of small streams,
/// and says whether there were any.
pub(super) fn make_views(segment: &Segment, directory: &[u8], fields: &mut Fields) -> (Vec<ViewChannel>, bool) {
    let directory = parse_directory(segment.session_id, directory);
    let mut names = stream_names(&directory);
    // Topics that are not a stream's.
    for (name, stream) in names.iter_mut().zip(&directory.streams) {
        if [VALUES, LIFECYCLE].contains(&name.as_str()) {
            *name = format!("#{}", stream.id);
        }
    }
    let more = fields.extend(&directory.streams);
    let streams = directory.streams.iter().zip(&names);
    (streams.flat_map(|(s, name)| views::views_of(&segment.region, name, s)).collect(), more)
}
