//! When checksums are compared.

use shmx_abi::extension::Features;

/// When a reader compares a frame's checksum with its payload, which takes time in proportion to the frame.
///
/// That a frame is whole is proven by protocol between programs of this implementation; a checksum finds what the
/// protocol cannot know of: stray stores of programs that share the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verify {
    /// Where nothing else proves that a frame is whole: in regions of servers without stamps (the reference).
    #[default]
    Auto,
    /// Every frame that has a checksum. The server learns of it and computes one for every frame.
    Always,
    /// None. Frames of servers without stamps may then be damaged.
    Never,
}

impl Verify {
    /// Whether frames of a server with these features are compared.
    pub(crate) const fn compares(self, features: Features) -> bool {
        match self {
            Self::Auto => !features.is_extended(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}
