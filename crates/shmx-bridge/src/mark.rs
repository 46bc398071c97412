//! What marks a region as a mirror, and tells of each frame where it comes from: a stream of its own.

use crate::keys::Peer;
use serde::{Deserialize, Serialize};
use shmx::{Directory, ElementType, StreamSpec};

/// Name of the stream that each mirror has.
pub const MARK_NAME: &str = shmx_record::MIRROR_STREAM;
/// Its number, unless the origin has a stream of that number.
pub const MARK_ID: u32 = 0xFFFF_0002;
/// Numbers of a frame: see [`Origin`].
pub const MARK_WORDS: usize = 5;

/// Bytes that the stream takes in a frame.
pub(crate) const MARK_BYTES: u32 = 64;

/// Where a mirror comes from: under the key `mirror` of the stream's `extra`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The host.
    pub host: String,
    /// The region there.
    pub region: String,
    /// Its session, 16 hexadecimal digits.
    pub session: String,
    /// The number of the bridge that sent it, 16 hexadecimal digits.
    pub bridge: String,
}

#[derive(Serialize, Deserialize)]
struct Extra {
    mirror: Source,
}

impl Source {
    /// A region of this bridge's host.
    #[must_use]
    pub fn new(peer: &Peer, region: &str, session: u64) -> Self {
        Self {
            host: peer.host.clone(),
            region: region.to_owned(),
            session: format!("{session:016x}"),
            bridge: format!("{:016x}", peer.id),
        }
    }

    /// The stream that says so, for a region whose directory has these streams.
    #[must_use]
    pub fn stream(&self, others: &[u32]) -> StreamSpec {
        let id = (0..=MARK_ID).rev().find(|id| !others.contains(id)).unwrap_or(MARK_ID);
        let extra = serde_json::to_vec(&Extra { mirror: self.clone() }).unwrap_or_default();
        StreamSpec::new(id, MARK_NAME, ElementType::U64, MARK_WORDS as u32).extra(extra)
    }

    /// Where the region with this directory comes from; `None` if it is no mirror, or does not say.
    #[must_use]
    pub fn of(directory: &Directory) -> Option<Self> {
        Self::of_extra(&directory.by_name(MARK_NAME)?.extra)
    }

    /// The same out of what the mark's stream has as `extra`.
    pub(crate) fn of_extra(extra: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Extra>(extra).ok().map(|e| e.mirror)
    }
}

/// Whether the region is a mirror, or pretends to be one: those are never sent on.
#[must_use]
pub fn is_mirror(directory: &Directory) -> bool {
    directory.by_name(MARK_NAME).is_some()
}

/// What the stream says of a frame.
///
/// ```
/// use shmx_bridge::Origin;
///
/// let origin = Origin { frame_id: 7, session: 8, published_ns: 9, here_ns: 0, error_ns: 0 };
/// assert_eq!(Origin::from_words(origin.to_words()), origin);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Id of the frame in its own region.
    pub frame_id: u64,
    /// Session that wrote it there.
    pub session: u64,
    /// When it was published, by the origin's clock: nanoseconds since 1970; 0 if it is not known.
    pub published_ns: u64,
    /// The same by the mirror's host, as an estimate; 0 if there is none.
    pub here_ns: u64,
    /// The most by which the estimate is wrong.
    pub error_ns: u64,
}

impl Origin {
    /// As the stream has it.
    #[must_use]
    pub const fn to_words(self) -> [u64; MARK_WORDS] {
        [self.frame_id, self.session, self.published_ns, self.here_ns, self.error_ns]
    }

    /// From the stream.
    #[must_use]
    pub const fn from_words(words: [u64; MARK_WORDS]) -> Self {
        let [frame_id, session, published_ns, here_ns, error_ns] = words;
        Self { frame_id, session, published_ns, here_ns, error_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_takes_what_is_reserved_for_it() {
        let source = Source::new(&Peer { host: "h".into(), id: 1 }, "r", 2);
        let spec = source.stream(&[MARK_ID, MARK_ID - 1]);
        assert_eq!(spec.id, MARK_ID - 2);
        assert_eq!(spec.frame_bytes(1), Some(MARK_BYTES));
    }
}
