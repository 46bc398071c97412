//! A word of a region that keeps the region's memory.

use std::fmt;
use std::sync::atomic::AtomicU32;

use crate::sys;

/// A word of a [`Region`](crate::Region) that keeps its memory mapped, for waits that outlast a borrow of the region:
/// from [`Region::shared_word`](crate::Region::shared_word).
pub struct RegionWord {
    pub(crate) inner: sys::SharedWord,
}

impl RegionWord {
    pub(crate) fn word(&self) -> &AtomicU32 {
        self.inner.word()
    }
}

impl fmt::Debug for RegionWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegionWord").field(self.word()).finish()
    }
}
