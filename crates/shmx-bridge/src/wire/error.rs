//! Messages that cannot be used, and the versions that can.

use thiserror::Error;

/// The version that this bridge speaks best.
pub const VERSION: u16 = 4;
/// The oldest one that it still speaks. The first version had no pieces, in the second none could be given up, and in the
/// third all pieces had a checksum.
pub const OLDEST: u16 = 4;

/// A message that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// It does not begin as messages of bridges do.
    #[error("it is no message of a bridge; see who else uses these keys")]
    Foreign,
    /// Another version.
    #[error(
        "it has version {found} of the bridge's messages and {OLDEST} to {VERSION} are known; use bridges of one version"
    )]
    Version {
        /// Its version.
        found: u16,
    },
    /// It is cut short.
    #[error("the message is cut short")]
    Short,
    /// There is more than its parts.
    #[error("there are bytes behind the message's end")]
    Long,
    /// It is of another kind than belongs there.
    #[error("a message of kind {0} does not belong there")]
    Kind(u8),
    /// One of its parts is impossible.
    #[error("its {0} is impossible")]
    Value(&'static str),
}
